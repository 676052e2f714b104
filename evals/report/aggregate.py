"""One number over the runs of a benchmark's variants."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from evals.records.card import Card
from evals.report.statistics import Interval, mean_of_independent
from evals.types import Estimate


def headline_of(card: Card) -> Estimate | None:
    """Return a card's headline; None before it has one."""
    return next((one for one in card.estimates if one.headline), None)


def mean_of_variants(
    names: Iterable[str], cards: Mapping[str, Card], shares: Mapping[str, Callable[[float], float]]
) -> dict[str, Any]:
    """Return the plain mean of headlines as shares of 1; null unless all variants have one.

    `shares`: for errors, by variant, a falling function from the error to its share. The interval takes variants as
    independent, each with its own two sides; there is none if a variant has none.
    """
    wanted = tuple(names)
    runs = [cards[name] for name in wanted if name in cards]
    known = [_share(headline_of(cards[name]), shares.get(name)) for name in wanted if name in cards]
    intervals = [interval for interval in known if interval is not None]
    entry: dict[str, Any] = {"value": None, "low": None, "high": None}
    if len(intervals) == len(wanted):
        entry["value"], entry["low"], entry["high"], _ = mean_of_independent(intervals)
    missing = [name for name in wanted if name not in cards]
    return {**entry, "missing": missing, "runs": [card.run for card in runs]}


def _share(estimate: Estimate | None, share: Callable[[float], float] | None) -> Interval | None:
    if estimate is None or estimate.value is None:
        return None
    if share is None:
        return Interval(estimate.value, estimate.low, estimate.high, estimate.method)
    ends = (estimate.high, estimate.low)  # the share falls as the error grows
    low, high = (None if end is None else share(end) for end in ends)
    return Interval(share(estimate.value), low, high, estimate.method)
