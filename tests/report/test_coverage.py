"""A part of the simulations of tests/performance/coverage.py: intervals hold what they promise."""

from __future__ import annotations

import pytest

from tests.performance import coverage
from tests.support.sizes import size


@pytest.mark.slow
@pytest.mark.parametrize(
    "part", [coverage.means, coverage.macro, coverage.whole], ids=["means", "macro", "whole"]
)
def test_intervals_cover_what_they_promise(part):
    assert [cell for cell in part(size(60, 200)) if not cell.is_covered] == []


@pytest.mark.slow
def test_a_loss_at_the_margin_passes_as_seldom_as_promised():
    gates = size(120, 400)
    slack = 3 * (0.05 * 0.95 / gates) ** 0.5
    assert [cell for cell in coverage.gate(gates) if cell[1] > 0.05 + slack] == []
