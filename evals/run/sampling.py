"""Sampling parameters of a run: the protocol's, or those recommended by the model's developers, with the user's overrides."""

from __future__ import annotations

from msgspec import structs

from evals.run.job import Options
from evals.suite import Suite
from evals.types import Sampling


def resolve_sampling(suite: Suite, options: Options) -> tuple[Sampling, list[str]]:
    """Return the sampling parameters of a run, and a note if they follow the developers' recommendation.

    The recommendation is adopted as a whole if the protocol specifies no temperature, or if the user asks for it, but never
    if the user sets a temperature.
    """
    base, requested, recommended_sampling = suite.sampling, options.sampling, options.recommended
    notes = []
    if (
        recommended_sampling != Sampling()
        and requested.temperature is None
        and (options.force_recommended or base.temperature is None)
    ):
        recommended = {
            name: getattr(recommended_sampling, name) for name in ("temperature", "top_p", "top_k", "min_p")
        }
        base = structs.replace(base, **recommended)
        settings = ", ".join(f"{name} {value:g}" for name, value in recommended.items() if value is not None)
        notes = [f"sampling as recommended by the developers of {options.recommended_by}: {settings}"]
    return override(base, requested, seed=options.seed), notes


def override(base: Sampling, requested: Sampling, *, seed: int) -> Sampling:
    """Return `base` with the parameters that `requested` sets; `seed` is added unless a seed is set or the temperature is 0."""
    overrides = {
        name: value
        for name in requested.__struct_fields__
        if (value := getattr(requested, name)) not in (None, (), {})
    }
    sampling = structs.replace(base, **overrides)
    if sampling.temperature == 0.0 or sampling.seed is not None:
        return sampling
    return structs.replace(sampling, seed=seed)


def with_repeat_seed(sampling: Sampling, repeat: int) -> Sampling:
    """Return the sampling parameters of a repeat; each repeat gets a different seed."""
    if repeat == 0 or sampling.seed is None:
        return sampling
    return structs.replace(sampling, seed=sampling.seed + repeat)
