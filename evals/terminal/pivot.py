"""Models by suites: the leaderboard of the terminal. Each cell is the newest complete run, or its seeds pooled."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from types import MappingProxyType
from typing import Any, NamedTuple

from evals.records.card import Card
from evals.terminal.figures import figure
from evals.terminal.layout import GAP, Column, cells, table, wrap
from evals.terminal.runs import MARKS, Line, marks, pooled
from evals.terminal.trust_marks import Challenges
from evals.types import Estimate


class Head(NamedTuple):
    """A column: scores that may be ranked together."""

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

    heads: tuple[Head, ...]
    labels: tuple[str, ...]
    models: tuple[str, ...]
    lines: dict[tuple[str, Head], Line]


def pivot(cards: Iterable[Card], challenges: Challenges = MappingProxyType({})) -> Pivot:
    """Return the newest complete run, or its pooled seeds, for every model and column."""
    lines: dict[tuple[str, Head], Line] = {}
    for line in sorted(pooled(cards, challenges), key=lambda row: (row.card.complete, row.when)):
        if line.head is not None and line.head.value is not None:
            lines[line.card.model, _head(line.card, line.head)] = line
    heads = tuple(sorted({head for _, head in lines}))
    models = tuple(sorted({model for model, _ in lines}, key=str.lower))
    return Pivot(heads, tuple(_labels(heads)), models, lines)


def _head(card: Card, head: Estimate) -> Head:
    config = card.config
    metric = head.metric.partition("@")[0]
    return Head(config.suite, config.protocol, config.version, config.data_sha256, config.judge, metric)


def _labels(heads: Sequence[Head]) -> list[str]:
    """Name columns by suite and protocol, and by whatever else distinguishes them."""
    labels = []
    for head in heads:
        same_label = [
            other_head for other_head in heads if other_head.label == head.label and other_head != head
        ]
        words = {
            "version": f"v{head.version}",
            "judge": f"judge {head.judge or 'none'}",
            "metric": head.metric,
            "data_sha256": f"data {head.data_sha256[:6]}",
        }
        own = head._asdict()
        more = [
            text for name, text in words.items() if any(o._asdict()[name] != own[name] for o in same_label)
        ]
        labels.append(" ".join([head.label, *more]))
    return labels


def layout(grid: Pivot, max_width: int | None) -> list[str]:
    """Lay out a pivot; columns that do not fit follow in a second block below."""
    texts = {
        (model, head): _cell(grid.lines.get((model, head))) for model in grid.models for head in grid.heads
    }
    first = max(map(cells, ("model", *grid.models)), default=0)
    first = first if max_width is None else min(first, max(12, max_width // 3))
    lines: list[str] = []
    for positions in _blocks(grid, texts, None if max_width is None else max_width - first - GAP):
        columns = [Column("model", spill=first), *(Column(grid.labels[i], right=True) for i in positions)]
        rows = [
            [model, *(texts[model, grid.heads[i]] for i in positions)]
            for model in grid.models
            if any(texts[model, grid.heads[i]] for i in positions)
        ]
        lines += ["", *table(columns, [("", rows)], max_width)]
    used = {letter for line in grid.lines.values() for letter in marks(line)}
    legend = [
        row
        for letter in MARKS
        if letter in used
        for row in wrap(f"{letter}: {MARKS[letter]}", max_width, indent="   ")
    ]
    return [*lines[1:], *([""] if legend else []), *legend]


def _cell(line: Line | None) -> str:
    if line is None or line.head is None:
        return ""
    return " ".join([_with_error(line.head), *marks(line)])


def _with_error(head: Estimate) -> str:
    """Return a score with its interval: `83.5 ±0.7`, or `98.9 +0.7 −3.1` if its sides differ."""
    if head.value is None or head.low is None or head.high is None:
        return figure(head).removesuffix(" %")
    scale, form, short = (100, ".1f", ".1f") if head.unit == "fraction" else (1, ".4g", ".2g")
    up, down = (f"{scale * side:{short}}" for side in (head.high - head.value, head.value - head.low))
    return f"{scale * head.value:{form}} {f'±{up}' if up == down else f'+{up} −{down}'}"


def _blocks(grid: Pivot, texts: dict[tuple[str, Head], str], max_width: int | None) -> list[list[int]]:
    blocks: list[list[int]] = [[]]
    used = 0
    for i, head in enumerate(grid.heads):
        words = max(map(cells, grid.labels[i].split(" ")))
        size = max(words, *(cells(texts[model, head]) for model in grid.models)) + GAP
        if max_width is not None and blocks[-1] and used + size > max_width + GAP:
            blocks.append([])
            used = 0
        blocks[-1].append(i)
        used += size
    return blocks if grid.heads else []


def as_rows(grid: Pivot) -> list[dict[str, Any]]:
    """Return a row per model with a value per column, for a spreadsheet: fractions are fractions, gaps are empty."""
    return [
        {
            "model": model,
            **{
                label: (line.head.value if (line := grid.lines.get((model, head))) and line.head else None)
                for label, head in zip(grid.labels, grid.heads, strict=True)
            },
        }
        for model in grid.models
    ]


def as_json(grid: Pivot) -> list[dict[str, Any]]:
    """Return a cell per model and column, with its interval and runs."""
    return [
        {
            "model": model,
            "column": label,
            **head._asdict(),
            "value": line.head.value,
            "low": line.head.low,
            "high": line.head.high,
            "unit": line.head.unit,
            "better": line.head.better,
            "n": line.head.n,
            "runs": [card.run for card in line.cards],
            "marks": list(marks(line).values()),
        }
        for model in grid.models
        for label, head in zip(grid.labels, grid.heads, strict=True)
        if (line := grid.lines.get((model, head))) and line.head
    ]
