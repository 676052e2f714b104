"""Score image classifiers: top-1 and top-5 accuracy, size and latency.

A reply is a `Ranking` in JSON, or in imported predictions just a class number. A ranking also states the network's size and
latency, so that these metrics are computed from records like all others.
"""

from __future__ import annotations

from typing import Annotated

import msgspec
from msgspec import Meta, Struct

from evals.report.metrics import mean_value
from evals.report.part_mean import PartMean
from evals.scorers.outcomes import binary_score, no_answer
from evals.types import Metric, Prompt, Reply, Sample, Score

MAX_RANKED = 5
"""Maximum number of classes in a ranking."""
Class = Annotated[int, Meta(ge=0, lt=1_000_000)]
Amount = Annotated[float, Meta(ge=0, le=1e15)]


class Ranking(Struct, frozen=True, omit_defaults=True):
    """A classifier's reply."""

    classes: Annotated[tuple[Class, ...], Meta(min_length=1, max_length=MAX_RANKED)]
    """The classes with the largest logits, the largest first."""
    probabilities: tuple[Annotated[float, Meta(ge=0, le=1)], ...] = ()
    """Softmax probabilities of these classes."""
    parameters: Amount | None = None
    """Number of parameters of the network at inference."""
    trained: Amount | None = None
    """Number of parameters trained for the task, without the classifier head; None: unknown."""
    latency_ms: Amount | None = None
    """Inference time of a single image, excluding the time to load it."""


_decode = msgspec.json.Decoder(Ranking | int).decode


class Classes(Struct, frozen=True):
    """Scores 1 if the target is ranked first, else 0.

    The part `top5` of a ranking of five classes is 1 if the ranking contains the target.
    """

    def __call__(self, sample: Sample, prompt: Prompt, reply: Reply) -> Score:
        """Score one reply; the target is the number of a class."""
        if reply.stop == "filter" or not reply.text.strip():
            return no_answer(reply, "no class stated")
        try:
            decoded = _decode(reply.text)
        except (msgspec.MsgspecError, RecursionError):
            return Score(
                value=0.0, verdict="invalid", why="neither a ranking of classes nor the number of a class"
            )
        ranking = decoded if isinstance(decoded, Ranking) else Ranking((decoded,))
        ranked = [str(number) for number in ranking.classes]
        right = ranked[0] == sample.target
        return binary_score(
            right=right,
            answer=ranked[0],
            why="" if right else f"class {ranked[0]} ranked first",
            parts=_score_parts(ranking, in_top5=sample.target in ranked),
        )


def _score_parts(ranking: Ranking, *, in_top5: bool) -> dict[str, float]:
    parts = {
        "parameters": ranking.parameters,
        "trained": ranking.trained,
        "latency_ms": ranking.latency_ms,
        "top5": float(in_top5) if len(ranking.classes) == MAX_RANKED else None,
    }
    return {name: float(value) for name, value in parts.items() if value is not None}


def classification(*, per_class: bool = False, top5: bool = True) -> tuple[Metric, ...]:
    """Return a classifier's metrics: top-1 and mean per-class accuracy, one of them the headline; top-5; size and latency."""
    top5_metrics = (Metric(name="top5", of=PartMean("top5", absent=0.0), by_group=False),) if top5 else ()
    return (
        Metric(name="top1", of=mean_value, headline=not per_class),
        Metric(name="mean_per_class", of=mean_value, pool="macro", headline=per_class),
        *top5_metrics,
        _cost_metric("parameters", "parameters", 1e-6, "M"),
        _cost_metric("trained_parameters", "trained", 1e-6, "M"),
        _cost_metric("latency", "latency_ms", 1.0, "ms"),
    )


def _cost_metric(name: str, part: str, factor: float, unit: str) -> Metric:
    return Metric(
        name=name, of=PartMean(part, factor=factor), unit=unit, better="lower", bounds=None, by_group=False
    )  # fmt: skip
