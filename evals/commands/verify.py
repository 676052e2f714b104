"""`evals bundle verify`: rescore a bundle's replies offline, and compare every figure."""

from __future__ import annotations

from pathlib import Path

import click

from evals.commands import common
from evals.plain import count_of, one_line

MAX_DIFFERENCES = 40


@click.command()
@click.argument("bundle", type=common.FILE, metavar="BUNDLE")
@click.option("--data", type=common.PATH, help="Local mirror of the suite's data.")
@common.trust_option
@common.json_option
def verify(bundle: Path, data: Path | None, as_json: bool) -> int:
    """Check a bundle's bytes, rescore every reply and recompute every figure; no model is called.

    Exit status: 0 everything agrees, 1 something differs, 2 nothing could be checked.
    """
    from evals.bundles.verify import verify as verify_bundle

    report = verify_bundle(bundle, data)
    if as_json:
        common.print_json(report)
        return int(bool(report.differences))
    if report.suite:
        common.say(one_line(f"{report.suite} ({report.protocol}), model {report.model}, run {report.run}"))
    for line in report.differences[:MAX_DIFFERENCES]:
        common.say(f"    {line}", no_wrap=True)  # unwrapped, so that it can be searched for
    common.say_more(len(report.differences) - MAX_DIFFERENCES, "--json lists all", indent="    ")
    for line in report.notes:
        common.say(f"Note: {line}.")
    if report.differences:
        differences = count_of(len(report.differences), "difference")
        common.say(f"{differences}: this bundle does not reproduce its figures.")
        return 1
    common.say(
        f"Everything agrees: {count_of(report.records, 'record')} rescored, {count_of(report.figures, 'figure')} recomputed."
    )
    return 0
