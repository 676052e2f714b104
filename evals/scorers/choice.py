"""Score multiple-choice replies by the option that they state.

The letter is read as shown to the model and translated into the data set's order by the prompt's own
key. Shuffled, imported and replayed runs are therefore scored in the same way.
"""

from __future__ import annotations

from collections.abc import Callable

from msgspec import Struct
from msgspec.structs import replace

from evals import extract
from evals.extract.reading import PROSE, Reading
from evals.types import Prompt, Reply, Sample, Score, Verdict

Reader = Callable[[str, int], str | None]
"""(reply, number of options) -> letter as shown, or None."""


class Choice(Struct, frozen=True):
    """Scores 1 for the right option, else 0; a reply that cannot be read is unanswered, never guessed."""

    read: Reader

    def __repr__(self) -> str:
        return f"Choice({self.read.__name__})"

    def __call__(self, sample: Sample, prompt: Prompt, reply: Reply) -> Score:
        """Score one reply."""
        shown_letter = None if reply.stop == "filter" else self.read(reply.text, len(sample.choices))
        if shown_letter is None:
            return Score(value=0.0, verdict=unanswered_verdict(reply), why="no option stated")
        return score_option(sample, prompt, shown_letter)


class StatedChoice(Struct, frozen=True):
    """Scores 1 for the option that the reply states by its letter or its own text: the rule of `strict`."""

    def __call__(self, sample: Sample, prompt: Prompt, reply: Reply) -> Score:
        """Score one reply."""
        options = prompt.as_shown(sample).choices
        reading = (
            None
            if reply.stop == "filter"
            else extract.choice(reply.text, options, truncated=reply.stop == "length")
        )
        if reading is None:
            return unanswered(reply, "no option stated")
        return with_reading(reading, score_option(sample, prompt, reading.value))


def score_option(sample: Sample, prompt: Prompt, shown_letter: str) -> Score:
    """Score an option by its letter as shown."""
    answer = prompt.source_letter(shown_letter)
    if answer == sample.target:
        return Score(value=1.0, verdict="right", answer=answer)
    why = (
        f"stated {shown_letter}"
        if answer == shown_letter
        else f"stated {shown_letter}, the data set's {answer}"
    )
    return Score(value=0.0, verdict="wrong", answer=answer or shown_letter, why=why)


def with_reading(reading: Reading, score: Score) -> Score:
    """Return a score with the form and the position of its answer; an answer read from prose is suspect."""
    suspect = score.suspect or reading.form in PROSE
    return replace(score, form=reading.form, span=(reading.begin, reading.end), suspect=suspect)


def unanswered(reply: Reply, why: str) -> Score:
    """Return the score of a reply without an answer; one that breaks off inside its reasoning is truncated."""
    if reply.stop == "stop" and extract.visible(reply.text).truncated:
        return Score(value=0.0, verdict="truncated", why="the reply breaks off inside its reasoning")
    return Score(value=0.0, verdict=unanswered_verdict(reply), why=why)


_UNANSWERED_VERDICTS: dict[str, Verdict] = {"filter": "refused", "length": "truncated", "stop": "unanswered"}


def unanswered_verdict(reply: Reply) -> Verdict:
    """Return the verdict on a reply without an answer: refused by a filter, truncated, or unanswered."""
    return _UNANSWERED_VERDICTS[reply.stop]
