"""Gaffke's test against Clopper and Pearson, simulation of its own definition, and the loss that a t test passes."""

from __future__ import annotations

import numpy as np
import pytest

from evals.verdicts.bounded import BoundedDifference, gaffke, probability_below_zero
from evals.verdicts.difference import mean_evidence
from tests.support.lazy import lazy

scipy_stats = lazy("scipy.stats")
proportions = lazy("statsmodels.stats.proportion")


@pytest.mark.parametrize(("hits", "n"), [(27, 30), (11, 12), (30, 30), (170, 198), (3, 5)])
def test_values_of_yes_and_no_have_clopper_and_pearsons_limits(hits, n):
    values = np.r_[np.ones(hits), -np.ones(n - hits)]
    low, high = proportions.proportion_confint(hits, n, method="beta")
    assert BoundedDifference.of(values, width=1.0).interval(0.95) == pytest.approx(
        (2 * low - 1, 2 * high - 1), abs=0.004
    )


@pytest.mark.parametrize("seed", range(6))
def test_the_saddlepoint_is_within_a_percent_or_two_of_the_mixture(seed):
    rng = np.random.default_rng(seed)
    terms = rng.normal(0.3, 0.5, 40)
    drawn = (rng.exponential(size=(400_000, 40)) @ terms <= 0).mean()
    assert probability_below_zero(terms[None, :])[0] == pytest.approx(drawn, rel=0.03, abs=2e-4)


def test_no_difference_at_all_passes_only_if_there_are_enough_samples():
    assert BoundedDifference.of(np.zeros(30), width=1.0).p_above(-0.05) == pytest.approx(0.95**30, rel=0.01)
    assert (
        BoundedDifference.of(np.zeros(60), width=1.0).p_above(-0.05)
        < 0.05
        < BoundedDifference.of(np.zeros(57), width=1.0).p_above(-0.05)
    )


def test_many_values_come_close_to_t():
    values = np.random.default_rng(2).normal(0.01, 0.1, 1500).clip(-1, 1)
    want = scipy_stats.ttest_1samp(values, 0).confidence_interval(0.95)
    assert BoundedDifference.of(values, width=1.0).interval(0.95) == pytest.approx(tuple(want), abs=0.002)


def test_a_loss_on_few_questions_passes_no_more_often_than_promised():
    # thirty questions asked 16 times each; the candidate loses 5 points, all of it on every tenth question
    rng = np.random.default_rng(7)
    wrong = by_t = 0
    for _ in range(1000):
        chance = rng.beta(4, 1, 30)
        lost = np.where(rng.random(30) < 0.1, np.maximum(chance - 0.65, 0), chance)
        margin = 0.1 * (0.8 - 0.13)  # less than the expected loss of this design
        d = (rng.binomial(16, lost) - rng.binomial(16, chance)) / 16
        wrong += mean_evidence(d, range(30), width=1.0).p_above(-margin) <= 0.05
        by_t += scipy_stats.ttest_1samp(d, -margin, alternative="greater").pvalue <= 0.05
    print("wrong passes:", wrong / 1000, "by t:", by_t / 1000)
    assert wrong / 1000 <= 0.07


def test_mean_of_group_means_weighs_groups_alike():
    d = np.array([0.5, 0.0, 0.0, 0.0])
    assert BoundedDifference.of(d, width=1.0, groups=list("abbb")).value == pytest.approx(0.25)
    assert gaffke(d[None, :] / 4, np.full((1, 4), 0.25), -1.5, 1.0)[0] <= 1


def test_tallied_differences_have_the_p_values_of_the_single_ones():
    rng = np.random.default_rng(3)
    kinds = np.array([-1.0, -0.5, 0.0, 0.5, 1.0])
    drawn = rng.choice(kinds, (6, 40), p=[0.1, 0.2, 0.4, 0.2, 0.1])
    drawn[0] = 0.0
    drawn[1] = 1.0
    tallies = (drawn[:, :, None] == kinds).sum(axis=1).astype(float)
    single = gaffke(drawn / 40, np.full((6, 40), 1 / 40), -0.1, 1.0)
    assert gaffke(kinds / 40, np.full(5, 1 / 40), -0.1, 1.0, counts=tallies) == pytest.approx(
        single, abs=1e-9
    )
