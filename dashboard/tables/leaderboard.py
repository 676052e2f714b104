"""The leaderboard as a table: models by columns, a column being what may be ranked together.

Two numbers share a column only if suite, version, protocol, data, items, judge and metric are the same. If several runs
of a model fit one cell, the newest complete one is shown and the cell says how many there are; a run that stopped early,
or of a subset, is shown only if no complete one exists, and is marked. Reported results, chance and baselines are kept
apart.
"""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import cache
from operator import is_
from typing import Any, Literal, NamedTuple

from msgspec import Struct, structs

from evals import load
from evals.dashboard.tables.frames import Entry
from evals.dashboard.tables.models import Facts, facts
from evals.errors import EvalsError
from evals.records.card import Card
from evals.run.collection_means import collection_means
from evals.run.overview import aggregates
from evals.terminal.runs import Line, marks
from evals.terminal.trust_marks import MEANINGS
from evals.types import Estimate

GENERAL = frozenset(
    {"mmlu-pro", "gpqa", "aime", "mmmu", "mmmu-pro", "mmstar", "mathvista", "mathvision", "chartqa", "ifeval"}
    | {"gqa", "vizwiz", "textvqa", "ocrvqa", "docvqa", "infovqa", "refcoco", "mergebench"}
)
"""Suites of general ability, as in the Intern-S1 README, and those about everyday pictures; all others are science."""

BASELINE = "baseline:"
ALPHA = 0.05
IN_HEADS = frozenset("SC")
"""Marks that the head of the column, or the cell's coverage, states in words."""


class Column(NamedTuple):
    """What may be ranked together."""

    suite: str
    protocol: str
    version: str
    data_sha256: str
    sample: bool
    """Whether the data are the bundled sample items."""
    limit: int | None
    judge: str
    metric: str
    unit: str
    better: Literal["higher", "lower"]

    @property
    def measure(self) -> str:
        """Return metric, unit and direction: `accuracy, % ↑`."""
        unit = "%" if self.unit == "fraction" else self.unit
        return f"{self.metric}, {unit} {'↑' if self.better == 'higher' else '↓'}"

    @property
    def general(self) -> bool:
        """Return whether it measures general ability rather than science."""
        return self.suite.partition(":")[0] in GENERAL


class Row(NamedTuple):
    """A model, or a baseline."""

    model: str
    thinking: bool | None
    """Whether reasoning was switched on or off; None: neither."""

    @property
    def label(self) -> str:
        """Return the name that the reader sees."""
        return (
            self.model
            if self.thinking is None
            else f"{self.model} (thinking {'on' if self.thinking else 'off'})"
        )

    @property
    def baseline(self) -> bool:
        """Return whether it is a baseline rather than a language model."""
        return self.model.startswith(BASELINE)

    @property
    def facts(self) -> Facts:
        """Return size and openness of the model."""
        return facts(self.model)


class Cell(Struct, frozen=True, kw_only=True):
    """A measured number with the run that it comes from."""

    estimate: Estimate
    entry: Entry | None
    """None: combined from several runs by the suite's own rule."""
    coverage: float
    runs: int = 1
    """Runs of this model in this column; the newest complete one is shown."""
    odd_temperature: bool = False
    """Whether most runs of this column have another temperature."""

    @property
    def marks(self) -> dict[str, str]:
        """Return the run's marks, letter or symbol -> words, as in `evals show`."""
        if self.entry is None:
            return {}
        letters = marks(
            Line(cards=(self.entry.card,), headline=self.estimate, challenges=(self.entry.challenge,))
        )
        if self.odd_temperature:
            letters["T"] = f"temperature unlike most, {temperature(self.entry.card)}"
        return {letter: words for letter, words in letters.items() if letter not in IN_HEADS}


class Board(NamedTuple):
    """Rows, columns and what is measured of them."""

    rows: tuple[Row, ...]
    columns: dict[str, Column]
    """By label."""
    cells: dict[tuple[Row, str], Cell]
    """By row and the column's label."""

    def column(self, label: str) -> dict[Row, Cell]:
        """Return the cells of one column, only of models, the best first."""
        sign = -1 if self.columns[label].better == "higher" else 1
        cells = {row: cell for (row, name), cell in self.cells.items() if name == label and not row.baseline}
        return dict(sorted(cells.items(), key=lambda item: sign * (item[1].estimate.value or 0.0)))

    def marks(self, labels: Iterable[str]) -> dict[str, str]:
        """Return the marks in these columns with their meanings, letters first."""
        chosen, meanings = set(labels), dict[str, str]()
        for (_, label), cell in self.cells.items():
            if label in chosen:
                meanings |= {
                    mark: MEANINGS.get(mark) or re.sub(r"[, ]*\d.*", "", words) or "few clusters"
                    for mark, words in cell.marks.items()
                }
        letters = sorted(meanings.keys() - MEANINGS.keys())
        return {mark: meanings[mark] for mark in (*letters, *MEANINGS) if mark in meanings}

    def chance(self, label: str) -> float | None:
        """Return the column's expected value of guessing."""
        chances = (c.entry.card.chance for (_, name), c in self.cells.items() if name == label and c.entry)
        return next((chance for chance in chances if chance is not None), None)


_LAST: list[tuple[tuple[Entry, ...], Board]] = []
"""The last board and the runs it was built from; unchanged runs are the same objects."""


def build(entries: Iterable[Entry]) -> Board:
    """Build the leaderboard; runs without a number are left out."""
    runs = tuple(entries)
    for built_of, board in _LAST:
        if len(built_of) == len(runs) and all(map(is_, built_of, runs)):
            return board
    board = _build(runs)
    _LAST[:] = [(runs, board)]
    return board


def _build(entries: Sequence[Entry]) -> Board:
    groups: dict[tuple[Row, Column], list[Entry]] = defaultdict(list)
    for entry in entries:
        if entry.headline and entry.headline.value is not None:
            groups[row_of(entry.card), column_of(entry.card, entry.headline)].append(entry)
    for key in [key for key in groups if _replaced(key, groups)]:
        del groups[key]
    labels = name_columns({column for _, column in groups})
    cells = {
        (row, labels[column]): Cell(
            estimate=chosen.headline,
            entry=chosen,
            coverage=chosen.card.coverage,
            runs=len(runs),
        )
        for (row, column), runs in groups.items()
        if (chosen := newest(runs)).headline
    }
    cells = _with_temperatures(cells) | _aggregated(cells, labels) | _of_collections(cells, labels)
    rows = sorted({row for row, _ in cells}, key=lambda row: (row.baseline, row.label.lower()))
    return Board(tuple(rows), {labels[c]: c for c in sorted(labels, key=order)}, cells)


def temperature(card: Card) -> str:
    """Return a run's sampling temperature in words."""
    value = card.config.sampling.temperature
    return "not set" if value is None else f"{value:g}"


def _with_temperatures(cells: Mapping[tuple[Row, str], Cell]) -> dict[tuple[Row, str], Cell]:
    """Mark the models' cells whose temperature is not the most frequent one of their column."""
    counts: dict[str, Counter[str]] = defaultdict(Counter)
    for (row, label), cell in cells.items():
        if cell.entry and not row.baseline:
            counts[label][temperature(cell.entry.card)] += 1
    usual = {label: count.most_common(1)[0][0] for label, count in counts.items() if len(count) > 1}
    return {
        (row, label): structs.replace(cell, odd_temperature=True)
        if label in usual and cell.entry and not row.baseline and temperature(cell.entry.card) != usual[label]
        else cell
        for (row, label), cell in cells.items()
    }


def newest(runs: Sequence[Entry]) -> Entry:
    """Return the newest complete run; if there is none, the newest."""
    return max(runs, key=lambda entry: (entry.card.complete, entry.card.started))


def _replaced(key: tuple[Row, Column], groups: Mapping[tuple[Row, Column], Sequence[Entry]]) -> bool:
    """Return whether the model has a complete run of the benchmark besides this subset."""
    row, column = key
    whole = groups.get((row, column._replace(limit=None)), ())
    return column.limit is not None and any(entry.card.complete for entry in whole)


def _aggregated(
    cells: Mapping[tuple[Row, str], Cell], labels: dict[Column, str]
) -> dict[tuple[Row, str], Cell]:
    """Return what suites define over their variants, such as the mean of SMolInstruct's 14 tasks; adds their labels."""
    columns = {label: column for column, label in labels.items()}
    groups: dict[tuple[Row, str, str, str, bool], list[Cell]] = defaultdict(list)
    for (row, label), cell in cells.items():
        column = columns[label]
        if column.limit is None:
            suite = column.suite.partition(":")[0]
            groups[row, suite, column.protocol, column.version, column.sample].append(cell)
    aggregated = {}
    for (row, suite, protocol, version, sample), parts in groups.items():
        cards = [cell.entry.card for cell in parts if cell.entry]
        for name, estimate in _estimates(cards) if len(cards) > 1 and _combines(suite) else ():
            named = f"{suite}:{name}" if name else suite
            column = Column(
                named, protocol, version, "", sample, None, "", estimate.metric, "fraction", "higher"
            )
            label = labels.setdefault(column, name_columns([column])[column])
            aggregated[row, label] = Cell(
                estimate=estimate, entry=None, coverage=min(cell.coverage for cell in parts)
            )
    return aggregated


def _of_collections(
    cells: Mapping[tuple[Row, str], Cell], labels: dict[Column, str]
) -> dict[tuple[Row, str], Cell]:
    """Return the means over the columns of collections, of rows that have all of them; adds their labels."""
    columns = {label: column for column, label in labels.items()}
    groups: dict[tuple[Row, bool], list[Card]] = defaultdict(list)
    for (row, label), cell in cells.items():
        if cell.entry and columns[label].limit is None:
            groups[row, columns[label].sample].append(cell.entry.card)
    means = {}
    for (row, sample), cards in groups.items():
        for mean in collection_means(cards):
            parts = [card for card in cards if card.run in mean["runs"]]
            estimate = _mean_estimate(mean, parts, metric="mean of all columns")
            if estimate is None:
                continue
            column = Column(
                mean["suite"],
                mean["protocol"],
                "",
                "",
                sample,
                None,
                "",
                estimate.metric,
                "fraction",
                "higher",
            )
            label = labels.setdefault(column, name_columns([column])[column])
            means[row, label] = Cell(
                estimate=estimate, entry=None, coverage=min(card.coverage for card in parts)
            )
    return means


@cache
def _combines(suite: str) -> bool:
    """Return whether a suite defines one number over its variants."""
    try:
        return load.recorded_benchmark(suite).aggregate is not None
    except EvalsError:  # this version does not have it
        return False


def _estimates(cards: list[Card]) -> Iterator[tuple[str, Estimate]]:
    """Yield the numbers that a suite defines over its variants; with names if they are several."""
    for mean in aggregates(cards):
        parts = [card for card in cards if card.run in mean["runs"]] if "metric" in mean else cards
        estimate = _mean_estimate(mean, parts, metric=mean.get("metric", f"mean of {len(parts)} tasks"))
        if estimate is not None:
            yield (mean["name"] if "metric" in mean else "", estimate)


def _mean_estimate(mean: Mapping[str, Any], cards: Sequence[Card], *, metric: str) -> Estimate | None:
    """Return a mean over runs as an estimate; None if it has no value."""
    if mean["value"] is None:
        return None
    headlines = [estimate for card in cards for estimate in card.estimates if estimate.headline]
    return Estimate(
        metric=metric,
        group="",
        value=mean["value"],
        low=mean["low"],
        high=mean["high"],
        worst=None,
        best=None,
        n=sum(estimate.n for estimate in headlines),
        clusters=sum(estimate.clusters for estimate in headlines),
        unit="fraction",
        better="higher",
        method=mean["method"],
        headline=True,
    )


def row_of(card: Card) -> Row:
    """Return the row of a run."""
    return Row(card.model, card.config.sampling.thinking)


def column_of(card: Card, headline: Estimate) -> Column:
    """Return the column of a run."""
    config = card.config
    return Column(
        suite=config.suite,
        protocol=config.protocol,
        version=config.version,
        data_sha256=config.data_sha256,
        sample=card.data == "sample",
        limit=config.limit,
        judge=config.judge,
        metric=headline.metric.partition("@")[0],
        unit=headline.unit,
        better=headline.better,
    )


def label_of(entry: Entry, entries: Iterable[Entry]) -> str:
    """Return the label of a run's column on the leaderboard of all runs; empty if it is in none."""
    if entry.headline is None or entry.headline.value is None:
        return ""
    wanted = column_of(entry.card, entry.headline)
    return next((label for label, column in build(entries).columns.items() if column == wanted), "")


def order(column: Column) -> tuple[bool, bool, str, str, str]:
    """Sort columns: the benchmark before sample items, general before science, then by name."""
    return column.sample, not column.general, column.suite, column.protocol, column.version


def name_columns(columns: Iterable[Column]) -> dict[Column, str]:
    """Return the shortest unique label of each column, e.g. `mmlu-pro · official`."""
    named = {column: f"{column.suite} · {column.protocol}" for column in columns}
    for column, name in named.items():
        marks = ["sample items" if column.sample else "", f"{column.limit} items" if column.limit else ""]
        named[column] = " · ".join([name, *filter(None, marks)])
    for part in (
        lambda c: f"v{c.version}",
        lambda c: f"judged by {c.judge}" if c.judge else "no judge",
        lambda c: c.metric,
        lambda c: f"data {c.data_sha256[:6]}",
    ):
        by_label: dict[str, list[Column]] = defaultdict(list)
        for column, name in named.items():
            by_label[name].append(column)
        for name, same_name in by_label.items():
            if len({part(column) for column in same_name}) > 1:
                named |= {column: f"{name} · {part(column)}" for column in same_name}
    return named
