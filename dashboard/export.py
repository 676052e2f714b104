"""A static copy of the leaderboard for hosting anywhere: an HTML page, its data as JSON and CSV, some samples of each run.

Every text is escaped, and pages load nothing and forbid themselves to (Content-Security-Policy): the one script, which
sorts tables, is allowed by its hash. Numbers of different protocols are in separate tables.
"""

from __future__ import annotations

import datetime
from base64 import b64encode
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from hashlib import sha256
from html import escape
from pathlib import Path

import msgspec

from evals import disk
from evals.dashboard import downloads, export_samples
from evals.dashboard.choice import Choice, columns_of, protocols_of, rows_of
from evals.dashboard.tables import reported as reports
from evals.dashboard.tables import significance, styling
from evals.dashboard.tables.frames import index
from evals.dashboard.tables.leaderboard import Board, Row, build
from evals.dashboard.tables.significance import Ties
from evals.errors import EvalsError, UsageError
from evals.verdicts.reported import Claim

MARK = "<!-- evals dashboard --export -->"
"""First line of every page: a page without it was written by others and is not overwritten."""

STYLE = """
:root { color-scheme: light dark; --ink: #0e1420; --ground: #fff; --line: #d5dae2; --soft: #f3f5f8; --pale: #55606f }
@media (prefers-color-scheme: dark) {
  :root { --ink: #f2f5f9; --ground: #12161c; --line: #39424f; --soft: #1c222b; --pale: #a7b0bd }
}
body { font: 15px/1.5 system-ui, sans-serif; color: var(--ink); background: var(--ground); margin: 2rem auto; max-width: 90rem;
  padding: 0 1rem }
a { color: inherit }
.scroll { overflow-x: auto; margin: 1rem 0 }
table { border-collapse: collapse }
th, td { border: 1px solid var(--line); padding: .3rem .6rem; text-align: right; white-space: nowrap; font-weight: normal }
thead th { background: var(--soft) }
th button { all: unset; cursor: pointer }
th button:focus-visible { outline: 2px solid }
th:first-child { text-align: left; position: sticky; left: 0; background: var(--ground) }
td.heat { background: color-mix(in srgb, #4f97d6 calc(var(--place) * 55%), transparent) }
caption, .pale { color: var(--pale); text-align: left }
pre { white-space: pre-wrap; overflow-wrap: anywhere; background: var(--soft); padding: .6rem }
mark { background: #9cc3e5; color: #0e1420 }
"""

SCRIPT = """
for (const button of document.querySelectorAll("thead button")) button.addEventListener("click", () => {
  const head = button.closest("th"), body = head.closest("table").tBodies[0], column = head.cellIndex;
  const up = head.getAttribute("aria-sort") === "descending";
  const key = row => row.cells[column].dataset.value ?? row.cells[column].textContent;
  const compare = (a, b) => {
    const x = key(a), y = key(b);
    if (x === "" || y === "") return (x === "") - (y === "");
    const order = isNaN(x) || isNaN(y) ? x.localeCompare(y) : x - y;
    return up ? order : -order;
  };
  for (const other of head.parentNode.cells) other.removeAttribute("aria-sort");
  head.setAttribute("aria-sort", up ? "ascending" : "descending");
  body.append(...[...body.rows].sort(compare));
});
"""
"""Sorts a table by the column of the button that was pressed; rows without a number come last."""


def export(results: Path, folder: Path, *, samples: int = 20) -> list[Path]:
    """Write the leaderboard of a results folder, with up to `samples` samples of each of its runs; return the files.

    Raises UsageError if a page there was not written by this function.
    """
    runs = index(results)
    board, claims = build(runs.entries), reports.load(results)
    if not board.columns:
        raise UsageError(f"no run in {results} has a number yet")
    choice = Choice(sample=all(column.sample for column in board.columns.values()))
    labels = columns_of(board, choice)
    rows = rows_of(board, choice)
    ties = {label: _ties(board, label) for label in labels}
    names = export_samples.names(board, labels) if samples else {}
    for path in (folder / name for name in ("index.html", *names.values())):
        if path.exists() and not _is_ours(path):
            raise UsageError(f"{path} was not written by this command; name another folder")
    content = {
        folder / "index.html": page("Leaderboard", _leaderboard(board, labels, rows, ties, claims, names)),
        folder / "leaderboard.json": _json(board, labels, rows, ties, claims),
        folder / "leaderboard.csv": downloads.csv(downloads.tidy(board, rows, labels)),
    }
    for cell, name in names.items():
        if (entry := board.cells[cell].entry) is not None:
            title = f"{cell[0].label} on {cell[1]}"
            content[folder / name] = page(title, export_samples.body(entry, title, most=samples))
    for path, text in content.items():
        path.parent.mkdir(parents=True, exist_ok=True)
        disk.replace(path, text)
    return list(content)


def _is_ours(path: Path) -> bool:
    with suppress(OSError):
        return disk.read_small(path).startswith(MARK.encode())
    return False


def page(title: str, body: Iterable[str]) -> bytes:
    """Return a whole page."""
    script = b64encode(sha256(SCRIPT.encode()).digest()).decode()
    policy = f"default-src 'none'; style-src 'unsafe-inline'; script-src 'sha256-{script}'"
    head = (
        f'{MARK}\n<!doctype html><html lang="en"><head><meta charset="utf-8"><title>{escape(title)}</title>'
        f'<meta http-equiv="Content-Security-Policy" content="{policy}">'
        f'<meta name="viewport" content="width=device-width"><style>{STYLE}</style></head><body><main>'
    )
    return "\n".join([head, *body, f"</main><script>{SCRIPT}</script></body></html>"]).encode()


def _ties(board: Board, label: str) -> Ties:
    runs = {row: cell.entry for row, cell in board.column(label).items() if cell.entry}
    try:
        return significance.ties(board.columns[label], runs)
    except EvalsError as error:
        return Ties((), (0, 0), 0, str(error))


def _json(
    board: Board,
    labels: Sequence[str],
    rows: Sequence[Row],
    ties: Mapping[str, Ties],
    claims: Iterable[Claim],
) -> bytes:
    columns = [
        {
            "label": label,
            **board.columns[label]._asdict(),
            "chance": board.chance(label),
            "ties": significance.sentence(ties[label]),
            "places": [
                {name: getattr(place, name) for name in ("model", "rank_low", "rank_high", "groups")}
                for place in ties[label].places
            ],
        }
        for label in labels
    ]
    cells = downloads.tidy(board, rows, labels).astype(object)
    document = {
        "format": 1,
        "made": _now(),
        "columns": columns,
        "cells": cells.where(lambda frame: frame.notna(), None).to_dict("records"),
        "claims": [claim for claim in claims if not claim.superseded],
    }
    return msgspec.json.format(msgspec.json.encode(document), indent=1)


def _now() -> str:
    return datetime.datetime.now(tz=datetime.UTC).isoformat(timespec="seconds")


def _leaderboard(
    board: Board,
    labels: Sequence[str],
    rows: Sequence[Row],
    ties: Mapping[str, Ties],
    claims: Sequence[Claim],
    names: Mapping[tuple[Row, str], str],
) -> Iterator[str]:
    yield "<h1>Leaderboard</h1>"
    yield (
        f'<p class="pale">Made by science-evals on {_now()}. A number has half its 95 % interval beside it, and its '
        "coverage if that is below 100 %; numbers are percentages unless the heading has another unit. Hover a number "
        "for its interval, n, coverage and bounds; choose it for samples of its run, or a heading to sort by it. "
        'Data: <a href="leaderboard.json">JSON</a>, <a href="leaderboard.csv">CSV</a>.</p>'
    )
    marks = "; ".join(f"{mark} {words}" for mark, words in board.marks(labels).items())
    if marks:
        yield f'<p class="pale">Marks: {escape(marks)}.</p>'
    for protocol in protocols_of(board):
        chosen = [label for label in labels if board.columns[label].protocol == protocol]
        if chosen:
            yield f"<h2>Protocol {escape(protocol)}</h2>"
            yield from _table(board, chosen, rows, ties[chosen[0]], names)
            yield "<ul>"
            yield from (
                f"<li>{escape(label)}: {escape(significance.sentence(ties[label]))}</li>" for label in chosen
            )
            yield "</ul>"
    yield from _claims(claims, [board.columns[label].suite for label in labels])


def _table(
    board: Board,
    labels: Sequence[str],
    rows: Sequence[Row],
    ties: Ties,
    names: Mapping[tuple[Row, str], str],
) -> Iterator[str]:
    choice = Choice(columns=tuple(labels), rank=labels[0])
    order = {row: place for place, row in enumerate(board.column(labels[0]))}
    measured = [row for row in rows if any((row, label) in board.cells for label in labels)]
    measured.sort(key=lambda row: (row.baseline, order.get(row, len(order)), row.label))
    table = styling.table(board, choice, measured, ties)
    heads = [("model", ""), ("rank", ""), *((label, board.columns[label].measure) for label in labels)]
    yield '<div class="scroll" tabindex="0"><table><thead><tr>'
    for name, measure in heads:
        yield f'<th scope="col"><button>{escape(name)}{f"<br>{escape(measure)}" if measure else ""}</button></th>'
    yield "</tr></thead><tbody>"
    for place, (_, words) in enumerate(table.words.iterrows()):
        row = measured[place] if place < len(measured) else None
        rank = table.numbers[styling.RANK][place]
        yield f'<tr><th scope="row">{escape(row.label if row else words[styling.MODEL])}</th>'
        yield f'<td data-value="{_sort_key(rank)}">{escape(words[styling.RANK])}</td>'
        for label in labels:
            page_name = names.get((row, label)) if row else None
            text = escape(words[label])
            link = f'<a href="{escape(page_name)}">{text}</a>' if page_name else text
            value = _sort_key(table.numbers[label][place])
            yield f'<td data-value="{value}"{_facts(board, row, label)}{_heat(table.colours.loc[place, label])}>{link}</td>'
        yield "</tr>"
    yield "</tbody></table></div>"


def _sort_key(value: float) -> str:
    return "" if value != value else f"{value!r}"


def _heat(standing: float) -> str:
    return "" if standing != standing else f' class="heat" style="--place: {standing:.3f}"'


def _facts(board: Board, row: Row | None, label: str) -> str:
    cell = board.cells.get((row, label)) if row else None
    if cell is None:
        return ""
    estimate = cell.estimate
    interval = styling.span(estimate.low, estimate.high, estimate.unit)
    bounds = styling.span(estimate.worst, estimate.best, estimate.unit)
    words = (
        f"{estimate.metric}: 95 % interval {interval}, n {estimate.n:,}, coverage {100 * cell.coverage:.1f} %, "
        f"bounds {bounds}"
    )
    return f' title="{escape("; ".join([words, *cell.marks.values()]))}"'


def _claims(claims: Sequence[Claim], suites: Sequence[str]) -> Iterator[str]:
    frame = reports.table(claims, suites)
    if frame.empty:
        return
    yield "<h2>Reported results</h2>"
    yield '<p class="pale">Not measured here, without intervals. Sources and dates are in the JSON.</p>'
    yield '<div class="scroll" tabindex="0"><table><thead><tr>'
    yield from (f'<th scope="col"><button>{escape(name)}</button></th>' for name in frame.columns)
    yield "</tr></thead><tbody>"
    for _, cells in frame.iterrows():
        model, *values = (escape(str(cell)) for cell in cells)
        yield f'<tr><th scope="row">{model}</th>{"".join(f"<td>{value}</td>" for value in values)}</tr>'
    yield "</tbody></table></div>"
