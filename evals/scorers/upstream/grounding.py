r"""Rectangles in a reply as four evaluators of RefCOCO read them. Correct is an overlap (IoU) of at least 0.5.

* `optmerge-qwen`: OptMerge's copy of lmms-eval (WalkerWorldPeace/MLLMerging @ 5f8a4583, lmms-eval/lmms_eval/tasks/refcoco/utils_rec.py).
  The first four numbers in brackets anywhere, else in parentheses, else two pairs; thousandths if any of them is outside [0, 1].
  The copy differs from lmms-eval in its prompt, the further notations and the thousandths, so that it is a rule of its own.
* `lmms-eval`: lmms-eval itself (EvolvingLMMs-Lab/lmms-eval @ 75571cfe, same file): brackets and fractions only.
* `internvl`: InternVL's evaluator (MLLMerging, InternVL/internvl_chat/eval/refcoco/evaluate_grounding.py): what stands between the
  first bracket of a line and the third comma and closing bracket after it; thousandths if the **sum** is 4 or more. Anything that
  is no number there makes the reply wrong.
* `vlmevalkit`: VLMEvalKit (@ e8e78f05, dataset/refcoco.py): four numbers in brackets, else the first four numbers anywhere; fractions if none
  exceeds 1.5, thousandths if none exceeds 1000, else pixels; clipped to the picture, corners put in order.

Defects, kept: all but `lmms-eval`, which knows fractions alone, take pixels up to 1000 for thousandths; the first rectangle counts, even if the reply
corrects it later; corners in the wrong order have no overlap, but for `vlmevalkit`, to which the 1 of "object 1: ..." is the first number.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from math import isfinite
from typing import Literal, TypeAlias

from msgspec import Struct

from evals.scorers.boxes import Box, gold_box
from evals.scorers.outcomes import binary_score, unanswered_verdict
from evals.types import Prompt, Reply, Sample, Score

LONGEST = 50_000
"""Characters of a reply that are read, from its beginning."""
Numbers: TypeAlias = tuple[float, float, float, float]
Rule: TypeAlias = Callable[[str, float, float], "Box | None"]
"""(reply, width, height) -> rectangle in pixels; None: nothing is read."""

_N = r"(-?\d++(?:\.\d++)?+)"
_FOUR = rf"\s*+{_N},\s*+{_N},\s*+{_N},\s*+{_N}\s*+"
_BRACKETS = re.compile(rf"\[{_FOUR}\]")
_PARENTHESES = re.compile(rf"\({_FOUR}\)")
_PAIRS = re.compile(rf"\(\s*+{_N},\s*+{_N}\),\s*+\(\s*+{_N},\s*+{_N}\)")
_NUMBER = r"[-+]?(?:\d++(?:\.\d++)?+|\.\d++)(?:[eE][-+]?\d++)?+"
_BETWEEN = r"(?:\s*+,\s*+|\s++)"
_SPACED = re.compile(
    rf"\[\s*+({_NUMBER}){_BETWEEN}({_NUMBER}){_BETWEEN}({_NUMBER}){_BETWEEN}({_NUMBER})\s*+\]"
)
_ANY_NUMBER = re.compile(_NUMBER)


def _scaled(numbers: Numbers, width: float, height: float, *, per: float = 1.0) -> Box:
    a, b, c, d = (number / per for number in numbers)
    return Box(a * width, b * height, c * width, d * height)


def _four(match: re.Match[str] | None) -> Numbers | None:
    if match is None:
        return None
    a, b, c, d = map(float, match.groups())
    return a, b, c, d


def lmms_eval(text: str, width: float, height: float) -> Box | None:
    """Read fractions in brackets."""
    numbers = _four(_BRACKETS.search(text))
    return numbers and _scaled(numbers, width, height)


def optmerge_qwen(text: str, width: float, height: float) -> Box | None:
    """Read fractions or thousandths in brackets, parentheses or two pairs."""
    matches = (pattern.search(text) for pattern in (_BRACKETS, _PARENTHESES, _PAIRS))
    numbers = _four(next(filter(None, matches), None))
    if numbers is None:
        return None
    beyond = any(number < -1e-5 or number > 1 + 1e-5 for number in numbers)
    return _scaled(numbers, width, height, per=1000.0 if beyond else 1.0)


def internvl(text: str, width: float, height: float) -> Box | None:
    """Read what stands between the first bracket of a line, three commas and a closing bracket."""
    pieces = next(filter(None, map(_bracketed, text.split("\n"))), None)
    if pieces is None:
        return None
    try:
        a, b, c, d = map(float, pieces)
    except ValueError:
        return None
    return _scaled((a, b, c, d), width, height, per=1000.0 if a + b + c + d >= 4 else 1.0)


def _bracketed(line: str) -> list[str] | None:
    _, bracket, rest = line.partition("[")
    pieces = rest.lstrip("[").split(",", 3)
    last, closing, _ = pieces[-1].partition("]")
    return [*pieces[:3], last] if bracket and closing and len(pieces) == 4 else None


def vlmevalkit(text: str, width: float, height: float) -> Box | None:
    """Read four numbers in brackets, or else the first four; the largest decides about their unit."""
    numbers = _four(_SPACED.search(text))
    if numbers is None:
        first = [float(match[0]) for match, _ in zip(_ANY_NUMBER.finditer(text), range(4), strict=False)]
        if len(first) < 4:
            return None
        numbers = first[0], first[1], first[2], first[3]
    largest = max(map(abs, numbers))
    if largest <= 1000:
        numbers = _scaled(numbers, width, height, per=1.0 if largest <= 1.5 else 1000.0)
    xs = sorted(min(max(x, 0.0), width) for x in numbers[::2])
    ys = sorted(min(max(y, 0.0), height) for y in numbers[1::2])
    return Box(xs[0], ys[0], xs[1], ys[1])


RULES: Mapping[str, Rule] = {
    "optmerge-qwen": optmerge_qwen,
    "lmms-eval": lmms_eval,
    "internvl": internvl,
    "vlmevalkit": vlmevalkit,
}


def overlap(gold: Box, stated: Box) -> float:
    """Return the intersection over union; 0 for corners in the wrong order and for what is no rectangle."""
    if not all(map(isfinite, stated)) or stated.x1 >= stated.x2 or stated.y1 >= stated.y2:
        return 0.0
    width = min(gold.x2, stated.x2) - max(gold.x1, stated.x1)
    height = min(gold.y2, stated.y2) - max(gold.y1, stated.y1)
    shared = max(0.0, width) * max(0.0, height)
    return shared / (gold.area + stated.area - shared)


class UpstreamBox(Struct, frozen=True):
    """Scores 1 if the rectangle that a rule reads overlaps enough; `iou` is recorded as a part."""

    evaluator: Literal["optmerge-qwen", "lmms-eval", "internvl", "vlmevalkit"]
    threshold: float = 0.5

    def __call__(self, sample: Sample, prompt: Prompt, reply: Reply) -> Score:
        """Judge one reply."""
        text = "" if reply.stop == "filter" else reply.text[:LONGEST]
        width, height = float(sample.meta["width"]), float(sample.meta["height"])
        box = RULES[self.evaluator](text, width, height)
        if box is None:
            verdict = "wrong" if text.strip() and reply.stop == "stop" else unanswered_verdict(reply)
            return Score(value=0.0, verdict=verdict, why="upstream reads no rectangle", parts={"iou": 0.0})
        iou = overlap(gold_box(str(sample.target)), box)
        return binary_score(
            right=iou >= self.threshold,
            answer=f"[{', '.join(f'{v:g}' for v in box)}]",
            why=f"overlap {iou:.2f}",
            parts={"iou": iou},
        )
