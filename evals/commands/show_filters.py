"""The filters of `evals show`: suite, model, protocol, start and number of runs."""

from __future__ import annotations

import re
import time
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from evals.errors import UsageError
from evals.plain import suggestion
from evals.records import store
from evals.records.card import Card
from evals.records.store import Run

FILTERS = ("suite", "model", "protocol", "last", "since")
"""Options that select runs."""
_RELATIVE_TIME = re.compile(r"(\d{1,5})\s*(min|h|d|w)")
_SECONDS_PER_UNIT = {"min": 60, "h": 3600, "d": 86400, "w": 7 * 86400}


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
    """Return the cards of the runs that match all filters that are set; raises UsageError for an invalid time."""
    suite = (filters.get("suite") or "").replace("_", "-").lower()
    model = (filters.get("model") or "").lower()
    since = parse_since(filters["since"]) if filters.get("since") else 0.0
    matching = [
        card
        for card in cards
        if suite in ("", card.config.suite.lower(), card.config.suite.lower().partition(":")[0])
        and model in card.model.lower()
        and (filters.get("protocol") or card.config.protocol) == card.config.protocol
        and card.started >= since
    ]
    newest = sorted(matching, key=lambda card: card.started)[-(filters.get("last") or 0) :]
    selected = set(map(id, newest))
    return [card for card in matching if id(card) in selected]


def no_match_message(cards: Sequence[Card], filters: Mapping[str, Any]) -> str:
    """Return a message for filters that no run matches, with suggestions if one filter alone matches none."""
    suites = {card.config.suite for card in cards}
    values = {
        "suite": suites | {suite.partition(":")[0] for suite in suites},
        "model": {card.model for card in cards},
        "protocol": {card.config.protocol for card in cards},
    }
    for name, choices in values.items():
        if (value := filters[name]) and not filter_cards(cards, {name: value}):
            return f"No run matches --{name} {value}; {suggestion(value, sorted(choices))}"
    return "No run matches; `evals show` without options lists all runs."


def parse_since(text: str) -> float:
    """Parse a time such as `2026-11-20` or `2026-11-20T14:30` (UTC), or an age such as `30min`, `12h`, `7d` or `2w`.

    Return it in seconds since the epoch; raises UsageError.
    """
    if match := _RELATIVE_TIME.fullmatch(text.strip()):
        return time.time() - int(match[1]) * _SECONDS_PER_UNIT[match[2]]
    try:
        moment = datetime.fromisoformat(text.strip())
    except ValueError:
        raise UsageError(
            f"--since {text!r}: expected a date such as 2026-11-20 or 2026-11-20T14:30, or an age such as 7d, 12h or 2w"
        ) from None
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()
