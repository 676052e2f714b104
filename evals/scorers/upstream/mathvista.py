"""The scoring of extracted answers by MathVista's authors (lupantech/MathVista @ 53d52587, evaluation/calculate_score.py).

Upstream extracts the answer with a language model; here a rule does, and if no answer is stated, the whole reply counts.
Known defects, kept in `Official`: any text other than an option's letter is replaced by the option with the smallest edit
distance; a number with a unit is not a number; integers are truncated instead of rounded (7.9 is 7). An empty reply, for
which upstream selects the shortest option, is unanswered here.
"""

from __future__ import annotations

import re

from msgspec import Struct

from evals import extract
from evals.prompts import LETTERS
from evals.scorers.answers import finite_float, rounding_tolerance
from evals.scorers.chart import score_free_form_answer
from evals.scorers.choice import StatedChoice
from evals.scorers.outcomes import binary_score, no_answer
from evals.scorers.text import edit_distance
from evals.types import Prompt, Reply, Sample, Score

MAX_CHARS = 400
"""Maximum number of characters of an answer that are compared with the options."""
MAX_REPLY_CHARS, MAX_LIST_CHARS = 100_000, 2_000
"""Numbers of characters that are read at the end of a reply, and at the end of a list of numbers."""
_BRACKETED_LETTER = re.compile(r"\(([a-zA-Z])\)")
_NUMBER = re.compile(r"[-+\u2212]?\s?(?:\d[\d,]*(?:\.\d+)?|\.\d+)(?:[eE][-+]?\d+)?")


def nearest_option(answer: str, choices: tuple[str, ...]) -> int:
    """Return the index of the option that upstream selects."""
    answer = answer.strip()
    if match := _BRACKETED_LETTER.search(answer):
        answer = match[1].upper()
    if len(answer) == 1 and answer in LETTERS[: len(choices)]:
        return LETTERS.index(answer)
    distances = [edit_distance(answer[:MAX_CHARS], choice) for choice in choices]
    return distances.index(min(distances))


def format_number(text: str, kind: str, precision: int) -> str | None:
    """Return a number in the form that upstream compares; None if the text is not a number."""
    try:
        value = float(text)
        return str(int(value)) if kind == "integer" else str(round(value, precision))
    except (ValueError, OverflowError):
        return None


class Official(Struct, frozen=True):
    """Scores 1 if upstream counts the extracted answer as right."""

    def __call__(self, sample: Sample, prompt: Prompt, reply: Reply) -> Score:
        """Score one reply."""
        if reply.stop == "filter":
            return Score(value=0.0, verdict="refused")
        answer = extract.stated_answer(reply.text[-MAX_REPLY_CHARS:]) or reply.text
        if not answer.strip():
            return no_answer(reply, "no text")
        if sample.choices:
            options = prompt.as_shown(sample).choices
            index = nearest_option(answer, options)
            right = options[index] == sample.choices[LETTERS.index(str(sample.target))]
            letter = prompt.source_letter(LETTERS[index])
            return binary_score(right=right, answer=letter)
        kind = sample.meta.get("answer_type")
        stated = (
            answer
            if kind == "list"
            else format_number(answer, str(kind), int(sample.meta.get("precision") or 0))
        )
        if not stated:
            return no_answer(reply, "no number that upstream reads")
        right = stated == sample.target
        return binary_score(right=right, answer=stated[:200])


class Strict(Struct, frozen=True):
    """Scores the stated option, the stated number to the precision of the gold number, or the stated list of numbers."""

    def __call__(self, sample: Sample, prompt: Prompt, reply: Reply) -> Score:
        """Score one reply."""
        if sample.choices:
            return StatedChoice()(sample, prompt, reply)
        return score_free_form_answer(
            reply, (str(sample.target),), lambda gold, answer: _same_answer(gold, answer, sample.meta)
        )


def _same_answer(gold: str, answer: str, meta: dict[str, object]) -> bool:
    if meta.get("answer_type") == "list":
        return _find_numbers(gold) == _find_numbers(answer)
    target, stated = _parse_float(gold), extract.number(answer)
    if target is None or stated is None:
        return False  # the answer has no number, or several
    decimals = int(float(str(meta.get("precision") or 0))) if meta.get("answer_type") == "float" else 0
    is_share = "%" in answer and 0 < abs(target) < 1
    return any(
        abs(target - value) <= rounding_tolerance(decimals)
        for value in (stated, *((stated / 100,) if is_share else ()))
    )


def _find_numbers(text: str) -> list[float]:
    cleaned = text[-MAX_LIST_CHARS:].replace("$", "").replace("\\,", "")
    separator = ", " if ", " in cleaned else ","  # the comma of "[0,2]" is not a thousands separator
    numbers = map(_parse_float, _NUMBER.findall(cleaned.replace(separator, "; ")))
    return [number for number in numbers if number is not None]


def _parse_float(text: str) -> float | None:
    return finite_float(text.replace(",", "").replace("\u2212", "-").replace(" ", ""))
