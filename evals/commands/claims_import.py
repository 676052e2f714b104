"""`evals claims import`: import published numbers that another project has collected."""

from __future__ import annotations

from pathlib import Path

import click

from evals.commands import common
from evals.plain import count_of


@click.command("import")
@click.argument("source", type=click.Choice(["every-eval-ever"]), metavar="every-eval-ever")
@click.argument("folder", type=common.FOLDER, metavar="DIR")
@common.results_option
def import_(source: str, folder: Path, results: Path) -> None:
    """Import DIR, a copy of Every Eval Ever's datastore, as published numbers with their sources.

    Scores of complete benchmarks that exist here as suites are written to `claims/every-eval-ever.toml` in the results
    folder. `evals claims`, `evals show` and the dashboard list them as reported results, without ranking them.
    """
    from evals.interop.every_eval_ever_claims import import_claims

    imported = import_claims(folder, results)
    common.say(f"{imported.path}: {count_of(imported.claims, 'published number')}")
    for reason, count in sorted(imported.skipped.items()):
        common.say(f"    not imported: {reason} ({count})")
