"""`evals export`: runs in other formats. A format is a function in `evals/interop/`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from evals.commands import common
from evals.errors import UnknownName, UsageError

if TYPE_CHECKING:
    from evals.interop.sinks import Sink
    from evals.records.store import Run

FORMATS = {
    "every-eval-ever": "every_eval_ever:write",
    "hub": "hub:write",
    "lm-eval": "lm_eval_export:write",
    "csv": "tables:write_csv",
    "parquet": "tables:write_parquet",
    "markdown": "tables:write_markdown",
    "latex": "tables:write_latex",
}
"""Format of files -> module:function below evals.interop."""
SINKS = {"mlflow": "mlflow:write", "postgres": "postgres:write"}
"""Store of another tool -> module:function below evals.interop."""


@click.command()
@click.argument("format_", metavar="FORMAT")
@click.argument("runs", nargs=-1, required=True, metavar="RUN...", shell_complete=common.complete_runs)
@click.option("--out", type=click.Path(path_type=Path, file_okay=False), help="Folder to write files into.")
@click.option("--model-id", metavar="ORG/NAME", help="Developer and name of the model, for every-eval-ever.")
@click.option(
    "--to",
    metavar="ADDRESS",
    help="MLflow's tracking URI, or a PostgreSQL connection string; without passwords. Default: MLFLOW_TRACKING_URI, PG*.",
)
@click.option("--experiment", metavar="NAME", help="Experiment of MLflow; default: science-evals.")
@common.results_option
@common.json_option
def export(
    format_: str,
    runs: tuple[str, ...],
    out: Path | None,
    model_id: str | None,
    to: str | None,
    experiment: str | None,
    results: Path,
    as_json: bool,
) -> None:
    """Write runs in another format: every-eval-ever, hub, lm-eval, csv, parquet, markdown or latex; or to mlflow or postgres.

    Fields without a place in the format are named. Of a gated suite no texts are written. A second export to mlflow or
    postgres changes nothing.
    """
    from evals.records import store

    if format_ not in (*FORMATS, *SINKS):
        raise UnknownName("format", format_, (*FORMATS, *SINKS))
    if model_id is not None and (format_ != "every-eval-ever" or model_id.count("/") != 1):
        raise UsageError("--model-id ORG/NAME goes with every-eval-ever")
    if (to is not None and format_ not in SINKS) or (experiment is not None and format_ != "mlflow"):
        raise UsageError("--to goes with mlflow and postgres, --experiment with mlflow")
    if (out is None) != (format_ in SINKS):
        raise UsageError(
            f"{format_} writes to a store: --to, not --out" if out else "name a folder: --out DIR"
        )
    chosen = list({run.path: run for name in runs for run in store.find(results, name)}.values())
    if out is None:
        _export_to_store(format_, chosen, to or "", experiment, as_json=as_json)
        return
    written = _function(FORMATS[format_])(chosen, out, **({"model_id": model_id} if model_id else {}))
    if as_json:
        common.print_json({"files": [str(path) for path in written.files], "lost": written.lost})
        return
    for path in written.files:
        common.say(str(path))
    _note_lost(written.lost)


def _function(name: str) -> Callable[..., Any]:
    from importlib import import_module

    module, _, function = name.partition(":")
    written: Callable[..., Any] = getattr(import_module(f"evals.interop.{module}"), function)
    return written


def _export_to_store(
    kind: str, runs: Sequence[Run], to: str, experiment: str | None, *, as_json: bool
) -> None:
    sink: Sink = _function(SINKS[kind])(runs, to, **({"experiment": experiment} if experiment else {}))
    if as_json:
        common.print_json(sink)
        return
    for run in sink.runs:
        common.say(f"{run.suite}, run {run.run}: {run.state} ({run.place})")
    _note_lost(sink.lost)


def _note_lost(lines: Sequence[str]) -> None:
    for line in dict.fromkeys(lines):
        common.note(f"not in it: {line}")
