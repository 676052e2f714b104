"""Gaffke's test of the mean of bounded differences, which does not use their variance.

A loss on few items may be absent from a small sample; with thirty items, a t test passes such a loss four times as often
as its level allows. Gaffke's test (*Three test statistics for a nonparametric one-sided hypothesis on the mean of a
nonnegative variable*, 2005; studied as a bound by Phan, Thomas and Learned-Miller, ICML 2021) adds one observation at
the worst bound and computes the probability that a Dirichlet mixture of all of them lies on the wrong side. For binary
values it is the test of Clopper and Pearson; for many values it approaches the t test.

>>> even = Bounded.of([0.0] * 30, width=1.0)
>>> round(even.p_above(-0.05), 3), round(0.95**30, 3)
(0.215, 0.215)
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from math import fsum, log, pi, sqrt
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Array = NDArray[np.float64]

MAX_CLUSTERS = 2000
"""Number of clusters from which the t test is used instead, because rare losses are visible in so many."""


class Bounded(NamedTuple):
    """A weighted mean of differences within +-`width`, by cluster."""

    value: float
    """Observed difference, B minus A."""
    sums: Array
    """Weighted sum of differences of each kind of cluster, whatever the order of the clusters."""
    shares: Array
    """Weight of each kind of cluster."""
    times: Array
    """Number of clusters of each kind."""
    width: float
    test: str = "Gaffke"

    @classmethod
    def of(
        cls,
        differences: Sequence[float] | Array,
        *,
        width: float,
        clusters: Sequence[Hashable] | None = None,
        groups: Sequence[Hashable] | None = None,
        weights: Mapping[Any, float] | None = None,
    ) -> Bounded:
        """Weigh differences; with `groups` their mean is that of the groups' means, weighted equally by default."""
        import numpy as np

        from evals.report.strata import item_weights

        array = np.asarray(differences, dtype=np.float64)
        each = item_weights(len(array), groups, weights)
        sums, test = array * each, "Gaffke"
        if clusters is not None and len(set(clusters)) < len(array):
            seen: dict[Hashable, int] = {}
            codes = np.fromiter((seen.setdefault(name, len(seen)) for name in clusters), np.intp, len(array))
            sums, each = (np.bincount(codes, part).astype(np.float64) for part in (sums, each))
            test = "Gaffke, clustered"
        kinds, times = np.unique(np.column_stack([sums, each]).round(14), axis=0, return_counts=True)
        return cls(fsum(sums.tolist()), kinds[:, 0], kinds[:, 1], times[None, :].astype(float), width, test)

    def interval(self, level: float) -> tuple[float, float]:
        """Return the two-sided interval, each end by its own one-sided test."""
        tail = (1 - level) / 2
        return self._limit(self.sums, tail, self.value), -self._limit(-self.sums, tail, -self.value)

    def p_above(self, margin: float) -> float:
        """Return the one-sided p-value of "the true difference is at most `margin`"."""
        return self._p(self.sums, margin)

    def p_below(self, margin: float) -> float:
        """Return the one-sided p-value of "the true difference is at least `margin`"."""
        return self._p(-self.sums, -margin)

    def p_equal(self) -> float:
        """Return the two-sided p-value of "there is no difference"."""
        return min(1.0, 2 * min(self.p_above(0.0), self.p_below(0.0)))

    def _p(self, sums: Array, margin: float) -> float:
        if margin <= -self.width:
            return 0.0
        if margin >= self.width:
            return 1.0
        return float(gaffke(sums, self.shares, margin, self.width, tallies=self.times)[0])

    def _limit(self, sums: Array, tail: float, high: float) -> float:
        from scipy.optimize import brentq

        low = -self.width
        if high <= low or self._p(sums, high) <= tail:
            return high
        limit = brentq(lambda margin: self._p(sums, margin) - tail, low, high, xtol=1e-14 * self.width)
        return round(float(limit), 12)  # independent of the order of the samples


def gaffke(sums: Array, shares: Array, margin: float, width: float, *, tallies: Array | None = None) -> Array:
    """Return p-values of "the mean is at most `margin`" for data sets in rows: sums and weights of their clusters.

    P(sum of E_c a_c <= 0) for standard exponential E_c and a_c = sums - margin shares, with one a of the largest
    weight at -width; by the saddlepoint approximation of Lugannani and Rice (1980), accurate to about 1 %. With `tallies`
    (data sets, kinds), `sums` and `shares` (kinds,) are those of each kind of cluster, and rows hold their numbers.
    """
    import numpy as np

    if tallies is not None:
        present = tallies > 0
        sums, shares = np.where(present, sums, 0.0), np.where(present, shares, 0.0)
        tallies = np.concatenate([tallies, np.ones((len(tallies), 1))], axis=1)
    worst = shares.max(axis=1, keepdims=True) * (-width - margin)
    return probability_below_zero(np.concatenate([sums - margin * shares, worst], axis=1), tallies)


def probability_below_zero(terms: Array, tallies: Array | None = None) -> Array:
    """Return P(sum of a_c E_c <= 0) for standard exponential E_c and rows of a_c, each counted once or as tallied."""
    import numpy as np
    from scipy.special import ndtr

    times = np.ones_like(terms) if tallies is None else tallies
    scale = np.sqrt(_weighted_row_sums(times, terms**2))[:, None]
    a = terms / np.where(scale > 0, scale, 1.0)
    least, most = a.min(axis=1), a.max(axis=1)
    open_ = (least < 0) & (most > 0)
    p_values = np.where(most <= 0, 1.0, 0.0)
    if not open_.any():
        return p_values
    a, times = a[open_], times[open_]
    t = _saddlepoint(a, times, 1 / least[open_], 1 / most[open_])
    rest = 1 - t[:, None] * a
    ratio = a / rest
    cumulant, second, third = (
        -_weighted_row_sums(times, np.log(rest)), _weighted_row_sums(times, ratio**2), 2 * _weighted_row_sums(times, ratio**3)
    )  # fmt: skip
    w = np.sign(t) * np.sqrt(np.maximum(0.0, -2 * cumulant))
    u = t * np.sqrt(second)
    near = np.abs(w) < 1e-4
    with np.errstate(divide="ignore", invalid="ignore"):
        p = ndtr(w) + np.exp(-w * w / 2) / sqrt(2 * pi) * (1 / w - 1 / u)
    p_values[open_] = np.clip(np.where(near, 0.5 + third / second**1.5 / (6 * sqrt(2 * pi)), p), 0.0, 1.0)
    return p_values


def _weighted_row_sums(times: Array, terms: Array) -> Array:
    """Return the sum of each row's terms, weighted by their counts."""
    import numpy as np

    sums: Array = np.einsum("ij,ij->i", times, terms)
    return sums


def _saddlepoint(a: Array, times: Array, low: Array, high: Array) -> Array:
    """Return the root of the cumulant's derivative between its poles, by bracketed Newton steps."""
    import numpy as np

    t = np.clip(-_weighted_row_sums(times, a), 0.9 * low, 0.9 * high)
    low, high, enough = low.copy(), high.copy(), 1e-11 * (high - low)
    open_ = np.arange(len(t))
    for _ in range(60):
        at, part, weight = t[open_], a[open_], times[open_]
        ratio = part / (1 - at[:, None] * part)
        slope = _weighted_row_sums(weight, ratio)
        low[open_], high[open_] = np.where(slope < 0, at, low[open_]), np.where(slope < 0, high[open_], at)
        step = at - slope / np.einsum("ij,ij,ij->i", weight, ratio, ratio)
        inside = (step > low[open_]) & (step < high[open_])
        t[open_] = np.where(inside, step, (low[open_] + high[open_]) / 2)
        open_ = open_[np.abs(t[open_] - at) > enough[open_]]
        if not len(open_):
            break
    root: Array = t
    return root


def smallest_p(clusters: int, margin: float, width: float) -> float:
    """Return the smallest possible p-value of a pass: that of clusters without any difference."""
    return (1 - margin / width) ** clusters if margin < width else 0.0


def min_clusters(alpha: float, margin: float, width: float) -> int:
    """Return the minimal number of clusters with which an unchanged model can pass."""
    from math import ceil

    return ceil(log(alpha) / log(1 - margin / width)) if margin < width else 1
