"""Sequential evidence: promises at every time, and how soon it decides."""

from __future__ import annotations

import numpy as np
import pytest

from evals.verdicts.betting import Bets, stakes
from tests.support.sizes import size


def draws(rng, n: int, *, discordance: float, loss: float) -> np.ndarray:
    """Gains of a pair of runs: -1, 0 or 1."""
    shares = [(discordance + loss) / 2, 1 - discordance, (discordance - loss) / 2]
    return rng.choice([-1.0, 0.0, 1.0], size=n, p=shares)


def race(gains: np.ndarray, *, margin: float, alpha: float = 0.05, step: int = 25) -> tuple[str, int]:
    """Ask until decided, looking after every `step` samples (the process looks at each of them)."""
    bets = Bets(margin=margin)
    for start in range(0, len(gains), step):
        bets.add(gains[start : start + step])
        if bets.is_regression(alpha):
            return "regression", start + step
        if bets.passes(alpha):
            return "pass", start + step
    return "cannot tell", len(gains)


def test_one_by_one_is_the_same_as_at_once():
    gains = draws(np.random.default_rng(0), 400, discordance=0.2, loss=0.0)
    one, many = Bets(margin=0.05), Bets(margin=0.05)
    many.add(gains)
    for gain in gains:
        one.add([gain])
    assert one.max_log_pass_wealth == pytest.approx(many.max_log_pass_wealth)
    assert one.max_log_regression_wealth == pytest.approx(many.max_log_regression_wealth)
    assert one.limits(0.05) == pytest.approx(many.limits(0.05))


def test_wealth_is_the_product_by_hand():
    bets = Bets(margin=0.1)
    bets.add([1.0, -1.0])
    shares = stakes(0.1) / 0.9  # stakes against "mean <= -0.1": the least value is -1, so 1/(1 - 0.1) is safe
    wealth = np.array([1 + shares * 1.1, (1 + shares * 1.1) * (1 - shares * 0.9)]).mean(axis=1)
    assert np.exp(bets.max_log_pass_wealth) == pytest.approx(max(1.0, *wealth))


def test_limits_and_decision_agree():
    gains = draws(np.random.default_rng(1), 3000, discordance=0.15, loss=0.0)
    bets = Bets(margin=0.03)
    for start in range(0, 3000, 25):
        bets.add(gains[start : start + 25])
        low, high = bets.limits(0.05)
        if low > -0.03:
            assert bets.passes(0.05)
        assert low <= high


def test_missing_outcomes_count_against_each_claim():
    sure, unsure = Bets(margin=0.1), Bets(margin=0.1)
    sure.add([0.0] * 80)
    unsure.add([-1.0] * 20 + [0.0] * 60, [1.0] * 20 + [0.0] * 60)
    assert sure.passes(0.05)
    assert not unsure.passes(0.05)
    assert not unsure.is_regression(0.05)
    assert unsure.limits(0.05)[0] < sure.limits(0.05)[0]
    assert unsure.limits(0.05)[1] > sure.limits(0.05)[1]


def test_clusters_of_unequal_size_keep_the_promise():
    # a cluster's samples are one stroke of luck; weights are their number
    rng = np.random.default_rng(2)
    wrong = 0
    for _ in range(300):
        sizes = rng.integers(1, 6, 400)
        gains = sizes * draws(rng, 400, discordance=0.3, loss=0.1)
        bets = Bets(margin=0.1, max_weight=5)
        bets.add(gains, weights=sizes)
        wrong += bets.passes(0.05) or bets.is_regression(0.05)
    assert wrong / 300 <= 0.10 + 3 * np.sqrt(0.1 * 0.9 / 300)


def test_groups_of_unequal_size_leave_power_and_keep_the_promise():
    # a macro mean over groups of 10 to 400: the ten weigh forty times as much as the four hundred
    sizes = np.array([10, 15, 20, 30, 40, 60, 80, 100, 150, 200, 250, 300, 350, 400])
    weights = np.repeat(sizes.sum() / len(sizes) / sizes, sizes)
    evenness = weights.max() * weights.mean() / (weights**2).mean()
    rng = np.random.default_rng(4)
    passes = {0.0: 0, 0.05: 0}
    for loss in passes:
        for _ in range(200):
            order = rng.permutation(len(weights))
            bets = Bets(margin=0.05, max_weight=weights.max(), evenness=evenness)
            bets.add(
                draws(rng, len(weights), discordance=0.15, loss=loss) * weights[order], weights=weights[order]
            )
            passes[loss] += bets.passes(0.05)
    assert passes[0.0] / 200 >= 0.5
    assert passes[0.05] / 200 <= 0.05


def test_a_margin_beyond_the_bounds_is_refused():
    with pytest.raises(ValueError, match="margin must lie"):
        Bets(margin=1.0)


def test_nothing_seen_says_nothing():
    bets = Bets(margin=0.1)
    bets.add([])
    assert bets.limits(0.05) == (-1.0, 1.0)


@pytest.mark.slow
def test_an_unchanged_model_passes_early():
    rng = np.random.default_rng(20261125)
    found = [race(draws(rng, 12_032, discordance=0.12, loss=0.0), margin=0.02) for _ in range(size(80, 250))]
    seen = np.median([n for _, n in found])
    rate = np.mean([verdict == "pass" for verdict, _ in found])
    print(f"unchanged: passes {rate:.3f}, median {seen:.0f} of 12032 samples")
    assert seen <= 2500
    assert rate >= 0.99


@pytest.mark.slow
def test_twice_the_margin_is_found_early():
    rng = np.random.default_rng(20261126)
    found = [race(draws(rng, 12_032, discordance=0.12, loss=0.04), margin=0.02) for _ in range(size(80, 250))]
    rate = np.mean([verdict == "regression" for verdict, _ in found])
    print(f"twice the margin: found {rate:.4f}, median {np.median([n for _, n in found]):.0f} samples")
    assert rate >= 0.99


@pytest.mark.slow
def test_at_the_margin_verdicts_are_wrong_at_most_at_alpha():
    rng = np.random.default_rng(20261127)
    passes = breaches = 0
    runs = size(150, 500)
    for _ in range(runs):
        bets = Bets(margin=0.02)
        bets.add(draws(rng, 12_032, discordance=0.12, loss=0.02))
        passes += bets.passes(0.05)
        breaches += bets.is_regression(0.05)
    print(f"at the margin: wrong passes {passes / runs:.4f}, wrong regressions {breaches / runs:.4f}")
    assert passes / runs <= 0.05
    assert breaches / runs <= 0.05


@pytest.mark.slow
def test_the_confidence_sequence_holds_at_every_look():
    rng = np.random.default_rng(20261128)
    missed, runs = 0, size(60, 120)
    for _ in range(runs):
        bets, gains = Bets(margin=0.05), draws(rng, 2000, discordance=0.2, loss=0.02)
        outside = False
        for start in range(0, 2000, 200):
            bets.add(gains[start : start + 200])
            low, high = bets.limits(0.025)
            outside = outside or not low <= -0.02 <= high
        missed += outside
    print(f"confidence sequence misses the truth at some look: {missed / runs:.4f}")
    assert missed / runs <= 0.05
