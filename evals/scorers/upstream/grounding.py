r"""Score rectangles as four evaluators of RefCOCO do; a reply is right if the IoU is at least 0.5.

* `optmerge-qwen`: OptMerge's copy of lmms-eval (WalkerWorldPeace/MLLMerging @ 5f8a4583,
  lmms-eval/lmms_eval/tasks/refcoco/utils_rec.py): the first four numbers in brackets, else in parentheses, else in two
  pairs of parentheses; thousandths if any number is outside [0, 1], else fractions.
* `lmms-eval`: lmms-eval itself (EvolvingLMMs-Lab/lmms-eval @ 75571cfe, same file): only fractions in brackets.
* `internvl`: InternVL's evaluator (MLLMerging, InternVL/internvl_chat/eval/refcoco/evaluate_grounding.py): the four
  comma-separated fields after the first bracket of a line; thousandths if their **sum** is 4 or more, else fractions. A
  reply with a field that is not a number is wrong.
* `vlmevalkit`: VLMEvalKit (@ e8e78f05, dataset/refcoco.py): four numbers in brackets, else the first four numbers anywhere;
  fractions if none exceeds 1.5, thousandths if none exceeds 1000, else pixels; clipped to the image, corners sorted.

Known defects, kept: all rules except `lmms-eval` read pixels up to 1000 as thousandths; the first rectangle counts, even if the
reply corrects it later; corners in the wrong order have an IoU of 0, except under `vlmevalkit`, which in turn reads the 1 of
"object 1: ..." as the first coordinate.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from math import isfinite
from typing import Literal, TypeAlias

from msgspec import Struct

from evals.scorers.boxes import Box, gold_box, iou
from evals.scorers.outcomes import binary_score, unanswered_verdict
from evals.types import Prompt, Reply, Sample, Score

MAX_CHARS = 50_000
"""Maximum number of characters of a reply that are read, counted from its beginning."""
FourNumbers: TypeAlias = tuple[float, float, float, float]
Rule: TypeAlias = Callable[[str, float, float], "Box | None"]
"""(reply, width, height) -> rectangle in pixels, or None."""

_SIMPLE_NUMBER = r"(-?\d++(?:\.\d++)?+)"
_FOUR_NUMBERS = rf"\s*+{_SIMPLE_NUMBER},\s*+{_SIMPLE_NUMBER},\s*+{_SIMPLE_NUMBER},\s*+{_SIMPLE_NUMBER}\s*+"
_SIMPLE_NUMBERS_IN_BRACKETS = re.compile(rf"\[{_FOUR_NUMBERS}\]")
_SIMPLE_NUMBERS_IN_PARENTHESES = re.compile(rf"\({_FOUR_NUMBERS}\)")
_TWO_PAIRS = re.compile(
    rf"\(\s*+{_SIMPLE_NUMBER},\s*+{_SIMPLE_NUMBER}\),\s*+\(\s*+{_SIMPLE_NUMBER},\s*+{_SIMPLE_NUMBER}\)"
)
_NUMBER = r"[-+]?(?:\d++(?:\.\d++)?+|\.\d++)(?:[eE][-+]?\d++)?+"
_SEPARATOR = r"(?:\s*+,\s*+|\s++)"
_NUMBERS_IN_BRACKETS = re.compile(
    rf"\[\s*+({_NUMBER}){_SEPARATOR}({_NUMBER}){_SEPARATOR}({_NUMBER}){_SEPARATOR}({_NUMBER})\s*+\]"
)
_ANY_NUMBER = re.compile(_NUMBER)


def _scale(numbers: FourNumbers, width: float, height: float, *, divisor: float = 1.0) -> Box:
    a, b, c, d = (number / divisor for number in numbers)
    return Box(a * width, b * height, c * width, d * height)


def _parse_match(match: re.Match[str] | None) -> FourNumbers | None:
    if match is None:
        return None
    a, b, c, d = map(float, match.groups())
    return a, b, c, d


def lmms_eval(text: str, width: float, height: float) -> Box | None:
    """Read fractions in brackets."""
    numbers = _parse_match(_SIMPLE_NUMBERS_IN_BRACKETS.search(text))
    return numbers and _scale(numbers, width, height)


def optmerge_qwen(text: str, width: float, height: float) -> Box | None:
    """Read fractions or thousandths in brackets, in parentheses or in two pairs of parentheses."""
    matches = (
        pattern.search(text)
        for pattern in (_SIMPLE_NUMBERS_IN_BRACKETS, _SIMPLE_NUMBERS_IN_PARENTHESES, _TWO_PAIRS)
    )
    numbers = _parse_match(next(filter(None, matches), None))
    if numbers is None:
        return None
    is_outside = any(number < -1e-5 or number > 1 + 1e-5 for number in numbers)
    return _scale(numbers, width, height, divisor=1000.0 if is_outside else 1.0)


def internvl(text: str, width: float, height: float) -> Box | None:
    """Read fractions or thousandths in the four comma-separated fields after the first bracket of a line."""
    fields = next(filter(None, map(_bracket_fields, text.split("\n"))), None)
    if fields is None:
        return None
    try:
        a, b, c, d = map(float, fields)
    except ValueError:
        return None
    return _scale((a, b, c, d), width, height, divisor=1000.0 if a + b + c + d >= 4 else 1.0)


def _bracket_fields(line: str) -> list[str] | None:
    _, bracket, rest = line.partition("[")
    fields = rest.lstrip("[").split(",", 3)
    last, closing, _ = fields[-1].partition("]")
    return [*fields[:3], last] if bracket and closing and len(fields) == 4 else None


def vlmevalkit(text: str, width: float, height: float) -> Box | None:
    """Read four numbers in brackets, else the first four numbers; the largest magnitude determines the scale."""
    numbers = _parse_match(_NUMBERS_IN_BRACKETS.search(text))
    if numbers is None:
        matches = [match for match, _ in zip(_ANY_NUMBER.finditer(text), range(4), strict=False)]
        if len(matches) < 4:
            return None
        a, b, c, d = (float(match[0]) for match in matches)
        numbers = a, b, c, d
    largest = max(map(abs, numbers))
    if largest <= 1000:
        numbers = _scale(numbers, width, height, divisor=1.0 if largest <= 1.5 else 1000.0)
    x_values = sorted(min(max(x, 0.0), width) for x in numbers[::2])
    y_values = sorted(min(max(y, 0.0), height) for y in numbers[1::2])
    return Box(x_values[0], y_values[0], x_values[1], y_values[1])


RULES: Mapping[str, Rule] = {
    "optmerge-qwen": optmerge_qwen,
    "lmms-eval": lmms_eval,
    "internvl": internvl,
    "vlmevalkit": vlmevalkit,
}


class UpstreamBox(Struct, frozen=True):
    """Scores 1 if the IoU of the rectangle that the evaluator reads reaches the threshold; the part `iou` records it."""

    evaluator: Literal["optmerge-qwen", "lmms-eval", "internvl", "vlmevalkit"]
    threshold: float = 0.5

    def __call__(self, sample: Sample, prompt: Prompt, reply: Reply) -> Score:
        """Score one reply."""
        text = "" if reply.stop == "filter" else reply.text[:MAX_CHARS]
        width, height = float(sample.meta["width"]), float(sample.meta["height"])
        box = RULES[self.evaluator](text, width, height)
        if box is None:
            verdict = "wrong" if text.strip() and reply.stop == "stop" else unanswered_verdict(reply)
            return Score(value=0.0, verdict=verdict, why="upstream reads no rectangle", parts={"iou": 0.0})
        # corners in the wrong order do not overlap anything
        is_box = all(map(isfinite, box)) and box.x1 < box.x2 and box.y1 < box.y2
        overlap = iou(gold_box(str(sample.target)), box) if is_box else 0.0
        return binary_score(
            right=overlap >= self.threshold,
            answer=f"[{', '.join(f'{v:g}' for v in box)}]",
            why=f"overlap {overlap:.2f}",
            parts={"iou": overlap},
        )
