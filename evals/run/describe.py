"""Fill in a card's facts on its suite, its scoring rules and this installation."""

from __future__ import annotations

from typing import Literal

from evals.records import card as cards
from evals.records.card import Card, Config
from evals.suite import Suite

Origin = Literal["hub", "local", "sample"]


def new_card(config: Config, suite: Suite, *, run: str, model: str, data: Origin, started: float) -> Card:
    """Return the card of a run that has no replies yet."""
    card = Card(run=run, config=config, model=model, started=started)
    put_suite(card, suite, data=data)
    put_rules(card, suite)
    return card


def put_suite(card: Card, suite: Suite, *, data: Origin) -> None:
    """Put the suite's properties and the package versions on a card."""
    card.data, card.gated, card.chance = data, suite.gated, suite.chance
    card.commit, card.packages = cards.commit(), cards.packages()


def put_rules(card: Card, suite: Suite) -> None:
    """Put the versions of the scorers and errata on a card."""
    card.scorers, card.errata = suite.scorer_versions(), suite.errata.version
