"""The leaderboard's table as shown: heads of two lines, words for numbers, colours for standing. Plain pandas."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from itertools import cycle
from typing import TYPE_CHECKING, NamedTuple, TypeAlias

import pandas as pd

from evals.dashboard.choice import Choice
from evals.dashboard.tables.leaderboard import Board, Cell, Row
from evals.dashboard.tables.statistics import decimals, figure, mean, standing

if TYPE_CHECKING:
    from evals.dashboard.tables.significance import Ties
    from evals.verdicts.ranks import Rank

GROUNDS = {False: ("#ffffff", "#9cc3e5"), True: ("#12161c", "#1d4a75")}
"""Background of the worst and the best standing by theme; the text's contrast is at least 7:1 on all between."""
CHANCE = "chance"
MODEL, RANK, MEAN = "model", "rank", "mean"
FIGURE_SPACE = "\u2007"
"""As wide as a digit."""
UNIQUE = "\u200b"
"""A zero-width character that makes second lines of heads unique: that line alone identifies a selected cell."""


class Reported(NamedTuple):
    """A model's reported results, as a row among the measured ones."""

    model: str
    values: Mapping[str, float]
    """By label of the column."""


Lines: TypeAlias = Sequence[Row | Reported]


class Table(NamedTuple):
    """The numbers by which the table is sorted, and the words shown in its cells."""

    numbers: pd.DataFrame
    words: pd.DataFrame
    colours: pd.DataFrame
    """Standings from 0 to 1; NaN: no colour."""
    heads: dict[str, tuple[str, str]]
    """Column -> the two lines of its head."""


def table(board: Board, choice: Choice, lines: Lines, places: Ties) -> Table:
    """Return the table with its rows in this order, followed by the expected score of guessing."""
    ranks = {place.model: place for place in places.places}
    means = [MEAN] if choice.averaged else []
    ranked, *others = choice.columns
    names = [MODEL, ranked, RANK, *means, *others]  # on a phone, the ranked column is beside the names
    numbers = pd.DataFrame([_numbers(board, choice, line, ranks) for line in lines], columns=names)
    words = pd.DataFrame([_words(board, choice, line, ranks) for line in lines], columns=names)
    words[MODEL] = _short(words[MODEL].tolist())
    chances = {label: chance for label in choice.columns if (chance := board.chance(label)) is not None}
    if chances:
        numbers.loc[len(numbers)] = pd.Series({MODEL: CHANCE, **chances})
        shown = {label: plain(chance, board.columns[label].unit) for label, chance in chances.items()}
        words.loc[len(words)] = pd.Series({MODEL: CHANCE, **shown})
    for label in numbers.columns[1:]:
        numbers[label] = pd.to_numeric(numbers[label])
    colours = _colours(board, choice, lines, numbers, ranks)
    return Table(numbers, words.fillna(""), colours, heads(board, [*means, *choice.columns]))


def _short(names: list[str]) -> list[str]:
    """Leave out the organisation before a model's name, unless two rows would then have the same one.

    >>> _short(["internlm/Intern-S1", "a/Qwen3", "b/Qwen3"])
    ['Intern-S1', 'a/Qwen3', 'b/Qwen3']
    """
    counts = Counter(name.rpartition("/")[2] for name in names)
    return [last if counts[last := name.rpartition("/")[2]] == 1 else name for name in names]


def heads(board: Board, labels: Sequence[str]) -> dict[str, tuple[str, str]]:
    """Return both lines of every head: suite and protocol; metric, unit and direction."""
    lines = {MODEL: ("", MODEL), RANK: ("", RANK)}
    for place, label in enumerate(labels):
        if label == MEAN:
            lines[label] = ("chosen suites", "mean, % ↑")
        else:
            lines[label] = (label, board.columns[label].measure + UNIQUE * place)
    return lines


def _numbers(
    board: Board, choice: Choice, line: Row | Reported, ranks: Mapping[str, Rank]
) -> dict[str, object]:
    if isinstance(line, Reported):
        return {MODEL: line.model, **line.values}
    place = ranks.get(line.label)
    values: dict[str, object] = {MODEL: line.label, RANK: place.rank_low if place else None}
    if average := mean(board, line, choice.averaged):
        values[MEAN] = average.value
    for label in choice.columns:
        cell = board.cells.get((line, label))
        values[label] = cell.estimate.value if cell else None
    return values


def _words(board: Board, choice: Choice, line: Row | Reported, ranks: Mapping[str, Rank]) -> dict[str, str]:
    if isinstance(line, Reported):
        values = {label: plain(value, board.columns[label].unit) for label, value in line.values.items()}
        return {MODEL: f"{line.model} (reported)", **values}
    words = {MODEL: line.label, RANK: _rank(ranks.get(line.label))}
    if average := mean(board, line, choice.averaged):
        words[MEAN] = figure(*average, "fraction")
    return words | {label: cell_words(board.cells.get((line, label))) for label in choice.columns}


def _rank(place: Rank | None) -> str:
    if place is None:
        return ""
    high = "" if place.rank_low == place.rank_high else f"–{place.rank_high}"
    return f"{place.rank_low}{high} {place.groups}"


def cell_words(cell: Cell | None) -> str:
    """Return the words of a cell: the number, half its interval, its coverage if below 100 %, its marks."""
    if cell is None:
        return ""
    estimate = cell.estimate
    covered = "" if cell.coverage >= 1 else f"({100 * min(cell.coverage, 0.9999):.1f} %)"
    number = figure(estimate.value, estimate.low, estimate.high, estimate.unit)
    return " ".join(filter(None, (number, covered, "".join(cell.marks))))


def _colours(
    board: Board, choice: Choice, lines: Lines, numbers: pd.DataFrame, ranks: Mapping[str, Rank]
) -> pd.DataFrame:
    """Return standings: by the paired comparison in the ranked column, by the intervals in the others."""
    standings = {}
    rows = {line for line in lines if isinstance(line, Row) and not line.baseline}
    for label in choice.columns:
        if label == choice.rank and ranks:
            shares = _by_rank(ranks, rows)
        else:
            estimates = {row: board.cells[row, label].estimate for row in rows if (row, label) in board.cells}
            shares = standing(estimates, better=board.columns[label].better)
        standings[label] = [shares.get(line) if isinstance(line, Row) else None for line in lines]
    return pd.DataFrame(standings, columns=numbers.columns, dtype=float).reindex(numbers.index)


def _by_rank(ranks: Mapping[str, Rank], rows: set[Row]) -> dict[Row, float]:
    most = len(ranks) - 1
    if most < 1 or all(place.rank_low == 1 and place.rank_high == len(ranks) for place in ranks.values()):
        return {}
    middles = {row: (place.rank_low + place.rank_high) / 2 for row in rows if (place := ranks.get(row.label))}
    return {row: 1 - (middle - 1) / most for row, middle in middles.items()}


def styled(shown: Table, *, dark: bool) -> pd.io.formats.style.Styler:
    """Return the numbers with words, colours and heads of two lines applied."""
    names = pd.MultiIndex.from_tuples([shown.heads[name] for name in shown.numbers.columns])
    numbers = shown.numbers.set_axis(names, axis=1)
    style = numbers.style
    for name in shown.words:
        written = shown.words[name] if name == MODEL else aligned(shown.words[name].tolist())
        words = cycle(written)  # a column is written from its first row to its last
        style = style.format(lambda _, words=words: next(words), subset=[shown.heads[name]])
    grounds = shown.colours.map(
        lambda share: "" if share != share else f"background-color: {mixed(share, dark=dark)}"
    ).set_axis(names, axis=1)
    return style.apply(lambda _: grounds, axis=None)


def aligned(words: Sequence[str]) -> list[str]:
    """Return numbers with spaces as wide as a digit in front, so that their decimal points stand below each other.

    >>> aligned(["17.7 ±1.4", "8.5 ±1.0", ""])
    ['17.7 ±1.4', '\u20078.5 ±1.0', '']
    """
    whole = [len(text) - len(text.lstrip("-0123456789,")) for text in words]
    most = max(whole, default=0)
    return [
        f"{FIGURE_SPACE * (most - digits)}{text}" if digits else text
        for text, digits in zip(words, whole, strict=True)
    ]


def mixed(share: float, *, dark: bool) -> str:
    """Return a colour between the two backgrounds of a theme."""
    low, high = ([int(colour[i : i + 2], 16) for i in (1, 3, 5)] for colour in GROUNDS[dark])
    return "#" + "".join(f"{round(a + (b - a) * share):02x}" for a, b in zip(low, high, strict=True))


def unit(name: str) -> str:
    """Return the symbol of a unit."""
    return "%" if name == "fraction" else name


def plain(value: float | None, unit_: str) -> str:
    """Return a number without its unit."""
    return figure(value, None, None, unit_)


def span(low: float | None, high: float | None, unit_: str) -> str:
    """Return an interval without its unit."""
    if low is None or high is None:
        return "not known"
    if unit_ == "fraction":
        return f"{100 * low:.1f} to {100 * high:.1f}"
    digits = decimals((high - low) / 2)
    return f"{low:.{digits}f} to {high:.{digits}f}"
