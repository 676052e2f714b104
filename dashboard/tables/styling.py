"""The leaderboard's table as it is shown: words for numbers, colours for places. Plain pandas."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import cycle
from typing import TYPE_CHECKING, NamedTuple

import pandas as pd

from evals.dashboard.choice import Choice
from evals.dashboard.tables.leaderboard import Board, Cell, Row, decimals, figure, heat, mean

if TYPE_CHECKING:
    from evals.dashboard.tables.significance import Ties
    from evals.verdicts.ranks import Rank

GROUNDS = {False: ("#ffffff", "#9cc3e5"), True: ("#12161c", "#1d4a75")}
"""Ground of a column's worst and best cell by theme; text stands out from all between by 7:1 and more."""
CHANCE = "chance"
MODEL, RANK, MEAN = "model", "rank", "mean"


class Table(NamedTuple):
    """A table of numbers to sort by, and what the reader sees in its cells."""

    numbers: pd.DataFrame
    words: pd.DataFrame
    colours: pd.DataFrame
    """Places from 0 to 1; NaN: no colour."""


def table(board: Board, choice: Choice, rows: Sequence[Row], places: Ties) -> Table:
    """Lay out the rows in their order, and under them what guessing gives."""
    ranks = {place.model: place for place in places.places}
    numbers = [_numbers(board, choice, row, ranks.get(row.label)) for row in rows]
    words = [_words(board, choice, row, ranks.get(row.label)) for row in rows]
    chances = {label: board.chance(label) for label in choice.columns}
    if any(chance is not None for chance in chances.values()):
        blank = {name: None for name in numbers[0] if name not in chances} if numbers else {}
        numbers.append({**blank, **chances, MODEL: CHANCE})
        said = {label: plain(chance, board.columns[label].unit) for label, chance in chances.items()}
        words.append({**dict.fromkeys(blank, ""), **said, MODEL: CHANCE})
    frame = pd.DataFrame(numbers)
    for label in (RANK, MEAN, *choice.columns):
        if label in frame:
            frame[label] = pd.to_numeric(frame[label])
    return Table(frame, pd.DataFrame(words), _colours(board, choice, rows, frame))


def _numbers(board: Board, choice: Choice, row: Row, place: Rank | None) -> dict[str, object]:
    found: dict[str, object] = {MODEL: row.label, RANK: place.rank_low if place else None}
    if choice.averaged:
        average = mean(board, row, choice.averaged)
        found[MEAN] = average.value if average else None
    for label in choice.columns:
        cell = board.cells.get((row, label))
        found[label] = cell.estimate.value if cell else None
    return found


def _words(board: Board, choice: Choice, row: Row, place: Rank | None) -> dict[str, str]:
    said = {MODEL: row.label, RANK: _rank(place)}
    if choice.averaged:
        average = mean(board, row, choice.averaged)
        said[MEAN] = figure(*average, "fraction") if average else ""
    for label in choice.columns:
        said[label] = cell_words(board.cells.get((row, label)))
    return said


def _rank(place: Rank | None) -> str:
    if place is None:
        return ""
    high = "" if place.rank_low == place.rank_high else f"–{place.rank_high}"
    return f"{place.rank_low}{high} {place.groups}"


def cell_words(cell: Cell | None) -> str:
    """Write a cell: the number, half its interval, its coverage where that is not whole."""
    if cell is None:
        return ""
    one = cell.estimate
    said = figure(one.value, one.low, one.high, one.unit)
    return said if cell.coverage >= 1 else f"{said} ({100 * min(cell.coverage, 0.9999):.1f} %)"


def _colours(board: Board, choice: Choice, rows: Sequence[Row], frame: pd.DataFrame) -> pd.DataFrame:
    found = pd.DataFrame(float("nan"), index=frame.index, columns=frame.columns)
    for label in choice.columns:
        values = {
            row: cell.estimate.value
            for row in rows
            if not row.baseline
            and (cell := board.cells.get((row, label)))
            and cell.estimate.value is not None
        }
        shares = heat(values, board.columns[label].better)
        found[label] = [shares.get(row, float("nan")) for row in rows] + [float("nan")] * (
            len(frame) - len(rows)
        )
    return found


def styled(found: Table, *, dark: bool) -> pd.io.formats.style.Styler:
    """Dress the numbers in their words and colours."""
    style = found.numbers.style
    for name in found.words:
        words = cycle(found.words[name].fillna(""))  # a column is written from its first row to its last
        style = style.format(lambda _, said=words: next(said), subset=[name])
    grounds = found.colours.map(
        lambda share: "" if share != share else f"background-color: {mixed(share, dark=dark)}"
    )
    return style.apply(lambda _: grounds, axis=None)


def mixed(share: float, *, dark: bool) -> str:
    """Mix the two grounds of a theme."""
    low, high = ([int(one[i : i + 2], 16) for i in (1, 3, 5)] for one in GROUNDS[dark])
    return "#" + "".join(f"{round(a + (b - a) * share):02x}" for a, b in zip(low, high, strict=True))


def unit(name: str) -> str:
    """Give a unit as it is shown."""
    return "%" if name == "fraction" else name


def plain(value: float | None, unit_: str) -> str:
    """Write a number without its unit."""
    return figure(value, None, None, unit_)


def span(low: float | None, high: float | None, unit_: str) -> str:
    """Write an interval without its unit."""
    if low is None or high is None:
        return "not known"
    if unit_ == "fraction":
        return f"{100 * low:.1f} to {100 * high:.1f}"
    digits = decimals((high - low) / 2)
    return f"{low:.{digits}f} to {high:.{digits}f}"
