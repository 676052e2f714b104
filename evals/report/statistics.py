"""Numbers in, intervals out: no records, no files, no chance that is not seeded.

>>> wilson(8, 10).value
0.8
>>> pass_at_k(16, 4, 1)
0.25

Reducing nothing raises ValueError, and so does a NaN. numpy and scipy are imported inside the functions that
need them, because start-up is measured. Sources: Miller, *Adding Error Bars to Evals* (arXiv 2411.00640) for
means and clusters; Bowyer et al. (arXiv 2503.01747) for Wilson instead of the normal interval.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Hashable, Mapping, Sequence
from functools import lru_cache
from math import comb, isfinite, isnan, nan, sqrt
from statistics import NormalDist
from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Floats: TypeAlias = Sequence[float] | NDArray[np.float64]

Bounds: TypeAlias = tuple[float, float]
"""Least and greatest possible value of one observation."""


class Interval(NamedTuple):
    """A number with its two-sided interval, in the unit of what went in."""

    value: float
    low: float | None
    """None where too little was seen to say."""
    high: float | None
    method: str


class Range(NamedTuple):
    """The least and the greatest value that a mean could have."""

    least: float
    most: float


def z_quantile(p: float) -> float:
    """Quantile of the standard normal distribution."""
    return NormalDist().inv_cdf(p)


@lru_cache(maxsize=256)
def t_quantile(p: float, df: float) -> float:
    """Quantile of Student's t; from 100 degrees of freedom on without scipy (to 1e-9 at 95 %, 1e-8 at 99.9 %).

    The expansion is Abramowitz and Stegun 26.7.5; importing scipy.special costs half a CPU second.
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


def wilson(successes: float, n: float, *, level: float = 0.95) -> Interval:
    """Wilson's score interval for a share; `successes` and `n` may be effective (fractional) counts."""
    if not (n > 0 and 0 <= successes <= n):
        raise ValueError(f"wilson needs 0 <= successes <= n and n > 0, got {successes} of {n}")
    low, high = _score_limits(successes / n, n, z_quantile((1 + level) / 2))
    return Interval(successes / n, low, high, "Wilson")


def share(successes: float, n: float, *, level: float = 0.95) -> Interval:
    """Interval of a share of independent items: Clopper-Pearson below 30 items near a bound, else Wilson."""
    value = successes / n
    if n < 30 and n * min(value, 1 - value) < FEW:
        return Interval(value, *_of_clusters(value, n, level, exact=True), "Clopper-Pearson")
    return wilson(successes, n, level=level)


def mean(values: Floats, *, level: float = 0.95, bounds: Bounds | None = None) -> Interval:
    """Mean of independent values with a t interval; one value alone has none."""
    return clustered(values, range(len(values)), level=level, bounds=bounds)


def clustered(
    values: Floats, clusters: Sequence[Hashable], *, level: float = 0.95, bounds: Bounds | None = None
) -> Interval:
    """Mean of values that come in clusters (repeats of a sample, questions on one passage).

    Cluster-robust variance with the factor G/(G-1). With `bounds` the interval is `bounded_interval`'s at Kish's
    number of clusters, else Student's t with G-1 degrees of freedom.
    """
    array, codes, count = _coded(values, clusters)
    value = float(array.mean())
    if count == 1:
        return Interval(value, None, None, "one cluster")
    method = "" if count == len(array) else ", clustered"
    variance = _cluster_variance(array - value, codes, count) / len(array) ** 2
    if bounds is None:
        return _t_interval(value, variance, count - 1, level=level, method=f"t{method}")
    effective = kish(codes, count)
    method = f"Wilson, effective n{method}"
    return bounded_interval(
        value, variance, effective, df=effective - 1, bounds=bounds, level=level, method=method
    )


def kish(codes: NDArray[np.intp], count: int) -> float:
    """Number of equal clusters that some unequal ones are worth: (sum m)^2 / sum m^2 (Kish 1965)."""
    import numpy as np

    sizes = np.bincount(codes, minlength=count).astype(float)
    return float(sizes.sum() ** 2 / (sizes @ sizes))


def standard_error(values: Floats, clusters: Sequence[Hashable]) -> float:
    """Cluster-robust standard error of the mean, with the factor G/(G-1); NaN for one cluster."""
    array, codes, count = _coded(values, clusters)
    if count == 1:
        return nan
    return sqrt(_cluster_variance(array - array.mean(), codes, count)) / len(array)


def stratified(
    values: Floats,
    groups: Sequence[Hashable],
    *,
    clusters: Sequence[Hashable] | None = None,
    weights: Mapping[Any, float] | None = None,
    level: float = 0.95,
    bounds: Bounds | None = None,
) -> Interval:
    """Weighted mean of group means (weights equal unless given), SE^2 = sum of W_h^2 SE_h^2.

    A group with one cluster borrows the pooled within-group variance; of bounded values, small groups are collapsed.
    Degrees of freedom are
    Satterthwaite's. Clusters that reach over several groups are allowed: influences are then summed by cluster.
    """
    found = stratified_error(values, groups, clusters=clusters, weights=weights, bounded=bounds is not None)
    if isnan(found.error):
        return Interval(found.value, None, None, "too few clusters")
    if bounds is None:
        return _t_interval(found.value, found.error**2, found.df, level=level, method="t, stratified")
    return bounded_interval(
        found.value,
        found.error**2,
        found.effective,
        df=found.df,
        bounds=bounds,
        level=level,
        method="Wilson, effective n, stratified",
        few=SMALL,
    )


def item_weights(
    count: int, groups: Sequence[Hashable] | None, weights: Mapping[Any, float] | None = None
) -> NDArray[np.float64]:
    """Weight of each value in the mean of group means (or, without groups, in the plain mean); they add up to 1."""
    import numpy as np

    if groups is None:
        return np.full(count, 1 / count)
    _, labels, strata = _coded(np.zeros(count), groups)
    scale = np.array(_shares(groups, labels, strata, weights)) / np.bincount(labels, minlength=strata)
    found: NDArray[np.float64] = scale[labels]
    return found


class StratifiedMean(NamedTuple):
    """A weighted mean of group means with what its interval needs."""

    value: float
    error: float
    """Standard error; NaN where no group has two clusters."""
    df: float
    effective: float
    """Clusters that the mean is worth (Kish)."""


def stratified_error(
    values: Floats,
    groups: Sequence[Hashable],
    *,
    clusters: Sequence[Hashable] | None = None,
    weights: Mapping[Any, float] | None = None,
    bounded: bool = False,
) -> StratifiedMean:
    """Mean and standard error behind `stratified`; `bounded` values have small strata collapsed."""
    import numpy as np

    array, labels, strata = _coded(values, groups)
    _, codes, count = _coded(values, range(len(array)) if clusters is None else clusters)
    shares = _shares(groups, labels, strata, weights)
    parts = _strata(array, labels, strata, codes)
    value = float(sum(share * part.mean for share, part in zip(shares, parts, strict=True)))
    scale = np.array([share / part.n for share, part in zip(shares, parts, strict=True)])
    by_cluster = np.bincount(codes, weights=scale[labels], minlength=count)
    effective = 1 / float(by_cluster @ by_cluster)
    if count == 1:
        return StratifiedMean(value, nan, 1, effective)
    if sum(part.clusters for part in parts) > count:
        variance, df = _crossed(array, labels, codes, count, shares, parts), float(count - 1)
    else:
        variance, df = (_nested_bounded if bounded else _nested)(shares, parts)
    return StratifiedMean(value, sqrt(variance), df, effective)


class _Stratum(NamedTuple):
    mean: float
    n: int
    clusters: int
    squares: float
    """Sum over clusters of the squared sum of deviations from the mean."""
    cross: float
    """Sum over clusters of the sum of deviations times the size."""
    sizes: float
    """Sum of squared sizes of the clusters."""

    @property
    def total(self) -> float:
        """Sum of all values."""
        return self.mean * self.n

    def squares_around(self, middle: float) -> float:
        """Sum over clusters of the squared sum of deviations from another value."""
        shift = self.mean - middle
        return max(0.0, self.squares + 2 * shift * self.cross + shift**2 * self.sizes)


def _strata(
    array: NDArray[np.float64], labels: NDArray[np.intp], strata: int, codes: NDArray[np.intp]
) -> list[_Stratum]:
    import numpy as np

    found = []
    for stratum in range(strata):
        chosen = labels == stratum
        part = array[chosen]
        sizes = np.bincount(codes[chosen]).astype(float)
        sums = np.bincount(codes[chosen], weights=part - part.mean())
        found.append(
            _Stratum(
                float(part.mean()),
                len(part),
                int(np.count_nonzero(sizes)),
                float(sums @ sums),
                float(sums @ sizes),
                float(sizes @ sizes),
            )
        )
    return found


def _nested(shares: Sequence[float], parts: Sequence[_Stratum]) -> tuple[float, float]:
    """Variance and Satterthwaite's degrees of freedom, each cluster within one stratum."""
    free = sum(part.clusters - 1 for part in parts)
    if free == 0:
        return nan, 1.0
    pooled = sum(part.squares for part in parts) / free
    total, spread = 0.0, 0.0
    for share, part in zip(shares, parts, strict=True):
        alone = part.clusters == 1
        per_cluster = pooled if alone else part.squares / (part.clusters - 1)
        term = share**2 * part.clusters * per_cluster / part.n**2
        total += term
        spread += term**2 / (free if alone else part.clusters - 1)
    return total, (total**2 / spread if spread else float(free))


def _nested_bounded(shares: Sequence[float], parts: Sequence[_Stratum]) -> tuple[float, float]:
    """Do as `_nested` for bounded values, in which a small stratum without a single failure seems to be certain.

    Strata of fewer than `SMALL` clusters are collapsed into one (Cochran 1977, 5A.12): what they differ by counts as
    noise, which errs on the safe side.
    """
    small = _collapsed(parts)
    terms, frees = [], []
    if small:
        clusters = sum(parts[i].clusters for i in small)
        middle = sum(parts[i].total for i in small) / sum(parts[i].n for i in small)
        squares = sum(parts[i].squares_around(middle) for i in small)
        if clusters == 1:
            return nan, 1.0
        scale = sum(shares[i] ** 2 * parts[i].clusters / parts[i].n ** 2 for i in small)
        terms, frees = [scale * squares / (clusters - 1)], [clusters - 1]
    for i, (share, part) in enumerate(zip(shares, parts, strict=True)):
        if i not in small:
            terms.append(share**2 * part.clusters * part.squares / (part.clusters - 1) / part.n**2)
            frees.append(part.clusters - 1)
    total, spread = sum(terms), sum(term**2 / free for term, free in zip(terms, frees, strict=True))
    return total, (total**2 / spread if spread else float(sum(frees)))


def _collapsed(parts: Sequence[_Stratum]) -> frozenset[int]:
    """Strata too small for a variance of their own, and as many of the next smallest as make them enough."""
    order = sorted(range(len(parts)), key=lambda i: parts[i].clusters)
    chosen: list[int] = []
    together = 0
    for i in order:
        if parts[i].clusters >= SMALL and (not chosen or together >= SMALL):
            break
        chosen.append(i)
        together += parts[i].clusters
    return frozenset(chosen)


def _crossed(
    array: NDArray[np.float64],
    labels: NDArray[np.intp],
    codes: NDArray[np.intp],
    count: int,
    shares: Sequence[float],
    parts: Sequence[_Stratum],
) -> float:
    """Variance where clusters reach over strata: linearised, summed by cluster."""
    import numpy as np

    means = np.array([part.mean for part in parts])
    scale = np.array([share / part.n for share, part in zip(shares, parts, strict=True)])
    return _cluster_variance((array - means[labels]) * scale[labels], codes, count)


def _shares(
    groups: Sequence[Hashable], labels: NDArray[np.intp], strata: int, weights: Mapping[Any, float] | None
) -> list[float]:
    """Weight of each stratum in order of its code, summing to 1."""
    names: dict[int, Hashable] = {}
    for label, group in zip(labels.tolist(), groups, strict=True):
        names.setdefault(label, group)
    raw = [1.0 if weights is None else weights[names[label]] for label in range(strata)]
    if not all(isfinite(weight) and weight >= 0 for weight in raw) or sum(raw) <= 0:
        raise ValueError(f"weights must be finite, not negative and not all 0, got {raw}")
    return [weight / sum(raw) for weight in raw]


def _coded(values: Floats, labels: Sequence[Hashable]) -> tuple[NDArray[np.float64], NDArray[np.intp], int]:
    """Values as an array, labels as codes from 0 on in order of appearance, and the number of labels."""
    import numpy as np

    array = np.asarray(values, dtype=np.float64)
    if len(array) == 0:
        raise ValueError("there is nothing to reduce")
    if not np.isfinite(array).all():
        raise ValueError("values must be finite")
    if len(labels) != len(array):
        raise ValueError(f"{len(labels)} labels for {len(array)} values")
    if isinstance(labels, range):
        return array, np.arange(len(array)), len(array)
    seen: dict[Hashable, int] = {}
    codes = np.fromiter((seen.setdefault(label, len(seen)) for label in labels), np.intp, len(array))
    return array, codes, len(seen)


def _cluster_variance(deviations: NDArray[np.float64], codes: NDArray[np.intp], count: int) -> float:
    """G/(G-1) times the sum over clusters of the squared sum of deviations: variance of a *sum*."""
    import numpy as np

    sums = np.bincount(codes, weights=deviations, minlength=count)
    return float(sums @ sums) * count / (count - 1)


FEW = 5
"""Clusters' worth of successes or failures below which an estimated variance of a bounded mean is not believed."""


SMALL = 20
"""Clusters below which a stratum's own variance is not believed."""


def bounded_interval(
    value: float,
    variance: float,
    effective: float,
    *,
    df: float,
    bounds: Bounds,
    level: float = 0.95,
    method: str,
    few: float = FEW,
) -> Interval:
    """Interval of a mean of bounded values from its estimated variance: the one place for it.

    Wilson's score interval at the effective sample size p (1 - p) / variance with a quantile of Student's t at
    `df` degrees of freedom (Franco et al. 2019, doi 10.1093/jssam/smy019). Where fewer than `few` of the
    `effective` clusters (Kish) are worth a success or a failure, or no two values differ, the variance says
    nothing: the interval is then that of as many yes-or-no clusters, Clopper-Pearson below 30 of them (always
    where weights differ, for which `few` is larger) and Wilson above. It lies within the bounds and never has width 0.
    """
    least, width = bounds[0], bounds[1] - bounds[0]
    share = min(1.0, max(0.0, (value - least) / width))
    scaled = variance / width**2
    if not scaled > 0 or effective * min(share, 1 - share) < few:
        known = few > FEW and scaled > 0 and 0 < share < 1
        worth = min(effective, share * (1 - share) / scaled) if known else effective
        exact = worth < 30 or few > FEW
        low, high = _of_clusters(share, worth, level, exact=exact)
        method = f"{'Clopper-Pearson' if exact else 'Wilson'} on clusters"
    else:
        t = t_quantile((1 + level) / 2, max(1.0, df))
        low, high = _score_limits(share, share * (1 - share) / scaled, t)
    return Interval(value, least + width * low, least + width * high, method)


def _of_clusters(share: float, count: float, level: float, *, exact: bool) -> tuple[float, float]:
    """Limits of a share of `count` clusters, which may be a fractional number."""
    if not exact:
        return _score_limits(share, count, z_quantile((1 + level) / 2))
    from scipy.special import betaincinv

    hits, misses, tail = share * count, (1 - share) * count, (1 - level) / 2
    low = 0.0 if hits <= 0 else float(betaincinv(hits, misses + 1, tail))
    high = 1.0 if misses <= 0 else float(betaincinv(hits + 1, misses, 1 - tail))
    return low, high


def _score_limits(share: float, n: float, z: float) -> tuple[float, float]:
    """Wilson's limits with any quantile."""
    middle, half = share + z * z / (2 * n), z * sqrt(share * (1 - share) / n + z * z / (4 * n * n))
    scale = 1 + z * z / n
    low = 0.0 if share == 0 else max(0.0, (middle - half) / scale)
    high = 1.0 if share == 1 else min(1.0, (middle + half) / scale)
    return low, high


def _t_interval(value: float, variance: float, df: float, *, level: float, method: str) -> Interval:
    if not isfinite(variance):
        return Interval(value, None, None, "too few clusters")
    half = t_quantile((1 + level) / 2, df) * sqrt(variance)
    return Interval(value, value - half, value + half, method)


def bootstrap(
    count: int,
    statistic: Callable[[NDArray[np.intp]], float],
    *,
    seed: int,
    resamples: int = 2000,
    level: float = 0.95,
) -> Interval:
    """Bootstrap over `count` clusters; `statistic` takes cluster indices (with repetition).

    Percentile interval, widened for few clusters (Hesterberg 2015, "expanded percentile"): exact in width
    for a normal mean. Resamples in which the statistic raises ValueError (one class only, say) are left
    out and named in `method`; with more than a fifth of them there is no interval.
    """
    import numpy as np

    if count < 1:
        raise ValueError("there is nothing to reduce")
    value = _finite(statistic(np.arange(count)))
    if count == 1:
        return Interval(value, None, None, "one cluster")
    random, found = np.random.default_rng(seed), []
    for _ in range(resamples):
        indices = random.integers(0, count, count)
        try:
            found.append(_finite(statistic(indices)))
        except ValueError:
            continue
    failed = resamples - len(found)
    method = "bootstrap" if failed == 0 else f"bootstrap, {failed} of {resamples} resamples undefined"
    if failed > resamples / 5:
        return Interval(value, None, None, method)
    low, high = np.quantile(np.array(found), expanded_levels(count, level))
    return Interval(value, float(low), float(high), method)


def expanded_levels(count: int, level: float = 0.95) -> tuple[float, float]:
    """Percentiles to read from a bootstrap of `count` clusters: Phi(-sqrt(n/(n-1)) t) and its mirror."""
    tail = NormalDist().cdf(-sqrt(count / (count - 1)) * t_quantile((1 + level) / 2, count - 1))
    return tail, 1 - tail


def _finite(value: float) -> float:
    if not isfinite(value):
        raise ValueError(f"statistic must be finite, got {value}")
    return float(value)


def mean_of_independent(parts: Sequence[Interval]) -> Interval:
    """Return the mean of independent estimates with limits by MOVER, from the two sides of each (Zou and Donner 2008).

    It stays within what the parts allow. There are no limits if one part has none.
    """
    if not parts:
        raise ValueError("there is nothing to reduce")
    value = sum(part.value for part in parts) / len(parts)
    down = [part.value - part.low for part in parts if part.low is not None]
    up = [part.high - part.value for part in parts if part.high is not None]
    if min(len(down), len(up)) < len(parts):
        return Interval(value, None, None, "a part has no interval")
    low, high = (sqrt(sum(side * side for side in sides)) / len(parts) for sides in (down, up))
    return Interval(value, value - low, value + high, "MOVER, independent parts")


def bounds(total: float, n: int, missing: int, low: float, high: float) -> Range:
    """Sharp bounds (Manski) of a mean: `total` is the sum of `n` scored values, `missing` are unseen."""
    if n < 0 or missing < 0 or n + missing == 0 or not isfinite(total) or not low <= high:
        raise ValueError(f"no bounds for {total=}, {n=}, {missing=}, {low=}, {high=}")
    return Range((total + missing * low) / (n + missing), (total + missing * high) / (n + missing))


def pass_at_k(n: int, correct: int, k: int) -> float:
    """Chance that at least one of k attempts is right, unbiased from n attempts (Chen et al. 2021)."""
    if not (0 <= correct <= n and 1 <= k <= n):
        raise ValueError(f"pass@k needs 0 <= correct <= n and 1 <= k <= n, got {n=}, {correct=}, {k=}")
    return 1 - comb(n - correct, k) / comb(n, k)


def maj_at_k(answers: Sequence[Hashable | None], right: Sequence[bool], k: int | None = None) -> float:
    """Chance that the most frequent of k answers is right, exact over all k-subsets of the repeats.

    `right` says it per repeat; `k` left out: all of them vote. None does not vote; ties are broken
    uniformly; k answers of None are wrong. An answer judged both ways counts by its share of right ones.
    """
    n = len(answers)
    k = n if k is None else k
    if n == 0 or len(right) != n or not 1 <= k <= n:
        raise ValueError(f"maj@k needs 1 <= k <= n and a flag per answer, got {n=}, {k=}, {len(right)=}")
    votes = Counter(answer for answer in answers if answer is not None)
    good = Counter(a for a, ok in zip(answers, right, strict=True) if a is not None and ok)
    if k == n:
        top = max(votes.values(), default=0)
        winners = [answer for answer, count in votes.items() if count == top]
        return sum(good[a] / top for a in winners) / len(winners) if winners else 0.0
    silent = n - sum(votes.values())
    expected = 0.0
    for answer, hits in good.items():
        others = [count for other, count in votes.items() if other != answer]
        expected += hits / votes[answer] * _chance_to_win(votes[answer], others, silent, k)
    return expected


def _chance_to_win(own: int, others: Sequence[int], silent: int, k: int) -> float:
    """Chance that a class of `own` votes wins among k drawn without replacement, ties shared."""
    total = 0.0
    for mine in range(1, min(own, k) + 1):
        ways = {(0, 0): 1}  # (votes drawn, classes that tie) -> number of ways
        for count in others:
            ways = _with_class(ways, count, mine, k - mine)
        for (drawn, ties), number in ways.items():
            rest = k - mine - drawn
            if rest <= silent:
                total += comb(own, mine) * number * comb(silent, rest) / (ties + 1)
    return total / comb(own + sum(others) + silent, k)


def _with_class(
    ways: Mapping[tuple[int, int], int], count: int, most: int, room: int
) -> dict[tuple[int, int], int]:
    """Add a rival class of `count` votes that may draw at most `most` (then it ties)."""
    found: dict[tuple[int, int], int] = {}
    for (drawn, ties), number in ways.items():
        for votes in range(min(count, most, room - drawn) + 1):
            key = (drawn + votes, ties + (votes == most))
            found[key] = found.get(key, 0) + number * comb(count, votes)
    return found
