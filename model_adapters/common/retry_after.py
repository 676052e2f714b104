"""How long a server asks to wait before the next call, in all formats that servers use.

Headers first: `retry-after-ms` and its kin, `Retry-After` in seconds or as an HTTP date, then what tells when a limit
is reset (`x-ratelimit-reset-*`, `anthropic-ratelimit-*-reset`, `ratelimit-reset`); last the words of the message.
"""

from __future__ import annotations

import re
import time
from collections.abc import Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

RESET_MOST_S = 300.0
"""Cap on waits until a rate limit resets: most limits refill gradually before that."""
EPOCH_S = 1e8
"""Larger numbers are timestamps, not durations."""
_MILLISECONDS = ("retry-after-ms", "x-ms-retry-after-ms")
_SECONDS = ("retry-after", "x-retry-after", "x-ms-retry-after", "retry-after-seconds")
_RESET = re.compile(r"(?:x-|anthropic-)?rate-?limit(?:-.*)?-reset(?:-.*)?")
_LIMIT = re.compile(r"(?:^|[;, ])(?:reset=|t=) ?([0-9]{1,9})\b")
"""In the header `RateLimit` of the IETF's drafts: `limit=10, remaining=0, reset=7`, later `"default";r=0;t=7`."""
_NUMBER = re.compile(r"[0-9]{1,15}(?:\.[0-9]{1,15})?")
_UNITS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86_400.0}
_PIECE = re.compile(
    r"([0-9]{1,9}(?:\.[0-9]{1,9})?) ?(milliseconds?|msecs?|ms|seconds?|secs?|s|minutes?|mins?|m|hours?|hrs?|h|days?|d)(?![a-z])"
)
_DURATION = re.compile(rf"{_PIECE.pattern}(?:(?:,? (?:and )?)?{_PIECE.pattern}){{0,3}}")
_STATED = re.compile(
    r"\b(?:try|retry|wait|available|resets?)\b(?: (?:again|your request|the request|later|it|in|for|after|at least|about|"
    rf"approximately|another|around)){{0,4}} ?~?(?P<wait>{_DURATION.pattern})"
)
_FIELD = re.compile(
    r"\bretry[-_ ]after(?:[-_ ]seconds)?[\"']?[:=] ?[\"']?(?P<seconds>[0-9]{1,6}(?:\.[0-9]{1,3})?)\b"
)
"""OpenAI: "Please try again in 6m0s"; Azure: "Please retry after 20 seconds"; Groq: "try again in 3.5s"."""


def asked_wait_s(headers: Mapping[str, str], message: str = "", *, now: float | None = None) -> float | None:
    """Return the seconds that a server asks to wait; None if it does not say.

    `headers`: names in lower case. `now`: seconds since the epoch; None: the server's own clock, its `Date`, else ours.
    """
    if now is None:
        now = _date(headers.get("date", "")) or time.time()
    for name in _MILLISECONDS:
        if _NUMBER.fullmatch(value := headers.get(name, "").strip()):
            return float(value) / 1000
    for name in _SECONDS:
        if (wait := _moment(headers.get(name, ""), now)) is not None:
            return wait
    wait = _reset_s(headers, now)
    return stated_s(message) if wait is None else wait


def stated_s(message: str) -> float | None:
    """Return the wait in seconds stated near the beginning of a message; None if there is none.

    >>> stated_s("Rate limit reached. Please try again in 1m3.5s."), stated_s("Please retry after 20 seconds")
    (63.5, 20.0)
    """
    beginning = message[:500].lower()
    if match := _STATED.search(beginning):
        return _duration(match["wait"])
    field = _FIELD.search(beginning)
    return float(field["seconds"]) if field else None


def _moment(text: str, now: float) -> float | None:
    """Parse a wait: seconds, a duration with units, a point in time as a number, an HTTP date or ISO 8601."""
    at = _date(text.strip())
    text = text.strip().lower().removeprefix("+")
    if re.fullmatch(r"([^,]+)(?:, ?\1)+", text):  # a header that a proxy sent twice
        text = text.partition(",")[0]
    if _NUMBER.fullmatch(text):
        value = float(text)
        if value > 1e3 * EPOCH_S:  # milliseconds since the epoch
            value /= 1000
        return max(0.0, value - now) if value > EPOCH_S else value
    if _DURATION.fullmatch(text):
        return _duration(text)
    return None if at is None else max(0.0, at - now)


def _duration(text: str) -> float:
    return sum(float(number) * _UNITS[_short(unit)] for number, unit in _PIECE.findall(text))


def _short(unit: str) -> str:
    return "ms" if unit.startswith(("ms", "milli")) else unit[0]


def _date(text: str) -> float | None:
    if not 10 <= len(text) <= 64 or text.isdecimal():
        return None
    for read in (parsedate_to_datetime, datetime.fromisoformat):
        try:
            moment = read(text)
            return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()
        except (ValueError, TypeError, OverflowError, IndexError):
            continue
    return None


def _reset_s(headers: Mapping[str, str], now: float) -> float | None:
    """Return the seconds until exhausted limits reset; if none is known to be exhausted, until the first one does."""
    waits: list[tuple[bool, float]] = []
    if match := _LIMIT.search(headers.get("ratelimit", "")):
        waits.append((False, min(float(match[1]), RESET_MOST_S)))
    for name, value in headers.items():
        if _RESET.fullmatch(name) and (wait := _moment(value, now)) is not None:
            left = headers.get(name.replace("reset", "remaining"), "").strip()
            waits.append((left == "0", min(wait, RESET_MOST_S)))
    used_up = [wait for spent, wait in waits if spent]
    return max(used_up) if used_up else min((wait for _, wait in waits), default=None)
