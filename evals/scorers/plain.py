"""Simple scorers for a user's own benchmark: equality of texts, or a function."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from contextlib import suppress
from hashlib import sha256
from types import CodeType
from typing import Any

from msgspec import Struct

from evals.errors import ScorerError, UnknownName, UsageError
from evals.extract import integer, letter, split_reasoning, stated_answer
from evals.plain import count_of
from evals.scorers.choice import Choice
from evals.scorers.integer import Integer
from evals.scorers.outcomes import binary_score, no_stated_answer, partial_score
from evals.types import Prompt, Reply, Sample, Score, Scorer


class Exact(Struct, frozen=True):
    """Scores 1 if the stated answer, or else the whole reply, equals the target, ignoring case, spacing and a final full stop.

    A target that is a float (4.0) is also equal to an answer with its value ("4").
    """

    def __repr__(self) -> str:
        """Return a description that changes with the rule."""
        return "Exact(numbers by value)"

    def __call__(self, sample: Sample, prompt: Prompt, reply: Reply) -> Score:
        """Score one reply; any of several targets is accepted."""
        text = split_reasoning(reply.text)[0].strip()
        answer = stated_answer(text) or text
        if not answer or reply.stop == "filter":
            return no_stated_answer(reply, "nothing stated")
        right = _normalise(answer) in map(_normalise, sample.targets)
        if isinstance(sample.target, float) and not right:
            with suppress(ValueError):
                right = float(_normalise(answer)) == sample.target
        return binary_score(right=right, answer=answer[:200])


def _normalise(text: str) -> str:
    return " ".join(text.casefold().split()).rstrip(".")


class FunctionScorer(Struct, frozen=True):
    """Scores with a function of (reply's text, target) that returns a boolean or a number from 0 to 1."""

    function: Callable[[str, Any], bool | float]

    @property
    def name(self) -> str:
        """Return the function's name."""
        return getattr(self.function, "__name__", type(self.function).__name__)

    def __repr__(self) -> str:
        """Return the function's name and a hash of its code, so that replies are rescored after it has changed."""
        return f"Of({self.name}{code_hash(self.function)})"

    def __call__(self, sample: Sample, prompt: Prompt, reply: Reply) -> Score:
        """Score one reply; an empty one is unanswered, with value 0."""
        text, _, _ = split_reasoning(reply.text)
        if not text.strip() or reply.stop == "filter":
            return no_stated_answer(reply, "nothing stated")
        value = self.function(text, sample.target)
        if not isinstance(value, bool | int | float) or not 0 <= value <= 1:
            raise ScorerError(
                f"the function {self.name} returned {value!r}, not True, False or a number from 0 to 1"
            )
        return partial_score(float(value))


def code_hash(function: Callable[..., Any]) -> str:
    """Return `#` and a hash of a function's bytecode, constants and defaults, but not of what it calls; empty without bytecode."""
    code = getattr(function, "__code__", None) or getattr(type(function).__call__, "__code__", None)
    if code is None:
        return ""
    described = f"{_describe_constant(code)}{getattr(function, '__defaults__', None)!r}"
    return f"#{sha256(described.encode()).hexdigest()[:8]}"


def _describe_constant(value: object) -> str:
    """Return a description of a constant that is the same in every process."""
    if isinstance(value, CodeType):
        return f"{value.co_code.hex()}{value.co_names}[{','.join(map(_describe_constant, value.co_consts))}]"
    if isinstance(value, frozenset):  # its order depends on the process
        return f"{{{','.join(sorted(map(repr, value)))}}}"
    if isinstance(value, tuple):
        return f"({','.join(map(_describe_constant, value))})"
    return repr(value)


def scorer_of(spec: str | Scorer | Callable[[str, Any], bool | float] | None, *, choices: bool) -> Scorer:
    """Return the scorer for a name, for a function of (reply's text, target) or for a scorer; raises UsageError for anything else.

    The default is `choice` for samples with choices, else `exact`.
    """
    spec = spec or ("choice" if choices else "exact")
    if isinstance(spec, str):
        scorers: dict[str, Scorer] = {"choice": Choice(letter), "exact": Exact(), "integer": Integer(integer)}
        if spec not in scorers:
            raise UnknownName("scorer", spec, scorers)
        return scorers[spec]
    if not callable(spec):
        raise UsageError(f"a scorer is a name, a function or a Scorer, not {type(spec).__name__}")
    parameter_count = len(inspect.signature(spec).parameters)
    if parameter_count not in (2, 3):
        raise UsageError(
            f"a scorer takes (reply's text, target) or (sample, prompt, reply), not {count_of(parameter_count, 'argument')}"
        )
    return FunctionScorer(spec) if parameter_count == 2 else spec  # type: ignore[arg-type,return-value] # the count implies the type
