"""`evals claims import`: published numbers that another project has collected."""

from __future__ import annotations

from pathlib import Path

import click

from evals.commands import common


@click.command("import")
@click.argument("form", type=click.Choice(["every-eval-ever"]), metavar="every-eval-ever")
@click.argument("folder", type=click.Path(path_type=Path, file_okay=False), metavar="DIR")
@common.results_option
def import_(form: str, folder: Path, results: Path) -> None:
    """Import DIR, a copy of Every Eval Ever's datastore, as published numbers with their sources.

    Scores of whole benchmarks that are suites here are written to `claims/every-eval-ever.toml` of the results folder; `evals
    claims`, `evals show` and the dashboard then show them as reported, never ranked.
    """
    from evals.interop.every_eval_ever_claims import import_claims

    done = import_claims(folder, results)
    common.say(f"{done.path}: {done.claims} published numbers")
    for reason, count in sorted(done.skipped.items()):
        common.say(f"    not imported: {count} {reason}")
