"""Compare short answers as words, lists of names or numbers."""

from __future__ import annotations

import re
from math import isfinite

from evals.extract import number, strip_formatting
from evals.extract.lazy_pattern import lazy_pattern

MAX_CHARS = 2_000
"""Maximum number of characters of an answer that are compared."""
_LEADING_FUNCTION_WORD = lazy_pattern(r"^(?:the|a|an|in|at|on|by|of)\s+", re.IGNORECASE)
_TRAILING_GENERIC_NOUN = lazy_pattern(
    r"\s+(?:bar|line|segment|slice|category|group|colou?r|sector|curve|country|region|state|year|company|series|section|area|people|students|one)s?$",
    re.IGNORECASE,
)
_LIST_SEPARATOR = lazy_pattern(r"\s*(?:,|;|/|&|\n|\band\b|、|，|和|与)\s*", re.IGNORECASE)
_ABBREVIATION = lazy_pattern(r"(?<=\b[A-Z])\.(?=[A-Z]\b|\s|$)")
"""The full stops of "U.S."."""
_DASHES = str.maketrans("–—−‐‑", "-----")
_SPACED_PUNCTUATION = lazy_pattern(r"\s*([:/-])\s*")
_GOLD_NUMBER = lazy_pattern(
    r"(?:US)?[$€£¥]?\s?[-+\u2212]?\s?[$€£¥]?(?:\d[\d,]*(?:\.\d+)?|\.\d+)(?:[eE][-+]?\d+)?\s?%?"
)


def normalise_answer(text: str) -> str:
    """Return an answer in lower case, with hyphens for all dashes, and without markup or a leading article or preposition."""
    text = _SPACED_PUNCTUATION.sub(
        r"\1", strip_formatting(text[:MAX_CHARS]).translate(_DASHES).replace("\\%", "%")
    )
    text = _ABBREVIATION.sub("", text.replace("\\$", "$")).casefold().strip(" .*`\"'[]()$")
    return " ".join(_LEADING_FUNCTION_WORD.sub("", text).split())


def same_words(gold: str, stated: str) -> bool:
    """Return whether two answers agree once normalised, ignoring a generic noun (bar, line) at the end of the stated one."""
    gold_words, stated_words = normalise_answer(gold), normalise_answer(stated)
    if not any(map(str.isdigit, gold_words)):  # "light-blue" is light blue
        gold_words, stated_words = gold_words.replace("-", " "), stated_words.replace("-", " ")
    return bool(gold_words) and (
        gold_words == stated_words or gold_words == _TRAILING_GENERIC_NOUN.sub("", stated_words)
    )


def same_name_set(gold: str, stated: str) -> bool:
    """Return whether two lists contain the same names; False if the gold answer is one name, or has no comma and no bracket."""
    if "," not in gold and "[" not in gold:
        return False
    gold_names, stated_names = (
        set(filter(None, map(normalise_answer, _LIST_SEPARATOR.split(text.strip(" []")))))
        for text in (gold, stated)
    )
    return len(gold_names) > 1 and gold_names == stated_names


_RANGE = lazy_pattern(
    r"(?:(?:from|between|ages?|aged|years?)\s)*(?P<first>\d+(?:\.\d+)?)\s*(?P<sign>[:-]|\bto\b|\band\b)\s*(?P<second>\d+(?:\.\d+)?)(?:[\s-](?:years?(?:[\s-]olds?)?|%|percent|age\s(?:group|range)))?"
)


def same_range(gold: str, stated: str) -> bool:
    """Return whether two ranges or ratios have the same two numbers, as "2010-2014" and "from 2010 to 2014"."""
    ranges = [_RANGE.fullmatch(normalise_answer(text)) for text in (gold, stated)]
    if ranges[0] is None or ranges[1] is None or ranges[0]["sign"] not in ":-":
        return False
    return ranges[0].group("first", "second") == ranges[1].group("first", "second")


def finite_float(text: str) -> float | None:
    """Return the number that Python's `float` parses; None if that fails or the number is not finite."""
    try:
        value = float(text)
    except ValueError:
        return None
    return value if isfinite(value) else None


def rounding_tolerance(decimals: int) -> float:
    """Return half a unit in the last of `decimals` decimal places, plus a billionth of it for rounding errors of floats; 0 without decimals."""
    return 0.5 * 10.0**-decimals * (1 + 1e-9) if decimals else 0.0


def parse_plain_number(gold: str) -> float | None:
    """Return the value of a gold answer that is a single number, with or without a currency or percent sign; else None."""
    return number(gold) if _GOLD_NUMBER.fullmatch(strip_formatting(gold)) else None
