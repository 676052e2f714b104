"""A tenth of the simulations of tests/performance/gates.py: wrong passes are as rare as promised, true ones as planned."""

from __future__ import annotations

import pytest

from evals.verdicts.difference import holm
from tests.performance import gates


@pytest.mark.slow
def test_gates_pass_what_they_promise():
    found = [
        gates.cell(suite, repeats, estimand, 200)
        for suite in gates.SUITES[:3]
        for repeats, estimand in ((1, "items-like-these"), (4, "items-like-these"), (4, "these-items"))
    ]
    assert min(holm([one.p_wrong for one in found])) > 0.01
    assert [one for one in found if not one.as_forecast] == []
