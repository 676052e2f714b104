"""Intervals against scipy, statsmodels, printed examples and simulation; seeds were fixed before looking."""

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
def test_wilson_gives_newcombes_printed_limits(successes, n, low, high):
    # Newcombe, Statistics in Medicine 17 (1998), table I, method 3
    found = stats.wilson(successes, n)
    assert round(found.low, 4) == low
    assert round(found.high, 4) == high


@table(("successes", "n"), [(0, 5), (5, 5), (3, 7), (198, 198), (6029, 12032)])
@table("level", [0.9, 0.95, 0.99])
def test_wilson_agrees_with_statsmodels(successes, n, level):

    found = stats.wilson(successes, n, level=level)
    assert found[1:3] == pytest.approx(
        proportions.proportion_confint(successes, n, 1 - level, "wilson"), abs=1e-12
    )


def test_wilson_never_has_width_zero():
    assert stats.wilson(0, 4).high > 0.4
    assert stats.wilson(4, 4).low < 0.6


# Means


def test_t_quantile_agrees_with_scipy_on_both_sides_of_the_switch():
    for p, df in itertools.product((0.8, 0.9, 0.95, 0.975), (1, 2.5, 29, 99.9, 100, 101, 197, 1000, 12031)):
        assert stats.t_quantile(p, df) == pytest.approx(special.stdtrit(df, p), abs=1e-9)


def test_mean_gives_the_printed_interval_of_the_sleep_data():
    # Student 1908; R's help page of t.test prints 0.7001142 to 2.4598858
    first = [0.7, -1.6, -0.2, -1.2, -0.1, 3.4, 3.7, 0.8, 0.0, 2.0]
    second = [1.9, 0.8, 1.1, 0.1, -0.1, 4.4, 5.5, 1.6, 4.6, 3.4]
    found = stats.mean([b - a for a, b in zip(first, second, strict=True)])
    assert found[:3] == pytest.approx((1.58, 0.7001142, 2.4598858), abs=5e-8)


def test_mean_agrees_with_scipy():
    values = np.random.default_rng(3).normal(size=37)
    want = scipy_stats.ttest_1samp(values, 0).confidence_interval(0.9)
    assert stats.mean(values, level=0.9)[1:3] == pytest.approx(tuple(want), abs=1e-12)


def test_mean_of_one_value_has_no_interval():
    assert stats.mean([0.5])[:3] == (0.5, None, None)


def test_equal_values_without_bounds_have_width_zero():
    assert stats.mean([2.0, 2.0, 2.0])[:3] == (2.0, 2.0, 2.0)


# Clusters


@pytest.mark.parametrize("seed", range(5))
def test_clustered_agrees_with_statsmodels(seed):
    import statsmodels.api as sm

    random = np.random.default_rng(seed)
    clusters = random.integers(0, 12, 80)
    values = random.normal(size=12)[clusters] + random.normal(size=80)
    fit = sm.OLS(values, np.ones(80)).fit(cov_type="cluster", cov_kwds={"groups": clusters}, use_t=True)
    found = stats.clustered_mean(values, clusters.tolist())
    assert stats.standard_error(values, clusters.tolist()) == pytest.approx(fit.bse[0], rel=1e-12)
    assert found[1:3] == pytest.approx(tuple(fit.conf_int()[0]), abs=1e-9)


def test_clustered_agrees_with_millers_formula():
    # arXiv 2411.00640: SE^2 = 1/n^2 sum over clusters of sum over i, j of (s_i - m)(s_j - m); ours has G/(G-1)
    values, clusters = [1, 1, 0, 1, 0, 0, 0, 1], list("aabbbccd")
    m = sum(values) / 8
    pairs = (
        (values[i] - m) * (values[j] - m) for i in range(8) for j in range(8) if clusters[i] == clusters[j]
    )
    assert stats.standard_error(values, clusters) ** 2 == pytest.approx(sum(pairs) / 64 * 4 / 3, rel=1e-12)


def test_repeats_that_agree_count_as_one():
    once = stats.mean([0.0, 1.0, 1.0])
    many = stats.clustered_mean([0, 0, 0, 1, 1, 1, 1, 1, 1], list("aaabbbccc"))
    assert many[:3] == pytest.approx(once[:3])


def test_all_right_falls_back_to_the_number_of_clusters():
    found = stats.clustered_mean([1.0] * 32, [i % 2 for i in range(32)], bounds=(0, 1))
    assert found[:3] == pytest.approx((1.0, *proportions.proportion_confint(2, 2, method="beta")))
    many = stats.clustered_mean([1.0] * 80, [i % 40 for i in range(80)], bounds=(0, 1))
    assert many[:3] == pytest.approx((1.0, *proportions.proportion_confint(40, 40, method="wilson")))


def test_a_mean_near_a_bound_has_the_interval_of_as_many_yes_and_no():
    found = stats.mean([1, 1, 1, 0], bounds=(0, 1))
    assert found[1:3] == pytest.approx(proportions.proportion_confint(3, 4, method="beta"))
    assert stats.proportion(28, 29)[1:3] == pytest.approx(
        proportions.proportion_confint(28, 29, method="beta")
    )
    assert stats.proportion(480, 480)[1:3] == pytest.approx(
        proportions.proportion_confint(480, 480, method="wilson")
    )
    assert (
        stats.proportion(479, 480).low < stats.proportion(480, 480).low
    )  # one more right never lowers the limit


def test_nine_groups_of_one_have_the_interval_that_nine_items_allow():
    found = strata.stratified_mean([1.0] + [0.0] * 8, list("abcdefghi"), bounds=(0, 1))
    assert 0 < found.low < 0.02
    assert 0.4 < found.high < 0.6


def test_values_that_agree_inside_the_bounds_are_not_certain():
    found = stats.clustered_mean([0.5] * 8, [i // 2 for i in range(8)], bounds=(0, 1))
    assert found.high - found.low > 0.5


def test_a_dominating_cluster_is_worth_few():
    values, clusters = [1.0] * 50 + [1.0, 0.0] * 25, [0] * 50 + list(range(1, 51))
    found = stats.clustered_mean(values, clusters, bounds=(0, 1))
    assert found.high - found.low > 0.5


def test_one_cluster_has_no_interval():
    assert stats.clustered_mean([0.0, 1.0], ["a", "a"])[:3] == (0.5, None, None)


# Strata


def test_stratified_is_the_textbook_sum():
    values, groups = [1, 2, 4, 10, 12, 15, 19], list("aaabbbb")
    parts = [np.array([1, 2, 4]), np.array([10, 12, 15, 19])]
    se2 = sum(part.var(ddof=1) / len(part) / 4 for part in parts)
    terms = [(part.var(ddof=1) / len(part) / 4) ** 2 / (len(part) - 1) for part in parts]
    half = special.stdtrit(se2**2 / sum(terms), 0.975) * np.sqrt(se2)
    found = strata.stratified_mean(values, groups)
    middle = (7 / 3 + 14) / 2
    assert found[:3] == pytest.approx((middle, middle - half, middle + half), abs=1e-9)


def test_stratified_of_one_group_is_the_clustered_mean():
    values, clusters = [1, 0, 1, 1, 0, 0.5], list("aabbcc")
    found = strata.stratified_mean(values, ["g"] * 6, clusters=clusters)
    assert found[:3] == pytest.approx(stats.clustered_mean(values, clusters)[:3])


def test_stratified_weights_by_share_are_the_plain_mean():
    values, groups = [1, 0, 1, 1, 0, 0], list("aabbbb")
    assert strata.stratified_mean(values, groups, weights={"a": 2, "b": 4}).value == pytest.approx(0.5)


def test_group_of_one_borrows_the_pooled_variance():
    values, groups = [1.0, 2.0, 3.0, 9.0], list("aaab")
    found = strata.stratified_mean(values, groups)
    assert found.value == 5.5
    half = special.stdtrit((1 / 12 + 1 / 4) ** 2 / ((1 / 12) ** 2 / 2 + (1 / 4) ** 2 / 2), 0.975)
    assert found.high - found.value == pytest.approx(half * np.sqrt(1 / 12 + 1 / 4))


def test_groups_of_one_throughout_have_no_interval():
    assert strata.stratified_mean([1.0, 2.0], ["a", "b"])[:3] == (1.5, None, None)


def test_clusters_across_groups_are_summed_with_their_signs():
    # the same two samples in both groups, opposed: the mean of groups does not vary at all
    found = strata.stratified_mean([0.0, 1.0, 1.0, 0.0], list("aabb"), clusters=list("xyxy"))
    assert found[:3] == (0.5, 0.5, 0.5)


def test_stratified_all_right_is_not_certain():
    found = strata.stratified_mean([1.0] * 6, list("aabbbb"), bounds=(0, 1))
    assert found.method == "Clopper-Pearson on clusters"
    assert found.low < 0.7


# Bootstrap


def test_bootstrap_is_repeatable_and_seeded():
    values = np.random.default_rng(1).normal(size=40)
    runs = [stats.bootstrap(40, lambda i: values[i].mean(), seed=seed) for seed in (5, 5, 6)]
    assert runs[0] == runs[1] != runs[2]


def test_bootstrap_of_a_mean_is_near_the_t_interval():
    values = np.random.default_rng(1).normal(size=25)
    found = stats.bootstrap(25, lambda i: values[i].mean(), seed=0, resamples=20_000)
    assert found[:3] == pytest.approx(stats.mean(values)[:3], abs=0.03)


def test_bootstrap_counts_resamples_without_a_value():
    def rare(indices):
        if 0 not in indices:
            raise ValueError("one class only")
        return float(len(set(indices.tolist())))

    found = stats.bootstrap(4, rare, seed=0)
    assert found.low is None  # (3/4)^4 = 32 % of resamples lack cluster 0
    assert "resamples undefined" in found.method


def test_bootstrap_of_one_cluster_has_no_interval():
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
        lambda: strata.stratified_mean([1.0], ["a"], weights={"a": 0.0}),
        lambda: stats.bootstrap(0, lambda i: 0.0, seed=0),
        lambda: stats.bootstrap(3, lambda i: NAN, seed=0),
        lambda: repeats.pass_at_k(0, 0, 1),
        lambda: repeats.pass_at_k(4, 2, 5),
        lambda: repeats.maj_at_k([], []),
        lambda: repeats.maj_at_k(["a"], [True], 2),
    ],
)
def test_nothing_and_nan_are_refused(reduce):
    with pytest.raises(ValueError, match=r"\w"):
        reduce()


# pass@k, maj@k


def test_pass_at_k_is_the_share_of_subsets():
    flags = [1, 1, 0, 0, 0, 0]
    for k in range(1, 7):
        subsets = list(itertools.combinations(flags, k))
        assert repeats.pass_at_k(6, 2, k) == pytest.approx(sum(any(s) for s in subsets) / len(subsets))


def vote(answers, right):
    """Majority vote by brute force, ties shared."""
    counts = {a: answers.count(a) for a in answers if a is not None}
    top = [a for a in counts if counts[a] == max(counts.values())]
    return sum(a in right for a in top) / len(top) if top else 0.0


@given(st.lists(st.sampled_from(["a", "b", "c", None]), min_size=1, max_size=7), st.integers(1, 7))
def test_maj_at_k_is_the_mean_over_all_subsets(answers, k):
    k = min(k, len(answers))
    subsets = list(itertools.combinations(answers, k))
    want = sum(vote(list(s), {"a", "c"}) for s in subsets) / len(subsets)
    assert repeats.maj_at_k(answers, [a in ("a", "c") for a in answers], k) == pytest.approx(want)


def test_unanswered_repeats_do_not_vote():
    assert repeats.maj_at_k(["a", None, None], [True, False, False]) == 1
    assert repeats.maj_at_k([None, None], [False, False]) == 0


def test_answer_judged_both_ways_counts_by_share():
    assert repeats.maj_at_k(["a", "a", "b"], [True, False, False]) == 0.5


def test_maj_at_k_of_64_repeats_is_quick():
    answers = [f"{i % 20}" for i in range(64)]
    assert 0 < repeats.maj_at_k(answers, [a == "0" for a in answers], 32) < 1


def published(name: str):
    path = SHARED / "data" / "extraction_cases" / "lighteval_metric_cases" / f"{name}.json"
    if not path.exists():
        pytest.skip("the shared data is not here")
    for case in json.loads(path.read_text())["test_cases"]:
        gold = case["doc"]["gold_index"]
        golds = [case["doc"]["choices"][i] for i in (gold if isinstance(gold, list) else [gold])]
        texts, params = case["model_response"]["text"], case["metric_params"]
        yield case["name"], texts, golds, params["k"], next(iter(case["expected_output"].values()))


# What lighteval's tables say otherwise, and why ours differs.
AVG_DEVIATES = {"Avg at K - Multiple Correct": (1.0, "reads the first of three golds alone")}
MAJ_DEVIATES = {"Maj at K - No Majority": (1 / 3, "breaks the tie for the answer that came first")}
LETTERS_DEVIATE = {
    # The gold is option 0, whose letter is A; the replies name the option's text, which is a letter too.
    "Pass at K Letters - Correct Letters": (0.5, "compares with the letter A, not with the text"),
    "Pass at K Letters - Multiple Attempts": (2 / 3, "compares with the letter A, not with the text"),
}


@pytest.mark.parametrize(
    ("table", "deviates"), [("avg_at_k", AVG_DEVIATES), ("avg_at_k_math", {})], ids=["plain", "math"]
)
def test_avg_at_k_table_of_lighteval(table, deviates):
    for name, texts, golds, k, want in published(table):
        found = stats.mean([float(text in golds) for text in texts[:k]]).value
        assert found == pytest.approx(deviates.get(name, (want,))[0], abs=0.01), name


@pytest.mark.parametrize(
    ("table", "deviates"), [("pass_at_k", {}), ("pass_at_k_math", {}), ("pass_at_k_letters", LETTERS_DEVIATE)]
)
def test_pass_at_k_table_of_lighteval(table, deviates):
    for name, texts, golds, k, want in published(table):
        found = repeats.pass_at_k(len(texts), sum(text in golds for text in texts), k)
        assert found == pytest.approx(deviates.get(name, (want,))[0], abs=0.01), name


def test_maj_at_k_table_of_lighteval():
    for name, texts, golds, k, want in published("maj_at_k"):
        found = repeats.maj_at_k(texts[:k], [text in golds for text in texts[:k]])
        assert found == pytest.approx(MAJ_DEVIATES.get(name, (want,))[0], abs=0.01), name


# Coverage by simulation: at least 95 % minus three simulation standard errors


def covered(intervals, truth: float) -> float:
    return float(np.mean([found.low <= truth <= found.high for found in intervals]))


def least(simulations: int) -> float:
    return 0.95 - 3 * float(np.sqrt(0.95 * 0.05 / simulations))


def test_coverage_of_clustered_means_at_the_size_of_aime():
    # 30 samples, 16 repeats; the chance to solve a sample is Beta(1, 1) between samples
    random = np.random.default_rng(11)
    clusters = np.repeat(np.arange(30), 16).tolist()
    solved = random.random((2000, 30, 1)) > random.random((2000, 30, 16))
    found = [stats.clustered_mean(run.ravel(), clusters, bounds=(0, 1)) for run in solved.astype(float)]
    assert least(2000) <= covered(found, 0.5) <= 0.985


def test_coverage_of_stratified_means():
    random = np.random.default_rng(12)
    groups = np.repeat(np.arange(14), np.arange(4, 18)).tolist()
    truth = np.linspace(0.2, 0.8, 14)
    runs = random.random((2000, len(groups))) < truth[groups]
    found = [strata.stratified_mean(run.astype(float), groups, bounds=(0, 1)) for run in runs]
    assert least(2000) <= covered(found, 0.5) <= 0.985


def test_coverage_of_wilson_over_shares():
    # exact, by summing the binomial: near 95 % on average over p, never far below
    p = np.linspace(0.02, 0.98, 97)
    chance = np.zeros_like(p)
    for successes in range(199):
        found = stats.wilson(successes, 198)
        chance += scipy_stats.binom.pmf(successes, 198, p) * ((found.low <= p) & (p <= found.high))
    assert chance.mean() == pytest.approx(0.95, abs=0.005)
    assert chance.min() > 0.92


def test_coverage_of_the_bootstrap_of_a_ratio():
    random = np.random.default_rng(13)
    found = []
    for seed in range(400):
        x, y = random.normal(10, 2, 30), random.normal(5, 2, 30)
        found.append(
            stats.bootstrap(30, lambda i, x=x, y=y: float(y[i].sum() / x[i].sum()), seed=seed, resamples=400)
        )
    assert least(400) <= covered(found, 0.5) <= 0.985
