"""Estimate, from repeats, how much a run's score would vary if the model answered the same items again."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from math import isnan, sqrt

import numpy as np
from numpy.typing import NDArray

from evals.report.strata import item_weights
from evals.types import Metric
from evals.verdicts.pairs import Outcomes, reduce_samples


def within_item_variances(outcomes: Outcomes, metric: Metric) -> Mapping[str, float] | None:
    """Return the unbiased variance of each sample's mean over repeats; None if it cannot be estimated.

    There is no estimate without repeats, for metrics that score repeats or samples jointly (pass@k), or for whole-run
    metrics. Samples with a single scored repeat are excluded.
    """
    if metric.joint or metric.together or metric.pool == "whole" or outcomes.repeats < 2:
        return None
    sums: dict[str, tuple[int, float, float]] = {}
    for point in outcomes.points:
        try:
            value = metric.of([point])
        except ValueError:
            continue
        count, total, squares = sums.get(point.id, (0, 0.0, 0.0))
        sums[point.id] = count + 1, total + value, squares + value * value
    return {
        sample_id: max(0.0, squares - total * total / count) / (count - 1) / count
        for sample_id, (count, total, squares) in sums.items()
        if count > 1
    } or None


def within_item_sd(outcomes: Outcomes, metric: Metric) -> float | None:
    """Return the standard deviation of a metric between runs of one model on the same items; None: unknown."""
    variances = within_item_variances(outcomes, metric)
    if variances is None:
        return None
    values = reduce_samples(outcomes, metric, outcomes.golds)
    scored = [sample_id for sample_id, value in values.items() if not isnan(value.value)]
    groups = [outcomes.golds[sample_id].group for sample_id in scored] if metric.pool == "macro" else None
    weights = item_weights(len(scored), groups)
    width = metric.width or value_range(values[sample_id].value for sample_id in scored)
    return sqrt(floor_at_one_change(weighted_variance(scored, variances, weights), weights, width))


def weighted_variance(
    sample_ids: list[str], variances: Mapping[str, float], weights: NDArray[np.float64]
) -> float:
    """Return the variance of a weighted mean; unknown variances are replaced by the mean of the known ones."""
    estimated = [variances[sample_id] for sample_id in sample_ids if sample_id in variances]
    mean_variance = sum(estimated) / len(estimated) if estimated else 0.0
    return float(np.array([variances.get(sample_id, mean_variance) for sample_id in sample_ids]) @ weights**2)


def floor_at_one_change(variance: float, weights: NDArray[np.float64], width: float) -> float:
    """Return the larger of the variance and that of one changed sample: identical repeats do not prove zero noise.

    `width` is that of the metric's bounds or, without bounds, the range of the observed values.
    """
    return max(variance, (width * float(weights.max())) ** 2 / 4)


def value_range(values: Iterable[float]) -> float:
    """Return the largest minus the smallest value; 0 without values."""
    ordered = sorted(values)
    return ordered[-1] - ordered[0] if ordered else 0.0


def largest_variance(shares: NDArray[np.float64]) -> float:
    """Return the largest variance of replies of bounded values that is consistent with their mean p, as shares of their range: p (1 - p).

    p is shrunk towards one half by one success and one failure (Laplace), since a perfect score does not prove zero noise.
    """
    mean = float(shares.sum() + 1) / (len(shares) + 2)
    return mean * (1 - mean)
