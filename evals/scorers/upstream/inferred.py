"""Multiple choice as in VLMEvalKit: the rule of `evals/extract/upstream/vlmevalkit.py`, then a judge if it reads no option.

Source: VLMEvalKit @ e8e78f05, dataset/utils/multiple_choice.py, used for the image columns of the Intern-S1 tables.
Upstream asks its judge up to three times for the closest option, or `Z` for none, which is wrong; after three unreadable
replies it draws a letter or `Z` at random, unseeded. Here a missing verdict of the judge counts as a failure, and the
run's notes state the expected value of the random draw. Under upstream's `exact_matching` there is neither a judge nor a
draw: replies that the rule cannot read are wrong.

    closest_option()        with a judge; replies that the rule cannot read wait for one
    Inferred(exact=True)    only the rule
"""

from __future__ import annotations

from msgspec import Struct

from evals.extract.upstream.vlmevalkit import NONE_FITS, option_vlmevalkit
from evals.prompts import LETTERS
from evals.scorers.judge.judged import Judged
from evals.scorers.outcomes import binary_score, no_answer
from evals.types import Prompt, Reply, Sample, Score

OTHER_OPTION = "Other Answers"
"""Upstream scores an open question as a choice between the gold answer and this option."""


class Inferred(Struct, frozen=True):
    """Scores the option that upstream's rule reads; unless `exact`, other replies have no value until a judge reads them."""

    exact: bool = False
    line: bool = False
    """Whether, as for MMMU-Pro, only the last line that begins with "Answer:" is read if there is one."""

    def options(self, sample: Sample, prompt: Prompt) -> tuple[str, ...]:
        """Return the options as shown; for an open question, the gold answer and `OTHER_OPTION`."""
        if not sample.choices:
            return (_gold_text(sample.target), OTHER_OPTION)
        return prompt.as_shown(sample).choices

    def score_extracted(self, sample: Sample, prompt: Prompt, reply: Reply, extracted: str) -> Score:
        """Score an option by its letter as shown; `Z`, none of the options, is wrong."""
        if extracted == NONE_FITS:
            return no_answer(reply, "none of the options", answer=NONE_FITS)
        if not sample.choices:
            gold = _gold_text(sample.target)
            right = extracted == (gold if gold in LETTERS and len(gold) == 1 else "A")
            return binary_score(right=right, answer=extracted)
        letter = prompt.source_letter(extracted) or extracted
        return binary_score(right=letter in sample.targets, answer=letter)

    def __call__(self, sample: Sample, prompt: Prompt, reply: Reply) -> Score:
        """Score one reply."""
        text = _answer_line(reply.text) if self.line else reply.text
        letter = None if reply.stop == "filter" else option_vlmevalkit(text, self.options(sample, prompt))
        if letter is not None:
            return self.score_extracted(sample, prompt, reply, letter)
        why = "upstream's rule reads no option"
        return no_answer(reply, why, value=0.0 if self.exact else None)


def closest_option(rule: Inferred | None = None) -> Judged:
    """Return the rule with a judge that selects the closest option for replies that the rule cannot read."""
    return Judged(rule=rule or Inferred(), mode="rest", template_name="option")


def _answer_line(text: str) -> str:
    """Return the rest of the last line that begins with "Answer:", or its only capital; the text if there is no such line."""
    answers = [line for line in map(str.strip, text.strip().split("\n")) if line.startswith("Answer:")]
    if not answers:
        return text
    stated = answers[-1].removeprefix("Answer:")
    letters = {letter for letter in stated if letter in LETTERS}
    return letters.pop() if len(letters) == 1 else stated


def _gold_text(target: object) -> str:
    """Return a gold answer as written in upstream's table; several answers form a Python list."""
    return str(list(target)) if isinstance(target, tuple) else str(target)
