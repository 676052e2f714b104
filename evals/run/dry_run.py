"""Forecast of a request: its items, calls, tokens, cost and time, and the replies that exist already.

Output tokens and times are taken from the newest earlier run of the suite by this model; without one, max_tokens is an
upper bound. Prompt tokens are estimated at four characters each, without images. No call is made and nothing is
written.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from math import ceil
from statistics import fmean
from typing import TYPE_CHECKING

from msgspec import Struct

from evals import load
from evals.calls.pace import INITIAL_LIMIT, spacing_of
from evals.errors import EvalsError, StoreError, UsageError
from evals.prompts import plain_text
from evals.records.store import Run
from evals.run.compatibility import CLASSES, incompatibility_reason
from evals.run.options import budget_of, plan_options
from evals.run.plan import Plan, make_plan
from evals.run.precision import expected_precision
from evals.seams import is_local
from evals.types import Model

if TYPE_CHECKING:
    from evals.run.budget import Budget
    from evals.run.request import RunRequest
    from evals.run.session import Session
    from evals.suite import Suite

CHARACTERS_PER_TOKEN = 4.0
"""Approximate number of characters per token in English prose and formulas, for tokenizers of 2024 and later."""
MAX_PROMPTS = 200
"""Maximum number of prompts built to estimate their length."""
JUDGE_NOTE = "tokens, USD and time do not include the judge's calls"


class Forecast(Struct, frozen=True, kw_only=True):
    """Forecast for one suite and one model."""

    suite: str
    protocol: str
    model: str
    items: int = 0
    """Number of selected items."""
    total: int = 0
    """Number of items in the data set."""
    repeats: int = 1
    calls: int = 0
    """Number of calls that remain to be made."""
    done: int = 0
    """Number of replies that exist already."""
    run: str = ""
    """Id of the run that is resumed or reused; empty: a new run."""
    input_tokens: int | None = None
    output_tokens: int | None = None
    """None if unknown."""
    bound: bool = False
    """Whether `output_tokens` is an upper bound, for replies that are all as long as max_tokens allows."""
    basis: str = ""
    """What `output_tokens` is based on."""
    cost_usd: float | None = None
    """None if the price or the tokens are unknown."""
    hours: float | None = None
    at_once: int = INITIAL_LIMIT
    """Number of concurrent calls assumed for `hours`."""
    half_width: float | None = None
    """Half the width of the expected 95 % interval, in the unit of the headline; None if unknown."""
    half_width_bound: bool = False
    """Whether `half_width` is an upper bound, which is reached at an accuracy of 50 %."""
    half_width_basis: str = ""
    """What `half_width` is based on."""
    unit: str = ""
    """Unit of the headline."""
    in_turn: bool = False
    """Whether the model takes turns with others, e.g. those on this machine, instead of running concurrently."""
    notes: tuple[str, ...] = ()
    fault: str = ""
    """Why the model cannot be run here; empty if no reason is known."""


def forecast(session: Session) -> list[Forecast]:
    """Return a forecast for every suite and model of a request; raises UsageError if data cannot be read."""
    by_model = (_model_forecasts(session, entry.spec, entry.model) for entry in session.models)
    return [suite_forecast for forecasts in by_model for suite_forecast in forecasts]


def hours_side_by_side(forecasts: Sequence[Forecast]) -> float:
    """Return the hours that all models of a command take together, without the suites whose time is unknown.

    Models run concurrently, except those whose forecasts are `in_turn`.
    """
    hours_by_lane: dict[str, float] = {}
    for forecast in forecasts:
        lane = "" if forecast.in_turn else forecast.model
        hours_by_lane[lane] = hours_by_lane.get(lane, 0.0) + (forecast.hours or 0.0)
    return max(hours_by_lane.values(), default=0.0)


def _model_forecasts(session: Session, spec: str, given_model: Model | None) -> list[Forecast]:
    """Return a forecast per suite for one model. `given_model`: None if it is to be created here, and closed afterwards."""
    request, fault, model = session.request, "", given_model
    if model is None and not request.cluster:
        try:
            model = session.create_model(spec)
        except UsageError as error:  # no key, server or GPU: the forecast is possible anyway
            fault = str(error)
    try:
        return [
            _suite_forecast(request, suite, spec=spec, model=model, fault=fault) for suite in session.suites
        ]
    finally:
        if model is not None and model is not given_model:
            asyncio.run(model.close())


def _suite_forecast(
    request: RunRequest, suite: Suite, *, spec: str, model: Model | None, fault: str
) -> Forecast:
    display_name = load.without_secrets(spec)
    accepts = model.accepts if model else suite.needs
    fault = fault or (incompatibility_reason(suite, model, display_name) if model else "")
    if suite.refuses:
        return Forecast(suite=suite.id, protocol=suite.protocol, model=display_name, fault=suite.refuses)
    name_in_spec = display_name.rpartition("#")[2]  # after the address of a server, or `adapter:name`
    name = model.name if model else name_in_spec.partition(":")[2] or name_in_spec
    options = plan_options(request, spec, model)
    plan = make_plan(suite, options, model=name, spec=display_name, accepts=accepts, store_media=False)
    try:
        return _forecast_of_plan(plan, request, budget=budget_of(request, spec), model=model, fault=fault)
    finally:
        plan.samples.close()


def _forecast_of_plan(
    plan: Plan, request: RunRequest, *, budget: Budget, model: Model | None, fault: str
) -> Forecast:
    config, expected = plan.config, len(plan.samples) * plan.config.repeats
    calls = max(0, expected - (done := _count_replies(plan)))
    has_text = CLASSES not in plan.suite.needs
    lengths = plan.lengths(own_model=True)
    seconds = calls * fmean(seconds for _, seconds in lengths.values()) if lengths else None
    output_tokens, bound, basis = _output_tokens(plan, calls, lengths if has_text else {})
    input_tokens = round(calls * _prompt_tokens(plan)) if has_text else None
    at_once = request.concurrency or INITIAL_LIMIT
    precision = expected_precision(plan)
    return Forecast(
        suite=plan.suite.id,
        protocol=plan.suite.protocol,
        model=config.model,
        items=len(plan.samples),
        total=plan.total,
        repeats=config.repeats,
        calls=calls,
        done=min(done, expected),
        run=plan.path.name if plan.resumes else "",
        input_tokens=input_tokens,
        output_tokens=output_tokens,
        bound=bound,
        basis=basis,
        cost_usd=_cost_usd(budget, input_tokens, output_tokens),
        hours=_expected_hours(seconds, at_once, calls, model),
        at_once=at_once,
        half_width=precision.half_width if precision else None,
        half_width_bound=precision is not None and precision.bound,
        half_width_basis=precision.basis if precision else "",
        unit=plan.suite.headline.unit,
        in_turn=request.one_model_at_a_time or request.cluster is not None or is_local(model),
        notes=(*plan.notes, *([JUDGE_NOTE] if config.judge else [])),
        fault=fault,
    )


def _cost_usd(budget: Budget, input_tokens: int | None, output_tokens: int | None) -> float | None:
    if not budget.price or input_tokens is None or output_tokens is None:
        return None
    return budget.price_factor * budget.price.cost({"input": input_tokens, "output": output_tokens})


def _output_tokens(
    plan: Plan, calls: int, lengths: Mapping[str, tuple[float, float]]
) -> tuple[int | None, bool, str]:
    """Return the number of output tokens, whether it is an upper bound, and what it is based on."""
    if known := [tokens for tokens, _ in lengths.values() if tokens]:  # some servers do not report usage
        return round(calls * fmean(known)), False, "as long as in the newest earlier run"
    if max_tokens := plan.config.sampling.max_tokens:
        return calls * max_tokens, True, f"max tokens {max_tokens:,} each"
    return None, False, ""


def _count_replies(plan: Plan) -> int:
    if not plan.resumes:
        return 0
    try:
        return sum(not record.failure for record in Run(plan.path).compact_records())
    except StoreError:
        return 0


def _expected_hours(seconds: float | None, at_once: int, calls: int, model: Model | None) -> float | None:
    """Return the hours that the calls take, given the concurrency and the vendor's rate limit; None if unknown.

    `seconds`: sum of the calls' durations.
    """
    spacing = spacing_of(model)
    if seconds is None and spacing is None:
        return None
    return max((seconds or 0.0) / at_once, calls * spacing.interval_s if spacing else 0.0) / 3600


def _prompt_tokens(plan: Plan) -> float:
    """Return the estimated mean number of tokens per prompt, over evenly spaced samples; prompts that cannot be built are skipped."""
    samples, prompter = plan.samples, plan.prompter
    lengths = []
    for position in range(0, len(samples), max(1, ceil(len(samples) / MAX_PROMPTS))):
        try:
            prompt = prompter(samples[position], 0)
        except (EvalsError, LookupError, ValueError, TypeError):  # the run records it as a failure
            continue
        lengths.append(sum(len(plain_text(message.parts)) for message in prompt.messages))
    return fmean(lengths) / CHARACTERS_PER_TOKEN if lengths else 0.0


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
