r"""Find where a reply states its answer, and whether that still holds at the end: the same for every kind of answer.

A *statement* is a part of the text that states an answer: a box, a tag pair, a JSON field, an answer line, a sentence
"the answer is". It has a form, an extent (positions in the text) and a mood (`moods.py`). `read` goes through the
statements from the last to the first and passes each asserted one to the parser of the wanted kind of answer:

>>> def parse(content, form): return int(content) if content.isdigit() else REFUSED
>>> read(r"\boxed{25}. No: the final answer is \boxed{\frac{51}{2}}.", parse) is None
True
>>> read("The answer is 113, not 112.", by_heads(parse))
Reading(value=113, form='sentence', begin=14, end=26)

The last asserted statement holds. If it cannot be parsed, the reply has no answer: earlier statements, which it
retracted, are not used. Only a reply without any statement is read by its layout: the only marked line of a list, the
emphasised words, the last line, or the whole reply.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any, Final, NamedTuple, TypeAlias

from evals.extract.lazy_pattern import lazy_pattern
from evals.extract.peel import half_width, heads
from evals.extract.shapes import shapes
from evals.extract.statements import EARLY, EXTENT, LATE, LONGEST, NO_CUES, TORN, Cues, Form, backwards
from evals.extract.visible import visible

BUDGET = 40_000
"""Total length in characters of the statements that are parsed, from the last one on."""
PROSE: Final = frozenset(("cue", "mark", "emphasis", "last line", "prose"))
"""Forms without an answer marker; an answer read from one of these is marked suspect."""


class Reading(NamedTuple):
    """What was read, and its position."""

    value: Any
    form: Form
    begin: int
    end: int


class _Refused:
    """Result of a parser for a statement of two answers, or of another kind of answer."""

    __slots__ = ()

    def __repr__(self) -> str:
        return "REFUSED"


REFUSED: Final = _Refused()
Parser: TypeAlias = Callable[[str, Form], Any]
"""(content, form) -> the answer; REFUSED: it states a different kind of answer; None: it states nothing."""

_TURN = lazy_pattern(
    r"\n[#>*_ \t]{0,8}(?:(?:next|new|follow-?up|another|second)\s+)?(?:question|problem|exercise|human|user|q|问题|题目|下一题|例题)[*_\s]{0,3}(?:\d{1,3}[*_\s]{0,3})?[:：.]",
    re.IGNORECASE,
)
"""The beginning of a further question that the model asks itself."""
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


def by_heads(parse: Parser) -> Parser:
    """Return a parser that tries a statement as a whole, without formatting, then without the explanation that follows."""

    def first(content: str, form: Form) -> Any:
        outcome = None
        for head in heads(content):
            value = parse(head, form) if head else None
            if value is not None and value is not REFUSED:
                return value
            outcome = outcome or value
        return outcome

    return first


def read(
    text: str,
    parse: Parser,
    *,
    cues: Cues = NO_CUES,
    shaped: bool = True,
    truncated: bool = False,
) -> Reading | None:
    """Return what the reply states last and does not retract; None if it states nothing, or nothing that can be parsed.

    `shaped`: read a reply without any statement by its layout. `truncated`: the reply was cut off, so an answer at its
    very end may be incomplete and is not read.
    """
    text, unclosed = visible(text)
    if unclosed:
        return None
    text = half_width(text)
    begin = max(0, len(text) - LONGEST)
    turn = _TURN.search(text, begin)
    if turn and not _TURN.match("\n" + text[begin : begin + 60].lstrip()):
        earlier = _last(text, begin, turn.start(), parse, cues)
        if isinstance(earlier, Reading):
            return earlier
    last = _last(text, begin, len(text), parse, cues)
    if isinstance(last, Reading):
        return None if truncated and _may_go_on(text, last) else last
    if last is REFUSED or not shaped or truncated or runs_on(text):
        return None
    return _by_shape(text, begin, parse)


def _may_go_on(text: str, last: Reading) -> bool:
    """Return whether the rest of a truncated reply could change its answer: it is at the end, or is being retracted."""
    return last.end >= len(text.rstrip()) or retracts(text, last.end)


def retracts(text: str, begin: int) -> bool:
    """Return whether a reply retracts something, or begins to check it, after a position."""
    return _RETRACTS.search(text, begin) is not None


def runs_on(text: str) -> bool:
    """Return whether a long reply breaks off in the middle of a sentence, whatever finish reason the server gave."""
    end = len(text.rstrip())
    if end > EARLY and _UNFINISHED.search(text, end - 12, end):
        return True
    return (
        end > 1_200
        and end - text.rfind("\n", 0, end) > 80
        and (text[end - 1].isalnum() or text[end - 1] in ",;:(-+=&\\")
    )


def _last(text: str, begin: int, end: int, parse: Parser, cues: Cues) -> Any:
    """Return the Reading that holds in a part of the text, REFUSED, or None if nothing is stated."""
    weak: Reading | None = None
    left = BUDGET
    for statement, value, strong in backwards(text, begin, end, cues):
        left -= statement.end - statement.begin
        if left < 0:
            break
        if statement.mood != "asserted":
            continue
        reading = None
        if value is None:
            content = text[statement.begin : statement.end]
            value = REFUSED if content in TORN else parse(content, statement.form)
        if value is None:
            continue
        if value is not REFUSED:
            reading = Reading(value, statement.form, statement.begin, statement.end)
        if not strong:
            if weak is None and (statement.end > end - LATE or statement.begin < begin + EARLY):
                weak = reading
            continue
        if weak is not None and (reading is None or corrects(text, statement.end, weak.begin)):
            return weak
        return reading or REFUSED
    return weak


def corrects(text: str, end: int, begin: int) -> bool:
    """Return whether the text between two statements retracts the first one."""
    if begin <= end:
        return False
    between = text[max(end, begin - 300) : begin]
    return _CORRECTS.search(between[-60:]) is not None or _RETRACTS.search(between) is not None


def own_part(text: str) -> str:
    """Return a reply up to the point at which the model continues with a question of its own."""
    turn = _TURN.search(text, max(0, len(text) - LONGEST))
    return text[: turn.start()] if turn and text[: turn.start()].strip() else text


def goes_on(text: str) -> bool:
    """Return whether the model asks itself a further question."""
    return _TURN.search(text) is not None


def by_shape(text: str, parse: Parser) -> Reading | None:
    """Read a reply by its layout, given that it states nothing."""
    text, unclosed = visible(half_width(text))
    return None if unclosed or runs_on(text) else _by_shape(text, max(0, len(text) - LONGEST), parse)


def _by_shape(text: str, begin: int, parse: Parser) -> Reading | None:
    """Read the whole reply, its only emphasised answer, its last line, or the end of its last sentence."""
    tail_begin = max(begin, len(text) - EXTENT)
    for statement in shapes(text, tail_begin):
        content = text[statement.begin : statement.end]
        value = parse(content, statement.form)
        if value is not None and value is not REFUSED:
            return Reading(value, statement.form, statement.begin, statement.end)
        if value is REFUSED and statement.form == "emphasis":
            return None
    return None
