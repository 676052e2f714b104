"""Metrics shared by suites: functions of points, and the `Metric` objects built from them."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence, Set
from typing import TYPE_CHECKING

from msgspec import Struct, structs

from evals.records.files import Gold
from evals.report.repeats import maj_at_k, pass_at_k
from evals.seams import SupportsResampling
from evals.types import Metric, Point

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

UNANSWERED_VERDICTS = frozenset({"unanswered", "truncated", "refused"})


def mean_value(points: Sequence[Point]) -> float:
    """Return the mean of the points that have a value; raises ValueError if none has."""
    values = [point.value for point in points if point.value is not None]
    if not values:
        raise ValueError("no values to average")
    return sum(values) / len(values)


def mean_of_group_means(values: Sequence[float], groups: Sequence[str] | None) -> float:
    """Return the mean of the group means or, without `groups`, the plain mean."""
    by_group: dict[str, list[float]] = defaultdict(list)
    for value, group in zip(values, groups or [""] * len(values), strict=True):
        by_group[group].append(value)
    return sum(sum(members) / len(members) for members in by_group.values()) / len(by_group)


def measured_samples(metric: Metric, golds: Mapping[str, Gold], *, repeats: int = 1) -> Mapping[str, Gold]:
    """Return the samples that a metric applies to: those on which some outcome would have a value.

    Items of another task and items excluded by errata are left out. Metrics that exclude only some *outcomes*
    (`*_of_valid`) apply to all samples.
    """
    if metric.of is mean_value or metric.pool == "whole" or metric.together:
        return golds
    substitute = metric.bounds[1] if metric.bounds else 0.0
    count = repeats if metric.joint else 1
    return {
        sample_id: gold
        for sample_id, gold in golds.items()
        if _has_value(substitute_points(sample_id, gold, range(count), substitute), metric)
    }


def unmeasured_groups(
    metric: Metric, golds: Mapping[str, Gold], absent: Iterable[str], scored: Set[str], *, repeats: int = 1
) -> set[str]:
    """Return the groups of a macro mean that are not among the `scored` ones; empty for other metrics.

    `absent`: groups of the benchmark without an item in the subset that was run.
    """
    if metric.pool != "macro":
        return set()
    absent_golds = {f"\x1f{group}": Gold(group, group, "", 0) for group in absent}
    measured = measured_samples(metric, {**golds, **absent_golds} if absent_golds else golds, repeats=repeats)
    return {gold.group for gold in measured.values()} - scored


def _has_value(points: Sequence[Point], metric: Metric) -> bool:
    try:
        metric.of(points)
    except ValueError:
        return False
    return True


def substitute_points(sample_id: str, gold: Gold, repeats: Iterable[int], value: float) -> list[Point]:
    """Return points with this value for repeats of a sample that have no outcome."""
    return [
        Point(
            sample_id, repeat, gold.group, gold.cluster, "missing", value, None, gold.target, gold.options, {}
        )
        for repeat in repeats
    ]


def resampled_statistic(
    metric: Metric, clusters: Sequence[Sequence[Point]]
) -> Callable[[NDArray[np.intp]], float]:
    """Return the metric as a function of cluster indices, without copying points if the metric implements `SupportsResampling`."""
    statistic: object = metric.of
    if isinstance(statistic, SupportsResampling):
        return statistic.over(clusters)
    return lambda indices: metric.of([point for index in indices.tolist() for point in clusters[index]])


def mean_with_guesses(points: Sequence[Point]) -> float:
    """Return the mean with replies without an answer counted as the expected value of a guess (score part `draw`, or 1 / options)."""
    return sum(map(_expected_value, points)) / len(points)


def _expected_value(point: Point) -> float:
    if point.verdict in UNANSWERED_VERDICTS and point.options:
        return point.parts.get("draw", 1.0 / point.options)
    return point.value or 0.0


def accuracy(*, macro: bool = False) -> tuple[Metric, Metric]:
    """Return the micro and macro accuracy metrics; with `macro`, the latter is the headline."""
    return (
        Metric(name="accuracy", of=mean_value, headline=not macro),
        Metric(name="accuracy_macro", of=mean_value, pool="macro", headline=macro),
    )


def accuracy_guess(*, macro: bool = False) -> Metric:
    """Return the metric for the expected accuracy under an upstream rule that guesses if it cannot parse a reply."""
    return Metric(name="accuracy_guess", of=mean_with_guesses, pool="macro" if macro else "micro")


class PassAt(Struct, frozen=True):
    """Unbiased pass@k of one sample's repeats (Chen et al. 2021, arXiv 2107.03374, equation 1)."""

    k: int | None = None
    """None: all repeats."""

    def at(self, repeats: int) -> PassAt:
        """Return the metric with k set to the run's number of repeats, unless it is set already."""
        return PassAt(self.k or repeats)

    def __call__(self, points: Sequence[Point]) -> float:
        """Return the probability that at least one of `k` repeats is right; raises ValueError if there are fewer repeats."""
        return pass_at_k(len(points), sum(point.value == 1.0 for point in points), self.k or len(points))


class MajAt(Struct, frozen=True):
    """Expected score of a majority vote over `k` of one sample's repeats; ties are broken at random."""

    k: int | None = None
    """None: all repeats."""

    def at(self, repeats: int) -> MajAt:
        """Return the metric with k set to the run's number of repeats, unless it is set already."""
        return MajAt(self.k or repeats)

    def __call__(self, points: Sequence[Point]) -> float:
        """Return the probability that the vote is right; repeats without an answer do not vote."""
        for point in points:
            if point.verdict == "missing":  # from `substitute_points`: its value is a bound of the metric
                return point.value or 0.0
        k = self.k or len(points)
        if len(points) < k:
            raise ValueError(f"{len(points)} repeats, maj@{k} needs {k}")
        return maj_at_k([point.answer for point in points], [point.value == 1.0 for point in points], k)


def repeat_metrics() -> tuple[Metric, ...]:
    """Return avg@k (the headline), pass@k and maj@k for all k repeats of a run, and pass@k for smaller powers of two."""
    smaller = tuple(
        Metric(name=f"pass@{k}", of=PassAt(k), joint=True, minimum_repeats=k + 1) for k in (2, 4, 8, 16, 32)
    )
    return (
        Metric(name="avg@k", of=mean_value, headline=True),
        Metric(name="pass@k", of=PassAt(), joint=True, minimum_repeats=2),
        Metric(name="maj@k", of=MajAt(), joint=True, minimum_repeats=2),
        *smaller,
    )


def at_repeats(metrics: Sequence[Metric], repeats: int) -> tuple[Metric, ...]:
    """Return the metrics that a run with this number of repeats can have; `@k` in a name becomes `@16` for 16 repeats."""
    return tuple(
        structs.replace(
            metric,
            name=metric.name.replace("@k", f"@{repeats}"),
            of=metric.of.at(repeats) if isinstance(metric.of, PassAt | MajAt) else metric.of,
        )
        for metric in metrics
        if metric.minimum_repeats <= repeats
    )
