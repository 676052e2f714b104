"""Statistics of the leaderboard: means over columns, and standings within a column."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from itertools import combinations
from math import erfc, hypot, sqrt

from evals.dashboard.tables.leaderboard import Board, Row
from evals.report.statistics import Interval, mean_of_parts, z_quantile
from evals.types import Estimate
from evals.verdicts import difference

ALPHA = 0.05
"""Significance level of standings."""


def averaging_fault(board: Board, labels: Sequence[str]) -> str:
    """Return why these columns cannot be averaged; empty if they can."""
    columns = [board.columns[label] for label in labels]
    if unsuitable_column := next((c for c in columns if c.unit != "fraction" or c.better == "lower"), None):
        return f"{unsuitable_column.suite} (in {unsuitable_column.unit}, {unsuitable_column.better} is better) cannot be averaged with fractions."
    for suite, count in Counter(column.suite for column in columns).items():
        if count > 1:
            return f"{suite} is selected several times (with different protocols, versions or data)."
    return ""


def mean(board: Board, row: Row, labels: Sequence[str]) -> Interval | None:
    """Return the mean of a row's scores in these columns, with its joint 95 % interval; None unless all are measured.

    The suites have different items, so the errors of their scores are independent, and the joint interval is MOVER's (Zou
    and Donner, Statistics in Medicine 27, 2008, 1693-1702).
    """
    estimates = [board.cells[row, label].estimate for label in labels if (row, label) in board.cells]
    if not labels or len(estimates) < len(labels):
        return None
    return mean_of_parts([Interval(e.value or 0.0, e.low, e.high, e.method) for e in estimates])


def standings(estimates: Mapping[Row, Estimate], *, better: str) -> dict[Row, float]:
    """Return each row's standing: 0 if it is significantly worse than all other rows, 1 if it is better than all.

    Differences are tested at 5 %, adjusted by Holm over all pairs, with MOVER's interval for independent estimates, which is
    conservative for models that answered the same items. Rows without an interval have no standing; if no difference is
    significant, no row has one.
    """
    scored_rows: list[tuple[Row, float, float, float]] = []
    for row, estimate in estimates.items():
        if estimate.value is not None and estimate.low is not None and estimate.high is not None:
            scored_rows.append((row, estimate.value, estimate.low, estimate.high))
    pairs = [(a, b) if a[1] >= b[1] else (b, a) for a, b in combinations(scored_rows, 2)]
    p_values = difference.holm(
        [mover_p_value(a[1] - b[1], below=a[1] - a[2], above=b[3] - b[1]) for a, b in pairs]
    )
    significant_pairs = [(a[0], b[0]) for (a, b), p in zip(pairs, p_values, strict=True) if p <= ALPHA]
    if not significant_pairs:
        return {}
    higher, lower = (Counter(pair[i] for pair in significant_pairs) for i in (0, 1))
    sign = 1 if better == "higher" else -1
    opponents = len(scored_rows) - 1
    return {row: 0.5 + sign * (higher[row] - lower[row]) / (2 * opponents) for row, *_ in scored_rows}


def mover_p_value(gap: float, *, below: float, above: float) -> float:
    """Return the p-value of the difference `gap` of two independent estimates, from their 95 % intervals (MOVER).

    `below`: the higher estimate minus its lower limit; `above`: the lower estimate's upper limit minus the estimate.
    """
    half_width = hypot(below, above)
    return erfc(z_quantile(0.975) * gap / half_width / sqrt(2)) if half_width else float(gap == 0)
