"""Visual grounding: intersection over union of the stated and the gold rectangles (Acc@0.5, mean IoU).

A gold rectangle is "[x1, y1, x2, y2]" in pixels; several form a tuple. `sample.meta` contains the image's `width` and
`height`. The coordinate system that the prompt requests is never guessed, but set by two fields of the scorer. `scale` is
`pixel`, `thousand` (thousandths of width and height, as in Qwen and InternVL) or `unit` (fractions of them); `form`, the
order of the coordinates, is `xyxy`, `xywh`, or `yxyx` as in Gemini, unless the reply names them ("left", "top" ...). Four
numbers in [0, 1] that are not all integers are always read as fractions; if the prompt requested another scale, the score
is suspect.

If there is a single gold rectangle, only the last stated one counts, so that listing guesses does not help. If there are
several, stated and gold rectangles are matched one to one, optimally, and the value is F1 at the threshold: an extra
rectangle costs as much as a missed one.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, NamedTuple

from msgspec import Struct
from msgspec.structs import replace

from evals.extract.regions import Region, regions
from evals.scorers.outcomes import no_stated_answer, partial_score
from evals.types import Metric, Point, Prompt, Reply, Sample, Score


class Box(NamedTuple):
    """A rectangle in pixels, with x1 <= x2 and y1 <= y2 unless a rule of `upstream.grounding` read it."""

    x1: float
    y1: float
    x2: float
    y2: float

    @property
    def area(self) -> float:
        """Return the area in square pixels; 0 for a line or a point."""
        return (self.x2 - self.x1) * (self.y2 - self.y1)


def iou(first: Box, second: Box) -> float:
    """Return the intersection over union; 0 if both areas are 0."""
    width = min(first.x2, second.x2) - max(first.x1, second.x1)
    height = min(first.y2, second.y2) - max(first.y1, second.y1)
    shared = max(0.0, width) * max(0.0, height)
    union = first.area + second.area - shared
    return shared / union if union > 0 else 0.0


class Boxes(Struct, frozen=True):
    """Scores 1 if the IoU reaches the threshold, or the F1 for several gold rectangles; the part `iou` is the mean IoU."""

    scale: Literal["pixel", "thousand", "unit"] = "pixel"
    form: Literal["xyxy", "xywh", "yxyx"] = "xyxy"
    threshold: float = 0.5

    def __call__(self, sample: Sample, prompt: Prompt, reply: Reply) -> Score:
        """Score one reply."""
        stated = [] if reply.stop == "filter" else regions(reply.text)
        if not stated:
            return replace(no_stated_answer(reply, "no rectangle stated"), parts={"iou": 0.0})
        golds = [gold_box(text) for text in sample.targets]
        size = float(sample.meta["width"]), float(sample.meta["height"])
        located = [self._to_pixels(region, size) for region in (stated[-1:] if len(golds) == 1 else stated)]
        boxes = list(dict.fromkeys(box for box, _ in located))
        ious = matched_ious(golds, boxes, self.threshold)
        hits = sum(value >= self.threshold for value in ious)
        value = 2 * hits / (len(golds) + len(boxes))
        return partial_score(
            value,
            answer=", ".join(f"[{', '.join(f'{v:g}' for v in box)}]" for box in boxes)[:200],
            why=f"{hits} of {len(golds)} found, {len(boxes)} stated, best IoU {max(ious, default=0.0):.2f}",
            suspect=any(read_as_fractions for _, read_as_fractions in located),
            form=stated[-1].form,
            span=(stated[0 if len(golds) > 1 else -1].begin, stated[-1].end),
            parts={"iou": sum(ious) / len(golds)},
        )

    def _to_pixels(self, region: Region, size: tuple[float, float]) -> tuple[Box, bool]:
        """Return a stated rectangle in pixels, and whether it was read as fractions although the prompt requested another scale."""
        numbers = region.numbers
        order = "xyxy" if region.is_named else self.form
        a, b, c, d = (numbers[1], numbers[0], numbers[3], numbers[2]) if order == "yxyx" else numbers
        if order == "xywh":
            c, d = a + c, b + d
        as_fractions = all(0 <= n <= 1 for n in numbers) and any(n != int(n) for n in numbers)
        divisor = 1.0 if self.scale == "unit" or as_fractions else 1000.0 if self.scale == "thousand" else 0.0
        width, height = (size[0] / divisor, size[1] / divisor) if divisor else (1.0, 1.0)
        (x1, x2), (y1, y2) = sorted((a * width, c * width)), sorted((b * height, d * height))
        return Box(x1, y1, x2, y2), as_fractions and self.scale != "unit"


def gold_box(text: str) -> Box:
    """Parse a gold rectangle; raises ValueError if it is malformed."""
    x1, y1, x2, y2 = (float(part) for part in text.strip("[ ]").split(","))
    if not (x1 < x2 and y1 < y2):
        raise ValueError(f"{text!r} is not a rectangle")
    return Box(x1, y1, x2, y2)


def matched_ious(golds: Sequence[Box], boxes: Sequence[Box], threshold: float = 0.5) -> list[float]:
    """Return the IoUs of the one-to-one matching with the most IoUs at or above the threshold and then the largest sum."""
    if len(golds) == 1 or len(boxes) == 1:
        return [max(iou(gold, box) for gold in golds for box in boxes)] if golds and boxes else []
    import numpy as np
    from scipy.optimize import linear_sum_assignment

    ious = np.array([[iou(gold, box) for box in boxes] for gold in golds]).reshape(len(golds), -1)
    bonus = (ious >= threshold) * float(min(ious.shape) + 1)  # exceeds any sum of IoUs
    rows, columns = linear_sum_assignment(ious + bonus, maximize=True)
    return [float(value) for value in ious[rows, columns]]


class _AccuracyAtIou(Struct, frozen=True):
    """A metric of one sample: 1 if its recorded IoU reaches the threshold, else 0."""

    threshold: float

    def __call__(self, points: Sequence[Point]) -> float:
        return float(_recorded_iou(points) >= self.threshold)


def _recorded_iou(points: Sequence[Point]) -> float:
    """Return the part `iou` of a sample's score, or the bound assumed for a missing sample; raises ValueError if it has neither."""
    point = points[0]
    iou_value = point.value if point.verdict == "missing" else point.parts.get("iou")
    if iou_value is None:
        raise ValueError("no IoU")
    return iou_value


def grounding() -> tuple[Metric, ...]:
    """Return Acc@0.5 (the headline), Acc@0.75 and the mean IoU for samples with one rectangle."""
    return (
        Metric(name="acc@0.5", of=_AccuracyAtIou(0.5), headline=True),
        Metric(name="acc@0.75", of=_AccuracyAtIou(0.75)),
        Metric(name="mean_iou", of=_recorded_iou),
    )
