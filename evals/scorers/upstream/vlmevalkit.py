r"""MathVista and MathVision as VLMEvalKit scores them, the source of the published Intern-S1 numbers.

@ e8e78f05, dataset/utils/mathvista.py and mathv.py (read at 09818277 and 1344ef21): a rule first, then a judge that copies
the final answer out of the reply, then the same rule on that copy. Defects, kept here:

* options are read by the rule of multiple choice, with its own defects (evals/extract/upstream/vlmevalkit.py), and what it reads
  is final, right or wrong; a free answer is final only if it is right, so that the judge can rescue and never doubt;
* MathVista: a whole number is what `int` takes, so `7.0` and `7 cm` are none; a decimal must be equal, not rounded; a list
  is compared with nothing and can never be right (two problems);
* MathVision: a box is read up to its first closing brace, so `\boxed{\frac{1}{2}}` is `\frac{1`, and the first box counts.
"""

from __future__ import annotations

import re

from msgspec import Struct

from evals.extract.upstream.latex_numbers import value
from evals.extract.upstream.vlmevalkit import option_vlmevalkit
from evals.scorers.judge.judged import Judged
from evals.scorers.outcomes import binary_score, unanswered_verdict
from evals.types import Prompt, Reply, Sample, Score

_BOX = re.compile(r"\\boxed\{([^}]*)\}")
MAX_CHARS = 100_000
EQUALITY_TOLERANCE = 1e-6


class Read(Struct, frozen=True):
    """Scores a reply, or what a judge copied out of it, by the rule of one of the two."""

    lists: bool
    """MathVista: by kinds of answer; else MathVision: by equality, symbolic expressions included."""

    def __repr__(self) -> str:
        return f"Read({'mathvista' if self.lists else 'mathvision'})"

    def options(self, sample: Sample, prompt: Prompt) -> tuple[str, ...]:
        """Return the options as shown."""
        return prompt.as_shown(sample).choices

    def take(self, sample: Sample, prompt: Prompt, reply: Reply, extracted: str) -> Score:
        """Score the answer that a judge copied from the reply."""
        if not extracted:
            return Score(value=0.0, verdict=unanswered_verdict(reply), why="the judge found no final answer")
        result = self._read(sample, prompt, extracted)
        if result is None:
            return Score(value=0.0, verdict="wrong", answer=extracted[:200])
        right, answer = result
        return binary_score(right=right, answer=answer[:200])

    def __call__(self, sample: Sample, prompt: Prompt, reply: Reply) -> Score:
        """Score one reply; no value: a judge must read it."""
        result = None if reply.stop == "filter" else self._read(sample, prompt, reply.text[-MAX_CHARS:])
        if result is None or not (result[0] or sample.choices):
            return Score(value=None, verdict=unanswered_verdict(reply), why="upstream's rule reads no answer")
        right, answer = result
        return binary_score(right=right, answer=answer[:200])

    def _read(self, sample: Sample, prompt: Prompt, text: str) -> tuple[bool, str] | None:
        """Return whether a text is right, and the answer read; None if upstream reads no answer."""
        if not self.lists and (box := _BOX.search(text)):
            text = box[1]
        if sample.choices:
            shown_letter = option_vlmevalkit(text, self.options(sample, prompt))
            letter = shown_letter and (prompt.source_letter(shown_letter) or shown_letter)
            return None if letter is None else (letter == sample.target, letter)
        gold = str(sample.target)
        if not self.lists:
            return _equal_answers(gold, text), text.strip()
        number: type[int] | type[float] | None
        number = {"integer": int, "float": float}.get(str(sample.meta.get("answer_type")))
        if number is None:
            return None
        try:
            return number(text[:400]) == number(gold), text.strip()
        except (ValueError, OverflowError):
            return None


def _equal_answers(gold: str, stated: str) -> bool:
    """Equal text, or equal numbers, LaTeX included; upstream evaluates what a model wrote as Python, we do not."""
    gold, stated = gold.lower().strip(), stated.lower().strip()
    if gold == stated:
        return True
    gold_value, stated_value = value(gold), value(stated)
    return (
        gold_value is not None
        and stated_value is not None
        and abs(gold_value - stated_value) < EQUALITY_TOLERANCE
    )


MATHVISTA = Judged(rule=Read(lists=True), mode="rest", form="answer")
MATHVISION = Judged(rule=Read(lists=False), mode="rest", form="answer")
