r"""Extract the final answer that a reply states; shared by all kinds of answers.

A *statement* is a part of the text that states an answer: a box, a tag pair, a JSON field, an answer line, a sentence
"the answer is". It has a form, an extent (positions in the text) and a mood (`statement_mood.py`). `read_answer` visits
the statements from the last to the first and passes each asserted one to the parser of the requested kind of answer:

>>> def parse(content, form): return int(content) if content.isdigit() else REFUSED
>>> read_answer(r"\boxed{25}. No: the final answer is \boxed{\frac{51}{2}}.", parse) is None
True
>>> read_answer("The answer is 113, not 112.", parse_shortened(parse))
Reading(value=113, form='sentence', begin=14, end=26)

The last asserted statement is final and retracts the earlier ones; if it cannot be parsed, the reply has no answer.
Only a reply without any statement is read by its layout: emphasised words, the last line, or the whole reply.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any, Final, NamedTuple, TypeAlias

from evals.extract.formatting import half_width, shortened_answers
from evals.extract.layout import answer_candidates
from evals.extract.lazy_pattern import lazy_pattern
from evals.extract.statements import (
    EARLY_CHARS,
    INCOMPLETE_BOX,
    LATE_CHARS,
    MAX_CHARS,
    MAX_STATEMENT_CHARS,
    NO_CUES,
    Cues,
    Form,
    statements_backwards,
)
from evals.extract.visible import visible

MAX_PARSED_CHARS = 40_000
"""Maximum total length in characters of the statements that are parsed."""
PROSE: Final = frozenset(("cue", "mark", "emphasis", "last line", "prose"))
"""Forms that are not introduced as an answer; an answer in one of these is marked as suspect."""


class Reading(NamedTuple):
    """An extracted answer with its form and position."""

    value: Any
    form: Form
    begin: int
    end: int


class _Refused:
    """The result of a parser for a statement of two answers, or of another kind of answer."""

    __slots__ = ()

    def __repr__(self) -> str:
        return "REFUSED"


REFUSED: Final = _Refused()
Parser: TypeAlias = Callable[[str, Form], Any]
"""(content, form) -> the answer; REFUSED if it is of another kind, None if the content is not an answer."""

_NEXT_QUESTION = lazy_pattern(
    r"\n[#>*_ \t]{0,8}(?:(?:next|new|follow-?up|another|second)\s+)?(?:question|problem|exercise|human|user|q|问题|题目|下一题|例题)[*_\s]{0,3}(?:\d{1,3}[*_\s]{0,3})?[:：.]",
    re.IGNORECASE,
)
"""The beginning of a further question that the model generates."""
_CORRECTS = lazy_pattern(
    r"(?:\b(?:wait|actually|no|correction|corrected|sorry|scratch\s+that|oops|hmm|rather|i\s+mean|on\s+second\s+thought|let\s+me\s+correct|apologies|my\s+mistake|however|but)"
    r"|不对|等等|更正|不，|纠正|抱歉|实际上|其实|但)"
    r"[^.。\n]{0,40}$",
    re.IGNORECASE,
)
_RETRACTS = lazy_pattern(
    r"\bwait\b|\bmade\s+an?\s+(?:error|mistake|slip)|\bmy\s+mistake|(?:that|this|it)(?:['’]s|\s+is|\s+was)\s+(?:wrong|incorrect|not\s+right)|\blet\s+me\s+(?:re-?\s?\w+|double|check)|\breconsider|\bscratch\s+that|\bcorrection\b|不对|等等|更正|重新",
    re.IGNORECASE,
)
_UNFINISHED = lazy_pattern(
    r"\b(?:so|and|the|is|are|of|to|we|then|that|because|which|a|an|let|in|with|by|for|or)$", re.IGNORECASE
)


def parse_shortened(parse: Parser) -> Parser:
    """Return a parser that tries a statement without formatting, then without the explanation that follows."""

    def parse_versions(content: str, form: Form) -> Any:
        outcome = None
        for version in shortened_answers(content):
            value = parse(version, form) if version else None
            if value is not None and value is not REFUSED:
                return value
            outcome = outcome or value
        return outcome

    return parse_versions


def read_answer(
    text: str, parse: Parser, *, cues: Cues = NO_CUES, use_layout: bool = True, truncated: bool = False
) -> Reading | None:
    """Return the last answer that the reply states and does not retract; None if there is none that can be parsed.

    With `use_layout`, a reply without any statement is read by its layout. With `truncated`, an answer at the very end of
    the reply may be incomplete and is not read.
    """
    text, unclosed = visible(text)
    if unclosed:
        return None
    text = half_width(text)
    begin = max(0, len(text) - MAX_CHARS)
    next_question = _NEXT_QUESTION.search(text, begin)
    if next_question and not _NEXT_QUESTION.match("\n" + text[begin : begin + 60].lstrip()):
        earlier = _last_reading(text, begin, next_question.start(), parse, cues)
        if isinstance(earlier, Reading):
            return earlier
    last = _last_reading(text, begin, len(text), parse, cues)
    if isinstance(last, Reading):
        return None if truncated and _may_change(text, last) else last
    if last is REFUSED or not use_layout or truncated or breaks_off(text):
        return None
    return _read_layout(text, begin, parse)


def _may_change(text: str, last: Reading) -> bool:
    """Return whether the missing rest of a truncated reply could change its answer."""
    return last.end >= len(text.rstrip()) or retracts(text, last.end)


def retracts(text: str, begin: int) -> bool:
    """Return whether a reply retracts or checks its answer after a position."""
    return _RETRACTS.search(text, begin) is not None


def breaks_off(text: str) -> bool:
    """Return whether a long reply ends in the middle of a sentence, regardless of its finish reason."""
    end = len(text.rstrip())
    if end > EARLY_CHARS and _UNFINISHED.search(text, end - 12, end):
        return True
    return (
        end > 1_200
        and end - text.rfind("\n", 0, end) > 80
        and (text[end - 1].isalnum() or text[end - 1] in ",;:(-+=&\\")
    )


def _last_reading(text: str, begin: int, end: int, parse: Parser, cues: Cues) -> Any:
    """Return the final Reading of a part of the text, REFUSED, or None if there is no statement."""
    weak_reading: Reading | None = None
    remaining = MAX_PARSED_CHARS
    for statement, value, strong in statements_backwards(text, begin, end, cues):
        remaining -= statement.end - statement.begin
        if remaining < 0:
            break
        if statement.mood != "asserted":
            continue
        reading = None
        if value is None:
            content = text[statement.begin : statement.end]
            value = REFUSED if content in INCOMPLETE_BOX else parse(content, statement.form)
        if value is None:
            continue
        if value is not REFUSED:
            reading = Reading(value, statement.form, statement.begin, statement.end)
        if not strong:
            if weak_reading is None and (
                statement.end > end - LATE_CHARS or statement.begin < begin + EARLY_CHARS
            ):
                weak_reading = reading
            continue
        if weak_reading is not None and (
            reading is None or corrects(text, statement.end, weak_reading.begin)
        ):
            return weak_reading
        return reading or REFUSED
    return weak_reading


def corrects(text: str, end: int, begin: int) -> bool:
    """Return whether the text between two statements retracts the first one."""
    if begin <= end:
        return False
    between = text[max(end, begin - 300) : begin]
    return _CORRECTS.search(between[-60:]) is not None or _RETRACTS.search(between) is not None


def before_next_question(text: str) -> str:
    """Return a reply up to a further question that the model generates."""
    next_question = _NEXT_QUESTION.search(text, max(0, len(text) - MAX_CHARS))
    return text[: next_question.start()] if next_question and text[: next_question.start()].strip() else text


def asks_next_question(text: str) -> bool:
    """Return whether the reply contains a further question that the model generates."""
    return _NEXT_QUESTION.search(text) is not None


def read_layout(text: str, parse: Parser) -> Reading | None:
    """Read a reply without any statement by its layout."""
    text, unclosed = visible(half_width(text))
    return None if unclosed or breaks_off(text) else _read_layout(text, max(0, len(text) - MAX_CHARS), parse)


def _read_layout(text: str, begin: int, parse: Parser) -> Reading | None:
    """Read the whole reply, its only emphasised answer, its last line, or the end of its last sentence."""
    tail_begin = max(begin, len(text) - MAX_STATEMENT_CHARS)
    for statement in answer_candidates(text, tail_begin):
        content = text[statement.begin : statement.end]
        value = parse(content, statement.form)
        if value is not None and value is not REFUSED:
            return Reading(value, statement.form, statement.begin, statement.end)
        if value is REFUSED and statement.form == "emphasis":
            return None
    return None
