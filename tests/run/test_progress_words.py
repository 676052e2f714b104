"""A pace and a time left that say something, however slow a model is."""

from __future__ import annotations

import pytest

from evals.run.progress import duration, pace
from evals.verdicts.wording import p_equals


@pytest.mark.parametrize(
    ("count", "seconds", "said"),
    [(30, 10.0, "3.0/s"), (3, 60.0, "3.0/min"), (1, 600.0, "6/h"), (0, 5.0, "0.0/s")],
)
def test_a_slow_pace_is_not_rounded_to_nothing(count: int, seconds: float, said: str) -> None:
    assert pace(count, seconds) == said


@pytest.mark.parametrize(
    ("seconds", "said"),
    [(0.2, "0 s"), (42, "42 s"), (750, "12 min"), (7500, "2 h 05 min"), (360_000, "100 h 00 min")],
)
def test_a_time_left_is_for_people(seconds: float, said: str) -> None:
    assert duration(seconds) == said


def test_a_p_value_is_never_zero() -> None:
    assert [p_equals(p) for p in (0.0, 1e-9, 0.012, 1.0)] == [
        "p < 0.0001",
        "p < 0.0001",
        "p = 0.012",
        "p = 1",
    ]
