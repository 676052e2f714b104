"""Sampling parameters: fixed by the protocol, recommended by the model's developers, or set by the user."""

from __future__ import annotations

from msgspec import structs

from evals.run.job import Options
from evals.suite import Suite
from evals.types import Sampling


def resolved(suite: Suite, options: Options) -> tuple[Sampling, list[str]]:
    """Return the sampling parameters of a run, and a note if they follow the developers' recommendation.

    A temperature that the protocol states is part of the protocol. If it states none, the recommendation of the
    model's developers is adopted as a whole, unless the user sets a temperature.
    """
    own, requested, makers = suite.sampling, options.sampling, options.recommended
    notes = []
    if (
        makers != Sampling()
        and requested.temperature is None
        and (options.recommend_all or own.temperature is None)
    ):
        recommended = {name: getattr(makers, name) for name in ("temperature", "top_p", "top_k", "min_p")}
        own = structs.replace(own, **recommended)
        settings = ", ".join(f"{name} {value:g}" for name, value in recommended.items() if value is not None)
        notes = [f"sampling as recommended by the developers of {options.recommender}: {settings}"]
    return override(own, requested, seed=options.seed), notes


def override(own: Sampling, requested: Sampling, *, seed: int) -> Sampling:
    """Return the suite's sampling with the user's overrides; the run's seed is set unless the temperature is 0."""
    changed = {
        f: v for f in requested.__struct_fields__ if (v := getattr(requested, f)) not in (None, (), {})
    }
    merged = structs.replace(own, **changed)
    if merged.temperature == 0.0 or merged.seed is not None:
        return merged
    return structs.replace(merged, seed=seed)


def reseeded(sampling: Sampling, repeat: int) -> Sampling:
    """Return the sampling of one repeat, with a seed of its own so that repeats differ."""
    if repeat == 0 or sampling.seed is None:
        return sampling
    return structs.replace(sampling, seed=sampling.seed + repeat)
