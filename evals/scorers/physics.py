r"""Compare final answers in physics by rule; comparisons that a rule cannot decide are left to a judge.

`published` is the rule stage of PHYSICS's authors (yale-nlp/Physics @ 15dc8d90) and of VLMEvalKit (@ e8e78f05), with
math-verify instead of sympy's own parser. Known defects, kept: subscripts are dropped, so E_1 equals E_2; only the
text after the last equals sign counts, so `\omega^2 = x` equals `\omega = x`. If either answer contains `\text`,
upstream always calls a model; here identical texts are decided by rule.

`stated` corrects this: numbers are compared with their units, formulas as a whole, and an answer that names another quantity
("E_1 =" against "E_2 =") is left to the judge.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Literal, TypeAlias

from evals.extract.parts import MAX_CHARS, equation_sides, without_layout
from evals.extract.units import Quantity, close, convert, normalise_notation, quantities, same_dimension
from evals.extract.units.notation import strip_around
from evals.scorers.math import equivalent

Comparison: TypeAlias = Literal["same", "different", "open"]
"""`open`: the rule does not decide."""
Comparer = Callable[[str, str], Comparison]
"""(gold answer, stated answer) -> result of a rule."""

TOLERANCE = 0.01
"""Relative tolerance of a number, unless the gold number is given with lower precision."""
_SUBSCRIPT = re.compile(r"_\{[^{}]*\}|_\\?\w")
_FONT = re.compile(r"\\(?:text|textbf|textrm|textit|mathrm|mathbf|mathit|mathsf|mbox|rm|bm|boldsymbol)\b\s*")
_FONT_GROUP = re.compile(rf"{_FONT.pattern}\{{([^{{}}]*)\}}")
_SINGLE_CHARACTER_GROUP = re.compile(r"\{(\w)\}")
"""Braces that can be omitted, unlike those of 2^{n-1}."""
_WORD_OR_RELATION = re.compile(
    r"\\(?:text\w*|mathrm|mbox|rm)\b|(?<!\\)(?<![A-Za-z])[A-Za-z]{4,}"
    r"|[=<>%°]|\\(?:circ|degree)\b|\\(?:[lg]eq?|ll|gg|neq?|approx|sim|simeq|propto|to|rightarrow|Rightarrow|implies|iff|in)\b"
)
"""A word, a relation or a sign of a unit, which a symbolic comparison would ignore."""
_SYMBOL = re.compile(r"\\?[A-Za-z]+'*(?:\([A-Za-z\\, ]{1,20}\))?")
_DIGITS = re.compile(
    r"(?P<whole>[\d,]*)(?:\.(?P<after>\d*))?(?:.*?10\^(?P<power_of_ten>[-+]?\d+)|[eE](?P<exponent>[-+]?\d+))?"
)


def same_spelling(gold: str, stated: str) -> bool:
    """Return whether two answers are spelled the same, apart from layout."""
    return _without_layout(gold) == _without_layout(stated)


def spelled(gold: str, stated: str) -> Comparison:
    """Compare only the spelling of two answers."""
    return "same" if same_spelling(gold, stated) else "open"


def _without_layout(text: str) -> str:
    text = _FONT_GROUP.sub(r"\1", without_layout(text[:MAX_CHARS]).replace("$", ""))
    text = re.sub(r"\s", "", _FONT.sub("", text))
    return strip_around(_SINGLE_CHARACTER_GROUP.sub(r"\1", text), ".()")


def published(gold: str, stated: str) -> Comparison:
    """Compare as upstream does before it asks a model; answers that the rule does not find equal stay open."""
    gold, stated = gold[:MAX_CHARS], stated[:MAX_CHARS]
    if same_spelling(gold, stated):
        return "same"
    if "\\text" in gold or "\\text" in stated:
        return "open"
    return "same" if _is_equal(_right_hand_side(gold), _right_hand_side(stated)) else "open"


def _right_hand_side(text: str) -> str:
    text = _SUBSCRIPT.sub("", text).replace("\\left", "").replace("\\right", "").replace("\\cdot", "*")
    return text.rpartition("\\implies")[2].rpartition("=")[2].strip()


def _is_equal(gold: str, stated: str) -> bool:
    gold, stated = (f"${text.replace('$', '')}$" for text in (gold, stated))
    return equivalent(gold, stated, symbols=True) is True


def stated(gold: str, answer: str) -> Comparison:
    """Compare numbers with their units, then formulas symbolically; run it in a worker with a deadline."""
    gold, answer = gold[:MAX_CHARS], answer[:MAX_CHARS]
    if same_spelling(gold, answer):
        return "same"
    if not _is_comparable(gold, answer):
        return "open"
    sides = equation_sides(answer.replace("$", ""))
    last = sides[-1]
    comparisons = {_compare_numbers(value, last) for value in _gold_values(gold)}
    if comparisons == {"different"} or "same" in comparisons:
        return "same" if "same" in comparisons else "different"
    formulas = [value for value in _gold_values(gold) if _is_formula(value)]
    values = filter(_is_formula, sides[1:] or sides)
    return "same" if any(_is_equal(formula, value) for value in values for formula in formulas) else "open"


def _is_formula(text: str) -> bool:
    """Return whether a text is a single symbolic expression: math-verify would drop words and left-hand sides."""
    return bool(text) and not _WORD_OR_RELATION.search(text)


def _gold_values(gold: str) -> list[str]:
    """Return all sides of a gold equation except the first; the answer itself if it is not an equation."""
    sides = equation_sides(gold.replace("$", ""))
    return sides[1:] if len(sides) > 1 else sides


def _is_comparable(gold: str, stated: str) -> bool:
    """Return whether two answers can be values of the same quantity, judging by the names on their left-hand sides, if any."""
    gold_left, stated_left = (
        sides[0] if len(sides := equation_sides(text)) > 1 and parse_quantity(sides[0]) is None else ""
        for text in (gold, stated)
    )
    if gold_left and stated_left:
        subscripts = [_SUBSCRIPT.findall(side) for side in (gold_left, stated_left)]
        return quantity_name(gold_left) == quantity_name(stated_left) and (
            not all(subscripts) or subscripts[0] == subscripts[1]
        )
    return all(
        _SYMBOL.fullmatch(quantity_name(side)) and "\\frac" not in side
        for side in (gold_left, stated_left)
        if side
    )


def quantity_name(side: str) -> str:
    """Return the name of the quantity on the left-hand side of an equation, without subscripts and fonts."""
    return re.sub(r"[\s{}]", "", _FONT.sub("", _SUBSCRIPT.sub("", without_layout(side.replace("$", "")))))


def _compare_numbers(gold: str, stated: str) -> Comparison:
    """Compare two numbers with their units; open if either is not a number or only one has a unit."""
    gold_number, stated_number = parse_quantity(gold), parse_quantity(stated)
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
    right = close(
        value, gold_number.value, relative=TOLERANCE, absolute=half_unit_of_last_digit(gold_number.text)
    )
    return "same" if right else "different"


def parse_quantity(text: str) -> Quantity | None:
    """Return the number in an answer that consists of one number with or without a unit; None for any other answer."""
    normalised = normalise_notation(
        re.sub(r"[{}]", "", re.sub(r"\\mu\s+", "µ", _FONT.sub(" ", re.sub(r"(?<=\d)~", " ", text))))
    )
    normalised = strip_around(normalised, " .")
    normalised = re.sub(r"\s+(?=[\^/])", "", normalised)
    numbers = quantities(normalised)
    is_whole_text = len(numbers) == 1 and numbers[0].text.replace(" ", "") == normalised.replace(" ", "")
    return numbers[0] if is_whole_text and not numbers[0].approximate else None


def half_unit_of_last_digit(text: str) -> float:
    """Return half a unit in the last decimal place of a number as written; 0 for whole numbers and fractions."""
    digits = _DIGITS.match(text.lstrip("+- "))
    if digits is None or not digits["after"] or "/" in text[: digits.end()]:
        return 0.0
    exponent = int(digits["power_of_ten"] or digits["exponent"] or 0)
    return float(0.5 * 10.0 ** (exponent - len(digits["after"])))
