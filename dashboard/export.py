"""A copy of the leaderboard for hosting anywhere: one HTML page without a script, its data as JSON and CSV.

Every text is escaped, the page loads nothing and forbids itself to (Content-Security-Policy), and numbers of different
protocols stand in tables of their own.
"""

from __future__ import annotations

import datetime
from collections.abc import Iterable, Iterator, Sequence
from html import escape
from pathlib import Path
from typing import Any

import msgspec

from evals import disk
from evals.dashboard import downloads as files
from evals.dashboard.choice import Choice, columns_of, protocols_of, rows_of
from evals.dashboard.tables import reported as claimed
from evals.dashboard.tables import significance as ties
from evals.dashboard.tables import styling as heat
from evals.dashboard.tables.frames import index
from evals.dashboard.tables.leaderboard import Board, Row, build
from evals.dashboard.tables.significance import Ties
from evals.errors import EvalsError, UsageError
from evals.verdicts.reported import Claim

MARK = "<!-- evals dashboard --export -->"
"""First line of the page: a page without it is somebody else's and is not overwritten."""

STYLE = """
:root { color-scheme: light dark; --ink: #0e1420; --ground: #fff; --line: #d5dae2; --soft: #f3f5f8; --pale: #55606f }
@media (prefers-color-scheme: dark) {
  :root { --ink: #f2f5f9; --ground: #12161c; --line: #39424f; --soft: #1c222b; --pale: #a7b0bd }
}
body { font: 15px/1.5 system-ui, sans-serif; color: var(--ink); background: var(--ground); margin: 2rem auto; max-width: 90rem;
  padding: 0 1rem }
.scroll { overflow-x: auto; margin: 1rem 0 }
table { border-collapse: collapse }
th, td { border: 1px solid var(--line); padding: .3rem .6rem; text-align: right; white-space: nowrap; font-weight: normal }
thead th { background: var(--soft) }
th:first-child { text-align: left; position: sticky; left: 0; background: var(--ground) }
td.heat { background: color-mix(in srgb, #4f97d6 calc(var(--place) * 55%), transparent) }
caption, .pale { color: var(--pale); text-align: left }
"""


def export(results: Path, folder: Path) -> list[Path]:
    """Write the leaderboard of a results folder; returns the files. Raises UsageError where a page is not ours."""
    page = folder / "index.html"
    if page.exists() and not page.read_text(encoding="utf-8", errors="replace").startswith(MARK):
        raise UsageError(f"{page} was not written by this command; name another folder")
    found = index(results)
    board, claims = build(found.entries), claimed.load(results)
    if not board.columns:
        raise UsageError(f"no run in {results} has a number yet")
    choice = Choice(sample=all(column.sample for column in board.columns.values()))
    labels = columns_of(board, choice)
    rows = rows_of(board, choice)
    places = {label: _ties(board, label) for label in labels}
    content = {
        page: "\n".join(_page(board, labels, rows, places, claims)).encode(),
        folder / "leaderboard.json": _json(board, labels, rows, places, claims),
        folder / "leaderboard.csv": files.csv(files.tidy(board, rows, labels)),
    }
    folder.mkdir(parents=True, exist_ok=True)
    for path, text in content.items():
        disk.replace(path, text)
    return list(content)


def _ties(board: Board, label: str) -> Ties:
    runs = {row: cell.entry for row, cell in board.column(label).items() if cell.entry}
    try:
        return ties.ties(board.columns[label], runs)
    except EvalsError as error:
        return Ties((), (0, 0), 0, str(error))


def _json(
    board: Board, labels: Sequence[str], rows: Sequence[Row], places: dict[str, Ties], claims: Iterable[Claim]
) -> bytes:
    columns: list[dict[str, Any]] = [
        {
            "label": label,
            **board.columns[label]._asdict(),
            "chance": board.chance(label),
            "ties": ties.sentence(places[label]),
            "places": [
                {
                    "model": one.model,
                    "rank_low": one.rank_low,
                    "rank_high": one.rank_high,
                    "groups": one.groups,
                }
                for one in places[label].places
            ],
        }
        for label in labels
    ]
    document = {
        "format": 1,
        "made": _now(),
        "columns": columns,
        "cells": files.tidy(board, rows, labels)
        .astype(object)
        .where(lambda frame: frame.notna(), None)
        .to_dict("records"),
        "claims": [claim for claim in claims if not claim.superseded],
    }
    return msgspec.json.format(msgspec.json.encode(document), indent=1)


def _now() -> str:
    return datetime.datetime.now(tz=datetime.UTC).isoformat(timespec="seconds")


def _page(
    board: Board, labels: Sequence[str], rows: Sequence[Row], places: dict[str, Ties], claims: Sequence[Claim]
) -> Iterator[str]:
    yield MARK
    yield '<!doctype html><html lang="en"><head><meta charset="utf-8"><title>Leaderboard</title>'
    yield "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'\">"
    yield f'<meta name="viewport" content="width=device-width"><style>{STYLE}</style></head><body><main>'
    yield "<h1>Leaderboard</h1>"
    yield (
        f'<p class="pale">Made by science-evals on {_now()}. A number stands with half its 95 % interval, and with its '
        "coverage where that is below 100 %; percent unless the heading says otherwise. Hover a number to see what it "
        'rests on. Data: <a href="leaderboard.json">JSON</a>, <a href="leaderboard.csv">CSV</a>.</p>'
    )
    for protocol in protocols_of(board):
        chosen = [label for label in labels if board.columns[label].protocol == protocol]
        if chosen:
            yield f"<h2>Protocol {escape(protocol)}</h2>"
            yield from _table(board, chosen, rows, places)
            yield "<ul>"
            yield from (
                f"<li>{escape(label)}: {escape(ties.sentence(places[label]))}</li>" for label in chosen
            )
            yield "</ul>"
    yield from _claims(claims, [board.columns[label].suite for label in labels])
    yield "</main></body></html>"


def _table(
    board: Board, labels: Sequence[str], rows: Sequence[Row], places: dict[str, Ties]
) -> Iterator[str]:
    choice = Choice(columns=tuple(labels), rank=labels[0])
    order = {row: place for place, row in enumerate(board.column(labels[0]))}
    there = [row for row in rows if any((row, label) in board.cells for label in labels)]
    there.sort(key=lambda row: (row.baseline, order.get(row, len(order)), row.label))
    shown = heat.table(board, choice, there, places[labels[0]])
    yield '<div class="scroll" tabindex="0"><table><thead><tr><th scope="col">model</th><th scope="col">rank</th>'
    yield from (
        f'<th scope="col">{escape(label)}<br>{escape(board.columns[label].measure)}</th>' for label in labels
    )
    yield "</tr></thead><tbody>"
    for place, (_, words) in enumerate(shown.words.iterrows()):
        row = there[place] if place < len(there) else None
        yield f'<tr><th scope="row">{escape(words[heat.MODEL])}</th><td>{escape(words[heat.RANK] or "")}</td>'
        for label in labels:
            yield _cell(board, row, label, str(words[label] or ""), shown.colours.loc[place, label])
        yield "</tr>"
    yield "</tbody></table></div>"


def _cell(board: Board, row: Row | None, label: str, words: str, place: float) -> str:
    cell = board.cells.get((row, label)) if row else None
    if cell is None:
        return f"<td>{escape(words)}</td>"
    one = cell.estimate
    said = (
        f"{one.metric}: 95 % interval {heat.span(one.low, one.high, one.unit)}, n {one.n:,}, "
        f"coverage {100 * cell.coverage:.1f} %, bounds {heat.span(one.worst, one.best, one.unit)}"
    )
    colour = "" if place != place else f' class="heat" style="--place: {place:.3f}"'
    return f'<td{colour} title="{escape(said)}">{escape(words)}</td>'


def _claims(claims: Sequence[Claim], suites: Sequence[str]) -> Iterator[str]:
    frame = claimed.table(claims, suites)
    if frame.empty:
        return
    yield "<h2>Reported results</h2>"
    yield '<p class="pale">Not measured here, without intervals. Sources and dates stand in the JSON.</p>'
    yield '<div class="scroll" tabindex="0"><table><thead><tr>'
    yield from (f'<th scope="col">{escape(name)}</th>' for name in frame.columns)
    yield "</tr></thead><tbody>"
    for _, cells in frame.iterrows():
        model, *values = (escape(str(cell)) for cell in cells)
        yield f'<tr><th scope="row">{model}</th>{"".join(f"<td>{value}</td>" for value in values)}</tr>'
    yield "</tbody></table></div>"
