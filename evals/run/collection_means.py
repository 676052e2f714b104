"""Means over the columns of a collection (`evals/collection.py`), from the cards of runs."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from evals.collection import COLLECTIONS, Collection, Column
from evals.labels import ProtocolName
from evals.records.card import Card
from evals.report.aggregate import headline_of
from evals.report.statistics import Interval, mean_of_parts

ALIKE: Mapping[str, Callable[[Card], object]] = {
    "sample items": lambda card: card.data == "sample",
    "limit": lambda card: card.config.limit,
    "stopped early": lambda card: card.stopped_early,
    "max pixels": lambda card: card.config.max_pixels,
    "system prompt": lambda card: card.config.system,
}
"""What the runs of one mean have in common; sampling and judge are those of each column's protocol."""


def collection_means(cards: Sequence[Card]) -> list[dict[str, Any]]:
    """Return an entry per model, collection and protocol of which at least half of the columns were run.

    The value is None while a column is missing. An incomplete entry whose runs all belong to a complete one is left out.
    """
    return [
        entry
        for collection in COLLECTIONS.values()
        for _, own in sorted(_by_model(collection, cards).items())
        for entry in _without_repetitions(list(_of_model(collection, own)))
    ]


def _without_repetitions(entries: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Leave out incomplete entries whose runs all belong to a complete one: protocols share columns."""
    complete = [set(entry["runs"]) for entry in entries if not entry["missing"]]
    return [
        entry
        for entry in entries
        if not entry["missing"] or not any(set(entry["runs"]) <= runs for runs in complete)
    ]


def _by_model(collection: Collection, cards: Sequence[Card]) -> dict[str, list[Card]]:
    suites = {suite for column in collection.columns for suite in column.suites}
    models: dict[str, list[Card]] = {}
    for card in cards:
        if card.config.suite in suites:
            models.setdefault(card.model, []).append(card)
    return models


def _of_model(collection: Collection, cards: Sequence[Card]) -> Iterator[dict[str, Any]]:
    for protocol in collection.protocol_names:
        sets: dict[tuple[object, ...], list[Card]] = {}
        wanted = set(collection.suites("", protocol))
        for card in sorted(cards, key=lambda card: card.started):
            base = ProtocolName.parse(card.config.protocol).base
            if (card.config.suite, base) in wanted:
                sets.setdefault(tuple(of(card) for of in ALIKE.values()), []).append(card)
        if not sets:
            continue
        entries = [_mean(collection, protocol, alike) for alike in sets.values()]
        best = min(
            entries, key=lambda entry: (len(entry["missing"]), entry["marks"] != [], -entry["started"])
        )
        if 2 * len(best["missing"]) <= len(collection.columns):
            del best["started"]
            yield best


def _mean(collection: Collection, protocol: str, cards: Sequence[Card]) -> dict[str, Any]:
    """Return the mean over all columns; of several runs of a suite the newest counts."""
    newest = {card.config.suite: card for card in cards}
    parts = [(column, _part(column, newest)) for column in collection.columns]
    known = [(column, part) for column, part in parts if part is not None]
    entry: dict[str, Any] = {"value": None, "low": None, "high": None, "method": ""}
    if len(known) == len(parts):
        units = [column.images or column.name for column, _ in known]
        entry |= mean_of_parts([part for _, part in known], units)._asdict()
    reworded = any(ProtocolName.parse(card.config.protocol).reworded for card in newest.values())
    return {
        "suite": collection.name,
        "protocol": str(ProtocolName(protocol, reworded=reworded)),
        "model": cards[0].model,
        **entry,
        "missing": [column.name for column, part in parts if part is None],
        "runs": [card.run for card in newest.values()],
        "marks": _marks(list(newest.values())),
        "left_out": [],
        "started": max(card.started for card in newest.values()),
    }


def _part(column: Column, cards: Mapping[str, Card]) -> Interval | None:
    """Return a column's value with its limits; None unless each of its suites has one."""
    found = [headline_of(cards[suite]) for suite in column.suites if suite in cards]
    values = [
        Interval(head.value, head.low, head.high, head.method)
        for head in found
        if head is not None and head.value is not None
    ]
    if len(values) < len(column.suites):
        return None
    return mean_of_parts(values, [column.name] * len(values)) if len(values) > 1 else values[0]


def _marks(cards: Sequence[Card]) -> list[str]:
    marks = ["sample items"] if cards[0].data == "sample" else []
    if cards[0].config.limit is not None:
        marks.append(f"subsets of {cards[0].config.limit} items")
    if (coverage := min(card.coverage for card in cards)) < 1:
        marks.append(f"{100 * coverage:.1f} % scored at least")
    return marks
