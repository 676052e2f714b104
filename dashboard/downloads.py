"""Downloads of the leaderboard: a tidy table as CSV or Parquet."""

from __future__ import annotations

import datetime
import io
from collections.abc import Sequence

import pandas as pd

from evals.board.trust import promise_state
from evals.dashboard.tables.leaderboard import Board, Row
from evals.records.promise import promise_standing

FORMULA = ("=", "+", "-", "@", "\t", "\r")
"""First characters of what a spreadsheet takes for a formula."""

NUMBERS = ("metric", "unit", "better", "value", "low", "high", "worst", "best", "n", "clusters")
"""Fields of an estimate in the downloaded table."""


def tidy(board: Board, rows: Sequence[Row], labels: Sequence[str]) -> pd.DataFrame:
    """Return a row per measured number with its interval, coverage and provenance; fractions are not percentages."""
    table = []
    for label in labels:
        column = board.columns[label]
        for row in rows:
            if (cell := board.cells.get((row, label))) is None:
                continue
            card = cell.entry.card if cell.entry else None
            about = {name: getattr(column, name) for name in ("suite", "version", "protocol")}
            table.append(
                {"model": row.model, "thinking": row.thinking, **about}
                | {name: getattr(cell.estimate, name) for name in NUMBERS}
                | {"coverage": cell.coverage, "method": cell.estimate.method, "sample_items": column.sample}
                | {"data_sha256": column.data_sha256, "run": card.run if card else None}
                | {"started": day(card.started) if card else None}
                | {"promise": promise_state(promise_standing(card)) if card else None}
                | {"challenge": cell.entry.challenge.counted if cell.entry and cell.entry.challenge else None}
            )
    return pd.DataFrame(table)


def day(seconds: float) -> str:
    """Write a time as an ISO date and time in UTC."""
    return datetime.datetime.fromtimestamp(seconds, tz=datetime.UTC).isoformat(timespec="seconds")


def csv(frame: pd.DataFrame) -> bytes:
    """Return CSV; an apostrophe before texts keeps spreadsheets from evaluating them as formulas."""
    safe = frame.map(lambda cell: f"'{cell}" if isinstance(cell, str) and cell.startswith(FORMULA) else cell)
    return str(safe.to_csv(index=False)).encode()


def parquet(frame: pd.DataFrame) -> bytes:
    """Return Parquet."""
    stream = io.BytesIO()
    frame.to_parquet(stream, index=False)
    return stream.getvalue()
