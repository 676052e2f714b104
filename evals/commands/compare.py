"""`evals compare`: is B worse than A? Paired, sample by sample."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from evals.commands import common
from evals.terminal.layout import Column
from evals.verdicts import wording

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from evals.verdicts.compare import Comparison, Row
    from evals.verdicts.estimands import Estimand

SHOWN = 20
"""Flipped samples that a terminal shows."""


@click.command()
@click.argument("runs", nargs=-1, required=True, metavar="A B [MORE...]", shell_complete=common.complete_runs)
@click.option("--suite", "suites", multiple=True, help="Only this suite; repeat for several.")
@click.option("--force", is_flag=True, help="Compare what is not comparable, and say so.")
@click.option("--by", type=click.Choice(["group"]), help="Show the headline's groups too.")
@click.option(
    "--estimand",
    type=click.Choice(["items-like-these", "these-items", "this-run"]),
    default="items-like-these",
    show_default=True,
    help="What intervals and p-values are about: other items, these items with replies drawn again, these replies.",
)
@click.option("--metrics", is_flag=True, help="Show every metric, not the headline alone.")
@click.option("--markdown", is_flag=True, help="Print Markdown.")
@common.latest_option
@common.trust_option
@common.results_option
@common.json_option
def compare(
    runs: tuple[str, ...],
    suites: tuple[str, ...],
    force: bool,
    by: str | None,
    estimand: Estimand,
    metrics: bool,
    markdown: bool,
    latest: bool,
    results: Path,
    as_json: bool,
) -> int:
    """Compare runs (ids, folders or baseline files) sample by sample; differences are B minus A.

    Refuses (exit status 2) what differs in protocol, data or scorer. More than two runs are ranked.
    """
    detail = True if by or metrics else None
    found = _compare(runs, suites, results, force=force, latest=latest, estimand=estimand, detail=detail)
    if as_json:
        common.print_json(found)
    elif not found.comparable and not force:
        for line in found.why_not:
            common.note(f"not comparable: {line}")
    elif markdown:
        click.echo("\n".join(as_markdown(found, _rows(found, by_group=by == "group", metrics=metrics))))
    else:
        _print(found, _rows(found, by_group=by == "group", metrics=metrics))
    return 0 if found.comparable or force else 2


def _compare(
    runs: tuple[str, ...],
    suites: tuple[str, ...],
    results: Path,
    *,
    force: bool,
    latest: bool,
    estimand: Estimand,
    detail: bool | None,
) -> Comparison:
    from evals import api

    return api.compare(
        *runs, results=results, suites=suites, force=force, latest=latest, estimand=estimand, detail=detail
    )


HEADINGS = (
    "suite",
    "metric",
    "A",
    "B",
    "B - A",
    "95 % interval",
    "p",
    "p (Holm)",
    "better / worse / same",
    "n",
)


def _cells(row: Row) -> tuple[str, ...]:
    return (
        f"  {row.group}" if row.group else row.suite,
        row.metric,
        wording.amount(row.value_a, row.unit),
        wording.amount(row.value_b, row.unit),
        wording.amount(row.difference, row.unit, signed=True),
        wording.interval(*row.ends, row.unit),
        wording.p_value(row.p),
        wording.p_value(row.p_adjusted),
        wording.tally(row.wins, row.losses, row.ties),
        wording.items(row.n, row.repeats_a, row.repeats_b),
    )


def _rows(found: Comparison, *, by_group: bool, metrics: bool) -> list[Row]:
    return [row for row in found.pairs if (by_group if row.group else row.headline or metrics)]


COLUMNS = (
    Column("suite"), Column("metric"), Column("A", right=True, drop=4), Column("B", right=True, drop=3),
    Column("B - A", right=True), Column("95 % interval", right=True), Column("p", right=True, drop=7),
    Column("p (Holm)", right=True, drop=2), Column("better / worse / same", right=True, drop=6),
    Column("n", right=True, drop=1),
)  # fmt: skip
"""`HEADINGS` on a terminal: which go first where room is lacking."""


def _print(found: Comparison, shown: Sequence[Row]) -> None:
    from evals.terminal.molecules import flip_lines
    from evals.verdicts.summary import changed, discordant, sentences

    if not found.comparable:
        common.say("not comparable: " + "; ".join(found.why_not))
    for line in sentences(found):
        common.say(line)
    names = list(dict.fromkeys((row.a, row.b) for row in found.pairs))
    for a, b in names:
        rows = [row for row in shown if (row.a, row.b) == (a, b)]
        click.echo()
        common.say(f"A: {rows[0].model_a} ({a})   B: {rows[0].model_b} ({b})")
        common.table("", COLUMNS, map(_cells, rows))
    if found.ranks:
        click.echo()
        _print_ranks(found)
    click.echo()
    for line in (*_methods(found), *_remarks(found), *found.notes):
        common.say(line)
    for line in changed(found.flips):
        common.say(line)
    for line in flip_lines(discordant(found.flips), SHOWN, "changed samples (--json has all)"):
        common.say(f"  {line}")


def _methods(found: Comparison) -> Iterator[str]:
    """Yield what intervals are about and how they were computed."""
    from evals.verdicts.estimands import WORDS

    heads = [row for row in found.pairs if row.headline]
    family = sum(row.low_adjusted is not None for row in heads)
    seen = dict.fromkeys(
        f"{row.suite} {row.metric}: {row.test}, about {WORDS[row.estimand]} ({row.estimand})" for row in heads
    )
    yield from seen
    if family > 1:
        yield f"intervals beside p (Holm) are adjusted like it, for {family} comparisons; --json has both"


def _remarks(found: Comparison) -> Iterator[str]:
    """Coverage, what missing outcomes could change, noise and cost."""
    for row in found.pairs:
        if row.group or not row.headline:
            continue
        if row.coverage_a < 1 or row.coverage_b < 1:
            span = wording.interval(*sorted_ends(row), row.unit)
            yield (
                f"{row.suite}: coverage A {row.coverage_a:.4f}, B {row.coverage_b:.4f}; with what is missing the "
                f"difference lies in {span}"
            )
        if (limit := found.noise.get(row.suite)) is not None:
            yield f"{row.suite}: two runs of one model differ by up to {wording.amount(limit, row.unit)} (measured noise)"
    for suite in dict.fromkeys(cost.suite for cost in found.runs):
        used = [c for c in found.runs if c.suite == suite]
        yield f"{suite} used: " + "; ".join(f"{c.model} {wording.costs(c.tokens, c.cost_usd)}" for c in used)
        if len(used) == 2:
            yield f"{suite} B - A: {wording.more(used[0].tokens, used[1].tokens, used[0].cost_usd, used[1].cost_usd)}"


def sorted_ends(row: Row) -> tuple[float | None, float | None]:
    """Give worst and best case as an interval; both open where there are no bounds."""
    if row.worst is None or row.best is None:
        return None, None
    return min(row.worst, row.best), max(row.worst, row.best)


def _print_ranks(found: Comparison) -> None:
    for suite in dict.fromkeys(rank.suite for rank in found.ranks):
        unit = next(row.unit for row in found.pairs if row.suite == suite and row.headline)
        rows = [
            (
                rank.model,
                rank.run,
                wording.amount(rank.value, unit),
                _places(rank.rank_low, rank.rank_high),
                rank.groups,
            )
            for rank in found.ranks
            if rank.suite == suite
        ]
        columns = [
            Column("model"),
            Column("run", drop=1),
            Column("score", right=True),
            Column("rank", right=True),
            Column("group"),
        ]
        common.table(suite, columns, rows)
    common.say("runs that share a group letter are not significantly different")


def _places(low: int, high: int) -> str:
    return str(low) if low == high else f"{low} to {high}"


def as_markdown(found: Comparison, shown: Sequence[Row]) -> list[str]:
    """Write a comparison as Markdown, the sentence first."""
    from evals.terminal.molecules import flip_lines
    from evals.verdicts.summary import changed, discordant, sentences

    lines = [f"**Not comparable:** {'; '.join(found.why_not)}", ""] if not found.comparable else []
    lines += [f"**{wording.markdown_text(line)}**" for line in sentences(found)]
    lines += [""] if found.pairs else []
    for a, b in dict.fromkeys((row.a, row.b) for row in found.pairs):
        rows = [row for row in shown if (row.a, row.b) == (a, b)]
        names = (wording.markdown_text(name) for name in (rows[0].model_a, a, rows[0].model_b, b))
        lines += ["A: {} ({}), B: {} ({})".format(*names), ""]
        lines += [*wording.markdown_table(HEADINGS, map(_cells, rows)), ""]
    lines += [
        f"- {wording.markdown_text(line)}"
        for line in (*_methods(found), *_remarks(found), *found.notes, *changed(found.flips))
    ]
    if several := discordant(found.flips):
        lines += ["", f"{len(several)} samples score less or more:", ""]
        lines += [f"- {line}" for line in flip_lines(several, SHOWN, "changed samples", quote="`")]
    return lines
