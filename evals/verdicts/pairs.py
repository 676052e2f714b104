"""Two runs of one suite paired by sample, with bounds for missing outcomes.

A sample's repeats are averaged first (or reduced jointly by a joint metric), then samples are paired; runs with
different numbers of repeats are therefore comparable. The caller decides whether missing outcomes are excluded or counted
at their worst or best value.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from functools import cached_property
from math import isnan, nan
from typing import Literal, NamedTuple, TypeAlias
from zlib import crc32

import numpy as np
from msgspec import Struct, structs
from numpy.typing import NDArray

from evals.records.files import Gold
from evals.report.metrics import (
    mean_of_group_means,
    mean_value,
    measured_samples,
    resampled_statistic,
    substitute_points,
    unmeasured_groups,
)
from evals.seams import SupportsResampling
from evals.types import Metric, Point
from evals.verdicts import difference
from evals.verdicts.evidence import Evidence

Missing: TypeAlias = Literal["exclude", "worst", "best"]
"""What happens to missing outcomes: they are excluded, counted against B and for A, or counted for B and against A."""


RESAMPLED_POINTS, FAST_RESAMPLED_POINTS = 2_000_000, 20_000_000
"""Number of samples, summed over all resamples, that a bootstrap processes; the second for metrics that support resampling."""
EQUAL_WITHIN = 1e-12
"""Largest difference between the values of a sample that counts as a tie."""


class Outcomes(NamedTuple):
    """The outcomes and gold answers of one run under one scorer."""

    points: Sequence[Point]
    """One for each sample-repeat with a score."""
    golds: Mapping[str, Gold]
    """Every expected sample by id."""
    repeats: int
    merged: bool = False
    """Whether samples that are scored together have been merged; see `merge_joint_samples`."""
    absent_groups: tuple[str, ...] = ()
    """Groups of the benchmark without a sample in this run, if it covers a subset."""

    @property
    def coverage(self) -> float:
        """Return the share of the expected sample-repeats that are scored."""
        expected = len(self.golds) * self.repeats
        return min(1.0, len(self.points) / expected) if expected else 0.0


class SampleValue(NamedTuple):
    """A sample's value in one run, in the metric's unit, with its bounds."""

    value: float
    """NaN if nothing was scored."""
    low: float
    """Value with missing repeats at the metric's lower bound; NaN if the metric has no bounds or scores whole runs."""
    high: float


class Pair(Struct, frozen=True, gc=False):
    """One sample in both runs."""

    id: str
    group: str
    cluster: str
    a: SampleValue
    b: SampleValue

    @property
    def is_scored(self) -> bool:
        """Return whether the sample is scored in both runs."""
        return not isnan(self.a.value) and not isnan(self.b.value)


class Pairing:
    """Two runs of a suite, paired by the samples that both expect, under one metric."""

    def __init__(self, a: Outcomes | ReducedRun, b: Outcomes | ReducedRun, metric: Metric) -> None:
        run_a, run_b = (run if isinstance(run, ReducedRun) else reduce_run(run, metric) for run in (a, b))
        self.coverage_a, self.coverage_b = run_a.coverage, run_b.coverage
        self.metric, self.a, self.b = _metric_after_merging(metric), run_a.outcomes, run_b.outcomes
        self.sign = 1.0 if metric.better == "higher" else -1.0
        golds = self.a.golds
        self.unshared_count = len(golds.keys() ^ self.b.golds.keys())
        """Number of samples that only one of the two runs expects."""
        self.rows = [
            Pair(sample_id, golds[sample_id].group, golds[sample_id].cluster, value, run_b.values[sample_id])
            for sample_id, value in run_a.values.items()
            if sample_id in run_b.values
        ]
        self._scored = [row for row in self.rows if not isnan(row.b.value - row.a.value)]

    def note_on_unshared(self, suite: str) -> str:
        """Return a note on the samples of a suite that only one of the runs expects."""
        samples = "one sample" if self.unshared_count == 1 else f"{self.unshared_count} samples"
        return f"{suite}: left out {samples} that only one of the runs expects"

    @cached_property
    def is_complete(self) -> bool:
        """Return whether no outcome is missing in either run."""
        if len(self._scored) < len(self.rows):
            return False
        return all(row.a.low == row.a.high and row.b.low == row.b.high for row in self.rows)

    def rows_of(self, group: str | None, missing: Missing = "exclude") -> list[Pair]:
        """Return the pairs that a difference is computed from, of one group or (None) of all."""
        rows = self._scored if missing == "exclude" else self.rows
        return rows if group is None else [row for row in rows if row.group == group]

    def differences(self, rows: Sequence[Pair], missing: Missing = "exclude") -> NDArray[np.float64]:
        """Return B minus A of each pair."""
        if missing == "exclude":
            return np.array([row.b.value - row.a.value for row in rows])
        if (missing == "worst") == (self.metric.better == "higher"):
            return np.array([row.b.low - row.a.high for row in rows])
        return np.array([row.b.high - row.a.low for row in rows])

    def evidence(self, *, group: str | None = None, missing: Missing = "exclude") -> Evidence | None:
        """Return the evidence on the difference; None if the metric has no value, or if missing outcomes have no bounds."""
        if self.metric.pool == "whole":
            return self._bootstrap_evidence(group) if missing == "exclude" or self.is_complete else None
        rows = self.rows_of(group, missing)
        values = self.differences(rows, missing)
        if self.is_undefined(rows, group) or any(map(isnan, values.tolist())):
            return None
        return difference.mean_evidence(
            values,
            [row.cluster for row in rows],
            groups=self.strata(rows, group),
            width=self.metric.width,
        )

    def values(self, group: str | None = None) -> tuple[float | None, float | None]:
        """Return both runs' estimates over the samples scored in both."""
        rows = self.rows_of(group)
        if self.metric.pool == "whole":
            return self._metric_over(self.a, rows), self._metric_over(self.b, rows)
        if self.is_undefined(rows, group):
            return None, None
        groups = self.strata(rows, group)
        values_a, values_b = [row.a.value for row in rows], [row.b.value for row in rows]
        return mean_of_group_means(values_a, groups), mean_of_group_means(values_b, groups)

    def strata(self, rows: Sequence[Pair], group: str | None = None) -> list[str] | None:
        """Return each pair's group if the metric is a macro mean and not restricted to one `group`; else None."""
        return [row.group for row in rows] if self.metric.pool == "macro" and group is None else None

    def is_undefined(self, rows: Sequence[Pair], group: str | None = None) -> bool:
        """Return whether the metric has no value: nothing is paired, or a group of its macro mean has no pair."""
        return not rows or (group is None and bool(self._macro_groups - {row.group for row in rows}))

    @cached_property
    def _macro_groups(self) -> set[str]:
        """Return the groups of a macro mean; empty for other metrics."""
        if self.metric.pool != "macro":
            return set()
        absent = {*self.a.absent_groups, *self.b.absent_groups}
        expected = {gold.group for outcomes in (self.a, self.b) for gold in outcomes.golds.values()}
        return expected | unmeasured_groups(self.metric, {}, absent, set())

    def tally(self, group: str | None = None) -> tuple[int, int, int] | None:
        """Count the samples on which B is better, worse and equal; None for a whole-run metric without values for samples."""
        rows = self.rows_of(group)
        values = self.differences(rows)
        if self.metric.pool == "whole":
            if not self.metric.headline:
                return None
            values_a, values_b = (
                _single_sample_values(outcomes, rows, self.metric) for outcomes in (self.a, self.b)
            )
            values = np.array(values_b) - np.array(values_a)
            if np.isnan(values).any():
                return None
        values = values * self.sign
        wins, losses = int((values > EQUAL_WITHIN).sum()), int((values < -EQUAL_WITHIN).sum())
        return wins, losses, len(values) - wins - losses

    def bounds(self, group: str | None = None) -> tuple[float | None, float | None]:
        """Return the difference with missing outcomes counted against B and for B; None if there are no bounds."""
        worst, best = (self.evidence(group=group, missing=bound) for bound in ("worst", "best"))
        return worst.value if worst else None, best.value if best else None

    def _metric_over(self, outcomes: Outcomes, rows: Iterable[Pair]) -> float | None:
        ids = {row.id for row in rows}
        try:
            return self.metric.of([point for point in outcomes.points if point.id in ids])
        except ValueError:
            return None

    def _bootstrap_evidence(self, group: str | None) -> Evidence | None:
        """Return the evidence from a joint bootstrap over the clusters of both runs, for a metric of whole runs."""
        rows = self.rows_of(group)
        cluster_index = {cluster: i for i, cluster in enumerate(dict.fromkeys(row.cluster for row in rows))}
        cluster_of = {row.id: cluster_index[row.cluster] for row in rows}
        try:
            statistic_a, statistic_b = (
                resampled_statistic(self.metric, _by_cluster(outcomes, cluster_of))
                for outcomes in (self.a, self.b)
            )
        except ValueError:
            return None

        def statistic(indices: NDArray[np.intp]) -> float:
            return statistic_b(indices) - statistic_a(indices)

        seed = crc32(f"{group}/{len(rows)}".encode())  # the same resamples for every metric
        max_points = (
            FAST_RESAMPLED_POINTS if isinstance(self.metric.of, SupportsResampling) else RESAMPLED_POINTS
        )
        resamples = min(2000, max(200, max_points // max(1, len(rows))))
        try:
            return difference.statistic_evidence(
                len(cluster_index), statistic, seed=seed, resamples=resamples, width=self.metric.width
            )
        except ValueError:
            return None


def _single_sample_values(outcomes: Outcomes, rows: Sequence[Pair], metric: Metric) -> list[float]:
    """Apply a metric of whole runs to single samples; NaN if it has no value for them (e.g. ROC-AUC)."""
    by_sample: dict[str, list[Point]] = defaultdict(list)
    for point in outcomes.points:
        by_sample[point.id].append(point)
    joint_metric = structs.replace(metric, pool="micro", joint=True)
    return [_value_and_count(by_sample[row.id], joint_metric)[0] for row in rows]


def _by_cluster(outcomes: Outcomes, cluster_of: Mapping[str, int]) -> list[list[Point]]:
    clusters: list[list[Point]] = [[] for _ in set(cluster_of.values())]
    for point in outcomes.points:
        if point.id in cluster_of:
            clusters[cluster_of[point.id]].append(point)
    return clusters


def merge_joint_samples(outcomes: Outcomes, metric: Metric) -> Outcomes:
    """Return outcomes in which the samples that a metric scores together (same cluster and group) are merged into one.

    A merged sample is missing in a repeat if one of its members is. It is excluded if the metric has no value for it.
    """
    if not metric.together or outcomes.merged:
        return outcomes
    members: dict[str, list[str]] = defaultdict(list)
    for sample_id, gold in outcomes.golds.items():
        members[f"{gold.cluster}\x1f{gold.group}"].append(sample_id)
    merged_id_of = {member: merged_id for merged_id, sample_ids in members.items() for member in sample_ids}
    golds = {}
    for merged_id, sample_ids in members.items():
        substitutes = [
            point
            for sample_id in sample_ids
            for point in substitute_points(sample_id, outcomes.golds[sample_id], (0,), 0.0)
        ]
        if _value_and_count(substitutes, structs.replace(metric, joint=True))[1]:
            golds[merged_id] = outcomes.golds[sample_ids[0]]
    by_repeat: dict[tuple[str, int], list[Point]] = defaultdict(list)
    for point in outcomes.points:
        if merged_id_of.get(point.id) in golds:
            by_repeat[merged_id_of[point.id], point.repeat].append(point)
    points = []
    for (merged_id, _), member_points in by_repeat.items():
        value, scored_count = _value_and_count(member_points, structs.replace(metric, joint=True))
        if scored_count:
            verdict = "right" if value == 1 else "wrong"
            points.append(
                structs.replace(member_points[0], id=merged_id, value=value, verdict=verdict, parts={})
            )
    return outcomes._replace(points=points, golds=golds, merged=True)


class ReducedRun(NamedTuple):
    """A run's samples reduced to their values under a metric."""

    outcomes: Outcomes
    """Restricted to the samples that the metric applies to."""
    values: Mapping[str, SampleValue]
    """Without the samples that the metric excludes."""
    coverage: float
    """Coverage over all samples of the run."""


def reduce_run(outcomes: Outcomes, metric: Metric) -> ReducedRun:
    """Reduce each sample of a run to its value under a metric."""
    merged = merge_joint_samples(outcomes, metric)
    merged = merged._replace(golds=measured_samples(metric, merged.golds, repeats=outcomes.repeats))
    values = reduce_samples(merged, _metric_after_merging(metric), merged.golds)
    return ReducedRun(merged, values, outcomes.coverage)


def reduce_samples(outcomes: Outcomes, metric: Metric, sample_ids: Iterable[str]) -> dict[str, SampleValue]:
    """Reduce the given samples one by one; those that the metric excludes are left out."""
    by_sample: dict[str, list[Point]] = {sample_id: [] for sample_id in sample_ids}
    for point in outcomes.points:
        if point.id in by_sample:
            by_sample[point.id].append(point)
    reductions = (
        (
            sample_id,
            reduce_sample(
                sample_id, points, metric, gold=outcomes.golds[sample_id], repeats=outcomes.repeats
            ),
        )
        for sample_id, points in by_sample.items()
    )
    return {sample_id: value for sample_id, value in reductions if value is not None}


def _metric_after_merging(metric: Metric) -> Metric:
    """Return the metric to apply to the result of `merge_joint_samples`."""
    return structs.replace(metric, of=mean_value, together=False) if metric.together else metric


def reduce_sample(
    sample_id: str, points: list[Point], metric: Metric, *, gold: Gold, repeats: int
) -> SampleValue | None:
    """Reduce one sample of one run, with bounds if repeats are missing; None if the metric excludes the sample.

    A missing outcome has no point. A point for which the metric has no value is ignored.
    """
    value, scored_repeats = _value_and_count(points, metric)
    missing_count = repeats - len(points)
    if missing_count <= 0:
        return None if isnan(value) else SampleValue(value, value, value)
    if metric.bounds is None or metric.pool == "whole":
        return SampleValue(value, nan, nan)
    if not metric.joint:
        scored_sum = value * scored_repeats if scored_repeats else 0.0
        low, high = (
            (scored_sum + missing_count * bound) / (scored_repeats + missing_count) for bound in metric.bounds
        )
        return SampleValue(value, low, high)
    missing_repeats = set(range(repeats)) - {point.repeat for point in points}
    low, high = (
        _value_and_count(
            [*points, *substitute_points(sample_id, gold, sorted(missing_repeats), bound)], metric
        )[0]
        for bound in metric.bounds
    )
    return None if isnan(low) or isnan(high) else SampleValue(value, low, high)


def _value_and_count(points: list[Point], metric: Metric) -> tuple[float, int]:
    """Return a sample's value (0 for a whole-run metric) and its number of scored repeats; NaN and 0 without any."""
    if metric.pool == "whole":
        return (0.0 if points else nan), len(points)
    if metric.joint or len(points) == 1:
        try:
            return metric.of(points), len(points)
        except ValueError:
            return nan, 0
    values = [value for point in points if not isnan(value := _value_and_count([point], metric)[0])]
    return (sum(values) / len(values), len(values)) if values else (nan, 0)
