"""Betting e-processes: evidence against a hypothesis that stays valid when checked after every sample.

A process bets that the mean of bounded values exceeds a null value. Under the null the wealth is a supermartingale, and
the probability that it ever reaches 1/alpha is at most alpha (Ville), whatever the stopping rule. The stakes are a fixed
mixture (Waudby-Smith and Ramdas, *Estimating means of bounded random variables by betting*, JRSS B, 2024): shares c in
(0, 1) of the largest safe stake. The only library, confseq 0.0.11 (2023), does not build on Python 3.11.

>>> bets = Bets(margin=0.1)
>>> bets.add([0.0] * 60)
>>> bets.passes(0.05), bets.is_regression(0.05)
(True, False)
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from math import log

import numpy as np
from numpy.typing import NDArray

STAKE_COUNT = 24
MIN_STAKE, MAX_STAKE = 0.004, 0.9
"""Smallest and largest share of the largest safe stake; the others are log-spaced between them."""
ROUNDING_ERROR = 1e-9
"""Tolerance for sums of gains and weights."""
MAX_MEAN_SQUARE = 0.5
"""Mean squared difference, relative to the squared width, for which the best stake is three times the smallest one."""


def stakes(margin: float, imbalance: float = 1.0) -> NDArray[np.float64]:
    """Return the mixture's shares (STAKE_COUNT,) of the largest safe stake; `margin` is relative to the width.

    The best share grows as imbalance x margin / mean squared difference; see `Bets` for `imbalance`.
    """
    smallest = min(MAX_STAKE / 2, max(MIN_STAKE, imbalance * margin / MAX_MEAN_SQUARE / 3))
    return np.geomspace(smallest, MAX_STAKE, STAKE_COUNT)


class Bets:
    """Bets on the paired differences of one suite, given as gains (positive is better), one cluster at a time in random order.

    `width` is the largest possible gain of a sample, `max_weight` the largest weight of a cluster (1 without clusters;
    the sums over clusters are the independent observations). `imbalance`, max weight x mean weight / mean squared weight,
    measures how much a few heavy clusters (small groups of a macro mean) limit the stakes: 1 for equal weights. With
    `population` (the total weight of all clusters), clusters are drawn without replacement, so that the null hypothesis
    and the observed clusters determine the mean of the remaining ones (Waudby-Smith and Ramdas, section 5).
    """

    def __init__(
        self,
        *,
        margin: float,
        width: float = 1.0,
        max_weight: float = 1.0,
        imbalance: float = 1.0,
        population: float | None = None,
    ) -> None:
        if not 0 < margin < width:
            raise ValueError(f"margin must lie between 0 and {width:g}, got {margin:g}")
        self.margin, self.width, self.max_weight = margin, width, max_weight
        self._stakes = stakes(margin / width, imbalance)
        self.clusters = 0
        self.population = population
        self._clusters_in_order: list[tuple[float, float, float]] = []
        """Worst gain, best gain and weight of every cluster, in order; only for draws without replacement."""
        self._pass_wealth, self._regression_wealth = np.zeros(STAKE_COUNT), np.zeros(STAKE_COUNT)
        """Log wealth, by stake, of the bet that the loss is below the margin, and of the bet that it is above."""
        self.max_log_pass_wealth = self.max_log_regression_wealth = 0.0
        """For each bet, the log of the largest wealth so far, where the wealth is the mean over the stakes."""
        self._worst_counts: Counter[tuple[float, float]] = Counter()
        self._best_counts: Counter[tuple[float, float]] = Counter()

    def add(
        self,
        worst: Sequence[float],
        best: Sequence[float] | None = None,
        weights: Sequence[float] | None = None,
    ) -> None:
        """Add clusters, given as sums of gains with missing outcomes at their worst and at their best value."""
        low = np.asarray(worst, dtype=np.float64)
        high = low if best is None else np.asarray(best, dtype=np.float64)
        weight = np.ones(len(low)) if weights is None else np.asarray(weights, dtype=np.float64)
        if not len(low):
            return
        self.clusters += len(low)
        earlier = np.array(self._clusters_in_order).reshape(-1, 3)
        if self.population is not None:
            self._clusters_in_order += zip(low.tolist(), high.tolist(), weight.tolist(), strict=True)
        sums = earlier.sum(axis=0) if len(earlier) else np.zeros(3)
        pass_growth = self._log_growth(low, weight, -self.margin, sums[0], sums[2])
        regression_growth = self._log_growth(-high, weight, self.margin, -sums[1], sums[2])
        pass_wealth = np.cumsum(pass_growth, axis=0) + self._pass_wealth
        regression_wealth = np.cumsum(regression_growth, axis=0) + self._regression_wealth
        self._pass_wealth, self._regression_wealth = pass_wealth[-1], regression_wealth[-1]
        self.max_log_pass_wealth = max(self.max_log_pass_wealth, float(_log_mean_wealth(pass_wealth).max()))
        self.max_log_regression_wealth = max(
            self.max_log_regression_wealth, float(_log_mean_wealth(regression_wealth).max())
        )
        self._worst_counts.update(zip(low.tolist(), weight.tolist(), strict=True))
        self._best_counts.update(zip(high.tolist(), weight.tolist(), strict=True))

    def _log_growth(
        self,
        totals: NDArray[np.float64],
        weights: NDArray[np.float64],
        null: float,
        earlier_total: float = 0.0,
        earlier_weight: float = 0.0,
    ) -> NDArray[np.float64]:
        """Return the log growth (clusters, stakes) of the bet that the mean exceeds `null`."""
        if self.population is not None:
            return self._log_growth_without_replacement(totals, weights, null, earlier_total, earlier_weight)
        excess = (totals - null * weights) / (self.max_weight * (self.width + null))
        return np.log1p(excess[:, None] * self._stakes)

    def _log_growth_without_replacement(
        self,
        totals: NDArray[np.float64],
        weights: NDArray[np.float64],
        null: float,
        earlier_total: float,
        earlier_weight: float,
    ) -> NDArray[np.float64]:
        """Return `_log_growth` for draws without replacement: the null determines the mean of the remaining clusters."""
        population = self.population or 0.0
        total_before = earlier_total + np.concatenate([[0.0], np.cumsum(totals)[:-1]])
        weight_left = population - earlier_weight - np.concatenate([[0.0], np.cumsum(weights)[:-1]])
        total_left = population * null - total_before
        # whether no values of the remaining clusters could give the null's mean
        impossible = total_left < -self.width * weight_left - ROUNDING_ERROR
        min_mean = self.width * (ROUNDING_ERROR - 1)
        mean = np.clip(total_left / np.maximum(weight_left, np.maximum(weights, 1e-12)), min_mean, self.width)
        excess = (totals - mean * weights) / (self.max_weight * (self.width + mean))
        growth: NDArray[np.float64] = np.log1p(np.maximum(excess, -1.0)[:, None] * self._stakes)
        growth[impossible] = 50.0  # enough to reject at any level in use
        return growth

    def passes(self, alpha: float) -> bool:
        """Return whether "the loss is at least the margin" has been rejected at `alpha` at any time."""
        return self.max_log_pass_wealth >= -log(alpha)

    def is_regression(self, alpha: float) -> bool:
        """Return whether "the loss is at most the margin" has been rejected at `alpha` at any time."""
        return self.max_log_regression_wealth >= -log(alpha)

    def limits(self, alpha: float) -> tuple[float, float]:
        """Return the current limits of the confidence sequence for the mean gain; the error rate of each, over all times, is at most `alpha`."""
        return self._lower_limit(self._worst_counts, 1.0, alpha), -self._lower_limit(
            self._best_counts, -1.0, alpha
        )

    def _lower_limit(self, cluster_counts: Counter[tuple[float, float]], sign: float, alpha: float) -> float:
        """Return the largest mean of `sign` x gain that is rejected, by bisection, since the wealth decreases with the mean.

        Without replacement, the wealth depends on the order of the clusters; it rejects a mean if it was ever large enough.
        """
        if not cluster_counts:
            return -self.width
        is_ordered = self.population is not None
        table = np.array(self._clusters_in_order if is_ordered else list(cluster_counts))
        totals, weights = sign * table[:, 1 if is_ordered and sign < 0 else 0], table[:, -1]
        counts = np.fromiter(cluster_counts.values(), np.float64, len(cluster_counts))
        low, high = -self.width, self.width
        for _ in range(30):
            middle = (low + high) / 2
            growth = self._log_growth(totals, weights, middle)
            log_wealth = np.cumsum(growth, axis=0) if is_ordered else (counts @ growth)[None, :]
            is_rejected = _log_mean_wealth(log_wealth).max() >= -log(alpha)
            low, high = (middle, high) if is_rejected else (low, middle)
        return low


def _log_mean_wealth(log_wealth: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the log of the mean wealth over the stakes, row by row."""
    largest = log_wealth.max(axis=1)
    log_mean: NDArray[np.float64] = largest + np.log(np.exp(log_wealth - largest[:, None]).mean(axis=1))
    return log_mean
