"""Aggregate the runs of a benchmark's variants into one number.

A mean is a dict with the fields of `Interval` (`value`, `low`, `high`, `method`), `missing` (variants without an estimate),
`runs` and `suites` (id and suite of each run).
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Hashable, Iterable, Mapping, Sequence
from typing import Any

from evals.records.card import Card
from evals.report.statistics import Interval, mean_of_parts
from evals.types import Estimate


def mean_of_variants(
    names: Iterable[str],
    cards: Mapping[str, Card],
    to_fractions: Mapping[str, Callable[[float], float]] | None = None,
    *,
    same_items: Sequence[Collection[str]] = (),
) -> dict[str, Any]:
    """Return the unweighted mean of the variants' headline estimates, as fractions of 1; its value is None unless all variants have one.

    `to_fractions`: variant -> decreasing function that turns its error metric into such a fraction. `same_items`: sets of
    variants with the same items, whose sampling errors may be dependent; all other variants are independent.
    """
    variants = tuple(names)
    estimates = {
        name: estimate
        for name in variants
        if name in cards
        and (estimate := _as_fraction(cards[name].headline, (to_fractions or {}).get(name))) is not None
    }
    return _mean_with_runs(
        list(estimates.values()) if len(estimates) == len(variants) else None,
        [next((i for i, members in enumerate(same_items) if name in members), name) for name in estimates],
        missing=[name for name in variants if name not in estimates],
        cards=[cards[name] for name in variants if name in cards],
    )


def mean_of_groups(means: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Return the unweighted mean of `mean_of_variants` results on different items; its value is None unless all have one."""
    is_complete = all(mean["value"] is not None for mean in means)
    whole = _mean_with_runs(
        [Interval(*(mean[field] for field in Interval._fields)) for mean in means] if is_complete else None,
        missing=[name for mean in means for name in mean["missing"]],
    )
    return whole | {name: [entry for mean in means for entry in mean[name]] for name in ("runs", "suites")}


def _mean_with_runs(
    estimates: Sequence[Interval] | None,
    clusters: Sequence[Hashable] | None = None,
    *,
    missing: Sequence[str],
    cards: Sequence[Card] = (),
) -> dict[str, Any]:
    undefined = {"value": None, "low": None, "high": None, "method": ""}
    mean = undefined if estimates is None else mean_of_parts(estimates, clusters)._asdict()
    runs, suites = [card.run for card in cards], [card.config.suite for card in cards]
    return {**mean, "missing": missing, "runs": runs, "suites": suites}


def averaged_cards(mean: Mapping[str, Any], cards: Iterable[Card]) -> list[Card]:
    """Return the cards of a mean's runs; an id alone does not identify a run, since the runs of one command share it."""
    members = set(zip(mean["runs"], mean["suites"], strict=True))
    return [
        card for card in cards if card.model == mean["model"] and (card.run, card.config.suite) in members
    ]


def _as_fraction(estimate: Estimate | None, to_fraction: Callable[[float], float] | None) -> Interval | None:
    if estimate is None or estimate.value is None:
        return None
    if to_fraction is None:
        return Interval(estimate.value, estimate.low, estimate.high, estimate.method)
    limits = (estimate.high, estimate.low)  # the fraction decreases with the error
    low, high = (None if limit is None else to_fraction(limit) for limit in limits)
    return Interval(to_fraction(estimate.value), low, high, estimate.method)
