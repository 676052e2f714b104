"""Estimands of a difference: other items like these, these items with new replies, or these very replies.

`items-like-these`: the expected difference on the population that the items are a sample of. `these-items`: the
difference expected over the models' own sampling on exactly these items; needs the noise within items, from repeats
of both runs or from a repeatability report. `this-run`: the observed difference on the whole set, without noise once all
items were asked; for early stopping. A bound on wrong passes holds for its own estimand alone: a loss *expected* at the
margin passes under `this-run` in about half of all cases.
"""

from __future__ import annotations

from math import sqrt
from typing import TYPE_CHECKING, NamedTuple

from evals.report.estimand_names import Estimand
from evals.report.strata import item_weights
from evals.verdicts.difference import Evidence, MeanDifference
from evals.verdicts.pairs import Missing, Pairs
from evals.verdicts.within_item_noise import at_least_one_change, weighted_variance, within_item_variances

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

LIMIT_FACTOR = 2.8
"""Repeatability limit / standard deviation: 1.96 sqrt(2), rounded as ISO 5725 does."""
NORMAL_DF = 1e9
"""Degrees of freedom of a normal distribution."""


class ObservedDifference(NamedTuple):
    """An observed difference without uncertainty."""

    value: float
    test: str = "as seen"

    def interval(self, level: float) -> tuple[float, float]:
        """Return the difference itself."""
        return self.value, self.value

    def p_above(self, margin: float) -> float:
        """Return 0 if the difference is above the margin, else 1."""
        return float(not self.value > margin)

    def p_below(self, margin: float) -> float:
        """Return 0 if the difference is below the margin, else 1."""
        return float(not self.value < margin)

    def p_equal(self) -> float:
        """Return 1 for no difference, else 0."""
        return float(self.value == 0)


def evidence_of(
    pairs: Pairs,
    estimand: Estimand,
    *,
    group: str | None = None,
    missing: Missing = "leave",
    limit: float | None = None,
) -> Evidence | None:
    """Return the evidence on a difference under an estimand; `limit`: the suite's repeatability limit, if known.

    None if nothing is paired, or if the noise that `these-items` needs is unknown.
    """
    evidence = pairs.evidence(group=group, missing=missing)
    if evidence is None or estimand == "items-like-these":
        return evidence
    if estimand == "this-run":
        return ObservedDifference(evidence.value)
    error = noise_error(pairs, group=group, limit=limit)
    return (
        None
        if error is None
        else MeanDifference(evidence.value, error, NORMAL_DF, "within-item noise", pairs.metric.width)
    )


def noise_error(pairs: Pairs, *, group: str | None = None, limit: float | None = None) -> float | None:
    """Return the standard error of a difference over the models' own sampling on these items; None: unknown."""
    if pairs.metric.pool == "whole":
        return (
            sqrt(2) * limit / LIMIT_FACTOR
            if limit is not None and group is None and pairs.metric.headline
            else None
        )
    rows = pairs.rows_of(group)
    macro = pairs.metric.pool == "macro" and group is None
    weights = item_weights(len(rows), [row.group for row in rows] if macro else None)
    left, right = (within_item_variances(side, pairs.metric) for side in (pairs.a, pairs.b))
    if left is not None and right is not None:
        names = [row.id for row in rows]
        variance = weighted_variance(names, left, weights) + weighted_variance(names, right, weights)
    elif limit is not None and group is None and pairs.metric.headline:
        variance = variance_by_report(limit / LIMIT_FACTOR, pairs.differences(rows), weights)
    else:
        return None
    return sqrt(at_least_one_change(variance, weights, pairs.metric))


def variance_by_report(
    deviation: float, differences: NDArray[np.float64], weights: NDArray[np.float64]
) -> float:
    """Return the variance of a weighted mean difference by one model's deviation between runs, or as observed if larger.

    A report is of one model. A candidate that loses what it had for certain is less sure of it and so has more noise: the
    report alone passes losses of the margin in 7 % of cases. The observed spread of differences is at least the noise.
    """
    centred = differences - float(differences @ weights)
    count = len(differences)
    return max(2 * deviation**2, float(weights**2 @ centred**2) * count / max(1, count - 1))
