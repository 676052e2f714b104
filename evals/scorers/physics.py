r"""Final answers in physics: are two of them the same? By rule, as far as a rule can tell; the rest is a judge's.

`published` is the rule stage of PHYSICS's authors (yale-nlp/Physics @ 15dc8d90) and of VLMEvalKit (@ e8e78f05), with
math-verify in the place of sympy's own reader. Its defects, kept: subscripts are dropped, so that E_1 equals E_2;
only what follows the last equals sign counts, so that `\omega^2 = x` equals `\omega = x`. With `\text` on either
side upstream asks a model at once; here only a text that is the same word for word needs none.

`stated` mends this: a number counts with its unit, formulas are compared whole, and what names another quantity
("E_1 =" against "E_2 =") is left to the judge.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Literal, TypeAlias

from evals.extract.parts import LONGEST, sides, spaceless
from evals.extract.units import Quantity, close, convert, plain, quantities, same_dimension
from evals.scorers.math import equivalent

Comparison: TypeAlias = Literal["same", "different", "open"]
"""`open`: no rule can tell."""
Comparer = Callable[[str, str], Comparison]
"""(gold, stated) -> what a rule says of the two."""

TOLERANCE = 0.01
"""Of a number, relative, where the gold one is not given more roughly."""
_SUBSCRIPT = re.compile(r"_\{[^{}]*\}|_\\?\w")
_FONT = re.compile(r"\\(?:text|textbf|textrm|textit|mathrm|mathbf|mathit|mathsf|mbox|rm|bm|boldsymbol)\b\s*")
_BEYOND = re.compile(
    r"\\(?:text\w*|mathrm|mbox|rm)\b|(?<!\\)(?<![A-Za-z])[A-Za-z]{4,}"
    r"|[=<>]|\\(?:[lg]eq?|ll|gg|neq?|approx|sim|simeq|propto|to|rightarrow|Rightarrow|implies|iff|in)\b"
)
"""Words, and relations between two things."""
_SYMBOL = re.compile(r"\\?[A-Za-z]+'*(?:\([A-Za-z\\, ]{1,20}\))?")
_DIGITS = re.compile(
    r"(?P<whole>[\d,]*)(?:\.(?P<after>\d*))?(?:.*?10\^(?P<ten>[-+]?\d+)|[eE](?P<e>[-+]?\d+))?"
)


def alike(gold: str, stated: str) -> bool:
    """Tell whether two answers are the same but for layout."""
    return _compact(gold) == _compact(stated)


def spelled(gold: str, stated: str) -> Comparison:
    """Compare the spelling alone."""
    return "same" if alike(gold, stated) else "open"


def _compact(text: str) -> str:
    text = _FONT.sub("", spaceless(text[:LONGEST]).replace("$", ""))
    return re.sub(r"[\s{}]", "", text).strip(".()")


def published(gold: str, stated: str) -> Comparison:
    """Compare as upstream does before it asks a model; what is not the same stays open."""
    gold, stated = gold[:LONGEST], stated[:LONGEST]
    if alike(gold, stated):
        return "same"
    if "\\text" in gold or "\\text" in stated:
        return "open"
    return "same" if _equal(_core(gold), _core(stated)) else "open"


def _core(text: str) -> str:
    text = _SUBSCRIPT.sub("", text).replace("\\left", "").replace("\\right", "").replace("\\cdot", "*")
    return text.rpartition("\\implies")[2].rpartition("=")[2].strip()


def _equal(gold: str, stated: str) -> bool:
    gold, stated = (f"${text.replace('$', '')}$" for text in (gold, stated))
    return equivalent(gold, stated, symbols=True) is True


def stated(gold: str, stated: str) -> Comparison:
    """Compare numbers with their units, then formulas by symbolic equality; for a worker with a deadline."""
    gold, stated = gold[:LONGEST], stated[:LONGEST]
    if alike(gold, stated):
        return "same"
    if not _comparable(gold, stated):
        return "open"
    last = _last(stated)
    comparisons = {_numbers(value, last) for value in _meant(gold)}
    if comparisons == {"different"} or "same" in comparisons:
        return "same" if "same" in comparisons else "different"
    formulas = [value for value in _meant(gold) if _formula(value)] if _formula(last) else []
    return "same" if any(_equal(value, last) for value in formulas) else "open"


def _formula(text: str) -> bool:
    """Whether a text is one expression of symbols: math-verify drops words and degrees, and of a relation its left."""
    return bool(text) and not _BEYOND.search(text) and not ((number := quantity(text)) and number.unit)


def _meant(gold: str) -> list[str]:
    """The values that a gold answer gives: all that its equation's sides say but the name on the left."""
    equation = sides(gold.replace("$", ""))
    return equation[1:] if len(equation) > 1 else equation


def _last(stated: str) -> str:
    return sides(stated.replace("$", ""))[-1]


def _comparable(gold: str, stated: str) -> bool:
    """Whether right-hand sides alone decide: both name the same quantity, or one a plain symbol and one nothing."""
    gold_side, stated_side = (equation[0] if len(equation := sides(t)) > 1 else "" for t in (gold, stated))
    if gold_side and stated_side:
        marks = [_SUBSCRIPT.findall(side) for side in (gold_side, stated_side)]
        return name(gold_side) == name(stated_side) and (not all(marks) or marks[0] == marks[1])
    return all(
        _SYMBOL.fullmatch(name(side)) and "\\frac" not in side for side in (gold_side, stated_side) if side
    )


def name(side: str) -> str:
    """Return the quantity that the left side of an equation names, without subscripts and fonts."""
    return re.sub(r"[\s{}]", "", _FONT.sub("", _SUBSCRIPT.sub("", spaceless(side.replace("$", "")))))


def _numbers(gold: str, stated: str) -> Comparison:
    """Compare two numbers with their units; open where either is none, or only one has a unit."""
    gold_number, stated_number = quantity(gold), quantity(stated)
    if gold_number is None or stated_number is None or bool(gold_number.unit) != bool(stated_number.unit):
        return "open"
    if gold_number.unit and not same_dimension(gold_number.unit, stated_number.unit):
        return "different"
    value = (
        convert(stated_number.value, stated_number.unit, gold_number.unit)
        if gold_number.unit
        else stated_number.value
    )
    if value is None:
        return "different"
    right = close(value, gold_number.value, relative=TOLERANCE, absolute=half_a_digit(gold_number.text))
    return "same" if right else "different"


def quantity(text: str) -> Quantity | None:
    """Read an answer that is nothing but one number, perhaps with its unit."""
    shown = plain(re.sub(r"[{}]", "", re.sub(r"\\mu\s+", "µ", _FONT.sub(" ", text)))).strip(" .")
    shown = re.sub(r"\s+(?=[\^/])", "", shown)
    numbers = quantities(shown)
    whole = len(numbers) == 1 and numbers[0].text.replace(" ", "") == shown.replace(" ", "")
    return numbers[0] if whole and not numbers[0].rough else None


def half_a_digit(text: str) -> float:
    """Half a unit of the last digit that a number is given with; 0 for whole numbers and fractions."""
    digits = _DIGITS.match(text.lstrip("+- "))
    if digits is None or not digits["after"] or "/" in text[: digits.end()]:
        return 0.0
    return float(0.5 * 10.0 ** (int(digits["ten"] or digits["e"] or 0) - len(digits["after"])))
