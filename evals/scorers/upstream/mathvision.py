r"""What MATH-V's authors do (mathllm/MATH-V @ a1f5cc3a, evaluation/evaluate.py and utils.py), in linear time.

The answer is what the last box holds, else what follows "the answer is", else all of the reply; it is right where it
equals the gold letter, the gold option's text or a number that rounds to the same two decimals. Known defects, kept
here: 0.44 equals 7/16, since both round to it; only the text after an equals sign counts; a reply that was cut is read
as it is.
"""

from __future__ import annotations

import math
import re
from typing import ClassVar

from msgspec import Struct

from evals.extract import boxed
from evals.extract.expression import stated_expression
from evals.prompts import LETTERS
from evals.scorers import expressions
from evals.scorers.choice import StatedChoice, silence, unread, where
from evals.scorers.math import equivalent
from evals.types import Prompt, Reply, Sample, Score

FLAGS = ("the final answer is", "the answer is", "the correct answer is", "the answer should be")
DROPPED = (
    "\\text", "\\mbox", "\\left", "\\right", "^{\\circ}", "^\\circ", "{m}^3", "m^3", "{units}", "units", "{km}", "km",
    "\\!", "\\$", "$", "\\%",
)  # fmt: skip
LONGEST = 100_000
_TOKEN = re.compile(r"\s*(\d+\.?\d*|\.\d+|\\d?frac|\\t?frac|\\sqrt|\\pi|pi|\\cdot|\\times|[-+*/:^(){}])")


def is_number(text: str) -> bool:
    """Whether Python reads it as a float."""
    try:
        float(text)
    except ValueError:
        return False
    return True


def answer(text: str) -> str:
    """Give upstream's reading of a reply, in lower case."""
    text = text[-LONGEST:].strip()
    for x in "ABCDE":
        if text.endswith((f" {x}.", f" ({x}).")) or text.startswith((f"{x}\n", f"({x})\n", f"({x}) {x}\n")):
            text = x
    tail = text.rpartition("is ")[2].rstrip(".")
    if is_number(tail):
        text = tail
    if "oxed{" not in text:
        for flag in FLAGS:
            text = _after(_after(text, flag), flag.replace("the", "The"))
    elif text.count("oxed{") > 1:
        text = "\\boxed{" + text.rpartition("oxed{")[2]
    found = _inside(text.lower())
    for x in "abcde":
        found = found.replace(f"({x})", x).replace(f"{{{x}}}", x)
    return found.rstrip(".").lstrip(":").strip()


def _after(text: str, flag: str) -> str:
    """Give the first sentence behind a phrase; without it, the text."""
    if flag not in text:
        return text.strip()
    return text.rpartition(flag)[2].strip().partition("\n")[0].partition(". ")[0]


def _inside(text: str) -> str:
    """Give what the box holds, without units and marks of layout."""
    text = text.replace("{}", "")
    start, end = text.find("oxed{"), text.rfind("}")
    if start >= 0 and start + 5 <= end:
        text = text[start + 5 : end]
    close, opened = text.find("}"), text.find("{")
    if close >= 0 and (opened < 0 or close < opened):
        text = text[:close]
    text = text.rpartition("=")[2].rpartition("\\approx")[2]
    text = text.replace(" ", "").replace("\\,", "").replace("\\\\", "\\").replace("\n", "")
    for piece in DROPPED:
        text = text.replace(piece, "")
    return f"0{text}" if text.startswith(".") else text


def same(gold: str, found: str) -> bool:
    """Tell whether upstream calls two answers equal."""
    gold, found = gold.lower().strip(), found.lower().strip()
    if not gold or not found:
        return False
    if gold == found:
        return True
    one, other = value(gold), value(found)
    return one is not None and other is not None and round(one, 2) == round(other, 2)


def value(text: str) -> float | None:
    r"""Compute a LaTeX number (`2\sqrt{3}`, `\frac{1}{2}`, `3\pi/4`); None for anything else."""
    text = text.replace("$", "").replace("\\displaystyle", "")
    if not text or len(text) > 200:
        return None
    tokens, position = [], 0
    while position < len(text):
        found = _TOKEN.match(text, position)
        if found is None:
            return None
        tokens.append(found[1])
        position = found.end()
    try:
        reader = _Reader(tokens)
        result = reader.sum()
        return float(result) if not reader.tokens and math.isfinite(result) else None
    except (ValueError, IndexError, ZeroDivisionError, OverflowError, RecursionError, TypeError):
        return None


class _Reader:
    """A calculator: sums of products of powers; what stands side by side is multiplied, whole numbers exactly."""

    def __init__(self, tokens: list[str]) -> None:
        self.tokens = tokens[::-1]

    def _next(self, *wanted: str) -> str | None:
        return self.tokens.pop() if self.tokens and self.tokens[-1] in wanted else None

    def sum(self) -> float:
        sign = self._next("+", "-")
        total = self.product() * (-1 if sign == "-" else 1)
        while sign := self._next("+", "-"):
            total += self.product() * (-1 if sign == "-" else 1)
        return total

    def product(self) -> float:
        total = self.power()
        while self.tokens and self.tokens[-1] not in "+-)}":
            if self._next("/", ":"):
                total /= self.power()
            else:
                self._next("*", "\\cdot", "\\times")
                total *= self.power()
        return total

    def power(self) -> float:
        base = self.atom()
        if self._next("^"):
            exponent = self.atom()
            if abs(exponent) > (5000 if isinstance(base, int) and abs(base) < 10_000 else 100):
                raise ValueError(exponent)
            base = base**exponent
        return base

    def atom(self) -> float:
        word = self.tokens.pop()
        if word in "({":
            inner = self.sum()
            if self.tokens.pop() != {"(": ")", "{": "}"}[word]:
                raise ValueError(word)
            return inner
        if word.endswith("frac"):
            return self.atom() / self.atom()
        if word == "\\sqrt":
            return math.sqrt(self.atom())
        if word == "-":
            return -self.atom()
        return math.pi if word.endswith("pi") else int(word) if word.isdigit() else float(word)


class Official(Struct, frozen=True):
    """Scores 1 where upstream says correct."""

    def __call__(self, sample: Sample, prompt: Prompt, reply: Reply) -> Score:
        """Judge one reply."""
        found = "" if reply.stop == "filter" else answer(reply.text)
        if not found:
            return Score(value=0.0, verdict=silence(reply), why="no answer stated")
        sample = prompt.as_shown(sample)
        gold = str(sample.target)
        text = sample.choices[ord(gold) - ord("A")] if sample.choices else ""
        right = same(gold, found) or same(text, found)
        if len(found) == 1 and found.upper() in LETTERS[: len(sample.choices)]:
            found = str(prompt.source_letter(found.upper())).lower()
        return Score(value=float(right), verdict="right" if right else "wrong", answer=found[:200])


class Strict(Struct, frozen=True):
    """Scores the stated option, or the stated expression by symbolic equality; for a worker with a deadline."""

    heavy: ClassVar[bool] = True

    def warm(self) -> None:
        """Import what takes long, once per worker."""
        equivalent("1", "1")

    def __call__(self, sample: Sample, prompt: Prompt, reply: Reply) -> Score:
        """Judge one reply."""
        if sample.choices:
            return StatedChoice()(sample, prompt, reply)
        gold = str(sample.target).replace("$", "").strip()
        gold = (boxed(gold) or gold).strip()
        cut = reply.stop == "length"
        reading = None if reply.stop == "filter" else stated_expression(reply.text, truncated=cut)
        if reading is None:
            return unread(reply, "no expression stated")
        right = any(expressions.same(gold, head) for head in reading.value)
        score = Score(
            value=float(right), verdict="right" if right else "wrong", answer=reading.value[0][:200]
        )
        return where(reading, score)
