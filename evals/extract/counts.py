"""Read the count or oxidation state that a short reply states in a sentence.

>>> stated_count("There are four signals.").value, stated_count("Thus Mn is in the +7 oxidation state.").value
('4', '+7')
"""

from __future__ import annotations

import re

from evals.extract.answer_cues import asserted_reading, concluding_clause
from evals.extract.lazy_pattern import lazy_pattern
from evals.extract.number_words import spelled_number
from evals.extract.only_number import MAX_CHARS, only_number
from evals.extract.reading import Reading

_MASS_NUMBER = lazy_pattern(
    r"(?<![\w.])\d{1,3}(?=(?:H|C|N|F|P|B|Si)[\s-]?(?:NMR|(?:NMR\s)?(?:signals?|spectr|peaks?|resonances?|environments?)|\{))"
)
_COUNTED = lazy_pattern(
    r"\b(?:there\s(?:are|is)|has|have|shows?|contains?|exhibits?|(?:see|expect|observe|find|get)s?)\s(?:only\s|exactly\s|a\stotal\sof\s)?[*_]*\d",
    re.IGNORECASE,
)
_OBSERVER = lazy_pattern(
    r"\b(?:you|one|we)\s(?:would\s)?(?:see|observe|expect|find|get|count|have)\s", re.IGNORECASE
)
SPELLED_NUMBER = lazy_pattern(
    r"\b(?:one|two|three|four|five|six|seven|eight|nine|ten|eleven|twelve)\b", re.IGNORECASE
)
_BEFORE_COUNT = lazy_pattern(
    r"\b(?:there\sare|has|have|shows?|contains?|displays?|exhibits?|gives?|see|expect|observe|find|get)\s(?:only\s|exactly\s)?\Z",
    re.IGNORECASE,
)
_WOULD = lazy_pattern(r"\bwould\s(?=(?:show|display|exhibit|have|give|contain)\b)", re.IGNORECASE)
_BEFORE_VALUE = lazy_pattern(r"\bis\s\Z", re.IGNORECASE)
_OXIDATION_STATE = lazy_pattern(
    r"\b(?:is|are)\s(?:therefore\s|thus\s|formally\s|now\s)?in\s(?:the|an?|its)\s([-+−]?\d|[-+−]?[IV]{1,3})\soxidation\sstate\b",
    re.IGNORECASE,
)


def without_mass_numbers(text: str) -> str:
    """Replace the mass number in "1H NMR" and the like, which is not an answer, by underscores."""
    return _MASS_NUMBER.sub(lambda number: "_" * len(number[0]), text)


def stated_count(text: str) -> Reading | None:
    """Return the number, as text, of a reply that is one sentence, or whose last clause begins with "so" and states a count."""
    line_begin = text.rfind("\n", 0, len(text.rstrip())) + 1
    line = text[line_begin:].rstrip()
    if len(states := _OXIDATION_STATE.findall(line[-MAX_CHARS:])) == line.count("oxidation state") == 1:
        begin = text.rfind(states[0])
        return asserted_reading(text, Reading(states[0], "prose", begin, begin + len(states[0])))
    clause = _with_digits(concluding_clause(line))
    for sentence in (_with_digits(text), clause if _COUNTED.search(clause) else ""):
        reading = only_number(_OBSERVER.sub("there are ", sentence.strip(), count=1)) if sentence else None
        if reading is not None:
            return reading._replace(begin=line_begin, end=line_begin + len(line))
    return None


def _with_digits(sentence: str) -> str:
    """Return a sentence with its only spelled-out number in digits, if it is a count or ends the sentence."""
    sentence = _WOULD.sub("", sentence[:MAX_CHARS], count=1) + sentence[MAX_CHARS:]
    numbers = list(SPELLED_NUMBER.finditer(sentence[:MAX_CHARS]))
    if len(numbers) != 1:
        return sentence
    begin, end = numbers[0].span()
    before = sentence[:begin]
    is_count = _BEFORE_COUNT.search(before) and sentence[end : end + 1] == " "
    is_value = _BEFORE_VALUE.search(before) and not sentence[end:].strip(" .")
    value = spelled_number(numbers[0][0])
    return f"{before}{value:g}{sentence[end:]}" if value and (is_count or is_value) else sentence
