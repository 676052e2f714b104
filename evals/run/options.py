"""Derive the options of a run and the budget from a request and the model's profile."""

from __future__ import annotations

from evals import checkpoints, load, profiles
from evals.errors import UsageError
from evals.run.budget import Budget, Spending
from evals.run.job import Options
from evals.run.request import RunRequest
from evals.run.request_extras import parse_extra_body
from evals.seams import engine_of
from evals.types import Model, Sampling


def budget_of(request: RunRequest, spec: str, spending: Spending | None = None) -> Budget:
    """Return the budget of one model; raises UsageError if the cost is limited, but its price or the judge's is unknown.

    `spending`: limits and spending of the whole command; None: no limit.
    """
    price = profiles.parse_price(request.price) or profiles.price(spec)
    if request.max_cost is not None and price is None:
        raise UsageError(
            f"--max-cost: the price of {load.without_secrets(spec)} is not known; add --price IN,OUT (USD per million tokens)"
        )
    price_factor = profiles.BATCH_PRICE_FACTOR if request.batch else 1.0
    judge_price = profiles.parse_price(request.judge_price, option="--judge-price") or profiles.price(
        request.judge or ""
    )
    if request.max_cost is not None and request.judge and judge_price is None:
        raise UsageError(
            f"--max-cost: the price of the judge {load.without_secrets(request.judge)} is not known; add --judge-price IN,OUT "
            "(USD per million tokens)"
        )
    return Budget(spending=spending, price=price, price_factor=price_factor, judge_price=judge_price)


def plan_options(request: RunRequest, spec: str, model: Model | None) -> Options:
    """Return the options of a request for a model, with defaults from its profile; raises UsageError."""
    profile = profiles.find(spec)
    if request.recommended and not (profile and profile.sampling):
        raise UsageError("--recommended: no profile states the sampling recommended for this model")
    return Options(
        results=request.results,
        data=request.data,
        sample=request.sample,
        limit=request.limit,
        repeats=request.repeats,
        seed=request.seed,
        sampling=Sampling(
            temperature=request.temperature,
            top_p=request.top_p,
            max_tokens=request.max_tokens,
            thinking=request.thinking,
            extra=parse_extra_body(request.extra_body),
        ),
        recommended=profile.recommended(thinking=request.thinking) if profile else Sampling(),
        force_recommended=request.recommended,
        recommended_by=profile.name if profile else "",
        run=request.run,
        fresh=request.fresh,
        system=request.system or "",
        max_pixels=request.max_pixels or (profile.max_pixels if profile else None),
        max_pixels_source=profile.name if profile and not request.max_pixels else "",
        judge=load.without_secrets(request.judge or ""),
        engine=engine_of(model),
        weights_changed=checkpoints.changed_ns(spec.partition(":")[2]) / 1e9,
        sample_ids=tuple(request.sample_id),
        data_hash=request.data_hash,
    )
