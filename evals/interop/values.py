"""Values out of files that somebody else wrote: what is none of its kind, or cannot be kept, is unknown.

>>> number("1"), number(float("nan")), number(10**400), number(True)
(None, None, None, 1.0)
>>> count(-1), count(1.5), count(2**70), count(12)
(None, None, None, 12)
"""

from __future__ import annotations

import zlib
from math import isfinite
from typing import Any

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


def text(value: str) -> str:
    """Give a text that can be written as UTF-8: halves of surrogate pairs become question marks."""
    return value.encode("utf-8", "replace").decode()


def count(value: Any) -> int | None:
    """Give a whole number that is not negative."""
    plain = isinstance(value, int) and not isinstance(value, bool)
    return value if plain and 0 <= value < GREATEST else None
