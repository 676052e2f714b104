"""The number that a reply states as its answer, with its unit and its position.

>>> stated("The band gap is **1.42 eV**.", "eV").value.value
1.42
"""

from __future__ import annotations

import re
from typing import Any

from evals.extract.cues import (
    after_correction,
    asserted,
    concluded,
    is_alternative,
    narrowed,
    opens_tag,
    undecided,
    undenied,
)
from evals.extract.lazy_pattern import lazy_pattern
from evals.extract.moods import mood
from evals.extract.peel import half_width
from evals.extract.reading import REFUSED, Reading, own_part, read, runs_on
from evals.extract.shapes import gives_up
from evals.extract.statements import Cue, Cues, Form, Statement
from evals.extract.units import Quantity, convertible, plain, quantities, stated_number
from evals.extract.visible import visible

LONGEST = 100_000
"""Number of characters read, from the end of a reply."""
_TAIL, _SPANS = 4_000, 20
"""Without a marked answer: numbers of characters, and of bold spans among them, examined from the end."""
_SHORT = 60
"""Length limit: a longer statement without a digit is ignored."""


def stated(text: str, unit: str = "") -> Reading | None:
    """Return the number that a reply states: in its box, tag, answer line or "answer is", as a Quantity with its position.

    Without any of these, the only number in bold, the only number of the reply, the only one in a unit that fits, the
    one that its last line is or gives ("... is 1.42 eV."). A number that merely comes last is not an answer, and an answer
    that is stated without a number ("Answer: unknown", "5 or 6") is not a number, whatever precedes it.
    """
    shown, in_reasoning = visible(text[-LONGEST:])
    if in_reasoning:
        return None
    offset, refused = max(0, len(text) - LONGEST), False

    def parse(content: str, form: Form) -> Any:
        nonlocal refused
        settled = None if undecided(content[:_SHORT]) else undenied(content)
        quantity = None if settled is None else stated_number(settled, unit)
        if quantity is None and (re.search(r"\d", content) or len(content) <= _SHORT):
            refused = True
            return REFUSED
        return quantity

    shown = own_part(half_width(shown))
    reading = read(shown, parse, cues=Cues([Cue("number", _number_tag)]), shaped=False)
    if reading is not None and is_alternative(shown, reading):
        return None
    if reading is not None:
        final = concluded(shown, reading, parse)
        if _comparable(reading.value, final.value, unit):
            reading = final
        reading = after_correction(shown, narrowed(shown, reading), parse, lambda rest: _by_shape(rest, unit))
    elif not refused:
        reading = _by_shape(shown, unit)
    return reading and reading._replace(begin=reading.begin + offset, end=reading.end + offset)


def _comparable(boxed: Quantity, concluded: Quantity, unit: str) -> bool:
    """Return whether a conclusion can be the answer as well as the box before it can: a number of the same dimension."""
    if bool(boxed.unit) != bool(concluded.unit):
        return bool(concluded.unit) and (not unit or convertible(concluded.unit, unit))
    return not boxed.unit or convertible(concluded.unit, boxed.unit)


def _by_shape(text: str, unit: str) -> Reading | None:
    """Read a reply without a statement: its number in bold, its only number, or its last line."""
    last_line = text.rfind("\n", 0, len(text.rstrip())) + 1
    if gives_up(text) or runs_on(text) or text.rstrip().endswith("?") or undecided(text, last_line):
        return None
    return _in_bold(text, unit) or _only_one(text, unit) or _in_last_line(text, unit)


def _number_tag(text: str, at: int) -> tuple[Any, Statement, bool] | None:
    """Return the text between <NUMBER> and </NUMBER>."""
    inside = opens_tag(text, at, at + len("number"))
    close = text.find("<", inside, inside + 200) if inside else -1
    return (None, Statement("tag", inside, close), True) if close > inside else None


_BOLD = lazy_pattern(r"\*\*([^*\n]{1,300})\*\*|`([^`\n]{1,300})`")


def _in_bold(text: str, unit: str) -> Reading | None:
    """Read the only number in bold; of several, the only one whose unit fits."""
    spans = [*_BOLD.finditer(text, max(0, len(text) - _TAIL))][-_SPANS:]
    readings = [
        Reading(quantity, "emphasis", span.start(), span.end())
        for span in spans
        if (quantity := stated_number(span[span.lastindex or 1], unit)) is not None
        and mood(text, span.start(), span.end()) == "asserted"
    ]
    readings = [reading for reading in readings if _fits(reading.value, unit)] or readings
    return readings[-1] if len({reading.value.value for reading in readings}) == 1 else None


def _fits(quantity: Quantity, unit: str) -> bool:
    """Return whether a number has a unit that can be converted to the target's."""
    return bool(unit and quantity.unit) and convertible(quantity.unit, unit)


def _only_one(text: str, unit: str) -> Reading | None:
    """Read the only number of a reply, or the only one in a unit that fits."""
    numbers = quantities(text)
    numbers = [number for number in numbers if _fits(number, unit)] or numbers
    if len(numbers) != 1:
        return None
    shown = numbers[0].text
    begin = text.find(shown)
    is_count = not _ENDS.match(text, begin + len(shown)) or _COUNTS.search(text, max(0, begin - 20), begin)
    if begin >= 0 and is_count:
        return None
    return asserted(text, Reading(numbers[0], "prose", 0, len(text.rstrip())))


_COUNTS = lazy_pattern(
    r"\b(?:steps?|cases?|parts?|questions?|problems?|options?|equations?|eq\.?|figures?|tables?|sections?|methods?|approach)\s*$|(?:步骤|第)\s*$|(?:^|\n)\s*$",
    re.IGNORECASE,
)
"""What precedes a number that only counts, e.g. "Step 1", or at the beginning of a line."""
_ENDS = lazy_pattern(
    r"[*_`$\s)\]}%]*(?:\Z|[|.,;:!。，；、(\n—–±~\\]|[\u4e00-\u9fff]|\s(?:at|for|with|and|in|which|because|as|on|by|from|under|but|or|based|given|when)\b)"
)
"""What may follow the only number of a reply: "3 cases to consider" states none."""


def _in_last_line(text: str, unit: str) -> Reading | None:
    """Read the last line: nothing but a number, or a sentence that gives one in a unit that fits."""
    end = len(text.rstrip())
    begin = text.rfind("\n", 0, end) + 1
    line = text[begin:end]
    quantity = stated_number(line, unit)
    if quantity is None:
        return None
    whole = plain(line).strip("*`. ") == quantity.text.rstrip(".")
    if not whole and not _fits(quantity, unit):
        return None
    return asserted(text, Reading(quantity, "last line", begin, end))
