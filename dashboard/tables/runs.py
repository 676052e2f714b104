"""Progress and running means of active runs, costs of runs, and the Pareto front of score against cost."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

import pandas as pd

from evals.dashboard.tables.frames import Entry, query
from evals.dashboard.tables.leaderboard import Board
from evals.labels import Failed
from evals.report.metrics import mean_value
from evals.run.overview import suite_of
from evals.verdicts.betting import Bets

POINTS = 40
"""Number of points at which the running mean is drawn."""

COSTS = {
    "cost": ("USD per 1,000 samples", "cost"),
    "latency": ("median seconds per sample", "seconds"),
    "tokens": ("output tokens per sample", "tokens"),
}
"""Kind of cost, as in the URL -> (title of its axis, its column in the table of `costs`)."""


class Progress(NamedTuple):
    """Progress of a run."""

    done: int
    expected: int
    last_started: float
    """Start of the latest recorded call, in seconds since the epoch; 0 if there are no records."""
    output_tokens: int
    verdicts: dict[str, int]


def progress(entry: Entry) -> Progress:
    """Return the progress of a run, active or finished."""
    counts = query(
        entry.path,
        "SELECT verdict, count(*) AS n, max(started) AS last, sum(output_tokens) AS tokens FROM records GROUP BY 1",
    )
    return Progress(
        done=int(counts["n"].sum()),
        expected=entry.card.expected,
        last_started=float(counts["last"].max()) if len(counts) else 0.0,
        output_tokens=int(counts["tokens"].fillna(0).sum()),
        verdicts=dict(zip(counts["verdict"], counts["n"].astype(int), strict=True)),
    )


def running_mean(entry: Entry) -> pd.DataFrame:
    """Return the running mean of the scored values with a 95 % confidence sequence (`evals.verdicts.betting`).

    Unlike the interval of a finished run, the sequence is valid at all sample sizes simultaneously. The table is empty if
    the headline is not the mean of these values, or if a value is not between 0 and 1.
    """
    headline = suite_of(entry.card).headline
    is_mean = headline.of is mean_value and headline.pool == "micro" and not headline.scorer
    sql = "SELECT value FROM records WHERE value IS NOT NULL ORDER BY started, sample, repeat"
    values = query(entry.path, sql)["value"] if is_mean else pd.Series(dtype=float)
    if values.empty or values.min() < 0 or values.max() > 1:
        return pd.DataFrame(columns=["n", "mean", "low", "high"])
    centred = values.to_numpy() - 0.5  # `Bets` expects values from -0.5 to 0.5
    # denser at small sizes, where the mean changes most
    sizes = sorted({round(len(centred) * (step / POINTS) ** 2) or 1 for step in range(1, POINTS + 1)})
    bets, rows, start = Bets(margin=0.1, width=0.5), [], 0  # the margin determines only the stakes
    lower_limit, upper_limit = 0.0, 1.0
    for size in sizes:
        bets.add(centred[start:size].tolist())
        low, high = bets.limits(0.025)  # per side
        lower_limit, upper_limit = max(lower_limit, low + 0.5), min(upper_limit, high + 0.5)
        rows.append({"n": size, "mean": 0.5 + centred[:size].mean(), "low": lower_limit, "high": upper_limit})
        start = size
    return pd.DataFrame(rows)


def costs(board: Board, label: str) -> pd.DataFrame:
    """Return a table with the score and costs of each model in a column; unknown costs are NaN."""
    rows = []
    runs = board.runs(label)
    seconds = latencies([run.path for run in runs.values()])
    for row, run in runs.items():
        card, estimate = run.card, board.cells[row, label].estimate
        replies = sum(n for name, n in card.counts.items() if Failed.parse(name) is None and name != "absent")
        rows.append(
            {
                "model": row.label,
                "value": estimate.value,
                "low": estimate.low,
                "high": estimate.high,
                "n": estimate.n,
                "cost": _cost_per(1000, card.cost_usd, replies),
                "seconds": seconds.get(str(run.path)) or float("nan"),
                "tokens": _cost_per(1, card.tokens.get("output"), replies),
            }
        )
    return pd.DataFrame(rows)


def count_known_costs(board: Board, label: str, cost_name: str) -> int:
    """Return how many models in a column have a known cost of this kind; latency is assumed to be known if tokens are."""
    cards = [run.card for run in board.runs(label).values()]
    return sum(
        card.cost_usd is not None if cost_name == "cost" else bool(card.tokens.get("output"))
        for card in cards
    )


def _cost_per(count: int, total: float | None, replies: int) -> float:
    """Return the cost per `count` replies; NaN if it is unknown."""
    return count * total / replies if total is not None and replies else float("nan")


def latencies(paths: Sequence[Path]) -> dict[str, float]:
    """Return each run's median seconds per reply, by the run's path."""
    medians = query(paths, "SELECT path, median(seconds) AS seconds FROM records WHERE seconds>0 GROUP BY 1")
    return dict(zip(medians["path"], medians["seconds"], strict=True))


def pareto(table: pd.DataFrame, cost_column: str, *, better: str) -> pd.DataFrame:
    """Return the rows with a known cost and score, with a column `optimal` that marks the Pareto front.

    A model is on the front if its score is better than the score of every other model at the same or a lower cost.
    """
    priced = table.dropna(subset=[cost_column, "value"]).sort_values(
        [cost_column, "value"], ascending=[True, better == "lower"]
    )
    sign, best, optimal = (1 if better == "higher" else -1), float("-inf"), []
    for value in priced["value"]:
        optimal.append(sign * value > best)
        best = max(best, sign * value)
    return priced.assign(optimal=optimal)


def totals(entries: Iterable[Entry]) -> dict[str, float]:
    """Return the total tokens and cost of runs, and in `priced` the number of runs with a known cost."""
    runs = list(entries)
    return {
        "input": sum(entry.card.tokens.get("input", 0) for entry in runs),
        "output": sum(entry.card.tokens.get("output", 0) for entry in runs),
        "cost": sum(entry.card.cost_usd or 0.0 for entry in runs),
        "priced": sum(entry.card.cost_usd is not None for entry in runs),
    }
