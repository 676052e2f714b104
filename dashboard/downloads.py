"""The leaderboard as a table with a row per score, and tables as CSV or Parquet."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd

from evals.board.trust import promise_state
from evals.dashboard.tables.leaderboard import Board, Row
from evals.plain import escape_formula
from evals.records.promise import promise_status
from evals.terminal.figures import utc_time

ISO_TIME = "%Y-%m-%dT%H:%M:%S+00:00"
ESTIMATE_FIELDS = ("metric", "unit", "better", "value", "low", "high", "worst", "best", "n", "clusters")
"""Fields of an estimate that are columns of `tidy_table`."""


def tidy_table(board: Board, rows: Sequence[Row], labels: Sequence[str]) -> pd.DataFrame:
    """Return a table with a row per measured score: interval, coverage and provenance; fractions range from 0 to 1."""
    table = []
    for label in labels:
        column = board.columns[label]
        for row in rows:
            if (cell := board.cells.get((row, label))) is None:
                continue
            card = cell.entry.card if cell.entry else None
            challenge = cell.entry.challenge if cell.entry else None
            table.append(
                {
                    "model": row.model, "thinking": row.thinking, "suite": column.suite, "version": column.version,
                    "protocol": column.protocol, **{name: getattr(cell.estimate, name) for name in ESTIMATE_FIELDS},
                    "coverage": cell.coverage, "method": cell.estimate.method, "sample_items": column.sample,
                    "data_sha256": column.data_sha256, "run": card.run if card else None,
                    "started": utc_time(card.started, ISO_TIME) if card else None,
                    "promise": promise_state(promise_status(card)) if card else None,
                    "challenge": challenge.valid_verdict if challenge else None,
                }
            )  # fmt: skip
    return pd.DataFrame(table)


def csv(frame: pd.DataFrame) -> bytes:
    """Return a table as CSV, without formulas that a spreadsheet would evaluate."""
    return str(frame.map(escape_formula).to_csv(index=False)).encode()


def parquet(frame: pd.DataFrame) -> bytes:
    """Return a table as Parquet."""
    content: bytes = frame.to_parquet(index=False)
    return content
