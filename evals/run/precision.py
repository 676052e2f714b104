"""Expected width of the confidence interval of a planned run."""

from __future__ import annotations

from collections import Counter
from math import sqrt
from typing import TYPE_CHECKING, NamedTuple

from evals.errors import StoreError
from evals.records import store
from evals.records.card import Card
from evals.report.statistics import wilson, z_quantile
from evals.types import Estimate

if TYPE_CHECKING:
    from evals.run.plan import Plan


class Precision(NamedTuple):
    """Expected precision of a run's headline."""

    half_width: float
    """Half the width of the 95 % interval, in the unit of the headline."""
    bound: bool
    """Whether `half_width` is an upper bound, which is reached at an accuracy of 50 %."""
    basis: str
    """What `half_width` is based on, for display."""


def expected_precision(plan: Plan) -> Precision | None:
    """Return the expected precision of a planned run; None if it cannot be estimated.

    The interval of an earlier run of the suite under this protocol, preferably of this model, is scaled by the square root of
    the ratio of the numbers of clusters. Without such a run, the interval at a mean of 50 % is an upper bound, if values are
    between 0 and 1. Repeats are ignored: since replies to one item are correlated, they narrow the interval by an unknown
    factor.
    """
    cluster_keys = _cluster_keys(plan)
    clusters = len(cluster_keys)
    earlier_headline = _earlier_headline(plan)
    if earlier_headline is not None and clusters:
        run, headline = earlier_headline
        half_width = ((headline.high or 0.0) - (headline.low or 0.0)) / 2 * sqrt(headline.clusters / clusters)
        return Precision(
            half_width, bound=False, basis=f"from {run}, {headline.clusters:,} independent items"
        )
    metric = plan.suite.headline
    if not clusters or metric.pool == "whole" or metric.bounds != (0.0, 1.0):
        return None
    basis = f"at a score of 50 %, {clusters:,} independent items"
    if metric.pool == "micro":
        interval = wilson(clusters / 2, clusters)
        return Precision(((interval.high or 0.0) - (interval.low or 0.0)) / 2, bound=True, basis=basis)
    sizes = Counter(group for group, _ in cluster_keys)
    standard_error = sqrt(sum(0.25 / size for size in sizes.values())) / len(sizes)
    return Precision(z_quantile(0.975) * standard_error, bound=True, basis=basis)


def _cluster_keys(plan: Plan) -> set[tuple[str, str]]:
    """Return the (group, cluster) pairs of the selected samples."""
    samples = plan.samples
    return {
        (group, cluster or sample_id)
        for sample_id, group, cluster in zip(samples.ids, samples.groups, samples.clusters, strict=True)
    }


def _earlier_headline(plan: Plan) -> tuple[str, Estimate] | None:
    """Return the id and headline of the newest comparable run, preferably of this model; None if there is none."""
    runs: list[tuple[bool, float, Card]] = []
    for path in plan.folder.parent.glob("*/*/card.json"):
        try:
            card = store.read_card(path.parent)
        except StoreError:
            continue
        if _is_comparable(card, plan):
            runs.append((path.parent.parent == plan.folder, card.started, card))
    if not runs:
        return None
    card = max(runs, key=lambda run: run[:2])[2]
    return (card.run, card.headline) if card.headline is not None else None


def _is_comparable(card: Card, plan: Plan) -> bool:
    headline = card.headline
    return (
        card.config.protocol == plan.suite.protocol
        and headline is not None
        and None not in (headline.low, headline.high)
        and headline.low != headline.high
        and headline.clusters > 1
        and headline.metric.partition("@")[0] == plan.suite.headline.name.partition("@")[0]
    )
