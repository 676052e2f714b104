"""Stratified means: weighted means of group means, such as macro means and pools."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from math import isfinite, isnan, nan, sqrt
from typing import TYPE_CHECKING, Any, NamedTuple

from evals.report.statistics import (
    MIN_STRATUM_CLUSTERS,
    Bounds,
    Interval,
    bounded_interval,
    cluster_variance,
    encode_labels,
    t_interval,
)

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from evals.report.statistics import Floats


def stratified_mean(
    values: Floats,
    groups: Sequence[Hashable],
    *,
    clusters: Sequence[Hashable] | None = None,
    bounds: Bounds | None = None,
) -> Interval:
    """Return the unweighted mean of group means and its interval, from SE^2 = sum of W_h^2 SE_h^2.

    A group with one cluster gets the pooled within-group variance; small groups of bounded values are collapsed. Degrees
    of freedom are Satterthwaite's. If clusters span groups, the linearised deviations are summed by cluster.
    """
    mean = stratified_mean_and_error(values, groups, clusters=clusters, bounded=bounds is not None)
    if isnan(mean.error):
        return Interval(mean.value, None, None, "too few clusters")
    if bounds is None:
        return t_interval(mean.value, mean.error**2, mean.df, method="t, stratified")
    return bounded_interval(
        mean.value, mean.error**2, mean.effective, df=mean.df, bounds=bounds,
        method="Wilson, effective n, stratified", min_outcomes=MIN_STRATUM_CLUSTERS,
    )  # fmt: skip


def item_weights(
    count: int, groups: Sequence[Hashable] | None, weights: Mapping[Any, float] | None = None
) -> NDArray[np.float64]:
    """Return each value's weight in the mean of group means, or in the plain mean without groups; the weights sum to 1."""
    import numpy as np

    if groups is None:
        return np.full(count, 1 / count)
    _, labels, stratum_count = encode_labels(np.zeros(count), groups)
    shares = np.array(_shares(groups, labels, stratum_count, weights))
    item_shares: NDArray[np.float64] = (shares / np.bincount(labels, minlength=stratum_count))[labels]
    return item_shares


class StratifiedMean(NamedTuple):
    """A weighted mean of group means, with its standard error and degrees of freedom."""

    value: float
    error: float
    """Standard error; NaN if there are too few clusters."""
    df: float
    effective: float
    """Effective number of clusters (Kish)."""


def stratified_mean_and_error(
    values: Floats,
    groups: Sequence[Hashable],
    *,
    clusters: Sequence[Hashable] | None = None,
    weights: Mapping[Any, float] | None = None,
    bounded: bool = False,
) -> StratifiedMean:
    """Return the mean and standard error of `stratified_mean`; small strata of `bounded` values are collapsed."""
    import numpy as np

    array, labels, stratum_count = encode_labels(values, groups)
    _, codes, count = encode_labels(values, range(len(array)) if clusters is None else clusters)
    shares = _shares(groups, labels, stratum_count, weights)
    strata = _summarize_strata(array, labels, stratum_count, codes)
    value = float(sum(share * stratum.mean for share, stratum in zip(shares, strata, strict=True)))
    weight_of_stratum = [share / stratum.n for share, stratum in zip(shares, strata, strict=True)]
    item_weight = np.array(weight_of_stratum)[labels]
    by_cluster = np.bincount(codes, weights=item_weight, minlength=count)
    effective = 1 / float(by_cluster @ by_cluster)
    if count == 1:
        return StratifiedMean(value, nan, 1, effective)
    if sum(stratum.clusters for stratum in strata) > count:  # clusters span strata: linearise
        deviations = array - np.array([stratum.mean for stratum in strata])[labels]
        variance, df = cluster_variance(deviations * item_weight, codes, count), float(count - 1)
    else:
        variance, df = (_nested_bounded_variance if bounded else _nested_variance)(shares, strata)
    return StratifiedMean(value, sqrt(variance), df, effective)


class _Stratum(NamedTuple):
    mean: float
    n: int
    clusters: int
    squares: float
    """Sum, over clusters, of the squared sum of deviations from the mean."""
    cross: float
    """Sum, over clusters, of the sum of deviations times the cluster's size."""
    squared_sizes: float
    """Sum of the clusters' squared sizes."""

    @property
    def total(self) -> float:
        """Return the sum of all values."""
        return self.mean * self.n

    def squares_around(self, centre: float) -> float:
        """Return the sum, over clusters, of the squared sum of deviations from `centre`."""
        shift = self.mean - centre
        return max(0.0, self.squares + 2 * shift * self.cross + shift**2 * self.squared_sizes)


def _summarize_strata(
    array: NDArray[np.float64], labels: NDArray[np.intp], stratum_count: int, codes: NDArray[np.intp]
) -> list[_Stratum]:
    import numpy as np

    strata = []
    for label in range(stratum_count):
        in_stratum = labels == label
        values = array[in_stratum]
        sizes = np.bincount(codes[in_stratum]).astype(float)
        sums = np.bincount(codes[in_stratum], weights=values - values.mean())
        squares, cross, squared_sizes = float(sums @ sums), float(sums @ sizes), float(sizes @ sizes)
        clusters = int(np.count_nonzero(sizes))
        strata.append(_Stratum(float(values.mean()), len(values), clusters, squares, cross, squared_sizes))
    return strata


def _nested_variance(shares: Sequence[float], strata: Sequence[_Stratum]) -> tuple[float, float]:
    """Return the variance and Satterthwaite's degrees of freedom if each cluster lies within one stratum."""
    df = sum(stratum.clusters - 1 for stratum in strata)
    if df == 0:
        return nan, 1.0
    pooled = sum(stratum.squares for stratum in strata) / df
    variance, squared_terms = 0.0, 0.0
    for share, stratum in zip(shares, strata, strict=True):
        is_single = stratum.clusters == 1
        per_cluster = pooled if is_single else stratum.squares / (stratum.clusters - 1)
        term = share**2 * stratum.clusters * per_cluster / stratum.n**2
        variance += term
        squared_terms += term**2 / (df if is_single else stratum.clusters - 1)
    return variance, (variance**2 / squared_terms if squared_terms else float(df))


def _nested_bounded_variance(shares: Sequence[float], strata: Sequence[_Stratum]) -> tuple[float, float]:
    """Return `_nested_variance` for bounded values: those of a small stratum may all be equal, which does not prove zero variance.

    Strata of fewer than `MIN_STRATUM_CLUSTERS` clusters are collapsed into one (Cochran 1977, 5A.12); their differences
    enter the variance, which is conservative.
    """
    small = _small_strata(strata)
    terms, dfs = [], []
    if small:
        clusters = sum(strata[i].clusters for i in small)
        centre = sum(strata[i].total for i in small) / sum(strata[i].n for i in small)
        squares = sum(strata[i].squares_around(centre) for i in small)
        if clusters == 1:
            return nan, 1.0
        scale = sum(shares[i] ** 2 * strata[i].clusters / strata[i].n ** 2 for i in small)
        terms, dfs = [scale * squares / (clusters - 1)], [clusters - 1]
    for i, (share, stratum) in enumerate(zip(shares, strata, strict=True)):
        if i not in small:
            terms.append(
                share**2 * stratum.clusters * stratum.squares / (stratum.clusters - 1) / stratum.n**2
            )
            dfs.append(stratum.clusters - 1)
    variance, squared_terms = sum(terms), sum(term**2 / df for term, df in zip(terms, dfs, strict=True))
    return variance, (variance**2 / squared_terms if squared_terms else float(sum(dfs)))


def _small_strata(strata: Sequence[_Stratum]) -> frozenset[int]:
    """Return the indices of strata too small for their own variance, plus the next smallest until the total is large enough."""
    order = sorted(range(len(strata)), key=lambda i: strata[i].clusters)
    small: list[int] = []
    clusters = 0
    for i in order:
        if strata[i].clusters >= MIN_STRATUM_CLUSTERS and (not small or clusters >= MIN_STRATUM_CLUSTERS):
            break
        small.append(i)
        clusters += strata[i].clusters
    return frozenset(small)


def _shares(
    groups: Sequence[Hashable],
    labels: NDArray[np.intp],
    stratum_count: int,
    weights: Mapping[Any, float] | None,
) -> list[float]:
    """Return the weights of the strata, which sum to 1, in the order of the codes in `labels`."""
    names: dict[int, Hashable] = {}
    for label, group in zip(labels.tolist(), groups, strict=True):
        names.setdefault(label, group)
    raw_weights = [1.0 if weights is None else weights[names[label]] for label in range(stratum_count)]
    if not all(isfinite(weight) and weight >= 0 for weight in raw_weights) or sum(raw_weights) <= 0:
        raise ValueError(f"weights must be finite, non-negative and not all 0, got {raw_weights}")
    return [weight / sum(raw_weights) for weight in raw_weights]
