"""Image classification: is the class that a model ranks first the right one?

A reply is the JSON of `Ranking`, or the number of a class alone (for imported predictions). Size and latency of the
network stand in every reply, so that they are computed from records like all other numbers.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated

import msgspec
from msgspec import Meta, Struct

from evals.report.metrics import mean_value
from evals.scorers.outcomes import binary_score, unanswered_verdict
from evals.types import Metric, Point, Prompt, Reply, Sample, Score

RANKED = 5
"""Classes that a reply ranks at most."""
Class = Annotated[int, Meta(ge=0, lt=1_000_000)]
Amount = Annotated[float, Meta(ge=0, le=1e15)]


class Ranking(Struct, frozen=True, omit_defaults=True):
    """A classifier's reply."""

    classes: Annotated[tuple[Class, ...], Meta(min_length=1, max_length=RANKED)]
    """The classes with the largest logits, the largest first."""
    probabilities: tuple[Annotated[float, Meta(ge=0, le=1)], ...] = ()
    """Of these classes, by the softmax over all."""
    parameters: Amount | None = None
    """Numbers in the network as it ran."""
    trained: Amount | None = None
    """Numbers that were trained for the task, without the classifier head; None: unknown."""
    latency_ms: Amount | None = None
    """Time of one image alone, without reading it."""


_decode = msgspec.json.Decoder(Ranking | int).decode


class Classes(Struct, frozen=True):
    """Scores 1 if the class ranked first is the target, else 0; `top5` counts the first five."""

    def __call__(self, sample: Sample, prompt: Prompt, reply: Reply) -> Score:
        """Score one reply; the target is the number of a class."""
        if reply.stop == "filter" or not reply.text.strip():
            return Score(value=0.0, verdict=unanswered_verdict(reply), why="no class stated")
        try:
            decoded = _decode(reply.text)
        except (msgspec.MsgspecError, RecursionError):
            return Score(
                value=0.0, verdict="invalid", why="neither a ranking of classes nor the number of one"
            )
        ranking = decoded if isinstance(decoded, Ranking) else Ranking((decoded,))
        names = [str(number) for number in ranking.classes]
        right = names[0] == sample.target
        return binary_score(
            right=right,
            answer=names[0],
            why="" if right else f"class {names[0]}",
            parts=_parts(ranking, in_top5=len(names) == RANKED and sample.target in names),
        )


def _parts(ranking: Ranking, *, in_top5: bool) -> dict[str, float]:
    parts = {
        "parameters": ranking.parameters,
        "trained": ranking.trained,
        "latency_ms": ranking.latency_ms,
        "top5": float(in_top5) if len(ranking.classes) == RANKED else None,
    }
    return {name: float(value) for name, value in parts.items() if value is not None}


class PartMean(Struct, frozen=True):
    """Mean of a part of the scores, times a factor; replies without the part are left out."""

    part: str
    factor: float = 1.0
    otherwise: float | None = None
    """Value of a reply that was scored and lacks the part; None: it is left out."""

    def __call__(self, points: Sequence[Point]) -> float:
        """Return the mean; raises ValueError if no point has the part."""
        values = [value for point in points if (value := self._value(point)) is not None]
        if not values:
            raise ValueError(f"no reply states {self.part}")
        return self.factor * sum(values) / len(values)

    def _value(self, point: Point) -> float | None:
        if point.verdict == "missing":
            return point.value
        return point.parts.get(self.part, self.otherwise)


def classification(*, per_class: bool = False, top5: bool = True) -> tuple[Metric, ...]:
    """Return the metrics of a classifier: top-1 and mean per class, either of them the headline; top-5; size and latency."""
    top5_metrics = (Metric(name="top5", of=PartMean("top5", otherwise=0.0), by_group=False),) if top5 else ()
    return (
        Metric(name="top1", of=mean_value, headline=not per_class),
        Metric(name="mean_per_class", of=mean_value, pool="macro", headline=per_class),
        *top5_metrics,
        _cost("parameters", "parameters", 1e-6, "M"),
        _cost("trained_parameters", "trained", 1e-6, "M"),
        _cost("latency", "latency_ms", 1.0, "ms"),
    )


def _cost(name: str, part: str, factor: float, unit: str) -> Metric:
    return Metric(
        name=name, of=PartMean(part, factor), unit=unit, better="lower", bounds=None, by_group=False
    )  # fmt: skip
