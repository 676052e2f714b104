"""Means over the columns of a collection (`evals/collection.py`), computed from the cards of runs."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from evals.collection import COLLECTIONS, Collection, Column
from evals.labels import ProtocolName
from evals.plain import percent
from evals.records.card import Card
from evals.report.statistics import Interval, mean_of_parts

CONDITIONS: Mapping[str, Callable[[Card], object]] = {
    "sample items": lambda card: card.data == "sample",
    "limit": lambda card: card.config.limit,
    "stopped early": lambda card: card.stopped_early,
    "max pixels": lambda card: card.config.max_pixels,
    "system prompt": lambda card: card.config.system,
}
"""Settings that all runs in one mean must share; each column's protocol determines its sampling and its judge."""


def collection_means(cards: Sequence[Card]) -> list[dict[str, Any]]:
    """Return a mean for each model, collection and protocol, if at least half of the collection's columns have been run.

    The value of a mean is None while a column is missing. An incomplete mean is left out if a complete one contains all of
    its runs.
    """
    return [
        entry
        for collection in COLLECTIONS.values()
        for _, model_cards in sorted(_by_model(collection, cards).items())
        for entry in _without_subsets(list(_means_of_model(collection, model_cards)))
    ]


def _without_subsets(means: Sequence[tuple[dict[str, Any], set[int]]]) -> list[dict[str, Any]]:
    """Leave out each incomplete mean whose runs all belong to a complete one, since several protocols may share a column.

    `means`: each with the identities of its cards, since the runs of one command share their id.
    """
    complete = [card_ids for entry, card_ids in means if not entry["missing"]]
    return [
        entry
        for entry, card_ids in means
        if not entry["missing"] or not any(card_ids <= others for others in complete)
    ]


def _by_model(collection: Collection, cards: Sequence[Card]) -> dict[str, list[Card]]:
    suites = {suite for column in collection.columns for suite in column.suites}
    cards_by_model: dict[str, list[Card]] = {}
    for card in cards:
        if card.config.suite in suites:
            cards_by_model.setdefault(card.model, []).append(card)
    return cards_by_model


def _means_of_model(
    collection: Collection, cards: Sequence[Card]
) -> Iterator[tuple[dict[str, Any], set[int]]]:
    """Yield the mean of each protocol for which at least half of the columns have been run, with the identities of its cards.

    If the runs fall into several sets that are not comparable, the set with the fewest missing columns is used; among
    equal ones, a set without marks, then the newest.
    """
    for protocol in collection.protocol_names:
        cards_by_conditions: dict[tuple[object, ...], list[Card]] = {}
        required = set(collection.suites("", protocol))
        for card in sorted(cards, key=lambda card: card.started):
            base = ProtocolName.parse(card.config.protocol).base
            if (card.config.suite, base) in required:
                conditions = tuple(condition(card) for condition in CONDITIONS.values())
                cards_by_conditions.setdefault(conditions, []).append(card)
        if not cards_by_conditions:
            continue
        newest_first = sorted(cards_by_conditions.values(), key=lambda cards: -cards[-1].started)
        best = min(
            (_collection_mean(collection, protocol, comparable) for comparable in newest_first),
            key=lambda mean: (len(mean[0]["missing"]), bool(mean[0]["marks"])),
        )
        if 2 * len(best[0]["missing"]) <= len(collection.columns):
            yield best


def _collection_mean(
    collection: Collection, protocol: str, cards: Sequence[Card]
) -> tuple[dict[str, Any], set[int]]:
    """Return the mean over all columns, each computed from the newest runs of its suites, and the identities of their cards.

    `cards`: the newest last.
    """
    newest = {card.config.suite: card for card in cards}
    values = [(column, _column_value(column, newest)) for column in collection.columns]
    available = [(column, value) for column, value in values if value is not None]
    entry: dict[str, Any] = {"value": None, "low": None, "high": None, "method": ""}
    if len(available) == len(values):
        clusters = [column.images or column.name for column, _ in available]
        entry |= mean_of_parts([value for _, value in available], clusters)._asdict()
    reworded = any(ProtocolName.parse(card.config.protocol).reworded for card in newest.values())
    mean = {
        "suite": collection.name,
        "protocol": str(ProtocolName(protocol, reworded=reworded)),
        "model": cards[0].model,
        **entry,
        "missing": [column.name for column, value in values if value is None],
        "runs": [card.run for card in newest.values()],
        "suites": list(newest),
        "marks": marks_of(list(newest.values())),
        "left_out": [],
    }
    return mean, set(map(id, newest.values()))


def _column_value(column: Column, cards: Mapping[str, Card]) -> Interval | None:
    """Return a column's value with its interval; None unless all of its suites have a value."""
    headlines = [cards[suite].headline for suite in column.suites if suite in cards]
    values = [
        Interval(headline.value, headline.low, headline.high, headline.method)
        for headline in headlines
        if headline is not None and headline.value is not None
    ]
    if len(values) < len(column.suites):
        return None
    return mean_of_parts(values, [column.name] * len(values)) if len(values) > 1 else values[0]


def marks_of(cards: Sequence[Card]) -> list[str]:
    """Return the labels that qualify a mean over these runs, e.g. because they cover only subsets or some scores are missing."""
    marks = ["sample items"] if cards[0].data == "sample" else []
    if cards[0].config.limit is not None:
        marks.append(f"subsets of {cards[0].config.limit} items")
    if (coverage := min(card.coverage for card in cards)) < 1:
        marks.append(f"at least {percent(coverage)} % scored")
    return marks
