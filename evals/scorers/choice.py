"""Multiple choice: which option did the reply state, and is it the right one?

The letter is read as shown to the model and translated into the data set's order by the prompt's own
key, so that shuffled, imported and replayed runs are judged alike.
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
        """Judge one reply."""
        shown = None if reply.stop == "filter" else self.read(reply.text, len(sample.choices))
        if shown is None:
            return Score(value=0.0, verdict=unanswered_verdict(reply), why="no option stated")
        return chosen(sample, prompt, shown)


class StatedChoice(Struct, frozen=True):
    """Scores 1 for the option that the reply states by its letter or its own text: the rule of `strict`."""

    def __call__(self, sample: Sample, prompt: Prompt, reply: Reply) -> Score:
        """Judge one reply."""
        options = prompt.as_shown(sample).choices
        reading = (
            None
            if reply.stop == "filter"
            else extract.choice(reply.text, options, truncated=reply.stop == "length")
        )
        if reading is None:
            return unanswered(reply, "no option stated")
        return with_reading(reading, chosen(sample, prompt, reading.value))


def chosen(sample: Sample, prompt: Prompt, shown: str) -> Score:
    """Score an option by its letter as shown."""
    answer = prompt.source_letter(shown)
    if answer == sample.target:
        return Score(value=1.0, verdict="right", answer=answer)
    why = f"stated {shown}" if answer == shown else f"stated {shown}, the data set's {answer}"
    return Score(value=0.0, verdict="wrong", answer=answer or shown, why=why)


def with_reading(reading: Reading, score: Score) -> Score:
    """Add to a score how and where its answer was read; an answer read from prose is suspect."""
    suspect = score.suspect or reading.form in PROSE
    return replace(score, form=reading.form, span=(reading.begin, reading.end), suspect=suspect)


def unanswered(reply: Reply, why: str) -> Score:
    """Score a reply in which no answer was read; one that breaks off inside its reasoning is truncated."""
    if reply.stop == "stop" and extract.visible(reply.text).truncated:
        return Score(value=0.0, verdict="truncated", why="the reply breaks off inside its reasoning")
    return Score(value=0.0, verdict=unanswered_verdict(reply), why=why)


_SILENCE: dict[str, Verdict] = {"filter": "refused", "length": "truncated", "stop": "unanswered"}


def unanswered_verdict(reply: Reply) -> Verdict:
    """Return the verdict on a reply without an answer: refused by a filter, truncated, or unanswered."""
    return _SILENCE[reply.stop]
