"""Extract the number that a reply states as its answer, with unit and position.

>>> stated("The band gap is **1.42 eV**.", "eV").value.value
1.42
"""

from __future__ import annotations

import re
from functools import cache
from typing import Any

from evals.extract.answer_cues import (
    after_correction,
    asserted_reading,
    concluding_clause,
    concluding_reading,
    is_alternative,
    is_undecided,
    narrow_reading,
    tag_content_start,
    without_denial,
)
from evals.extract.counts import SPELLED_NUMBER, stated_count, without_mass_numbers
from evals.extract.formatting import half_width
from evals.extract.layout import first_line_number, gives_up
from evals.extract.lazy_pattern import lazy_pattern
from evals.extract.reading import REJECTED, Reading, before_next_question, breaks_off, read_answer
from evals.extract.statement_mood import mood
from evals.extract.statements import Cue, CueReading, Cues, Form, Statement
from evals.extract.units import Quantity, convertible, normalise_notation, quantities, stated_number
from evals.extract.units.notation import strip_around
from evals.extract.units.statement import is_wide_range, without_remarks
from evals.extract.visible import visible

MAX_CHARS = 100_000
"""Maximum number of characters read, from the end of a reply."""
_MAX_TAIL_CHARS, _MAX_SPANS = 4_000, 20
"""Maximum numbers of characters and of emphasised spans that are examined, from the end, if no answer is stated."""
_MAX_ONE_LINE_CHARS = 500
"""Maximum length of a one-line reply that is read without its remarks, or as a label and a number."""
_MAX_STATEMENT_CHARS = 60
"""Maximum length of a statement without a digit that is rejected; longer ones are ignored."""


_BOUND = lazy_pattern(
    r"[\s*_$(]{0,9}(?:[<>≤≥]|\\(?:[lg]t|[lg]eq?|[lg]eqslant)\b|(?:(?:less|more|greater|higher|lower|larger|smaller)\sthan|at\s(?:least|most)|below|above|up\sto|under|over)\s(?:about\s|approximately\s|~)?)\s*[-−+]?[\d.]",
    re.IGNORECASE,
)
"""A bound such as "> 7" or "less than 7", which states no number."""
_EXPONENTS = {"million": 6, "billion": 9, "trillion": 12}
_SCALE_WORD = lazy_pattern(r"(?<=\d)\s(million|billion|trillion)\b(?!ths?\b)", re.IGNORECASE)


def stated(text: str, unit: str = "", *, names: str = "") -> Reading | None:
    """Return the number stated in a box, a tag, an answer line or a sentence ("the answer is ..."), with its unit and position.

    Without any of these, the number after "best estimate" or the like, the only number in bold or code, the only number of
    the reply, the only one with a compatible unit, or the number in the last line ("... is 1.42 eV.") is read. `names` is a
    pattern of the property's names; a number after one of them ("logS ≈ -3.4, ...") takes precedence over other plain numbers.
    Being the last number does not make it an answer. If the stated answer is not a single number ("Answer: unknown", "5 or
    6"), no earlier number is read.
    """
    visible_text, in_reasoning = visible(text[-MAX_CHARS:])
    if in_reasoning:
        return None
    offset, rejected = max(0, len(text) - MAX_CHARS), False

    def parse(content: str, form: Form) -> Any:
        nonlocal rejected
        content = _SCALE_WORD.sub(lambda word: f"e{_EXPONENTS[word[1].lower()]}", content)
        asserted_content = None if is_undecided(content[:_MAX_STATEMENT_CHARS]) else without_denial(content)
        if asserted_content is not None and _BOUND.match(asserted_content):
            asserted_content = None
        quantity = None if asserted_content is None else stated_number(asserted_content, unit)
        if quantity is None and (re.search(r"\d", content) or len(content) <= _MAX_STATEMENT_CHARS):
            rejected = True
            return REJECTED
        return quantity

    visible_text = before_next_question(half_width(visible_text))
    reading = read_answer(visible_text, parse, cues=_CUES, use_layout=False)
    if reading is not None and is_alternative(visible_text, reading):
        return None
    if reading is not None:
        final = concluding_reading(visible_text, reading, parse)
        if _is_comparable(reading.value, final.value, unit):
            reading = final
        reading = narrow_reading(visible_text, reading)
        reading = after_correction(visible_text, reading, parse, lambda rest: _read_layout(rest, unit, names))
    elif not rejected:
        reading = _read_layout(visible_text, unit, names)
    return reading and reading._replace(begin=reading.begin + offset, end=reading.end + offset)


def _is_comparable(boxed: Quantity, concluded: Quantity, unit: str) -> bool:
    """Return whether a conclusion may replace the box before it: it adds a unit, or their dimensions agree."""
    if bool(boxed.unit) != bool(concluded.unit):
        return bool(concluded.unit) and (not unit or convertible(concluded.unit, unit))
    return not boxed.unit or convertible(concluded.unit, boxed.unit)


def _read_layout(text: str, unit: str, names: str = "") -> Reading | None:
    """Read a reply without an answer statement: its emphasised number, its only number, or its last line."""
    text = _ZERO.sub("0   ", without_mass_numbers(text))
    line_begin = text.rfind("\n", 0, len(text.rstrip())) + 1
    if gives_up(text) or breaks_off(text) or text.rstrip().endswith("?") or is_undecided(text, line_begin):
        return None
    return (
        _read_first_line(text, unit)
        or _read_emphasised(text, unit)
        or (_read_named_number(text, unit, names) if names else None)
        or _read_only_number(text, unit)
        or _read_labelled_number(text, unit)
        or _read_last_line(text, unit)
        or (None if unit else _read_sentence(text))
    )


_ZERO = lazy_pattern(r"(?<=\bis )zero\b(?![ -][a-z])|(?<=\bof )zero\b(?=[\s.*]*$)", re.IGNORECASE)
_NAME_LINK = (
    r"[\s*_`$)]{0,4}(?:\([^()\n]{0,40}\)|[₀-₉.,]{1,8}|_?\{?[\d.]{3}\}?)?"
    r"(?P<link>(?:[\s*_`$=≈~:|]|\\approx|\b(?:is|of|about|approximately|therefore|thus|comes\sout\s(?:at|to)|should|would|to|be|estimated|predicted|around|roughly|at)\b|约|大约|为|是){1,12})"
    r"(?P<number>[-+−]?\s?\d[\d.]{0,20})(?![\d.]*\s*[-+−×*·/^–]\s*[\d(]|[\d.]*\s?[A-Za-z%]{0,6}\s(?:or|to)\s|\s(?:is|has|steels?|stainless)\b)"
)
"""The text between the name of a property and its value, and the value, unless it is a term of a calculation."""


@cache
def _named_number_pattern(names: str) -> re.Pattern[str]:
    return re.compile(rf"(?<![A-Za-z])(?:{names})(?![A-Za-z]){_NAME_LINK}", re.IGNORECASE)


def _read_named_number(text: str, unit: str, names: str) -> Reading | None:
    """Read the value of the property that `names` matches; None if the reply gives it several values."""
    readings = []
    for value in _named_number_pattern(names).finditer(text, max(0, len(text) - _MAX_TAIL_CHARS)):
        numbers = quantities(text[value.start("number") : value.end() + 24])
        if numbers and mood(text, value.start(), value.end(), link=value["link"]) == "asserted":
            readings.append(Reading(numbers[0], "prose", value.start("number"), value.end()))
    readings = [
        reading
        for reading in readings
        if not unit or not reading.value.unit or _has_compatible_unit(reading.value, unit)
    ]
    return readings[-1] if len({reading.value.value for reading in readings}) == 1 else None


def _read_first_line(text: str, unit: str) -> Reading | None:
    """Read a number that is the first line of a reply, apart from the explanation below it."""
    extent = first_line_number(text)
    quantity = stated_number(text[slice(*extent)], unit) if extent else None
    return Reading(quantity, "last line", *extent) if extent and quantity else None


def _read_sentence(text: str) -> Reading | None:
    """Read the count or oxidation state of a short reply, for a question whose answer has no unit."""
    reading = stated_count(text)
    quantity = reading and stated_number(reading.value)
    return reading._replace(value=quantity) if reading and quantity else None


def _read_number_tag(text: str, begin: int) -> CueReading | None:
    """Read the content of a tag `<number>`."""
    content_begin = tag_content_start(text, begin, begin + len("number"))
    content_end = text.find("<", content_begin, content_begin + 200) if content_begin else -1
    if content_end <= content_begin:
        return None
    return None, Statement("tag", content_begin, content_end, mood(text, begin - 1, content_end)), True


_ESTIMATE_LINK = lazy_pattern(
    r"(?:\s(?:is|would\sbe|of))?\s?[:：=≈~]?\s?(?=[\s*_`$]{0,6}(?:about\s|approximately\s|~|≈)?\s?[-+]?[\d.])"
)
"""The text between "best estimate" and the number."""
_ESTIMATED_NUMBER = lazy_pattern(r"[\s*_`$]{0,6}(?:about\s|approximately\s|[~≈])?\s?[-+]?\d[\d.,]{0,20}")


_IS_LAST_RESULT = lazy_pattern(
    r"[\s*_`$]{0,6}(?:about\s|approximately\s|[~≈])?\s?[-+−]?\d[\d.,]{0,20}(?:\s?[A-Za-zµ°%]{1,4}(?:/[A-Za-z]{1,4})?)?[\s.*_`$]*\Z"
)
_IF = lazy_pattern(r"\bif\b[^.\n]*$", re.IGNORECASE)


def _read_estimate(text: str, begin: int) -> CueReading | None:
    """Read the number after "best estimate", "I'd say" and the like, which counts unless a stronger statement is made."""
    phrase = _ESTIMATE.match(text, begin)
    link = _ESTIMATE_LINK.match(text, phrase.end()) if phrase else None
    if phrase is None or link is None:
        return None
    line_end = text.find("\n", link.end())
    end = line_end if line_end >= 0 else len(text)
    number = _ESTIMATED_NUMBER.match(text, link.end())
    if phrase[0][-3:].lower() in ("get", "ain") and (
        not _IS_LAST_RESULT.match(text, link.end()) or _IF.search(text, max(0, begin - 120), begin)
    ):
        return None  # an intermediate or hypothetical result
    return (
        None,
        Statement("line", link.end(), end, mood(text, begin, number.end() if number else link.end())),
        False,
    )


_ESTIMATES = (
    "best estimate", "best guess", "final estimate", "i'd say", "i’d say", "i would say", "i'd estimate", "i estimate",
    "i would estimate",
    "i answer", "i predict", "i get", "we get", "i obtain", "we obtain", "i'd go with", "i would go with", "i'll go with", "i'd put it at",
    "i'd put the value at",
)  # fmt: skip
"""Phrases that introduce an estimate, in lower case."""
_ESTIMATE = lazy_pattern("|".join(_ESTIMATES), re.IGNORECASE)
_SUM_OR_PRODUCT = lazy_pattern(
    r"^(?![^\n]*(?:\bnot\b|n['’]t|\bif\b|\bexample\b))[^\n]*[\d)]\s?(?:[-+−×*·/÷]|\\times|\\cdot)\s?[\d(][\d.]*[\s$%]*$"
)
_CUES = Cues([Cue("number", _read_number_tag), *(Cue(phrase, _read_estimate) for phrase in _ESTIMATES)])
_EMPHASIS = lazy_pattern(r"\*\*([^*\n]{1,300})\*\*|`([^`\n]{1,300})`")


def _read_emphasised(text: str, unit: str) -> Reading | None:
    """Read the only number in bold or code, or the only one of these with a compatible unit."""
    spans = [*_EMPHASIS.finditer(text, max(0, len(text) - _MAX_TAIL_CHARS))][-_MAX_SPANS:]
    readings = [
        Reading(quantity, "emphasis", span.start(), span.end())
        for span in spans
        if (quantity := stated_number(span[span.lastindex or 1], unit)) is not None
        and mood(text, span.start(), span.end()) == "asserted"
    ]
    readings = [reading for reading in readings if _has_compatible_unit(reading.value, unit)] or readings
    return readings[-1] if len({reading.value.value for reading in readings}) == 1 else None


def _has_compatible_unit(quantity: Quantity, unit: str) -> bool:
    return bool(unit and quantity.unit) and convertible(quantity.unit, unit)


def _read_only_number(text: str, unit: str) -> Reading | None:
    """Read the only number of a reply, or the only one with a compatible unit."""
    numbers = _compatible(quantities(text), unit)
    if _BEGINS_WITH_NUMBER.match(text) and _is_one_short_line(text):
        numbers = quantities(without_remarks(normalise_notation(text)))  # "-2.21 (about 6 mM)"
        numbers = _compatible(numbers, unit)
    elif len(numbers) != 1 and _is_one_short_line(text) and not _OR.search(text):
        numbers = _compatible(quantities(without_remarks(normalise_notation(text))), unit)
    if len(numbers) != 1 or is_wide_range(numbers[0]):
        return None
    number_text = numbers[0].text
    begin = text.find(number_text)
    is_labelled = _LABEL_BEFORE.search(text, max(0, begin - 20), begin)
    is_value = _EQUALS_BEFORE.search(text, max(0, begin - 8), begin)
    if _BOUND_BEFORE.search(text, max(0, begin - 60), begin) or _BOUND.match(number_text):
        return None
    if begin >= 0 and (is_labelled or not (is_value or _MAY_FOLLOW.match(text, begin + len(number_text)))):
        return None
    return asserted_reading(text, Reading(numbers[0], "prose", 0, len(text.rstrip())))


_BEGINS_WITH_NUMBER = lazy_pattern(r"[\s*_`$~≈]*[-+−]?\d")


def _is_one_short_line(text: str) -> bool:
    line = text.strip()
    return len(line) <= _MAX_ONE_LINE_CHARS and "\n" not in line


def _compatible(numbers: list[Quantity], unit: str) -> list[Quantity]:
    """Return the numbers with a compatible unit, or all if there are none."""
    return [number for number in numbers if _has_compatible_unit(number, unit)] or numbers


_BOUND_BEFORE = lazy_pattern(
    r"(?:[<>≤≥]|\b(?:(?:larger|greater|more|higher|wider|less|lower|smaller)\sthan|exceed(?:s|ing)?|above|below|at\s(?:least|most)|(?:lower|upper)\s(?:bound|limit)(?:\sis|:)?|than\s(?:that|those)\s(?:of|in|for)\b[^.;\n]{0,40}))[\s*_`$]*$",
    re.IGNORECASE,
)
_DOUBT = lazy_pattern(r"\bor\b|\b(?:wrong|incorrect|not)\b|[?或错]", re.IGNORECASE)
_OR = lazy_pattern(r"\bor\b|或", re.IGNORECASE)
_EQUALS_BEFORE = lazy_pattern(r"[=≈][\s*$]*$")
_LABEL_BEFORE = lazy_pattern(
    r"\b(?:steps?|cases?|parts?|questions?|problems?|options?|equations?|eq\.?|figures?|tables?|sections?|methods?|approach)\s*$|(?:步骤|第)\s*$|(?:^|\n)\s*$",
    re.IGNORECASE,
)
"""Text before a number that is not a quantity, as in "Step 1" or a numbered list."""
_MAY_FOLLOW = lazy_pattern(
    r"[*_`$\s)\]}%]*(?:\Z|[|.,;:!。，；、(\n—–±~\\]|[\u4e00-\u9fff]|\s(?:at|for|with|and|in|which|because|as|on|by|from|under|but|or|based|given|when)\b)"
)
"""Text that may follow the only number of a reply, unlike the words after 3 in "3 cases to consider"."""


_LABEL = lazy_pattern(
    r"\s*+[*_#-]{0,4}\s{0,9}[^:：\n]{1,80}(?:(?<!\d)[:：]|[:：](?=\s))[\s*_`$]{0,6}(?=[-+~≈]?\s?[\d.])"
)


_LATER_SENTENCE = lazy_pattern(r"[.;]\s+[A-Z][^\n=:]{1,80}[=:][^\n]{0,80}\d")
"""A further label or equation with a number."""


def _read_labelled_number(text: str, unit: str) -> Reading | None:
    """Read a one-line reply that consists of a label and a number: "log S (25 °C): -2.3"."""
    label = _LABEL.match(text) if _is_one_short_line(text) else None
    if label is None or _LABEL_BEFORE.search(text, max(0, label.end() - 24), text.rfind(":", 0, label.end())):
        return None
    if _LATER_SENTENCE.search(text, label.end()):
        return None
    quantity = stated_number(text[label.end() :], unit)
    reading = None if quantity is None else Reading(quantity, "whole", label.end(), len(text.rstrip()))
    return asserted_reading(text, reading)


_EQUATION = lazy_pattern(r"=|≈|→|\\approx\b")
_SECOND_STATEMENT = lazy_pattern(r"[,;，；]\s|(?<!\.)[.。](?=\s)|\b(?:and|or)\b", re.IGNORECASE)


_CLOSING_VALUE = lazy_pattern(
    r"\b(?:is|be|equals?|corresponds\sto|amounts\sto|comes?\sto)\s+(?:an?\s(?:\w+\s){1,3}of\s)?(?:about|approximately|around|roughly|~|≈)?\s*[*_$]*[-−+]?\d+(?:\.\d+)?(?:\s?(?:%|°C|[a-zA-Z]{1,3}(?:/[a-zA-Z]{1,3})?))?[*_$.\s]*$"
    r"|,\s(?:or\s|so\s)?(?:a\stotal\sof\s)?\d+\s(?:in\stotal|altogether)[.\s]*$",
    re.IGNORECASE,
)
"""As in "The predicted logD at pH 7.4 is about 1.9."."""


def _closing_value(line: str) -> re.Match[str] | None:
    """Match the value at the end of a sentence, unless the sentence states another value before it."""
    closing = _CLOSING_VALUE.search(line, max(0, len(line) - 60))
    return None if closing and _VALUE_BEFORE.search(line, 0, closing.start()) else closing


_VALUE_BEFORE = lazy_pattern(
    r"\b(?:is|are|be)\s[\s\w~≈]{0,16}\d[\d.]*[^.;]{0,40}\b(?:and\s(?:the|its)|while)\b"
)
_ASSIGNMENT = lazy_pattern(r"[A-Za-z][\w\[\]()⁺⁻]{0,11}\s?[=≈]\s?(?=[-+−]?\d[\d.]*[\s.$*]*$)")
_LAST_SENTENCE = lazy_pattern(r"(?<=[\w)%])[.;]\s+(?=[A-Z])")


_METHOD = lazy_pattern(
    r"\A\W*(?:using|from|with|by|applying|according\sto)\s[^,=≈\d]{1,60},\s", re.IGNORECASE
)


def _last_result(line: str) -> str:
    """Return the right-hand side of a calculation such as "n = √ε = √6.25 = 2.5"; empty if the line is not a calculation."""
    line = _METHOD.sub("", line)
    sides = _EQUATION.split(line)
    is_calculation = len(sides) > 2 or (
        len(sides) == 2 and (not sides[0].strip(" *$") or _SUM_OR_PRODUCT.search(sides[0][-200:]))
    )
    return sides[-1] if is_calculation and not _SECOND_STATEMENT.search(line) else ""


_COMPARISON = lazy_pattern(
    r"\b(?:compar\w+|reference|typical\w*|other|similar|calculat\w*|comput\w*|PBE|DFT|HSE\d*|GW|would|could|might|unlike|while|not)\b",
    re.IGNORECASE,
)
"""Words in a sentence that states a value for comparison, or a calculated one, rather than the answer."""


def _closing_sentence_start(text: str, begin: int, end: int, unit: str) -> int:
    """Return the start of the last sentence of a line if it ends with a value in a compatible unit, else of the line."""
    starts = [
        stop.end() for stop in _LAST_SENTENCE.finditer(text, max(begin, end - _MAX_ONE_LINE_CHARS), end)
    ]
    sentence = text[starts[-1] : end] if starts and unit else ""
    closing = _closing_value(sentence) if sentence and not _COMPARISON.search(sentence) else None
    value = stated_number(closing[0], unit) if closing else None
    return starts[-1] if value is not None and _has_compatible_unit(value, unit) else begin


def _read_last_line(text: str, unit: str) -> Reading | None:
    """Read the last line: a number alone, the result of a calculation, or a sentence with a number in a compatible unit."""
    end = len(text.rstrip())
    begin = text.rfind("\n", 0, end) + 1
    for sentence_end in _LAST_SENTENCE.finditer(text, max(begin, end - _MAX_ONE_LINE_CHARS), end):
        begin = sentence_end.end() if _last_result(text[sentence_end.end() : end]) else begin
    begin = _closing_sentence_start(text, begin, end, unit)
    line = text[begin:end]
    clause = concluding_clause(line)
    assigned = _ASSIGNMENT.match(clause)
    result = _last_result(line) or _last_result(clause) or (clause[assigned.end() :] if assigned else "")
    if not result and SPELLED_NUMBER.match(clause):
        result = clause
    closing = None if unit else _closing_value(line)
    quantity = stated_number(result or (closing[0].lstrip(", ") if closing else line), unit)
    if quantity is None:
        return None
    whole = normalise_notation(result or line)
    whole = strip_around(whole if _DOUBT.search(whole) else without_remarks(whole), "*`.$ ")
    is_whole_line = whole == quantity.text.rstrip(".")
    if _BOUND_BEFORE.search(line, 0, max(0, line.find(quantity.text))):
        return None
    if result and quantity.unit and unit and not _has_compatible_unit(quantity, unit):
        return None
    closing = closing or (None if quantity.unit else _closing_value(line))
    if not is_whole_line and closing is None and not _has_compatible_unit(quantity, unit):
        return None
    return asserted_reading(text, Reading(quantity, "last line", begin, end))
