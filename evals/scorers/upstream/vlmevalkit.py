r"""MathVista and MathVision as scored by VLMEvalKit, which produced the published Intern-S1 scores.

Source: VLMEvalKit @ e8e78f05, dataset/utils/mathvista.py and mathv.py: a rule first, then a judge that extracts the final
answer, then the same rule on the extracted answer. Known defects, kept:

* options are read by the rule for multiple choice (evals/extract/upstream/vlmevalkit.py, with its own defects), and its
  result is final; a free-form answer is final only if it is right, so the judge can only raise the score;
* MathVista: an integer is parsed by `int`, so `7.0` and `7 cm` are wrong; a decimal must be equal, not rounded; a list
  is never compared and always wrong (two problems);
* MathVision: the whole reply is compared, so a free-form answer in a box, or in a sentence, is left to the judge.
"""

from __future__ import annotations

from msgspec import Struct

from evals.extract.upstream.latex_numbers import latex_value
from evals.extract.upstream.vlmevalkit import option_vlmevalkit
from evals.scorers.judge.judged import Judged
from evals.scorers.outcomes import binary_score, no_answer
from evals.types import Prompt, Reply, Sample, Score

MAX_CHARS = 100_000
EQUALITY_TOLERANCE = 1e-6


class MathRule(Struct, frozen=True):
    """Scores a reply, or the answer that a judge extracted from it, by the rule of either benchmark."""

    mathvista: bool
    """Whether to use MathVista's rule, which depends on the answer type, instead of MathVision's, which evaluates LaTeX."""

    def __repr__(self) -> str:
        """Return the rule's former name, so that cards of old runs remain comparable."""
        return f"Read({'mathvista' if self.mathvista else 'mathvision'})"

    def options(self, sample: Sample, prompt: Prompt) -> tuple[str, ...]:
        """Return the options as shown."""
        return prompt.as_shown(sample).choices

    def score_extracted(self, sample: Sample, prompt: Prompt, reply: Reply, extracted: str) -> Score:
        """Score the answer that a judge extracted from the reply."""
        if not extracted:
            return no_answer(reply, "the judge found no final answer")
        reading = self._read(sample, prompt, extracted)
        if reading is None:
            return Score(value=0.0, verdict="wrong", answer=extracted[:200])
        right, answer = reading
        return binary_score(right=right, answer=answer[:200])

    def __call__(self, sample: Sample, prompt: Prompt, reply: Reply) -> Score:
        """Score one reply; the score has no value if a judge must extract the answer."""
        reading = None if reply.stop == "filter" else self._read(sample, prompt, reply.text[-MAX_CHARS:])
        if reading is None or not (reading[0] or sample.choices):
            return no_answer(reply, "upstream's rule reads no answer", value=None)
        right, answer = reading
        return binary_score(right=right, answer=answer[:200])

    def _read(self, sample: Sample, prompt: Prompt, text: str) -> tuple[bool, str] | None:
        """Return whether the answer in a text is right, and the answer itself; None if upstream reads none."""
        if sample.choices:
            shown_letter = option_vlmevalkit(text, self.options(sample, prompt))
            letter = shown_letter and (prompt.source_letter(shown_letter) or shown_letter)
            return None if letter is None else (letter == sample.target, letter)
        gold = str(sample.target)
        if not self.mathvista:
            return _same_answer(gold, text), text.strip()
        number_type: type[int] | type[float] | None
        number_type = {"integer": int, "float": float}.get(str(sample.meta.get("answer_type")))
        if number_type is None:
            return None
        try:
            return number_type(text[:400]) == number_type(gold), text.strip()
        except (ValueError, OverflowError):
            return None


def _same_answer(gold: str, stated: str) -> bool:
    """Return whether two texts, or two numbers in LaTeX, are equal; unlike upstream, never evaluates a reply as Python."""
    gold, stated = gold.lower().strip(), stated.lower().strip()
    if gold == stated:
        return True
    gold_value, stated_value = latex_value(gold), latex_value(stated)
    return (
        gold_value is not None
        and stated_value is not None
        and abs(gold_value - stated_value) < EQUALITY_TOLERANCE
    )


MATHVISTA = Judged(rule=MathRule(mathvista=True), mode="rest", template_name="answer")
MATHVISION = Judged(rule=MathRule(mathvista=False), mode="rest", template_name="answer")
