"""MOVER and DeLong intervals against second implementations, by statsmodels, scipy and the published formulas."""

from __future__ import annotations

from math import exp, log

import numpy as np
import pytest

from evals.report import statistics as stats
from evals.scorers.labels import roc_auc
from evals.types import Point
from tests.support.lazy import lazy

scipy_stats = lazy("scipy.stats")
proportions = lazy("statsmodels.stats.proportion")


@pytest.mark.parametrize(
    ("x", "n", "y", "m"), [(8, 10, 3, 20), (190, 198, 25, 30), (0, 30, 30, 30), (50, 99, 1, 40)]
)
def test_mover_of_two_shares_is_newcombes_hybrid_score_interval(x, n, y, m):
    # p + q = p - (1 - q) + 1, and Newcombe's method 10 (1998) is MOVER of two Wilson intervals (Zou and Donner 2008)
    low, high = proportions.confint_proportions_2indep(x, n, m - y, m, method="newcomb", compare="diff")
    estimate = stats.mean_of_parts([stats.wilson(x, n), stats.wilson(y, m)])
    assert estimate.value == pytest.approx((x / n + y / m) / 2)
    assert estimate.low == pytest.approx((low + 1) / 2, abs=1e-12)
    assert estimate.high == pytest.approx((high + 1) / 2, abs=1e-12)


def point(i: int, score: float, *, positive: bool) -> Point:
    predicted = score > 0
    labels = ("no", "yes")
    verdict = "right" if predicted == positive else "wrong"
    return Point(
        str(i),
        0,
        "",
        str(i),
        verdict,
        float(predicted == positive),
        labels[predicted],
        labels[positive],
        2,
        {"score": score},
    )


@pytest.mark.parametrize(
    ("seed", "positives", "negatives", "ties"), [(0, 20, 30, False), (1, 60, 140, False), (2, 25, 40, True)]
)
def test_delongs_interval_agrees_with_the_published_formula(seed, positives, negatives, ties):
    rng = np.random.default_rng(seed)
    positive_scores, negative_scores = rng.normal(1, 1, positives), rng.normal(0, 1, negatives)
    if ties:
        positive_scores, negative_scores = positive_scores.round(), negative_scores.round()
    points = [point(i, float(s), positive=True) for i, s in enumerate(positive_scores)]
    points += [point(positives + i, float(s), positive=False) for i, s in enumerate(negative_scores)]
    estimate = roc_auc.interval([[item] for item in points])
    # DeLong, DeLong and Clarke-Pearson (1988): psi over all pairs, variances of its row and column means
    psi = (positive_scores[:, None] > negative_scores[None, :]) + 0.5 * (
        positive_scores[:, None] == negative_scores[None, :]
    )
    area = psi.mean()
    variance = psi.mean(axis=1).var(ddof=1) / positives + psi.mean(axis=0).var(ddof=1) / negatives
    logit = log(area / (1 - area))
    t = scipy_stats.t.ppf(0.975, min(positives, negatives) - 1)
    half = t * variance**0.5 / (area * (1 - area))
    u = scipy_stats.mannwhitneyu(positive_scores, negative_scores).statistic
    assert estimate.value == pytest.approx(u / positives / negatives)
    assert estimate.low == pytest.approx(1 / (1 + exp(half - logit)))
    assert estimate.high == pytest.approx(1 / (1 + exp(-half - logit)))


@pytest.mark.parametrize("n", [20, 60])
def test_the_limit_for_perfect_separation_is_that_of_as_many_right_items(n: int) -> None:
    points = [point(i, 1.0 if i % 2 else -1.0, positive=bool(i % 2)) for i in range(2 * n)]
    estimate = roc_auc.interval([[item] for item in points])
    assert (estimate.value, estimate.high) == (1.0, 1.0)
    method = "beta" if n < 30 else "wilson"
    assert estimate.low == pytest.approx(proportions.proportion_confint(n, n, method=method)[0])


def test_a_bootstrap_without_variation_has_no_interval() -> None:
    estimate = stats.bootstrap(40, lambda indices: 0.7, seed=0, resamples=50)
    assert (estimate.value, estimate.low, estimate.high) == (0.7, None, None)
