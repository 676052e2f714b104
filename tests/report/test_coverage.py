"""A part of the simulations of tests/performance/coverage.py: coverage of intervals, and false passes of a gate."""

from __future__ import annotations

import pytest

from tests.performance import coverage
from tests.support.sizes import size


@pytest.mark.slow
@pytest.mark.parametrize(
    "simulate", [coverage.means, coverage.macro, coverage.whole], ids=["means", "macro", "whole"]
)
def test_intervals_have_the_nominal_coverage(simulate):
    assert [cell for cell in simulate(size(60, 200)) if not cell.is_covered] == []


@pytest.mark.slow
def test_a_loss_at_the_margin_passes_at_a_rate_of_at_most_alpha():
    gates = size(120, 400)
    tolerance = 3 * (0.05 * 0.95 / gates) ** 0.5
    assert [cell for cell in coverage.gate(gates) if cell[1] > 0.05 + tolerance] == []
