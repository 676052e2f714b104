"""Filters for the table of runs, by suite, model, protocol, start and number."""

from __future__ import annotations

import re
import time
from collections.abc import Iterable
from datetime import UTC, datetime

from msgspec import Struct

from evals.errors import UsageError
from evals.records.card import Card

_RELATIVE_TIME = re.compile(r"(\d{1,5})\s*(min|h|d|w)")
_SECONDS_PER_UNIT = {"min": 60, "h": 3600, "d": 86400, "w": 7 * 86400}


class Filter(Struct, frozen=True, kw_only=True):
    """Conditions on a run; an empty one matches every run."""

    suite: str = ""
    """Name with or without a variant; all variants match a name without one."""
    model: str = ""
    """Part of the name; case is ignored."""
    protocol: str = ""
    since: float = 0.0
    """Seconds since the epoch."""
    last: int | None = None
    """Maximum number of runs; the newest are selected."""

    def choose(self, cards: Iterable[Card]) -> list[Card]:
        """Return the runs that match, in the order given."""
        matching = [card for card in cards if self._matches(card)]
        if self.last is None:
            return matching
        newest = sorted(matching, key=lambda card: card.started)[-self.last :] if self.last else []
        selected = {id(card) for card in newest}
        return [card for card in matching if id(card) in selected]

    def _matches(self, card: Card) -> bool:
        suite, name = card.config.suite.lower(), self.suite.replace("_", "-").lower()
        return (
            (not name or name in (suite, suite.partition(":")[0]))
            and self.model.lower() in card.model.lower()
            and self.protocol in ("", card.config.protocol)
            and card.started >= self.since
        )


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
