"""Cues of options that replace an earlier answer: "Wait, no, C.", "On reflection: D", "I change my answer to D"."""

from __future__ import annotations

import re

from evals.extract import statement_mood
from evals.extract.lazy_pattern import lazy_pattern
from evals.extract.letters_at_cue import OptionCueReader, after_link, is_word_start
from evals.extract.option_letters import parse_letters
from evals.extract.statements import CueReading, Statement

_CORRECTION = lazy_pattern(
    r"[\s,:;.!—–-]{1,6}(?:(?:no|wait|sorry|it['’]s|it\s+is|i\s+meant?|the\s+answer\s+is|should\s+be|it\s+should\s+be)[\s,:;]{1,3}){0,3}",
    re.IGNORECASE,
)

_EXPLAINED_LETTER = lazy_pattern(r"[*_(]{0,3}(?P<letter>[A-J])[)*_]{0,3}:\s+[a-z]")
"""As in "no, C: entropy is extensive"."""


def _read_correction(text: str, begin: int, word: str) -> CueReading | None:
    """Read "Wait, no, C.", "Actually C."."""
    if not is_word_start(text, begin) or not begin:
        return None
    link = _CORRECTION.match(text, begin + len(word), begin + len(word) + 40)
    if link is None:
        return None
    letters, letters_begin, letters_end = parse_letters(
        text, link.end(), link.end() + 60, allow_unmarked=False
    )
    if not letters and (explained := _EXPLAINED_LETTER.match(text, link.end())):
        letters, letters_begin, letters_end = explained["letter"], *explained.span("letter")
    if not letters:
        return None
    return (
        letters,
        Statement(
            "correction", letters_begin, letters_end, statement_mood.mood(text, letters_begin, letters_end)
        ),
        True,
    )


_QUESTION = lazy_pattern(r"(?<![A-Za-z])[A-J][)*_]{0,3}(?:[?？]|\.{3}|…)[\s*_]*$")
_COLON = lazy_pattern(r"\s?[,:—–-]")


def _read_no(text: str, begin: int, word: str) -> CueReading | None:
    """Read "B? No, C." and "C? Yes, C."."""
    is_reply = _QUESTION.search(text, max(0, begin - 12), begin) and _COLON.match(text, begin + len(word))
    return _read_correction(text, begin, word) if is_reply else None


_CONSIDERED = lazy_pattern(
    r"\b(?:almost|nearly|about\s+to|tempted\s+to|considered|should\s+i|wanted\s+to|could|might)\s*$",
    re.IGNORECASE,
)


def _read_change(text: str, begin: int, word: str) -> CueReading | None:
    """Read "I change my answer from B to C"."""
    if _CONSIDERED.search(text, max(0, begin - 20), begin):
        return None
    return _read_changed_answer(text, begin, word)


_read_changed_answer = after_link(
    r"\s+(?:(?:my|the)\s+(?:final\s+)?)?(?:answer|choice)(?:\s+from\s+[*_(]*[A-J][)*_]*)?\s+to\b",
    is_strong=True,
)
CORRECTIONS: dict[str, OptionCueReader] = {
    **dict.fromkeys(
        (
            "wait",
            "actually",
            "correction",
            "rather",
            "sorry",
            "second thought",
            "hmm",
            "reflection",
            "oops",
            "scratch that",
            "edit",
        ),
        _read_correction,
    ),
    **dict.fromkeys(("change", "changing", "changed", "revise", "switch"), _read_change),
    **dict.fromkeys(("no", "yes"), _read_no),
}
"""Cue word -> its reader."""
