"""`evals audit`: why two harnesses disagree, item by item."""

from __future__ import annotations

from pathlib import Path

import click

from evals.commands import common

SHOWN = 30


@click.command()
@click.argument("run")
@common.results_option
@common.json_option
def audit(run: str, results: Path, as_json: bool) -> None:
    """Hold our verdicts on an imported run against those that its source stated: agreement, kappa, every difference."""
    from evals import store
    from evals.verdicts.audit import audit as hold

    found = hold(store.find_one(results, run))
    if as_json:
        common.print_json(found)
        return
    common.say(
        f"{found.suite} ({found.protocol}) against {found.source.removeprefix('import ')}, run {found.run}"
    )
    click.echo(
        f"    {found.agreed} of {found.n} alike ({100 * found.agreed / found.n:.2f} %); {found.alone} judged by one alone"
    )
    if found.kappa is not None:
        value, low, high = found.kappa
        click.echo(f"    Cohen's kappa {value:.3f} [{low:.3f}, {high:.3f}]")
    click.echo(f"    mean: ours {found.ours:.4f}, theirs {found.theirs:.4f}")
    click.echo(f"    full marks from us alone {found.only_ours}, from them alone {found.only_theirs}")
    columns = [
        ("id", "left"),
        ("ours", "right"),
        ("answer", "left"),
        ("why", "left"),
        ("theirs", "right"),
        ("their answer", "left"),
    ]
    rows = (
        [
            one.id,
            f"{one.verdict} {'' if one.ours is None else f'{one.ours:g}'}",
            one.answer,
            one.why,
            f"{one.theirs:g}",
            one.their_answer,
        ]
        for one in found.items[:SHOWN]
    )
    if found.items:
        common.table("", columns, rows)
    if (more := len(found.items) - SHOWN) > 0:
        click.echo(f"... and {more} more (--json lists all)")
