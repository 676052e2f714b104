"""`evals bundle verify`: score a bundle's replies again, offline, and compare every figure."""

from __future__ import annotations

from pathlib import Path

import click

from evals.commands import common

SHOWN = 40


@click.command()
@click.argument("bundle", type=click.Path(path_type=Path, dir_okay=False), metavar="BUNDLE")
@click.option("--data", type=click.Path(path_type=Path), help="Local mirror of the suite's data.")
@common.trust_option
@common.json_option
def verify(bundle: Path, data: Path | None, as_json: bool) -> int:
    """Check a bundle's bytes, score every reply again and compute every figure again; no model is called.

    Exit status: 0 everything agrees, 1 something differs, 2 nothing could be checked.
    """
    from evals.bundles.verify import verify as verify_bundle

    report = verify_bundle(bundle, data)
    if as_json:
        common.print_json(report)
        return int(bool(report.differences))
    if report.suite:
        common.say(f"{report.suite} ({report.protocol}), model {report.model}, run {report.run}")
    for line in report.differences[:SHOWN]:
        common.say(f"    {line}", whole=True)  # quotes from a file stay on one line, for searching
    common.say_more(len(report.differences) - SHOWN, "--json lists all", indent="    ")
    for line in report.notes:
        common.say(f"Note: {line}.")
    if report.differences:
        common.say(f"{len(report.differences)} difference(s): this bundle does not reproduce what it states.")
        return 1
    common.say(f"All agrees: {report.records} records scored again, {report.figures} figures computed again.")
    return 0
