"""`evals baseline save`: what a gate needs of a run, in a small file that can be reviewed and committed."""

from __future__ import annotations

from pathlib import Path

import click

from evals.commands import common


@click.group()
def baseline() -> None:
    """Keep runs as baselines for `evals gate`."""


@baseline.command()
@click.argument("run", metavar="RUN", shell_complete=common.complete_runs)
@click.argument("file", type=click.Path(path_type=Path, dir_okay=False), metavar="FILE.jsonl")
@click.option("--suite", "suites", multiple=True, help="Only this suite; repeat for several.")
@common.latest_option
@common.trust_option
@common.results_option
def save(run: str, file: Path, suites: tuple[str, ...], latest: bool, results: Path) -> int:
    """Write a run's scores by hashed sample id: no question, no reply; of a gated suite no answer either."""
    from evals.verdicts import baseline as baselines
    from evals.verdicts import contestants

    found = contestants.find(results, run, suites=suites, latest=latest)
    try:
        baselines.write(file, found)
    except OSError as error:
        from evals.errors import UsageError

        raise UsageError(f"cannot write {file}: {error.strerror}") from None
    for c in found:
        lacking = "" if c.side.coverage == 1 else f", coverage {c.side.coverage:.4f}"
        common.say(f"{c.suite} ({c.protocol}): {len(c.side.golds)} samples{lacking}")
    common.say(f"{file}: {file.stat().st_size:,} bytes")
    return 0
