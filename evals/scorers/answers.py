"""Compare short answers as words, lists of names or numbers."""

from __future__ import annotations

import re

from evals.extract import number, peel
from evals.extract.lazy_pattern import lazy_pattern

LONGEST = 2_000
_ARTICLE = lazy_pattern(r"(?:the|a|an|in|at|on|by|of)\s+", re.IGNORECASE)
_GENERIC = lazy_pattern(
    r"\s+(?:bar|line|segment|slice|category|group|colou?r|sector|curve|country|region|state|year|company|series|section|area|people|students|one)s?$",
    re.IGNORECASE,
)
_SPLIT = lazy_pattern(r"\s*(?:,|;|/|&|\band\b|、|，|和|与)\s*", re.IGNORECASE)
_DASH = str.maketrans("–—−‐‑", "-----")
_AROUND = lazy_pattern(r"\s*([:/-])\s*")
_GOLD = lazy_pattern(
    r"(?:US)?[$€£¥]?\s?[-+\u2212]?\s?[$€£¥]?(?:\d[\d,]*(?:\.\d+)?|\.\d+)(?:[eE][-+]?\d+)?\s?%?"
)


def plain(text: str) -> str:
    """Normalise an answer: lower case, one kind of dash, no article, no markup."""
    text = _AROUND.sub(r"\1", peel(text[:LONGEST]).translate(_DASH).replace("\\%", "%"))
    text = text.replace("\\$", "$").casefold().strip(" .*`\"'[]()$")
    return " ".join((_ARTICLE.sub("", text, count=1) if _ARTICLE.match(text) else text).split())


def same_words(gold: str, stated: str) -> bool:
    """Return whether two answers are the same words up to a leading article and a trailing generic noun."""
    gold_words, stated_words = plain(gold), plain(stated)
    return bool(gold_words) and (gold_words == stated_words or gold_words == _GENERIC.sub("", stated_words))


def same_names(gold: str, stated: str) -> bool:
    """Return whether two lists hold the same names; the gold one must contain a comma or bracket."""
    if "," not in gold and "[" not in gold:
        return False
    names = [set(filter(None, map(plain, _SPLIT.split(text.strip(" []"))))) for text in (gold, stated)]
    return len(names[0]) > 1 and names[0] == names[1]


def plain_number(gold: str) -> float | None:
    """Read a gold answer that is a single number, perhaps with a currency or a percent sign."""
    return number(gold) if _GOLD.fullmatch(peel(gold)) else None
