"""The leaderboard as a table of models by columns; scores in a column may be ranked together.

Two scores share a column only if their suite, version, protocol, data, items, judge and metric are the same. If a model
has several runs in a column, the newest complete one is shown, with the number of runs. A run that was stopped early or
covers a subset is shown, with a mark, only if the model has no complete run. Reported results, the score of guessing, and
baselines are not ranked.
"""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from functools import cache
from hashlib import sha256
from operator import is_
from typing import Any, Literal, NamedTuple, TypeAlias

from msgspec import Struct, structs

from evals import load
from evals.dashboard.tables.frames import Entry
from evals.dashboard.tables.models import ModelFacts, model_facts
from evals.errors import EvalsError
from evals.records.card import Card, Config
from evals.report.aggregate import averaged_cards
from evals.run.collection_means import collection_means
from evals.run.overview import aggregates
from evals.terminal.runs import RunRow, marks
from evals.terminal.trust_marks import MEANINGS
from evals.types import Estimate

GENERAL = frozenset(
    {"mmlu-pro", "gpqa", "aime", "mmmu", "mmstar", "mathvista", "mathvision", "chartqa", "ifeval"}
    | {"gqa", "vizwiz", "textvqa", "ocrvqa", "docvqa", "infovqa", "refcoco", "mergebench"}
)
"""Suites of general ability, as in the Intern-S1 README, and of everyday images; all other suites are science."""

BASELINE = "baseline:"
"""Prefix of the model names of baselines, such as always choosing A."""
REDUNDANT_MARKS = frozenset("SC")
"""Marks that are not shown: the column's heading states S (sample items), and the cell's coverage states C (some not scored)."""


class Column(NamedTuple):
    """A column, identified by the properties that scores must share to be ranked together."""

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
    selection: str = ""
    """How a subset was selected: its seed, or a hash of the ids; empty: all items."""

    @property
    def measure(self) -> str:
        """Return metric, unit and direction: `accuracy, % ↑`."""
        unit = "%" if self.unit == "fraction" else self.unit
        return f"{self.metric}, {unit} {'↑' if self.better == 'higher' else '↓'}"

    @property
    def is_general(self) -> bool:
        """Return whether the suite measures general ability rather than science."""
        return self.suite.partition(":")[0] in GENERAL


class Row(NamedTuple):
    """A model, or a baseline."""

    model: str
    thinking: bool | None
    """Whether reasoning was switched on or off; None if it was not set."""

    @property
    def label(self) -> str:
        """Return the displayed name."""
        if self.thinking is None:
            return self.model
        return f"{self.model} (thinking {'on' if self.thinking else 'off'})"

    @property
    def is_baseline(self) -> bool:
        """Return whether the row is a baseline rather than a language model."""
        return self.model.startswith(BASELINE)

    @property
    def facts(self) -> ModelFacts:
        """Return what is known about the model: its size, and whether its weights are open."""
        return model_facts(self.model)


class Cell(Struct, frozen=True, kw_only=True):
    """A measured score with its run."""

    estimate: Estimate
    entry: Entry | None
    """None if the score is an aggregate over several runs."""
    coverage: float
    runs: int = 1
    """Number of runs of this model in this column."""
    has_unusual_temperature: bool = False
    """Whether the run's temperature is not the most frequent one in the column."""

    @property
    def marks(self) -> dict[str, str]:
        """Return the score's marks, letters or symbols, with their descriptions."""
        if self.entry is None:
            return {}
        descriptions = run_marks(self.entry)
        if self.has_unusual_temperature:
            descriptions["T"] = f"unusual temperature, {temperature_text(self.entry.card)}"
        return descriptions


def run_marks(entry: Entry) -> dict[str, str]:
    """Return a run's marks, letters or symbols, with their descriptions, as in `evals show`."""
    row = RunRow(cards=(entry.card,), headline=entry.headline, challenges=(entry.challenge,))
    return {mark: text for mark, text in marks(row).items() if mark not in REDUNDANT_MARKS}


def mark_meanings(marks_by_score: Iterable[Mapping[str, str]]) -> dict[str, str]:
    """Return a legend: each mark that occurs, with its meaning, letters first; `marks_by_score`: the marks of each score."""
    # descriptions without their numbers; the description of F is only a number of clusters
    meanings = {
        mark: MEANINGS.get(mark) or re.sub(r"[, ]*\d.*", "", description) or "few clusters"
        for descriptions in marks_by_score
        for mark, description in descriptions.items()
    }
    letters = sorted(meanings.keys() - MEANINGS.keys())
    return {mark: meanings[mark] for mark in (*letters, *MEANINGS) if mark in meanings}


_CellKey: TypeAlias = tuple[Row, str]
"""A cell's row, and the label of its column."""


class Board(NamedTuple):
    """Rows, columns and cells of the leaderboard."""

    rows: tuple[Row, ...]
    columns: dict[str, Column]
    """By label."""
    cells: dict[_CellKey, Cell]

    def model_cells(self, label: str) -> dict[Row, Cell]:
        """Return the cells of the models in a column, best first, without baselines."""
        sign = -1 if self.columns[label].better == "higher" else 1
        cells = {
            row: cell for (row, name), cell in self.cells.items() if name == label and not row.is_baseline
        }
        return dict(sorted(cells.items(), key=lambda item: sign * (item[1].estimate.value or 0.0)))

    def runs(self, label: str) -> dict[Row, Entry]:
        """Return the runs of the models in a column, best first, without aggregates over several runs."""
        return {row: cell.entry for row, cell in self.model_cells(label).items() if cell.entry}

    def marks(self, labels: Iterable[str]) -> dict[str, str]:
        """Return the marks of the scores in these columns with their meanings, letters first."""
        chosen = set(labels)
        return mark_meanings(cell.marks for (_, label), cell in self.cells.items() if label in chosen)

    def chance(self, label: str) -> float | None:
        """Return the expected score of guessing in a column; None if it is unknown."""
        chances = (
            cell.entry.card.chance for (_, name), cell in self.cells.items() if name == label and cell.entry
        )
        return next((chance for chance in chances if chance is not None), None)


_CACHE: list[tuple[tuple[Entry, ...], Board]] = []
"""The runs and the board of the last call to `build`. A run that has not changed is the same object in the next call."""


def build(entries: Iterable[Entry]) -> Board:
    """Return the leaderboard of the runs that have a score."""
    runs = tuple(entries)
    for previous_runs, board in _CACHE:
        if len(previous_runs) == len(runs) and all(map(is_, previous_runs, runs)):
            return board
    board = _build(runs)
    _CACHE[:] = [(runs, board)]
    return board


def _build(entries: Sequence[Entry]) -> Board:
    groups: dict[tuple[Row, Column], list[Entry]] = defaultdict(list)
    for entry in entries:
        if entry.headline and entry.headline.value is not None:
            groups[row_of(entry.card), column_of(entry.card, entry.headline)].append(entry)
    for key in [key for key in groups if _is_superseded_subset(key, groups)]:
        del groups[key]
    labels = name_columns({column for _, column in groups})
    cells = {
        (row, labels[column]): Cell(
            estimate=run.headline, entry=run, coverage=run.card.coverage, runs=len(runs)
        )
        for (row, column), runs in groups.items()
        if (run := max(runs, key=Entry.precedence)).headline
    }
    means = _mean_cells(cells, labels)
    mean_labels = name_columns({column for _, column in means})
    labels |= mean_labels
    cells = _mark_temperatures(cells) | {
        (row, mean_labels[column]): cell for (row, column), cell in means.items()
    }
    rows = sorted({row for row, _ in cells}, key=lambda row: (row.is_baseline, row.label.lower()))
    return Board(tuple(rows), {labels[column]: column for column in sorted(labels, key=sort_key)}, cells)


def temperature_text(card: Card) -> str:
    """Return a run's sampling temperature as text."""
    value = card.config.sampling.temperature
    return "not set" if value is None else f"{value:g}"


def _mark_temperatures(cells: Mapping[_CellKey, Cell]) -> dict[_CellKey, Cell]:
    """Return the cells, marked if their run's temperature is not the most frequent one in the column; baselines are ignored."""
    counts: dict[str, Counter[str]] = defaultdict(Counter)
    for (row, label), cell in cells.items():
        if cell.entry and not row.is_baseline:
            counts[label][temperature_text(cell.entry.card)] += 1
    marked_cells = dict(cells)
    for (row, label), cell in cells.items():
        if cell.entry and not row.is_baseline:
            is_unusual = temperature_text(cell.entry.card) != counts[label].most_common(1)[0][0]
            marked_cells[row, label] = structs.replace(cell, has_unusual_temperature=is_unusual)
    return marked_cells


def _is_superseded_subset(
    key: tuple[Row, Column], groups: Mapping[tuple[Row, Column], Sequence[Entry]]
) -> bool:
    """Return whether the column is for a subset of a suite that the model has also run completely."""
    row, column = key
    complete_runs = groups.get((row, column._replace(limit=None, selection="")), ())
    return column.limit is not None and any(entry.card.complete for entry in complete_runs)


def _mean_cells(
    cells: Mapping[_CellKey, Cell], labels: Mapping[Column, str]
) -> dict[tuple[Row, Column], Cell]:
    """Return the suites' aggregates over variants, such as the mean of SMolInstruct's 14 tasks, and means over collections."""
    columns = {label: column for column, label in labels.items()}
    cards_by_suite: dict[tuple[Row, str, str, str, bool], list[Card]] = defaultdict(list)
    cards_by_row: dict[tuple[Row, bool], list[Card]] = defaultdict(list)
    for (row, label), cell in cells.items():
        column = columns[label]
        if cell.entry and column.limit is None:
            suite = column.suite.partition(":")[0]
            key = row, suite, column.protocol, column.version, column.sample
            cards_by_suite[key].append(cell.entry.card)
            cards_by_row[row, column.sample].append(cell.entry.card)
    means = {}
    for (row, suite, protocol, version, sample), cards in cards_by_suite.items():
        for mean in aggregates(cards) if len(cards) > 1 and _defines_aggregate(suite) else ():
            name = ":".join(filter(None, (suite, mean.get("name"))))
            metric = mean.get("metric", f"mean of {len(averaged_cards(mean, cards))} tasks")
            column = Column(name, protocol, version, "", sample, None, "", metric, "fraction", "higher")
            means[row, column] = _mean_cell(mean, cards, metric)
    for (row, sample), cards in cards_by_row.items():
        for mean in collection_means(cards):
            metric, names = "mean of all columns", (mean["suite"], mean["protocol"])
            column = Column(*names, "", "", sample, None, "", metric, "fraction", "higher")
            means[row, column] = _mean_cell(mean, cards, metric)
    return {key: cell for key, cell in means.items() if cell is not None}


@cache
def _defines_aggregate(suite: str) -> bool:
    try:
        return load.recorded_benchmark(suite).aggregate is not None
    except EvalsError:  # unknown to this version
        return False


def _mean_cell(mean: Mapping[str, Any], cards: Sequence[Card], metric: str) -> Cell | None:
    """Return the cell of a mean over some of these runs; None if the mean is undefined."""
    if mean["value"] is None:
        return None
    averaged = averaged_cards(mean, cards)
    headlines = [estimate for card in averaged for estimate in card.estimates if estimate.headline]
    estimate = Estimate(
        metric=metric, group="", value=mean["value"], low=mean["low"], high=mean["high"], worst=None, best=None,
        n=sum(estimate.n for estimate in headlines), clusters=sum(estimate.clusters for estimate in headlines),
        unit="fraction", better="higher", method=mean["method"], headline=True,
    )  # fmt: skip
    return Cell(estimate=estimate, entry=None, coverage=min(card.coverage for card in averaged))


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
        selection=selection_of(config),
    )


def selection_of(config: Config) -> str:
    """Return how the samples of a run were selected, see `Column.selection`."""
    if config.sample_ids:
        return f"items {sha256(repr(config.sample_ids).encode()).hexdigest()[:6]}"
    return "" if config.limit is None else f"seed {config.seed}"


def column_label(entry: Entry, entries: Iterable[Entry]) -> str:
    """Return the label of a run's column on the leaderboard of all runs; empty if the run has no score."""
    if entry.headline is None or entry.headline.value is None:
        return ""
    run_column = column_of(entry.card, entry.headline)
    return next((label for label, column in build(entries).columns.items() if column == run_column), "")


def sort_key(column: Column) -> tuple[bool, bool, str, str, str]:
    """Return a column's sort key: benchmarks before sample items, general before science, then by name."""
    return column.sample, not column.is_general, column.suite, column.protocol, column.version


def name_columns(columns: Iterable[Column]) -> dict[Column, str]:
    """Return a label for each column, with the details that distinguish it from others, e.g. `mmlu-pro · official`."""
    labels = {column: f"{column.suite} · {column.protocol}" for column in columns}
    for column, name in labels.items():
        notes = ["sample items" if column.sample else "", f"{column.limit} items" if column.limit else ""]
        labels[column] = " · ".join([name, *filter(None, notes)])
    for detail_of in (
        lambda column: f"v{column.version}",
        lambda column: f"judged by {column.judge}" if column.judge else "no judge",
        lambda column: column.metric,
        lambda column: f"data {column.data_sha256[:6]}",
        lambda column: column.selection,
    ):
        by_label: dict[str, list[Column]] = defaultdict(list)
        for column, name in labels.items():
            by_label[name].append(column)
        for name, same_name in by_label.items():
            if len({detail_of(column) for column in same_name}) > 1:
                labels |= {column: f"{name} · {detail_of(column)}" for column in same_name}
    return labels
