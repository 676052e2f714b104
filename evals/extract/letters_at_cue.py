"""Read option letters beside a cue word, i.e. a word that may introduce an answer."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import TypeAlias

from evals.extract import statement_mood
from evals.extract.lazy_pattern import lazy_pattern
from evals.extract.option_letters import parse_letters
from evals.extract.statements import LABELLED_LINE, CueReading, Form, Statement, statement_after_link

OptionCueReader: TypeAlias = Callable[[str, int, str], CueReading | None]
"""(text, position of the cue word, cue word) -> the option beside the word; None if the word does not introduce one."""
MAX_CUE_CHARS, MAX_CONTEXT_CHARS = 320, 120
"""Maximum numbers of characters that are examined after and before a cue word."""
_IF_CLAUSE = lazy_pattern(
    r"(?:^|[.;:!?\n]\s*)(?:if|unless|provided|providing|as\s+long\s+as|in\s+case)\b(?!\s+(?:(?:i|we|you|one)\s+(?:had|have|must|were|am|are|need|look|consider|compute|calculate|use|apply|check|compare|examine|recall|note|plug|substitute|think|go)|forced|pressed|pushed|asked|necessary|needed)\b)[^.;:!?\n]*,\s*(?:then\s+)?(?:(?:option|choice|statement)\s+[*_(]*|the\s+)?$",
    re.IGNORECASE,
)
"""A condition before "it's B", which then states the answer for a single case."""
_CASE = r"(?:if|when|with|without|in|for)\b"
_AFTER_FIRST_CASE = lazy_pattern(
    rf"(?:^|[.!?\n]\s*){_CASE}[^.;:!?\n]*(?-i:\b[A-J]\b)[^.;:!?\n]*;\s*(?:but\s+|and\s+)?(?:{_CASE}|otherwise)[^.;:!?\n]*$",
    re.IGNORECASE,
)
_IN_FIRST_CASE = lazy_pattern(rf"(?:^|[.!?\n]\s*){_CASE}[^.;:!?\n]*$", re.IGNORECASE)
_BEFORE_OTHER_CASE = lazy_pattern(
    rf"[^.;:!?\n]{{0,60}};\s*(?:but\s+|and\s+)?(?:{_CASE}|otherwise)[^.;:!?\n]{{0,60}}(?-i:\b[A-J]\b)",
    re.IGNORECASE,
)
"""Two cases, as in "For plants it is C; for animals it is A"."""


def read_cue(
    text: str,
    cue_begin: int,
    link_end: int,
    *,
    is_strong: bool,
    allow_unmarked: bool,
    form: Form = "cue",
    allow_run: bool = False,
    after_choice: bool = False,
) -> CueReading | None:
    """Read the letters after a cue and its link (see `option_cues`); for `allow_...` and `after_choice` see `parse_letters`."""
    letters, letters_begin, letters_end = parse_letters(
        text, link_end, link_end + MAX_CUE_CHARS,
        allow_unmarked=allow_unmarked, allow_run=allow_run, after_choice=after_choice,
    )  # fmt: skip
    if not letters:
        return None
    mood = statement_mood.mood(text, cue_begin, letters_end, link=text[cue_begin:letters_begin])
    if mood == "asserted" and is_for_one_case(text, cue_begin):
        mood = "conditional"
    return letters, Statement(form, letters_begin, letters_end, mood), is_strong


def is_for_one_case(text: str, position: int) -> bool:
    """Return whether an answer at `position` follows a condition, or is that of the first or second of two cases."""
    begin = max(0, position - MAX_CONTEXT_CHARS)
    return bool(
        _IF_CLAUSE.search(text, begin, position)
        or _AFTER_FIRST_CASE.search(text, begin, position)
        or (_BEFORE_OTHER_CASE.match(text, position) and _IN_FIRST_CASE.search(text, begin, position))
    )


def read_letter_list(text: str, begin: int, link: re.Match[str]) -> CueReading | None:
    """Return the lines below "the correct options are:", to be parsed; None if they are not labelled with letters."""
    lines = statement_after_link(text, begin, link, len(text))
    if lines is None or "\n" not in text[link.end() - 1 : lines.begin]:
        return None
    label = LABELLED_LINE.match(text, lines.begin)
    return (None, lines, True) if label and label[2].isupper() else None


def letter_at(text: str, position: int, *, is_strong: bool) -> CueReading:
    """Return the letter at a position as the answer."""
    mood = "conditional" if is_for_one_case(text, position) else statement_mood.mood(text, position, position)
    return text[position], Statement("cue", position, position + 1, mood), is_strong


def is_word_start(text: str, position: int) -> bool:
    """Return whether a word begins at a position."""
    previous = text[max(0, position - 1) : position]
    return not previous.isascii() or not (previous.isalnum() or previous in ("/", "_"))


def after_link(pattern: str, *, is_strong: bool) -> OptionCueReader:
    """Return a function that reads the option after a word such as "choose" and a link that matches `pattern`."""
    link_pattern = lazy_pattern(pattern, re.IGNORECASE)

    def read(text: str, begin: int, word: str) -> CueReading | None:
        if not is_word_start(text, begin):
            return None
        link = link_pattern.match(text, begin + len(word), begin + len(word) + 60)
        if link is None:
            return None
        return read_cue(
            text, begin, link.end(), is_strong=is_strong, allow_unmarked=False, after_choice=is_strong
        )

    return read


_TAG_NAME = lazy_pattern(
    r"\s*(?:final|choice|option|final[_-]?(?:choice|option|answer)|selection|selected|letter|result|output|solution|response|prediction|conclusion|verdict|pick)\s*>",
    re.IGNORECASE,
)
_MAX_TAG_CHARS = 60
_TAGGED_LETTERS = lazy_pattern(
    r">(?P<letters>\s*[*_(\[]*(?:[A-Z]|[A-J](?:(?:[\s)\]*_]|[,;/&]|\band\b){0,6}[\s(\[*_]{0,4}[A-J]){1,9}))[)\]*_.]*\s*$"
)
"""One letter; or several letters from A to J, for questions with several right options."""


def read_closing_tag(text: str, begin: int, word: str) -> CueReading | None:
    """Read `<final>C</final>` and `<choice>A, C</choice>`."""
    if not _TAG_NAME.match(text, begin + 2, begin + 30):
        return None
    opening_end = text.rfind(">", max(0, begin - _MAX_TAG_CHARS), begin)
    tagged = _TAGGED_LETTERS.match(text, opening_end, begin) if opening_end >= 0 else None
    if tagged is None:
        return None
    letters = "".join(character for character in tagged["letters"] if character.isupper())
    return letters, Statement("tag", *tagged.span("letters")), True
