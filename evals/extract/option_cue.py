"""Read option letters after a cue word; shared by the tables of cues."""

from __future__ import annotations

import re
from typing import Any

from evals.extract import statement_mood
from evals.extract.lazy_pattern import lazy_pattern
from evals.extract.option_letters import parse_letters
from evals.extract.statements import Form, Statement

MAX_CUE_CHARS = 320
MAX_CONTEXT_CHARS = 120
_IF = lazy_pattern(r"(?:^|[.;:!?\n]\s*)if\b[^.;:!?\n]*,\s*(?:then\s+)?$", re.IGNORECASE)
"""Before "it's B": the answer to one case."""
CueResult = tuple[Any, Statement, bool] | None


def read_cue(
    text: str,
    at: int,
    begin: int,
    *,
    strong: bool,
    firm: bool,
    form: Form = "cue",
    run: bool = False,
    chosen: bool = False,
) -> CueResult:
    """Read the letters after a cue; `firm`: they need not be marked as letters."""
    letters, first, last = parse_letters(
        text, begin, min(len(text), begin + MAX_CUE_CHARS), strong=firm, run=run, chosen=chosen
    )
    if not letters:
        return None
    mood = statement_mood.mood(text, at, last, link=text[at:first])
    if not strong and mood == "asserted" and _IF.search(text, max(0, at - MAX_CONTEXT_CHARS), at):
        mood = "conditional"
    return letters, Statement(form, first, last, mood), strong


def is_word_start(text: str, at: int) -> bool:
    """Return whether a word begins at a position."""
    return not (at and text[at - 1].isascii() and (text[at - 1].isalnum() or text[at - 1] in "/_"))
