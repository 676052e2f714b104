"""The last box of a reply, compared with the gold expression by math-verify: OpenCompass' rule stage for competition mathematics."""

from __future__ import annotations

from typing import ClassVar

from msgspec import Struct

from evals.extract.tags import boxed
from evals.extract.visible import visible
from evals.scorers.choice import silence
from evals.scorers.math import equivalent
from evals.types import Prompt, Reply, Sample, Score


class BoxedExpression(Struct, frozen=True):
    r"""Scores the content of the last `\boxed{}`; anything outside a box is not an answer."""

    heavy: ClassVar[bool] = True

    def warm(self) -> None:
        """Import what takes long, once per worker."""
        equivalent("1", "1")

    def __call__(self, sample: Sample, prompt: Prompt, reply: Reply) -> Score:
        """Judge one reply."""
        stated = None if reply.stop == "filter" else boxed(visible(reply.text).text)
        if not stated:
            return Score(value=0.0, verdict=silence(reply), why="no box")
        gold = str(sample.target).strip().strip("$")
        right = stated.replace(" ", "") == gold.replace(" ", "") or bool(
            equivalent(f"${gold}$", f"${stated}$")
        )
        return Score(value=float(right), verdict="right" if right else "wrong", answer=stated[:200])
