"""Betting e-processes: error rates that hold at every look, and the number of samples until a decision."""

from __future__ import annotations

import numpy as np
import pytest

from evals.verdicts.betting import Bets, stakes
from tests.support.error_messages import raises
from tests.support.sizes import size


def random_gains(rng, n: int, *, discordance: float, loss: float) -> np.ndarray:
    """Return the gains of a pair of runs: -1, 0 or 1."""
    shares = [(discordance + loss) / 2, 1 - discordance, (discordance - loss) / 2]
    return rng.choice([-1.0, 0.0, 1.0], size=n, p=shares)


def run_until_decided(
    gains: np.ndarray, *, margin: float, alpha: float = 0.05, step: int = 25
) -> tuple[str, int]:
    """Return the verdict and the number of samples until it, checked after every `step` samples (the process checks after each)."""
    bets = Bets(margin=margin)
    for start in range(0, len(gains), step):
        bets.add(gains[start : start + step])
        if bets.is_regression(alpha):
            return "regression", start + step
        if bets.passes(alpha):
            return "pass", start + step
    return "cannot tell", len(gains)


def test_samples_may_be_added_one_by_one_or_at_once():
    gains = random_gains(np.random.default_rng(0), 400, discordance=0.2, loss=0.0)
    one_by_one, at_once = Bets(margin=0.05), Bets(margin=0.05)
    at_once.add(gains)
    for gain in gains:
        one_by_one.add([gain])
    assert one_by_one.max_log_pass_wealth == pytest.approx(at_once.max_log_pass_wealth)
    assert one_by_one.max_log_regression_wealth == pytest.approx(at_once.max_log_regression_wealth)
    assert one_by_one.limits(0.05) == pytest.approx(at_once.limits(0.05))


def test_wealth_is_the_product_of_the_bets_returns():
    bets = Bets(margin=0.1)
    bets.add([1.0, -1.0])
    # the bet is against "mean <= -0.1"; the smallest value is -1, so the largest safe stake is 1/(1 - 0.1)
    shares = stakes(0.1) / 0.9
    wealth = np.array([1 + shares * 1.1, (1 + shares * 1.1) * (1 - shares * 0.9)]).mean(axis=1)
    assert np.exp(bets.max_log_pass_wealth) == pytest.approx(max(1.0, *wealth))


def test_a_confidence_limit_above_the_margin_implies_a_pass():
    gains = random_gains(np.random.default_rng(1), 3000, discordance=0.15, loss=0.0)
    bets = Bets(margin=0.03)
    for start in range(0, 3000, 25):
        bets.add(gains[start : start + 25])
        low, high = bets.limits(0.05)
        if low > -0.03:
            assert bets.passes(0.05)
        assert low <= high


def test_missing_outcomes_count_against_both_a_pass_and_a_regression():
    complete, incomplete = Bets(margin=0.1), Bets(margin=0.1)
    complete.add([0.0] * 80)
    incomplete.add([-1.0] * 20 + [0.0] * 60, [1.0] * 20 + [0.0] * 60)
    assert complete.passes(0.05)
    assert not incomplete.passes(0.05)
    assert not incomplete.is_regression(0.05)
    assert incomplete.limits(0.05)[0] < complete.limits(0.05)[0]
    assert incomplete.limits(0.05)[1] > complete.limits(0.05)[1]


def test_the_error_rate_holds_for_clusters_of_unequal_size():
    # the samples of a cluster are perfectly correlated; its weight is their number
    rng = np.random.default_rng(2)
    wrong = 0
    for _ in range(300):
        sizes = rng.integers(1, 6, 400)
        gains = sizes * random_gains(rng, 400, discordance=0.3, loss=0.1)
        bets = Bets(margin=0.1, max_weight=5)
        bets.add(gains, weights=sizes)
        wrong += bets.passes(0.05) or bets.is_regression(0.05)
    assert wrong / 300 <= 0.10 + 3 * np.sqrt(0.1 * 0.9 / 300)


def test_power_and_error_rate_hold_for_groups_of_unequal_size():
    # a macro mean over groups of 10 to 400: a sample of the smallest group weighs forty times as much as one of the largest
    sizes = np.array([10, 15, 20, 30, 40, 60, 80, 100, 150, 200, 250, 300, 350, 400])
    weights = np.repeat(sizes.sum() / len(sizes) / sizes, sizes)
    imbalance = weights.max() * weights.mean() / (weights**2).mean()
    rng = np.random.default_rng(4)
    passes = {0.0: 0, 0.05: 0}
    for loss in passes:
        for _ in range(200):
            order = rng.permutation(len(weights))
            bets = Bets(margin=0.05, max_weight=weights.max(), imbalance=imbalance)
            bets.add(
                random_gains(rng, len(weights), discordance=0.15, loss=loss) * weights[order],
                weights=weights[order],
            )
            passes[loss] += bets.passes(0.05)
    assert passes[0.0] / 200 >= 0.5
    assert passes[0.05] / 200 <= 0.05


def test_a_margin_as_wide_as_the_scale_is_refused():
    with raises(ValueError):
        Bets(margin=1.0)


def test_without_samples_the_limits_are_those_of_the_scale():
    bets = Bets(margin=0.1)
    bets.add([])
    assert bets.limits(0.05) == (-1.0, 1.0)


@pytest.mark.slow
def test_an_unchanged_model_passes_early():
    rng = np.random.default_rng(20261125)
    decisions = [
        run_until_decided(random_gains(rng, 12_032, discordance=0.12, loss=0.0), margin=0.02)
        for _ in range(size(80, 250))
    ]
    median = np.median([n for _, n in decisions])
    rate = np.mean([verdict == "pass" for verdict, _ in decisions])
    print(f"unchanged: passes {rate:.3f}, median {median:.0f} of 12032 samples")
    assert median <= 2500
    assert rate >= 0.99


@pytest.mark.slow
def test_a_loss_of_twice_the_margin_is_a_regression():
    rng = np.random.default_rng(20261126)
    decisions = [
        run_until_decided(random_gains(rng, 12_032, discordance=0.12, loss=0.04), margin=0.02)
        for _ in range(size(80, 250))
    ]
    rate = np.mean([verdict == "regression" for verdict, _ in decisions])
    print(
        f"twice the margin: regression {rate:.4f}, median {np.median([n for _, n in decisions]):.0f} samples"
    )
    assert rate >= 0.99


@pytest.mark.slow
def test_at_the_margin_wrong_verdicts_are_at_most_as_frequent_as_alpha():
    rng = np.random.default_rng(20261127)
    passes = regressions = 0
    runs = size(150, 500)
    for _ in range(runs):
        bets = Bets(margin=0.02)
        bets.add(random_gains(rng, 12_032, discordance=0.12, loss=0.02))
        passes += bets.passes(0.05)
        regressions += bets.is_regression(0.05)
    print(f"at the margin: false passes {passes / runs:.4f}, false regressions {regressions / runs:.4f}")
    assert passes / runs <= 0.05
    assert regressions / runs <= 0.05


@pytest.mark.slow
def test_the_confidence_sequence_covers_the_truth_at_all_looks():
    rng = np.random.default_rng(20261128)
    missed, runs = 0, size(60, 120)
    for _ in range(runs):
        bets, gains = Bets(margin=0.05), random_gains(rng, 2000, discordance=0.2, loss=0.02)
        outside = False
        for start in range(0, 2000, 200):
            bets.add(gains[start : start + 200])
            low, high = bets.limits(0.025)
            outside = outside or not low <= -0.02 <= high
        missed += outside
    print(f"confidence sequence misses the truth at some look: {missed / runs:.4f}")
    assert missed / runs <= 0.05
