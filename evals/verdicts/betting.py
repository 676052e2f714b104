"""Betting e-processes: evidence against a hypothesis that stays valid when checked after every sample.

A process bets that the mean of bounded values exceeds a null value. Under the null the wealth is a supermartingale, and
the probability that it ever reaches 1/alpha is at most alpha for every stopping rule (Ville).
Waudby-Smith and Ramdas, *Estimating means of bounded random variables by betting* (JRSS B, 2024): a fixed
mixture of stakes, here shares c in (0, 1) of the largest safe stake. The only library, confseq 0.0.11 (2023), does not
build on Python 3.11.

>>> bets = Bets(margin=0.1)
>>> bets.add([0.0] * 60)
>>> bets.passes(0.05), bets.breaches(0.05)
(True, False)
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from math import log
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

STAKE_COUNT = 24
MIN_STAKE, MAX_STAKE = 0.004, 0.9
"""Smallest and largest share of the largest safe stake; the others are log-spaced between them."""
MAX_MEAN_SQUARE = 0.5
"""Mean square of a difference, in squared widths, at which the best stake is three times the smallest one of the mixture."""


def stakes(margin: float, evenness: float = 1.0) -> NDArray[np.float64]:
    """Return the mixture's shares (STAKES,) of the largest safe stake; `margin` in widths, `evenness` as in `Bets`.

    The best share grows as evenness x margin / mean squared difference.
    """
    import numpy as np

    least = min(MAX_STAKE / 2, max(MIN_STAKE, evenness * margin / MAX_MEAN_SQUARE / 3))
    return np.geomspace(least, MAX_STAKE, STAKE_COUNT)


class Bets:
    """Bets on the paired differences of one suite, as gains (positive is better), cluster by cluster in random order.

    `width` is the largest possible gain of a sample, `largest` the largest weight of a cluster (1 without clusters; the
    sums over clusters are the independent observations). `evenness`, largest x mean weight / mean squared weight, tells
    how much a few heavy clusters (small groups of a macro mean) limit the stakes: 1 for equal weights. With `population`,
    the weight of all existing clusters, the bets are about the mean of these clusters: without replacement, the observed
    ones determine the mean of the rest if the loss is at the margin (Waudby-Smith and Ramdas, section 5).
    """

    def __init__(
        self,
        *,
        margin: float,
        width: float = 1.0,
        largest: float = 1.0,
        evenness: float = 1.0,
        population: float | None = None,
    ) -> None:
        import numpy as np

        if not 0 < margin < width:
            raise ValueError(f"margin must lie between 0 and {width:g}, got {margin:g}")
        self.margin, self.width, self.largest = margin, width, largest
        self._stakes = stakes(margin / width, evenness)
        self.clusters = 0
        self.population = population
        self._seen: list[tuple[float, float, float]] = []
        """Worst, best and weight of every cluster, in order; only for draws without replacement."""
        self._pass, self._breach = np.zeros(STAKE_COUNT), np.zeros(STAKE_COUNT)
        self.best_pass = self.best_breach = 0.0
        """Largest log wealth so far, of the bet that the loss is less than the margin, and that it is more."""
        self._worst: Counter[tuple[float, float]] = Counter()
        self._best: Counter[tuple[float, float]] = Counter()

    def add(
        self,
        worst: Sequence[float],
        best: Sequence[float] | None = None,
        weights: Sequence[float] | None = None,
    ) -> None:
        """Add clusters by the sums of their gains, with missing outcomes at their worst and at their best."""
        import numpy as np

        low = np.asarray(worst, dtype=np.float64)
        high = low if best is None else np.asarray(best, dtype=np.float64)
        size = np.ones(len(low)) if weights is None else np.asarray(weights, dtype=np.float64)
        if not len(low):
            return
        self.clusters += len(low)
        before = np.array(self._seen).reshape(-1, 3)
        if self.population is not None:
            self._seen += zip(low.tolist(), high.tolist(), size.tolist(), strict=True)
        sums = before.sum(axis=0) if len(before) else np.zeros(3)
        up = np.cumsum(self._logs(low, size, -self.margin, sums[0], sums[2]), axis=0) + self._pass
        down = np.cumsum(self._logs(-high, size, self.margin, -sums[1], sums[2]), axis=0) + self._breach
        self._pass, self._breach = up[-1], down[-1]
        self.best_pass = max(self.best_pass, float(_log_mean_wealth(up).max()))
        self.best_breach = max(self.best_breach, float(_log_mean_wealth(down).max()))
        self._worst.update(zip(low.tolist(), size.tolist(), strict=True))
        self._best.update(zip(high.tolist(), size.tolist(), strict=True))

    def _logs(
        self,
        totals: NDArray[np.float64],
        weights: NDArray[np.float64],
        null: float,
        seen: float = 0.0,
        weight: float = 0.0,
    ) -> NDArray[np.float64]:
        """Return the log growth by cluster and stake of the bet that the mean exceeds `null`, after `seen` of `weight`."""
        import numpy as np

        if self.population is not None:
            return self._without_replacement(totals, weights, null, seen, weight)
        excess = (totals - null * weights) / (self.largest * (self.width + null))
        return np.log1p(excess[:, None] * self._stakes)

    def _without_replacement(
        self,
        totals: NDArray[np.float64],
        weights: NDArray[np.float64],
        null: float,
        seen: float,
        weight: float,
    ) -> NDArray[np.float64]:
        """Return `_logs` for draws without replacement: the null determines the mean of the remaining clusters."""
        import numpy as np

        gone = seen + np.concatenate([[0.0], np.cumsum(totals)[:-1]])
        left = (self.population or 0.0) - weight - np.concatenate([[0.0], np.cumsum(weights)[:-1]])
        rest = (self.population or 0.0) * null - gone
        refuted = rest < -self.width * left - 1e-9  # the remaining clusters cannot be as bad as that
        lowest = self.width * (1e-9 - 1)
        mean = np.clip(rest / np.maximum(left, np.maximum(weights, 1e-12)), lowest, self.width)
        excess = (totals - mean * weights) / (self.largest * (self.width + mean))
        growth: NDArray[np.float64] = np.log1p(np.maximum(excess, -1.0)[:, None] * self._stakes)
        growth[refuted] = 50.0
        return growth

    def passes(self, alpha: float) -> bool:
        """Return whether "the loss is at least the margin" was ever refuted at `alpha`."""
        return self.best_pass >= -log(alpha)

    def breaches(self, alpha: float) -> bool:
        """Return whether "the loss is at most the margin" was ever refuted at `alpha`."""
        return self.best_breach >= -log(alpha)

    def limits(self, alpha: float) -> tuple[float, float]:
        """Return the confidence sequence of the mean gain; each limit holds at all times at `alpha`."""
        return self._limit(self._worst, 1.0, alpha), -self._limit(self._best, -1.0, alpha)

    def _limit(self, seen: Counter[tuple[float, float]], sign: float, alpha: float) -> float:
        """Return the largest value that the bet on a greater mean refutes; growth falls as the value rises."""
        import numpy as np

        if not seen:
            return -self.width
        if self.population is not None:
            return self._ordered_limit(sign, alpha)
        keys = np.array(list(seen))
        counts = np.fromiter(seen.values(), np.float64, len(seen))
        low, high = -self.width, self.width
        for _ in range(30):
            middle = (low + high) / 2
            wealth = counts @ self._logs(sign * keys[:, 0], keys[:, 1], middle)
            low, high = (
                (middle, high) if _log_mean_wealth(wealth[None, :])[0] >= -log(alpha) else (low, middle)
            )
        return low

    def _ordered_limit(self, sign: float, alpha: float) -> float:
        """Return `_limit` for draws without replacement, at the largest wealth so far."""
        import numpy as np

        rows = np.array(self._seen)
        totals, low, high = sign * rows[:, 0 if sign > 0 else 1], -self.width, self.width
        for _ in range(30):
            middle = (low + high) / 2
            wealth = _log_mean_wealth(np.cumsum(self._logs(totals, rows[:, 2], middle), axis=0)).max()
            low, high = (middle, high) if wealth >= -log(alpha) else (low, middle)
        return low


def _log_mean_wealth(logs: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the log of the mean wealth over the stakes, row by row."""
    import numpy as np

    top = logs.max(axis=1)
    mixed: NDArray[np.float64] = top + np.log(np.exp(logs - top[:, None]).mean(axis=1))
    return mixed
