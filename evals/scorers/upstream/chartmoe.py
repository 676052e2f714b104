"""ChartQA as ChartMoE's authors score it (IDEA-FinAI/ChartMoE @ 132b0361, chartmoe/eval_ChartQA.py).

This rule is called relaxed accuracy, but differs from VLMEvalKit's and from that of ChartQA's authors. Known defects, kept:
the number in a text is its first run of digits and dots, so signs and percent signs are lost, and the answer in "of 2 bars,
7" is 2; the tolerance is absolute for a target of 0; a year may be off by 5 %; a text that contains `no`
("unknown", "north") is right if the target contains `no`; and a reply without a number is right if it is a substring of the
target, so **an empty reply is right for every target**. Here, too, an empty reply has the value 1, but the
verdict `unanswered`.
"""

from __future__ import annotations

import re

from msgspec import Struct

from evals.scorers.outcomes import binary_score, no_answer
from evals.types import Prompt, Reply, Sample, Score

MAX_CHARS = 100_000
"""Maximum number of characters that are read, from the beginning of a reply."""
WHY_EMPTY = "an empty reply, which upstream counts as right: it is a substring of every target"
_DIGITS = re.compile(r"[\d.]+")


def first_number(text: str) -> float | None:
    """Return the first run of digits and dots as a number; None if there is no run, or it is not a number."""
    match = _DIGITS.search(text.replace(",", ""))
    try:
        return None if match is None else float(match[0])
    except ValueError:
        return None


def matches_relaxed(stated: str, target: str, tolerance: float) -> bool:
    """Return whether two answers agree as upstream compares them."""
    number, gold = first_number(stated), first_number(target)
    if number is not None and gold is not None:
        return abs(number - gold) / (abs(gold) or 1.0) <= tolerance
    stated, target = stated.lower(), target.lower()
    return any(word in stated and word in target for word in ("yes", "no")) or stated in target


class ChartMoE(Struct, frozen=True):
    """Scores 1 if upstream's rule accepts the reply; upstream's tolerances are 0.05, 0.10 and 0.20."""

    tolerance: float = 0.05

    def __call__(self, sample: Sample, prompt: Prompt, reply: Reply) -> Score:
        """Score one reply."""
        if reply.stop == "filter":
            return Score(value=0.0, verdict="refused")
        text = reply.text[:MAX_CHARS].strip()
        right = matches_relaxed(text, str(sample.target), self.tolerance)
        if not text:
            return no_answer(reply, WHY_EMPTY, value=float(right), suspect=True)
        return binary_score(right=right, answer=text[:200])
