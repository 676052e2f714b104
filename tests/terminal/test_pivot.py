"""Cells of the pivot table: a score with its interval."""

from __future__ import annotations

import pytest

from evals.plain import format_with_interval


@pytest.mark.parametrize(
    ("value", "low", "high", "cell"),
    [
        (0.5, 0.48, 0.52, "50.0 ±2.0"),
        (0.989, 0.958, 0.996, "98.9 +0.7 −3.1"),
        (0.5, None, None, "50.0"),
        (0.90123, 0.90093, 0.90153, "90.12 ±0.03"),
        (None, None, None, ""),
    ],
)
def test_a_cell_shows_both_half_widths_of_an_asymmetric_interval(
    value: float | None, low: float | None, high: float | None, cell: str
) -> None:
    assert format_with_interval(value, low, high, "fraction") == cell
