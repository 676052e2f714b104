"""A static copy of the leaderboard: an HTML page, its data as JSON and CSV, and a page per run with some of its samples.

All texts are escaped. The pages' Content-Security-Policy forbids all requests, and allows only the script that sorts
tables, which it identifies by a hash. Each protocol has its own table.
"""

from __future__ import annotations

import time
from base64 import b64encode
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from hashlib import sha256
from html import escape
from math import isnan
from pathlib import Path

import msgspec

from evals import disk
from evals.dashboard import downloads, export_samples
from evals.dashboard.filters import Filters, matching_columns, matching_rows, protocols_by_use
from evals.dashboard.tables import reported, significance, styling
from evals.dashboard.tables.frames import index
from evals.dashboard.tables.leaderboard import Board, Row, build
from evals.dashboard.tables.significance import ColumnRanks
from evals.errors import UsageError
from evals.plain import percent
from evals.terminal.figures import utc_time
from evals.verdicts.reported import Claim

PAGE_MARKER = "<!-- evals dashboard --export -->"
"""First line of every page; an HTML file without it is not overwritten."""

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
td.heat { background: color-mix(in srgb, #4f97d6 calc(var(--standing) * 55%), transparent) }
caption, .pale { color: var(--pale); text-align: left }
pre { white-space: pre-wrap; overflow-wrap: anywhere; background: var(--soft); padding: .6rem }
mark { background: #9cc3e5; color: #0e1420 }
"""

SCRIPT = """
for (const button of document.querySelectorAll("thead button")) button.addEventListener("click", () => {
  const heading = button.closest("th"), body = heading.closest("table").tBodies[0], column = heading.cellIndex;
  const ascending = heading.getAttribute("aria-sort") === "descending";
  const key = row => row.cells[column].dataset.value ?? row.cells[column].textContent;
  const compare = (a, b) => {
    const x = key(a), y = key(b);
    if (x === "" || y === "") return (x === "") - (y === "");
    const order = isNaN(x) || isNaN(y) ? x.localeCompare(y) : x - y;
    return ascending ? order : -order;
  };
  for (const other of heading.parentNode.cells) other.removeAttribute("aria-sort");
  heading.setAttribute("aria-sort", ascending ? "ascending" : "descending");
  body.append(...[...body.rows].sort(compare));
});
"""
"""Sorts a table by the clicked column; rows without a value come last."""


def export(results: Path, folder: Path, *, samples: int = 20) -> list[Path]:
    """Write the leaderboard of a results folder with up to `samples` samples per run, and return the written files.

    Raises UsageError if no run has a score, or if a page would overwrite a file that this function did not write.
    """
    run_index = index(results)
    board, claims = build(run_index.entries), reported.load(results)
    if not board.columns:
        raise UsageError(f"no run in {results} has a score yet")
    filters = Filters(include_sample_items=all(column.sample for column in board.columns.values()))
    labels = matching_columns(board, filters)
    rows = matching_rows(board, filters)
    ranks_by_label = {
        label: significance.rank_models(board.columns[label], board.runs(label)) for label in labels
    }
    sample_pages = export_samples.page_paths(board, labels) if samples else {}
    for path in (folder / name for name in ("index.html", *sample_pages.values())):
        if path.exists() and not _is_own_page(path):
            raise UsageError(f"{path} was not written by this command; choose another folder")
    contents = {
        folder / "index.html": render_page(
            "Leaderboard", _leaderboard_html(board, labels, rows, ranks_by_label, claims, sample_pages)
        ),
        folder / "leaderboard.json": _leaderboard_json(board, labels, rows, ranks_by_label, claims),
        folder / "leaderboard.csv": downloads.csv(downloads.tidy_table(board, rows, labels)),
    }
    for (row, label), name in sample_pages.items():
        if (entry := board.cells[row, label].entry) is not None:
            title = f"{row.label} on {label}"
            contents[folder / name] = render_page(title, export_samples.body(entry, title, limit=samples))
    for path, content in contents.items():
        path.parent.mkdir(parents=True, exist_ok=True)
        disk.replace(path, content)
    return list(contents)


def _is_own_page(path: Path) -> bool:
    with suppress(OSError):
        return disk.read_small(path).startswith(PAGE_MARKER.encode())
    return False


def render_page(title: str, body: Iterable[str]) -> bytes:
    """Return a complete HTML page, encoded as UTF-8, from its title and the lines of its body."""
    script = b64encode(sha256(SCRIPT.encode()).digest()).decode()
    policy = f"default-src 'none'; style-src 'unsafe-inline'; script-src 'sha256-{script}'"
    head = (
        f'{PAGE_MARKER}\n<!doctype html><html lang="en"><head><meta charset="utf-8"><title>{escape(title)}</title>'
        f'<meta http-equiv="Content-Security-Policy" content="{policy}">'
        f'<meta name="viewport" content="width=device-width"><style>{STYLE}</style></head><body><main>'
    )
    return "\n".join([head, *body, f"</main><script>{SCRIPT}</script></body></html>"]).encode()


def _leaderboard_json(
    board: Board,
    labels: Sequence[str],
    rows: Sequence[Row],
    ranks_by_label: Mapping[str, ColumnRanks],
    claims: Iterable[Claim],
) -> bytes:
    columns = [
        {
            "label": label,
            **board.columns[label]._asdict(),
            "chance": board.chance(label),
            "ties": significance.summary(ranks_by_label[label]),
            "places": [
                {name: getattr(rank, name) for name in ("model", "rank_low", "rank_high", "groups")}
                for rank in ranks_by_label[label].ranks
            ],
        }
        for label in labels
    ]
    cells = downloads.tidy_table(board, rows, labels).astype(object)
    document = {
        "format": 1,
        "made": utc_time(time.time(), downloads.ISO_TIME),
        "columns": columns,
        "cells": cells.where(lambda frame: frame.notna(), None).to_dict("records"),
        "claims": [claim for claim in claims if not claim.superseded],
    }
    return msgspec.json.format(msgspec.json.encode(document), indent=1)


def _leaderboard_html(
    board: Board,
    labels: Sequence[str],
    rows: Sequence[Row],
    ranks_by_label: Mapping[str, ColumnRanks],
    claims: Sequence[Claim],
    sample_pages: Mapping[tuple[Row, str], str],
) -> Iterator[str]:
    yield "<h1>Leaderboard</h1>"
    yield (
        f'<p class="pale">Created by science-evals on {utc_time(time.time(), downloads.ISO_TIME)}. Scores are shown with the half-width of their 95 % interval, '
        "and their coverage if below 100 %; they are percentages unless the heading states another unit. Hover over a "
        "score for its interval, n, coverage and bounds; click it for samples of its run, or a heading to sort by it. "
        'Data: <a href="leaderboard.json">JSON</a>, <a href="leaderboard.csv">CSV</a>.</p>'
    )
    marks = "; ".join(f"{mark} {meaning}" for mark, meaning in board.marks(labels).items())
    if marks:
        yield f'<p class="pale">Marks: {escape(marks)}.</p>'
    for protocol in protocols_by_use(board):
        protocol_labels = [label for label in labels if board.columns[label].protocol == protocol]
        if protocol_labels:
            yield f"<h2>Protocol {escape(protocol)}</h2>"
            yield from _table_html(
                board, protocol_labels, rows, ranks_by_label[protocol_labels[0]], sample_pages
            )
            yield "<ul>"
            yield from (
                f"<li>{escape(label)}: {escape(significance.summary(ranks_by_label[label]))}</li>"
                for label in protocol_labels
            )
            yield "</ul>"
    yield from _reported_results_html(claims, [board.columns[label].suite for label in labels])


def _table_html(
    board: Board,
    labels: Sequence[str],
    rows: Sequence[Row],
    column_ranks: ColumnRanks,
    sample_pages: Mapping[tuple[Row, str], str],
) -> Iterator[str]:
    filters = Filters(columns=tuple(labels), rank_by=labels[0])
    order = {row: position for position, row in enumerate(board.model_cells(labels[0]))}
    measured_rows = [row for row in rows if any((row, label) in board.cells for label in labels)]
    measured_rows.sort(key=lambda row: (row.is_baseline, order.get(row, len(order)), row.label))
    table = styling.table(board, filters, measured_rows, column_ranks)
    measures = (f"{escape(label)}<br>{escape(board.columns[label].measure)}" for label in labels)
    yield _table_start(["model", "rank", *measures])
    for row_index, (_, texts) in enumerate(table.texts.iterrows()):
        row = measured_rows[row_index] if row_index < len(measured_rows) else None
        rank = table.numbers[styling.RANK][row_index]
        yield f'<tr><th scope="row">{escape(row.label if row else texts[styling.MODEL])}</th>'
        yield f'<td data-value="{_sort_value(rank)}">{escape(texts[styling.RANK])}</td>'
        for label in labels:
            page_name = sample_pages.get((row, label)) if row else None
            text = escape(texts[label])
            link = f'<a href="{escape(page_name)}">{text}</a>' if page_name else text
            value = _sort_value(table.numbers[label][row_index])
            yield f'<td data-value="{value}"{_title_attribute(board, row, label)}{_heat_attribute(table.colours.loc[row_index, label])}>{link}</td>'
        yield "</tr>"
    yield TABLE_END


TABLE_END = "</tbody></table></div>"


def _table_start(headings: Iterable[str]) -> str:
    """Return a table up to its first row; `headings`: HTML."""
    cells = "\n".join(f'<th scope="col"><button>{heading}</button></th>' for heading in headings)
    return f'<div class="scroll" tabindex="0"><table><thead><tr>\n{cells}\n</tr></thead><tbody>'


def _sort_value(value: float) -> str:
    return "" if isnan(value) else repr(value)


def _heat_attribute(standing: float) -> str:
    return "" if isnan(standing) else f' class="heat" style="--standing: {standing:.3f}"'


def _title_attribute(board: Board, row: Row | None, label: str) -> str:
    cell = board.cells.get((row, label)) if row else None
    if cell is None:
        return ""
    estimate = cell.estimate
    interval = styling.format_interval(estimate.low, estimate.high, estimate.unit)
    bounds = styling.format_interval(estimate.worst, estimate.best, estimate.unit)
    text = (
        f"{estimate.metric}: 95 % interval {interval}, n {estimate.n:,}, coverage {percent(cell.coverage)} %, "
        f"bounds {bounds}"
    )
    return f' title="{escape("; ".join([text, *cell.marks.values()]))}"'


def _reported_results_html(claims: Sequence[Claim], suites: Sequence[str]) -> Iterator[str]:
    frame = reported.table(claims, suites)
    if frame.empty:
        return
    yield "<h2>Reported results</h2>"
    yield '<p class="pale">Not measured here; intervals are unknown. Sources and dates are in the JSON file.</p>'
    yield _table_start(map(escape, frame.columns))
    for _, cells in frame.iterrows():
        model, *values = (escape(str(cell)) for cell in cells)
        yield f'<tr><th scope="row">{model}</th>{"".join(f"<td>{value}</td>" for value in values)}</tr>'
    yield TABLE_END
