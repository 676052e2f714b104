"""The state of runs for showing: cards as they are, refreshed from the records where a run has not ended."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from msgspec import Struct

from evals import load
from evals.errors import EvalsError
from evals.records.card import Card
from evals.records.store import Run
from evals.run.rescore import summed
from evals.suite import Suite


def suite_of(card: Card) -> Suite:
    """Give the suite that a run was made of; raises UnknownName where it is gone."""
    return load.suite(card.config.suite, card.config.protocol)[0]


def current(run: Run) -> Card:
    """Give a run's card; of one that has not ended, with the numbers of its records so far."""
    card = run.card
    if card.status in ("finished", "partial") and card.estimates:
        return card
    summed(card, run, suite_of(card))
    return card


class Overview(Struct, kw_only=True):
    """Some runs, those that could not be read, and the means that protocols define over variants."""

    cards: list[Card]
    broken: list[str]
    aggregates: list[dict[str, Any]]


def overview(runs: Sequence[Run]) -> Overview:
    """Read runs; a broken one is named and does not hide the others."""
    cards, broken = [], []
    for run in runs:
        try:
            cards.append(current(run))
        except EvalsError as error:
            broken.append(str(error))
    return Overview(cards=cards, broken=broken, aggregates=aggregates(cards))


def aggregates(cards: Sequence[Card]) -> list[dict[str, Any]]:
    """Compute what suites define over their variants; with a variant missing the value is null."""
    found = []
    keys = sorted({(c.config.suite.partition(":")[0], c.config.protocol, c.model) for c in cards})
    for name, protocol, model in keys:
        module = load.suite_module(name)
        combine = getattr(module, "aggregate", None)
        if combine is None:
            continue
        latest = {
            c.config.suite.partition(":")[2]: c
            for c in cards
            if (c.config.suite.partition(":")[0], c.config.protocol, c.model) == (name, protocol, model)
        }
        result = combine(protocol, latest)
        if result is not None:
            found.append({"suite": name, "protocol": protocol, "model": model, **result})
    return found
