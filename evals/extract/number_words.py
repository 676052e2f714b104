"""Spelled-out numbers: in English up to the millions, with common fractions; in Chinese up to ten.

>>> spelled_number("Minus twenty-one"), spelled_number("one hundred and four"), spelled_number("two thirds")
(-21.0, 104.0, 0.6666666666666666)
>>> spelled_number("两"), spelled_number("many"), spelled_number("five six")
(2.0, None, None)
"""

from __future__ import annotations

import re

_BELOW_20 = (
    "zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen seventeen "
    "eighteen nineteen"
)
_FROM_20 = "twenty thirty forty fifty sixty seventy eighty ninety"
_UNITS, _TENS = _BELOW_20.split(), _FROM_20.split()
_SCALES = {"thousand": 1e3, "million": 1e6, "billion": 1e9}
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
_DENOMINATORS = {
    word: float(value)
    for value, word in enumerate(
        ["half", "third", "quarter", "fifth", "sixth", "seventh", "eighth", "ninth", "tenth"], 2
    )
} | {"halve": 2.0, "fourth": 4.0}
SPELLED_PATTERN = rf"(?:{'|'.join((*_UNITS[2:], *_TENS))}|one(?=[\s-](?:hundred|thousand|million|billion)))(?:(?:\s+|-)(?:{'|'.join((*_UNITS[1:], *_TENS, *_SCALES, 'hundred', 'and'))})\b){{0,8}}"
"""Pattern of a spelled-out whole number within a sentence, in lower case."""
_SIGN = re.compile(r"(?:minus|negative|plus)\s+")
_WORD_SEPARATOR = re.compile(r"[\s-]+")
_MAX_CHARS = 100
"""Maximum length of a spelled-out number in characters."""


def spelled_number(text: str) -> float | None:
    """Return the value of a spelled-out number, optionally with a sign; None for any other text."""
    words = text.strip().casefold()
    if len(words) > _MAX_CHARS:
        return None
    sign = _SIGN.match(words)
    value = _spelled_value(words[sign.end() if sign else 0 :]) if words != "none" else None
    return -value if value and sign and not words.startswith("plus") else value


def _spelled_value(words: str) -> float | None:
    parts = _WORD_SEPARATOR.split(words)
    if (value := NUMBER_WORDS.get("-".join(parts))) is not None:
        return value
    if parts == ["half"]:
        return 0.5
    denominator = _DENOMINATORS.get(parts[-1].removesuffix("s"))
    if denominator is not None and len(parts) > 1:
        numerator = 1.0 if parts[:-1] == ["a"] else _whole_value(parts[:-1])
        is_ordinal = numerator is None or (numerator == 1) == parts[-1].endswith("s")
        return None if numerator is None or is_ordinal else numerator / denominator
    return _whole_value(parts)


def _whole_value(parts: list[str]) -> float | None:
    """Return the value of the words of a whole number: "one hundred and four", "two thousand twenty five"."""
    total = group = 0.0
    limit = 1e12  # the next word must be smaller
    for word, previous in zip(parts, ("", *parts), strict=False):
        if word == "and" and previous in ("hundred", *_SCALES):
            continue
        if word == "hundred" and 0 < group < 100:
            group, limit = group * 100, 100
        elif word in _SCALES and group:
            total, group, limit = total + group * _SCALES[word], 0.0, 1000
        elif (value := NUMBER_WORDS.get(word)) is not None and word.isascii() and 0 < value < min(limit, 100):
            group, limit = group + value, 10 if value >= 20 and value % 10 == 0 else 0
        else:
            return None
    return total + group if parts[-1] != "and" else None
