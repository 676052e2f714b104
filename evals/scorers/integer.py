"""Score answers that are whole numbers, as in AIME, without symbolic mathematics."""

from __future__ import annotations

from collections.abc import Callable
from typing import ClassVar

from msgspec import Struct

from evals import extract
from evals.scorers.outcomes import binary_score, no_answer, no_stated_answer, read_reply, with_reading
from evals.types import Prompt, Reply, Sample, Score


class Integer(Struct, frozen=True):
    """Scores 1 if the integer that `read` finds in a reply is the target, else 0: the rule of another harness."""

    read: Callable[[str], int | None]
    """The harness's reader: reply -> integer, None if it finds none."""

    def __repr__(self) -> str:
        return f"Integer({self.read.__name__})"

    def __call__(self, sample: Sample, prompt: Prompt, reply: Reply) -> Score:
        """Score one reply; `sample.target` is the integer in decimal digits."""
        number = None if reply.stop == "filter" else self.read(reply.text)
        if number is None:
            return no_answer(reply, "no integer stated")
        return _score_integer(sample, number)


class IntegerInWorker(Integer, frozen=True):
    """`Integer`, run in a worker with a deadline, for readers that evaluate expressions."""

    heavy: ClassVar[bool] = True


class StatedInteger(Struct, frozen=True):
    """Scores 1 if the integer that `extract.stated_integer` reads is the target, else 0: the rule of the protocol `strict`."""

    def __call__(self, sample: Sample, prompt: Prompt, reply: Reply) -> Score:
        """Score one reply; `sample.target` is the integer in decimal digits."""
        reading = read_reply(reply, extract.stated_integer)
        return (
            no_stated_answer(reply, "no integer stated")
            if reading is None
            else with_reading(reading, _score_integer(sample, reading.value))
        )


def _score_integer(sample: Sample, number: int) -> Score:
    right = str(number) == sample.target
    return binary_score(right=right, answer=str(number), why="" if right else f"stated {number}")
