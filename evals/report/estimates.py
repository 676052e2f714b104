"""Estimates, coverage, counts and bounds computed from records, without calling a model or a scorer.

A mean includes every outcome that the model caused; failures and absent samples enter only its bounds.
"""

from __future__ import annotations

import sys
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from math import isclose
from typing import TypeAlias

from msgspec import Struct, structs

from evals.labels import Failed
from evals.records.files import CompactRecord, Gold
from evals.report import statistics as stats
from evals.report.metrics import (
    at_repeats,
    mean_of_group_means,
    mean_value,
    resampled_statistic,
    substitute_points,
    unmeasured_groups,
)
from evals.report.strata import stratified_mean
from evals.seams import HasInterval, HasResamples
from evals.types import Estimate, Metric, Point, Score

Golds: TypeAlias = Mapping[str, Gold]
EMPTY_PARTS: dict[str, float] = {}
INTERNED_BELOW_CHARS = 16
"""Length below which answers are interned; short answers (letters, numbers) recur across samples."""


class Summary(Struct, frozen=True, kw_only=True):
    """The results of a run."""

    expected: int
    """Number of samples times repeats."""
    counts: dict[str, int]
    """Number of outcomes by verdict of the suite's first scorer, `failed:KIND`, `unscored` or `absent` (no record)."""
    coverage: float
    replies: int
    """Number of replies, scored or not."""
    truncated: int
    tokens: dict[str, int]
    estimates: tuple[Estimate, ...]
    forms: dict[str, int] = {}
    """Number of answers by the form in which they were stated (`Score.form`)."""


def point(record: CompactRecord, gold: Gold, scorer: str) -> Point | None:
    """Return a record as a data point for metrics; None if it has no score from this scorer."""
    score = record.scores.get(scorer)
    if not isinstance(score, Score):
        return None
    answer = score.answer
    return Point(
        gold.cluster if gold.cluster == record.sample else record.sample,  # one string object instead of two
        record.repeat,
        gold.group,
        gold.cluster,
        sys.intern(score.verdict),
        score.value,
        sys.intern(answer) if answer is not None and len(answer) < INTERNED_BELOW_CHARS else answer,
        gold.target,
        gold.options,
        score.parts or EMPTY_PARTS,
    )


def points(records: Iterable[CompactRecord], golds: Golds, scorer: str) -> list[Point]:
    """Return the points of one scorer; records of samples that the suite does not contain are left out."""
    candidates = (point(record, golds[record.sample], scorer) for record in records if record.sample in golds)
    return [candidate for candidate in candidates if candidate is not None]


def summarize(
    records: Iterable[CompactRecord],
    golds: Golds,
    metrics: Sequence[Metric],
    *,
    scorers: Sequence[str],
    repeats: int,
    absent_groups: Sequence[str] = (),
) -> Summary:
    """Summarize a run; verdicts are counted by the first of `scorers`.

    `absent_groups`: groups of the benchmark without an item in this subset.
    """
    counts, tokens, forms, endings = Counter[str](), Counter[str](), Counter[str](), Counter[str]()
    by_scorer: dict[str, list[Point]] = {name: [] for name in scorers}
    for record in records:
        if record.sample not in golds or not 0 <= record.repeat < repeats:
            continue
        counts[record_verdict(record, scorers[0])] += 1
        endings["failure" if record.failure else record.stop or ""] += 1
        if isinstance(score := record.scores.get(scorers[0]), Score) and score.form:
            forms[score.form] += 1
        for kind in ("input", "output", "reasoning", "cached"):
            if (count := getattr(record, kind)) is not None:
                tokens[kind] += count
        for name in scorers:
            if (scored := point(record, golds[record.sample], name)) is not None:
                by_scorer[name].append(scored)
    expected = len(golds) * repeats
    if absent := expected - counts.total():
        counts["absent"] = absent
    estimates: list[Estimate] = []
    for metric in at_repeats(metrics, repeats):
        scored_points = by_scorer[metric.scorer or scorers[0]]
        estimates += estimate_all(scored_points, metric, golds, repeats=repeats, absent_groups=absent_groups)
    return Summary(
        expected=expected, counts=dict(sorted(counts.items())), replies=endings.total() - endings["failure"],
        truncated=endings["length"], tokens=dict(tokens), estimates=tuple(estimates), forms=dict(forms.most_common()),
        coverage=len(by_scorer[scorers[0]]) / expected if expected else 0.0,
    )  # fmt: skip


def record_verdict(record: CompactRecord, scorer: str) -> str:
    """Return the verdict of a record under a scorer, `failed:KIND` or `unscored`."""
    if record.failure:
        return str(Failed(record.failure))
    score = record.scores.get(scorer)
    if score is None:
        return "unscored"
    return score.verdict if isinstance(score, Score) else str(Failed(score.kind))


def estimate_all(
    points: Sequence[Point], metric: Metric, golds: Golds, *, repeats: int, absent_groups: Sequence[str] = ()
) -> list[Estimate]:
    """Estimate a metric for the suite and, if it is reported by group and is not a macro mean, for each of several groups."""
    overall = estimate(points, metric, golds, repeats=repeats, absent_groups=absent_groups)
    groups = sorted({gold.group for gold in golds.values()}) if metric.by_group else []
    if len(groups) < 2 or metric.pool == "macro":
        return [overall]
    points_of: dict[str, list[Point]] = defaultdict(list)
    golds_of: dict[str, dict[str, Gold]] = defaultdict(dict)
    for point in points:
        points_of[point.group].append(point)
    for sample_id, gold in golds.items():
        golds_of[gold.group][sample_id] = gold
    by_group = [estimate(points_of[g], metric, golds_of[g], repeats=repeats) for g in groups]
    return [
        overall,
        *(
            structs.replace(estimated, group=group, headline=False)
            for group, estimated in zip(groups, by_group, strict=True)
            if estimated.value is not None or estimated.worst is not None or metric.bounds is None
        ),  # no estimate for groups that the metric does not apply to
    ]


class _Term(Struct, frozen=True, gc=False):
    """A term of a mean: a sample-repeat, a sample (joint metrics), or several samples scored together."""

    value: float
    group: str
    cluster: str
    point_count: int


def estimate(
    points: Sequence[Point], metric: Metric, golds: Golds, *, repeats: int, absent_groups: Sequence[str] = ()
) -> Estimate:
    """Estimate a metric on the samples of `golds`; a macro mean has no value if one of its groups has no scored sample."""
    unmeasured: set[str] = set()
    if metric.pool == "whole":
        interval, n, clusters = _whole_run_interval(points, metric)
    else:
        terms = _make_terms(points, metric)
        unmeasured = unmeasured_groups(
            metric, golds, absent_groups, {term.group for term in terms}, repeats=repeats
        )
        interval = None if unmeasured else _mean_interval(terms, metric)
        n, clusters = sum(term.point_count for term in terms), len({term.cluster for term in terms})
    value = interval.value if interval else None
    is_complete = len(points) == len(golds) * repeats
    worst, best = (value, value) if is_complete else _bounds_with_missing(points, metric, golds, repeats)
    if metric.bounds is None or (unmeasured and absent_groups):
        worst = best = None
    groups = "one group" if len(unmeasured) == 1 else f"{len(unmeasured)} groups"
    why_undefined = f"none: nothing scored in {groups}" if unmeasured else "nothing scored"
    return Estimate(
        metric=metric.name, group="", value=value, low=interval.low if interval else None,
        high=interval.high if interval else None, worst=worst, best=best, n=n, clusters=clusters,
        unit=metric.unit, better=metric.better, method=interval.method if interval else why_undefined,
        headline=metric.headline,
    )  # fmt: skip


def _make_terms(points: Iterable[Point], metric: Metric) -> list[_Term]:
    if metric.of is mean_value:
        return [
            _Term(point.value, point.group, point.cluster, 1) for point in points if point.value is not None
        ]
    if not metric.joint and not metric.together:
        return [term for point in points if (term := _make_term([point], metric)) is not None]
    by_term: dict[tuple[str | int, ...], list[Point]] = defaultdict(list)
    for point in points:
        key = (point.cluster, point.group, point.repeat) if metric.together else (point.id,)
        by_term[key].append(point)
    return [term for members in by_term.values() if (term := _make_term(members, metric)) is not None]


def _make_term(points: list[Point], metric: Metric) -> _Term | None:
    try:
        return _Term(metric.of(points), points[0].group, points[0].cluster, len(points))
    except ValueError:
        return None  # excluded by the metric


def _mean_interval(terms: Sequence[_Term], metric: Metric) -> stats.Interval | None:
    if not terms:
        return None
    values = [term.value for term in terms]
    clusters = [term.cluster for term in terms]
    if metric.pool == "macro":
        groups = [term.group for term in terms]
        return stratified_mean(values, groups, clusters=clusters, bounds=metric.bounds)
    is_unclustered = len(set(clusters)) == len(terms)
    if is_unclustered and metric.bounds == (0.0, 1.0) and all(value in (0.0, 1.0) for value in values):
        return stats.proportion(sum(values), len(values))
    return stats.clustered_mean(values, clusters, bounds=metric.bounds)


def _whole_run_interval(points: Sequence[Point], metric: Metric) -> tuple[stats.Interval | None, int, int]:
    """Return a whole-run metric with its interval, the number of scored points and the number of clusters.

    The interval is the metric's own or a bootstrap over clusters.
    """
    by_cluster: dict[str, list[Point]] = defaultdict(list)
    for point in points:
        by_cluster[point.cluster].append(point)
    clusters = list(by_cluster.values())
    metric_function: object = metric.of
    n = sum(point.value is not None for point in points) or len(points)
    try:
        if (own_interval := _own_interval(points, clusters, metric)) is not None:
            return own_interval, n, len(clusters)
        statistic = resampled_statistic(metric, clusters)
        resamples = metric_function.resamples if isinstance(metric_function, HasResamples) else None
        resamples = resamples or (2000 if len(points) <= 2000 else 400)
        interval = stats.bootstrap(len(clusters), statistic, seed=0, resamples=resamples)
    except ValueError:
        return None, 0, 0
    return interval, n, len(clusters)


def _own_interval(
    points: Sequence[Point], clusters: Sequence[Sequence[Point]], metric: Metric
) -> stats.Interval | None:
    """Return the interval that the metric itself computes; None if there is none, or if it is around another value."""
    metric_function: object = metric.of
    if len(clusters) < 2 or not isinstance(metric_function, HasInterval):
        return None
    interval: stats.Interval | None = metric_function.interval(clusters)
    if interval is None:
        return None
    value = metric.of(points)
    if interval.low is not None and not isclose(interval.value, value, rel_tol=1e-9, abs_tol=1e-12):
        return None
    return interval._replace(value=value)


def _bounds_with_missing(
    points: Sequence[Point], metric: Metric, golds: Golds, repeats: int
) -> tuple[float | None, float | None]:
    """Return the worst and the best value that the missing outcomes allow."""
    if metric.bounds is None:
        return None, None
    low, high = (_value_with_missing(points, metric, golds, repeats, bound) for bound in metric.bounds)
    return (low, high) if metric.better == "higher" else (high, low)


def _value_with_missing(
    points: Sequence[Point], metric: Metric, golds: Golds, repeats: int, value: float
) -> float | None:
    """Return the metric's value if every missing outcome had this value."""
    keys = {(point.id, point.repeat) for point in points}
    substitutes = [
        point
        for sample_id, gold in golds.items()
        for point in substitute_points(
            sample_id, gold, [r for r in range(repeats) if (sample_id, r) not in keys], value
        )
    ]
    all_points = [*points, *substitutes]
    if metric.pool == "whole":
        try:
            return metric.of(all_points)
        except ValueError:
            return None
    terms = _make_terms(all_points, metric)
    groups = [term.group for term in terms] if metric.pool == "macro" else None
    return mean_of_group_means([term.value for term in terms], groups) if terms else None
