"""Are two mathematical answers equal? Compared by spelling, then by value, symbolically; never by ignoring a part that the parser skips."""

from __future__ import annotations

import re

from evals.extract.expression import tidy, unnamed, without_base
from evals.extract.number_words import spelled_number
from evals.extract.option_text import normal
from evals.scorers.math import equal_if_positive, equivalent, hostile, ratio

_RELATION = re.compile(r"[<>]|\\(?:[lg]eq?|[lg]t|neq?|approx|sim|ge|le)(?![a-z])|\\not|\\pm")
_LETTERS = re.compile(r"\\[A-Za-z]+|[A-Za-z]")
_FUNCTIONS = frozenset(
    (
        "\\frac",
        "\\sqrt",
        "\\cdot",
        "\\times",
        "\\pi",
        "\\infty",
        "\\cup",
        "\\ln",
        "\\log",
        "\\sin",
        "\\cos",
        "\\tan",
        "\\binom",
        "\\emptyset",
        "\\pm",
        "\\div",
        "\\circ",
    )
)
_PROSE = re.compile(r"(?<![\\A-Za-z])(?!sqrt|sin|cos|tan|log|exp|frac|pi\b|or\b|and\b)[A-Za-z]{3,}")
_RANGE = re.compile(r"\d\s+to\s+\d|\bbetween\b|\d\s*[-–]\s*\d+\s*$", re.IGNORECASE)
_RATIO = re.compile(r"(?<![:\w])[\d.]+\s*:\s*[\d.]+")
_TWO = re.compile(r"(\d{1,9}(?:\.\d{1,9})?)\s*:\s*(\d{1,9}(?:\.\d{1,9})?)")
_QUOTIENT = re.compile(r"\\frac\{(\d{1,9})\}\{(\d{1,9})\}|(\d{1,9})/(\d{1,9})")
_DECIMAL = re.compile(r"[-+]?(?:\d+(?:\.\d*)?|\.\d+)")
_POWER = re.compile(r"\^\s*\{?\s*[-+]?\d{2,}|\d{16,}|\d!")


def same(gold: str, said: str) -> bool:
    r"""Return whether two answers are equal; for a worker with a deadline.

    >>> same(r"\frac{71}{6}", "11 5/6"), same("4", r"x \ge 4"), same("6", "6g")
    (True, False, False)
    """
    if normal(gold) and normal(gold).casefold() == normal(said).casefold():
        return True
    gold_text, stated_text = tidy(gold), _exact(tidy(said))
    if not gold_text or not stated_text:
        return False
    if _DECIMAL.fullmatch(gold_text) and (spelled := spelled_number(stated_text)) is not None:
        return _close(float(gold_text), spelled)
    if gold_text.replace(" ", "") == stated_text.replace(" ", "") or _unbased(gold_text, stated_text):
        return True
    if (parts := _TWO.fullmatch(stated_text)) and (gold_parts := _QUOTIENT.fullmatch(gold_text)):
        over, under = (float(part) for part in gold_parts.groups() if part)
        return _close(float(parts[1]) * under, float(parts[2]) * over)
    if (parts := _TWO.fullmatch(stated_text)) and _DECIMAL.fullmatch(gold_text):
        return float(parts[2]) != 0 and _close(float(gold_text), float(parts[1]) / float(parts[2]))
    if not _comparable(gold_text, stated_text):
        return False
    if _DECIMAL.fullmatch(gold_text) and _DECIMAL.fullmatch(stated_text):
        return _close(float(gold_text), float(stated_text))
    if hostile(gold_text) or hostile(stated_text):
        return False  # huge factorials and towers of powers: equal only if spelled the same
    if _POWER.search(gold_text) or _POWER.search(stated_text):
        return _exactly(gold_text, stated_text)
    gold_tex, stated_tex = f"${gold_text}$", f"${stated_text}$"
    if equivalent(gold_tex, stated_tex) is True:
        return True
    bare = unnamed(gold_text), unnamed(stated_text)
    if bare != (gold_text, stated_text) and equivalent(f"${bare[0]}$", f"${bare[1]}$") is True:
        return True
    return all("sqrt" in side for side in bare) and equal_if_positive(f"${bare[0]}$", f"${bare[1]}$")


_ROUNDED = re.compile(r"\s*(?:\\approx(?![a-z])|\\simeq(?![a-z])|≈)\s*[-+]?\d[\d.,]*\s*")


def _exact(text: str) -> str:
    """Drop a rounded number after the exact one: "2\\sqrt{5} \\approx 4.47"."""
    rounded = _ROUNDED.search(text)
    exact = text[: rounded.start()] if rounded and rounded.end() == len(text) else text
    return text if _DECIMAL.fullmatch(exact) or _symbols(unnamed(exact)) else exact


def _unbased(gold: str, said: str) -> bool:
    """A base that only the gold answer names."""
    return without_base(gold) == said.replace(" ", "") or (
        "_" not in gold
        and without_base(said).replace(" ", "") == gold.replace(" ", "")
        and said.rstrip("}").endswith("_{10")
    )


def _close(one: float, other: float) -> bool:
    return abs(one - other) <= 1e-6 * max(abs(one), abs(other))


def _comparable(gold: str, said: str) -> bool:
    """Return whether the parser would not skip anything: a relation, a unit's letter, a second number, prose."""
    if _PROSE.search(unnamed(said)) or (_RANGE.search(said) and not _RANGE.search(gold)):
        return False
    relation = bool(_RELATION.search(said)), bool(_RELATION.search(gold))
    if relation[0] and not relation[1] and not any(sign in gold for sign in "()[]{"):
        return False
    if bool(_RATIO.search(said)) != bool(_RATIO.search(gold)):
        return False
    return not (_symbols(unnamed(said)) and not _symbols(gold)) or "=" in unnamed(said)


def _symbols(text: str) -> set[str]:
    return {match[0] for match in _LETTERS.finditer(text)} - _FUNCTIONS - {"e", "i"}


def _exactly(gold: str, said: str) -> bool:
    """Compare large powers and factorials, which rounding would make equal, by their quotient."""
    if equivalent(f"${gold}$", f"${said}$") is not True:
        return False
    quotient = ratio(f"${gold}$", f"${said}$")
    return quotient is None or abs(quotient - 1) <= 1e-9
