r"""Select the answer among the numbers of a statement, which may also contain conditions, remarks and comparisons.

>>> stated_number("2.1 at pH 7.4").value
2.1
>>> stated_number("1.1 eV (PBE gives 0.6 eV)", "eV").value
1.1
>>> stated_number("5 or 6") is None
True

Remarks in brackets and the text after "at", "for", "since" and the like are ignored, as are all sides of an equation but
the last. If two different numbers remain, there is no answer. A statement may also be a Roman numeral, a spelled-out number
or a charge such as 2-.
"""

from __future__ import annotations

import re
from typing import Literal

from evals.extract.lazy_pattern import lazy_pattern
from evals.extract.number_words import spelled_number
from evals.extract.units.names import convert, convertible
from evals.extract.units.notation import normalise_notation
from evals.extract.units.text import Quantity, quantities, with_adjacent_units

MAX_CHARS = 2_000
"""Maximum length of a statement in characters."""
EQUALITY_TOLERANCE = 0.02
"""Maximum relative difference of two numbers that count as the same answer."""

_REMARK = lazy_pattern(
    r"(?<=[\w%°)*$.\]])\s*[(（](?![^()（）]{0,8}[)）]\s*(?:×|x|\*|·)\s*10)(?!\s*\d{1,3}\s*[)）]\s*[×x])[^()（）\n]{0,400}[)）]|\s\[[^\[\]\n]{0,200}\]"
)
_KEPT_BRACKET = lazy_pattern(r"\^\s?\([-+]?\d{1,4}\)|/\s?\([^()]{1,30}\)|log(?:10)?\s?\([^()]{1,20}\)")
"""A power, denominator or logarithm in brackets, which is not a remark."""
_CLAUSE_END = lazy_pattern(
    r"(?:\s?[,;:，；]\s?|\s|^)(?:(?:and|but)\s)?(?:at|in|for|with|within|when|while|whereas|since|because|as|which|where|although|though|but|"
    r"compared|versus|vs\.?|relative\sto|rather\sthan|instead\sof|not|so|that|assuming|given|based|from|under|after|upon|using|by|if|due|of|on|than|"
    r"corresponding|i\.e\.|e\.g\.|cf\.?|see|lower|higher|more|less|above|below|mainly|typical(?:ly)?|again|close\sto|near)\b(?!\s?(?:of\s)?(?:atoms?|formula|cells?)\b)"
    r"|\s[–—-]+\s(?=[A-Za-z])|(?<=\S)[.。](?=\s|$)|[；;](?!\s?[-+]?\d)|\n|而不是|因为|由于|在|当|其中|对应"
)
_PREDICATE = lazy_pattern(
    r"(?:\b(?:is|are|was|were|be|equals?|gives?|yields?|obtain(?:ed)?|predict(?:ed)?|estimate[ds]?|get|choose|report|answer|value|state)\b|[:：]|为|是|等于|约|得到?)"
    r"(?:\s?(?:approximately|about|around|roughly|ca\.?|close\sto|estimated\s(?:to\sbe|at|as)|of|at|to\sbe|as|likely|probably|therefore|thus|then|now|only|just|expected|taken|equal\sto|the\sorder\sof|on|be|约|大约|为|于|是)){0,8}"
    r"[\s*_`$~≈:：]{0,24}(?P<number>(?:[-+<>≤≥]\s?)?[\d.½¼¾⅓⅔⅛⅕])",
    re.IGNORECASE,
)
_BEGINS_WITH_NUMBER = lazy_pattern(
    r"[\s*_`~≈<>≤≥=:$(]*(?:(?:about|approximately|approx\.?|around|roughly|ca\.?|circa|nearly|almost|estimated|likely|probably|perhaps|maybe|exactly|between|from|minus|negative|up\sto|at\s(?:least|most)|less\sthan|more\sthan|约|大约)[\s*]*){0,3}[-+]?\s?[\d.½¼¾⅓⅔⅛⅕]",
    re.IGNORECASE,
)
_EQUALS = lazy_pattern(r"(?:=|≈|→|⇒|~)\s?(?=[-+]?\s?[\d.])")
_EITHER = lazy_pattern(
    r"[^\d\n]{0,40}(?P<first>\d[\d.]{0,20})\s{1,3}(?:or|或者?)\s{1,3}(?:about\s|around\s|~|≈)?[-+]?(?P<second>\d[\d.]{0,20})(?![\d%])"
)
"""Two numbers with a common unit, as in "1.4 or 1.5 eV"."""
_UNDER_TWO_CONDITIONS = lazy_pattern(
    r"[^\d\n]{0,40}(?P<first>\d[\d.]{0,20})(?P<unit>\s?[A-Za-z%/]{1,12})?\s(?P<link>with|using|by|from|in|within|for|at)\s[^\s,.;]{1,20}(?:\sK)?,?\s(?:and|but|while)\s(?:about\s|around\s|~|≈)?(?P<second>\d[\d.]{0,20})(?P=unit)?\s(?P=link)\s"
)
"""A number for each of two conditions, as in "0.5 eV with PBE and 1.4 eV with HSE"."""
_HYPOTHESIS = lazy_pattern(
    r"\A(?:[^.;\n]|\.(?=\d)){0,120}?\b(?:would|might|could|may)\b(?:[^.;\n]|\.(?=\d)){0,120}?[,;]\s(?:but|however,?|yet|while|whereas)\s(?=[^\d]{0,120}\d)",
    re.IGNORECASE,
)
"""As in "PBE would give about 0.5 eV, but"."""
_MULTIPLE = lazy_pattern(
    r"[^\d=]*(?:\b(?:twice|thrice|double|triple|half\s+(?:of|the|that|as)|(?:two|three|four|five|ten)\s+times)\b"
    r"|\d[\d.,]*[a-z]?\s*(?:times\s+(?:the|as|that|this|its|their|larger|greater|more|higher|bigger|longer|smaller|what|[b-z]\b)|(?:plus|minus|multiplied|divided)\b|-?fold\b|倍)[^=]*\Z)",
    re.IGNORECASE,
)
"""A multiple of another number or an unevaluated sum, which does not state the answer."""
_FOLLOWING_SYMBOL = lazy_pattern(r"\s?(?:π|pi\b|√|sqrt)|[A-Za-z](?![A-Za-z])")
_CHARGE = lazy_pattern(r"\(?(\d{1,3})\s?([-+])\)?")
_ROMAN = lazy_pattern(r"\(?([-+]?)\s?([IVX]{1,5})\)?")
_COUNTED = lazy_pattern(
    r"(?!one\s\w+\s)(?P<number>[A-Za-z-]{3,12})(?:\s(?!of\b|or\b|to\b|and\b|times\b|hundred|thousand|million|half\b|point\b|percent|thirds?\b|more\b|less\b|possibilit|cases?\b|steps?\b|options?\b|ways?\b|things?\b|answers?\b|approach|methods?\b|reasons?\b)[a-z]{2,20}){1,3}"
)
"""As in "four distinct signals"."""
_ROMAN_NUMERALS = ("I", "II", "III", "IV", "V", "VI", "VII", "VIII", "IX", "X", "XI", "XII")


def stated_number(text: str, unit: str = "") -> Quantity | None:
    """Return the number of one statement, unconverted; None if there is none, or several, or a wide range.

    `unit`: the target's unit; numbers that can be converted to it take precedence.
    """
    quantity = _select_number(text, unit)
    return None if quantity is None or is_wide_range(quantity) else quantity


def _select_number(text: str, unit: str) -> Quantity | None:
    normalised = with_adjacent_units(normalise_notation(text[:MAX_CHARS])).strip()
    if (spelled := _special_number(normalised)) is not None:
        return spelled
    statement = without_remarks(_HYPOTHESIS.sub("", normalised))
    if _MULTIPLE.match(statement):
        return None
    if not _BEGINS_WITH_NUMBER.match(statement):
        if (predicate := _PREDICATE.search(statement)) is not None:
            statement = statement[predicate.start("number") :]
        elif equals_signs := list(_EQUALS.finditer(statement)):
            has_comma = "," in statement[equals_signs[0].start() :]
            statement = statement[equals_signs[0 if has_comma else -1].end() :]
        else:
            return _single_number(quantities(statement), unit)
    for two_values in (_EITHER.match(statement), _UNDER_TWO_CONDITIONS.match(statement)):
        if two_values and two_values["first"] != two_values["second"]:
            return None
    quantity = _single_number(_first_clause(statement), unit) or _last_side(statement, unit)
    return None if quantity is None or _is_coefficient(quantity, statement) else quantity


def is_wide_range(quantity: Quantity) -> bool:
    """Return whether a number is a range that spans an order of magnitude or more, whose midpoint is not an answer."""
    return (
        quantity.low is not None
        and quantity.high is not None
        and quantity.low >= 0
        and quantity.high >= 10 * quantity.low
    )


def _is_coefficient(quantity: Quantity, text: str) -> bool:
    """Return whether a number is the coefficient of a symbol, as in 2x or 2π."""
    end = text.find(quantity.text) + len(quantity.text)
    return not quantity.unit and _FOLLOWING_SYMBOL.match(text, end) is not None


def without_remarks(text: str) -> str:
    """Remove remarks in brackets that follow a number."""
    for _ in range(3):  # brackets within brackets
        previous = text
        text = _KEPT_BRACKET.sub(lambda match: match[0].replace("(", "\x01").replace(")", "\x02"), text)
        if first_digit := re.search(r"\d", text):
            text = text[: first_digit.start()] + _REMARK.sub(" ", text[first_digit.start() :])
        text = text.replace("\x01", "(").replace("\x02", ")")
        if text == previous:
            break
    return text


def _first_clause(text: str) -> list[Quantity]:
    first_digit = re.search(r"\d", text)
    if first_digit is None:
        return []
    clause_end = _CLAUSE_END.search(text, first_digit.end())
    range_start = re.match(r"[^\d]*\bbetween\b", text, re.IGNORECASE)
    return quantities(text[: clause_end.start()] if clause_end and not range_start else text)


def _last_side(text: str, unit: str) -> Quantity | None:
    """Return the only number after the last equals sign of a calculation."""
    clause_end = _CLAUSE_END.search(text, 1)
    sides = _EQUALS.split(text[: clause_end.start()] if clause_end else text)
    return _single_number(quantities(sides[-1]), unit) if len(sides) > 1 and "," not in text else None


def _unit_fit(quantity: Quantity, unit: str) -> Literal["unit", "none", "other"]:
    """Return `unit` if a number's unit can be converted to the target's, `none` if it has no unit, or else `other`."""
    if not quantity.unit:
        return "none"
    return "unit" if not unit or convertible(quantity.unit, unit) else "other"


def _single_number(numbers: list[Quantity], unit: str) -> Quantity | None:
    """Return the number with a convertible unit, else without a unit, else with another unit; None if several of these differ."""
    for fit in ("unit", "none", "other"):
        candidates = [number for number in numbers if _unit_fit(number, unit) == fit]
        if candidates:
            agree = all(_same_answer(candidates[0], number, unit) for number in candidates[1:])
            return candidates[0] if agree else None
    return None


def _same_answer(first: Quantity, second: Quantity, unit: str) -> bool:
    """Return whether two numbers are the same answer, possibly in different units."""
    if first.unit != second.unit and not unit and first.unit and second.unit:
        second_value = convert(second.value, second.unit, first.unit)
    else:
        second_value = convert(second.value, second.unit, unit) if second.unit else second.value
    first_value = convert(first.value, first.unit, unit) if unit and first.unit else first.value
    if second_value is None or first_value is None:
        return False
    return abs(second_value - first_value) <= EQUALITY_TOLERANCE * max(abs(first_value), abs(second_value))


def _special_number(text: str) -> Quantity | None:
    """Read a number word, a Roman numeral, or a charge with its sign at the end."""
    stripped = text.strip(" .*`_$()").strip()
    value: float | None = None
    if charge := _CHARGE.fullmatch(stripped):
        value = float(charge[1]) * (-1 if charge[2] == "-" else 1)
    elif (roman := _ROMAN.fullmatch(stripped)) and roman[2] in _ROMAN_NUMERALS:
        value = float(_ROMAN_NUMERALS.index(roman[2]) + 1) * (-1 if roman[1] == "-" else 1)
    else:
        value = spelled_number(stripped)
        if value is None and (counted := _COUNTED.fullmatch(stripped)):
            value = spelled_number(counted["number"])
    return None if value is None else Quantity(value, "", None, None, approximate=False, text=stripped)
