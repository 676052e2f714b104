"""Totals over the forecasts of a sweep."""

from __future__ import annotations

from collections.abc import Sequence

from msgspec import Struct

from evals.run.dry_run import Forecast, hours_side_by_side


class Totals(Struct, frozen=True, kw_only=True):
    """Totals of runs, calls, tokens, cost and hours."""

    runs: int
    existing: int
    """Number of runs that have all replies and are reused."""
    resumed: int
    new: int
    calls: int
    input_tokens: int
    output_tokens: int
    bound: bool
    """Whether `output_tokens` is an upper bound, because the output tokens of at least one run are an upper bound."""
    cost_usd: float | None
    """Sum of the known costs; None if there are calls to make and all their costs are unknown."""
    unpriced: int
    """Number of runs with calls to make whose cost is unknown."""
    hours: float
    """Hours if the models run one after the other, over the runs whose time is known."""
    hours_side_by_side: float
    """Hours if the models of each part of the sweep run concurrently, except those that take turns (`Forecast.in_turn`)."""
    untimed: int
    """Number of runs with calls to make whose time is unknown."""


def totals(parts: Sequence[Sequence[Forecast]]) -> Totals:
    """Return the totals over the parts of a sweep, which are executed one after the other."""
    forecasts = [forecast for part in parts for forecast in part]
    unfinished = [forecast for forecast in forecasts if forecast.calls]
    costs = [forecast.cost_usd for forecast in unfinished if forecast.cost_usd is not None]
    existing = sum(bool(forecast.run) and not forecast.calls for forecast in forecasts)
    resumed = sum(bool(forecast.run) and bool(forecast.calls) for forecast in forecasts)
    return Totals(
        runs=len(forecasts),
        existing=existing,
        resumed=resumed,
        new=len(forecasts) - existing - resumed,
        calls=sum(forecast.calls for forecast in forecasts),
        input_tokens=sum(forecast.input_tokens or 0 for forecast in unfinished),
        output_tokens=sum(forecast.output_tokens or 0 for forecast in unfinished),
        bound=any(forecast.bound for forecast in unfinished),
        cost_usd=sum(costs) if costs or not unfinished else None,
        unpriced=len(unfinished) - len(costs),
        hours=sum(forecast.hours or 0.0 for forecast in unfinished),
        hours_side_by_side=sum(map(hours_side_by_side, parts)),
        untimed=sum(forecast.hours is None for forecast in unfinished),
    )
