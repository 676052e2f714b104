"""The pivot's cells: a score with both sides of its interval."""

from __future__ import annotations

import pytest

from evals.terminal.pivot import _score_with_interval
from evals.types import Estimate


@pytest.mark.parametrize(
    ("value", "low", "high", "cell"),
    [(0.5, 0.48, 0.52, "50.0 ±2.0"), (0.989, 0.958, 0.996, "98.9 +0.7 −3.1"), (0.5, None, None, "50.0")],
)
def test_an_interval_with_two_sides_shows_both(
    value: float, low: float | None, high: float | None, cell: str
) -> None:
    head = Estimate(
        metric="accuracy", group="", value=value, low=low, high=high, worst=None, best=None, n=100, clusters=100,
        unit="fraction", better="higher", method="Wilson", headline=True,
    )  # fmt: skip
    assert _score_with_interval(head).startswith(cell)
