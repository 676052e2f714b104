"""`evals compare`: is B worse than A? Paired, sample by sample."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from evals.commands import common
from evals.verdicts import wording

if TYPE_CHECKING:
    from collections.abc import Iterator

    from evals.verdicts.compare import Comparison, Row

SHOWN = 20
"""Flipped samples that a terminal shows."""


@click.command()
@click.argument("runs", nargs=-1, required=True, metavar="A B [MORE...]")
@click.option("--suite", "suites", multiple=True, help="Only this suite; repeat for several.")
@click.option("--force", is_flag=True, help="Compare what is not comparable, and say so.")
@click.option("--by", type=click.Choice(["group"]), help="Show the headline's groups too.")
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
    markdown: bool,
    latest: bool,
    results: Path,
    as_json: bool,
) -> int:
    """Compare runs (ids, folders or baseline files) sample by sample; differences are B minus A.

    Refuses (exit status 2) what differs in protocol, data or scorer. More than two runs are ranked.
    """
    found = _compare(runs, suites, results, force=force, latest=latest)
    if as_json:
        common.print_json(found)
    elif not found.comparable and not force:
        for line in found.why_not:
            common.note(f"not comparable: {line}")
    elif markdown:
        click.echo("\n".join(as_markdown(found, by_group=by == "group")))
    else:
        _print(found, by_group=by == "group")
    return 0 if found.comparable or force else 2


def _compare(
    runs: tuple[str, ...], suites: tuple[str, ...], results: Path, *, force: bool, latest: bool
) -> Comparison:
    from evals import api

    return api.compare(*runs, results=results, suites=suites, force=force, latest=latest)


HEADINGS = (
    "suite",
    "metric",
    "A",
    "B",
    "B - A",
    "95 % interval",
    "p",
    "adjusted",
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
        wording.interval(row.low, row.high, row.unit),
        wording.p_value(row.p),
        wording.p_value(row.p_adjusted),
        wording.tally(row.wins, row.losses, row.ties),
        str(row.n),
    )


def _rows(found: Comparison, *, by_group: bool) -> list[Row]:
    return [row for row in found.pairs if not row.group or by_group]


def _print(found: Comparison, *, by_group: bool) -> None:
    if not found.comparable:
        click.echo("not comparable: " + "; ".join(found.why_not))
    columns = [(name, "left" if i < 2 else "right") for i, name in enumerate(HEADINGS)]
    names = list(dict.fromkeys((row.a, row.b) for row in found.pairs))
    for a, b in names:
        rows = [row for row in _rows(found, by_group=by_group) if (row.a, row.b) == (a, b)]
        title = f"A: {rows[0].model_a} ({a})   B: {rows[0].model_b} ({b})"
        common.table(title, columns, map(_cells, rows))
    for line in (*_remarks(found), *found.notes):
        click.echo(line)
    if found.ranks:
        _print_ranks(found)
    for suite, ladder in found.ladders.items():
        kinds = ", ".join(f"{count} {kind}" for kind, count in ladder.items())
        click.echo(f"{suite} flips: {kinds or 'none'}")
    for line in wording.cut(
        [wording.flip_line(flip) for flip in found.flips], SHOWN, "flips (--json has all)"
    ):
        click.echo(f"  {line}")


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
            ("model", "left"),
            ("run", "left"),
            ("score", "right"),
            ("rank", "right"),
            ("alike", "left"),
        ]
        common.table(suite, columns, rows)
    click.echo("runs that share a letter cannot be told apart")


def _places(low: int, high: int) -> str:
    return str(low) if low == high else f"{low} to {high}"


def as_markdown(found: Comparison, *, by_group: bool) -> list[str]:
    """Write a comparison as Markdown."""
    lines = [f"**Not comparable:** {'; '.join(found.why_not)}", ""] if not found.comparable else []
    for a, b in dict.fromkeys((row.a, row.b) for row in found.pairs):
        rows = [row for row in _rows(found, by_group=by_group) if (row.a, row.b) == (a, b)]
        lines += [f"A: {rows[0].model_a} (`{a}`), B: {rows[0].model_b} (`{b}`)", ""]
        lines += [*wording.markdown_table(HEADINGS, map(_cells, rows)), ""]
    lines += [f"- {line}" for line in (*_remarks(found), *found.notes)]
    if found.flips:
        lines += ["", f"{len(found.flips)} flipped samples:", ""]
        lines += [
            f"- {line}"
            for line in wording.cut([wording.flip_line(f, quote="`") for f in found.flips], SHOWN, "flips")
        ]
    return lines
