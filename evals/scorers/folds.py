"""Statistics over all points or averaged over groups (the folds of a cross-validation), vectorised for resampling.

A reduction is a function of columns and weights; the weights are 1, or each point's multiplicity in a bootstrap resample.
It raises ValueError if it is undefined.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from math import nan
from typing import TYPE_CHECKING, NamedTuple

from msgspec import Struct

from evals.report.statistics import Interval
from evals.scorers.run_intervals import Columns, IntervalRule
from evals.types import Point

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]
    Flags = NDArray[np.bool_]


Reduction = Callable[[Columns, "Floats"], float]
INTERVAL_RULES: dict[Reduction, IntervalRule] = {}
"""Interval rule for each reduction that does not use the percentile bootstrap."""


def _interval(of: Reduction, clusters: Sequence[Sequence[Point]], *, by_group: bool) -> Interval | None:
    rule = INTERVAL_RULES.get(of)
    if rule is None:
        return None
    points = [point for cluster in clusters for point in cluster]
    cluster_indices = [index for index, cluster in enumerate(clusters) for _ in cluster]
    return rule(columns(points), [point.group if by_group else "" for point in points], cluster_indices)


def columns(points: Sequence[Point]) -> Columns:
    """Convert points to columns."""
    import numpy as np

    def part(name: str) -> Floats:
        return np.array([point.parts.get(name, nan) for point in points], dtype=float)

    return Columns(
        value=np.array([nan if point.value is None else point.value for point in points], dtype=float),
        target=np.array([p.target if isinstance(p.target, float) else nan for p in points], dtype=float),
        positive=np.array([point.target == "yes" for point in points], dtype=bool),
        answered=np.array([point.answer is not None for point in points], dtype=bool),
        imputed=part("error_imputed"),
        worst=part("error_worst"),
        score=part("score"),
    )


class _Group(NamedTuple):
    columns: Columns
    clusters: NDArray[np.intp]


class Pooled(Struct, frozen=True):
    """A reduction over all points."""

    of: Reduction

    def __call__(self, points: Sequence[Point]) -> float:
        """Return the statistic; raises ValueError if there is nothing to reduce."""
        import numpy as np

        return self.of(columns(points), np.ones(len(points)))

    def interval(self, clusters: Sequence[Sequence[Point]]) -> Interval | None:
        """Return the interval by the reduction's own rule; None if the bootstrap is to be used."""
        return _interval(self.of, clusters, by_group=False)

    def over(self, clusters: Sequence[Sequence[Point]]) -> Callable[[NDArray[np.intp]], float]:
        """Return a function from the indices of resampled clusters to the statistic."""
        import numpy as np

        table = columns([point for points in clusters for point in points])
        cluster_indices = np.array(
            [index for index, points in enumerate(clusters) for _ in points], dtype=np.intp
        )

        def statistic(indices: NDArray[np.intp]) -> float:
            return self.of(
                table, np.bincount(indices, minlength=len(clusters)).astype(float)[cluster_indices]
            )

        return statistic


class ByGroup(Struct, frozen=True):
    """The unweighted mean of a reduction over groups."""

    of: Reduction

    def __call__(self, points: Sequence[Point]) -> float:
        """Return the statistic; raises ValueError if one group has nothing to reduce."""
        import numpy as np

        groups = _groups([[point] for point in points])
        return _mean(self.of(group.columns, np.ones(len(group.clusters))) for group in groups)

    def interval(self, clusters: Sequence[Sequence[Point]]) -> Interval | None:
        """Return the interval by the reduction's own rule; None if the bootstrap is to be used."""
        return _interval(self.of, clusters, by_group=True)

    def over(self, clusters: Sequence[Sequence[Point]]) -> Callable[[NDArray[np.intp]], float]:
        """Return a function from the indices of resampled clusters to the statistic."""
        import numpy as np

        groups, count = _groups(clusters), len(clusters)

        def statistic(indices: NDArray[np.intp]) -> float:
            multiplicities = np.bincount(indices, minlength=count).astype(float)
            return _mean(self.of(group.columns, multiplicities[group.clusters]) for group in groups)

        return statistic


def _groups(clusters: Sequence[Sequence[Point]]) -> list[_Group]:
    import numpy as np

    by_group: dict[str, tuple[list[Point], list[int]]] = {}
    for index, points in enumerate(clusters):
        for point in points:
            members, cluster_indices = by_group.setdefault(point.group, ([], []))
            members.append(point)
            cluster_indices.append(index)
    if not by_group:
        raise ValueError("at least one value is needed")
    return [_Group(columns(members), np.array(indices)) for members, indices in by_group.values()]


def _mean(numbers: Iterable[float]) -> float:
    values = list(numbers)
    return sum(values) / len(values)


def weighted_mean(values: Floats, weights: Floats, noun: str) -> float:
    """Return the weighted mean of the values that are not NaN; raises ValueError, which mentions `noun`, if there are none."""
    import numpy as np

    has_value = ~np.isnan(values)
    total = float(weights[has_value].sum())
    if not total:
        raise ValueError(f"there is no {noun} to average")
    with np.errstate(over="ignore"):
        return float((values[has_value] * weights[has_value]).sum()) / total
