"""Estimands of a difference: other items like these, these items with new replies, or the observed replies.

`items-like-these`: the expected difference on the population that the items are a sample of. `these-items`: the
difference expected over the models' own sampling on exactly these items; it needs the within-item noise, from repeats
in both runs or from a repeatability report. `this-run`: the observed difference on the whole set, known exactly once
all items have been run; used for early stopping. The false-pass rate is bounded only for the chosen estimand: if the
*expected* loss equals the margin, about half of all runs pass under `this-run`.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import sqrt

import numpy as np
from numpy.typing import NDArray

from evals.report.estimand_names import Estimand
from evals.report.strata import item_weights
from evals.verdicts.difference import MeanDifference
from evals.verdicts.evidence import Evidence
from evals.verdicts.pairs import Missing, Pairing
from evals.verdicts.within_item_noise import (
    floor_at_one_change,
    value_range,
    weighted_variance,
    within_item_variances,
)

LIMIT_FACTOR = 2.8
"""Repeatability limit / standard deviation: 1.96 sqrt(2), rounded as ISO 5725 does."""
NORMAL_DF = 1e9
"""Degrees of freedom of a normal distribution."""


@dataclass(frozen=True)
class ObservedDifference(Evidence):
    """An observed difference without uncertainty."""

    value: float
    test: str = "observed"

    def interval(self, level: float) -> tuple[float, float]:
        """Return the difference as both limits."""
        return self.value, self.value

    def _p_value(self, margin: float, side: int) -> float:
        return float(not side * (self.value - margin) > 0)


def evidence_of(
    pairing: Pairing,
    estimand: Estimand,
    *,
    group: str | None = None,
    missing: Missing = "exclude",
    limit: float | None = None,
) -> Evidence | None:
    """Return the evidence on a difference under an estimand; `limit`: the suite's repeatability limit, if known.

    None if nothing is paired, missing outcomes have no bounds, or the noise that `these-items` needs is unknown.
    """
    evidence = pairing.evidence(group=group, missing=missing)
    if evidence is None or estimand == "items-like-these":
        return evidence
    if estimand == "this-run":
        return ObservedDifference(evidence.value)
    standard_error = noise_error(pairing, group=group, limit=limit)
    if standard_error is None:
        return None
    return MeanDifference(
        evidence.value, standard_error, NORMAL_DF, "within-item noise", pairing.metric.width
    )


def noise_error(pairing: Pairing, *, group: str | None = None, limit: float | None = None) -> float | None:
    """Return the standard error of a difference over the models' own sampling on these items; None: unknown."""
    if group is not None or not pairing.metric.headline:
        limit = None  # a repeatability limit is valid for the headline only
    if pairing.metric.pool == "whole":
        return sqrt(2) * limit / LIMIT_FACTOR if limit else None  # equal runs do not prove zero noise
    if not (rows := pairing.rows_of(group)):
        return None
    weights = item_weights(len(rows), pairing.strata(rows, group))
    variances_a, variances_b = (
        within_item_variances(outcomes, pairing.metric) for outcomes in (pairing.a, pairing.b)
    )
    if variances_a is not None and variances_b is not None:
        sample_ids = [row.id for row in rows]
        variance = sum(
            weighted_variance(sample_ids, variances, weights) for variances in (variances_a, variances_b)
        )
    elif limit is not None:
        variance = variance_from_report(limit / LIMIT_FACTOR, pairing.differences(rows), weights)
    else:
        return None
    width = pairing.metric.width or value_range(value for row in rows for value in (row.a.value, row.b.value))
    return sqrt(floor_at_one_change(variance, weights, width))


def variance_from_report(
    deviation: float, differences: NDArray[np.float64], weights: NDArray[np.float64]
) -> float:
    """Return the variance of a weighted mean difference, given the `deviation` of a repeatability report.

    This is twice the squared deviation, or the variance estimated from the differences if that is larger: a report covers
    one model only, and the differences vary more if the candidate sometimes fails items that the baseline always solves.
    With the report alone, a loss equal to the margin would pass in 7 % of cases at a level of 5 %.
    """
    residuals = differences - float(differences @ weights)
    count = len(differences)
    return max(2 * deviation**2, float(weights**2 @ residuals**2) * count / max(1, count - 1))
