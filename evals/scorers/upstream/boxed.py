"""Score the last box of a reply with math-verify, as OpenCompass does for competition mathematics before it calls a judge."""

from __future__ import annotations

import re
from typing import ClassVar

from msgspec import Struct

from evals.extract.tags import last_box
from evals.extract.visible import visible
from evals.scorers.math import equivalent
from evals.scorers.outcomes import binary_score, no_answer
from evals.types import Prompt, Reply, Sample, Score


class BoxedExpression(Struct, frozen=True):
    r"""Scores 1 if the content of the last `\boxed{}` equals the target; a reply without a box is unanswered."""

    heavy: ClassVar[bool] = True

    def warm(self) -> None:
        """Import slow dependencies, once per worker."""
        equivalent("1", "1")

    def extract_answer(self, text: str) -> str | None:
        """Return the answer in a reply from which the reasoning was removed."""
        return last_box(text)

    def __call__(self, sample: Sample, prompt: Prompt, reply: Reply) -> Score:
        """Score one reply."""
        stated = None if reply.stop == "filter" else self.extract_answer(visible(reply.text).text)
        if not stated:
            return no_answer(reply, "no box")
        gold = str(sample.target).strip().strip("$")
        right = stated.replace(" ", "") == gold.replace(" ", "") or bool(
            equivalent(f"${gold}$", f"${stated}$")
        )
        return binary_score(right=right, answer=stated[:200])


_TEXT_COMMAND = re.compile(r"\\text\{[^{}]*\}")
_IGNORED = re.compile(
    r"\\(?:displaystyle|left|right|[Bb]igl?|[Bb]igr|quad|[,;:!])|\^\s*\\circ|\^\{\\circ\}|[$]"
)
_DIGIT_SEPARATOR = re.compile(r"(?<=\d)(?:,|\{,\})(?=\d)")
_INTEGER = re.compile(r"\b\d+\b")


class MathArenaBox(BoxedExpression, frozen=True):
    r"""Scores the answer that MathArena extracts (eth-sri/matharena @ e9276603, src/matharena/parser.py) by math-verify.

    The last box is cleaned of `\text{...}`, degrees, spacing and commas between digits; the text after the last `=` and
    before `\approx` counts. Without a box, the last integer of the reply counts, without its sign, as in HMMT's configuration
    (`strict_parsing: false`); upstream also uses this integer if its parsers fail on the box. Not implemented: upstream's
    manual corrections of about a hundred replies, its grammar (decimals must agree to 1e-10, here to six digits; adjacent
    letters are a product), and lists in several boxes on a line.
    """

    def extract_answer(self, text: str) -> str | None:
        """Return the answer in a reply from which the reasoning was removed."""
        content = last_box(text)
        if content is None:
            integers = _INTEGER.findall(text)
            return integers[-1] if integers else None
        cleaned = _DIGIT_SEPARATOR.sub("", _IGNORED.sub("", _TEXT_COMMAND.sub("", content)))
        cleaned = cleaned.strip().removesuffix(".")
        return cleaned.rpartition("=")[2].partition("\\approx")[0].strip() or None
