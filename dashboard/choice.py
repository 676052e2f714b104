"""Filters of the leaderboard, and the rows and columns that pass them."""

from __future__ import annotations

import datetime
from collections import Counter
from typing import NamedTuple

from evals.dashboard.tables.leaderboard import Board, Column, Row


class Choice(NamedTuple):
    """The filters of the leaderboard."""

    kind: str = "all"
    """all, general or science."""
    protocols: tuple[str, ...] = ()
    """Empty: all."""
    sample: bool = False
    """Whether runs on the bundled sample items are shown."""
    weights: str = "all"
    """all, open or closed."""
    sizes: tuple[str, ...] = ()
    """Empty: all."""
    since: datetime.date | None = None
    columns: tuple[str, ...] = ()
    """Labels; those that are shown."""
    pinned: tuple[str, ...] = ()
    """Labels of rows."""
    averaged: tuple[str, ...] = ()
    """Labels of the columns of the mean."""
    rank: str = ""
    """Label of the column that orders the rows."""


def protocols_of(board: Board) -> list[str]:
    """Return the protocols, the most used first."""
    counts = Counter(board.columns[label].protocol for _, label in board.cells)
    return [name for name, _ in sorted(counts.items(), key=lambda item: (-item[1], item[0]))]


def columns_of(board: Board, choice: Choice) -> list[str]:
    """Return the labels of the columns that pass the filters, those with most models first."""
    rows = {row for row in rows_of(board, choice) if not row.baseline} or set(rows_of(board, choice))
    counts = Counter(label for row, label in board.cells if row in rows)
    fits = [label for label, column in board.columns.items() if counts[label] and _fits(column, choice)]
    return sorted(fits, key=lambda label: -counts[label])


def _fits(column: Column, choice: Choice) -> bool:
    return (
        (choice.kind == "all" or column.general == (choice.kind == "general"))
        and (not choice.protocols or column.protocol in choice.protocols)
        and (choice.sample or not column.sample)
    )


def rows_of(board: Board, choice: Choice) -> list[Row]:
    """Return the rows that pass the filters and have a number in a column that does."""
    with_numbers = {row for row, label in board.cells if _fits(board.columns[label], choice)}
    return [
        row
        for row in board.rows
        if row in with_numbers
        and (choice.weights == "all" or row.facts.open is (choice.weights == "open"))
        and (not choice.sizes or row.facts.size in choice.sizes)
    ]


def recent(started: float, choice: Choice) -> bool:
    """Return whether a run passes the filter by date."""
    day = datetime.datetime.fromtimestamp(started, tz=datetime.UTC).date()
    return choice.since is None or day >= choice.since
