"""Parse the wait that a server requests before the next call, in all formats that servers use.

In order of precedence: headers in milliseconds (`retry-after-ms`), `Retry-After` in seconds or as an HTTP date, the reset
time of a limit (`x-ratelimit-reset-*`, `anthropic-ratelimit-*-reset`, `ratelimit-reset`), and the text of the message.
"""

from __future__ import annotations

import re
import time
from collections.abc import Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

MAX_RESET_S = 300.0
"""Maximum wait for the reset of a rate limit, as most limits refill gradually before that."""
MIN_TIMESTAMP = 1e8
"""Larger numbers are seconds since the epoch rather than durations."""
_MILLISECOND_HEADERS = ("retry-after-ms", "x-ms-retry-after-ms")
_SECOND_HEADERS = ("retry-after", "x-retry-after", "x-ms-retry-after", "retry-after-seconds")
_RESET_HEADER = re.compile(r"(?:x-|anthropic-)?rate-?limit(?:-.*)?-reset(?:-.*)?")
_RESET_IN_RATE_LIMIT = re.compile(r"(?:^|[;, ])(?:reset=|t=) ?([0-9]{1,9})\b")
"""Reset time in the header `RateLimit` of IETF drafts: `limit=10, remaining=0, reset=7`, in later ones `"default";r=0;t=7`."""
_NUMBER = re.compile(r"[0-9]{1,15}(?:\.[0-9]{1,15})?")
_UNITS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86_400.0}
_QUANTITY = re.compile(
    r"([0-9]{1,9}(?:\.[0-9]{1,9})?) ?(milliseconds?|msecs?|ms|seconds?|secs?|s|minutes?|mins?|m|hours?|hrs?|h|days?|d)(?![a-z])"
)
_DURATION = re.compile(rf"{_QUANTITY.pattern}(?:(?:,? (?:and )?)?{_QUANTITY.pattern}){{0,3}}")
_WAIT_IN_MESSAGE = re.compile(
    r"\b(?:try|retry|wait|available|resets?)\b(?: (?:again|your request|the request|later|it|in|for|after|at least|about|"
    rf"approximately|another|around)){{0,4}} ?~?(?P<wait>{_DURATION.pattern})"
)
"""OpenAI: "Please try again in 6m0s"; Azure: "Please retry after 20 seconds"; Groq: "try again in 3.5s"."""
_RETRY_AFTER_IN_MESSAGE = re.compile(
    r"\bretry[-_ ]after(?:[-_ ]seconds)?[\"']?[:=] ?[\"']?(?P<seconds>[0-9]{1,6}(?:\.[0-9]{1,3})?)\b"
)
"""A field quoted in a message, e.g. `"retry_after": 20`."""


def requested_wait_s(
    headers: Mapping[str, str], message: str = "", *, now: float | None = None
) -> float | None:
    """Return the wait that a server requests, in seconds; None if it requests none.

    `headers`: names in lower case. `now`: seconds since the epoch; None: the server's `Date`, else the local clock.
    """
    if now is None:
        now = _parse_date(headers.get("date", "")) or time.time()
    for name in _MILLISECOND_HEADERS:
        if _NUMBER.fullmatch(value := headers.get(name, "").strip()):
            return float(value) / 1000
    for name in _SECOND_HEADERS:
        if (wait := _parse_wait(headers.get(name, ""), now)) is not None:
            return wait
    wait = _reset_s(headers, now)
    return wait_in_message_s(message) if wait is None else wait


def wait_in_message_s(message: str) -> float | None:
    """Return the wait, in seconds, stated near the beginning of a message; None if there is none.

    >>> wait_in_message_s("Rate limit reached. Please try again in 1m3.5s."), wait_in_message_s("Please retry after 20 seconds")
    (63.5, 20.0)
    """
    beginning = message[:500].lower()
    if match := _WAIT_IN_MESSAGE.search(beginning):
        return _parse_duration(match["wait"])
    match = _RETRY_AFTER_IN_MESSAGE.search(beginning)
    return float(match["seconds"]) if match else None


def _parse_wait(text: str, now: float) -> float | None:
    """Parse a wait: seconds, a duration with units, a timestamp, an HTTP date or an ISO 8601 date."""
    timestamp = _parse_date(text.strip())
    text = text.strip().lower().removeprefix("+")
    if re.fullmatch(r"([^,]+)(?:, ?\1)+", text):  # a header repeated by a proxy
        text = text.partition(",")[0]
    if _NUMBER.fullmatch(text):
        value = float(text)
        if value > 1e3 * MIN_TIMESTAMP:  # milliseconds since the epoch
            value /= 1000
        return max(0.0, value - now) if value > MIN_TIMESTAMP else value
    if _DURATION.fullmatch(text):
        return _parse_duration(text)
    return None if timestamp is None else max(0.0, timestamp - now)


def _parse_duration(text: str) -> float:
    return sum(
        float(number) * _UNITS["ms" if unit.startswith(("ms", "milli")) else unit[0]]
        for number, unit in _QUANTITY.findall(text)
    )


def _parse_date(text: str) -> float | None:
    if not 10 <= len(text) <= 64 or text.isdecimal():
        return None
    for parse in (parsedate_to_datetime, datetime.fromisoformat):
        try:
            parsed = parse(text)
            return (parsed if parsed.tzinfo else parsed.replace(tzinfo=UTC)).timestamp()
        except (ValueError, TypeError, OverflowError, IndexError):
            continue
    return None


def _reset_s(headers: Mapping[str, str], now: float) -> float | None:
    """Return the seconds until all exhausted limits are reset; if none is known to be exhausted, until the first reset."""
    waits: list[tuple[bool, float]] = []
    if match := _RESET_IN_RATE_LIMIT.search(headers.get("ratelimit", "")):
        waits.append((False, min(float(match[1]), MAX_RESET_S)))
    for name, value in headers.items():
        if _RESET_HEADER.fullmatch(name) and (wait := _parse_wait(value, now)) is not None:
            remaining = headers.get(name.replace("reset", "remaining"), "").strip()
            waits.append((remaining == "0", min(wait, MAX_RESET_S)))
    exhausted = [wait for is_exhausted, wait in waits if is_exhausted]
    return max(exhausted) if exhausted else min((wait for _, wait in waits), default=None)
