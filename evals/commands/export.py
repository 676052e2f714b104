"""`evals export`: runs in other formats. A format is a function in `evals/interop/`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import click

from evals.commands import common
from evals.errors import UnknownName, UsageError
from evals.interop.outgoing import ExportResult
from evals.records import store
from evals.records.store import Run

FILE_FORMATS = {
    "every-eval-ever": "every_eval_ever:write",
    "hub": "hub:write",
    "lm-eval": "lm_eval_export:write",
    "csv": "tables:write_csv",
    "parquet": "tables:write_parquet",
    "markdown": "tables:write_markdown",
    "latex": "tables:write_latex",
}
"""File format -> module:function in `evals.interop`."""
STORES = {"mlflow": "mlflow:write", "postgres": "postgres:write"}
"""Store of another tool -> module:function in `evals.interop`."""


@click.command()
@click.argument("format_", metavar="FORMAT")
@click.argument("runs", nargs=-1, required=True, metavar="RUN...", shell_complete=common.complete_runs)
@click.option("--out", type=common.FOLDER, help="Output folder.")
@click.option("--model-id", metavar="ORG/NAME", help="Developer and name of the model, for every-eval-ever.")
@click.option(
    "--to",
    "address",
    metavar="ADDRESS",
    help="MLflow tracking URI or PostgreSQL connection string, without password. Default: MLFLOW_TRACKING_URI, PG*.",
)
@click.option("--experiment", metavar="NAME", help="MLflow experiment; default: science-evals.")
@common.results_option
@common.json_option
def export(
    format_: str,
    runs: tuple[str, ...],
    out: Path | None,
    model_id: str | None,
    address: str | None,
    experiment: str | None,
    results: Path,
    as_json: bool,
) -> None:
    """Write runs in another format: every-eval-ever, hub, lm-eval, csv, parquet, markdown or latex; or to mlflow or postgres.

    Fields that the format cannot represent are listed. Texts of gated suites are not written. Exports to mlflow and
    postgres are idempotent.
    """
    from evals.interop.formats import load_function

    if format_ not in (*FILE_FORMATS, *STORES):
        raise UnknownName("format", format_, (*FILE_FORMATS, *STORES))
    _check_options(format_, model_id, address, experiment)
    if (out is None) != (format_ in STORES):
        raise UsageError(f"{format_} takes --to instead of --out" if out else "--out DIR is required")
    selected = list({run.path: run for name in runs for run in store.find(results, name)}.values())
    if out is None:
        _export_to_store(format_, selected, address or "", experiment, as_json=as_json)
        return
    exported = load_function(FILE_FORMATS[format_])(
        selected, out, **({"model_id": model_id} if model_id else {})
    )
    if as_json:
        common.print_json({"files": [str(path) for path in exported.files], "lost": exported.lost})
        return
    for path in exported.files:
        common.say(str(path))
    _note_omissions(exported.lost)


def _check_options(format_: str, model_id: str | None, address: str | None, experiment: str | None) -> None:
    if model_id is not None and format_ != "every-eval-ever":
        raise UsageError("--model-id requires every-eval-ever")
    if model_id is not None and model_id.count("/") != 1:
        raise UsageError(f"--model-id {model_id}: expected ORG/NAME")
    if address is not None and format_ not in STORES:
        raise UsageError("--to requires mlflow or postgres")
    if experiment is not None and format_ != "mlflow":
        raise UsageError("--experiment requires mlflow")


def _export_to_store(
    store_name: str, runs: Sequence[Run], address: str, experiment: str | None, *, as_json: bool
) -> None:
    from evals.interop.formats import load_function

    result: ExportResult = load_function(STORES[store_name])(
        runs, address, **({"experiment": experiment} if experiment else {})
    )
    if as_json:
        common.print_json(result)
        return
    for run in result.runs:
        common.say(f"{run.suite}, run {run.run}: {run.state} ({run.place})")
    _note_omissions(result.lost)


def _note_omissions(lines: Sequence[str]) -> None:
    for line in dict.fromkeys(lines):
        common.note(f"not exported: {line}")
