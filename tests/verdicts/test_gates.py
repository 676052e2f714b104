"""The simulations of tests/performance/gates.py: wrong passes are as rare as promised, true ones as planned."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from tests.performance import gates

CI = 30
NIGHTLY = 2000
PARTS = pytest.mark.parametrize("part", [gates.cells, gates.of_policies], ids=["suites", "policies"])


def check(part: Callable[[int], Iterator[gates.Cell]], count: int) -> None:
    rows = list(part(count))
    print(*rows, sep="\n")
    assert gates.too_many(rows) == []
    assert [str(row) for row in rows if not row.as_forecast] == []


@pytest.mark.slow
@PARTS
def test_some_gates_pass_what_they_promise(part):
    check(part, CI)


@pytest.mark.nightly
@PARTS
def test_gates_pass_what_they_promise(part):
    check(part, NIGHTLY)
