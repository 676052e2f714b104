"""Spelled-out numbers: in English up to ninety-nine and "hundred", in Chinese up to ten.

>>> spelled_number("Minus twenty-one"), spelled_number("两"), spelled_number("many")
(-21.0, 2.0, None)
"""

from __future__ import annotations

import re

_BELOW_20 = (
    "zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen seventeen "
    "eighteen nineteen"
)
_FROM_20 = "twenty thirty forty fifty sixty seventy eighty ninety"
_UNITS, _TENS = _BELOW_20.split(), _FROM_20.split()
NUMBER_WORDS = (
    {word: float(value) for value, word in enumerate(_UNITS)}
    | {ten: 20.0 + 10 * n for n, ten in enumerate(_TENS)}
    | {
        f"{ten}-{unit}": 20.0 + 10 * n + m
        for n, ten in enumerate(_TENS)
        for m, unit in enumerate(_UNITS[1:10], 1)
    }
    | {word: float(value) for value, word in enumerate("零一二三四五六七八九十")}
    | {"none": 0.0, "hundred": 100.0, "两": 2.0}
)
"""Word -> number; in lower case, with a hyphen between tens and units."""
_SIGN = re.compile(r"(?:minus|negative|plus)\s+")


def spelled_number(text: str) -> float | None:
    """Return the value of a spelled-out number, optionally with a sign; None for any other text."""
    words = text.strip().casefold()
    sign = _SIGN.match(words)
    value = (
        NUMBER_WORDS.get("-".join(words[sign.end() if sign else 0 :].split())) if words != "none" else None
    )
    return -value if value and sign and not words.startswith("plus") else value
