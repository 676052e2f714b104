"""Layout of text for a terminal: tables that fit its width, and word wrap.

A table that is too wide wraps its cells, then drops columns in the order of `Column.drop`, then becomes a block of lines per
row. Words are never broken; a word longer than the line (a path, a command) gets its own line.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Sequence
from typing import NamedTuple, TypeAlias

from evals.plain import plain

GAP = 2
"""Number of spaces between columns."""
BOLD, DIM, END = "\x1b[1m", "\x1b[2m", "\x1b[0m"


class Column(NamedTuple):
    """A column of a table."""

    heading: str
    right: bool = False
    """Whether cells are right-aligned."""
    drop: int = 0
    """Columns with the highest value are dropped first if the table is too wide; 0: never."""
    spill: int = 0
    """First column only: width to which it may shrink; a wider cell then gets its own line above the row. 0: never."""
    no_wrap: bool = False
    """Whether cells are never wrapped."""


Rows: TypeAlias = Sequence[Sequence[str]]
Section: TypeAlias = tuple[str, Rows]
"""A title (may be empty) and its rows."""


def width() -> int | None:
    """Return the width of the output: COLUMNS, or else the terminal's; None (no limit) if the output is not a terminal."""
    columns = os.environ.get("COLUMNS", "")
    if columns.isdecimal() and int(columns):
        return int(columns)
    try:
        return os.get_terminal_size(sys.stdout.fileno()).columns or None
    except (OSError, ValueError, AttributeError):
        return None


def text_width(text: str) -> int:
    """Return the number of terminal columns that a text occupies.

    >>> text_width("a"), text_width("分子"), text_width("e\u0301")
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
    """Wrap lines between words; continuation lines begin with `indent`.

    >>> wrap("one two three", 8)
    ['one two', 'three']
    """
    lines: list[str] = []
    for line in text.split("\n"):
        if max_width is None or text_width(line) <= max_width:
            lines.append(line)
        else:
            lines += _wrap_line(line, max_width, indent)
    return lines


def _wrap_line(line: str, max_width: int, indent: str) -> Iterator[str]:
    body = line.lstrip(" ")
    current = line[: len(line) - len(body)]
    has_words = False
    for word in body.split(" "):
        if has_words and text_width(current) + 1 + text_width(word) > max_width:
            yield current.rstrip(" ")
            fits = text_width(indent) + text_width(word) <= max_width
            current = indent if fits else ""  # a word that is too long, such as a path, starts at the margin
            has_words = False
        current = f"{current} {word}" if has_words else current + word
        has_words = True
    yield current.rstrip(" ")


def table(columns: Sequence[Column], sections: Sequence[Section], max_width: int | None) -> list[str]:
    """Lay out sections of rows under a common heading, at most `max_width` wide (None: no limit)."""
    sections = [
        (plain(title), [[" ".join(plain(cell).split()) for cell in row] for row in rows])
        for title, rows in sections
    ]
    margin = "  " if any(title for title, _ in sections) else ""
    inner = None if max_width is None else max_width - len(margin)
    visible = _visible_columns(columns, [row for _, rows in sections for row in rows], inner)
    if visible is None:
        return _as_blocks(columns, sections, max_width)
    visible_columns = [columns[i] for i in visible]
    visible_sections = [(title, [[row[i] for i in visible] for row in rows]) for title, rows in sections]
    widths = _column_widths(visible_columns, [row for _, rows in visible_sections for row in rows], inner)
    lines = [
        f"{BOLD}{margin}{line}{END}"
        for line in _row_lines([c.heading for c in visible_columns], visible_columns, widths)
    ]
    lines.append(DIM + "─" * (len(margin) + sum(widths) + GAP * (len(widths) - 1)) + END)
    for index, (title, rows) in enumerate(visible_sections):
        if title:
            lines += [""] if index else []
            lines += [BOLD + line + END for line in wrap(title, max_width, indent="  ")]
        for row in rows:
            lines += [f"{margin}{line}" for line in _row_lines(row, visible_columns, widths)]
    return lines


def _longest_word(text: str) -> int:
    return max(map(text_width, text.split(" ")))


def _width_range(column: Column, texts: Sequence[str]) -> tuple[int, int]:
    """Return the minimum and the natural width of a column; right-aligned and `no_wrap` cells are not wrapped."""
    natural = max(map(text_width, texts), default=0)
    if column.right or column.no_wrap:
        return max(_longest_word(column.heading), natural), max(text_width(column.heading), natural)
    minimum = max(map(_longest_word, (column.heading, *texts)))
    natural = max(text_width(column.heading), natural)
    if column.spill:
        return min(natural, max(column.spill, text_width(column.heading))), natural
    return minimum, natural


def _visible_columns(columns: Sequence[Column], rows: Rows, max_width: int | None) -> list[int] | None:
    """Return the indices of the columns that fit; None if those that cannot be dropped are too wide."""
    visible = list(range(len(columns)))
    ranges = [_width_range(column, [row[i] for row in rows]) for i, column in enumerate(columns)]
    while max_width is not None and sum(ranges[i][0] for i in visible) + GAP * (len(visible) - 1) > max_width:
        droppable = [i for i in visible if columns[i].drop]
        if not droppable:
            return None
        visible.remove(max(droppable, key=lambda i: columns[i].drop))
    return visible


def _column_widths(columns: Sequence[Column], rows: Rows, max_width: int | None) -> list[int]:
    """Return the columns' widths: the minima, with the spare width given to the smallest deficits first."""
    ranges = [_width_range(column, [row[i] for row in rows]) for i, column in enumerate(columns)]
    if max_width is None:
        return [natural for _, natural in ranges]
    widths = [minimum for minimum, _ in ranges]
    spare = max_width - sum(widths) - GAP * (len(widths) - 1)
    deficits = sorted((natural - minimum, i) for i, (minimum, natural) in enumerate(ranges))
    for index, (deficit, i) in enumerate(deficits):
        share = min(deficit, spare // (len(deficits) - index))
        widths[i] += share
        spare -= share
    return widths


def _row_lines(row: Sequence[str], columns: Sequence[Column], widths: Sequence[int]) -> Iterator[str]:
    row = list(row)
    if columns and columns[0].spill and text_width(row[0]) > widths[0]:
        yield from wrap(row[0], sum(widths) + GAP * (len(widths) - 1), indent="  ")
        row[0] = ""
    wrapped = [
        wrap(cell, max(size, _longest_word(cell)) if cell else size)
        for cell, size in zip(row, widths, strict=True)
    ]
    for i in range(max(map(len, wrapped), default=0)):
        texts = [lines[i] if i < len(lines) else "" for lines in wrapped]
        line = (" " * GAP).join(
            _pad(text, size, right=column.right)
            for text, size, column in zip(texts, widths, columns, strict=True)
        )
        yield line.rstrip()


def _pad(text: str, size: int, *, right: bool) -> str:
    padding = " " * max(0, size - text_width(text))
    return padding + text if right else text + padding


def _as_blocks(columns: Sequence[Column], sections: Sequence[Section], max_width: int | None) -> list[str]:
    """Return a line per cell: the first cell of a row, then the others with their headings."""
    lines: list[str] = []
    for title, rows in sections:
        lines += wrap(title, max_width, indent="  ") if title else []
        for first, *others in rows:
            lines += wrap(first, max_width, indent="  ")
            for column, cell in zip(columns[1:], others, strict=True):
                lines += wrap(f"  {column.heading}: {cell}", max_width, indent="    ") if cell else []
    return lines
