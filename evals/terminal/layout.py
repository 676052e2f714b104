"""Text laid out for a terminal: tables that fit its width and lines that break between words.

A table that is too wide drops columns in the order of `Column.drop`, then wraps cells between words, then becomes a
block of lines per row. A word is never broken: one that is longer than the line (a path, a command) gets its own line.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple, TypeAlias

from evals.plain import plain

GAP = 2
"""Blanks between columns."""
BOLD, DIM, END = "\x1b[1m", "\x1b[2m", "\x1b[0m"


class Column(NamedTuple):
    """A column of a table."""

    head: str
    right: bool = False
    """Whether cells are right-aligned."""
    drop: int = 0
    """The column with the highest value is dropped first if the table is too wide; 0: never."""
    spill: int = 0
    """First column only: width above which a cell gets its own line above the row; 0: never."""
    whole: bool = False
    """Whether its cells are never wrapped."""


Rows: TypeAlias = Sequence[Sequence[str]]
Section: TypeAlias = tuple[str, Rows]
"""A title (may be empty) and its rows."""


def width() -> int | None:
    """Return the width for output: COLUMNS, else the terminal's; None if output is not a terminal (a row is then one line)."""
    columns = os.environ.get("COLUMNS", "")
    if columns.isdecimal() and int(columns):
        return int(columns)
    try:
        return os.get_terminal_size(sys.stdout.fileno()).columns or None
    except (OSError, ValueError, AttributeError):
        return None


def cells(text: str) -> int:
    """Return the width of a text on a terminal.

    >>> cells("a"), cells("分子"), cells("e\u0301")
    (1, 4, 1)
    """
    if text.isascii():
        return len(text)
    from unicodedata import category, east_asian_width

    return sum(
        0 if category(character) in ("Mn", "Me", "Cf") else 1 + (east_asian_width(character) in "FW")
        for character in text
    )


def wrap(text: str, max_width: int | None, *, indent: str = "") -> list[str]:
    """Break lines between words so that they fit; what follows the first line begins with `indent`.

    >>> wrap("one two three", 8)
    ['one two', 'three']
    """
    lines: list[str] = []
    for line in text.split("\n"):
        lines += (
            [line] if max_width is None or cells(line) <= max_width else _wrapped(line, max_width, indent)
        )
    return lines


def _wrapped(line: str, max_width: int, indent: str) -> Iterator[str]:
    body = line.lstrip(" ")
    current = line[: len(line) - len(body)]
    has_words = False
    for word in body.split(" "):
        if has_words and cells(current) + 1 + cells(word) > max_width:
            yield current.rstrip(" ")
            fits = cells(indent) + cells(word) <= max_width
            current, has_words = indent if fits else "", False  # a path or an address begins at the left
        current = f"{current} {word}" if has_words else current + word
        has_words = True
    yield current.rstrip(" ")


def table(columns: Sequence[Column], sections: Sequence[Section], max_width: int | None) -> list[str]:
    """Lay out sections of rows under one heading, in at most `max_width` columns; None: as wide as it needs."""
    sections = [(plain(title), [[_clean(cell) for cell in row] for row in rows]) for title, rows in sections]
    margin = "  " if any(title for title, _ in sections) else ""
    inner = None if max_width is None else max_width - len(margin)
    kept = _kept(columns, [row for _, rows in sections for row in rows], inner)
    if kept is None:
        return _blocks(columns, sections, max_width)
    chosen = [columns[i] for i in kept]
    rows_of = [(title, [[row[i] for i in kept] for row in rows]) for title, rows in sections]
    widths = _widths(chosen, [row for _, rows in rows_of for row in rows], inner)
    lines = [f"{BOLD}{margin}{line}{END}" for line in _row([c.head for c in chosen], chosen, widths)]
    lines.append(DIM + "─" * (len(margin) + sum(widths) + GAP * (len(widths) - 1)) + END)
    for place, (title, rows) in enumerate(rows_of):
        if title:
            lines += ([""] if place else []) + [
                BOLD + line + END for line in wrap(title, max_width, indent="  ")
            ]
        for row in rows:
            lines += [f"{margin}{line}" for line in _row(row, chosen, widths)]
    return lines


def _clean(cell: str) -> str:
    return " ".join(plain(cell).split())


def _longest_word(text: str) -> int:
    return max(map(cells, text.split(" ")))


def _needs(column: Column, texts: Sequence[str]) -> tuple[int, int]:
    """Return the minimal and the natural width of a column: figures are never wrapped, words may be."""
    natural = max(map(cells, texts), default=0)
    if column.right or column.whole:
        return max(_longest_word(column.head), natural), max(cells(column.head), natural)
    least = max(map(_longest_word, (column.head, *texts)))
    natural = max(cells(column.head), natural)
    if column.spill:
        return min(natural, max(column.spill, cells(column.head))), natural
    return least, natural


def _kept(columns: Sequence[Column], rows: Rows, max_width: int | None) -> list[int] | None:
    """Return the columns that fit, by number; None if not even those that must stay do."""
    kept = list(range(len(columns)))
    needs = [_needs(column, [row[i] for row in rows]) for i, column in enumerate(columns)]
    while max_width is not None and sum(needs[i][0] for i in kept) + GAP * (len(kept) - 1) > max_width:
        droppable = [i for i in kept if columns[i].drop]
        if not droppable:
            return None
        kept.remove(max(droppable, key=lambda i: columns[i].drop))
    return kept


def _widths(columns: Sequence[Column], rows: Rows, max_width: int | None) -> list[int]:
    """Return the columns' widths: the minimal ones, with spare width given to the smallest needs first."""
    needs = [_needs(column, [row[i] for row in rows]) for i, column in enumerate(columns)]
    if max_width is None:
        return [natural for _, natural in needs]
    widths = [least for least, _ in needs]
    spare = max_width - sum(widths) - GAP * (len(widths) - 1)
    extra = sorted((natural - least, i) for i, (least, natural) in enumerate(needs) if natural > least)
    for place, (missing, i) in enumerate(extra):
        more = min(missing, spare // (len(extra) - place))
        widths[i] += more
        spare -= more
    return widths


def _row(row: Sequence[str], columns: Sequence[Column], widths: Sequence[int]) -> Iterator[str]:
    row = list(row)
    if columns and columns[0].spill and cells(row[0]) > widths[0]:
        yield from wrap(row[0], sum(widths) + GAP * (len(widths) - 1), indent="  ")
        row[0] = ""
    parts = [
        wrap(cell, max(size, _longest_word(cell)) if cell else size)
        for cell, size in zip(row, widths, strict=True)
    ]
    for level in range(max(map(len, parts), default=0)):
        texts = [lines[level] if level < len(lines) else "" for lines in parts]
        line = (" " * GAP).join(
            _padded(text, size, right=column.right)
            for text, size, column in zip(texts, widths, columns, strict=True)
        )
        yield line.rstrip()


def _padded(text: str, size: int, *, right: bool) -> str:
    blank = " " * max(0, size - cells(text))
    return blank + text if right else text + blank


def _blocks(columns: Sequence[Column], sections: Sequence[Section], max_width: int | None) -> list[str]:
    """Return one line per cell: the first cell, then the others with their headings."""
    lines: list[str] = []
    for title, rows in sections:
        lines += wrap(title, max_width, indent="  ") if title else []
        for first, *others in rows:
            lines += wrap(first, max_width, indent="  ")
            for column, cell in zip(columns[1:], others, strict=True):
                lines += wrap(f"  {column.head}: {cell}", max_width, indent="    ") if cell else []
    return lines


def columns_of(heads: Iterable[str], *, right: Iterable[str] = ()) -> list[Column]:
    """Return columns with these headings; those in `right` are right-aligned."""
    figures = set(right)
    return [Column(head, right=head in figures) for head in heads]
