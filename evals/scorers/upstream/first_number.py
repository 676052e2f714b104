"""OpenCompass' last step for MatBench regression, with its known defects.

Upstream asks a judge model for the single number in a reply, or for 0 if there is none; this pattern parses the judge's
reply. Source: OpenCompass @ a5acc4bb, opencompass/datasets/matbench/post_process.py, lines 38-43.
"""

from __future__ import annotations

import re
from math import isfinite

from msgspec import Struct

from evals.types import Prompt, Reply, Sample, Score

MAX_CHARS = 100_000
"""Maximum number of characters of a reply that are read, from its beginning."""
_NUMBER = re.compile(r"[-+]?\d*\.\d+|\d+\.\d*|\d+")


def first_number(text: str) -> float | None:
    """Return the first number; an integer loses its sign (-5 is 5), and an exponent is ignored (1e-3 is 1)."""
    match = _NUMBER.search(text[:MAX_CHARS])
    value = float(match[0]) if match else None
    return value if value is not None and isfinite(value) else None


class FirstNumber(Struct, frozen=True):
    """Scores |first number - target|; a missing number counts as 0."""

    def __call__(self, sample: Sample, prompt: Prompt, reply: Reply) -> Score:
        """Score one reply."""
        target = float(sample.target)  # type: ignore[arg-type]
        number = first_number(reply.text)
        return Score(
            value=abs((number or 0.0) - target),
            verdict="graded",
            answer=None if number is None else f"{number!r}",
            why="no number: counts as 0" if number is None else "",
            suspect=number is None,
        )
