"""Score multiple-choice replies by the option that they state.

The stated letter refers to the options as shown to the model; the order recorded in the prompt converts it to the data
set's order. Shuffled, imported and replayed runs are therefore scored in the same way.
"""

from __future__ import annotations

from collections.abc import Callable

from msgspec import Struct

from evals import extract
from evals.scorers.outcomes import no_answer, no_stated_answer, read_reply, with_reading
from evals.types import Prompt, Reply, Sample, Score

LetterReader = Callable[[str, int], str | None]
"""(reply, number of options) -> letter as shown, or None."""


class Choice(Struct, frozen=True):
    """Scores 1 for the right option, else 0; a reply in which `read` finds no option is unanswered."""

    read: LetterReader

    def __repr__(self) -> str:
        return f"Choice({self.read.__name__})"

    def __call__(self, sample: Sample, prompt: Prompt, reply: Reply) -> Score:
        """Score one reply."""
        shown_letter = None if reply.stop == "filter" else self.read(reply.text, len(sample.choices))
        if shown_letter is None:
            return no_answer(reply, "no option stated")
        return score_option(sample, prompt, shown_letter)


class StatedChoice(Struct, frozen=True):
    """Scores 1 if the reply states the right option, by its letter or its text: the rule of the protocol `strict`."""

    def __call__(self, sample: Sample, prompt: Prompt, reply: Reply) -> Score:
        """Score one reply."""
        options = prompt.as_shown(sample).choices
        reading = read_reply(reply, extract.choice, options)
        if reading is None:
            return no_stated_answer(reply, "no option stated")
        return with_reading(reading, score_option(sample, prompt, reading.value))


def score_option(sample: Sample, prompt: Prompt, shown_letter: str) -> Score:
    """Score an option, given by its letter as shown to the model."""
    answer = prompt.source_letter(shown_letter)
    if answer == sample.target:
        return Score(value=1.0, verdict="right", answer=answer)
    why = (
        f"stated {shown_letter}"
        if answer == shown_letter
        else f"stated {shown_letter}, which is {answer} in the data set"
    )
    return Score(value=0.0, verdict="wrong", answer=answer or shown_letter, why=why)
