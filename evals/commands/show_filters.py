"""The filters of `evals show`: suite, model, protocol, start and number of runs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from evals.errors import UsageError
from evals.plain import did_you_mean, similar_names
from evals.records import store
from evals.records.card import Card
from evals.records.store import Run
from evals.terminal.select import Filter, parse_since

FILTERS = ("suite", "model", "protocol", "last", "since")
"""Options that select runs."""


def has_filter(options: Mapping[str, Any]) -> bool:
    """Return whether any filter is set."""
    return any(options[name] for name in FILTERS)


def find_runs(name: str, options: Mapping[str, Any]) -> list[Run]:
    """Return the runs that a name and the filters match; raises StoreError or UsageError if there are none."""
    runs = store.find(options["results"], name)
    if not has_filter(options):
        return runs
    runs_by_card = [(run.card, run) for run in runs]
    cards = [card for card, _ in runs_by_card]
    if not (matching := filter_cards(cards, options)):
        raise UsageError(no_match_message(cards, options))
    return [run for card, run in runs_by_card if any(card is other for other in matching)]


def filter_cards(cards: Sequence[Card], filters: Mapping[str, Any]) -> list[Card]:
    """Return the cards of the runs that match; raises UsageError for an invalid time."""
    run_filter = Filter(
        suite=filters["suite"],
        model=filters["model"],
        protocol=filters["protocol"],
        since=parse_since(filters["since"]) if filters["since"] else 0.0,
        last=filters["last"],
    )
    return run_filter.choose(cards)


def no_match_message(cards: Sequence[Card], filters: Mapping[str, Any]) -> str:
    """Return a message for filters that no run matches, with suggestions if one filter alone matches none."""
    values = {
        "suite": {
            name for card in cards for name in (card.config.suite, card.config.suite.partition(":")[0])
        },
        "model": {card.model for card in cards},
        "protocol": {card.config.protocol for card in cards},
    }
    for name, choices in values.items():
        if (value := filters[name]) and not Filter(**{name: value}).choose(cards):
            matches = similar_names(value, choices)
            hint = did_you_mean(matches) if matches else f"known: {', '.join(sorted(choices))}"
            return f"No run matches --{name} {value}; {hint}"
    return "No run matches; `evals show` without options lists all runs."
