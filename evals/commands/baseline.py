"""`evals gate baseline`: save a run's scores in a small file that can be reviewed and committed."""

from __future__ import annotations

from pathlib import Path

import click

from evals.commands import common
from evals.commands.groups import Entry, LazyGroup
from evals.plain import count_of


@click.command()
@click.argument("run", metavar="RUN", shell_complete=common.complete_runs)
@click.argument("file", type=common.FILE, metavar="FILE.jsonl")
@click.option("--suite", "suites", multiple=True, help="Only this suite; can be repeated.")
@common.latest_option
@common.trust_option
@common.results_option
def save(run: str, file: Path, suites: tuple[str, ...], latest: bool, results: Path) -> None:
    """Save a run's scores by hashed sample id, without questions and replies (gated suites: also without answers)."""
    from evals.verdicts import baseline as baselines
    from evals.verdicts import suite_runs

    runs = suite_runs.load_named_runs(results, run, suites=suites, latest=latest)
    baselines.write(file, runs)
    for suite_run in runs:
        outcomes = suite_run.outcomes
        coverage = "" if outcomes.coverage == 1 else f", coverage {outcomes.coverage:.4f}"
        common.say(
            f"{suite_run.suite} ({suite_run.protocol}): {count_of(len(outcomes.golds), 'sample')} of {suite_run.run}{coverage}"
        )
    common.say(f"{file}: {file.stat().st_size:,} bytes")


@click.group(cls=LazyGroup, entries={"save": Entry("baseline:save", "See `evals gate baseline`.")})
def baseline() -> None:
    """Save runs as baselines: the former name of `evals gate baseline`."""
