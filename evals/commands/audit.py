"""`evals audit`: why two harnesses disagree, item by item."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from evals.commands import common
from evals.errors import UsageError

if TYPE_CHECKING:
    from evals.verdicts.second_opinion.audit import Audit, Item

SHOWN = 30
COLUMNS = (
    ("id", "left"),
    ("ours", "right"),
    ("answer", "left"),
    ("why", "left"),
    ("theirs", "right"),
    ("their answer", "left"),
    ("their why", "left"),
)


@click.command()
@click.argument("run", shell_complete=common.complete_runs)
@click.option(
    "--with",
    "peer",
    type=click.Choice(["import", "lm-eval", "opencompass"]),
    default="import",
    show_default=True,
    help="Compare with the scores in the imported files, or with this harness's own code run on the replies.",
)
@click.option(
    "--python",
    type=click.Path(path_type=Path),
    help="Python with the other harness; default: its environment in the user's cache folder, else this one.",
)
@click.option("--rule", metavar="NAME", help="Which of its rules for this suite; default: the usual one.")
@common.results_option
@common.json_option
def audit(
    run: str, peer: str, python: Path | None, rule: str | None, results: Path, *, as_json: bool
) -> None:
    """Score the same replies by our rule and by another harness's: agreement, kappa, every difference.

    The other harness runs in a process of its own, offline, with a deadline for each reply. Exit status: 0 however
    many replies they agree on, 2 if nothing could be compared, 130 interrupted.
    """
    from evals.records import store
    from evals.verdicts.second_opinion.audit import audit as compare

    if peer == "import" and (python is not None or rule is not None):
        raise UsageError("--python and --rule go with --with lm-eval or --with opencompass")
    found = compare(
        store.find_one(results, run), None if peer == "import" else peer, python=python, rule=rule
    )
    if as_json:
        common.print_json(found)
        return
    _print(found)


def _print(found: Audit) -> None:
    common.say(
        f"{found.suite} ({found.protocol}) against {found.source.removeprefix('import ')}, run {found.run}"
    )
    failed = f"; their rule failed at {found.failed}" if found.failed else ""
    common.say(
        f"    {found.agreed} of {found.n} agree ({100 * found.agreed / found.n:.2f} %); {found.alone} scored by one "
        f"side only{failed}"
    )
    if found.kappa is not None:
        value, low, high = found.kappa
        common.say(f"    Cohen's kappa {value:.3f} [{low:.3f}, {high:.3f}]")
    common.say(f"    mean: ours {found.ours:.4f}, theirs {found.theirs:.4f}")
    common.say(f"    full marks only from us {found.only_ours}, only from them {found.only_theirs}")
    if found.unread:
        hint = "; perhaps it expects another prompt" if 2 * found.unread > found.n else ""
        common.say(f"    their rule found no answer in {found.unread} replies{hint}")
    if others := [name for name in found.rules if not found.source.endswith(f": {name}")]:
        common.say(f"    their other rules, --rule: {' '.join(others)}")
    if found.items:
        common.table("", COLUMNS, map(_row, found.items[:SHOWN]))
    if (more := len(found.items) - SHOWN) > 0:
        common.say(f"... and {more} more (--json lists all)")


def _row(one: Item) -> list[str]:
    return [
        one.id if not one.repeat else f"{one.id} #{one.repeat}",
        f"{one.verdict} {'' if one.ours is None else f'{one.ours:g}'}",
        one.answer,
        one.why,
        "-" if one.theirs is None else f"{one.theirs:g}",
        one.their_answer,
        one.their_why,
    ]
