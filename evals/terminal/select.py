"""Which runs a table shows: by suite, model, protocol, time and number."""

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
    """What must hold of a run; what is empty lets everything through."""

    suite: str = ""
    """With its variant, or without: all of them."""
    model: str = ""
    """A part of the name, in any case."""
    protocol: str = ""
    since: float = 0.0
    """Seconds since the epoch."""
    last: int | None = None
    """So many, the newest ones of those that the rest lets through."""

    def choose(self, cards: Iterable[Card]) -> list[Card]:
        """Return the runs that it lets through, in the order given."""
        found = [card for card in cards if self._fits(card)]
        if self.last is None:
            return found
        newest = sorted(found, key=lambda card: card.started)[-self.last :] if self.last else []
        kept = {id(card) for card in newest}
        return [card for card in found if id(card) in kept]

    def _fits(self, card: Card) -> bool:
        suite, wanted = card.config.suite.lower(), self.suite.replace("_", "-").lower()
        return (
            (not wanted or wanted in (suite, suite.partition(":")[0]))
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
