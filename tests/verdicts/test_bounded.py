"""Gaffke's test against Clopper-Pearson limits, against simulations of its definition, and on a loss that a t test misses."""

from __future__ import annotations

import numpy as np
import pytest

from evals.verdicts.bounded import BoundedDifference, gaffke, probability_below_zero
from evals.verdicts.difference import mean_evidence
from tests.support.lazy import lazy

scipy_stats = lazy("scipy.stats")
proportions = lazy("statsmodels.stats.proportion")


@pytest.mark.parametrize(("hits", "n"), [(27, 30), (11, 12), (30, 30), (170, 198), (3, 5)])
def test_values_of_one_and_minus_one_have_clopper_pearson_limits(hits, n):
    values = np.r_[np.ones(hits), -np.ones(n - hits)]
    low, high = proportions.proportion_confint(hits, n, method="beta")
    assert BoundedDifference.of(values, width=1.0).interval(0.95) == pytest.approx(
        (2 * low - 1, 2 * high - 1), abs=0.004
    )


@pytest.mark.parametrize("seed", range(6))
def test_the_saddlepoint_approximation_is_close_to_simulated_exponential_sums(seed):
    rng = np.random.default_rng(seed)
    terms = rng.normal(0.3, 0.5, 40)
    simulated = (rng.exponential(size=(400_000, 40)) @ terms <= 0).mean()
    assert probability_below_zero(terms[None, :])[0] == pytest.approx(simulated, rel=0.03, abs=2e-4)


def test_differences_that_are_all_zero_pass_only_with_enough_samples():
    assert BoundedDifference.of(np.zeros(30), width=1.0).p_above(-0.05) == pytest.approx(0.95**30, rel=0.01)
    assert (
        BoundedDifference.of(np.zeros(60), width=1.0).p_above(-0.05)
        < 0.05
        < BoundedDifference.of(np.zeros(57), width=1.0).p_above(-0.05)
    )


def test_with_many_values_the_interval_is_close_to_that_of_t():
    values = np.random.default_rng(2).normal(0.01, 0.1, 1500).clip(-1, 1)
    expected = scipy_stats.ttest_1samp(values, 0).confidence_interval(0.95)
    assert BoundedDifference.of(values, width=1.0).interval(0.95) == pytest.approx(tuple(expected), abs=0.002)


@pytest.mark.slow
def test_a_loss_on_few_questions_passes_at_most_at_the_stated_rate():
    # 30 questions with 16 replies each; the candidate loses on a tenth of the questions
    margin = 0.0626  # just below the expected loss of 0.0627, from 4 million simulated questions
    rng = np.random.default_rng(7)
    passes = passes_by_t = 0
    for _ in range(1000):
        probabilities = rng.beta(4, 1, 30)
        candidate_probabilities = np.where(
            rng.random(30) < 0.1, np.maximum(probabilities - 0.65, 0), probabilities
        )
        differences = (rng.binomial(16, candidate_probabilities) - rng.binomial(16, probabilities)) / 16
        passes += mean_evidence(differences, range(30), width=1.0).p_above(-margin) <= 0.05
        passes_by_t += scipy_stats.ttest_1samp(differences, -margin, alternative="greater").pvalue <= 0.05
    print("false passes:", passes / 1000, "by t:", passes_by_t / 1000)
    assert passes / 1000 <= 0.07


def test_a_mean_of_group_means_gives_groups_equal_weight():
    d = np.array([0.5, 0.0, 0.0, 0.0])
    assert BoundedDifference.of(d, width=1.0, groups=list("abbb")).value == pytest.approx(0.25)
    assert gaffke(d[None, :] / 4, np.full((1, 4), 0.25), -1.5, 1.0)[0] <= 1


def test_counts_of_equal_differences_give_the_same_p_values_as_the_differences_themselves():
    rng = np.random.default_rng(3)
    values = np.array([-1.0, -0.5, 0.0, 0.5, 1.0])
    differences = rng.choice(values, (6, 40), p=[0.1, 0.2, 0.4, 0.2, 0.1])
    differences[0] = 0.0
    differences[1] = 1.0
    counts_of_values = (differences[:, :, None] == values).sum(axis=1).astype(float)
    p_values = gaffke(differences / 40, np.full((6, 40), 1 / 40), -0.1, 1.0)
    assert gaffke(values / 40, np.full(5, 1 / 40), -0.1, 1.0, counts=counts_of_values) == pytest.approx(
        p_values, abs=1e-9
    )
