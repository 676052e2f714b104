"""Metrics over points whose expected values can be computed by hand."""

from __future__ import annotations

from itertools import combinations

import pytest

from evals.report.metrics import (
    MajAt,
    PassAt,
    accuracy,
    accuracy_guess,
    at_repeats,
    mean_value,
    mean_with_guesses,
    repeat_metrics,
)
from evals.types import Point
from tests.support.error_messages import raises
from tests.support.tables import table
from tests.support.toy import point


def repeats_of(*answers: str | None, right: str = "7") -> list[Point]:
    """Return the repeats of one sample with these answers; None: no answer."""
    return [
        point(
            "q",
            float(answer == right),
            repeat=i,
            answer=answer,
            verdict="unanswered" if answer is None else "",
        )
        for i, answer in enumerate(answers)
    ]


def test_the_mean_excludes_points_without_a_value() -> None:
    assert mean_value([point("1", 1.0), point("2", None), point("3", 0.0)]) == 0.5


@pytest.mark.parametrize("points", [[], [point("1", None)]], ids=["none", "unmeasured"])
def test_a_mean_without_values_is_an_error(points: list[Point]) -> None:
    with raises(ValueError):
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
def test_accuracy_with_guessing_counts_the_expected_value_of_a_guess(
    verdict: str, options: int, expected: float
) -> None:
    assert mean_with_guesses([point("1", 0.0, verdict=verdict, options=options)]) == expected


def test_accuracy_with_guessing_counts_right_answers_as_they_are() -> None:
    assert mean_with_guesses([point("1", 1.0), point("2", 0.0, verdict="unanswered")]) == 0.625


@table("right", range(5))
@table("k", range(1, 5))
def test_pass_at_k_is_the_share_of_subsets_with_a_right_answer(right: int, k: int) -> None:
    flags = [i < right for i in range(4)]
    subsets = list(combinations(flags, k))
    points = repeats_of(*("7" if flag else "8" for flag in flags))
    assert PassAt(k)(points) == pytest.approx(sum(map(any, subsets)) / len(subsets))


def test_pass_at_k_requires_k_repeats() -> None:
    with raises(ValueError):
        PassAt(4)(repeats_of("7", "7", "8"))


@pytest.mark.parametrize(
    ("answers", "expected"),
    [
        (("7", "7", "8"), 1.0),
        (("7", "8", "8"), 0.0),
        (("7", "8"), 0.5),
        (("7", "8", "9", "7", "8"), 0.5),
        (("7", None, None), 1.0),  # a repeat without an answer has no vote
        ((None, None), 0.0),
        (("8", "9", "7"), 1 / 3),
    ],
)
def test_maj_is_the_value_of_the_majority_and_ties_are_shared_equally(
    answers: tuple[str | None, ...], expected: float
) -> None:
    assert MajAt()(repeats_of(*answers)) == pytest.approx(expected)


def test_maj_at_k_requires_k_repeats() -> None:
    with raises(ValueError):
        MajAt(4)(repeats_of("7", "7"))


def test_maj_at_k_of_more_than_k_repeats_is_the_mean_over_subsets() -> None:
    # of the pairs of 7 7 8: one is 7 7 (right), two are 7 8 (a tie)
    assert MajAt(2)(repeats_of("7", "7", "8")) == pytest.approx((1 + 0.5 + 0.5) / 3)


@pytest.mark.parametrize("assumed", [0.0, 1.0])
def test_a_missing_repeat_counts_in_maj_at_k_as_the_bound_assumes(assumed: float) -> None:
    points = [*repeats_of("7", "7"), point("q", assumed, repeat=2, verdict="missing")]
    assert MajAt(3)(points) == assumed


def test_k_is_replaced_by_the_repeats_of_the_run() -> None:
    metrics = {m.name: m for m in at_repeats(repeat_metrics(), 4)}
    assert list(metrics) == ["avg@4", "pass@4", "maj@4", "pass@2"]
    assert [m.name for m in metrics.values() if m.headline] == ["avg@4"]
    points = repeats_of("7", "8", "8", "8")
    assert metrics["pass@4"].of(points) == 1.0
    assert metrics["pass@2"].of(points) == pytest.approx(0.5)
    with raises(ValueError):
        metrics["maj@4"].of(points[:3])


def test_with_one_repeat_there_is_neither_pass_nor_maj() -> None:
    assert [m.name for m in at_repeats(repeat_metrics(), 1)] == ["avg@1"]


@pytest.mark.parametrize("macro", [True, False])
def test_exactly_one_accuracy_is_the_headline(macro: bool) -> None:
    micro, by_group = accuracy(macro=macro)
    assert (micro.headline, by_group.headline) == (not macro, macro)
    assert (micro.pool, by_group.pool) == ("micro", "macro")
    assert not accuracy_guess(macro=macro).headline
