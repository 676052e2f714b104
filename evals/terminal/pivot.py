"""A leaderboard for the terminal: models by suites. A cell shows one run, or the mean over the seeds of a configuration."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from types import MappingProxyType
from typing import Any, NamedTuple

from evals.plain import format_with_interval
from evals.records.card import Card
from evals.terminal.layout import GAP, Column, table, text_width, wrap
from evals.terminal.runs import MARKS, RunRow, marks, pooled_rows
from evals.terminal.trust_marks import Challenges
from evals.types import Estimate


class ColumnKey(NamedTuple):
    """The properties of the runs in a column; runs that differ in one of them are not ranked together."""

    suite: str
    protocol: str
    version: str
    data_sha256: str
    judge: str
    metric: str

    @property
    def label(self) -> str:
        """Return the column heading."""
        return f"{self.suite} {self.protocol}"


class Pivot(NamedTuple):
    """Models in rows, suites in columns."""

    keys: tuple[ColumnKey, ...]
    labels: tuple[str, ...]
    models: tuple[str, ...]
    cells: dict[tuple[str, ColumnKey], RunRow]


def pivot(cards: Iterable[Card], challenges: Challenges = MappingProxyType({})) -> Pivot:
    """Return the pivot table; a cell is one of `pooled_rows`: the newest complete row of a model and column, or else the newest one."""
    cells: dict[tuple[str, ColumnKey], RunRow] = {}
    for row in sorted(pooled_rows(cards, challenges), key=lambda row: (row.card.complete, row.started)):
        if row.headline is not None and row.headline.value is not None:
            cells[row.card.model, _column_key(row.card, row.headline)] = row
    keys = tuple(sorted({key for _, key in cells}))
    models = tuple(sorted({model for model, _ in cells}, key=str.lower))
    return Pivot(keys, tuple(_labels(keys)), models, cells)


def _column_key(card: Card, headline: Estimate) -> ColumnKey:
    config = card.config
    metric = headline.metric.partition("@")[0]
    return ColumnKey(config.suite, config.protocol, config.version, config.data_sha256, config.judge, metric)


def _labels(keys: Sequence[ColumnKey]) -> list[str]:
    """Return the column headings: suite, protocol, and any other property that differs between columns."""
    labels = []
    for key in keys:
        same_label = [other for other in keys if other.label == key.label and other != key]
        texts = {
            "version": f"v{key.version}",
            "judge": f"judge {key.judge or 'none'}",
            "metric": key.metric,
            "data_sha256": f"data {key.data_sha256[:6]}",
        }
        differing = [
            text
            for name, text in texts.items()
            if any(getattr(other, name) != getattr(key, name) for other in same_label)
        ]
        labels.append(" ".join([key.label, *differing]))
    return labels


def layout(grid: Pivot, max_width: int | None) -> list[str]:
    """Lay out a pivot table; columns that do not fit are continued in further blocks."""
    texts = {(model, key): _cell(grid.cells.get((model, key))) for model in grid.models for key in grid.keys}
    model_width = max(map(text_width, ("model", *grid.models)), default=0)
    model_width = model_width if max_width is None else min(model_width, max(12, max_width // 3))
    lines: list[str] = []
    for positions in _column_blocks(
        grid, texts, None if max_width is None else max_width - model_width - GAP
    ):
        columns = [
            Column("model", spill=model_width),
            *(Column(grid.labels[i], right=True) for i in positions),
        ]
        rows = [
            [model, *(texts[model, grid.keys[i]] for i in positions)]
            for model in grid.models
            if any(texts[model, grid.keys[i]] for i in positions)
        ]
        lines += ["", *table(columns, [("", rows)], max_width)]
    letters_in_use = {letter for row in grid.cells.values() for letter in marks(row)}
    legend = [
        line
        for letter in MARKS
        if letter in letters_in_use
        for line in wrap(f"{letter}: {MARKS[letter]}", max_width, indent="   ")
    ]
    return [*lines[1:], *([""] if legend else []), *legend]


def _cell(row: RunRow | None) -> str:
    if row is None or row.headline is None:
        return ""
    headline = row.headline
    score = format_with_interval(headline.value, headline.low, headline.high, headline.unit)
    return " ".join([score, *marks(row)])


def _column_blocks(
    grid: Pivot, texts: dict[tuple[str, ColumnKey], str], max_width: int | None
) -> list[list[int]]:
    """Return the indices of the columns of each block; a block has as many as fit into `max_width`."""
    blocks: list[list[int]] = [[]]
    block_width = 0
    for i, key in enumerate(grid.keys):
        word_width = max(map(text_width, grid.labels[i].split(" ")))
        column_width = max(word_width, *(text_width(texts[model, key]) for model in grid.models)) + GAP
        if max_width is not None and blocks[-1] and block_width + column_width > max_width + GAP:
            blocks.append([])
            block_width = 0
        blocks[-1].append(i)
        block_width += column_width
    return blocks if grid.keys else []


def csv_rows(grid: Pivot) -> list[dict[str, Any]]:
    """Return a row per model with an unformatted value per column; None for a missing value."""
    return [
        {
            "model": model,
            **{
                label: row.headline.value if (row := grid.cells.get((model, key))) and row.headline else None
                for label, key in zip(grid.labels, grid.keys, strict=True)
            },
        }
        for model in grid.models
    ]


def json_cells(grid: Pivot) -> list[dict[str, Any]]:
    """Return a cell per model and column, with its interval and runs."""
    return [
        {
            "model": model,
            "column": label,
            **key._asdict(),
            **{name: getattr(row.headline, name) for name in ("value", "low", "high", "unit", "better", "n")},
            "runs": [card.run for card in row.cards],
            "marks": list(marks(row).values()),
        }
        for model in grid.models
        for label, key in zip(grid.labels, grid.keys, strict=True)
        if (row := grid.cells.get((model, key))) and row.headline
    ]
