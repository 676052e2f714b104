"""Estimates from records; every expected number can be computed by hand."""

from __future__ import annotations

import statistics
from collections.abc import Sequence

import pytest

from evals.records.files import CompactRecord
from evals.report import statistics as stats
from evals.report.estimates import Golds, Summary, summarize
from evals.report.metrics import accuracy, accuracy_guess, mean_value, repeat_metrics
from evals.types import Estimate, Failure, Metric, Point, Score
from tests.support.toy import MAE, compact_record, gold_answers


def summary_of(
    records: Sequence[CompactRecord],
    gold: Golds,
    metrics: Sequence[Metric] | None = None,
    *,
    repeats: int = 1,
) -> Summary:
    return summarize(records, gold, metrics or accuracy(), scorers=("exact",), repeats=repeats)


def estimate_of(summary: Summary, metric: str, group: str = "") -> Estimate:
    (estimate,) = (e for e in summary.estimates if (e.metric, e.group) == (metric, group))
    return estimate


def test_the_bounds_of_a_complete_run_are_its_value() -> None:
    summary = summary_of([compact_record("a", 1.0), compact_record("b", 0.0)], gold_answers("ab"))
    estimate = estimate_of(summary, "accuracy")
    assert (estimate.value, estimate.worst, estimate.best) == (0.5, 0.5, 0.5)
    assert (summary.coverage, summary.expected, summary.counts) == (1.0, 2, {"right": 1, "wrong": 1})


def test_failures_and_absent_samples_are_excluded_from_the_mean_and_widen_its_bounds() -> None:
    summary = summary_of(
        [compact_record("a", 1.0), compact_record("b", 0.0), compact_record("c", None)], gold_answers("abcd")
    )
    estimate = estimate_of(summary, "accuracy")
    assert (estimate.value, estimate.worst, estimate.best) == (0.5, 0.25, 0.75)
    assert (estimate.n, estimate.clusters) == (2, 2)
    assert summary.coverage == 0.5
    assert summary.counts == {"absent": 1, "failed:timeout": 1, "right": 1, "wrong": 1}


def test_records_beyond_the_runs_repeats_do_not_count() -> None:
    records = [
        compact_record("a", 1.0),
        compact_record("a", 0.0, repeat=1),
        compact_record("a", 0.0, repeat=-1),
    ]
    summary = summary_of(records, gold_answers("a"))
    assert (summary.coverage, summary.counts) == (1.0, {"right": 1})
    assert estimate_of(summary, "accuracy").value == 1.0


@pytest.mark.parametrize("verdict", ["wrong", "invalid", "unanswered", "refused", "truncated"])
def test_all_verdicts_on_replies_count_in_the_mean(verdict: str) -> None:
    summary = summary_of(
        [compact_record("a", 1.0), compact_record("b", 0.0, verdict=verdict)], gold_answers("ab")
    )
    assert estimate_of(summary, "accuracy").value == 0.5
    assert summary.coverage == 1.0
    assert summary.counts[verdict] == 1


def test_an_error_in_a_scorer_is_a_failure_without_a_score() -> None:
    failed = CompactRecord(
        sample="b",
        repeat=0,
        scores={"exact": Failure(stage="scorer", kind="crash", message="KeyError")},
        stop="stop",
    )
    summary = summary_of([compact_record("a", 1.0), failed], gold_answers("ab"))
    assert summary.counts == {"failed:crash": 1, "right": 1}
    assert (estimate_of(summary, "accuracy").value, summary.coverage) == (1.0, 0.5)


def test_every_truncated_reply_is_counted_whatever_its_verdict() -> None:
    records = [
        compact_record("a", 1.0, stop="length"),
        compact_record("b", 0.0, verdict="truncated", stop="length"),
        compact_record("c", 0.0),
    ]
    assert summary_of(records, gold_answers("abc")).truncated == 2


def test_replies_without_a_score_are_counted_as_replies() -> None:
    failed = Failure(stage="scorer", kind="unreadable", message="no verdict")
    records = [
        compact_record("a", 1.0),
        CompactRecord(sample="b", repeat=0, scores={"exact": failed}, stop="length"),
        compact_record("c", None),
    ]
    summary = summary_of(records, gold_answers("abcd"))
    assert (summary.replies, summary.truncated, summary.expected) == (2, 1, 4)


def test_tokens_are_summed_over_replies() -> None:
    records = [compact_record("a", 1.0), compact_record("b", 0.0), compact_record("c", None)]
    assert summary_of(records, gold_answers("abc")).tokens == {"input": 20, "output": 10}


def test_records_of_unexpected_samples_are_ignored() -> None:
    summary = summary_of([compact_record("a", 1.0), compact_record("unexpected", 1.0)], gold_answers("ab"))
    assert (summary.counts, summary.coverage) == ({"absent": 1, "right": 1}, 0.5)


def test_without_scores_there_are_bounds_but_no_value() -> None:
    summary = summary_of([compact_record("a", None), compact_record("b", None)], gold_answers("ab"))
    estimate = estimate_of(summary, "accuracy")
    assert (estimate.value, estimate.low, estimate.high) == (None, None, None)
    assert (estimate.worst, estimate.best, estimate.n) == (0.0, 1.0, 0)
    assert estimate.method == "nothing scored"
    assert summary.coverage == 0.0


def test_a_run_without_samples_does_not_divide_by_zero() -> None:
    summary = summary_of([], {})
    assert (summary.coverage, summary.expected) == (0.0, 0)
    assert {e.value for e in summary.estimates} == {None}


def test_a_binary_mean_of_single_samples_has_a_wilson_interval() -> None:
    names = [f"{i}" for i in range(10)]
    estimate = estimate_of(
        summary_of([compact_record(n, float(i < 8)) for i, n in enumerate(names)], gold_answers(names)),
        "accuracy",
    )
    expected = stats.proportion(8, 10)
    assert (estimate.value, estimate.low, estimate.high, estimate.method) == expected


def test_repeats_of_a_sample_are_one_cluster() -> None:
    names = [f"{i}" for i in range(8)]
    values = [1, 1, 1, 0, 1, 0, 0, 0]
    # four equal replies to each sample are no more evidence than one
    four_each = [compact_record(n, float(v), r) for n, v in zip(names, values, strict=True) for r in range(4)]
    one_each = [compact_record(n, float(v)) for n, v in zip(names, values, strict=True)]
    repeated_run = estimate_of(summary_of(four_each, gold_answers(names), repeats=4), "accuracy")
    expected = stats.clustered_mean([float(v) for v in values], names, bounds=(0.0, 1.0))
    assert (
        repeated_run.value == estimate_of(summary_of(one_each, gold_answers(names)), "accuracy").value == 0.5
    )
    assert (repeated_run.n, repeated_run.clusters) == (32, 8)
    assert repeated_run.low == pytest.approx(expected.low)
    assert repeated_run.high == pytest.approx(expected.high)


def test_samples_that_share_a_passage_are_one_cluster() -> None:
    names = [f"{i}" for i in range(8)]
    gold = gold_answers(names, clusters=("p", "q"))
    estimate = estimate_of(
        summary_of([compact_record(n, float(i % 2)) for i, n in enumerate(names)], gold), "accuracy"
    )
    assert (estimate.n, estimate.clusters) == (8, 2)


def test_a_macro_mean_gives_groups_equal_weight_whatever_their_size() -> None:
    names = [f"{i}" for i in range(10)]
    gold = gold_answers(names, groups=("big",)) | gold_answers(["x", "y"], groups=("small",))
    records = [compact_record(n, float(i < 9)) for i, n in enumerate(names)] + [
        compact_record("x", 0.0),
        compact_record("y", 1.0),
    ]
    summary = summary_of(records, gold, accuracy(macro=True))
    macro = estimate_of(summary, "accuracy_macro")
    assert macro.value == pytest.approx((0.9 + 0.5) / 2)
    assert macro.headline
    assert estimate_of(summary, "accuracy").value == pytest.approx(10 / 12)
    assert estimate_of(summary, "accuracy", "small").value == 0.5
    assert estimate_of(summary, "accuracy", "big").n == 10


def test_a_macro_mean_has_bounds_even_if_a_whole_group_is_missing() -> None:
    gold = gold_answers(["a"], groups=("x",)) | gold_answers(["b"], groups=("y",))
    estimate = estimate_of(summary_of([compact_record("a", 1.0)], gold), "accuracy_macro")
    assert (estimate.value, estimate.worst, estimate.best) == (None, 0.5, 1.0)
    assert "one group" in estimate.method


def test_a_subset_that_lacks_a_group_has_no_macro_mean() -> None:
    gold = gold_answers(["a"], groups=("x",)) | gold_answers(["b"], groups=("y",))
    records = [compact_record("a", 1.0), compact_record("b", 0.0)]
    for absent, value in (((), 0.5), (("z",), None)):
        summary = summarize(records, gold, accuracy(), scorers=("exact",), repeats=1, absent_groups=absent)
        assert estimate_of(summary, "accuracy_macro").value == value
        assert estimate_of(summary, "accuracy").value == 0.5
    macro = estimate_of(summary, "accuracy_macro")
    assert (macro.worst, macro.best) == (None, None)


def test_scores_by_group_are_listed_and_are_not_headlines() -> None:
    summary = summary_of(
        [compact_record("a", 1.0), compact_record("b", 0.0)], gold_answers("ab", groups=("x", "y"))
    )
    assert [(e.group, e.value) for e in summary.estimates if e.metric == "accuracy"] == [
        ("", 0.5),
        ("x", 1.0),
        ("y", 0.0),
    ]
    assert [e.metric for e in summary.estimates if e.headline] == ["accuracy"]


def test_a_single_group_is_not_listed() -> None:
    summary = summary_of([compact_record("a", 1.0)], gold_answers("a", groups=("x",)))
    assert {e.group for e in summary.estimates} == {""}


def test_accuracy_with_guessing_is_reported_in_addition_with_bounds() -> None:
    records = [compact_record("a", 1.0), compact_record("b", 0.0, verdict="unanswered")]
    summary = summary_of(records, gold_answers("abc"), (*accuracy(), accuracy_guess()))
    estimate = estimate_of(summary, "accuracy_guess")
    assert (estimate.value, estimate.worst, estimate.best) == (
        0.625,
        pytest.approx(1.25 / 3),
        pytest.approx(2.25 / 3),
    )
    assert estimate_of(summary, "accuracy").value == 0.5


# --- several repeats ----------------------------------------------------------------------------------------


def test_avg_pass_and_maj_at_k_of_complete_samples() -> None:
    records = [
        CompactRecord(
            sample=name,
            repeat=repeat,
            scores={
                "exact": Score(value=float(a == "7"), verdict="right" if a == "7" else "wrong", answer=a)
            },
            stop="stop",
        )
        for name, answers in {"a": "7778", "b": "7889"}.items()
        for repeat, a in enumerate(answers)
    ]
    summary = summary_of(records, gold_answers("ab"), repeat_metrics(), repeats=4)
    assert estimate_of(summary, "avg@4").value == 0.5
    assert estimate_of(summary, "pass@4").value == 1.0
    assert estimate_of(summary, "maj@4").value == 0.5  # the majority of a is 7, that of b is 8
    assert estimate_of(summary, "pass@2").value == pytest.approx((1.0 + 0.5) / 2)


def test_a_sample_with_a_missing_repeat_counts_only_in_the_bounds_of_pass_at_k() -> None:
    complete = [compact_record("a", 1.0, r) for r in range(4)]
    incomplete = [compact_record("b", 0.0, r) for r in range(3)]
    summary = summary_of(complete + incomplete, gold_answers("ab"), repeat_metrics(), repeats=4)
    estimate = estimate_of(summary, "pass@4")
    assert (estimate.value, estimate.n, estimate.clusters) == (1.0, 4, 1)
    assert (estimate.worst, estimate.best) == (0.5, 1.0)
    average = estimate_of(summary, "avg@4")
    assert (average.value, average.n) == (pytest.approx(4 / 7), 7)
    assert (average.worst, average.best) == (0.5, 5 / 8)
    assert estimate_of(summary, "maj@4").n == 4


def test_without_a_complete_sample_pass_at_k_has_only_bounds() -> None:
    summary = summary_of(
        [compact_record("a", 1.0, 0), compact_record("b", 0.0, 1)],
        gold_answers("ab"),
        repeat_metrics(),
        repeats=2,
    )
    estimate = estimate_of(summary, "pass@2")
    assert (estimate.value, estimate.n, estimate.method) == (None, 0, "nothing scored")
    assert (estimate.worst, estimate.best) == (0.5, 1.0)  # a is right already


# --- other kinds of metrics ----------------------------------------------------------------------------------


def test_a_metric_without_bounds_has_no_worst_and_best_case() -> None:
    records = [
        compact_record("a", 2.0, verdict="graded"),
        compact_record("b", 4.0, verdict="graded"),
        compact_record("c", None),
    ]
    estimate = estimate_of(summary_of(records, gold_answers("abc"), (MAE,)), "mae")
    assert (estimate.value, estimate.worst, estimate.best) == (3.0, None, None)
    assert (estimate.unit, estimate.better) == ("K", "lower")


def test_if_lower_is_better_the_worst_case_is_the_larger_value() -> None:
    error = Metric(name="error", of=mean_value, better="lower", headline=True)
    estimate = estimate_of(
        summary_of([compact_record("a", 0.5, verdict="graded")], gold_answers("ab"), (error,)), "error"
    )
    assert (estimate.worst, estimate.best) == (0.75, 0.25)


def test_a_metric_over_all_points_is_bootstrapped_over_clusters() -> None:
    def spread(points: Sequence[Point]) -> float:
        if len(points) < 2:
            raise ValueError("fewer than two points")
        return statistics.pstdev(p.value or 0.0 for p in points)

    metric = Metric(name="spread", of=spread, pool="whole", bounds=None, headline=True)
    names = [f"{i}" for i in range(30)]
    records = [compact_record(n, float(i), verdict="graded") for i, n in enumerate(names)]
    estimate = estimate_of(summary_of(records, gold_answers(names), (metric,)), "spread")
    assert estimate.value == pytest.approx(statistics.pstdev(range(30)))
    assert estimate.low is not None
    assert estimate.high is not None
    assert estimate.low < estimate.value < estimate.high
    assert (estimate.n, estimate.clusters) == (30, 30)
    again = estimate_of(summary_of(records, gold_answers(names), (metric,)), "spread")
    assert again == estimate  # the seed is fixed


def test_a_metric_over_all_points_has_no_value_without_points() -> None:
    metric = Metric(name="whole", of=mean_value, pool="whole", headline=True)
    estimate = estimate_of(summary_of([], gold_answers("ab"), (metric,)), "whole")
    assert (estimate.value, estimate.n) == (None, 0)
    assert (estimate.worst, estimate.best) == (0.0, 1.0)


def test_a_metric_uses_the_scores_of_its_own_scorer() -> None:
    scored_twice = CompactRecord(
        sample="a",
        repeat=0,
        scores={"exact": Score(value=0.0, verdict="wrong"), "loose": Score(value=1.0, verdict="right")},
        stop="stop",
    )
    metrics = (*accuracy(), Metric(name="loose", of=mean_value, scorer="loose"))
    summary = summarize([scored_twice], gold_answers("a"), metrics, scorers=("exact", "loose"), repeats=1)
    assert (estimate_of(summary, "accuracy").value, estimate_of(summary, "loose").value) == (0.0, 1.0)
    assert summary.counts == {"wrong": 1}
