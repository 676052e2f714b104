r"""The rule of MATH-V's authors (mathllm/MATH-V @ a1f5cc3a, evaluation/evaluate.py and utils.py), in linear time.

The answer is the content of the last box, else the text after "the answer is", else the whole reply. It is right if it
equals the gold letter or the gold option's text, or if both are numbers that round to the same two decimals. Known defects,
kept: 0.44 equals 7/16; only the text after an equals sign counts; truncated replies are parsed like complete ones.
"""

from __future__ import annotations

from typing import ClassVar

from msgspec import Struct

from evals.extract import last_box
from evals.extract.expression import stated_expression
from evals.extract.upstream.latex_numbers import latex_value, up_to_unmatched_brace
from evals.prompts import LETTERS
from evals.scorers import expressions
from evals.scorers.choice import StatedChoice
from evals.scorers.math import equivalent
from evals.scorers.outcomes import binary_score, no_answer, no_stated_answer, with_reading
from evals.types import Prompt, Reply, Sample, Score

ANSWER_PHRASES = ("the final answer is", "the answer is", "the correct answer is", "the answer should be")
IGNORED_LATEX = (
    "\\text", "\\mbox", "\\left", "\\right", "^{\\circ}", "^\\circ", "{m}^3", "m^3", "{units}", "units", "{km}", "km",
    "\\!", "\\$", "$", "\\%",
)  # fmt: skip
MAX_CHARS = 100_000


def is_number(text: str) -> bool:
    """Return whether Python's `float` parses a text."""
    try:
        float(text)
    except ValueError:
        return False
    return True


def extract_answer(text: str) -> str:
    """Return the answer that upstream extracts from a reply, in lower case."""
    text = text[-MAX_CHARS:].strip()
    for letter in "ABCDE":
        if text.endswith((f" {letter}.", f" ({letter}).")) or text.startswith(
            (f"{letter}\n", f"({letter})\n", f"({letter}) {letter}\n")
        ):
            text = letter
    tail = text.rpartition("is ")[2].rstrip(".")
    if is_number(tail):
        text = tail
    if "oxed{" not in text:
        for phrase in ANSWER_PHRASES:
            text = _text_after(_text_after(text, phrase), phrase.replace("the", "The"))
    elif text.count("oxed{") > 1:
        text = "\\boxed{" + text.rpartition("oxed{")[2]
    content = _box_content(text.lower())
    for letter in "abcde":
        content = content.replace(f"({letter})", letter).replace(f"{{{letter}}}", letter)
    return content.rstrip(".").lstrip(":").strip()


def _text_after(text: str, phrase: str) -> str:
    """Return the sentence after the last occurrence of a phrase; the whole text if the phrase is absent."""
    if phrase not in text:
        return text.strip()
    return text.rpartition(phrase)[2].strip().partition("\n")[0].partition(". ")[0]


def _box_content(text: str) -> str:
    """Return the content of the box, else the text, without units and layout commands."""
    text = text.replace("{}", "")
    start, end = text.find("oxed{"), text.rfind("}")
    if start >= 0 and start + 5 <= end:
        text = text[start + 5 : end]
    closing, opening = text.find("}"), text.find("{")
    if closing >= 0 and (opening < 0 or closing < opening):
        text = text[:closing]
    text = text.rpartition("=")[2].rpartition("\\approx")[2]
    text = text.replace(" ", "").replace("\\,", "").replace("\\\\", "\\").replace("\n", "")
    for ignored in IGNORED_LATEX:
        text = text.replace(ignored, "")
    return f"0{text}" if text.startswith(".") else text


def same_answer(gold: str, stated: str) -> bool:
    """Return whether upstream considers two answers equal."""
    gold, stated = gold.lower().strip(), stated.lower().strip()
    if not gold or not stated:
        return False
    if gold == stated:
        return True
    gold_value, stated_value = (
        latex_value(up_to_unmatched_brace(gold)),
        latex_value(up_to_unmatched_brace(stated)),
    )
    return (
        gold_value is not None and stated_value is not None and round(gold_value, 2) == round(stated_value, 2)
    )


class Official(Struct, frozen=True):
    """Scores 1 if upstream counts the reply as correct."""

    def __call__(self, sample: Sample, prompt: Prompt, reply: Reply) -> Score:
        """Score one reply."""
        stated = "" if reply.stop == "filter" else extract_answer(reply.text)
        if not stated:
            return no_answer(reply, "no answer stated")
        sample = prompt.as_shown(sample)
        gold = str(sample.target)
        text = sample.choices[ord(gold) - ord("A")] if sample.choices else ""
        right = same_answer(gold, stated) or same_answer(text, stated)
        if len(stated) == 1 and stated.upper() in LETTERS[: len(sample.choices)]:
            stated = str(prompt.source_letter(stated.upper())).lower()
        return binary_score(right=right, answer=stated[:200])


class Strict(Struct, frozen=True):
    """Scores the stated option, or the stated expression by symbolic equality, in a worker with a deadline."""

    heavy: ClassVar[bool] = True

    def warm(self) -> None:
        """Import slow dependencies, once per worker."""
        equivalent("1", "1")

    def __call__(self, sample: Sample, prompt: Prompt, reply: Reply) -> Score:
        """Score one reply."""
        if sample.choices:
            return StatedChoice()(sample, prompt, reply)
        gold = str(sample.target).replace("$", "").strip()
        gold = (last_box(gold) or gold).strip()
        truncated = reply.stop == "length"
        reading = None if reply.stop == "filter" else stated_expression(reply.text, truncated=truncated)
        if reading is None:
            return no_stated_answer(reply, "no expression stated")
        right = any(expressions.same_expression(gold, candidate) for candidate in reading.value)
        score = binary_score(right=right, answer=reading.value[0][:200])
        return with_reading(reading, score)
