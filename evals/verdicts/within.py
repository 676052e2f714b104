"""What a run would score if it were drawn again on the same items: noise within items, from repeats of each."""

from __future__ import annotations

from collections.abc import Mapping
from math import isnan, sqrt
from typing import TYPE_CHECKING

from evals.report.strata import item_weights
from evals.types import Metric
from evals.verdicts.pairs import Side, values

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


def within_variances(side: Side, metric: Metric) -> Mapping[str, float] | None:
    """Return per sample the variance of its mean over repeats; None if the run does not show it.

    Unbiased, from the spread of each sample's repeats; samples with one repeat there are left out. Joint metrics
    (pass@k) and statistics of whole runs have no such noise per repeat.
    """
    if metric.joint or metric.together or metric.pool == "whole" or side.repeats < 2:
        return None
    sums: dict[str, tuple[int, float, float]] = {}
    for one in side.points:
        try:
            value = metric.of([one])
        except ValueError:
            continue
        count, total, squares = sums.get(one.id, (0, 0.0, 0.0))
        sums[one.id] = count + 1, total + value, squares + value * value
    return {
        name: max(0.0, squares - total * total / count) / (count - 1) / count
        for name, (count, total, squares) in sums.items()
        if count > 1
    } or None


def within_error(side: Side, metric: Metric) -> float | None:
    """Return the standard deviation of a run's metric between runs of the model on these items; None: not known."""
    variances = within_variances(side, metric)
    if variances is None:
        return None
    known = [name for name, value in values(side, metric, side.golds).items() if not isnan(value.value)]
    weights = item_weights(
        len(known), [side.golds[name].group for name in known] if metric.pool == "macro" else None
    )
    return sqrt(floored(weighed(known, variances, weights), weights, metric))


def weighed(names: list[str], variances: Mapping[str, float], weights: NDArray[np.float64]) -> float:
    """Return the variance of a weighted mean; a sample without a variance has the mean of the others."""
    import numpy as np

    known = [variances[name] for name in names if name in variances]
    usual = sum(known) / len(known) if known else 0.0
    return float(np.array([variances.get(name, usual) for name in names]) @ weights**2)


def floored(variance: float, weights: NDArray[np.float64], metric: Metric) -> float:
    """Return a variance of at least one changed sample: repeats that all agree do not prove zero noise."""
    width = metric.bounds[1] - metric.bounds[0] if metric.bounds else 0.0
    return max(variance, (width * float(weights.max())) ** 2 / 4)
