"""Gaffke's test of the mean of bounded differences, which does not use their variance.

A loss concentrated on a few items may be absent from a small sample: with thirty items, a t test passes such a loss four
times as often as its level allows. Gaffke's test (*Three test statistics for a nonparametric one-sided hypothesis on the mean of a
nonnegative variable*, 2005; studied as a bound by Phan, Thomas and Learned-Miller, ICML 2021) adds one observation at
the lower bound and computes the probability that a mean of all of them with random Dirichlet weights lies beyond the tested mean. For binary
values it is the Clopper-Pearson test; for many values it approaches the t test.

>>> unchanged = BoundedDifference.of([0.0] * 30, width=1.0)
>>> round(unchanged.p_above(-0.05), 3), round(0.95**30, 3)
(0.215, 0.215)
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from math import fsum, pi, sqrt
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from evals.report.statistics import encode_labels
from evals.report.strata import item_weights
from evals.verdicts.evidence import Evidence

Array: TypeAlias = NDArray[np.float64]

MAX_CLUSTERS = 2000
"""From this number of clusters on, the t test is used: a sample of this size contains even rare losses."""


@dataclass(frozen=True)
class BoundedDifference(Evidence):
    """A weighted mean of differences between -`width` and `width`; clusters with the same sum and weight are of one kind."""

    value: float
    sums: Array
    """Weighted sum of the differences in a cluster of each kind, sorted."""
    shares: Array
    """Weight of a cluster of each kind."""
    counts: Array
    """Number of clusters of each kind."""
    width: float
    """Bound of the absolute differences: the width of the metric's range."""
    test: str = "Gaffke"

    @classmethod
    def of(
        cls,
        differences: Sequence[float] | Array,
        clusters: Sequence[Hashable] | None = None,
        *,
        width: float,
        groups: Sequence[Hashable] | None = None,
        weights: Mapping[Any, float] | None = None,
    ) -> BoundedDifference:
        """Return the weighted mean of differences; with `groups`, the mean of the groups' means, equally weighted by default."""
        values = np.asarray(differences, dtype=np.float64)
        weight = item_weights(len(values), groups, weights)
        sums, test = values * weight, "Gaffke"
        if clusters is not None and len(set(clusters)) < len(values):
            codes = encode_labels(values, clusters)[1]
            sums, weight = (np.bincount(codes, column).astype(np.float64) for column in (sums, weight))
            test = "Gaffke, clustered"
        kinds, counts = np.unique(np.column_stack([sums, weight]).round(14), axis=0, return_counts=True)
        return cls(fsum(sums.tolist()), kinds[:, 0], kinds[:, 1], counts[None, :].astype(float), width, test)

    def interval(self, level: float) -> tuple[float, float]:
        """Return the two-sided interval, each end from its own one-sided test."""
        tail = (1 - level) / 2
        return self._lower_limit(self.sums, tail, self.value), -self._lower_limit(
            -self.sums, tail, -self.value
        )

    def _p_value(self, margin: float, side: int) -> float:
        return self._p_above(side * self.sums, side * margin)

    def _p_above(self, sums: Array, margin: float) -> float:
        if margin <= -self.width:
            return 0.0
        if margin >= self.width:
            return 1.0
        return float(gaffke(sums, self.shares, margin, self.width, counts=self.counts)[0])

    def _lower_limit(self, sums: Array, tail: float, upper: float) -> float:
        from scipy.optimize import brentq

        low = -self.width
        if upper <= low or self._p_above(sums, upper) <= tail:
            return upper
        limit = brentq(lambda margin: self._p_above(sums, margin) - tail, low, upper, xtol=1e-14 * self.width)
        return round(float(limit), 12)  # independent of the order of the samples


def gaffke(sums: Array, shares: Array, margin: float, width: float, *, counts: Array | None = None) -> Array:
    """Return p-values against "the mean is at most `margin`", one per row of cluster sums and weights.

    The p-value is P(sum of E_c a_c <= 0) for standard exponential E_c and a_c = sums - margin * shares, plus one
    observation of the largest weight at -width. It is computed by the saddlepoint approximation of Lugannani and Rice
    (1980), accurate to about 1 %. With `counts` (rows, kinds), `sums` and `shares` (kinds,) describe a cluster of each
    kind, and `counts` is how often the kind occurs in each row.
    """
    if counts is not None:
        present = counts > 0
        sums, shares = np.where(present, sums, 0.0), np.where(present, shares, 0.0)
        counts = np.concatenate([counts, np.ones((len(counts), 1))], axis=1)
    added = shares.max(axis=1, keepdims=True) * (-width - margin)
    return probability_below_zero(np.concatenate([sums - margin * shares, added], axis=1), counts)


def probability_below_zero(terms: Array, counts: Array | None = None) -> Array:
    """Return P(sum of a_c E_c <= 0) for standard exponential E_c and rows of a_c, each counted once or `counts` times."""
    from scipy.special import ndtr

    counts = np.ones_like(terms) if counts is None else counts
    scale = np.sqrt(_weighted_row_sums(counts, terms**2))[:, None]
    a = terms / np.where(scale > 0, scale, 1.0)
    lowest, highest = a.min(axis=1), a.max(axis=1)
    is_mixed = (lowest < 0) & (highest > 0)
    p_values = np.where(highest <= 0, 1.0, 0.0)
    if not is_mixed.any():
        return p_values
    a, counts = a[is_mixed], counts[is_mixed]
    t = _saddlepoint(a, counts, 1 / lowest[is_mixed], 1 / highest[is_mixed])
    remainder = 1 - t[:, None] * a
    ratio = a / remainder
    cumulant, second, third = (
        -_weighted_row_sums(counts, np.log(remainder)), _weighted_row_sums(counts, ratio**2),
        2 * _weighted_row_sums(counts, ratio**3),
    )  # fmt: skip
    w = np.sign(t) * np.sqrt(np.maximum(0.0, -2 * cumulant))
    u = t * np.sqrt(second)
    near_mean = np.abs(w) < 1e-4  # 1 / w - 1 / u cancels there: use its limit
    with np.errstate(divide="ignore", invalid="ignore"):
        p = ndtr(w) + np.exp(-w * w / 2) / sqrt(2 * pi) * (1 / w - 1 / u)
    at_mean = 0.5 + third / second**1.5 / (6 * sqrt(2 * pi))
    p_values[is_mixed] = np.clip(np.where(near_mean, at_mean, p), 0.0, 1.0)
    return p_values


def _weighted_row_sums(counts: Array, terms: Array) -> Array:
    sums: Array = np.einsum("ij,ij->i", counts, terms)
    return sums


def _saddlepoint(a: Array, counts: Array, low: Array, high: Array) -> Array:
    """Return the root of the cumulant's derivative between its poles, by bracketed Newton steps."""
    t = np.clip(-_weighted_row_sums(counts, a), 0.9 * low, 0.9 * high)
    low, high, tolerance = low.copy(), high.copy(), 1e-11 * (high - low)
    active = np.arange(len(t))
    for _ in range(60):
        current, terms, active_counts = t[active], a[active], counts[active]
        ratio = terms / (1 - current[:, None] * terms)
        slope = _weighted_row_sums(active_counts, ratio)
        low[active] = np.where(slope < 0, current, low[active])
        high[active] = np.where(slope < 0, high[active], current)
        proposal = current - slope / np.einsum("ij,ij,ij->i", active_counts, ratio, ratio)
        inside = (proposal > low[active]) & (proposal < high[active])
        t[active] = np.where(inside, proposal, (low[active] + high[active]) / 2)
        active = active[np.abs(t[active] - current) > tolerance[active]]
        if not len(active):
            break
    root: Array = t
    return root
