"""Aggregate the runs of a benchmark's variants into one number."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from typing import Any

from evals.records.card import Card
from evals.report.statistics import Interval, mean_of_parts
from evals.types import Estimate


def headline_of(card: Card) -> Estimate | None:
    """Return a card's headline estimate; None if it has none yet."""
    return next((estimate for estimate in card.estimates if estimate.headline), None)


def mean_of_variants(
    names: Iterable[str],
    cards: Mapping[str, Card],
    shares: Mapping[str, Callable[[float], float]] | None = None,
    *,
    shared: Iterable[Collection[str]] = (),
) -> dict[str, Any]:
    """Return the plain mean of headlines as shares of 1; null unless all variants have one.

    `shares`: for errors, by variant, a falling function from the error to its share. `shared`: sets of variants that ask
    about the same items, whose errors may add up; all others are independent. The interval has each variant's own two
    sides; there is none if a variant has none.
    """
    wanted = tuple(names)
    units = {name: next((i for i, several in enumerate(shared) if name in several), name) for name in wanted}
    parts = {
        name: part
        for name in wanted
        if name in cards and (part := _share(headline_of(cards[name]), (shares or {}).get(name))) is not None
    }
    entry: dict[str, Any] = {"value": None, "low": None, "high": None, "method": ""}
    if len(parts) == len(wanted):
        mean = mean_of_parts(list(parts.values()), [units[name] for name in parts])
        entry |= mean._asdict()
    return {
        **entry,
        "missing": [name for name in wanted if name not in parts],
        "runs": [cards[name].run for name in wanted if name in cards],
    }


def mean_of_groups(means: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Return the plain mean of results of `mean_of_variants` over different items; null unless all have a value."""
    entry: dict[str, Any] = {"value": None, "low": None, "high": None, "method": ""}
    if all(mean["value"] is not None for mean in means):
        parts = [Interval(mean["value"], mean["low"], mean["high"], mean["method"]) for mean in means]
        entry |= mean_of_parts(parts)._asdict()
    return {
        **entry,
        "missing": [name for mean in means for name in mean["missing"]],
        "runs": [run for mean in means for run in mean["runs"]],
    }


def _share(estimate: Estimate | None, share: Callable[[float], float] | None) -> Interval | None:
    if estimate is None or estimate.value is None:
        return None
    if share is None:
        return Interval(estimate.value, estimate.low, estimate.high, estimate.method)
    ends = (estimate.high, estimate.low)  # the share falls as the error grows
    low, high = (None if end is None else share(end) for end in ends)
    return Interval(share(estimate.value), low, high, estimate.method)
