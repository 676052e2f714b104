"""The frozen rules by which Matbench's protocol `official` reads numbers and labels from replies.

Matbench's own code (materialsproject/matbench @ 936176db) grades arrays, so the parsing of replies is our own. It has
not changed since the first recorded runs, except that more numbers and units in LaTeX are understood; `strict` has had a
newer rule since version 2. In the stated answer, the last number with a compatible unit counts; bold numbers are ignored;
and units per atom, cell or formula unit are treated as equal.
"""

from __future__ import annotations

import re
from math import isfinite

from msgspec import Struct

from evals import extract
from evals.extract.units import (
    Quantity,
    convert,
    normalise_notation,
    normalise_unit,
    quantities,
    same_dimension,
)
from evals.extract.upstream.yes_no import last_probability, last_yes_no
from evals.scorers.number import UsesUnits, substitute_errors
from evals.scorers.outcomes import binary_score, no_answer
from evals.types import Prompt, Reply, Sample, Score

MAX_CHARS = 100_000
_BOLD = re.compile(r"\*\*(?=\s*[-+({]?\d)")
_COUNT_UNIT = re.compile(r"\*?(?<![a-z_])(?:atom|unit_cell|formula_unit)(?:\*\*-1)?$")


def stated_number(text: str, unit: str = "") -> Quantity | None:
    """Return the number of the stated answer, else the only one (with a compatible unit), else the number that is the whole last line."""
    answer = extract.stated_answer(text[-MAX_CHARS:])
    text = _BOLD.sub("^", text[-MAX_CHARS:] if answer is None else answer)
    numbers = quantities(text)
    target = _without_count_unit(unit)
    matching = [n for n in numbers if unit and n.unit and same_dimension(_without_count_unit(n.unit), target)]
    if answer is not None:
        unitless = [number for number in numbers if not number.unit] if unit else []
        return next(reversed(matching or unitless or numbers), None)
    if len(matching or numbers) == 1:
        return (matching or numbers)[0]
    last_line = normalise_notation(text).strip().rpartition("\n")[2].strip("*`. ")
    return numbers[-1] if numbers and last_line == numbers[-1].text.rstrip(".") else None


def _without_count_unit(unit: str) -> str:
    """Return a unit without a final factor for atoms, cells or formula units."""
    return _COUNT_UNIT.sub("", normalise_unit(unit))


class OfficialError(UsesUnits, frozen=True):
    """Scores |stated - target| in the target's unit; None without a comparable number. Parts as in `AbsoluteError`."""

    def __repr__(self) -> str:
        """Return the rule's former name, so that cards of old runs remain comparable."""
        return "AbsoluteError(stated)"

    def __call__(self, sample: Sample, prompt: Prompt, reply: Reply) -> Score:
        """Score one reply."""
        target = float(sample.target)  # type: ignore[arg-type]
        parts = substitute_errors(sample, target)
        number = None if reply.stop == "filter" else stated_number(reply.text, sample.unit)
        if number is None:
            return no_answer(reply, "no number stated", value=None, parts=parts)
        value = _convert(number, sample.unit)
        if value is None:
            why = f"stated in {number.unit}, but the target is in {sample.unit}"
            return Score(value=None, verdict="wrong", answer=number.text, why=why, parts=parts)
        parts["error"] = value - target
        why = f"stated {number.text}" if number.approximate or number.unit else ""
        return Score(
            value=abs(value - target),
            verdict="graded",
            answer=f"{value!r}",
            why=why,
            suspect=number.approximate,
            parts=parts,
        )


def _convert(number: Quantity, target: str) -> float | None:
    """Return a number in the target's unit, unchanged if either has no unit; None for incompatible units."""
    unit, target_unit = _without_count_unit(number.unit), _without_count_unit(target)
    if not unit or not target_unit or unit == target_unit:
        return number.value
    return convert(number.value, unit, target_unit) if same_dimension(unit, target_unit) else None


class OfficialLabel(Struct, frozen=True):
    """Scores 1 for the right label (yes or no), else 0; the part `score` is a stated probability."""

    def __repr__(self) -> str:
        """Return the rule's former name, so that cards of old runs remain comparable."""
        return "Label(label)"

    def __call__(self, sample: Sample, prompt: Prompt, reply: Reply) -> Score:
        """Score one reply."""
        yes = None if reply.stop == "filter" else last_yes_no(reply.text)
        if yes is None:
            return no_answer(reply, "no label stated")
        label = "yes" if yes else "no"
        probability = last_probability(reply.text)
        right = label == sample.target
        return binary_score(
            right=right,
            answer=label,
            why="" if right else f"stated {label}",
            parts={} if probability is None else {"score": probability},
        )


_NUMBER = re.compile(r"[-+]?\d*\.\d+|\d+\.\d*|\d+")


def first_number(text: str) -> float | None:
    """Return the first number; an integer loses its sign (-5 is 5), and an exponent is ignored (1e-3 is 1)."""
    match = _NUMBER.search(text[:MAX_CHARS])
    value = float(match[0]) if match else None
    return value if value is not None and isfinite(value) else None


class FirstNumber(Struct, frozen=True):
    """Scores |first number - target|; a missing number counts as 0: OpenCompass' last step for regression, with its defects.

    Upstream asks a judge model for the single number in a reply, or for 0 if there is none; this pattern parses the judge's
    reply. Source: OpenCompass @ a5acc4bb, opencompass/datasets/matbench/post_process.py, lines 38-43.
    """

    def __call__(self, sample: Sample, prompt: Prompt, reply: Reply) -> Score:
        """Score one reply."""
        target = float(sample.target)  # type: ignore[arg-type]
        number = first_number(reply.text)
        return Score(
            value=abs((number or 0.0) - target),
            verdict="graded",
            answer=None if number is None else f"{number!r}",
            why="no number: counts as 0" if number is None else "",
            suspect=number is None,
        )
