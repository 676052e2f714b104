"""`evals export`: runs in other formats. A format is a function in `evals/interop/`."""

from __future__ import annotations

from pathlib import Path

import click

from evals.commands import common
from evals.errors import UnknownName, UsageError

FORMATS = {
    "every-eval-ever": "every_eval_ever:write",
    "hub": "hub:write",
    "lm-eval": "lm_eval_export:write",
    "csv": "tables:write_csv",
    "parquet": "tables:write_parquet",
    "markdown": "tables:write_markdown",
    "latex": "tables:write_latex",
}
"""Format -> module:function below evals.interop."""


@click.command()
@click.argument("format_", metavar="FORMAT")
@click.argument("runs", nargs=-1, required=True, metavar="RUN...", shell_complete=common.complete_runs)
@click.option(
    "--out", type=click.Path(path_type=Path, file_okay=False), required=True, help="Folder to write into."
)
@click.option("--model-id", metavar="ORG/NAME", help="Developer and name of the model, for every-eval-ever.")
@common.results_option
@common.json_option
def export(
    format_: str, runs: tuple[str, ...], out: Path, model_id: str | None, results: Path, as_json: bool
) -> None:
    """Write runs in another format: every-eval-ever, hub, lm-eval, csv, parquet, markdown or latex.

    Fields without a place in the format are named. Of a gated suite no texts are written.
    """
    from importlib import import_module

    from evals.records import store

    if format_ not in FORMATS:
        raise UnknownName("format", format_, FORMATS)
    if model_id is not None and (format_ != "every-eval-ever" or model_id.count("/") != 1):
        raise UsageError("--model-id ORG/NAME goes with every-eval-ever")
    options = {"model_id": model_id} if model_id else {}
    chosen = {run.path: run for name in runs for run in store.find(results, name)}
    module, _, function = FORMATS[format_].partition(":")
    written = getattr(import_module(f"evals.interop.{module}"), function)(
        list(chosen.values()), out, **options
    )
    if as_json:
        common.print_json({"files": [str(path) for path in written.files], "lost": written.lost})
        return
    for path in written.files:
        common.say(str(path))
    for line in dict.fromkeys(written.lost):
        common.note(f"not in it: {line}")
