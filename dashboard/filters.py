"""The leaderboard's filters, and the rows and columns that match them."""

from __future__ import annotations

import datetime
from collections import Counter
from typing import NamedTuple

from evals.dashboard.tables.leaderboard import Board, Column, Row


class Filters(NamedTuple):
    """Which rows and columns of the leaderboard are shown, and by which column models are ranked."""

    kind: str = "all"
    """Kind of suites: `all`, `general` or `science`."""
    protocols: tuple[str, ...] = ()
    """Empty: all protocols."""
    include_sample_items: bool = False
    """Whether runs on the bundled sample items are shown."""
    weights: str = "all"
    """Availability of the models' weights: `all`, `open` or `closed`."""
    sizes: tuple[str, ...] = ()
    """Classes of model size (`SIZE_CLASSES`); empty: all sizes."""
    since: datetime.date | None = None
    """Date of the earliest runs that are shown; None: all runs."""
    columns: tuple[str, ...] = ()
    """Labels of the displayed columns."""
    pinned: tuple[str, ...] = ()
    """Labels of the rows that are kept at the top."""
    averaged: tuple[str, ...] = ()
    """Labels of the columns over which the mean is shown."""
    rank_by: str = ""
    """Label of the column by which models are ranked."""


def protocols_by_use(board: Board) -> list[str]:
    """Return the protocols, those with the most scores first."""
    counts = Counter(board.columns[label].protocol for _, label in board.cells)
    return [name for name, _ in sorted(counts.items(), key=lambda item: (-item[1], item[0]))]


def matching_columns(board: Board, filters: Filters) -> list[str]:
    """Return the labels of the columns that match the filters, those with the most models first."""
    models_and_baselines = matching_rows(board, filters)
    rows = {row for row in models_and_baselines if not row.is_baseline} or set(models_and_baselines)
    counts = Counter(label for row, label in board.cells if row in rows)
    labels = [
        label for label, column in board.columns.items() if counts[label] and _is_selected(column, filters)
    ]
    return sorted(labels, key=lambda label: -counts[label])


def _is_selected(column: Column, filters: Filters) -> bool:
    return (
        (filters.kind == "all" or column.is_general == (filters.kind == "general"))
        and (not filters.protocols or column.protocol in filters.protocols)
        and (filters.include_sample_items or not column.sample)
    )


def matching_rows(board: Board, filters: Filters) -> list[Row]:
    """Return the rows of the models that match the filters and have a score in a matching column."""
    scored_rows = {row for row, label in board.cells if _is_selected(board.columns[label], filters)}
    return [
        row
        for row in board.rows
        if row in scored_rows
        and (filters.weights == "all" or row.facts.open is (filters.weights == "open"))
        and (not filters.sizes or row.facts.size_class in filters.sizes)
    ]


def matches_date(started: float, filters: Filters) -> bool:
    """Return whether a run that started at this time (seconds since the epoch) matches the date filter."""
    date = datetime.datetime.fromtimestamp(started, tz=datetime.UTC).date()
    return filters.since is None or date >= filters.since
