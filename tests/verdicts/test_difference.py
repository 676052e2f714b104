"""Paired evidence against scipy, statsmodels and published output (simulations of the gate: test_simulations.py)."""

from __future__ import annotations

import itertools
from unittest.mock import patch

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from evals.verdicts.difference import (
    BootstrapDifference,
    DiscordantCounts,
    MeanDifference,
    benjamini_hochberg,
    fcr_level,
    holm,
    holm_levels,
    mean_evidence,
    statistic_evidence,
)
from tests.support.error_messages import raises
from tests.support.lazy import lazy
from tests.support.tables import table

scipy_stats = lazy("scipy.stats")
contingency_tables = lazy("statsmodels.stats.contingency_tables")
multitest = lazy("statsmodels.stats.multitest")


@pytest.mark.parametrize(
    ("counts", "level", "low", "high"),
    [
        # output of R's PropCIs::scoreci.mp, as quoted in public repositories
        (DiscordantCounts(28, 25, 618), 0.90, -0.0148, 0.0247),
        (DiscordantCounts(60, 20, 1000), 0.95, 0.0231, 0.0584),
        (DiscordantCounts(48, 41, 549), 0.90, -0.0157, 0.0414),
    ],
)
def test_tangos_interval_has_the_limits_printed_by_propcis(counts, level, low, high):
    assert [round(limit, 4) for limit in counts.interval(level)] == [low, high]


def test_tangos_limits_without_discordant_pairs_are_z2_over_n_plus_z2():
    z2 = scipy_stats.norm.ppf(0.975) ** 2
    assert DiscordantCounts(0, 0, 30).interval(0.95) == pytest.approx(
        (-z2 / (30 + z2), z2 / (30 + z2)), abs=1e-5
    )


@given(st.integers(0, 40), st.integers(0, 40), st.integers(0, 100))
def test_tangos_interval_contains_the_estimate_and_changes_sign_if_the_runs_are_swapped(gains, losses, rest):
    n = max(1, gains + losses + rest)
    low, high = DiscordantCounts(gains, losses, n).interval(0.9)
    assert low - 1e-9 <= (gains - losses) / n <= high + 1e-9
    assert DiscordantCounts(losses, gains, n).interval(0.9) == pytest.approx((-high, -low), abs=1e-6)


def test_tangos_interval_and_p_values_agree():
    counts = DiscordantCounts(7, 18, 198)
    low, high = counts.interval(0.9)
    assert counts.p_above(low) == pytest.approx(0.05, abs=1e-9)
    assert counts.p_below(high) == pytest.approx(0.05, abs=1e-9)


def test_a_scaled_gain_scales_the_interval():
    assert DiscordantCounts(3, 9, 40, scale=100).interval(0.95) == pytest.approx(
        [100 * limit for limit in DiscordantCounts(3, 9, 40).interval(0.95)]
    )


@table(("gains", "losses"), list(itertools.product((0, 1, 5, 17), (0, 3, 25, 140))))
def test_mcnemar_agrees_with_statsmodels(gains, losses):
    p_value = DiscordantCounts(gains, losses, 500).p_equal()
    if gains + losses == 0:
        assert p_value == 1.0
        return
    expected = contingency_tables.mcnemar([[50, gains], [losses, 60]], exact=False, correction=False)
    assert p_value == pytest.approx(expected.pvalue, abs=1e-12)


@given(st.integers(0, 40), st.integers(0, 40), st.integers(1, 100))
def test_the_interval_excludes_zero_exactly_if_p_is_below_the_level(gains, losses, rest):
    counts = DiscordantCounts(gains, losses, gains + losses + rest)
    low, high = counts.interval(0.95)
    assert (low > 0 or high < 0) == (counts.p_equal() < 0.05)


def test_mcnemar_on_agrestis_survey():
    # Agresti, Categorical Data Analysis, table 10.1: approval of the prime minister; 150 and 86 people changed their answer
    expected = contingency_tables.mcnemar([[794, 150], [86, 570]], exact=False, correction=False)
    assert round(expected.statistic, 2) == 17.36
    assert DiscordantCounts(86, 150, 1600).p_equal() == pytest.approx(expected.pvalue, abs=1e-12)


def test_a_mean_difference_agrees_with_scipys_paired_t_test():
    rng = np.random.default_rng(5)
    a, b = rng.normal(size=40), rng.normal(0.3, 1, size=40)
    evidence, expected = mean_evidence(b - a, range(40)), scipy_stats.ttest_rel(b, a)
    assert isinstance(evidence, MeanDifference)
    assert evidence.p_equal() == pytest.approx(expected.pvalue, abs=1e-12)
    assert evidence.interval(0.95) == pytest.approx(tuple(expected.confidence_interval()), abs=1e-12)
    assert evidence.p_above(0.0) == pytest.approx(scipy_stats.ttest_rel(b, a, alternative="greater").pvalue)
    assert evidence.p_below(0.0) == pytest.approx(scipy_stats.ttest_rel(b, a, alternative="less").pvalue)


def test_the_test_is_chosen_by_the_values_their_bounds_clusters_and_number():
    differences = np.array([1.0, 0.0, -1.0, 0.0, 0.0])
    assert mean_evidence(differences, range(5), width=1.0) == DiscordantCounts(1, 1, 5, 1.0)
    assert mean_evidence(differences, list("aabbc"), width=1.0).test == "Gaffke, clustered"
    assert mean_evidence(differences, range(5), groups=list("xxyyy"), width=1.0).test == "Gaffke"
    assert mean_evidence(differences / 2, range(5), width=1.0).test == "Gaffke"
    assert mean_evidence(differences / 2, range(5)).test == "paired t"
    assert mean_evidence(np.tile(differences / 2, 400), range(2000), width=1.0).test == "paired t"


def test_runs_with_equal_outcomes_leave_the_difference_uncertain():
    no_difference = np.zeros(6)
    assert mean_evidence(no_difference, range(6), width=1.0) == DiscordantCounts(0, 0, 6, 1.0)
    assert mean_evidence(no_difference, list("aabbcc"), width=1.0).p_above(-0.1) == pytest.approx(
        0.9**3, rel=0.01
    )
    assert mean_evidence(no_difference, range(6), groups=list("aaabbb"), width=1.0).p_above(
        -0.1
    ) == pytest.approx(0.9**6, rel=0.01)
    assert mean_evidence(np.zeros(2000), [i // 2 for i in range(2000)], width=1.0).interval(0.95)[0] < 0
    two_items = mean_evidence(np.array([0.5, 0.5]), range(2), groups=list("xy"), width=1.0)
    assert two_items.p_equal() > 0.3  # two items are next to no evidence
    assert -1 <= two_items.interval(0.95)[0] < 0 < two_items.interval(0.95)[1] <= 1


@pytest.mark.parametrize(
    "differences", [[0.1] * 3, [0.3 - 0.2, 0.2 - 0.1, 0.1], [1000.3 - 1000.2, 0.1, 0.1], [-0.1] * 3]
)
def test_equal_unbounded_differences_are_tested_by_flipping_their_signs(differences):
    evidence = mean_evidence(np.array(differences), range(3))
    assert evidence.p_equal() == 2 / 2**3  # the t statistic would be infinite, or rounding error
    assert evidence.interval(0.95) is None
    with_strata = mean_evidence(np.array([*differences, 0.5, 0.5, 0.5]), range(6), groups=list("aaabbb"))
    assert with_strata.p_equal() == 2 / 2**6


def test_equal_unbounded_runs_are_non_inferior_as_far_as_their_number_shows():
    few, many = (mean_evidence(np.zeros(n), range(n)) for n in (4, 20))
    assert (few.p_above(-0.1), few.p_above(0.0), few.p_equal(), few.interval(0.95)) == (2**-4, 1.0, 1.0, None)
    assert many.p_above(-0.1) == 2**-20
    assert many.interval(0.95) == (0.0, 0.0)


def test_a_statistic_whose_resamples_differ_by_rounding_only_has_no_interval():
    def statistic(indices):
        return 0.3 + 1e-16 * float(indices[0])

    assert statistic_evidence(20, statistic, seed=0).p_equal() == 1.0


def test_a_single_cluster_is_no_evidence():
    evidence = mean_evidence(np.array([0.5, 0.25]), list("aa"), width=1.0)
    assert evidence.interval(0.95) is None
    assert evidence.p_above(-1) == evidence.p_equal() == 1.0


def test_the_bootstrap_of_a_mean_agrees_with_the_t_test():
    values = np.random.default_rng(8).normal(0.2, 1, 60)
    bootstrap = statistic_evidence(60, lambda i: float(values[i].mean()), seed=1, resamples=20_000)
    expected = mean_evidence(values, range(60))
    assert isinstance(bootstrap, BootstrapDifference)
    assert bootstrap.interval(0.95) == pytest.approx(expected.interval(0.95), abs=0.02)
    assert bootstrap.p_above(0.0) == pytest.approx(expected.p_above(0.0), abs=0.01)
    assert bootstrap.p_below(0.3) == pytest.approx(expected.p_below(0.3), abs=0.02)


def test_the_bootstraps_interval_and_p_values_agree():
    values = np.random.default_rng(9).normal(0.2, 1, 25)
    bootstrap = statistic_evidence(25, lambda i: float(values[i].mean()), seed=1)
    low, high = bootstrap.interval(0.9)
    assert bootstrap.p_above(low) == pytest.approx(0.05, abs=0.002)
    assert bootstrap.p_below(high) == pytest.approx(0.05, abs=0.002)


def test_with_few_resamples_the_interval_uses_their_standard_error():
    values = np.random.default_rng(8).normal(0.2, 1, 60)
    bootstrap = statistic_evidence(60, lambda i: float(values[i].mean()), seed=1, resamples=300)
    assert bootstrap.test == "paired bootstrap (standard error)"
    assert bootstrap.interval(0.95) == pytest.approx(
        mean_evidence(values, range(60)).interval(0.95), abs=0.05
    )


def test_a_statistic_that_is_undefined_on_most_resamples_has_no_interval():
    def rare(indices):
        if 0 not in indices or 1 not in indices:
            raise ValueError("one class only")
        return 1.0

    assert statistic_evidence(3, rare, seed=0).interval(0.95) is None


def test_an_empty_comparison_is_refused():
    with raises(ValueError):
        mean_evidence(np.array([]), [])


P_VALUES = st.lists(st.floats(1e-6, 1), min_size=1, max_size=12)


@settings(max_examples=40)
@given(P_VALUES)
def test_holm_and_benjamini_hochberg_agree_with_statsmodels(p):
    # statsmodels collects garbage after each correction, which is slow in a process with all tests
    with patch("gc.collect"):
        expected = [multitest.multipletests(p, method=method)[1] for method in ("holm", "fdr_bh")]
    assert holm(p) == pytest.approx(expected[0], abs=1e-9)
    assert benjamini_hochberg(p) == pytest.approx(expected[1], abs=1e-9)


def test_benjamini_hochberg_on_the_papers_example():
    # Benjamini and Hochberg 1995, section 3.2: 15 p-values, four rejected at q = .05, three by Bonferroni or Holm
    p = [0.0001, 0.0004, 0.0019, 0.0095, 0.0201, 0.0278, 0.0298, 0.0344, 0.0459, 0.3240, 0.4262, 0.5719]
    p += [0.6528, 0.7590, 1.0000]
    assert sum(x <= 0.05 for x in benjamini_hochberg(p)) == 4
    assert sum(x <= 0.05 for x in holm(p)) == 3
    assert fcr_level(p) == pytest.approx(1 - 4 * 0.05 / 15)


@given(P_VALUES)
def test_holm_levels_reject_what_holm_rejects(p):
    for value, adjusted, level in zip(p, holm(p), holm_levels(p), strict=True):
        if abs(adjusted - 0.05) > 1e-9:
            assert (value <= 1 - level + 1e-12) == (adjusted <= 0.05)


def test_if_no_resample_crosses_the_margin_p_is_that_of_a_t_test():
    draws = tuple(np.sort(np.random.default_rng(1).normal(1.0, 0.1, 2000)).tolist())
    assert BootstrapDifference(1.0, draws, 500).p_equal() < 1e-9
    assert BootstrapDifference(1.0, draws, 500).p_above(0.9) == pytest.approx(0.159, abs=0.03)


def test_a_bounded_statistic_of_equal_runs_remains_uncertain():
    evidence = statistic_evidence(20, lambda i: 0.0, seed=0, width=1.0)
    assert evidence.p_above(-0.05) > 0.05
    assert evidence.interval(0.95)[0] < -0.05
    assert statistic_evidence(20, lambda i: 0.3, seed=0, width=1.0).interval(0.95) is None
