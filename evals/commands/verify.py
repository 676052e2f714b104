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
    from evals.bundles.verify import verify as check

    found = check(bundle, data)
    if as_json:
        common.print_json(found)
        return int(bool(found.differences))
    if found.suite:
        common.say(f"{found.suite} ({found.protocol}), model {found.model}, run {found.run}")
    for line in found.differences[:SHOWN]:
        common.say(f"    {line}", whole=True)  # it quotes a file: one line each, to search in
    if (more := len(found.differences) - SHOWN) > 0:
        common.say(f"    ... and {more} more (--json lists all)")
    for line in found.notes:
        common.say(f"Note: {line}.")
    if found.differences:
        common.say(f"{len(found.differences)} difference(s): this bundle does not reproduce what it states.")
        return 1
    common.say(f"All agrees: {found.records} records scored again, {found.figures} figures computed again.")
    return 0
