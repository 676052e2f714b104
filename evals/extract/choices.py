r"""Extract the option that a reply states and does not retract: the `strict` rule for multiple choice.

>>> letter("ANSWER: C. Note: the second-best choice is D.", 4), letter("The answer is B. Wait, no, C.", 4)
('C', 'C')
>>> choice("Hence $\\boxed{\\dfrac{27}{64}}$.", ["9/64", "27/64"]).value
'B'

Statements are found in the same way for every kind of answer (`reading.py`). This module parses letters and option texts;
further ways to name an option ("option B is correct", "only C remains", 故选C: "so choose C") are in `option_cues.CUES`.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from evals.extract.formatting import half_width
from evals.extract.lazy_pattern import lazy_pattern
from evals.extract.option_closing import true_statements
from evals.extract.option_cues import CUES
from evals.extract.option_layout import read_option_layout
from evals.extract.option_ordinals import names_statement
from evals.extract.option_parser import OptionParser
from evals.extract.reading import (
    Reading,
    asks_next_question,
    before_next_question,
    read_answer,
    retracts,
    unless_retracted,
)
from evals.extract.visible import visible

_LONE_LETTER = lazy_pattern(r"[ (\[*_`$]{0,4}([A-Z])[)\]*_`$]{0,4}[ \t]*(?:$|\n|[.;](?=\s|$))")
_FIRST_LINE_LETTER = lazy_pattern(r"\s{0,8}[(\[*_`$]{0,4}[A-Z][)\]*_`$.]{0,4}[ \t]*\n")
_CLOSING_LINE = re.compile(
    r"[\n.]?[*_\s]*(?:(?:final\s+)?answer[*_\s]*:|(?:(?:so|thus|hence|therefore),?\s+)?the\s+(?:final\s+|correct\s+|best\s+)?answer\s+is:?)[*_\s(]*([A-Z])[*_)\s.]*",
    re.IGNORECASE,
)


def letter(text: str, count: int) -> str | None:
    """Read the single letter, among the first `count`, that the reply states; None if there is none.

    If the last statement names two options, or a letter beyond `count`, there is no answer: earlier statements, which
    the model retracted, must not be credited.

    >>> letter("The answer is A. No, wait: ANSWER: C", 4), letter("I am not sure.", 10), letter("A or B", 4)
    ('C', None, None)
    """
    reading = stated_letters(text, count, single=True)
    return None if reading is None else str(reading.value)


def choice(text: str, options: Sequence[str], *, truncated: bool = False) -> Reading | None:
    """Read the single option that the reply states by letter or by text; the value is the letter in the prompt.

    `truncated`: the reply was cut off; a statement at the very end is not an answer, since it may be incomplete or about to
    be retracted.
    """
    return stated_letters(text, len(options), options, single=True, truncated=truncated)


def stated_letters(
    text: str, count: int, options: Sequence[str] = (), *, single: bool = False, truncated: bool = False
) -> Reading | None:
    """Read the options that the reply states; the value is a string of letters in the order stated.

    With `single`, two options in one statement are not an answer. `truncated` is as in `choice`.
    """
    if not truncated and (closing := _option_of_symbol(_read_closing_line(text), options)) is not None:
        if closing.value >= chr(ord("A") + count):
            return None
        if not visible(text).truncated:
            return closing
    text = half_width(text)
    parser = OptionParser(count, options, single=single)
    reading = None if truncated else _read_before_next_question(text, parser)
    if reading is None:
        reading = read_answer(text, parser, cues=CUES, use_layout=False, truncated=truncated)
    if options and not truncated and reading and reading.form == "cue" and _is_numeral(reading, count):
        reading = None  # "Only statement I": the text of an option
    if reading and parser.names_statements and names_statement(text, reading.begin):
        reading = None  # "the third statement" of those that the options combine
    if reading is None and truncated:
        reading = _complete_reading(read_answer(text, parser, cues=CUES, use_layout=False), text)
    if reading is None and not parser.has_rejected and (not truncated or _FIRST_LINE_LETTER.match(text)):
        reading = read_option_layout(text, parser)
    visible_text = half_width(visible(text).text)
    if options and not parser.has_rejected and not truncated and (reading is None or reading.form == "cue"):
        reading = true_statements(visible_text, parser) or reading
    if single and reading is not None and len(reading.value) > 1:
        rest = " " * reading.end + visible_text[reading.end :]
        reading = read_answer(rest, parser, cues=CUES, use_layout=False) or reading
    reading = _option_of_symbol(unless_retracted(visible_text, reading), options)
    if (
        reading is None
        or not reading.value
        or (single and (len(reading.value) > 1 or _names_another(visible_text, reading)))
        or max(reading.value) >= chr(ord("A") + count)
    ):
        return None
    return reading


def _is_numeral(reading: Reading, count: int) -> bool:
    """Return whether a letter beyond the options is the Roman numeral of a statement."""
    return reading.value in ("I", "V") and reading.value >= chr(ord("A") + count)


def _read_before_next_question(text: str, parser: OptionParser) -> Reading | None:
    """Read the layout of a reply that states no answer before a further question, which the model generated."""
    before = before_next_question(text)
    if before == text or read_answer(before, parser, cues=CUES, use_layout=False) is not None:
        return None
    return read_option_layout(before, parser)


def _option_of_symbol(reading: Reading | None, options: Sequence[str]) -> Reading | None:
    """Return a reading of an option's text, such as R among the options P, Q, R and S, with the option's letter instead."""
    if reading is None or len(reading.value) != 1 or reading.value < chr(ord("A") + len(options)):
        return reading
    indices = [i for i, option in enumerate(options) if option.strip(" $.") == reading.value]
    return reading._replace(value=chr(ord("A") + indices[0])) if len(indices) == 1 else reading


_LETTER_AFTER_BOX = lazy_pattern(
    r"[}\s$\\)\]*_.,]{0,8}(?:(?:which\s+(?:is|corresponds\s+to|matches)|i\.e\.,?|corresponding\s+to|=|→|⇒)\s*)?[(（\[]?(?:option|choice)\s+[*_(]*([A-Z])\b",
    re.IGNORECASE,
)


def _names_another(text: str, reading: Reading) -> bool:
    r"""Return whether another letter directly follows a box with an option's text: `\boxed{12} (option D)`."""
    letter_after = _LETTER_AFTER_BOX.match(text, reading.end) if reading.form == "box" else None
    return letter_after is not None and letter_after[1].upper() != reading.value


def _complete_reading(reading: Reading | None, text: str) -> Reading | None:
    """Return the reading of a truncated reply if it is a lone letter on an answer line, and thus complete."""
    if reading is None or reading.form != "line":
        return None
    lone_letter = _LONE_LETTER.match(text, reading.begin)
    if lone_letter is None or lone_letter[1] != reading.value or retracts(text, lone_letter.end()):
        return None
    return reading


def _read_closing_line(text: str) -> Reading | None:
    """Read a last line or sentence in a form that our prompts request: "ANSWER: B", "The answer is (B)."."""
    end = len(text.rstrip())
    line_begin = max(text.rfind("\n", 0, end), text.rfind(". ", max(0, end - 60), end - 1), end - 80, -1)
    closing = _CLOSING_LINE.fullmatch(text, max(line_begin, 0))
    if closing is None or asks_next_question(text) or not (line_begin <= 0 or text[line_begin] in "\n."):
        return None
    return Reading(closing[1].upper(), "line", closing.start(1), closing.end(1))


def letters_by_layout(text: str, options: Sequence[str]) -> Reading | None:
    """Read the letters of a reply without an answer statement by its layout, for example from its last line."""
    reading = read_option_layout(half_width(text), OptionParser(len(options), options, single=False))
    is_option = reading and reading.value and max(reading.value) < chr(ord("A") + len(options))
    return reading if is_option else None
