"""Records -> numbers: every figure here can be worked out by hand."""

from __future__ import annotations

import statistics
from collections.abc import Sequence

import pytest

from evals.records.files import Brief
from evals.report import statistics as stats
from evals.report.estimates import Golds, Summary, summarize
from evals.report.metrics import accuracy, accuracy_guess, mean_value, repeat_metrics
from evals.types import Estimate, Failure, Metric, Point, Score
from tests.support.toy import MAE, brief, gold_answers


def summary(
    briefs: Sequence[Brief], gold: Golds, metrics: Sequence[Metric] | None = None, *, repeats: int = 1
) -> Summary:
    return summarize(briefs, gold, metrics or accuracy(), scorers=("exact",), repeats=repeats)


def named(found: Summary, metric: str, group: str = "") -> Estimate:
    (one,) = (e for e in found.estimates if (e.metric, e.group) == (metric, group))
    return one


def test_a_complete_run_is_bounded_by_itself() -> None:
    found = summary([brief("a", 1.0), brief("b", 0.0)], gold_answers("ab"))
    one = named(found, "accuracy")
    assert (one.value, one.worst, one.best) == (0.5, 0.5, 0.5)
    assert (found.coverage, found.expected, found.counts) == (1.0, 2, {"right": 1, "wrong": 1})


def test_failures_and_absent_samples_are_in_no_mean_but_bound_it() -> None:
    found = summary([brief("a", 1.0), brief("b", 0.0), brief("c", None)], gold_answers("abcd"))
    one = named(found, "accuracy")
    assert (one.value, one.worst, one.best) == (0.5, 0.25, 0.75)
    assert (one.n, one.clusters) == (2, 2)
    assert found.coverage == 0.5
    assert found.counts == {"absent": 1, "failed:timeout": 1, "right": 1, "wrong": 1}


@pytest.mark.parametrize("verdict", ["wrong", "invalid", "unanswered", "refused", "truncated"])
def test_what_the_model_did_is_in_the_mean(verdict: str) -> None:
    found = summary([brief("a", 1.0), brief("b", 0.0, verdict=verdict)], gold_answers("ab"))
    assert named(found, "accuracy").value == 0.5
    assert found.coverage == 1.0
    assert found.counts[verdict] == 1


def test_a_scorer_that_broke_is_a_failure_and_no_score() -> None:
    broken = Brief(
        sample="b",
        repeat=0,
        scores={"exact": Failure(stage="scorer", kind="crash", message="KeyError")},
        stop="stop",
    )
    found = summary([brief("a", 1.0), broken], gold_answers("ab"))
    assert found.counts == {"failed:crash": 1, "right": 1}
    assert (named(found, "accuracy").value, found.coverage) == (1.0, 0.5)


def test_every_cut_reply_is_counted_whatever_its_verdict() -> None:
    briefs = [
        brief("a", 1.0, stop="length"),
        brief("b", 0.0, verdict="truncated", stop="length"),
        brief("c", 0.0),
    ]
    assert summary(briefs, gold_answers("abc")).truncated == 2


def test_tokens_are_summed_over_replies() -> None:
    briefs = [brief("a", 1.0), brief("b", 0.0), brief("c", None)]
    assert summary(briefs, gold_answers("abc")).tokens == {"input": 20, "output": 10}


def test_records_of_samples_that_are_not_expected_are_left_out() -> None:
    found = summary([brief("a", 1.0), brief("stranger", 1.0)], gold_answers("ab"))
    assert (found.counts, found.coverage) == ({"absent": 1, "right": 1}, 0.5)


def test_nothing_scored_has_no_value_but_bounds() -> None:
    found = summary([brief("a", None), brief("b", None)], gold_answers("ab"))
    one = named(found, "accuracy")
    assert (one.value, one.low, one.high) == (None, None, None)
    assert (one.worst, one.best, one.n) == (0.0, 1.0, 0)
    assert one.method == "nothing scored"
    assert found.coverage == 0.0


def test_no_samples_at_all_are_no_division_by_nought() -> None:
    found = summary([], {})
    assert (found.coverage, found.expected) == (0.0, 0)
    assert {e.value for e in found.estimates} == {None}


def test_a_binary_mean_of_single_samples_has_a_wilson_interval() -> None:
    names = [f"{i}" for i in range(10)]
    one = named(
        summary([brief(n, float(i < 8)) for i, n in enumerate(names)], gold_answers(names)), "accuracy"
    )
    expected = stats.proportion(8, 10)
    assert (one.value, one.low, one.high, one.method) == expected


def test_repeats_are_clustered_by_their_sample() -> None:
    names = [f"{i}" for i in range(8)]
    values = [1, 1, 1, 0, 1, 0, 0, 0]
    # each sample gives the same reply four times: no more evidence than once
    four = [brief(n, float(v), r) for n, v in zip(names, values, strict=True) for r in range(4)]
    once = [brief(n, float(v)) for n, v in zip(names, values, strict=True)]
    repeated_run = named(summary(four, gold_answers(names), repeats=4), "accuracy")
    single = stats.clustered_mean([float(v) for v in values], names, bounds=(0.0, 1.0))
    assert repeated_run.value == named(summary(once, gold_answers(names)), "accuracy").value == 0.5
    assert (repeated_run.n, repeated_run.clusters) == (32, 8)
    assert repeated_run.low == pytest.approx(single.low)
    assert repeated_run.high == pytest.approx(single.high)


def test_samples_that_share_a_passage_are_one_cluster() -> None:
    names = [f"{i}" for i in range(8)]
    gold = gold_answers(names, clusters=("p", "q"))
    one = named(summary([brief(n, float(i % 2)) for i, n in enumerate(names)], gold), "accuracy")
    assert (one.n, one.clusters) == (8, 2)


def test_macro_is_the_mean_of_the_groups_however_large() -> None:
    names = [f"{i}" for i in range(10)]
    gold = gold_answers(names, groups=("big",)) | gold_answers(["x", "y"], groups=("small",))
    briefs = [brief(n, float(i < 9)) for i, n in enumerate(names)] + [brief("x", 0.0), brief("y", 1.0)]
    found = summary(briefs, gold, accuracy(macro=True))
    macro = named(found, "accuracy_macro")
    assert macro.value == pytest.approx((0.9 + 0.5) / 2)
    assert macro.headline
    assert named(found, "accuracy").value == pytest.approx(10 / 12)
    assert named(found, "accuracy", "small").value == 0.5
    assert named(found, "accuracy", "big").n == 10


def test_macro_is_bounded_with_a_group_that_is_missing_altogether() -> None:
    gold = gold_answers(["a"], groups=("x",)) | gold_answers(["b"], groups=("y",))
    one = named(summary([brief("a", 1.0)], gold), "accuracy_macro")
    assert (one.value, one.worst, one.best) == (None, 0.5, 1.0)
    assert "one group" in one.method


def test_a_subset_without_items_of_some_groups_has_no_mean_over_groups() -> None:
    gold = gold_answers(["a"], groups=("x",)) | gold_answers(["b"], groups=("y",))
    briefs = [brief("a", 1.0), brief("b", 0.0)]
    for absent, value in (((), 0.5), (("z",), None)):
        found = summarize(briefs, gold, accuracy(), scorers=("exact",), repeats=1, absent_groups=absent)
        assert named(found, "accuracy_macro").value == value
        assert named(found, "accuracy").value == 0.5
    assert (named(found, "accuracy_macro").worst, named(found, "accuracy_macro").best) == (None, None)


def test_groups_are_listed_and_none_of_them_is_a_headline() -> None:
    found = summary([brief("a", 1.0), brief("b", 0.0)], gold_answers("ab", groups=("x", "y")))
    assert [(e.group, e.value) for e in found.estimates if e.metric == "accuracy"] == [
        ("", 0.5),
        ("x", 1.0),
        ("y", 0.0),
    ]
    assert [e.metric for e in found.estimates if e.headline] == ["accuracy"]


def test_one_group_needs_no_breakdown() -> None:
    found = summary([brief("a", 1.0)], gold_answers("a", groups=("x",)))
    assert {e.group for e in found.estimates} == {""}


def test_guessing_is_reported_beside_and_bounded() -> None:
    briefs = [brief("a", 1.0), brief("b", 0.0, verdict="unanswered")]
    found = summary(briefs, gold_answers("abc"), (*accuracy(), accuracy_guess()))
    one = named(found, "accuracy_guess")
    assert (one.value, one.worst, one.best) == (0.625, pytest.approx(1.25 / 3), pytest.approx(2.25 / 3))
    assert named(found, "accuracy").value == 0.5


# --- several repeats ----------------------------------------------------------------------------------------


def test_avg_pass_and_maj_of_full_repeats() -> None:
    briefs = [
        Brief(
            sample=name,
            repeat=repeat,
            scores={
                "exact": Score(value=float(a == "7"), verdict="right" if a == "7" else "wrong", answer=a)
            },
            stop="stop",
        )
        for name, given in {"a": "7778", "b": "7889"}.items()
        for repeat, a in enumerate(given)
    ]
    found = summary(briefs, gold_answers("ab"), repeat_metrics(), repeats=4)
    assert named(found, "avg@4").value == 0.5
    assert named(found, "pass@4").value == 1.0
    assert named(found, "maj@4").value == 0.5  # a: 7 wins; b: 8 wins
    assert named(found, "pass@2").value == pytest.approx((1.0 + 0.5) / 2)


def test_with_a_repeat_missing_a_sample_is_in_no_pass_at_k_but_bounds_it() -> None:
    complete = [brief("a", 1.0, r) for r in range(4)]
    torn = [brief("b", 0.0, r) for r in range(3)]
    found = summary(complete + torn, gold_answers("ab"), repeat_metrics(), repeats=4)
    one = named(found, "pass@4")
    assert (one.value, one.n, one.clusters) == (1.0, 4, 1)
    assert (one.worst, one.best) == (0.5, 1.0)
    average = named(found, "avg@4")
    assert (average.value, average.n) == (pytest.approx(4 / 7), 7)
    assert (average.worst, average.best) == (0.5, 5 / 8)
    assert named(found, "maj@4").n == 4


def test_with_no_sample_complete_there_is_no_pass_at_k() -> None:
    found = summary([brief("a", 1.0, 0), brief("b", 0.0, 1)], gold_answers("ab"), repeat_metrics(), repeats=2)
    one = named(found, "pass@2")
    assert (one.value, one.n, one.method) == (None, 0, "nothing scored")
    assert (one.worst, one.best) == (0.5, 1.0)  # a is right already


# --- metrics of another kind --------------------------------------------------------------------------------


def test_a_metric_without_bounds_has_no_worst_and_best() -> None:
    briefs = [brief("a", 2.0, verdict="graded"), brief("b", 4.0, verdict="graded"), brief("c", None)]
    one = named(summary(briefs, gold_answers("abc"), (MAE,)), "mae")
    assert (one.value, one.worst, one.best) == (3.0, None, None)
    assert (one.unit, one.better) == ("K", "lower")


def test_a_metric_that_is_better_lower_has_its_worst_above() -> None:
    error = Metric(name="error", of=mean_value, better="lower", headline=True)
    one = named(summary([brief("a", 0.5, verdict="graded")], gold_answers("ab"), (error,)), "error")
    assert (one.worst, one.best) == (0.75, 0.25)


def test_a_metric_over_all_points_is_bootstrapped_over_clusters() -> None:
    def spread(points: Sequence[Point]) -> float:
        if len(points) < 2:
            raise ValueError("nothing to spread")
        return statistics.pstdev(p.value or 0.0 for p in points)

    metric = Metric(name="spread", of=spread, pool="whole", bounds=None, headline=True)
    names = [f"{i}" for i in range(30)]
    briefs = [brief(n, float(i), verdict="graded") for i, n in enumerate(names)]
    one = named(summary(briefs, gold_answers(names), (metric,)), "spread")
    assert one.value == pytest.approx(statistics.pstdev(range(30)))
    assert one.low is not None
    assert one.high is not None
    assert one.low < one.value < one.high
    assert (one.n, one.clusters) == (30, 30)
    assert named(summary(briefs, gold_answers(names), (metric,)), "spread") == one  # seeded


def test_a_metric_over_all_points_of_nothing_has_no_value() -> None:
    metric = Metric(name="whole", of=mean_value, pool="whole", headline=True)
    one = named(summary([], gold_answers("ab"), (metric,)), "whole")
    assert (one.value, one.n) == (None, 0)
    assert (one.worst, one.best) == (0.0, 1.0)


def test_the_second_scorers_points_go_to_the_metric_that_reads_it() -> None:
    both = Brief(
        sample="a",
        repeat=0,
        scores={"exact": Score(value=0.0, verdict="wrong"), "loose": Score(value=1.0, verdict="right")},
        stop="stop",
    )
    metrics = (*accuracy(), Metric(name="loose", of=mean_value, scorer="loose"))
    found = summarize([both], gold_answers("a"), metrics, scorers=("exact", "loose"), repeats=1)
    assert (named(found, "accuracy").value, named(found, "loose").value) == (0.0, 1.0)
    assert found.counts == {"wrong": 1}
