"""Statistics over all points, or averaged over groups (the folds of a cross-validation), vectorised for resampling.

A reduction is a function of columns and weights; the weights are 1, or each point's multiplicity in a bootstrap resample.
It raises ValueError if the statistic is undefined.
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


Reduction = Callable[[Columns, "Floats"], float]
INTERVAL_RULES: dict[Reduction, IntervalRule] = {}
"""Interval rule for each reduction that does not use the percentile bootstrap."""


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
        error_imputed=part("error_imputed"),
        error_worst=part("error_worst"),
        probability=part("score"),
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

        groups = self._groups([[point] for point in points])
        return _mean(self.of(group.columns, np.ones(len(group.clusters))) for group in groups)

    def interval(self, clusters: Sequence[Sequence[Point]]) -> Interval | None:
        """Return the interval by the reduction's own rule; None if the bootstrap is to be used."""
        if (rule := INTERVAL_RULES.get(self.of)) is None:
            return None
        points = [point for cluster in clusters for point in cluster]
        cluster_indices = [index for index, cluster in enumerate(clusters) for _ in cluster]
        return rule(columns(points), list(map(self._group_name, points)), cluster_indices)

    def over(self, clusters: Sequence[Sequence[Point]]) -> Callable[[NDArray[np.intp]], float]:
        """Return a function from the indices of resampled clusters to the statistic."""
        import numpy as np

        groups, count = self._groups(clusters), len(clusters)

        def statistic(indices: NDArray[np.intp]) -> float:
            multiplicities = np.bincount(indices, minlength=count).astype(float)
            return _mean(self.of(group.columns, multiplicities[group.clusters]) for group in groups)

        return statistic

    def _groups(self, clusters: Sequence[Sequence[Point]]) -> list[_Group]:
        import numpy as np

        by_name: dict[str, tuple[list[Point], list[int]]] = {}
        for index, points in enumerate(clusters):
            for point in points:
                members, cluster_indices = by_name.setdefault(self._group_name(point), ([], []))
                members.append(point)
                cluster_indices.append(index)
        if not by_name:
            raise ValueError("at least one value is needed")
        return [_Group(columns(members), np.array(indices)) for members, indices in by_name.values()]

    def _group_name(self, point: Point) -> str:
        return ""


class ByGroup(Pooled, frozen=True):
    """The unweighted mean of a reduction over groups."""

    def _group_name(self, point: Point) -> str:
        return point.group


def _mean(numbers: Iterable[float]) -> float:
    values = list(numbers)
    return sum(values) / len(values)


def weighted_mean(values: Floats, weights: Floats, value_noun: str) -> float:
    """Return the weighted mean of the values other than NaN; raises ValueError, naming `value_noun`, if their weights are 0."""
    import numpy as np

    has_value = ~np.isnan(values)
    total = float(weights[has_value].sum())
    if not total:
        raise ValueError(f"there is no {value_noun} to average")
    with np.errstate(over="ignore"):
        return float((values[has_value] * weights[has_value]).sum()) / total
