"""`evals check`: does every gold answer score full marks?"""

from __future__ import annotations

from pathlib import Path

import click

from evals import load
from evals.commands import common
from evals.data import Data
from evals.plain import count_of
from evals.suite import Check
from evals.suite import check as check_suite


@click.command()
@click.argument("suites", nargs=-1, required=True, metavar="SUITE...", shell_complete=common.complete_suites)
@click.option("--protocol", help="Only this protocol; default: all that can be run.")
@common.data_options
@common.json_option
def check(
    suites: tuple[str, ...], protocol: str | None, data: Path | None, sample: bool, as_json: bool
) -> int:
    """Check suites without a model: unique ids, gold answers, and full marks for every ideal reply."""
    checks: list[Check] = []
    for suite_name in suites:
        for protocol_name in [protocol] if protocol else load.protocol_names(suite_name):
            for suite in load.suite(suite_name, protocol_name):
                checks.append(check_suite(suite, Data(suite=suite.name, local=data, sample=sample)))
    if as_json:
        common.print_json({"checks": checks})
    else:
        for result in checks:
            state = "OK" if not result.faults else count_of(len(result.faults), "fault")
            unsolvable = f", {len(result.unsolvable)} unsolvable" if result.unsolvable else ""
            common.say(
                f"{result.suite} ({result.protocol}): {count_of(result.samples, 'sample')}, {state}{unsolvable}"
            )
            for fault in result.faults:
                common.say(f"    {fault}")
    return 1 if any(result.faults for result in checks) else 0
