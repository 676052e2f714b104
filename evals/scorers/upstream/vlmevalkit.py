r"""MathVista and MathVision as scored by VLMEvalKit, which produced the published Intern-S1 scores.

Source: @ e8e78f05, dataset/utils/mathvista.py and mathv.py (also 09818277 and 1344ef21): a rule first, then a judge that
extracts the final answer, then the same rule on the extracted answer. Known defects, kept:

* options are read by the rule for multiple choice, with its own defects (evals/extract/upstream/vlmevalkit.py), whose result
  is final; a free answer is final only if it is right, so that the judge can only raise the score;
* MathVista: an integer must be readable by `int`, so `7.0` and `7 cm` are not; a decimal must be equal, not rounded; a list
  is never compared and always wrong (two problems);
* MathVision: a box is read up to its first closing brace, so `\boxed{\frac{1}{2}}` is `\frac{1`, and the first box counts.
"""

from __future__ import annotations

import re

from msgspec import Struct

from evals.extract.upstream.latex_numbers import latex_value
from evals.extract.upstream.vlmevalkit import option_vlmevalkit
from evals.scorers.judge.judged import Judged
from evals.scorers.outcomes import binary_score, no_answer
from evals.types import Prompt, Reply, Sample, Score

_BOX = re.compile(r"\\boxed\{([^}]*)\}")
MAX_CHARS = 100_000
EQUALITY_TOLERANCE = 1e-6


class Read(Struct, frozen=True):
    """Scores a reply, or the answer that a judge extracted from it, by the rule of either benchmark."""

    lists: bool
    """Whether to use MathVista's rule, which depends on the answer type, instead of MathVision's, which evaluates LaTeX."""

    def __repr__(self) -> str:
        return f"Read({'mathvista' if self.lists else 'mathvision'})"

    def options(self, sample: Sample, prompt: Prompt) -> tuple[str, ...]:
        """Return the options as shown."""
        return prompt.as_shown(sample).choices

    def take(self, sample: Sample, prompt: Prompt, reply: Reply, extracted: str) -> Score:
        """Score the answer that a judge extracted from the reply."""
        if not extracted:
            return no_answer(reply, "the judge found no final answer")
        result = self._read(sample, prompt, extracted)
        if result is None:
            return Score(value=0.0, verdict="wrong", answer=extracted[:200])
        right, answer = result
        return binary_score(right=right, answer=answer[:200])

    def __call__(self, sample: Sample, prompt: Prompt, reply: Reply) -> Score:
        """Score one reply; the score has no value if a judge must extract the answer."""
        result = None if reply.stop == "filter" else self._read(sample, prompt, reply.text[-MAX_CHARS:])
        if result is None or not (result[0] or sample.choices):
            return no_answer(reply, "upstream's rule reads no answer", value=None)
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
    """Return whether texts, or numbers in LaTeX, are equal; unlike upstream, model output is never evaluated as Python."""
    gold, stated = gold.lower().strip(), stated.lower().strip()
    if gold == stated:
        return True
    gold_value, stated_value = latex_value(gold), latex_value(stated)
    return (
        gold_value is not None
        and stated_value is not None
        and abs(gold_value - stated_value) < EQUALITY_TOLERANCE
    )


MATHVISTA = Judged(rule=Read(lists=True), mode="rest", form="answer")
MATHVISION = Judged(rule=Read(lists=False), mode="rest", form="answer")
