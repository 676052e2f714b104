"""`evals audit`: the items that two harnesses score differently."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from evals.commands import common
from evals.errors import UsageError
from evals.plain import count_of
from evals.records import store
from evals.terminal.layout import Column

if TYPE_CHECKING:
    from evals.verdicts.second_opinion.audit import Audit, Item

MAX_ROWS = 30
COLUMNS = (
    Column("id"), Column("ours", right=True), Column("answer"), Column("reason"), Column("theirs", right=True),
    Column("their answer"), Column("their reason"),
)  # fmt: skip


@click.command()
@click.argument("run", shell_complete=common.complete_runs)
@click.option(
    "--with",
    "harness",
    type=click.Choice(["import", "lm-eval", "opencompass", "scieval"]),
    default="import",
    show_default=True,
    help="Compare with the scores in the imported files, or run this harness's own code on the replies.",
)
@click.option(
    "--python",
    type=common.PATH,
    help="Python interpreter that has the other harness; default: the one in the user's cache folder, else this one.",
)
@click.option(
    "--rule",
    metavar="NAME",
    help="Rule of the other harness, if it has several; default: the one it normally uses.",
)
@common.results_option
@common.json_option
def audit(
    run: str, harness: str, python: Path | None, rule: str | None, results: Path, *, as_json: bool
) -> None:
    """Score the same replies by our rule and another harness's, and show the agreement, kappa and every difference.

    The other harness runs in its own process, offline, with a deadline per reply. Exit status: 0 if the scores were
    compared, even if they differ; 2 if nothing could be compared; 130 if interrupted.
    """
    from evals.verdicts.second_opinion.audit import audit as run_audit

    if harness == "import" and (python is not None or rule is not None):
        raise UsageError("--python and --rule require --with lm-eval, opencompass or scieval")
    report = run_audit(
        store.find_one(results, run), None if harness == "import" else harness, python=python, rule=rule
    )
    if as_json:
        common.print_json(report)
    else:
        _print(report)


def _print(report: Audit) -> None:
    common.say(
        f"{report.suite} ({report.protocol}) against {report.source.removeprefix('import ')}, run {report.run}"
    )
    failed = f"; their rule failed on {report.failed}" if report.failed else ""
    common.say(
        f"    {report.agreed} of {report.n} agree ({100 * report.agreed / report.n:.2f} %); {report.alone} scored by only "
        f"one of the two{failed}"
    )
    if report.kappa is not None:
        value, low, high = report.kappa
        common.say(f"    Cohen's kappa {value:.3f} [{low:.3f}, {high:.3f}]")
    common.say(f"    mean: ours {report.ours:.4f}, theirs {report.theirs:.4f}")
    common.say(
        f"    full marks only under our rule: {report.only_ours}, only under theirs: {report.only_theirs}"
    )
    if report.unread:
        hint = "; it may expect a different prompt" if 2 * report.unread > report.n else ""
        common.say(f"    their rule found no answer in {count_of(report.unread, 'reply', 'replies')}{hint}")
    if others := [name for name in report.rules if not report.source.endswith(f": {name}")]:
        common.say(f"    their other rules (--rule): {' '.join(others)}")
    if report.items:
        common.table("", COLUMNS, map(_row, report.items[:MAX_ROWS]))
    common.say_more(len(report.items) - MAX_ROWS, "--json lists all")


def _row(item: Item) -> list[str]:
    return [
        item.id if not item.repeat else f"{item.id} #{item.repeat}",
        f"{item.verdict} {'' if item.ours is None else f'{item.ours:g}'}",
        item.answer,
        item.why,
        "-" if item.theirs is None else f"{item.theirs:g}",
        item.their_answer,
        item.their_why,
    ]
