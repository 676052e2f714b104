"""`evals compare`: paired comparison of runs."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from evals.commands import common
from evals.report.estimand_names import Estimand, describe_estimand
from evals.terminal.layout import Column
from evals.verdicts import formatting

if TYPE_CHECKING:
    from evals.verdicts.compare import Comparison, Row

MAX_SAMPLES = 20
"""Maximum number of changed samples listed on a terminal."""


@click.command()
@click.argument("runs", nargs=-1, required=True, metavar="A B [MORE...]", shell_complete=common.complete_runs)
@click.option("--suite", "suites", multiple=True, help="Only this suite; can be repeated.")
@click.option("--force", is_flag=True, help="Compare even if the runs are not comparable, and say so.")
@click.option("--by", type=click.Choice(["group"]), help="Also show the headline metric by group.")
@click.option(
    "--estimand",
    type=click.Choice(["items-like-these", "these-items", "this-run"]),
    default="items-like-these",
    show_default=True,
    help="Population of the inference: items like these, these items with new replies, or these replies.",
)
@click.option("--metrics", is_flag=True, help="Show all metrics, not only the headline.")
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

    Runs that differ in protocol, data or scorer are refused (exit status 2). More than two runs are also ranked.
    """
    from evals import api

    comparison = api.compare(
        *runs, results=results, suites=suites, force=force, latest=latest, estimand=estimand,
        detail=True if by or metrics else None,
    )  # fmt: skip
    rows = [row for row in comparison.pairs if (by == "group" if row.group else row.headline or metrics)]
    if as_json:
        common.print_json(comparison)
    elif not comparison.comparable and not force:
        for line in comparison.why_not:
            common.note(f"not comparable: {line}")
    elif markdown:
        click.echo("\n".join(as_markdown(comparison, rows)))
    else:
        _print(comparison, rows)
    return 0 if comparison.comparable or force else 2


def _cells(row: Row) -> tuple[str, ...]:
    return (
        f"  {row.group}" if row.group else row.suite,
        row.metric,
        formatting.format_amount(row.value_a, row.unit),
        formatting.format_amount(row.value_b, row.unit),
        formatting.format_amount(row.difference, row.unit, signed=True),
        formatting.format_interval(*row.adjusted_interval, row.unit),
        formatting.format_p(row.p),
        formatting.format_p(row.p_adjusted),
        "-" if row.wins is None else f"{row.wins} / {row.losses} / {row.ties}",
        formatting.format_items(row.n, row.repeats_a, row.repeats_b),
    )


def _rows_by_pair(rows: Sequence[Row]) -> dict[tuple[str, str, str, str], list[Row]]:
    """Group rows by the models and ids of their two runs; runs of several models may share an id."""
    by_pair: dict[tuple[str, str, str, str], list[Row]] = {}
    for row in rows:
        by_pair.setdefault((row.model_a, row.a, row.model_b, row.b), []).append(row)
    return by_pair


COLUMNS = (
    Column("suite"), Column("metric", drop=5), Column("A", right=True, drop=4), Column("B", right=True, drop=3),
    Column("B - A", right=True), Column("95 % interval", right=True), Column("p", right=True, drop=7),
    Column("p (Holm)", right=True, drop=2), Column("better / worse / same", right=True, drop=6),
    Column("n", right=True, drop=1),
)  # fmt: skip
"""Columns of a comparison; on a terminal that is too narrow, those with the highest `drop` are omitted first."""
COLUMNS_WITH_METRIC = tuple(
    column._replace(drop=0) if column.heading == "metric" else column for column in COLUMNS
)
"""The same columns, but the metric is never omitted."""


def _print(comparison: Comparison, rows_to_show: Sequence[Row]) -> None:
    from evals.terminal.molecules import flip_lines
    from evals.verdicts.comparison_text import changed_prediction_lines, discordant_samples, sentences

    if not comparison.comparable:
        common.say("not comparable: " + "; ".join(comparison.why_not))
    for line in sentences(comparison):
        common.say(line)
    for (model_a, a, model_b, b), rows in _rows_by_pair(rows_to_show).items():
        click.echo()
        common.say(f"A: {model_a} ({a})   B: {model_b} ({b})")
        one_metric = len({row.metric for row in rows}) == 1  # then `_method_lines` names it below the table
        common.table("", COLUMNS if one_metric else COLUMNS_WITH_METRIC, map(_cells, rows))
    if comparison.ranks:
        click.echo()
        _print_ranks(comparison)
    click.echo()
    for line in (*_method_lines(comparison), *_remark_lines(comparison), *comparison.notes):
        common.say(line)
    for line in changed_prediction_lines(comparison.flips):
        common.say(line)
    for line in flip_lines(
        discordant_samples(comparison.flips), MAX_SAMPLES, "changed samples (--json lists all)"
    ):
        common.say(f"  {line}")


def _method_lines(comparison: Comparison) -> Iterator[str]:
    headline_rows = [row for row in comparison.pairs if row.headline]
    adjusted = sum(row.low_adjusted is not None for row in headline_rows)
    metrics_by_method: dict[str, dict[str, None]] = {}
    for row in headline_rows:
        method = f"{row.test}, {describe_estimand(row.estimand)}"
        metrics_by_method.setdefault(method, {})[f"{row.suite} {row.metric}"] = None
    yield from (f"{', '.join(metrics)}: {method}" for method, metrics in metrics_by_method.items())
    if adjusted > 1:
        yield f"intervals beside a p (Holm) are adjusted too, for {adjusted} comparisons; --json also has the unadjusted ones"


def _remark_lines(comparison: Comparison) -> Iterator[str]:
    """Yield remarks on coverage, bounds for missing outcomes, repeatability limits, tokens and cost."""
    for row in comparison.pairs:
        if row.group or not row.headline:
            continue
        if row.coverage_a < 1 or row.coverage_b < 1:
            difference_bounds = formatting.format_interval(*missing_bounds(row), row.unit)
            yield (
                f"{row.suite}: coverage A {row.coverage_a:.4f}, B {row.coverage_b:.4f}; depending on the missing outcomes, "
                f"the difference lies in {difference_bounds}"
            )
        if (limit := comparison.noise.get(row.suite)) is not None:
            size = formatting.format_size(limit, row.unit)
            yield f"{row.suite}: 95 % of differences between two runs of one model are at most {size}"
    for suite in dict.fromkeys(run.suite for run in comparison.runs):
        runs = [run for run in comparison.runs if run.suite == suite]
        if not any(formatting.format_usage(run.tokens, run.cost_usd) for run in runs):
            continue
        line = "; ".join(
            f"{run.model}: {formatting.format_usage(run.tokens, run.cost_usd) or 'unknown'}" for run in runs
        )
        if len(runs) == 2:
            a, b = runs
            line += (
                f"; B - A: {formatting.format_usage_difference(a.tokens, b.tokens, a.cost_usd, b.cost_usd)}"
            )
        yield f"usage on {suite}: {line}"


def missing_bounds(row: Row) -> tuple[float | None, float | None]:
    """Return the lowest and highest difference that missing outcomes allow; (None, None) if the metric is unbounded."""
    if row.worst is None or row.best is None:
        return None, None
    return min(row.worst, row.best), max(row.worst, row.best)


def _print_ranks(comparison: Comparison) -> None:
    for suite in dict.fromkeys(rank.suite for rank in comparison.ranks):
        unit = next(row.unit for row in comparison.pairs if row.suite == suite and row.headline)
        rows = [
            (
                rank.model,
                rank.run,
                formatting.format_amount(rank.value, unit),
                _rank_range(rank.rank_low, rank.rank_high),
                rank.groups,
            )
            for rank in comparison.ranks
            if rank.suite == suite
        ]
        columns = [
            Column("model"), Column("run", drop=1), Column("score", right=True), Column("rank", right=True),
            Column("group"),
        ]  # fmt: skip
        common.table(suite, columns, rows)
    common.say("runs that share a group letter are not significantly different")


def _rank_range(low: int, high: int) -> str:
    return str(low) if low == high else f"{low} to {high}"


def as_markdown(comparison: Comparison, rows_to_show: Sequence[Row]) -> list[str]:
    """Return a comparison as Markdown lines."""
    from evals.terminal.molecules import flip_lines
    from evals.verdicts.comparison_text import changed_prediction_lines, discordant_samples, sentences

    lines = [f"**Not comparable:** {'; '.join(comparison.why_not)}", ""] if not comparison.comparable else []
    lines += [f"**{formatting.markdown_text(line)}**" for line in sentences(comparison)]
    lines += [""] if comparison.pairs else []
    for pair, rows in _rows_by_pair(rows_to_show).items():
        names = map(formatting.markdown_text, pair)
        lines += ["A: {} ({}), B: {} ({})".format(*names), ""]
        lines += [*formatting.markdown_table([column.heading for column in COLUMNS], map(_cells, rows)), ""]
    lines += [
        f"- {formatting.markdown_text(line)}"
        for line in (
            *_method_lines(comparison),
            *_remark_lines(comparison),
            *comparison.notes,
            *changed_prediction_lines(comparison.flips),
        )
    ]
    if samples := discordant_samples(comparison.flips):
        lines += ["", f"Samples with a different score ({len(samples)}):", ""]
        lines += [f"- {line}" for line in flip_lines(samples, MAX_SAMPLES, "changed samples", quote="`")]
    return lines
