"""Sample pages of the exported leaderboard: some samples of one run, those that are not right first, as escaped text."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from html import escape

from evals.dashboard.foreign.text import shorten, visible
from evals.dashboard.tables import sample as samples
from evals.dashboard.tables.frames import Entry
from evals.dashboard.tables.leaderboard import Board, Row
from evals.dashboard.tables.sample import Item
from evals.types import Failure

LONGEST = 6_000
"""Characters of one prompt or reply on a page."""


def names(board: Board, labels: Sequence[str]) -> dict[tuple[Row, str], str]:
    """Return the file of each measured cell, relative to the leaderboard."""
    return {
        (row, label): f"samples/{_slug(cell.entry.card.config.suite)}-{_slug(cell.entry.card.run)}.html"
        for (row, label), cell in board.cells.items()
        if cell.entry and label in labels
    }


def _slug(name: str) -> str:
    return re.sub(r"[^A-Za-z0-9.-]+", "-", name)


def body(entry: Entry, title: str, *, most: int) -> Iterator[str]:
    """Yield the page of one run; of a gated suite only with ids and verdicts."""
    items = samples.items(entry, most=most)
    yield f"<h1>{escape(title)}</h1>"
    yield f'<p><a href="../index.html">Leaderboard</a> · run {escape(entry.card.run)}</p>'
    yield (
        f'<p class="pale">{len(items):,} of {entry.card.expected:,} samples, those that are not right first. '
        f"{'The suite is gated: its texts are not shown.' if entry.card.gated else 'What was read as the answer is marked.'}</p>"
    )
    for item in items:
        group = f", {item.group}" if item.group and not entry.card.gated else ""
        yield f"<h2>{_text(item.id)}{_text(group)}: {escape(item.verdict)}</h2>"
        if not entry.card.gated:
            yield from _texts(item)


def _texts(item: Item) -> Iterator[str]:
    yield f"<details><summary>Question</summary><pre>{_text(item.asked)}</pre></details>"
    answer = item.score.answer if item.score else None
    target = item.sample.target if item.sample else ""
    gold = ", ".join(target) if isinstance(target, tuple) else str(target)
    yield f"<p>read: {_text(answer or 'no answer')} · gold: {_text(gold)}</p>"
    if item.score and item.score.why:
        yield f'<p class="pale">{_text(item.score.why)}</p>'
    if isinstance(item.outcome, Failure):
        yield f"<p>failed: {_text(item.outcome.message)}</p>"
    elif item.reply:
        short = shorten(item.reply.text, LONGEST, mark=samples.where_read(item))
        start, end = short.mark or (len(short.text), len(short.text))
        marked = f"<mark>{escape(visible(short.text[start:end]))}</mark>" if end > start else ""
        before, after = (escape(visible(part)) for part in (short.text[:start], short.text[end:]))
        yield f"<pre>{before}{marked}{after}</pre>"


def _text(text: str) -> str:
    return escape(visible(shorten(text, LONGEST).text))
