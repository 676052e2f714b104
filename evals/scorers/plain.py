"""Scorers for a user's own benchmark: equal text, or a function."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

from msgspec import Struct

from evals.errors import ScorerError, UnknownName, UsageError
from evals.extract import integer, letter, split_reasoning, stated
from evals.scorers.choice import Choice, unanswered
from evals.scorers.integer import Integer
from evals.types import Prompt, Reply, Sample, Score, Scorer, Verdict

NAMES = ("choice", "exact", "integer")


class Exact(Struct, frozen=True):
    """Scores 1 if the stated answer, or else the whole reply, is the target up to case and spaces."""

    def __call__(self, sample: Sample, prompt: Prompt, reply: Reply) -> Score:
        """Judge one reply; a target of several texts is met by any of them."""
        text = split_reasoning(reply.text)[0].strip()
        answer = stated(text) or text
        if not answer or reply.stop == "filter":
            return unanswered(reply, "nothing stated")
        targets = sample.target if isinstance(sample.target, tuple) else (str(sample.target),)
        right = _same(answer) in map(_same, targets)
        return Score(value=float(right), verdict="right" if right else "wrong", answer=answer[:200])


def _same(text: str) -> str:
    return " ".join(text.casefold().split()).rstrip(".")


class Of(Struct, frozen=True):
    """Scores what a function of (reply's text, target) returns: true or false, or a number from 0 to 1."""

    function: Callable[[str, Any], bool | float]

    def __repr__(self) -> str:
        """Name the function, so that another one shows in a run's card."""
        return f"Of({getattr(self.function, '__name__', type(self.function).__name__)})"

    def __call__(self, sample: Sample, prompt: Prompt, reply: Reply) -> Score:
        """Judge one reply; an empty one is unanswered and 0."""
        text, _, _ = split_reasoning(reply.text)
        if not text.strip() or reply.stop == "filter":
            return unanswered(reply, "nothing stated")
        value = self.function(text, sample.target)
        if not isinstance(value, bool | int | float) or not 0 <= value <= 1:
            raise ScorerError(f"{self!r} returned {value!r}, not true, false or a number from 0 to 1")
        verdict: Verdict = "right" if value == 1 else "wrong" if value == 0 else "graded"
        return Score(value=float(value), verdict=verdict)


def scorer_of(wanted: str | Scorer | Callable[[str, Any], bool | float] | None, *, choices: bool) -> Scorer:
    """Return a scorer by its name, made from a function of (reply's text, target), or the scorer itself; raises UsageError.

    None: `choice` for samples with choices, else `exact`.
    """
    wanted = wanted or ("choice" if choices else "exact")
    if isinstance(wanted, str):
        known: dict[str, Scorer] = {"choice": Choice(letter), "exact": Exact(), "integer": Integer(integer)}
        if wanted not in known:
            raise UnknownName("scorer", wanted, known)
        return known[wanted]
    if not callable(wanted):
        raise UsageError(f"a scorer is a name, a function or a Scorer, not {type(wanted).__name__}")
    takes = len(inspect.signature(wanted).parameters)
    if takes not in (2, 3):
        raise UsageError("a scorer takes (reply's text, target), or (sample, prompt, reply)")
    return Of(wanted) if takes == 2 else wanted  # type: ignore[arg-type,return-value] # told apart by their parameters
