"""Width of the interval that a planned run will have, before a call is made."""

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
    """Half the width of the 95 % interval of a run's headline."""

    half_width: float
    """In the unit of the headline."""
    bound: bool
    """Whether it is the largest that is possible, reached by an accuracy of 50 %."""
    basis: str


def expected_precision(plan: Plan) -> Precision | None:
    """Return the precision of a planned run; None if nothing is known of its metric.

    An earlier run of the suite under this protocol, of this model if there is one, is scaled by the root of the numbers of
    independent clusters. Without one, a mean of values between 0 and 1 has at most the interval of 50 %. Repeats narrow both by
    an unknown part, which is left out: replies to one item are alike.
    """
    clusters = len(_clusters(plan))
    earlier = _earlier(plan)
    if earlier is not None and clusters:
        run, head = earlier
        half = ((head.high or 0.0) - (head.low or 0.0)) / 2 * sqrt(head.clusters / clusters)
        return Precision(half, bound=False, basis=f"from {run}, {head.clusters:,} independent items")
    metric = plan.suite.headline
    if not clusters or metric.pool == "whole" or metric.bounds != (0.0, 1.0):
        return None
    basis = f"of 50 %, {clusters:,} independent items"
    if metric.pool == "micro":
        interval = wilson(clusters / 2, clusters)
        return Precision(((interval.high or 0.0) - (interval.low or 0.0)) / 2, bound=True, basis=basis)
    sizes = Counter(group for group, _ in _clusters(plan))
    error = sqrt(sum(0.25 / size for size in sizes.values())) / len(sizes)
    return Precision(z_quantile(0.975) * error, bound=True, basis=basis)


def _clusters(plan: Plan) -> set[tuple[str, str]]:
    """Return (group, cluster) of the selected samples."""
    samples = plan.samples
    return {
        (group, cluster or name)
        for name, group, cluster in zip(samples.ids, samples.groups, samples.clusters, strict=True)
    }


def _earlier(plan: Plan) -> tuple[str, Estimate] | None:
    """Return the newest comparable run with an interval, of this model if there is one, and its headline."""
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
    card = max(runs, key=lambda entry: entry[:2])[2]
    return (card.run, card.headline) if card.headline is not None else None


def _is_comparable(card: Card, plan: Plan) -> bool:
    head = card.headline
    return (
        card.config.protocol == plan.suite.protocol
        and head is not None
        and None not in (head.low, head.high)
        and head.low != head.high
        and head.clusters > 1
        and head.metric.partition("@")[0] == plan.suite.headline.name.partition("@")[0]
    )
