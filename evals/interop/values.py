"""Values out of files that somebody else wrote: what is none of its kind, or cannot be kept, is unknown.

>>> number("1"), number(float("nan")), number(10**400), number(True)
(None, None, None, 1.0)
>>> count(-1), count(1.5), count(2**70), count(12)
(None, None, None, 12)
"""

from __future__ import annotations

import zlib
from datetime import datetime
from math import isfinite
from typing import Any

from evals.data.loose_json import decoded

__all__ = ["BROKEN", "count", "decoded", "number", "stamp", "turns"]

BROKEN = (
    ValueError,
    LookupError,
    TypeError,
    AttributeError,
    ArithmeticError,
    RecursionError,
    EOFError,
    zlib.error,
)
"""What reading a file raises that is cut, broken or of another make; msgspec's errors are ValueErrors."""
GREATEST = 1 << 53
"""From here on whole numbers have no place of their own in JSON."""


def number(value: Any) -> float | None:
    """Give a finite number; a truth is 0 or 1."""
    if isinstance(value, int):
        return float(value) if abs(value) <= GREATEST else None
    return value if isinstance(value, float) and isfinite(value) else None


def turns(messages: Any) -> str:
    """Join the texts of a conversation's turns, {"content": a text, or parts with a `text` each}.

    >>> turns([{"role": "system", "content": "Be brief."}, {"role": "user", "content": [{"type": "text", "text": "Why?"}]}])
    'Be brief.\\n\\nWhy?'
    """
    found = []
    for turn in messages if isinstance(messages, list) else ():
        said = turn.get("content") if isinstance(turn, dict) else turn
        parts = said if isinstance(said, list) else [said]
        texts = [part.get("text") if isinstance(part, dict) else part for part in parts]
        found.append("\n".join(text for text in texts if isinstance(text, str)))
    return "\n\n".join(text for text in found if text)


def stamp(name: str) -> float:
    """Give the time that a folder is named after, `20260131_235959`, in seconds; 0.0: none.

    >>> stamp("outputs")
    0.0
    """
    try:
        return datetime.strptime(name, "%Y%m%d_%H%M%S").astimezone().timestamp()
    except (ValueError, OverflowError, OSError):
        return 0.0


def count(value: Any) -> int | None:
    """Give a whole number that is not negative."""
    plain = isinstance(value, int) and not isinstance(value, bool)
    return value if plain and 0 <= value < GREATEST else None
