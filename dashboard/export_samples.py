"""Pages of the exported leaderboard that show samples of a run as escaped text, starting with those that are not right."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from html import escape

from evals.dashboard.tables import sample as samples
from evals.dashboard.tables.frames import Entry
from evals.dashboard.tables.leaderboard import Board, Row
from evals.dashboard.tables.sample import Item
from evals.dashboard.untrusted.text import shorten, visible
from evals.types import Failure

MAX_TEXT_CHARS = 6_000
"""Maximum length of each text on a page."""


def page_paths(board: Board, labels: Sequence[str]) -> dict[tuple[Row, str], str]:
    """Return the path of each measured cell's page, relative to the leaderboard.

    Imported runs of several models may share an id; a number distinguishes their pages.
    """
    paths: dict[tuple[Row, str], str] = {}
    counts: Counter[str] = Counter()
    for (row, label), cell in board.cells.items():
        if cell.entry and label in labels:
            name = f"{_slug(cell.entry.card.config.suite)}-{_slug(cell.entry.card.run)}"
            counts[name] += 1
            paths[row, label] = f"samples/{name}{f'_{counts[name]}' if counts[name] > 1 else ''}.html"
    return paths


def _slug(name: str) -> str:
    return re.sub(r"[^A-Za-z0-9.-]+", "-", name)


def body(entry: Entry, title: str, *, limit: int) -> Iterator[str]:
    """Yield the HTML body of a run's page; if the suite is gated, the page shows only ids and verdicts."""
    items = samples.items(entry, limit=limit)
    yield f"<h1>{escape(title)}</h1>"
    yield f'<p><a href="../index.html">Leaderboard</a> · run {escape(entry.card.run)}</p>'
    yield (
        f'<p class="pale">{len(items):,} of {entry.card.expected:,} samples, starting with those that are not right. '
        f"{'The suite is gated: its texts are not shown.' if entry.card.gated else 'The extracted answer is marked.'}</p>"
    )
    for item in items:
        group = f", {item.group}" if item.group and not entry.card.gated else ""
        yield f"<h2>{_text_html(item.id)}{_text_html(group)}: {escape(item.verdict)}</h2>"
        if not entry.card.gated:
            yield from _sample_html(item)


def _sample_html(item: Item) -> Iterator[str]:
    yield f"<details><summary>Question</summary><pre>{_text_html(item.prompt_text)}</pre></details>"
    answer = item.score.answer if item.score else None
    yield f"<p>answer: {_text_html(answer or 'no answer')} · gold: {_text_html(item.gold)}</p>"
    if item.score and item.score.why:
        yield f'<p class="pale">{_text_html(item.score.why)}</p>'
    if isinstance(item.outcome, Failure):
        yield f"<p>failed: {_text_html(item.outcome.message)}</p>"
    elif item.reply:
        shortened = shorten(item.reply.text, MAX_TEXT_CHARS, mark=samples.answer_span(item))
        start, end = shortened.mark or (len(shortened.text), len(shortened.text))
        answer_html = f"<mark>{escape(visible(shortened.text[start:end]))}</mark>" if end > start else ""
        before, after = (escape(visible(part)) for part in (shortened.text[:start], shortened.text[end:]))
        yield f"<pre>{before}{answer_html}{after}</pre>"


def _text_html(text: str) -> str:
    """Return a text as HTML, shortened, with invisible characters made visible."""
    return escape(visible(shorten(text, MAX_TEXT_CHARS).text))
