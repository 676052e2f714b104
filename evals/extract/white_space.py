"""Shorten long runs of white space in a reply before it is read or scored.

Many patterns begin with `\\s*`; they try to match at each space of a run, which takes minutes for 60,000 spaces. No answer
depends on more than `MAX_RUN` of them. Reasoning that was replaced by spaces is such a run.

>>> text, removed = shorten_runs("ANSWER:" + " " * 1000 + "B")
>>> len(text), original_position(len(text) - 1, removed)
(72, 1007)
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import TypeAlias

MAX_RUN = 64
"""Length of a shortened run in characters."""
_LONG_RUN = re.compile(rf"(?<!\s)\s{{{MAX_RUN}}}\s++")

RemovedRuns: TypeAlias = Sequence[tuple[int, int]]
"""(position in the shortened text, number of characters removed there), in ascending order."""


def shorten_runs(text: str) -> tuple[str, RemovedRuns]:
    """Return the text with each run of white space truncated to `MAX_RUN` characters, and the removed runs.

    A line or paragraph break in a run is kept.
    """
    if len(text) <= MAX_RUN or (run := _LONG_RUN.search(text)) is None:
        return text, ()
    pieces, removed, end, length = [], [], 0, 0
    while run is not None:
        line_breaks = min(2, text.count("\n", run.start() + MAX_RUN, run.end()))
        piece = text[end : run.start() + MAX_RUN - line_breaks] + "\n" * line_breaks
        pieces.append(piece)
        length += len(piece)
        removed.append((length, run.end() - run.start() - MAX_RUN))
        end = run.end()
        run = _LONG_RUN.search(text, end)
    return "".join((*pieces, text[end:])), removed


def original_position(position: int, removed: RemovedRuns) -> int:
    """Return the position in the original text for a position in the shortened text."""
    return position + sum(count for removed_at, count in removed if removed_at <= position)
