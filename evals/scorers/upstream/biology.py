r"""OpenCompass' rules for Biology-Instructions (opencompass 0.5.4, datasets/biodata.py), with their known defects.

* Labels and sets of labels are read from the last `\boxed{}`, whose braces may be nested once; `\boxed{Yes.}` is not a label. A
  label that cannot be read counts as the *opposite* of the right one, which can make MCC negative; accuracy counts it as
  wrong.
* A number must be the whole content of a box or `<NUMBER>`, without `+`, exponent, unit or percent sign. Several numbers
  are read from the last `{...}` of a reply, whose keys must be exactly the gold keys. Correlations exclude unreadable
  numbers and are multiplied by the share of readable ones.
* R2 is the square of Pearson's correlation: a perfect negative correlation scores 100.
* Modifications: a missing or empty answer counts as *all thirteen*, and unknown names have no effect.
* Enzymes: EC numbers that are not on upstream's list of 538 have no effect; those with a letter or without a third field
  are not read.
* siRNA: a missing number counts as an efficiency of 0 %, which is in the rewarded range; a number above 1,000 stops
  upstream's evaluation with an error, but scores 0 here.
"""

from __future__ import annotations

import ast
import json
import re
from collections.abc import Callable, Sequence
from functools import cache
from math import isfinite
from typing import Any

from msgspec import Struct
from msgspec.structs import replace

from evals.data.biology import MODIFICATIONS
from evals.errors import DataError
from evals.prompts.upstream import wheel
from evals.prompts.upstream.wheel import OPENCOMPASS
from evals.scorers.outcomes import binary_score, no_answer, partial_score
from evals.scorers.upstream.opencompass_selfies import last_number
from evals.types import Prompt, Reply, Sample, Score

SOURCE_PATH = "opencompass/datasets/biodata.py"
_BOX = re.compile(r"\\boxed\{((?:[^{}]++|\{[^{}]*+\})*+)\}")
_TEXT_COMMAND = re.compile(r"\\text\{([^}]*+)\}")
_ESCAPED = re.compile(r"\\(.)")
_BRACES = re.compile(r"\{[^{}]*+\}")
_EC_NUMBER = re.compile(r"(?<!\d)\d++\.\d++\.\d++\.-?\d*+")
_MAX_BRACE_CHARS = 2_000
"""Maximum length of the text in braces that is parsed."""
_LABEL_SYNONYMS = {"positive": "yes", "negative": "no"}


def last_box(text: str) -> str | None:
    """Return the content of the last box, cleaned as upstream does it; None if there is no box or its content is empty."""
    contents = _BOX.findall(text)
    if not contents:
        return None
    content = _ESCAPED.sub(r"\1", _TEXT_COMMAND.sub(r"\1", contents[-1].strip()))
    return content or None


def parse_numbers(text: str, keys: Sequence[str]) -> dict[str, float] | None:
    """Return the numbers by key in the last braces, omitting other values; None unless they contain exactly these keys."""
    braces = _BRACES.findall(text)
    if not braces or "..." in braces[-1] or len(braces[-1]) > _MAX_BRACE_CHARS:
        return None
    content = _parse_braces(braces[-1])
    if not isinstance(content, dict) or content.keys() != set(keys):
        return None
    return {key: number for key in keys if (number := _as_float(content[key])) is not None}


def _parse_braces(text: str) -> Any:
    for parse in (json.loads, ast.literal_eval):
        try:
            return parse(text)
        except (ValueError, SyntaxError, TypeError, MemoryError, RecursionError):
            continue
    return None


def _as_float(value: Any) -> float | None:
    try:
        number = float(value)
    except (TypeError, ValueError, OverflowError):
        return None
    return number if isfinite(number) else None


def enzymes(text: str) -> list[str]:
    """Return the EC numbers that upstream's pattern finds."""
    return _EC_NUMBER.findall(text)


@cache
def enzyme_labels() -> tuple[str, ...]:
    """Return upstream's list of EC numbers, read from its wheel; raises DataError if that fails."""
    tree = ast.parse(wheel.read(OPENCOMPASS, SOURCE_PATH))
    for node in ast.walk(tree):
        match node:
            case ast.Assign(targets=[ast.Attribute(attr="ec_labels")], value=ast.List(elts=elements)):
                return tuple(str(e.value) for e in elements if isinstance(e, ast.Constant))
    raise DataError(f"{OPENCOMPASS.package}: {SOURCE_PATH} has no list of EC numbers")


def number_parts(gold: Sequence[float], stated: Sequence[float | None]) -> dict[str, float]:
    """Return the score parts from which `evals.scorers.correlations` computes metrics."""
    parts = {f"gold_{i}": value for i, value in enumerate(gold)}
    return parts | {f"stated_{i}": value for i, value in enumerate(stated) if value is not None}


def gold_numbers(sample: Sample) -> list[float]:
    """Return the gold number, or several in the order of their keys."""
    keys = sample.meta.get("keys")
    if not keys:
        return [float(str(sample.target))]
    content = json.loads(str(sample.target))
    return [float(content[key]) for key in keys]


def score_numbers(sample: Sample, reply: Reply, stated: Sequence[float | None]) -> Score:
    """Score stated numbers; the value, (share stated) / (1 + mean error), is only displayed, as metrics use the parts."""
    gold = gold_numbers(sample)
    parts = number_parts(gold, stated)
    stated_pairs = [(x, y) for x, y in zip(gold, stated, strict=True) if y is not None]
    if not stated_pairs:
        return no_answer(reply, "no number read", parts=parts)
    error = sum(abs(x - y) for x, y in stated_pairs) / len(stated_pairs)
    share = len(stated_pairs) / len(gold)
    answer = ", ".join("-" if y is None else f"{y:g}" for y in stated)
    return Score(value=share / (1.0 + error), verdict="graded", answer=answer, parts=parts)


class Numbers(Struct, frozen=True):
    """Scores the number, or the numbers by key, that upstream reads in a reply."""

    def __call__(self, sample: Sample, prompt: Prompt, reply: Reply) -> Score:
        """Score one reply."""
        keys = sample.meta.get("keys")
        if reply.stop == "filter":
            return score_numbers(sample, reply, [None] * len(keys or [""]))
        if keys:
            values = parse_numbers(reply.text, keys) or {}
            return score_numbers(sample, reply, [values.get(key) for key in keys])
        number = last_number(reply.text)
        return score_numbers(sample, reply, [number if number is not None and isfinite(number) else None])


class BoxedLabel(Struct, frozen=True):
    """Scores 1 if the last box contains only the right label, ignoring case; `positive` is yes and `negative` no."""

    known: tuple[str, ...] = ()
    """Labels that upstream reads; empty: any label."""

    def __call__(self, sample: Sample, prompt: Prompt, reply: Reply) -> Score:
        """Score one reply."""
        answer = None if reply.stop == "filter" else last_box(reply.text)
        if answer is None:
            return no_answer(reply, "no box that upstream reads")
        label = _LABEL_SYNONYMS.get(answer.lower(), answer.lower())
        if self.known and label not in self.known:
            return Score(value=0.0, verdict="unanswered", why=f"upstream reads no label in {answer[:80]!r}")
        right = label == str(sample.target).lower()
        return binary_score(right=right, answer=label[:100])


def score_label_set(sample: Sample, reply: Reply, stated: set[str] | None, parts: dict[str, float]) -> Score:
    """Score a set of labels by its F1 with the gold set; `stated` is None if no answer was read."""
    if stated is None:
        return no_answer(reply, "no answer read", parts=parts)
    gold = split_labels(str(sample.target))
    f1 = 2 * len(stated & gold) / (len(stated) + len(gold)) if stated or gold else 1.0
    return partial_score(f1, answer=",".join(sorted(stated))[:1000], parts=parts)


def split_labels(text: str) -> set[str]:
    """Return the labels of a comma-separated list, in lower case."""
    return {label.strip().lower() for label in text.split(",") if label.strip()}


def label_parts(gold: set[str], stated: set[str]) -> dict[str, float]:
    """Return the score parts from which `LabelAuc` is computed."""
    names = [name.lower() for name in MODIFICATIONS]
    return number_parts([float(name in gold) for name in names], [float(name in stated) for name in names])


class Modifications(Struct, frozen=True):
    """Scores the F1 of the labels in the last box; in the score's parts, a missing answer counts as all labels."""

    def __call__(self, sample: Sample, prompt: Prompt, reply: Reply) -> Score:
        """Score one reply."""
        answer = None if reply.stop == "filter" else last_box(reply.text)
        stated = None if answer is None else split_labels(answer)
        all_names = {name.lower() for name in MODIFICATIONS}
        parts = label_parts(split_labels(str(sample.target)), all_names if stated is None else stated)
        return score_label_set(sample, reply, stated, parts)


class Enzymes(Struct, frozen=True):
    """Scores the F1 of the set of EC numbers in the last box."""

    find: Callable[[str], Sequence[str]] = enzymes

    def __repr__(self) -> str:
        return f"Enzymes({self.find.__name__})"

    def __call__(self, sample: Sample, prompt: Prompt, reply: Reply) -> Score:
        """Score one reply."""
        answer = None if reply.stop == "filter" else last_box(reply.text)
        stated = None if answer is None else set(self.find(answer))
        gold = ",".join(self.find(str(sample.target)))
        return score_label_set(replace(sample, target=gold), reply, stated or None, {})
