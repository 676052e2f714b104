"""Create the card of a run, and record its suite, scoring rules and package versions."""

from __future__ import annotations

from typing import Literal

from evals.records import card as cards
from evals.records.card import Card, Config
from evals.suite import Suite

DataOrigin = Literal["hub", "local", "sample"]


def new_card(config: Config, suite: Suite, *, run: str, model: str, data: DataOrigin, started: float) -> Card:
    """Return the card of a run that has no replies yet. `started`: seconds since the epoch."""
    card = Card(run=run, config=config, model=model, started=started)
    record_suite(card, suite, data=data)
    record_rules(card, suite)
    return card


def record_suite(card: Card, suite: Suite, *, data: DataOrigin) -> None:
    """Record a suite's properties and the package versions on a card."""
    card.data, card.gated, card.chance = data, suite.gated, suite.chance
    card.commit, card.packages = cards.commit(), cards.packages()


def record_rules(card: Card, suite: Suite) -> None:
    """Record the versions of a suite's scorers and errata on a card."""
    card.scorers, card.errata = suite.scorer_versions(), suite.errata.version
