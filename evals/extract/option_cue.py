"""Read option letters after a cue word; shared by the tables of such words."""

from __future__ import annotations

import re
from typing import Any

from evals.extract import moods
from evals.extract.lazy_pattern import lazy_pattern
from evals.extract.option_letters import listed
from evals.extract.statements import Form, Statement

WINDOW = 320
MARGIN = 120
_IF = lazy_pattern(r"(?:^|[.;:!?\n]\s*)if\b[^.;:!?\n]*,\s*(?:then\s+)?$", re.IGNORECASE)
"""Before "it's B": the answer to one case."""
Found = tuple[Any, Statement, bool] | None


def cue(
    text: str,
    at: int,
    begin: int,
    *,
    strong: bool,
    firm: bool,
    form: Form = "cue",
    run: bool = False,
    chosen: bool = False,
) -> Found:
    """Read the letters after a cue; `firm`: they need not be marked as letters."""
    letters, first, last = listed(
        text, begin, min(len(text), begin + WINDOW), strong=firm, run=run, chosen=chosen
    )
    if not letters:
        return None
    mood = moods.mood(text, at, last, link=text[at:first])
    if not strong and mood == "asserted" and _IF.search(text, max(0, at - MARGIN), at):
        mood = "conditional"
    return letters, Statement(form, first, last, mood), strong


def begins_word(text: str, at: int) -> bool:
    """Return whether a word begins here."""
    return not (at and text[at - 1].isascii() and (text[at - 1].isalnum() or text[at - 1] in "/_"))
