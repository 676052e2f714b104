"""Statistics of plain numbers: means, intervals and the bootstrap; randomness is seeded.

>>> wilson(8, 10).value
0.8

Means of values raise ValueError for empty input and for values that are not finite. numpy and scipy are imported only
when needed, to keep start-up fast. Sources: Miller, *Adding Error Bars to Evals* (arXiv 2411.00640), for means and
clusters; Bowyer et al. (arXiv 2503.01747) for Wilson's interval in place of the normal one.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from contextlib import suppress
from functools import lru_cache
from math import isfinite, nan, sqrt
from statistics import NormalDist
from typing import TYPE_CHECKING, NamedTuple, TypeAlias

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Floats: TypeAlias = Sequence[float] | NDArray[np.float64]

LEVEL = 0.95
"""Confidence level of all intervals, unless a function has a parameter `level`."""
ROUNDING = 1e-9
"""Largest standard error, relative to the value, that is taken for rounding error of equal values."""
Bounds: TypeAlias = tuple[float, float]
"""Smallest and largest possible value of an observation."""


class Interval(NamedTuple):
    """An estimate with its two-sided interval, in the unit of the input."""

    value: float
    low: float | None
    """None if there is too little data."""
    high: float | None
    method: str


def z_quantile(p: float) -> float:
    """Return a quantile of the standard normal distribution."""
    return NormalDist().inv_cdf(p)


@lru_cache(maxsize=256)
def t_quantile(p: float, df: float) -> float:
    """Return a quantile of Student's t.

    For 100 or more degrees of freedom, it is computed by expansion 26.7.5 of Abramowitz and Stegun (error 1e-9 at 95 %, 1e-8
    at 99.9 %), because importing scipy.special takes half a second of CPU time.
    """
    if df < 100:
        from scipy.special import stdtrit

        return float(stdtrit(df, p))
    z = z_quantile(p)
    terms = (
        (z**3 + z) / 4,
        (5 * z**5 + 16 * z**3 + 3 * z) / 96,
        (3 * z**7 + 19 * z**5 + 17 * z**3 - 15 * z) / 384,
        (79 * z**9 + 776 * z**7 + 1482 * z**5 - 1920 * z**3 - 945 * z) / 92160,
    )
    return z + sum(term / df**power for power, term in enumerate(terms, start=1))


def wilson(successes: float, n: float, *, level: float = LEVEL) -> Interval:
    """Return Wilson's score interval for a proportion; `successes` and `n` may be effective (fractional) counts."""
    if not (n > 0 and 0 <= successes <= n):
        raise ValueError(f"wilson needs 0 <= successes <= n and n > 0, got {successes} of {n}")
    low, high = _score_limits(successes / n, n, z_quantile((1 + level) / 2))
    return Interval(successes / n, low, high, "Wilson")


def proportion(successes: float, n: float) -> Interval:
    """Return a proportion of independent items with its interval: Clopper-Pearson for few items near a bound, else Wilson."""
    value = successes / n
    if n < EXACT_BELOW and n * min(value, 1 - value) < MIN_EFFECTIVE_OUTCOMES:
        return Interval(value, *_cluster_limits(value, n, exact=True), "Clopper-Pearson")
    return wilson(successes, n)


def mean(values: Floats, *, bounds: Bounds | None = None) -> Interval:
    """Return the mean of independent values with its interval (see `clustered_mean`)."""
    return clustered_mean(values, range(len(values)), bounds=bounds)


def clustered_mean(values: Floats, clusters: Sequence[Hashable], *, bounds: Bounds | None = None) -> Interval:
    """Return the mean of clustered values (repeats of a sample, questions on one passage) with its interval.

    The variance is cluster-robust with the factor G/(G-1). The interval is `bounded_interval` at Kish's effective number
    of clusters if there are `bounds`, else Student's t with G-1 degrees of freedom.
    """
    array, codes, count = encode_labels(values, clusters)
    value = float(array.mean())
    if count == 1:
        return Interval(value, None, None, "one cluster")
    method = "" if count == len(array) else ", clustered"
    variance = cluster_variance(array - value, codes, count) / len(array) ** 2
    if bounds is None:
        return t_interval(value, variance, count - 1, method=f"t{method}")
    effective = kish(codes, count)
    method = f"Wilson, effective n{method}"
    return bounded_interval(value, variance, effective, df=effective - 1, bounds=bounds, method=method)


def kish(codes: NDArray[np.intp], cluster_count: int) -> float:
    """Return the effective number of clusters of unequal size: (sum m)^2 / sum m^2 (Kish 1965)."""
    import numpy as np

    sizes = np.bincount(codes, minlength=cluster_count).astype(float)
    return float(sizes.sum() ** 2 / (sizes @ sizes))


def standard_error(values: Floats, clusters: Sequence[Hashable]) -> float:
    """Return the cluster-robust standard error of the mean with the factor G/(G-1); NaN for one cluster."""
    array, codes, count = encode_labels(values, clusters)
    if count == 1:
        return nan
    return sqrt(cluster_variance(array - array.mean(), codes, count)) / len(array)


def encode_labels(
    values: Floats, labels: Sequence[Hashable]
) -> tuple[NDArray[np.float64], NDArray[np.intp], int]:
    """Return values as an array, labels as codes from 0 in order of appearance, and the number of labels."""
    import numpy as np

    array = np.asarray(values, dtype=np.float64)
    if len(array) == 0:
        raise ValueError("at least one value is needed")
    if not np.isfinite(array).all():
        raise ValueError("values must be finite")
    if len(labels) != len(array):
        raise ValueError(f"{len(labels)} labels for {len(array)} values")
    if isinstance(labels, range):
        return array, np.arange(len(array)), len(array)
    by_label: dict[Hashable, int] = {}
    codes = np.fromiter((by_label.setdefault(label, len(by_label)) for label in labels), np.intp, len(array))
    return array, codes, len(by_label)


def cluster_variance(deviations: NDArray[np.float64], codes: NDArray[np.intp], cluster_count: int) -> float:
    """Return the variance of a *sum*: G/(G-1) times the sum, over clusters, of the squared sum of deviations."""
    import numpy as np

    sums = np.bincount(codes, weights=deviations, minlength=cluster_count)
    return float(sums @ sums) * cluster_count / (cluster_count - 1)


EXACT_BELOW = 30
"""Number of items or clusters below which limits near a bound are Clopper and Pearson's instead of Wilson's."""
MIN_EFFECTIVE_OUTCOMES = 5
"""Minimum effective number of successes and of failures at which the estimated variance of a bounded mean is used."""
MIN_STRATUM_CLUSTERS = 20
"""Minimum number of clusters at which a stratum has a variance of its own."""


def bounded_interval(
    value: float,
    variance: float,
    effective: float,
    *,
    df: float,
    bounds: Bounds,
    method: str,
    min_outcomes: float = MIN_EFFECTIVE_OUTCOMES,
) -> Interval:
    """Return the interval of a mean of bounded values from its estimated variance.

    This is Wilson's score interval at the effective sample size p (1 - p) / variance, with a quantile of Student's t at `df`
    degrees of freedom (Franco et al. 2019, doi 10.1093/jssam/smy019). The variance is not informative if all values are
    equal, or if the `effective` (Kish) clusters amount to fewer than `min_outcomes` successes or failures. The interval
    is then computed as for binary clusters: Clopper-Pearson below 30 and for strata (marked by a larger `min_outcomes`), which
    count as fewer clusters if the variance implies it; else Wilson's. It lies within the bounds and has a positive width.
    """
    lowest, width = bounds[0], bounds[1] - bounds[0]
    share = min(1.0, max(0.0, (value - lowest) / width))
    scaled_variance = variance / width**2
    if not scaled_variance > 0 or effective * min(share, 1 - share) < min_outcomes:
        is_stratified = min_outcomes > MIN_EFFECTIVE_OUTCOMES  # only strata pass a larger minimum
        variance_may_lower_count = is_stratified and scaled_variance > 0 and 0 < share < 1
        implied_count = share * (1 - share) / scaled_variance if variance_may_lower_count else effective
        effective_count = min(effective, implied_count)
        exact = effective_count < EXACT_BELOW or is_stratified
        low, high = _cluster_limits(share, effective_count, exact=exact)
        method = f"{'Clopper-Pearson' if exact else 'Wilson'} on clusters"
    else:
        t = t_quantile((1 + LEVEL) / 2, max(1.0, df))
        low, high = _score_limits(share, share * (1 - share) / scaled_variance, t)
    return Interval(value, lowest + width * low, lowest + width * high, method)


def _cluster_limits(share: float, count: float, *, exact: bool) -> tuple[float, float]:
    """Return the limits of a proportion of `count` (possibly fractional) clusters; `exact`: Clopper-Pearson, else Wilson."""
    if not exact:
        return _score_limits(share, count, z_quantile((1 + LEVEL) / 2))
    from scipy.special import betaincinv

    hits, misses, tail = share * count, (1 - share) * count, (1 - LEVEL) / 2
    low = 0.0 if hits <= 0 else float(betaincinv(hits, misses + 1, tail))
    high = 1.0 if misses <= 0 else float(betaincinv(hits + 1, misses, 1 - tail))
    return low, high


def _score_limits(share: float, n: float, z: float) -> tuple[float, float]:
    """Return the limits of Wilson's interval for a quantile `z`."""
    centre, half = share + z * z / (2 * n), z * sqrt(share * (1 - share) / n + z * z / (4 * n * n))
    scale = 1 + z * z / n
    low = 0.0 if share == 0 else max(0.0, (centre - half) / scale)
    high = 1.0 if share == 1 else min(1.0, (centre + half) / scale)
    return low, high


def t_interval(value: float, variance: float, df: float, *, method: str) -> Interval:
    """Return Student's t interval of a mean; without limits if the variance is not finite, or 0 up to rounding."""
    if not isfinite(variance):
        return Interval(value, None, None, "too few clusters")
    if sqrt(variance) <= ROUNDING * abs(value):
        return Interval(value, None, None, "no interval: all values are equal")
    half = t_quantile((1 + LEVEL) / 2, df) * sqrt(variance)
    return Interval(value, value - half, value + half, method)


def bootstrap(
    count: int,
    statistic: Callable[[NDArray[np.intp]], float],
    *,
    seed: int,
    resamples: int = 2000,
    level: float = LEVEL,
) -> Interval:
    """Return a statistic with its bootstrap interval over `count` clusters; `statistic` takes cluster indices.

    The percentile interval is widened for few clusters (Hesterberg 2015, "expanded percentile"). Resamples for which the
    statistic raises ValueError (for example, with a single class) are excluded and counted in `method`; there is no
    interval if more than a fifth are, if all others are equal, or for one cluster.
    """
    import numpy as np

    if count < 1:
        raise ValueError("at least one value is needed")
    value = _require_finite(statistic(np.arange(count)))
    if count == 1:
        return Interval(value, None, None, "one cluster")
    statistics = resampled_values(statistic, count, seed=seed, resamples=resamples)
    failed = resamples - len(statistics)
    method = "bootstrap" if failed == 0 else f"bootstrap, {failed} of {resamples} resamples undefined"
    if failed > resamples / 5:
        return Interval(value, None, None, method)
    if np.ptp(statistics) <= ROUNDING * abs(value):  # an interval of zero width would suggest false certainty
        return Interval(value, None, None, "no interval: all resamples are equal")
    low, high = np.quantile(np.array(statistics), expanded_levels(count, level))
    return Interval(value, float(low), float(high), method)


def resampled_values(
    statistic: Callable[[NDArray[np.intp]], float], count: int, *, seed: int, resamples: int
) -> list[float]:
    """Return a statistic on resamples of `count` clusters, except those on which it is undefined (ValueError, or not finite)."""
    import numpy as np

    rng, values = np.random.default_rng(seed), []
    for _ in range(resamples):
        with suppress(ValueError):
            values.append(_require_finite(statistic(rng.integers(0, count, count))))
    return values


def expanded_levels(count: int, level: float = LEVEL) -> tuple[float, float]:
    """Return the quantile levels to use for a bootstrap of `count` clusters: Phi(-sqrt(n/(n-1)) t) and its complement."""
    tail = NormalDist().cdf(-sqrt(count / (count - 1)) * t_quantile((1 + level) / 2, count - 1))
    return tail, 1 - tail


def _require_finite(value: float) -> float:
    if not isfinite(value):
        raise ValueError(f"statistic must be finite, got {value}")
    return float(value)


def mean_of_parts(parts: Sequence[Interval], clusters: Sequence[Hashable] | None = None) -> Interval:
    """Return the mean of estimates with an interval by MOVER (Zou and Donner 2008), or without one if a part has none.

    Errors of parts in one cluster may be dependent, so the half-widths of their intervals are added. Different clusters are
    independent; by default every part is a cluster.
    """
    if not parts:
        raise ValueError("at least one value is needed")
    value = sum(part.value for part in parts) / len(parts)
    down: dict[Hashable, float] = {}
    up: dict[Hashable, float] = {}
    for cluster, part in zip(clusters or range(len(parts)), parts, strict=True):
        if part.low is None or part.high is None:
            return Interval(value, None, None, "a part has no interval")
        down[cluster] = down.get(cluster, 0.0) + part.value - part.low
        up[cluster] = up.get(cluster, 0.0) + part.high - part.value
    below, above = (sqrt(sum(side * side for side in sides.values())) / len(parts) for sides in (down, up))
    method = (
        "MOVER, independent parts" if len(down) == len(parts) else "MOVER, parts on the same items add up"
    )
    return Interval(value, value - below, value + above, method)
