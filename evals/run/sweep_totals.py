"""Sums over the forecasts of a sweep: runs, calls, tokens, cost and hours."""

from __future__ import annotations

from collections.abc import Sequence

from msgspec import Struct

from evals.run.dry_run import Forecast, hours_together


class Totals(Struct, frozen=True, kw_only=True):
    """Sums over the forecasts of a sweep."""

    runs: int
    existing: int
    """Runs that have all replies and are reused."""
    resumed: int
    new: int
    calls: int
    input_tokens: int
    output_tokens: int
    bound: bool
    """Whether some output tokens are upper bounds."""
    cost_usd: float | None
    """None if no price is known; else of those whose price is."""
    unpriced: int
    """Runs with calls to make whose cost is unknown."""
    hours: float
    """With the models one after the other, of those whose time is known."""
    hours_side_by_side: float
    """With the models of a part side by side, except those that take turns."""
    untimed: int
    """Runs with calls to make whose time is unknown."""


def totals(parts: Sequence[Sequence[Forecast]]) -> Totals:
    """Return the sums over the parts of a sweep, which are executed one after the other."""
    every = [forecast for part in parts for forecast in part]
    open_ = [forecast for forecast in every if forecast.calls]
    costs = [forecast.cost_usd for forecast in open_ if forecast.cost_usd is not None]
    existing = sum(bool(forecast.run) and not forecast.calls for forecast in every)
    resumed = sum(bool(forecast.run) and bool(forecast.calls) for forecast in every)
    return Totals(
        runs=len(every),
        existing=existing,
        resumed=resumed,
        new=len(every) - existing - resumed,
        calls=sum(forecast.calls for forecast in every),
        input_tokens=sum(forecast.input_tokens or 0 for forecast in open_),
        output_tokens=sum(forecast.output_tokens or 0 for forecast in open_),
        bound=any(forecast.bound for forecast in open_),
        cost_usd=sum(costs) if costs or not open_ else None,
        unpriced=len(open_) - len(costs),
        hours=sum(forecast.hours or 0.0 for forecast in open_),
        hours_side_by_side=sum(map(hours_together, parts)),
        untimed=sum(forecast.hours is None for forecast in open_),
    )
