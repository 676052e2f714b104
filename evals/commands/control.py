"""`evals show RUN --control RUN`: a subset's score, adjusted by other models' results on all items."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from evals.commands import common
from evals.report.estimand_names import describe_estimand
from evals.report.statistics import Interval
from evals.terminal.layout import Column, table, width

if TYPE_CHECKING:
    from evals.verdicts.control_variates import AdjustedScore

COLUMNS = (
    Column("estimate of the score on all items"), Column("value", right=True), Column("95 %", right=True),
    Column("items", right=True),
)  # fmt: skip


def show(run: str, controls: Sequence[str], results: Path, *, as_json: bool) -> None:
    """Print the unadjusted and the adjusted score of each suite of a run."""
    from evals.verdicts import control_variates, suite_runs

    adjusted = [
        control_variates.adjust(
            suite_run,
            [suite_runs.load_named_runs(results, name, suites=[suite_run.suite])[0] for name in controls],
        )
        for suite_run in suite_runs.load_named_runs(results, run)
    ]
    if as_json:
        common.print_json([{**score._asdict(), "worth": score.equivalent_items} for score in adjusted])
        return
    for score in adjusted:
        _print(score)


def _print(score: AdjustedScore) -> None:
    title = f"{score.suite}: {score.model} on {score.n:,} of {score.population:,} items ({score.metric})"
    rows = [
        ["subset, unadjusted", *_cells(score.unadjusted, score.unit), f"{score.n:,}"],
        [
            f"adjusted by {', '.join(score.controls)}",
            *_cells(score.adjusted, score.unit),
            f"equivalent to {score.equivalent_items:,}",
        ],
    ]
    common.print_lines(table(COLUMNS, [(title, rows)], width()))
    common.say(
        f"The variance is {score.variance_ratio:.2f} times that without adjustment. Intervals: {describe_estimand(score.estimand)}."
    )


def _cells(interval: Interval, unit: str) -> list[str]:
    if unit == "fraction":
        value, limits = f"{100 * interval.value:.1f} %", [100 * (limit or 0.0) for limit in interval[1:3]]
        return [value, f"{limits[0]:.1f} to {limits[1]:.1f}"]
    return [f"{interval.value:.4g} {unit}", f"{interval.low:.4g} to {interval.high:.4g}"]
