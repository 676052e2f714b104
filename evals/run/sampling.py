"""How replies are drawn: what the protocol fixes, what the model's makers recommend, what the user sets."""

from __future__ import annotations

from msgspec import structs

from evals.run.job import Options
from evals.suite import Suite
from evals.types import Sampling


def resolved(suite: Suite, options: Options) -> tuple[Sampling, list[str]]:
    """Return how replies are drawn, and notes on it if that is neither the protocol's nor the user's decision alone.

    A temperature is part of a protocol where the protocol names one. Where it does not, what the makers of
    the model recommend is taken as a whole, unless the user gives a temperature.
    """
    own, asked, makers = suite.sampling, options.sampling, options.recommended
    how = []
    if (
        makers != Sampling()
        and asked.temperature is None
        and (options.recommend_all or own.temperature is None)
    ):
        draw = {name: getattr(makers, name) for name in ("temperature", "top_p", "top_k", "min_p")}
        own = structs.replace(own, **draw)
        words = ", ".join(f"{name} {value:g}" for name, value in draw.items() if value is not None)
        how = [f"sampling as the makers of {options.recommender} recommend: {words}"]
    return override(own, asked, seed=options.seed), how


def override(own: Sampling, asked: Sampling, *, seed: int) -> Sampling:
    """Return the suite's sampling with what the user set; a reply that is drawn gets the run's seed."""
    changed = {f: v for f in asked.__struct_fields__ if (v := getattr(asked, f)) not in (None, (), {})}
    merged = structs.replace(own, **changed)
    if merged.temperature == 0.0 or merged.seed is not None:
        return merged
    return structs.replace(merged, seed=seed)


def reseeded(sampling: Sampling, repeat: int) -> Sampling:
    """Return the sampling of one repeat: repeats of one sample must not draw the same reply."""
    if repeat == 0 or sampling.seed is None:
        return sampling
    return structs.replace(sampling, seed=sampling.seed + repeat)
