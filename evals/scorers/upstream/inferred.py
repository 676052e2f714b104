"""Multiple choice in VLMEvalKit's way: the rule of `evals/extract/upstream/vlmevalkit.py`, then a judge for the rest.

@ e8e78f05, dataset/utils/multiple_choice.py, used for the image columns of the Intern-S1 tables. Upstream asks its judge up
to three times for the closest option or `Z`; `Z` is wrong; after three replies that its rule cannot read either, it draws
a letter or `Z` at random, unseeded. Here a judge that gives no verdict is a failure that is counted, and the draw's
expectation is in the run's notes. Under upstream's `exact_matching` there is no judge and no draw: what the rule does
not read is wrong.

    closest()               with a judge; without one, what the rule cannot read waits
    Inferred(exact=True)    only the rule
"""

from __future__ import annotations

from msgspec import Struct

from evals.extract.upstream.vlmevalkit import NONE_FITS, option_vlmevalkit
from evals.prompts import LETTERS
from evals.scorers.judge.judged import Judged
from evals.scorers.outcomes import binary_score, unanswered_verdict
from evals.types import Prompt, Reply, Sample, Score

OTHER_OPTION = "Other Answers"
"""Upstream scores an open question as one with two options, the gold answer and this."""


class Inferred(Struct, frozen=True):
    """Scores the option that upstream's rule reads; not `exact`, what it cannot read has no value yet."""

    exact: bool = False
    line: bool = False
    """MMMU-Pro: if exactly one line begins with "Answer:", only what follows it is read, or its only capital."""

    def options(self, sample: Sample, prompt: Prompt) -> tuple[str, ...]:
        """Return the options as shown; of an open question, the gold answer and everything else."""
        if not sample.choices:
            return (_gold_text(sample.target), OTHER_OPTION)
        return prompt.as_shown(sample).choices

    def take(self, sample: Sample, prompt: Prompt, reply: Reply, extracted: str) -> Score:
        """Score an option by its letter as shown; `Z`, none of them, counts as wrong."""
        if extracted == NONE_FITS:
            return Score(
                value=0.0, verdict=unanswered_verdict(reply), answer=NONE_FITS, why="none of the options"
            )
        if not sample.choices:
            gold = _gold_text(sample.target)
            right = extracted == (gold if gold in LETTERS and len(gold) == 1 else "A")
            return binary_score(right=right, answer=extracted)
        source = prompt.source_letter(extracted) or extracted
        right = source in sample.targets
        return binary_score(right=right, answer=source)

    def __call__(self, sample: Sample, prompt: Prompt, reply: Reply) -> Score:
        """Score one reply."""
        text = _answer_line(reply.text) if self.line else reply.text
        letter = None if reply.stop == "filter" else option_vlmevalkit(text, self.options(sample, prompt))
        if letter is not None:
            return self.take(sample, prompt, reply, letter)
        why = "upstream's rule reads no option"
        return Score(value=0.0 if self.exact else None, verdict=unanswered_verdict(reply), why=why)


def closest_option(rule: Inferred | None = None) -> Judged:
    """Return the rule with a judge who names the option that is closest to what the rule cannot read."""
    return Judged(rule=rule or Inferred(), mode="rest", form="option")


def _answer_line(text: str) -> str:
    answers = [line for line in map(str.strip, text.strip().split("\n")) if line.startswith("Answer:")]
    if len(answers) != 1:
        return text
    stated = answers[0].removeprefix("Answer:")
    letters = {letter for letter in stated if letter in LETTERS}
    return letters.pop() if len(letters) == 1 else stated


def _gold_text(target: object) -> str:
    """Write a gold answer as upstream's table does; several are a list."""
    return str(list(target)) if isinstance(target, tuple) else str(target)
