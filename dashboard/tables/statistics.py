"""Statistics of the leaderboard: means over several columns, standings within one, numbers with their intervals."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from itertools import combinations
from math import erfc, sqrt
from typing import NamedTuple

from evals.dashboard.tables.leaderboard import Board, Row
from evals.types import Estimate
from evals.verdicts import difference

ALPHA = 0.05


class Mean(NamedTuple):
    """A mean over several columns with its joint 95 % interval."""

    value: float
    low: float | None
    high: float | None


def mean_refused(board: Board, labels: Sequence[str]) -> str:
    """Return why there is no mean over these columns; empty if there is."""
    columns = [board.columns[label] for label in labels]
    if odd := next((c for c in columns if c.unit != "fraction" or c.better == "lower"), None):
        return f"{odd.suite} is measured in {odd.unit}, {odd.better} is better: it cannot be averaged with fractions."
    twice = [name for name, count in Counter(c.suite for c in columns).items() if count > 1]
    return f"{twice[0]} is chosen twice, under several protocols or data." if twice else ""


def mean(board: Board, row: Row, labels: Sequence[str]) -> Mean | None:
    """Average a row's cells; None unless all of them are measured.

    The suites' items are different ones, so their errors are independent: each side of the joint interval is the root
    of the summed squares of that side's distances (Zou and Donner, Statistics in Medicine 27, 2008, 1693-1702).
    """
    estimates = [board.cells[row, label].estimate for label in labels if (row, label) in board.cells]
    if not labels or len(estimates) < len(labels):
        return None
    return joint([(e.value or 0.0, e.low, e.high) for e in estimates])


def joint(parts: Sequence[tuple[float, float | None, float | None]]) -> Mean:
    """Average independent numbers given with their intervals."""
    value = sum(part for part, _, _ in parts) / len(parts)
    if any(low is None or high is None for _, low, high in parts):
        return Mean(value, None, None)
    down = sqrt(sum((part - low) ** 2 for part, low, _ in parts if low is not None)) / len(parts)
    up = sqrt(sum((high - part) ** 2 for part, _, high in parts if high is not None)) / len(parts)
    return Mean(value, value - down, value + up)


def figure(value: float | None, low: float | None, high: float | None, unit: str) -> str:
    """Return a number with its interval, without its unit: `43.6 ±0.9`, or `12.5 +23.5 −9.0` if it is asymmetric.

    >>> figure(0.4358, 0.4270, 0.4447, "fraction")
    '43.6 ±0.9'
    >>> figure(0.125, 0.035, 0.36, "fraction")
    '12.5 +23.5 −9.0'
    """
    if value is None:
        return ""
    scale = 100.0 if unit == "fraction" else 1.0
    if low is None or high is None:
        return f"{scale * value:.1f}" if unit == "fraction" else f"{value:.4g}"
    down, up = scale * (value - low), scale * (high - value)
    digits = 1 if unit == "fraction" else decimals(max(down, up))
    shown = f"{scale * value:.{digits}f}"
    if abs(up - down) <= max(0.1 * (up + down), 1.01 * 10**-digits):
        return f"{shown} ±{(down + up) / 2:.{digits}f}"
    return f"{shown} +{up:.{digits}f} −{down:.{digits}f}"


def decimals(half: float) -> int:
    """Return the decimals that show two figures of an interval's half width."""
    digits = 0
    while half and half < 10 and digits < 6:
        half, digits = half * 10, digits + 1
    return digits


def standing(estimates: Mapping[Row, Estimate], *, better: str) -> dict[Row, float]:
    """Return each row's standing from 0 (shown to be worse than all others) to 1; empty if no difference is shown.

    Two rows differ if the 95 % interval of their difference excludes 0 after Holm over all pairs. The difference is
    taken as of independent estimates, from each side's distance to its limit (Zou and Donner 2008): conservative for
    models that answered the same items. Rows without an interval have no standing.
    """
    known: list[tuple[Row, float, float, float]] = []
    for row, e in estimates.items():
        if e.value is not None and e.low is not None and e.high is not None:
            known.append((row, e.value, e.low, e.high))
    pairs = [(a, b) if a[1] >= b[1] else (b, a) for a, b in combinations(known, 2)]
    adjusted = difference.holm([_p_equal(above, below) for above, below in pairs])
    shown = [(a[0], b[0]) for (a, b), p in zip(pairs, adjusted, strict=True) if p <= ALPHA]
    above, below = Counter(row for row, _ in shown), Counter(row for _, row in shown)
    sign = 1 if better == "higher" else -1
    if not shown:
        return {}
    most = len(known) - 1
    return {row: 0.5 + sign * (above[row] - below[row]) / (2 * most) for row, *_ in known}


def _p_equal(above: tuple[Row, float, float, float], below: tuple[Row, float, float, float]) -> float:
    (_, high_value, high_low, _), (_, low_value, _, low_high) = above, below
    half = sqrt((high_value - high_low) ** 2 + (low_high - low_value) ** 2)
    apart = high_value - low_value
    return erfc(1.959964 * apart / half / sqrt(2)) if half else float(apart == 0)
