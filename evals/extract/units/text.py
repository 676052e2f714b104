"""Parse numbers in free text, with signs, exponents, separators, ranges, fractions and units."""

from __future__ import annotations

import re
from math import isfinite
from typing import NamedTuple

from evals.extract.units.names import same_dimension, unit_at
from evals.extract.units.notation import normalise_notation


class Quantity(NamedTuple):
    """A number as stated in a text."""

    value: float
    """For a range, its midpoint."""
    unit: str
    """In the form returned by `normalise_unit`; empty if none is stated."""
    low: float | None
    """Lower end of a stated range."""
    high: float | None
    """Upper end of a stated range."""
    approximate: bool
    """Whether it is stated with "about", as a bound ("< 5") or as a range."""
    text: str
    """The number and its unit as written, after `normalise_notation`."""


_MAX_NUMBERS = 2_000
"""Maximum number of groups of digits that are read, from the end of a text."""
_MAX_CHARS_BEFORE_DIGITS = 60
"""Maximum length of "less than about negative" and the like before a number."""
_DIGITS = re.compile(r"\d+")
_NUMBER = (
    r"(?:\d{1,3}(?:,\d{3}){1,9}(?![\d,])(?:\.\d+)?"  # 1,234,567.8
    r"|\d{1,3}(?:\.\d{3}){2,9}(?![\d.])|\d{1,3}(?:\.\d{3}){1,9},\d{1,9}(?!\d)"  # 1.234.567 and 1.234,5
    r"|\d{1,2}(?:,\d{2}){1,4},\d{3}(?![\d,])"  # 12,34,567
    r"|[1-9]\d{0,2}(?: \d{3}){1,9}(?![\d,]?\d)(?:\.\d+)?"  # 1 234 567.8
    r"|(?<!\d,)(?:0,\d{1,12}(?![\d,])|\d{1,12},(?:\d{1,2}|\d{4,9})(?![\d,]))"  # 3,14
    r"|\d{1,400}(?:\.\d{0,400})?|\.\d{1,400})"
)
_EXPONENT = (
    r"(?:[eE](?P<e>[-+]?\d{1,4})(?![\d.]*[A-Za-z])|[dD](?P<d>[-+]\d{1,4})"
    r"|\s?(?:×|x|\*|·|times)\s?10(?:\s?\^\s?\(?(?P<ten>[-+]?\s?\d{1,4}(?:\.\d{1,4})?)\)?|(?P<flattened>[-+]\d{1,3})(?!\d))"
    r"|\^(?P<power>[-+]?\d{1,3}(?:\.\d{1,4})?)(?!\.?\d))"
)
_SIGN = (
    r"(?:(?<![\w)\]%])[-+](?=[\d.])|(?:(?<=[=:≈~(])|(?<=[=:≈~(] )|(?<=\bis ))[-+]\s(?=[\d.])"
    r"|\A[-+]\s(?=[\d.,]+\s*\Z)|\b(?:minus|negative)\s)?"
)
_ABOUT = (
    r"(?:(?:\b(?:about|approximately|approx\.?|around|roughly|circa|ca\.?|nearly|close to|estimated at|less than|"
    r"more than|greater than|at least|at most|up to|under|over|above|below)\s|[~≈<>≤≥]\s?){0,2})"
)
_VALUE = re.compile(
    rf"(?P<about>{_ABOUT})(?P<sign>{_SIGN})(?<![A-Za-z_\d.^])(?<!\^[-+])(?<![A-Za-z)][-,_])(?<![\w)]·)(?P<number>{_NUMBER})"
    rf"(?:\s?\(\d{{1,4}}\)(?=[\s,;.]|[A-Z×°]|$))?(?:{_EXPONENT})?"
    rf"(?:\s?/\s?(?P<denominator>\d{{1,12}}(?:\.\d{{1,12}})?)(?![\d/]))?",
    re.IGNORECASE,
)


def _plain_decimal(number: str) -> str:
    """Remove thousands separators and write the decimal separator as a point."""
    digits = number.replace(" ", "")
    if digits.isdecimal():
        return digits
    if re.fullmatch(r"\d{1,3}(?:\.\d{3})+,\d+|0,\d+|\d+,(?:\d{1,2}|\d{4,})", digits):
        return digits.replace(".", "").replace(",", ".")
    if re.fullmatch(r"\d{1,3}(?:\.\d{3}){2,}", digits):
        return digits.replace(".", "")
    return digits.replace(",", "")


def _evaluate(match: re.Match[str]) -> float | None:
    """Compute the value from sign, digits, exponent and denominator; None if it is not finite."""
    digits = _plain_decimal(match["number"])
    exponent = match["e"] or match["d"] or match["ten"] or match["flattened"] or "0"
    try:
        exponent = "".join(exponent.split())
        value = float(digits) * 10 ** float(exponent) if "." in exponent else float(f"{digits}e{exponent}")
        if match["power"]:
            value = value ** float(match["power"])
        if match["denominator"]:
            value /= float(match["denominator"])
    except (OverflowError, ZeroDivisionError):
        return None
    if match["sign"].strip().lower() in ("-", "minus", "negative"):
        value = -value
    return value if isfinite(value) else None


_ORDINAL_OR_FORMULA = re.compile(
    r"(?:st|nd|rd|th)\b|(?:[A-Z][a-z]?\d*)*[A-Z][a-z]?\d|-(?:[a-z]{3,}|[A-Z][a-z]{3,})|,\d+-[a-z]"
)
_RANGE = re.compile(r"\s?(?:-|\bto\b|\band\b|\.\.\.?)\s?", re.IGNORECASE)


def quantities(text: str) -> list[Quantity]:
    """Return every number in the text with its unit, in order.

    Digits inside words and formulas (H2O, sp3, 2-butanol, 1st) are not numbers.
    """
    text = normalise_notation(text)
    numbers: list[tuple[Quantity, int, int]] = []
    digits = [*_DIGITS.finditer(text)][-_MAX_NUMBERS:]
    position = max(0, digits[0].start() - _MAX_CHARS_BEFORE_DIGITS) if digits else len(text)
    while match := _VALUE.search(text, position):
        value = _evaluate(match)
        unit, position = unit_at(text, match.end())
        if value is None or (not unit and _ORDINAL_OR_FORMULA.match(text, match.end())):
            continue
        start = match.start("sign")
        quantity = Quantity(
            value, unit, None, None, bool(match["about"].strip()), text[start:position].strip()
        )
        if numbers and (joined := _joined_quantity(text, *numbers[-1], quantity, start)):
            numbers[-1] = (joined, numbers[-1][1], position)
        else:
            numbers.append((quantity, start, position))
    return [quantity for quantity, _, _ in numbers]


_BRACKETED_NUMBER = re.compile(
    r"(?<![\w)\]%])(?<!\d )\(\s?([-+]?[\d.]{1,20}(?:\s?(?:±|-|to)\s?[\d.]{1,20})?)\s?\)(?=\s?[A-Za-zµ°%ÅΩ])"
)
_BRACKETED_UNIT = re.compile(
    r"(?<=\d)\s?(?:\[\s?([^\[\]\d][^\[\]]{0,30})\]|\(\s?([%KÅ]|[^()\d][^()]{1,30})\))"
)
_NUMBER_WITH_POINT = re.compile(r"(?<=\d)\.(?=\s?[A-Za-zµ°%ÅΩ])")


def with_adjacent_units(text: str) -> str:
    """Remove what separates a number from its unit: brackets around either, and a point after the digits at the end.

    >>> with_adjacent_units("(0.5 ± 0.1) nm"), with_adjacent_units("5 [cm]"), with_adjacent_units("250. kJ")
    ('0.5 ± 0.1 nm', '5 cm', '250 kJ')
    """
    text = _BRACKETED_NUMBER.sub(lambda match: match[1] if unit_at(text, match.end())[0] else match[0], text)

    def unit_without_brackets(match: re.Match[str]) -> str:
        unit = f" {(match[1] or match[2]).strip()}"
        return unit if unit_at(unit, 0) == (unit_at(unit, 0)[0], len(unit)) else match[0]

    text = _BRACKETED_UNIT.sub(unit_without_brackets, text)
    return _NUMBER_WITH_POINT.sub(lambda match: "" if _ends_with_unit(text, match.end()) else ".", text)


def _ends_with_unit(text: str, start: int) -> bool:
    """Return whether the text from a position on is a unit."""
    unit, end = unit_at(text, start)
    return bool(unit) and not text[end:].strip(" .*)")


def _joined_quantity(
    text: str, first: Quantity, first_begin: int, first_end: int, second: Quantity, second_begin: int
) -> Quantity | None:
    """Return one quantity for "3 to 5 MPa", "between 3 and 5" or "3.2 ± 0.1 eV"; None for two separate numbers."""
    between = text[first_end:second_begin]
    if between.strip() == "±":
        return first._replace(unit=second.unit or first.unit)
    if not _RANGE.fullmatch(between) or first.low is not None or (first.unit and first.unit != second.unit):
        return None
    before = text[max(0, first_begin - 12) : first_begin]
    if "and" in between.lower() and not re.search(r"between\s?$", before, re.IGNORECASE):
        return None
    is_ordered_by_magnitude = first.value < 0 and between.strip().lower() == "to"  # "-1.5 to -2.5"
    if second.value < first.value and not is_ordered_by_magnitude:
        return None
    low, high = sorted((first.value, second.value))
    range_text = f"{first.text}{between}{second.text}"
    return Quantity((low + high) / 2, second.unit, low, high, approximate=True, text=range_text)


def read_quantity(text: str, unit: str = "") -> Quantity | None:
    """Return the last number of the text; with `unit`, the last one with a unit of the same dimension.

    If there is no such number, return the last number without a unit, or else the last number.
    """
    numbers = quantities(text)
    if not numbers or not unit:
        return numbers[-1] if numbers else None
    of_same_dimension = [number for number in numbers if number.unit and same_dimension(number.unit, unit)]
    without_unit = [number for number in numbers if not number.unit]
    return (of_same_dimension or without_unit or numbers)[-1]
