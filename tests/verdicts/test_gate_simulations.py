"""Simulations of tests/performance/gates.py: false passes are at most as frequent as alpha, true passes as forecast."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from tests.performance import gates

CI_SIMULATION_COUNT = 30
NIGHTLY_SIMULATION_COUNT = 2000
SIMULATIONS = pytest.mark.parametrize(
    "simulate", [gates.suite_cells, gates.policy_cells], ids=["suites", "policies"]
)


def check(simulate: Callable[[int], Iterator[gates.Cell]], count: int) -> None:
    rows = list(simulate(count))
    print(*rows, sep="\n")
    assert gates.excess_false_passes(rows) == []
    assert [str(row) for row in rows if not row.matches_forecast] == []


@pytest.mark.slow
@SIMULATIONS
def test_in_few_simulations_gates_pass_as_often_as_they_should(simulate):
    check(simulate, CI_SIMULATION_COUNT)


@pytest.mark.nightly
@SIMULATIONS
def test_gates_pass_as_often_as_they_should(simulate):
    check(simulate, NIGHTLY_SIMULATION_COUNT)
