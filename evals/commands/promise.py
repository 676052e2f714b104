"""`evals gate promise`: preregister a run by recording what will be measured and judged."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click
from msgspec import json

from evals import disk
from evals.commands import common
from evals.errors import UsageError
from evals.load import without_secrets
from evals.report.estimand_names import describe_estimand


@click.command()
@click.argument("policy_file", type=common.PATH, metavar="POLICY.toml")
@click.argument("file", type=common.FILE, metavar="FILE.json")
@click.option("--suites", multiple=True, metavar="SUITE", help="Only this suite; can be repeated.")
@click.option("--limit", type=click.IntRange(min=1), metavar="N", help="Items per suite, as in `evals run`.")
@click.option("--seed", type=int, default=0, show_default=True, help="Seed for subset and sampling.")
@click.option("--repeats", type=click.IntRange(min=1), metavar="N", help="Repeats, as in `evals run`.")
@click.option("--judge", default="", metavar="MODEL", help="Judge model, for judged protocols.")
@common.data_options
def promise(policy_file: Path, file: Path, suites: tuple[str, ...], **options: Any) -> None:
    """Write a promise, the preregistration of a run: policy, suites, data, judge, seed, subset, estimand and date.

    `evals run ... --promise FILE.json` stores it on the card; `evals gate`, `evals bundle verify`, `evals show RUN` and the
    dashboard then report whether it was kept. Commit the file before the run as evidence of the date.
    """
    from evals.run.job import Options
    from evals.verdicts import policy_promises

    options["judge"] = without_secrets(options["judge"])
    promised = policy_promises.make_promise(policy_file, Options(**options), suites=suites)
    if file.exists():
        raise UsageError(f"{file} already exists; promises are not overwritten")
    disk.replace(file, json.format(json.encode(promised), indent=1) + b"\n")
    for suite in promised.suites:
        items = "all items" if suite.limit is None else f"{suite.limit} items"
        common.say(
            f"{suite.suite} ({suite.protocol}): {items}, seed {suite.seed}, {describe_estimand(suite.estimand)}"
        )
    common.say(f"{file}: commit it before the run")
