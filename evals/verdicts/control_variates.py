"""A subset's score adjusted by other models' results on all items (control variates, prediction-powered inference).

A run with `--limit 500` estimates the score on all items. Other models' runs on all items show how much easier or harder
the subset is than the whole set. Ridge regression predicts an item's value from its values in the control runs and from
its group; the estimate is the mean prediction over all items plus the mean residual over the subset. Predictions are
cross-fitted, which keeps the estimate unbiased even if they are poor (Zrnic and Candes 2024,
doi 10.1073/pnas.2322083121; Cochran, Sampling Techniques, chapter 7).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from math import isnan
from typing import NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

from evals.errors import UsageError
from evals.report.estimand_names import Estimand
from evals.report.statistics import Interval, bounded_interval, cluster_variance, kish, t_interval
from evals.types import Metric
from evals.verdicts.pairs import SampleValue, reduce_run
from evals.verdicts.suite_run import SuiteRun

Floats: TypeAlias = NDArray[np.float64]

FOLDS = 10
SHRINKAGE_ITEMS = 30.0
"""Ridge penalty of a group effect, in items: the ratio of the variance within groups to that between them.

On MMLU-Pro, groups explain 3 % of the variance left by the controls: 97 / 3 is about 30."""
MIN_ITEMS = 30
"""Minimum number of items of a subset; each control run requires ten more."""


class AdjustedScore(NamedTuple):
    """The score of a subset, unadjusted and adjusted, in the metric's unit."""

    suite: str
    metric: str
    unit: str
    model: str
    controls: tuple[str, ...]
    n: int
    """Number of items of the subset."""
    population: int
    """Number of items of the whole set."""
    unadjusted: Interval
    adjusted: Interval
    variance_ratio: float
    """Variance of the adjusted estimate of the score on the whole set, divided by that of the unadjusted one."""
    estimand: Estimand

    @property
    def equivalent_items(self) -> int:
        """Return how many items would give the same precision without controls, if the whole set is large: n / ratio."""
        return round(self.n / self.variance_ratio) if self.variance_ratio > 0 else self.population


def adjust(
    run: SuiteRun, controls: Sequence[SuiteRun], *, estimand: Estimand = "items-like-these"
) -> AdjustedScore:
    """Adjust the headline score of a run on a subset of the items, using runs of other models on all items.

    `this-run` is the score on the whole set; `items-like-these` adds the sampling error of the set itself. Raises
    UsageError for unsuitable controls (see `_check_controls`), `these-items`, a metric that is not a mean, or too few items.
    """
    metric = run.headline
    _check_controls(run, controls, metric, estimand)
    reduced = reduce_run(run.outcomes_under(metric), metric)
    reduced_controls = [reduce_run(control.outcomes_under(metric), metric) for control in controls]
    golds = reduced_controls[0].outcomes.golds
    population = {sample_id: i for i, sample_id in enumerate(golds)}
    columns = [_imputed_values(control.values, population) for control in reduced_controls]
    item_predictors = build_predictors(columns, [gold.group for gold in golds.values()])
    sample_ids = sorted(
        sample_id
        for sample_id, sample in reduced.values.items()
        if sample_id in population and not isnan(sample.value)
    )
    clusters = [golds[sample_id].cluster for sample_id in sample_ids]
    _check_size(run, clusters, len(controls))
    rows = np.array([population[sample_id] for sample_id in sample_ids])
    scores = np.array([reduced.values[sample_id].value for sample_id in sample_ids])
    codes = np.unique(clusters, return_inverse=True)[1]
    unadjusted, adjusted, ratio = intervals(
        scores, rows, codes, item_predictors, metric=metric, estimand=estimand
    )
    return AdjustedScore(
        suite=run.suite, metric=metric.name, unit=metric.unit, model=run.model,
        controls=tuple(control.model for control in controls), n=len(scores), population=len(item_predictors.table),
        unadjusted=unadjusted, adjusted=adjusted, variance_ratio=ratio, estimand=estimand,
    )  # fmt: skip


def intervals(
    scores: Floats, rows: NDArray[np.intp], codes: NDArray[np.intp], item_predictors: Predictors, *, metric: Metric, estimand: Estimand
) -> tuple[Interval, Interval, float]:  # fmt: skip
    """Return the unadjusted and the adjusted score, and the ratio of the adjusted to the unadjusted variance.

    The first four arguments are those of `cross_fit`.
    """
    mean_prediction, residuals = cross_fit(scores, rows, codes, item_predictors)
    sampled_share = len(scores) / len(item_predictors.table)
    score_variance, residual_variance = _variance_of_mean(scores, codes), _variance_of_mean(residuals, codes)
    sampling_variance = score_variance * sampled_share if estimand == "items-like-these" else 0.0
    unadjusted, adjusted = (
        _interval_of_mean(value, (1 - sampled_share) * variance + sampling_variance, codes, metric)
        for value, variance in (
            (float(scores.mean()), score_variance),
            (mean_prediction + float(residuals.mean()), residual_variance),
        )
    )
    return unadjusted, adjusted, residual_variance / score_variance if score_variance > 0 else 1.0


class Predictors(NamedTuple):
    """The predictors of an item's value."""

    table: Floats
    """(items, predictors): 1, values in the control runs and, for several groups, the controls' mean in the group and group indicators."""
    penalty: Floats
    """(predictors,): ridge penalty of each coefficient, in items."""


def build_predictors(columns: Sequence[Floats], groups: Sequence[str]) -> Predictors:
    """Return the predictors of all items; `columns`: the values in each control run."""
    table = [np.ones(len(groups)), *columns]
    names, codes = np.unique(groups, return_inverse=True)
    if len(names) < 2:
        return Predictors(np.column_stack(table), np.zeros(len(table)))
    means = np.bincount(codes, weights=np.mean(columns, axis=0)) / np.bincount(codes)
    table.append(means[codes])
    penalty = np.concatenate([np.zeros(len(table)), np.full(len(names), SHRINKAGE_ITEMS)])
    return Predictors(np.column_stack([*table, np.eye(len(names))[codes]]), penalty)


def cross_fit(
    scores: Floats, rows: NDArray[np.intp], codes: NDArray[np.intp], item_predictors: Predictors
) -> tuple[float, Floats]:
    """Return the mean prediction over all items and the residuals of the subset, (n,).

    `scores` (n,); `rows` (n,): their rows in the table of predictors; `codes` (n,): their clusters, which are not split
    between folds.
    """
    design, average = item_predictors.table[rows], item_predictors.table.mean(axis=0)
    shuffled = np.random.default_rng(0).permutation(int(codes.max()) + 1)
    folds = shuffled[codes] % FOLDS
    residuals, mean_prediction = np.empty(len(scores)), 0.0
    for fold in range(FOLDS):
        held_out = folds == fold
        if not held_out.any():
            continue
        training = design[~held_out]
        normal_matrix = training.T @ training + np.diag(item_predictors.penalty)
        weights, *_ = np.linalg.lstsq(normal_matrix, training.T @ scores[~held_out], rcond=None)
        residuals[held_out] = scores[held_out] - design[held_out] @ weights
        mean_prediction += float(average @ weights) * int(held_out.sum()) / len(scores)
    return mean_prediction, residuals


def _check_controls(run: SuiteRun, controls: Sequence[SuiteRun], metric: Metric, estimand: Estimand) -> None:
    if estimand == "these-items":
        raise UsageError(
            "--control adjusts for the selection of items; --estimand must be this-run or items-like-these"
        )
    if metric.pool != "micro":
        raise UsageError(f"{run.suite}: --control needs a mean over items, which {metric.name} is not")
    for control in controls:
        label = f"control {control.run}"
        if (control.suite, control.protocol) != (run.suite, run.protocol):
            raise UsageError(
                f"{label} is a run of {control.suite} ({control.protocol}), not of {run.suite} ({run.protocol})"
            )
        if control.data_sha256 != run.data_sha256 or control.scorers != run.scorers:
            raise UsageError(f"{label} uses different data or a different scorer from {run.run}")
        if not control.outcomes.golds.keys() >= run.outcomes.golds.keys():
            raise UsageError(
                f"{label} lacks items of {run.run}: a control run must have all items of the suite"
            )
        if control.outcomes.golds.keys() != controls[0].outcomes.golds.keys():
            raise UsageError(
                f"{label} covers different items from control {controls[0].run}: each must have all items of the suite"
            )
    if len(controls[0].outcomes.golds) == len(run.outcomes.golds):
        raise UsageError(
            f"control {controls[0].run} has no more items than {run.run}: there is nothing to adjust"
        )


def _check_size(run: SuiteRun, clusters: Sequence[str], controls: int) -> None:
    """Raise UsageError if there are too few scored items or clusters; `clusters`: that of each item."""
    minimum = MIN_ITEMS + 10 * controls
    if len(clusters) < minimum:
        raise UsageError(
            f"{run.run} has {len(clusters)} scored items, but --control needs at least {minimum} "
            f"({MIN_ITEMS}, and ten for each control run)"
        )
    if (count := len(set(clusters))) < FOLDS:
        raise UsageError(
            f"{run.run} has scored items in {count} clusters, but --control needs at least {FOLDS}"
        )


def _imputed_values(sample_values: Mapping[str, SampleValue], sample_ids: Iterable[str]) -> Floats:
    """Return a control run's value on each item (items,); missing values are replaced by the mean of the others."""
    column = np.array(
        [sample_values[sample_id].value if sample_id in sample_values else np.nan for sample_id in sample_ids]
    )
    is_missing = np.isnan(column)
    return np.where(is_missing, 0.0 if is_missing.all() else np.nanmean(column), column)


def _variance_of_mean(values: Floats, codes: NDArray[np.intp]) -> float:
    return cluster_variance(values - values.mean(), codes, int(codes.max()) + 1) / len(values) ** 2


def _interval_of_mean(value: float, variance: float, codes: NDArray[np.intp], metric: Metric) -> Interval:
    count = int(codes.max()) + 1
    if metric.bounds is None:
        return t_interval(value, variance, count - 1, method="t")
    effective = kish(codes, count)
    return bounded_interval(
        value, variance, effective, df=effective - 1, bounds=metric.bounds, method="Wilson, effective n"
    )
