"""`evals gate baseline`: save a run's scores in a small file that can be reviewed and committed."""

from __future__ import annotations

from pathlib import Path

import click

from evals.commands import common
from evals.commands.groups import Entry, LazyGroup
from evals.errors import UsageError


@click.command()
@click.argument("run", metavar="RUN", shell_complete=common.complete_runs)
@click.argument("file", type=click.Path(path_type=Path, dir_okay=False), metavar="FILE.jsonl")
@click.option("--suite", "suites", multiple=True, help="Only this suite; repeat for several.")
@common.latest_option
@common.trust_option
@common.results_option
def save(run: str, file: Path, suites: tuple[str, ...], latest: bool, results: Path) -> None:
    """Save a run's scores by hashed sample id: no question, no reply; of a gated suite no answer either."""
    from evals.verdicts import baseline as baselines
    from evals.verdicts import suite_runs

    sides = suite_runs.load_named_runs(results, run, suites=suites, latest=latest)
    try:
        baselines.write(file, sides)
    except OSError as error:
        raise UsageError(f"cannot write {file}: {error.strerror}") from None
    for side in sides:
        coverage = "" if side.side.coverage == 1 else f", coverage {side.side.coverage:.4f}"
        common.say(f"{side.suite} ({side.protocol}): {len(side.side.golds)} samples of {side.run}{coverage}")
    common.say(f"{file}: {file.stat().st_size:,} bytes")


@click.group(cls=LazyGroup, lazy={"save": Entry("baseline:save", "See `evals gate baseline`.")})
def baseline() -> None:
    """Save runs as baselines: the older name of `evals gate baseline`."""
