"""The leaderboard as a table: models by columns, a column being what may be ranked together.

Two numbers share a column only if suite, version, protocol, data, items, judge and metric are the same. If several runs
of a model fit one cell, the newest complete one is shown and the cell says how many there are; a run that stopped early,
or of a subset, is shown only if no complete one exists, and is marked. Reported results, chance and baselines are kept
apart.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from functools import cache
from itertools import combinations
from math import erfc, sqrt
from operator import is_
from typing import Literal, NamedTuple

from msgspec import Struct, structs

from evals import load
from evals.dashboard.tables.frames import Entry
from evals.dashboard.tables.models import Facts, facts
from evals.errors import EvalsError
from evals.records.card import Card
from evals.run.overview import aggregates
from evals.terminal.runs import Line, marks
from evals.types import Estimate
from evals.verdicts import difference

GENERAL = frozenset(
    {"mmlu-pro", "gpqa", "aime", "mmmu", "mmmu-pro", "mmstar", "mathvista", "mathvision", "chartqa", "ifeval"}
)
"""Suites of general ability, as in the Intern-S1 README; all others are science."""

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
        """Whether it measures general ability rather than science."""
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
        """Whether it is a baseline rather than a language model."""
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
        """Return the run's marks, letter -> words, as in `evals show`."""
        if self.entry is None:
            return {}
        letters = marks(Line(cards=(self.entry.card,), head=self.estimate))
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
        """Return the cells of one column, the best first, models alone."""
        sign = -1 if self.columns[label].better == "higher" else 1
        cells = {row: cell for (row, name), cell in self.cells.items() if name == label and not row.baseline}
        return dict(sorted(cells.items(), key=lambda item: sign * (item[1].estimate.value or 0.0)))

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
    cells = _with_temperatures(cells) | _aggregated(cells, labels)
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
        estimate = _aggregate(cards) if len(cards) > 1 and _combines(suite) else None
        if estimate is None:
            continue
        column = Column(suite, protocol, version, "", sample, None, "", estimate.metric, "fraction", "higher")
        label = labels.setdefault(column, name_columns([column])[column])
        aggregated[row, label] = Cell(
            estimate=estimate, entry=None, coverage=min(cell.coverage for cell in parts)
        )
    return aggregated


@cache
def _combines(suite: str) -> bool:
    """Return whether a suite defines one number over its variants."""
    try:
        return load.recorded_benchmark(suite).aggregate is not None
    except EvalsError:  # this version does not have it
        return False


def _aggregate(cards: list[Card]) -> Estimate | None:
    rows = aggregates(cards)
    if not rows or rows[0]["value"] is None:
        return None
    headlines = [estimate for card in cards for estimate in card.estimates if estimate.headline]
    return Estimate(
        metric=f"mean of {len(cards)} tasks",
        group="",
        value=rows[0]["value"],
        low=rows[0]["low"],
        high=rows[0]["high"],
        worst=None,
        best=None,
        n=sum(estimate.n for estimate in headlines),
        clusters=sum(estimate.clusters for estimate in headlines),
        unit="fraction",
        better="higher",
        method=rows[0]["method"],
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


class Mean(NamedTuple):
    """A mean over several columns with its joint 95 % interval."""

    value: float
    low: float | None
    high: float | None


def mean_refused(board: Board, labels: Sequence[str]) -> str:
    """Return why there is no mean over these columns; empty if there is."""
    columns = [board.columns[label] for label in labels]
    if odd := next((c for c in columns if c.unit != "fraction" or c.better == "lower"), None):
        return f"{odd.suite} is measured in {odd.unit}, {odd.better} is better: it cannot be averaged with fractions."
    twice = [name for name, count in Counter(c.suite for c in columns).items() if count > 1]
    return f"{twice[0]} is chosen twice, under several protocols or data." if twice else ""


def mean(board: Board, row: Row, labels: Sequence[str]) -> Mean | None:
    """Average a row's cells; None unless all of them are measured.

    The suites' items are different ones, so their errors are independent: each side of the joint interval is the root
    of the summed squares of that side's distances (Zou and Donner, Statistics in Medicine 27, 2008, 1693-1702).
    """
    estimates = [board.cells[row, label].estimate for label in labels if (row, label) in board.cells]
    if not labels or len(estimates) < len(labels):
        return None
    return joint([(e.value or 0.0, e.low, e.high) for e in estimates])


def joint(parts: Sequence[tuple[float, float | None, float | None]]) -> Mean:
    """Average independent numbers given with their intervals."""
    value = sum(part for part, _, _ in parts) / len(parts)
    if any(low is None or high is None for _, low, high in parts):
        return Mean(value, None, None)
    down = sqrt(sum((part - low) ** 2 for part, low, _ in parts if low is not None)) / len(parts)
    up = sqrt(sum((high - part) ** 2 for part, _, high in parts if high is not None)) / len(parts)
    return Mean(value, value - down, value + up)


def figure(value: float | None, low: float | None, high: float | None, unit: str) -> str:
    """Return a number with its interval, without its unit: `43.6 ±0.9`, or `12.5 +23.5 −9.0` if it is asymmetric.

    >>> figure(0.4358, 0.4270, 0.4447, "fraction")
    '43.6 ±0.9'
    >>> figure(0.125, 0.035, 0.36, "fraction")
    '12.5 +23.5 −9.0'
    """
    if value is None:
        return ""
    scale = 100.0 if unit == "fraction" else 1.0
    if low is None or high is None:
        return f"{scale * value:.1f}" if unit == "fraction" else f"{value:.4g}"
    down, up = scale * (value - low), scale * (high - value)
    digits = 1 if unit == "fraction" else decimals(max(down, up))
    shown = f"{scale * value:.{digits}f}"
    if abs(up - down) <= max(0.1 * (up + down), 1.01 * 10**-digits):
        return f"{shown} ±{(down + up) / 2:.{digits}f}"
    return f"{shown} +{up:.{digits}f} −{down:.{digits}f}"


def decimals(half: float) -> int:
    """Return the decimals that show two figures of an interval's half width."""
    digits = 0
    while half and half < 10 and digits < 6:
        half, digits = half * 10, digits + 1
    return digits


def standing(estimates: Mapping[Row, Estimate], *, better: str) -> dict[Row, float]:
    """Return each row's standing from 0 (shown to be worse than all others) to 1; empty if no difference is shown.

    Two rows differ if the 95 % interval of their difference excludes 0 after Holm over all pairs. The difference is
    taken as of independent estimates, from each side's distance to its limit (Zou and Donner 2008): conservative for
    models that answered the same items. Rows without an interval have no standing.
    """
    known: list[tuple[Row, float, float, float]] = []
    for row, e in estimates.items():
        if e.value is not None and e.low is not None and e.high is not None:
            known.append((row, e.value, e.low, e.high))
    pairs = [(a, b) if a[1] >= b[1] else (b, a) for a, b in combinations(known, 2)]
    adjusted = difference.holm([_p_equal(above, below) for above, below in pairs])
    shown = [(a[0], b[0]) for (a, b), p in zip(pairs, adjusted, strict=True) if p <= ALPHA]
    above, below = Counter(row for row, _ in shown), Counter(row for _, row in shown)
    sign = 1 if better == "higher" else -1
    if not shown:
        return {}
    most = len(known) - 1
    return {row: 0.5 + sign * (above[row] - below[row]) / (2 * most) for row, *_ in known}


def _p_equal(above: tuple[Row, float, float, float], below: tuple[Row, float, float, float]) -> float:
    (_, high_value, high_low, _), (_, low_value, _, low_high) = above, below
    half = sqrt((high_value - high_low) ** 2 + (low_high - low_value) ** 2)
    apart = high_value - low_value
    return erfc(1.959964 * apart / half / sqrt(2)) if half else float(apart == 0)
