"""Metrics over points whose answer can be worked out by hand."""

from __future__ import annotations

from itertools import combinations

import pytest

from evals.report.metrics import (
    MajAt,
    PassAt,
    accuracy,
    accuracy_guess,
    at_repeats,
    guessed_value,
    mean_value,
    repeat_metrics,
)
from evals.types import Point
from tests.support.tables import table
from tests.support.toy import point


def answers(*given: str | None, right: str = "7") -> list[Point]:
    """Repeats of one sample; None: no answer."""
    return [
        point(
            "q",
            float(a == right),
            repeat=i,
            answer=a,
            verdict="unanswered" if a is None else "",
        )
        for i, a in enumerate(given)
    ]


def test_the_mean_leaves_out_what_could_not_be_measured() -> None:
    assert mean_value([point("1", 1.0), point("2", None), point("3", 0.0)]) == 0.5


@pytest.mark.parametrize("points", [[], [point("1", None)]], ids=["none", "unmeasured"])
def test_the_mean_of_nothing_is_an_error(points: list[Point]) -> None:
    with pytest.raises(ValueError, match="no values to average"):
        mean_value(points)


@pytest.mark.parametrize(
    ("verdict", "options", "expected"),
    [
        ("unanswered", 4, 0.25),
        ("truncated", 10, 0.1),
        ("refused", 3, 1 / 3),
        ("unanswered", 0, 0.0),  # a free-form answer is not guessed
        ("wrong", 4, 0.0),
        ("invalid", 4, 0.0),
    ],
)
def test_a_guess_counts_its_expectation(verdict: str, options: int, expected: float) -> None:
    assert guessed_value([point("1", 0.0, verdict=verdict, options=options)]) == expected


def test_a_right_answer_is_no_guess() -> None:
    assert guessed_value([point("1", 1.0), point("2", 0.0, verdict="unanswered")]) == 0.625


@table("right", range(5))
@table("k", range(1, 5))
def test_pass_at_k_is_the_share_of_subsets_with_a_right_one(right: int, k: int) -> None:
    flags = [i < right for i in range(4)]
    subsets = list(combinations(flags, k))
    points = answers(*("7" if flag else "8" for flag in flags))
    assert PassAt(k)(points) == pytest.approx(sum(map(any, subsets)) / len(subsets))


def test_pass_at_k_wants_k_repeats() -> None:
    with pytest.raises(ValueError, match="n=3"):
        PassAt(4)(answers("7", "7", "8"))


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        (("7", "7", "8"), 1.0),
        (("7", "8", "8"), 0.0),
        (("7", "8"), 0.5),
        (("7", "8", "9", "7", "8"), 0.5),
        (("7", None, None), 1.0),  # silence does not vote
        ((None, None), 0.0),
        (("8", "9", "7"), 1 / 3),
    ],
)
def test_a_majority_decides_and_ties_fall_evenly(given: tuple[str | None, ...], expected: float) -> None:
    assert MajAt()(answers(*given)) == pytest.approx(expected)


def test_maj_at_k_wants_k_repeats() -> None:
    with pytest.raises(ValueError, match="2 repeats, maj@4 needs 4"):
        MajAt(4)(answers("7", "7"))


def test_maj_at_k_of_fewer_is_the_mean_over_subsets() -> None:
    # of the pairs of 7 7 8: one is 7 7 (right), two are 7 8 (a tie)
    assert MajAt(2)(answers("7", "7", "8")) == pytest.approx((1 + 0.5 + 0.5) / 3)


@pytest.mark.parametrize("at", [0.0, 1.0])
def test_a_missing_repeat_bounds_the_vote_from_both_sides(at: float) -> None:
    points = [*answers("7", "7"), point("q", at, repeat=2, verdict="missing")]
    assert MajAt(3)(points) == at


def test_at_k_becomes_the_runs_repeats() -> None:
    found = {m.name: m for m in at_repeats(repeat_metrics(), 4)}
    assert list(found) == ["avg@4", "pass@4", "maj@4", "pass@2"]
    assert [m.name for m in found.values() if m.headline] == ["avg@4"]
    points = answers("7", "8", "8", "8")
    assert found["pass@4"].of(points) == 1.0
    assert found["pass@2"].of(points) == pytest.approx(0.5)
    with pytest.raises(ValueError, match="maj@4"):
        found["maj@4"].of(points[:3])


def test_one_repeat_has_neither_pass_nor_majority() -> None:
    assert [m.name for m in at_repeats(repeat_metrics(), 1)] == ["avg@1"]


@pytest.mark.parametrize("macro", [True, False])
def test_exactly_one_accuracy_is_the_headline(macro: bool) -> None:
    micro, by_group = accuracy(macro=macro)
    assert (micro.headline, by_group.headline) == (not macro, macro)
    assert (micro.pool, by_group.pool) == ("micro", "macro")
    assert not accuracy_guess(macro=macro).headline
