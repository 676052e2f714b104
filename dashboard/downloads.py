"""What a reader takes away of the leaderboard: tidy tables and a picture."""

from __future__ import annotations

import datetime
import io
from collections.abc import Sequence

import pandas as pd

from evals.dashboard.tables.leaderboard import Board, Row

FORMULA = ("=", "+", "-", "@", "\t", "\r")
"""Beginnings that a spreadsheet takes for a formula."""


def tidy(board: Board, rows: Sequence[Row], labels: Sequence[str]) -> pd.DataFrame:
    """Return one row per measured number, with all that it rests on; fractions are fractions."""
    found = []
    for label in labels:
        column = board.columns[label]
        for row in rows:
            if (cell := board.cells.get((row, label))) is None:
                continue
            one, card = cell.estimate, cell.entry.card if cell.entry else None
            found.append(
                {
                    "model": row.model,
                    "thinking": row.thinking,
                    "suite": column.suite,
                    "version": column.version,
                    "protocol": column.protocol,
                    "metric": one.metric,
                    "unit": one.unit,
                    "better": one.better,
                    "value": one.value,
                    "low": one.low,
                    "high": one.high,
                    "worst": one.worst,
                    "best": one.best,
                    "n": one.n,
                    "clusters": one.clusters,
                    "coverage": cell.coverage,
                    "method": one.method,
                    "sample_items": column.sample,
                    "data_sha256": column.data_sha256,
                    "run": card.run if card else None,
                    "started": day(card.started) if card else None,
                }
            )
    return pd.DataFrame(found)


def day(seconds: float) -> str:
    """Write a time as an ISO date and time in UTC."""
    return datetime.datetime.fromtimestamp(seconds, tz=datetime.UTC).isoformat(timespec="seconds")


def csv(frame: pd.DataFrame) -> bytes:
    """Write CSV; a text that a spreadsheet would run as a formula gets an apostrophe before it."""
    safe = frame.map(lambda cell: f"'{cell}" if isinstance(cell, str) and cell.startswith(FORMULA) else cell)
    return str(safe.to_csv(index=False)).encode()


def parquet(frame: pd.DataFrame) -> bytes:
    """Write Parquet."""
    stream = io.BytesIO()
    frame.to_parquet(stream, index=False)
    return stream.getvalue()
