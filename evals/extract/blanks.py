"""Long runs of white space in a reply, shortened for readers and scorers.

Many patterns begin with `\\s*` and look at each blank of a run as a beginning, so a run of 60,000 blanks would take them
minutes; no answer depends on more than `MOST`. Reasoning that was blanked out leaves such runs, too.

>>> text, removed = shorten("ANSWER:" + " " * 1000 + "B")
>>> len(text), original(len(text) - 1, removed)
(72, 1007)
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import TypeAlias

MOST = 64
"""White-space characters of a run that are kept: its first ones, and up to two line breaks."""
_RUN = re.compile(rf"(?<!\s)\s{{{MOST}}}\s++")

Removed: TypeAlias = Sequence[tuple[int, int]]
"""(position in the shortened text behind which characters are missing, number of them), in order."""


def shorten(text: str) -> tuple[str, Removed]:
    """Return the text with each run of white space cut to `MOST` characters, and what was removed.

    What follows a run on a line or paragraph of its own still does.
    """
    if len(text) <= MOST or (run := _RUN.search(text)) is None:
        return text, ()
    pieces, removed, end, length = [], [], 0, 0
    while run is not None:
        lines = min(2, text.count("\n", run.start() + MOST, run.end()))
        kept = text[end : run.start() + MOST - lines] + "\n" * lines
        pieces.append(kept)
        length += len(kept)
        removed.append((length, run.end() - run.start() - MOST))
        end = run.end()
        run = _RUN.search(text, end)
    return "".join((*pieces, text[end:])), removed


def original(position: int, removed: Removed) -> int:
    """Return the position in the original text of one in the shortened text."""
    return position + sum(count for place, count in removed if place <= position)
