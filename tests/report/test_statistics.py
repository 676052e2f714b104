"""Intervals against scipy, statsmodels, published examples and simulation; seeds were fixed before any result was seen."""

from __future__ import annotations

import itertools
import json
import os
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from evals.report import repeats, strata
from evals.report import statistics as stats
from tests.support.error_messages import raises
from tests.support.lazy import lazy
from tests.support.paths import ROOT
from tests.support.tables import table

special = lazy("scipy.special")
scipy_stats = lazy("scipy.stats")
proportions = lazy("statsmodels.stats.proportion")

SHARED = Path(os.environ.get("EVALS_SHARED") or ROOT.parent / "shared")
NAN = float("nan")


# Wilson


@pytest.mark.parametrize(
    ("successes", "n", "low", "high"),
    [(81, 263, 0.2553, 0.3662), (15, 148, 0.0624, 0.1605), (0, 20, 0.0, 0.1611), (1, 29, 0.0061, 0.1718)],
)
def test_wilson_limits_are_those_in_newcombes_table(successes, n, low, high):
    # Newcombe, Statistics in Medicine 17 (1998), table I, method 3
    estimate = stats.wilson(successes, n)
    assert round(estimate.low, 4) == low
    assert round(estimate.high, 4) == high


@table(("successes", "n"), [(0, 5), (5, 5), (3, 7), (198, 198), (6029, 12032)])
@table("level", [0.9, 0.95, 0.99])
def test_wilson_agrees_with_statsmodels(successes, n, level):

    estimate = stats.wilson(successes, n, level=level)
    assert estimate[1:3] == pytest.approx(
        proportions.proportion_confint(successes, n, 1 - level, "wilson"), abs=1e-12
    )


def test_wilson_intervals_of_none_and_all_have_a_positive_width():
    assert stats.wilson(0, 4).high > 0.4
    assert stats.wilson(4, 4).low < 0.6


# Means


def test_t_quantile_agrees_with_scipy_for_few_and_many_degrees_of_freedom():
    for p, df in itertools.product((0.8, 0.9, 0.95, 0.975), (1, 2.5, 29, 99.9, 100, 101, 197, 1000, 12031)):
        assert stats.t_quantile(p, df) == pytest.approx(special.stdtrit(df, p), abs=1e-9)


def test_mean_has_the_published_interval_of_the_sleep_data():
    # Student 1908; R's help page of t.test prints 0.7001142 to 2.4598858
    first = [0.7, -1.6, -0.2, -1.2, -0.1, 3.4, 3.7, 0.8, 0.0, 2.0]
    second = [1.9, 0.8, 1.1, 0.1, -0.1, 4.4, 5.5, 1.6, 4.6, 3.4]
    estimate = stats.mean([b - a for a, b in zip(first, second, strict=True)])
    assert estimate[:3] == pytest.approx((1.58, 0.7001142, 2.4598858), abs=5e-8)


def test_mean_agrees_with_scipy():
    values = np.random.default_rng(3).normal(size=37)
    expected = scipy_stats.ttest_1samp(values, 0).confidence_interval(0.95)
    assert stats.mean(values)[1:3] == pytest.approx(tuple(expected), abs=1e-12)


def test_mean_of_one_value_has_no_interval():
    assert stats.mean([0.5])[:3] == (0.5, None, None)


def test_equal_values_without_bounds_have_no_interval():
    assert stats.mean([2.0, 2.0, 2.0])[:3] == (2.0, None, None)
    assert stats.mean([0.1, 0.3 - 0.2, 0.1]).low is None  # equal but for rounding
    assert strata.stratified_mean([2.0, 2.0, 5.0, 5.0], list("aabb")).low is None
    assert stats.bootstrap(9, lambda i: 0.3 + 1e-16 * float(i[0]), seed=0).low is None


# Clusters


@pytest.mark.parametrize("seed", range(5))
def test_the_clustered_interval_agrees_with_statsmodels(seed):
    import statsmodels.api as sm

    rng = np.random.default_rng(seed)
    clusters = rng.integers(0, 12, 80)
    values = rng.normal(size=12)[clusters] + rng.normal(size=80)
    fit = sm.OLS(values, np.ones(80)).fit(cov_type="cluster", cov_kwds={"groups": clusters}, use_t=True)
    estimate = stats.clustered_mean(values, clusters.tolist())
    assert stats.standard_error(values, clusters.tolist()) == pytest.approx(fit.bse[0], rel=1e-12)
    assert estimate[1:3] == pytest.approx(tuple(fit.conf_int()[0]), abs=1e-9)


def test_the_clustered_error_agrees_with_millers_formula():
    # arXiv 2411.00640: SE^2 = 1/n^2 sum over clusters of sum over i, j of (s_i - m)(s_j - m); ours also has the factor G/(G-1)
    values, clusters = [1, 1, 0, 1, 0, 0, 0, 1], list("aabbbccd")
    m = sum(values) / 8
    pairs = (
        (values[i] - m) * (values[j] - m) for i in range(8) for j in range(8) if clusters[i] == clusters[j]
    )
    assert stats.standard_error(values, clusters) ** 2 == pytest.approx(sum(pairs) / 64 * 4 / 3, rel=1e-12)


def test_equal_repeats_are_no_more_evidence_than_one():
    single = stats.mean([0.0, 1.0, 1.0])
    repeated = stats.clustered_mean([0, 0, 0, 1, 1, 1, 1, 1, 1], list("aaabbbccc"))
    assert repeated[:3] == pytest.approx(single[:3])


def test_if_all_are_right_the_interval_is_that_of_as_many_items_as_clusters():
    two_clusters = stats.clustered_mean([1.0] * 32, [i % 2 for i in range(32)], bounds=(0, 1))
    assert two_clusters[:3] == pytest.approx((1.0, *proportions.proportion_confint(2, 2, method="beta")))
    many_clusters = stats.clustered_mean([1.0] * 80, [i % 40 for i in range(80)], bounds=(0, 1))
    assert many_clusters[:3] == pytest.approx((1.0, *proportions.proportion_confint(40, 40, method="wilson")))


def test_a_mean_near_a_bound_has_a_binomial_interval():
    estimate = stats.mean([1, 1, 1, 0], bounds=(0, 1))
    assert estimate[1:3] == pytest.approx(proportions.proportion_confint(3, 4, method="beta"))
    assert stats.proportion(28, 29)[1:3] == pytest.approx(
        proportions.proportion_confint(28, 29, method="beta")
    )
    assert stats.proportion(480, 480)[1:3] == pytest.approx(
        proportions.proportion_confint(480, 480, method="wilson")
    )
    # one more right answer does not lower the limit
    assert stats.proportion(479, 480).low < stats.proportion(480, 480).low


def test_nine_groups_of_one_item_have_an_interval_as_wide_as_for_nine_items():
    estimate = strata.stratified_mean([1.0] + [0.0] * 8, list("abcdefghi"), bounds=(0, 1))
    assert 0 < estimate.low < 0.02
    assert 0.4 < estimate.high < 0.6


def test_equal_values_within_bounds_have_a_wide_interval():
    estimate = stats.clustered_mean([0.5] * 8, [i // 2 for i in range(8)], bounds=(0, 1))
    assert estimate.high - estimate.low > 0.5


def test_a_dominating_cluster_gives_a_wide_interval():
    values, clusters = [1.0] * 50 + [1.0, 0.0] * 25, [0] * 50 + list(range(1, 51))
    estimate = stats.clustered_mean(values, clusters, bounds=(0, 1))
    assert estimate.high - estimate.low > 0.5


def test_one_cluster_has_no_interval():
    assert stats.clustered_mean([0.0, 1.0], ["a", "a"])[:3] == (0.5, None, None)


# Strata


def test_a_stratified_mean_agrees_with_the_textbook_formula():
    values, groups = [1, 2, 4, 10, 12, 15, 19], list("aaabbbb")
    parts = [np.array([1, 2, 4]), np.array([10, 12, 15, 19])]
    squared_error = sum(part.var(ddof=1) / len(part) / 4 for part in parts)
    terms = [(part.var(ddof=1) / len(part) / 4) ** 2 / (len(part) - 1) for part in parts]
    half = special.stdtrit(squared_error**2 / sum(terms), 0.975) * np.sqrt(squared_error)
    estimate = strata.stratified_mean(values, groups)
    middle = (7 / 3 + 14) / 2
    assert estimate[:3] == pytest.approx((middle, middle - half, middle + half), abs=1e-9)


def test_a_stratified_mean_of_one_group_is_the_clustered_mean():
    values, clusters = [1, 0, 1, 1, 0, 0.5], list("aabbcc")
    estimate = strata.stratified_mean(values, ["g"] * 6, clusters=clusters)
    assert estimate[:3] == pytest.approx(stats.clustered_mean(values, clusters)[:3])


def test_a_stratified_mean_weighted_by_group_size_is_the_plain_mean():
    values, groups = [1, 0, 1, 1, 0, 0], list("aabbbb")
    mean = strata.stratified_mean_and_error(values, groups, weights={"a": 2, "b": 4})
    assert mean.value == pytest.approx(0.5)


def test_a_group_of_one_is_assigned_the_pooled_variance():
    values, groups = [1.0, 2.0, 3.0, 9.0], list("aaab")
    estimate = strata.stratified_mean(values, groups)
    assert estimate.value == 5.5
    half = special.stdtrit((1 / 12 + 1 / 4) ** 2 / ((1 / 12) ** 2 / 2 + (1 / 4) ** 2 / 2), 0.975)
    assert estimate.high - estimate.value == pytest.approx(half * np.sqrt(1 / 12 + 1 / 4))


def test_if_all_groups_have_one_item_there_is_no_interval():
    assert strata.stratified_mean([1.0, 2.0], ["a", "b"])[:3] == (1.5, None, None)


def test_clusters_across_groups_are_summed_with_their_signs():
    # both clusters are in both groups, with opposite values, so the mean of the groups does not vary
    estimate = strata.stratified_mean_and_error([0.0, 1.0, 1.0, 0.0], list("aabb"), clusters=list("xyxy"))
    assert estimate[:2] == (0.5, 0.0)


def test_a_stratified_mean_of_right_answers_only_has_a_wide_interval():
    estimate = strata.stratified_mean([1.0] * 6, list("aabbbb"), bounds=(0, 1))
    assert estimate.method == "Clopper-Pearson on clusters"
    assert estimate.low < 0.7


# Bootstrap


def test_the_bootstrap_depends_only_on_its_seed():
    values = np.random.default_rng(1).normal(size=40)
    runs = [stats.bootstrap(40, lambda i: values[i].mean(), seed=seed) for seed in (5, 5, 6)]
    assert runs[0] == runs[1] != runs[2]


def test_the_bootstrap_of_a_mean_is_close_to_the_t_interval():
    values = np.random.default_rng(1).normal(size=25)
    estimate = stats.bootstrap(25, lambda i: values[i].mean(), seed=0, resamples=20_000)
    assert estimate[:3] == pytest.approx(stats.mean(values)[:3], abs=0.03)


def test_a_bootstrap_with_many_undefined_resamples_has_no_interval():
    def rare(indices):
        if 0 not in indices:
            raise ValueError("one class only")
        return float(len(set(indices.tolist())))

    estimate = stats.bootstrap(4, rare, seed=0)
    assert estimate.low is None  # (3/4)^4 = 32 % of resamples lack cluster 0
    assert "resamples undefined" in estimate.method


def test_a_bootstrap_of_one_cluster_has_no_interval():
    assert stats.bootstrap(1, lambda i: 3.0, seed=0)[:3] == (3.0, None, None)


# Refusals


@table(
    "reduce",
    [
        lambda: stats.wilson(0, 0),
        lambda: stats.wilson(NAN, 3),
        lambda: stats.wilson(4, 3),
        lambda: stats.mean([]),
        lambda: stats.mean([1.0, NAN]),
        lambda: stats.mean([1.0, float("inf")]),
        lambda: stats.clustered_mean([], []),
        lambda: stats.clustered_mean([1.0], ["a", "b"]),
        lambda: strata.stratified_mean([], []),
        lambda: strata.stratified_mean_and_error([1.0], ["a"], weights={"a": 0.0}),
        lambda: stats.bootstrap(0, lambda i: 0.0, seed=0),
        lambda: stats.bootstrap(3, lambda i: NAN, seed=0),
        lambda: repeats.pass_at_k(0, 0, 1),
        lambda: repeats.pass_at_k(4, 2, 5),
        lambda: repeats.maj_at_k([], []),
        lambda: repeats.maj_at_k(["a"], [True], 2),
    ],
)
def test_empty_and_non_finite_input_is_refused(reduce):
    with raises(ValueError):
        reduce()


# pass@k, maj@k


def test_pass_at_k_is_the_share_of_subsets():
    flags = [1, 1, 0, 0, 0, 0]
    for k in range(1, 7):
        subsets = list(itertools.combinations(flags, k))
        assert repeats.pass_at_k(6, 2, k) == pytest.approx(sum(any(s) for s in subsets) / len(subsets))


def majority_value(answers, right):
    """Return the value of a majority vote; tied answers share it."""
    counts = {a: answers.count(a) for a in answers if a is not None}
    most_frequent = [a for a in counts if counts[a] == max(counts.values())]
    return sum(a in right for a in most_frequent) / len(most_frequent) if most_frequent else 0.0


@given(st.lists(st.sampled_from(["a", "b", "c", None]), min_size=1, max_size=7), st.integers(1, 7))
def test_maj_at_k_is_the_mean_over_all_subsets(answers, k):
    k = min(k, len(answers))
    subsets = list(itertools.combinations(answers, k))
    expected = sum(majority_value(list(s), {"a", "c"}) for s in subsets) / len(subsets)
    assert repeats.maj_at_k(answers, [a in ("a", "c") for a in answers], k) == pytest.approx(expected)


def test_repeats_without_an_answer_have_no_vote():
    assert repeats.maj_at_k(["a", None, None], [True, False, False]) == 1
    assert repeats.maj_at_k([None, None], [False, False]) == 0


def test_an_answer_scored_both_right_and_wrong_counts_by_its_share_of_right():
    assert repeats.maj_at_k(["a", "a", "b"], [True, False, False]) == 0.5


def test_maj_at_32_of_64_repeats_is_computed_without_listing_subsets():
    answers = [f"{i % 20}" for i in range(64)]
    assert 0 < repeats.maj_at_k(answers, [a == "0" for a in answers], 32) < 1


def lighteval_cases(name: str):
    """Yield name, answers, gold answers, k and expected value of each of lighteval's cases."""
    path = SHARED / "data" / "extraction_cases" / "lighteval_metric_cases" / f"{name}.json"
    if not path.exists():
        pytest.skip("the shared data is not available")
    for case in json.loads(path.read_text())["test_cases"]:
        gold = case["doc"]["gold_index"]
        golds = [case["doc"]["choices"][i] for i in (gold if isinstance(gold, list) else [gold])]
        texts, params = case["model_response"]["text"], case["metric_params"]
        yield case["name"], texts, golds, params["k"], next(iter(case["expected_output"].values()))


# Cases in which lighteval's expected value differs from ours: our value, and what lighteval does.
AVG_DEVIATIONS = {"Avg at K - Multiple Correct": (1.0, "compares only with the first of three golds")}
MAJ_DEVIATIONS = {"Maj at K - No Majority": (1 / 3, "breaks the tie in favour of the first answer")}
LETTERS_DEVIATIONS = {
    # The gold is option 0, whose letter is A; the replies state the option's text, which is another letter.
    "Pass at K Letters - Correct Letters": (0.5, "compares with the letter A, not with the text"),
    "Pass at K Letters - Multiple Attempts": (2 / 3, "compares with the letter A, not with the text"),
}


@pytest.mark.parametrize(
    ("table", "deviations"), [("avg_at_k", AVG_DEVIATIONS), ("avg_at_k_math", {})], ids=["plain", "math"]
)
def test_avg_at_k_agrees_with_lightevals_cases(table, deviations):
    for name, texts, golds, k, expected in lighteval_cases(table):
        estimate = stats.mean([float(text in golds) for text in texts[:k]]).value
        assert estimate == pytest.approx(deviations.get(name, (expected,))[0], abs=0.01), name


@pytest.mark.parametrize(
    ("table", "deviations"),
    [("pass_at_k", {}), ("pass_at_k_math", {}), ("pass_at_k_letters", LETTERS_DEVIATIONS)],
)
def test_pass_at_k_agrees_with_lightevals_cases(table, deviations):
    for name, texts, golds, k, expected in lighteval_cases(table):
        estimate = repeats.pass_at_k(len(texts), sum(text in golds for text in texts), k)
        assert estimate == pytest.approx(deviations.get(name, (expected,))[0], abs=0.01), name


def test_maj_at_k_agrees_with_lightevals_cases():
    for name, texts, golds, k, expected in lighteval_cases("maj_at_k"):
        estimate = repeats.maj_at_k(texts[:k], [text in golds for text in texts[:k]])
        assert estimate == pytest.approx(MAJ_DEVIATIONS.get(name, (expected,))[0], abs=0.01), name


# Coverage by simulation: at least 95 % minus three standard errors of simulation


def coverage_of(intervals, truth: float) -> float:
    return float(np.mean([interval.low <= truth <= interval.high for interval in intervals]))


def min_coverage(simulations: int) -> float:
    return 0.95 - 3 * float(np.sqrt(0.95 * 0.05 / simulations))


def test_coverage_of_clustered_means_with_30_samples_and_16_repeats():
    # the success rate of a sample has the distribution Beta(1, 1)
    rng = np.random.default_rng(11)
    clusters = np.repeat(np.arange(30), 16).tolist()
    solved = rng.random((2000, 30, 1)) > rng.random((2000, 30, 16))
    intervals = [stats.clustered_mean(run.ravel(), clusters, bounds=(0, 1)) for run in solved.astype(float)]
    assert min_coverage(2000) <= coverage_of(intervals, 0.5) <= 0.985


def test_coverage_of_stratified_means():
    rng = np.random.default_rng(12)
    groups = np.repeat(np.arange(14), np.arange(4, 18)).tolist()
    success_rates = np.linspace(0.2, 0.8, 14)
    runs = rng.random((2000, len(groups))) < success_rates[groups]
    intervals = [strata.stratified_mean(run.astype(float), groups, bounds=(0, 1)) for run in runs]
    assert min_coverage(2000) <= coverage_of(intervals, 0.5) <= 0.985


def test_coverage_of_wilson_intervals_over_all_proportions():
    # exact, as a sum of binomial probabilities: close to 95 % on average over p, and never far below
    p = np.linspace(0.02, 0.98, 97)
    coverage = np.zeros_like(p)
    for successes in range(199):
        estimate = stats.wilson(successes, 198)
        coverage += scipy_stats.binom.pmf(successes, 198, p) * ((estimate.low <= p) & (p <= estimate.high))
    assert coverage.mean() == pytest.approx(0.95, abs=0.005)
    assert coverage.min() > 0.92


@pytest.mark.slow
def test_coverage_of_the_bootstrap_of_a_ratio():
    rng = np.random.default_rng(13)
    intervals = []
    for seed in range(400):
        x, y = rng.normal(10, 2, 30), rng.normal(5, 2, 30)
        intervals.append(
            stats.bootstrap(30, lambda i, x=x, y=y: float(y[i].sum() / x[i].sum()), seed=seed, resamples=400)
        )
    assert min_coverage(400) <= coverage_of(intervals, 0.5) <= 0.985
