"""Filters of the table of runs: by suite, model, protocol, time and number."""

from __future__ import annotations

import re
import time
from collections.abc import Iterable
from datetime import UTC, datetime

from msgspec import Struct

from evals.errors import UsageError
from evals.records.card import Card

_AGO = re.compile(r"(\d{1,5})\s*(min|h|d|w)")
_SECONDS = {"min": 60, "h": 3600, "d": 86400, "w": 7 * 86400}


class Filter(Struct, frozen=True, kw_only=True):
    """Conditions on a run; an empty one matches every run."""

    suite: str = ""
    """With or without a variant; without, all variants match."""
    model: str = ""
    """Part of the name, case-insensitive."""
    protocol: str = ""
    since: float = 0.0
    """Seconds since the epoch."""
    last: int | None = None
    """Number of runs: the newest of those that match."""

    def choose(self, cards: Iterable[Card]) -> list[Card]:
        """Return the runs that match, in the order given."""
        matching = [card for card in cards if self._fits(card)]
        if self.last is None:
            return matching
        newest = sorted(matching, key=lambda card: card.started)[-self.last :] if self.last else []
        kept = {id(card) for card in newest}
        return [card for card in matching if id(card) in kept]

    def _fits(self, card: Card) -> bool:
        suite, name = card.config.suite.lower(), self.suite.replace("_", "-").lower()
        return (
            (not name or name in (suite, suite.partition(":")[0]))
            and self.model.lower() in card.model.lower()
            and self.protocol in ("", card.config.protocol)
            and card.started >= self.since
        )


def since(text: str) -> float:
    """Read `2026-11-20`, `2026-11-20T14:30` (UTC), or `7d`, `12h`, `2w`, `30min` ago; raises UsageError."""
    if match := _AGO.fullmatch(text.strip()):
        return time.time() - int(match[1]) * _SECONDS[match[2]]
    try:
        moment = datetime.fromisoformat(text.strip())
    except ValueError:
        raise UsageError(
            f"--since {text!r}: write a date as 2026-11-20 or 2026-11-20T14:30, or how long ago: 7d, 12h, 2w"
        ) from None
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()
