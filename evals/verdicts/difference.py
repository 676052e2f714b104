"""Evidence on a paired difference: intervals at any level and one-sided p-values for any margin.

>>> counts = DiscordantCounts(gains=28, losses=25, n=618)
>>> [round(x, 4) for x in counts.interval(0.9)]
[-0.0148, 0.0247]

The kinds of evidence share one interface: counts of discordant pairs (Tango's score interval and test), bounded
differences (Gaffke), a mean difference with its standard error (t), and a joint bootstrap. A difference is B minus A in
the metric's unit. scipy is imported inside functions to keep start-up fast.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from math import isnan, nan, sqrt
from statistics import NormalDist
from typing import Any

import numpy as np
from numpy.typing import NDArray

from evals.report import statistics as stats
from evals.report.strata import stratified_mean_and_error
from evals.verdicts.bounded import MAX_CLUSTERS, BoundedDifference
from evals.verdicts.evidence import Evidence

NORMAL = NormalDist()
SIGN_FLIP = "sign-flip (no variance)"


@dataclass(frozen=True)
class DiscordantCounts(Evidence):
    """Counts (or effective counts) of the discordant pairs among `n` binary outcomes: `gains` are higher in B, `losses` in A.

    Interval and one-sided tests use Tango's score method (Statistics in Medicine 17, 1998, 891-908). It was designed for
    non-inferiority of paired proportions; its interval respects the bounds and has a positive width even without
    discordant pairs.
    """

    gains: float
    losses: float
    n: float
    scale: float = 1.0
    """Value of one gain in the metric's unit."""
    value: float = field(init=False)
    test: str = "Tango"

    def __post_init__(self) -> None:
        object.__setattr__(self, "value", self.scale * (self.gains - self.losses) / self.n)

    def score(self, delta: float) -> float:
        """Return Tango's statistic, about standard normal if the true difference of proportions is `delta`."""
        if abs(delta) >= 1:
            return -40.0 if delta > 0 else 40.0  # impossible: rejected at any level
        gains, losses, n = self.gains, self.losses, self.n
        b = (2 * n - gains + losses) * delta - gains - losses
        if delta >= 0:
            c = -losses * delta * (1 - delta)
            variance = (sqrt(max(0.0, b * b - 8 * n * c)) - b) / (2 * n) + delta * (1 - delta)
        else:  # by symmetry, to avoid cancellation
            b = -(2 * n + gains - losses) * delta - gains - losses
            c = gains * delta * (1 + delta)
            variance = (sqrt(max(0.0, b * b - 8 * n * c)) - b) / (2 * n) - delta * (1 + delta)
        excess = gains - losses - n * delta
        if excess == 0:
            return 0.0
        return excess / sqrt(n * max(variance, 1e-12))

    def interval(self, level: float) -> tuple[float, float]:
        """Return Tango's interval to machine precision."""
        z = stats.z_quantile((1 + level) / 2)
        return self.scale * self._delta_at(z), self.scale * self._delta_at(-z)

    def _delta_at(self, target_score: float) -> float:
        """Invert `score` by false position (Illinois) within a bracket."""
        low, high = -1.0, 1.0
        above, below = self.score(low) - target_score, self.score(high) - target_score
        estimate, last_side = 0.0, 0
        for _ in range(100):
            previous, estimate = estimate, (low * below - high * above) / (below - above)
            excess = self.score(estimate) - target_score
            if excess > 0:
                low, above, below = estimate, excess, below / 2 if last_side > 0 else below
            else:
                high, below, above = estimate, excess, above / 2 if last_side < 0 else above
            last_side = 1 if excess > 0 else -1
            if excess == 0 or abs(estimate - previous) < 1e-15 or high - low < 1e-15:
                break
        return estimate

    def _p_value(self, margin: float, side: int) -> float:
        return NORMAL.cdf(-side * self.score(margin / self.scale))


@dataclass(frozen=True)
class MeanDifference(Evidence):
    """A mean difference with its standard error and degrees of freedom.

    Without variance, t is undefined: the tests are then exact sign-flip tests, whose p-value is at least 2^-(df + 1), and
    the interval contains the value alone, or nothing if so few values cannot exclude any other.
    """

    value: float
    error: float
    """Standard error; NaN if there is too little data."""
    df: float
    test: str = "paired t"
    width: float | None = None
    """Largest possible difference; None: unbounded."""

    def interval(self, level: float) -> tuple[float, float] | None:
        """Return the t interval, within the bounds."""
        if isnan(self.error) or (self.error == 0 and 2 * _sign_flip_p(self.df) > 1 - level):
            return None
        half = stats.t_quantile((1 + level) / 2, self.df) * self.error
        if self.width is None:
            return self.value - half, self.value + half
        return max(-self.width, self.value - half), min(self.width, self.value + half)

    def _p_value(self, margin: float, side: int) -> float:
        return _t_tail(side * (self.value - margin), self.error, self.df)


def _t_tail(distance: float, error: float, df: float) -> float:
    """Return P(T > distance / error) for Student's t; without variance, the p-value of the sign-flip test."""
    from scipy.special import stdtr

    if isnan(error):
        return 1.0
    if error == 0:
        return _sign_flip_p(df) if distance > 0 else 1.0
    return float(stdtr(df, -distance / error))


def _sign_flip_p(df: float) -> float:
    """Return the one-sided p-value of the sign-flip test if all differences exceed the margin equally."""
    return float(0.5 ** (df + 1))


@dataclass(frozen=True)
class BootstrapDifference(Evidence):
    """A difference with its bootstrap distribution, from resamples of the clusters that the two runs share."""

    value: float
    draws: tuple[float, ...]
    """The difference in each resample, sorted."""
    clusters: int
    test: str = "paired bootstrap"

    def interval(self, level: float) -> tuple[float, float]:
        """Return the expanded percentile interval."""
        low, high = np.quantile(np.array(self.draws), stats.expanded_levels(self.clusters, level))
        return float(low), float(high)

    def _p_value(self, margin: float, side: int) -> float:
        """Return the p-value that is consistent with the expanded percentile interval."""
        from scipy.special import stdtr

        draws_beyond = sum(side * (draw - margin) <= 0 for draw in self.draws)
        share = (draws_beyond + 1) / (len(self.draws) + 2)
        factor = sqrt((self.clusters - 1) / self.clusters)
        p = float(stdtr(self.clusters - 1, NORMAL.inv_cdf(share) * factor))
        if draws_beyond == 0:  # then at most the p-value of a t test with the draws' standard deviation
            standard_error = float(np.std(np.array(self.draws), ddof=1))
            p = min(p, _t_tail(abs(self.value - margin), standard_error, self.clusters - 1))
        return p


def mean_evidence(
    differences: NDArray[np.float64],
    clusters: Sequence[Hashable],
    *,
    groups: Sequence[Hashable] | None = None,
    weights: Mapping[Any, float] | None = None,
    width: float | None = None,
) -> Evidence:
    """Return the evidence on the mean difference; with `groups`, on the mean of group means (weighted equally by default).

    `width` is the largest minus the smallest possible value of a sample. Without groups or clusters, differences of 0 and
    ±width are tested as counts (Tango); other bounded differences in 2 to `bounded.MAX_CLUSTERS` - 1 clusters are tested by
    Gaffke's test, all others by a t test (or, if bounded and all 0, as counts in which each cluster is a concordant pair; if
    unbounded and all equal, by flipping signs).
    """
    count, cluster_count = len(differences), len(set(clusters))
    if count == 0:
        raise ValueError("there is nothing to compare")
    is_simple_mean = groups is None and cluster_count == count
    if width and is_simple_mean and np.isin(differences, (-width, 0.0, width)).all():
        gains, losses = int((differences > 0).sum()), int((differences < 0).sum())
        return DiscordantCounts(gains, losses, count, width)
    if width and 1 < cluster_count < MAX_CLUSTERS:
        return BoundedDifference.of(differences, clusters, width=width, groups=groups, weights=weights)
    if groups is None:
        error, df = stats.standard_error(differences, clusters), max(1, cluster_count - 1)
        test = "paired t" if cluster_count == count else "paired t, clustered"
        evidence = MeanDifference(float(differences.mean()), error, df, test, width)
        effective_n = float(cluster_count)
    else:
        mean = stratified_mean_and_error(differences, groups, clusters=clusters, weights=weights)
        evidence = MeanDifference(mean.value, mean.error, mean.df, "paired t, stratified", width)
        effective_n = mean.effective
    if evidence.error <= stats.ROUNDING * float(np.abs(differences).max()):
        evidence = replace(evidence, error=0.0, df=max(1, cluster_count - 1), test=SIGN_FLIP)
    return DiscordantCounts(0, 0, effective_n, width) if width and not differences.any() else evidence


def statistic_evidence(
    cluster_count: int,
    statistic: Callable[[NDArray[np.intp]], float],
    *,
    seed: int,
    resamples: int = 2000,
    width: float | None = None,
) -> Evidence:
    """Return the evidence on the difference of a whole-run statistic, which `statistic` computes from cluster indices.

    The clusters have the indices 0 to `cluster_count` - 1; a resample may contain an index several times.
    With fewer than 1,000 resamples (large runs), the tails are computed from the bootstrap's standard error. If a
    bounded statistic (with a `width`) is 0 in all resamples, each cluster counts as a concordant pair. Raises ValueError
    if the statistic is undefined on the data; resamples on which it is undefined are left out (if more than a fifth are, there is no interval).
    """
    value = statistic(np.arange(cluster_count))
    draws = stats.resampled_values(statistic, cluster_count, seed=seed, resamples=resamples)
    if cluster_count < 2 or len(draws) < 0.8 * resamples:
        return MeanDifference(value, nan, 1, "bootstrap undefined")
    is_constant = np.ptp(draws) <= stats.ROUNDING * abs(value)
    if is_constant and value:
        return MeanDifference(value, nan, 1, "no resample differs")
    if is_constant and width:
        return DiscordantCounts(0, 0, cluster_count, width)
    if is_constant or len(draws) < 1000:
        standard_error = 0.0 if is_constant else float(np.std(draws, ddof=1))
        return MeanDifference(value, standard_error, cluster_count - 1, "paired bootstrap (standard error)")
    return BootstrapDifference(value, tuple(sorted(draws)), cluster_count)


def holm(p: Sequence[float]) -> list[float]:
    """Adjust p-values to control the family-wise error rate (Holm 1979)."""
    adjusted, running_max = [0.0] * len(p), 0.0
    for rank, index in enumerate(sorted(range(len(p)), key=p.__getitem__)):
        running_max = max(running_max, min(1.0, (len(p) - rank) * p[index]))
        adjusted[index] = running_max
    return adjusted


def benjamini_hochberg(p: Sequence[float]) -> list[float]:
    """Adjust p-values to control the false discovery rate (Benjamini and Hochberg 1995)."""
    adjusted, running_min = [1.0] * len(p), 1.0
    order = sorted(range(len(p)), key=p.__getitem__, reverse=True)
    for rank, index in zip(range(len(p), 0, -1), order, strict=True):
        running_min = min(running_min, p[index] * len(p) / rank)
        adjusted[index] = running_min
    return adjusted


def holm_levels(p: Sequence[float], level: float = 0.95) -> list[float]:
    """Return, for each test, the level at which its interval excludes 0 if and only if Holm rejects it at 1 - `level`."""
    alpha, count = 1 - level, len(p)
    levels, is_rejected = [level] * count, True
    cutoff = alpha / count if count else alpha
    for rank, index in enumerate(sorted(range(count), key=p.__getitem__)):
        if is_rejected:
            cutoff = alpha / (count - rank)
            is_rejected = p[index] <= cutoff
        levels[index] = 1 - cutoff
    return levels


def fcr_level(p: Sequence[float], level: float = 0.95) -> float:
    """Return the level of intervals that control the false coverage rate (Benjamini and Yekutieli 2005): 1 - R q / m.

    R of the m tests are rejected by Benjamini-Hochberg at q = 1 - `level`.
    """
    rejected = sum(adjusted <= 1 - level for adjusted in benjamini_hochberg(p))
    return 1 - max(1, rejected) * (1 - level) / len(p) if p else level
