"""Compare two mathematical answers by spelling, then symbolically.

An answer that the parser would read only in part counts as different.
"""

from __future__ import annotations

import re

from evals.extract.expression import (
    COUNTED,
    normalise_expression,
    right_hand_side,
    without_base,
    without_calculation,
)
from evals.extract.formatting import with_plain_powers
from evals.extract.number_words import spelled_number
from evals.extract.option_text import normalise_text
from evals.scorers.math import LETTER_OR_COMMAND, equal_if_positive, equivalent, is_hostile, quotient

_RELATION = re.compile(r"[<>]|\\(?:[lg]eq?|[lg]t|neq?|approx|sim|ge|le)(?![a-z])|\\not|\\pm")
"""A relation, or a sign that makes the answer ambiguous."""
_NON_SYMBOL_COMMANDS = frozenset(
    re.findall(r"\\\w+", r"\frac\sqrt\cdot\times\pi\infty\cup\ln\log\sin\cos\tan\binom\emptyset\pm\div\circ")
)
"""LaTeX commands that are functions, operators or constants rather than symbols."""
_PROSE = re.compile(r"(?<![\\A-Za-z])(?!sqrt|sin|cos|tan|log|exp|frac|pi\b|or\b|and\b)[A-Za-z]{3,}")
_CHINESE_PROSE = re.compile(
    r"[\u4e00-\u9fff][^\u4e00-\u9fff]*\d|[\u4e00-\u9fff]{7,}|(?<!小)时|情况|步骤|以上|以下|左右"
)
"""Chinese text that is not a unit after a number."""
_DIGITS = re.compile(r"\d+")
_GROUP = re.compile(r"\{([^{}\\]*[^{}\\\s][-+*/^][^{}]*)\}")
"""A group in braces with an operator, as in 2^{n-1}, which differs from 2^n-1."""
_RANGE = re.compile(r"\d\s+to\s+\d|\bbetween\b|\d\s*[-–]\s*\d+\s*$", re.IGNORECASE)
_RATIO_ANYWHERE = re.compile(r"(?<![:\w])[\d.]+\s*:\s*[\d.]+")
_RATIO = re.compile(r"(\d{1,9}(?:\.\d{1,9})?)\s*:\s*(\d{1,9}(?:\.\d{1,9})?)")
_RATIO_IN_WORDS = re.compile(r"(\d{1,9})\s+(?:to|out\s+of)\s+(\d{1,9})")
_ALTERNATIVE = re.compile(r"([^()]{1,80}?)\s*\(or\s+([^()]{1,80})\)")
"""An answer in two notations: "3/8 (or 37.5%)"."""
_SPELLED_COUNT = re.compile(r"([A-Za-z-]{3,12})\s+([a-z]{3,20})")
_FRACTION = re.compile(r"\\frac\{(\d{1,9})\}\{(\d{1,9})\}|\\frac\s?(\d)\s?(\d)|(\d{1,9})/(\d{1,9})")
_DECIMAL = re.compile(r"[-+]?(?:\d+(?:\.\d*)?|\.\d+)")
_BASE = re.compile(r"\d_\{?(\d{1,2})\}?\s*$")
_ELLIPSIS = re.compile(r"\\(?:[lc]?dots|cdots)(?![a-z])|\.\.\.|…")
_OPERATOR = re.compile(r"\\(?:sum|prod|int|lim|forall|exists)(?![a-z])")
_VARIABLE = re.compile(r"\s*([a-z])\s*=(?=[^=<>]*\Z)")
"""The left-hand side of an equation that states the value of one variable."""
_LARGE_NUMBER = re.compile(r"\^\s*\{?\s*[-+]?\d{2,}|\d{16,}|\d!")
"""A power with an exponent of two or more digits, a number of 16 or more digits, or a factorial."""


def same_expression(gold: str, stated: str) -> bool:
    r"""Return whether two answers are equal; run it in a worker with a deadline.

    >>> same_expression(r"\frac{71}{6}", "11 5/6"), same_expression("4", r"x \ge 4"), same_expression("6", "6g")
    (True, False, False)
    """
    gold, stated = with_plain_powers(gold), with_plain_powers(stated)
    same_numbers = _DIGITS.findall(gold) == _DIGITS.findall(stated)
    same_groups = _GROUP.findall(gold) == _GROUP.findall(stated)
    if (
        same_numbers
        and same_groups
        and normalise_text(gold)
        and normalise_text(gold).casefold() == normalise_text(stated).casefold()
    ):
        return True
    gold_text, stated_text = normalise_expression(gold), _without_rounded_value(normalise_expression(stated))
    if "=" not in gold_text:
        stated_text = without_calculation(stated_text)
    if not gold_text or not stated_text:
        return False
    if (spelled := spelled_number(stated_text)) is not None and (
        value := _plain_value(gold_text)
    ) is not None:
        return _is_close(value, spelled)
    if (words := _SPELLED_COUNT.fullmatch(stated_text)) and (spelled := spelled_number(words[1])) is not None:
        stated_text = f"{spelled:g} {words[2]}"
    if alternative := _ALTERNATIVE.fullmatch(stated_text):
        return all(same_expression(gold, text) for text in alternative.groups() if text)
    if "," in gold_text and stated_text.count("\\pm") == 1:
        stated_text = ", ".join(stated_text.replace("\\pm", sign) for sign in "+-")
    if gold_text.replace(" ", "") == stated_text.replace(" ", "") or _same_without_base(
        gold_text, stated_text
    ):
        return True
    if (counted := COUNTED.fullmatch(right_hand_side(stated_text))) and _DECIMAL.fullmatch(gold_text):
        return _is_close(float(gold_text), float(counted["number"].replace(",", "")))
    if (same := _compare_ratios(gold_text, stated_text)) is not None:
        return same
    return _is_comparable(gold_text, stated_text) and _have_equal_values(gold_text, stated_text)


def _have_equal_values(gold: str, stated: str) -> bool:
    """Return whether two normalised answers have equal values as decimals, large numbers or symbolic expressions."""
    if _DECIMAL.fullmatch(gold) and _DECIMAL.fullmatch(stated):
        return _is_close(float(gold), float(stated))
    if _ELLIPSIS.search(gold) or _ELLIPSIS.search(stated):
        return False  # the parser skips the terms that it cannot read
    if _OPERATOR.search(gold) and _OPERATOR.search(stated):
        return False  # or compares only the left-hand sides
    names = [_VARIABLE.match(side) for side in (gold, stated)]
    if names[0] and names[1] and names[0][1] != names[1][1]:
        return False
    if is_hostile(gold) or is_hostile(stated):
        return False  # huge factorials and power towers are equal only if spelled the same
    if equivalent(f"${gold}$", f"${stated}$") is True:
        return not _have_other_quotient(gold, stated)
    right_sides = right_hand_side(gold), right_hand_side(stated)
    gold_tex, stated_tex = f"${right_sides[0]}$", f"${right_sides[1]}$"
    if right_sides != (gold, stated) and equivalent(gold_tex, stated_tex) is True:
        return not _have_other_quotient(*right_sides)
    if all("sqrt" in side for side in right_sides) and equal_if_positive(gold_tex, stated_tex):
        return True
    if any(_symbols(side) or "," in side for side in right_sides):
        return False
    ratio = quotient(gold_tex, stated_tex)  # `equivalent` does not evaluate powers such as 2^{0.5}
    return ratio is not None and abs(ratio - 1) <= 1e-12


def _compare_ratios(gold: str, stated: str) -> bool | None:
    """Return whether a ratio equals a fraction or decimal; None unless one answer is a ratio and the other is not."""
    stated = right_hand_side(stated)
    if (_RATIO.fullmatch(gold) or _FRACTION.fullmatch(gold)) and (
        in_words := _RATIO_IN_WORDS.fullmatch(stated)
    ):
        stated = f"{in_words[1]}:{in_words[2]}"
        if _RATIO.fullmatch(gold):
            return gold.replace(" ", "") == stated
    for first, second in ((stated, gold), (gold, stated)):
        if (ratio := _RATIO.fullmatch(first)) and (fraction := _FRACTION.fullmatch(second)):
            numerator, denominator = (float(digits) for digits in fraction.groups() if digits)
            return _is_close(float(ratio[1]) * denominator, float(ratio[2]) * numerator)
    if (ratio := _RATIO.fullmatch(stated)) and _DECIMAL.fullmatch(gold):
        return float(ratio[2]) != 0 and _is_close(float(gold), float(ratio[1]) / float(ratio[2]))
    return None


def _plain_value(text: str) -> float | None:
    """Return the value of a decimal or a fraction of whole numbers; None for any other answer."""
    if _DECIMAL.fullmatch(text):
        return float(text)
    if (fraction := _FRACTION.fullmatch(text)) is None:
        return None
    numerator, denominator = (float(digits) for digits in fraction.groups() if digits)
    return numerator / denominator if denominator else None


_ROUNDED_VALUE = re.compile(
    r"(?:\s*(?:\\approx(?![a-z])|\\simeq(?![a-z])|≈)|,?\s+\(?or\s+(?:about|approximately|roughly))\s*[-+]?\d[\d.,]*\s?%?\)?\s*"
)


def _without_rounded_value(text: str) -> str:
    """Return an answer without the rounded value after the exact one, as in "2\\sqrt{5} \\approx 4.47".

    The answer is returned unchanged if the value before the rounded one is a decimal or contains symbols.
    """
    rounded = _ROUNDED_VALUE.search(text)
    exact = text[: rounded.start()] if rounded and rounded.end() == len(text) else text
    return text if _DECIMAL.fullmatch(exact) or _symbols(right_hand_side(exact)) else exact


def _same_without_base(gold: str, stated: str) -> bool:
    """Return whether two answers are equal once the base of the gold answer, or a stated base of 10, is omitted."""
    return without_base(gold) == stated.replace(" ", "") or (
        "_" not in gold
        and without_base(stated).replace(" ", "") == gold.replace(" ", "")
        and stated.rstrip("}").endswith("_{10")
    )


def _is_close(first: float, second: float) -> bool:
    return abs(first - second) <= 1e-6 * max(abs(first), abs(second))


def _is_comparable(gold: str, stated: str) -> bool:
    """Return whether the parser would read the whole answer, without skipping a relation, unit, second number or prose."""
    if (
        _CHINESE_PROSE.search(stated)
        or _PROSE.search(right_hand_side(stated))
        or (_RANGE.search(stated) and not _RANGE.search(gold))
    ):
        return False
    only_stated_has_relation = _RELATION.search(stated) and not _RELATION.search(gold)
    if only_stated_has_relation and not any(bracket in gold for bracket in "()[]{"):
        return False
    bases = [base[1] for text in (gold, stated) for base in _BASE.finditer(text)]
    if len(set(bases)) > 1 or bool(_RATIO_ANYWHERE.search(stated)) != bool(_RATIO_ANYWHERE.search(gold)):
        return False
    return not (_symbols(right_hand_side(stated)) and not _symbols(gold)) or "=" in right_hand_side(stated)


def _symbols(text: str) -> set[str]:
    return {match[0] for match in LETTER_OR_COMMAND.finditer(text)} - _NON_SYMBOL_COMMANDS - {"e", "i"}


def _have_other_quotient(gold: str, stated: str) -> bool:
    """Return whether the quotient of two numbers is not 1; `equivalent` rounds to six decimals."""
    ratio = quotient(f"${gold}$", f"${stated}$")
    is_large = _LARGE_NUMBER.search(gold) or _LARGE_NUMBER.search(stated)
    return ratio is not None and abs(ratio - 1) > (1e-9 if is_large else 1e-6)
