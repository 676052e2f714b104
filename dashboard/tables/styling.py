"""The leaderboard's table as displayed: two-line headings, formatted scores, and colours by standing."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from itertools import cycle
from math import isnan
from typing import TYPE_CHECKING, NamedTuple, TypeAlias

import pandas as pd

from evals.dashboard.filters import Filters
from evals.dashboard.tables.leaderboard import Board, Cell, Row
from evals.dashboard.tables.statistics import mean, standings
from evals.plain import decimal_places, format_with_interval, percent, percent_digits

if TYPE_CHECKING:
    from evals.dashboard.tables.significance import ColumnRanks
    from evals.verdicts.ranks import Rank

BACKGROUNDS = {False: ("#ffffff", "#9cc3e5"), True: ("#12161c", "#1d4a75")}
"""Whether the theme is dark -> backgrounds of the worst and the best standing; text has a contrast of 7:1 or more."""
CHANCE = "chance"
"""Name of the row with the expected score of guessing."""
MODEL, RANK, MEAN = "model", "rank", "mean"
FIGURE_SPACE = "\u2007"
"""A space as wide as a digit."""
ZERO_WIDTH_SPACE = "\u200b"
"""Makes the second lines of headings unique, because Streamlit identifies a selected cell by that line."""


class ReportedRow(NamedTuple):
    """A model's reported results as a row of the table."""

    model: str
    values: Mapping[str, float]
    """By label of the column."""


Ranks: TypeAlias = "Mapping[str, Rank]"
"""By label of the row."""
TableRow: TypeAlias = Row | ReportedRow
"""A row of the table, measured or reported."""


class Table(NamedTuple):
    """The numbers by which Streamlit sorts the table, and the texts and colours that it displays."""

    numbers: pd.DataFrame
    texts: pd.DataFrame
    colours: pd.DataFrame
    """Standings from 0 to 1; NaN for cells without a colour."""
    headings: dict[str, tuple[str, str]]
    """Column -> the two lines of its heading."""


def table(board: Board, filters: Filters, rows: Sequence[TableRow], column_ranks: ColumnRanks) -> Table:
    """Return the table with these rows, followed by a row with the expected score of guessing."""
    ranks = {rank.model: rank for rank in column_ranks.ranks}
    means = [MEAN] if filters.averaged else []
    ranked_column, *other_columns = filters.columns
    # the ranked column comes first, so that a phone shows it
    names = [MODEL, ranked_column, RANK, *means, *other_columns]
    numbers = pd.DataFrame([_row_numbers(board, filters, row, ranks) for row in rows], columns=names)
    texts = pd.DataFrame([_row_texts(board, filters, row, ranks) for row in rows], columns=names)
    texts[MODEL] = _short_names(texts[MODEL].tolist())
    chances = {label: chance for label in filters.columns if (chance := board.chance(label)) is not None}
    if chances:
        numbers.loc[len(numbers)] = pd.Series({MODEL: CHANCE, **chances})
        chance_texts = {
            label: format_value(chance, board.columns[label].unit) for label, chance in chances.items()
        }
        texts.loc[len(texts)] = pd.Series({MODEL: CHANCE, **chance_texts})
    for label in numbers.columns[1:]:
        numbers[label] = pd.to_numeric(numbers[label])
    colours = _colours(board, filters, rows, numbers, ranks)
    return Table(numbers, texts.fillna(""), colours, headings(board, [*means, *filters.columns]))


def _short_names(names: list[str]) -> list[str]:
    """Return model names without their organisation, except those that would then be equal.

    >>> _short_names(["internlm/Intern-S1", "a/Qwen3", "b/Qwen3"])
    ['Intern-S1', 'a/Qwen3', 'b/Qwen3']
    """
    counts = Counter(name.rpartition("/")[2] for name in names)
    return [last if counts[last := name.rpartition("/")[2]] == 1 else name for name in names]


def headings(board: Board, labels: Sequence[str]) -> dict[str, tuple[str, str]]:
    """Return the two lines of each heading: suite and protocol; metric, unit and direction."""
    lines = {MODEL: ("", MODEL), RANK: ("", RANK)}
    for index, label in enumerate(labels):
        if label == MEAN:
            lines[label] = ("selected suites", "mean, % ↑")
        else:
            lines[label] = (label, board.columns[label].measure + ZERO_WIDTH_SPACE * index)
    return lines


def _row_numbers(board: Board, filters: Filters, row: TableRow, ranks: Ranks) -> dict[str, object]:
    if isinstance(row, ReportedRow):
        return {MODEL: row.model, **row.values}
    rank = ranks.get(row.label)
    values: dict[str, object] = {MODEL: row.label, RANK: rank.rank_low if rank else None}
    if row_mean := mean(board, row, filters.averaged):
        values[MEAN] = row_mean.value
    for label in filters.columns:
        cell = board.cells.get((row, label))
        values[label] = cell.estimate.value if cell else None
    return values


def _row_texts(board: Board, filters: Filters, row: TableRow, ranks: Ranks) -> dict[str, str]:
    if isinstance(row, ReportedRow):
        values = {
            label: format_value(value, board.columns[label].unit) for label, value in row.values.items()
        }
        return {MODEL: f"{row.model} (reported)", **values}
    texts = {MODEL: row.label, RANK: _rank_text(ranks.get(row.label))}
    if row_mean := mean(board, row, filters.averaged):
        texts[MEAN] = format_with_interval(row_mean.value, row_mean.low, row_mean.high, "fraction")
    return texts | {label: cell_text(board.cells.get((row, label))) for label in filters.columns}


def _rank_text(rank: Rank | None) -> str:
    if rank is None:
        return ""
    high = "" if rank.rank_low == rank.rank_high else f"–{rank.rank_high}"
    return f"{rank.rank_low}{high} {rank.groups}"


def cell_text(cell: Cell | None) -> str:
    """Return the text of a cell: score, half-width of the interval, coverage if below 100 %, and marks."""
    if cell is None:
        return ""
    estimate = cell.estimate
    coverage = "" if cell.coverage >= 1 else f"({percent(cell.coverage)} %)"
    number = format_with_interval(estimate.value, estimate.low, estimate.high, estimate.unit)
    return " ".join(filter(None, (number, coverage, "".join(cell.marks))))


def _colours(
    board: Board, filters: Filters, rows: Sequence[TableRow], numbers: pd.DataFrame, ranks: Ranks
) -> pd.DataFrame:
    """Return the standings in the shape of `numbers`: from ranks in the ranked column, from intervals in the others."""
    columns = {}
    models = {row for row in rows if isinstance(row, Row) and not row.is_baseline}
    for label in filters.columns:
        if label == filters.rank_by and ranks:
            by_row = _standings_from_ranks(ranks, models)
        else:
            estimates = {
                row: board.cells[row, label].estimate for row in models if (row, label) in board.cells
            }
            by_row = standings(estimates, better=board.columns[label].better)
        columns[label] = [by_row.get(row) if isinstance(row, Row) else None for row in rows]
    return pd.DataFrame(columns, columns=numbers.columns, dtype=float).reindex(numbers.index)


def _standings_from_ranks(ranks: Ranks, rows: set[Row]) -> dict[Row, float]:
    max_rank = len(ranks) - 1
    if max_rank < 1 or all(rank.rank_low == 1 and rank.rank_high == len(ranks) for rank in ranks.values()):
        return {}
    mean_ranks = {row: (rank.rank_low + rank.rank_high) / 2 for row in rows if (rank := ranks.get(row.label))}
    return {row: 1 - (mean_rank - 1) / max_rank for row, mean_rank in mean_ranks.items()}


def style_table(displayed: Table, *, dark: bool) -> pd.io.formats.style.Styler:
    """Return the table for Streamlit, which sorts it by its numbers and displays its texts, colours and headings."""
    names = pd.MultiIndex.from_tuples([displayed.headings[name] for name in displayed.numbers.columns])
    numbers = displayed.numbers.set_axis(names, axis=1)
    style = numbers.style
    for name in displayed.texts:
        column_texts = displayed.texts[name].tolist()
        # pandas formats a column from top to bottom
        texts = cycle(column_texts if name == MODEL else align_decimal_points(column_texts))
        style = style.format(lambda _, texts=texts: next(texts), subset=[displayed.headings[name]])
    backgrounds = displayed.colours.map(
        lambda standing: "" if isnan(standing) else f"background-color: {blend(standing, dark=dark)}"
    ).set_axis(names, axis=1)
    return style.apply(lambda _: backgrounds, axis=None)


def align_decimal_points(texts: Sequence[str]) -> list[str]:
    """Return texts padded with figure spaces, so that the decimal points of their numbers are aligned.

    >>> align_decimal_points(["17.7 ±1.4", "8.5 ±1.0", ""])
    ['17.7 ±1.4', '\u20078.5 ±1.0', '']
    """
    integer_widths = [len(text) - len(text.lstrip("-0123456789,")) for text in texts]
    max_width = max(integer_widths, default=0)
    return [
        f"{FIGURE_SPACE * (max_width - width)}{text}" if width else text
        for text, width in zip(texts, integer_widths, strict=True)
    ]


def blend(standing: float, *, dark: bool) -> str:
    """Return the colour of a standing (0 to 1), between the two backgrounds of a theme, as `#rrggbb`."""
    low, high = ([int(colour[i : i + 2], 16) for i in (1, 3, 5)] for colour in BACKGROUNDS[dark])
    return "#" + "".join(f"{round(a + (b - a) * standing):02x}" for a, b in zip(low, high, strict=True))


def unit_symbol(unit: str) -> str:
    """Return the displayed symbol of a unit: `%` for fractions."""
    return "%" if unit == "fraction" else unit


def format_value(value: float | None, unit: str) -> str:
    """Return a number in its displayed unit, without the symbol: `43.6` for the fraction 0.436."""
    return format_with_interval(value, None, None, unit)


def format_interval(low: float | None, high: float | None, unit: str) -> str:
    """Return an interval in its displayed unit, without the symbol: `42.7 to 44.5`; `unknown` if a limit is None."""
    if low is None or high is None:
        return "unknown"
    if unit == "fraction":
        digits = percent_digits(100 * (high - low))
        return f"{100 * low:.{digits}f} to {100 * high:.{digits}f}"
    digits = decimal_places((high - low) / 2)
    return f"{low:.{digits}f} to {high:.{digits}f}"
