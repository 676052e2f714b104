"""The rules of MMMU's authors (MMMU-Benchmark/MMMU @ bb0b95a9), without the random guess.

MMMU: mmmu/utils/eval_utils.py. MMMU-Pro: mmmu-pro/evaluate.py, which first reads the text after the last "Answer:".

Known defects, kept: the article "A" is read as an option; the last of several options counts; an open answer is right if
the gold text occurs anywhere after words such as "is", "so" or "final", so "1960" matches "60"; upstream's look-ahead
for a capital letter never matches, since the text is already in lower case. Where upstream draws an option at random, the
sample is unanswered, and the metric `accuracy_guess` is the expected accuracy with the draw. MMMU-Pro: letters are read
inside words, so "Answer: Because" is B and "NASA launched it" is A; if several letters follow "Answer:", none of them
counts; of several letters without brackets, the last one between spaces counts.
"""

from __future__ import annotations

import re

from msgspec import Struct

from evals import extract
from evals.prompts import LETTERS
from evals.scorers import answers
from evals.scorers.chart import score_free_form_answer
from evals.scorers.outcomes import binary_score, no_answer, no_stated_answer, read_reply, with_reading
from evals.types import Prompt, Reply, Sample, Score

MAX_CHARS = 50_000
INDICATOR_WORDS = ("could be ", "so ", "is ", "thus ", "therefore ", "final ", "answer ", "result ")
TRIVIAL_ANSWERS = frozenset(":,.!?;'")
_NUMBERS = (
    re.compile(r"-?\b\d{1,3}(?:,\d{3})+\b"),
    re.compile(r"-?\d+(?:\.\d+)?[eE][+-]?\d+"),
    re.compile(r"-?(?:\d+\.\d+|\.\d+|\d+\b)(?![eE][+-]?\d+)(?![,\d])"),
)
_LONG_DIGIT_RUN = re.compile(r"\d{60,}")
"""Digit runs that are too long for the patterns above, which need quadratic time."""


def read_option(text: str, choices: tuple[str, ...]) -> str | None:
    """Return the option's letter that upstream reads; None if it would draw one at random."""
    text, letters = _without_outer_punctuation(text[-MAX_CHARS:]), LETTERS[: len(choices)]
    for form in ("({})", " {} "):
        positions = {
            letter: position for letter in letters if (position := text.rfind(form.format(letter))) >= 0
        }
        if positions:
            return max(positions, key=positions.__getitem__)
    return _letter_of_last_option_text(text, choices)


def read_option_pro(text: str, choices: tuple[str, ...]) -> str | None:
    """Return the option's letter that MMMU-Pro's authors read; None if they would draw one at random."""
    text = text[-MAX_CHARS:]
    letters = LETTERS[: len(choices)]
    _, marker, tail = text.rpartition("Answer:")
    if marker and len(named_letters := [letter for letter in letters if letter in tail]) == 1:
        return named_letters[0]
    text = _without_outer_punctuation(text)
    for form, form_of_last in (("({})", "({})"), ("{} ", " {} "), ("{}.", " {} ")):
        if named_letters := [letter for letter in letters if form.format(letter) in text]:
            return max(named_letters, key=lambda letter: text.rfind(form_of_last.format(letter)))
    return _letter_of_last_option_text(text, choices)


def _without_outer_punctuation(text: str) -> str:
    for punctuation in ",.!?;:'":
        text = text.strip(punctuation)
    return f" {text} "


def _letter_of_last_option_text(text: str, choices: tuple[str, ...]) -> str | None:
    """Return the letter of the option whose text occurs last; None if there is none, or the text has at most five words."""
    if len(text.split()) <= 5:
        return None
    lowered = text.lower()
    positions = {
        letter: position
        for letter, choice in zip(LETTERS, choices, strict=False)
        if (position := lowered.rfind(choice.lower())) >= 0
    }
    return max(positions, key=positions.__getitem__) if positions else None


def _parse_number(text: str) -> float | None:
    try:
        return float(text.replace(",", ""))
    except ValueError:
        return None


def normalise(text: str) -> list[str | float]:
    """Return the forms of an answer to compare: a number rounded to two decimals, or the text in lower case.

    A single character has two forms, with a space before it and after it.
    """
    text = text.strip()
    if (number := _parse_number(text)) is not None:
        return [round(number, 2)]
    text = text.lower()
    return [f" {text}", f"{text} "] if len(text) == 1 else [text]


def candidate_answers(text: str) -> set[str | float]:
    """Return the candidate answers that upstream extracts from a reply to an open question."""
    text = text[-MAX_CHARS:].strip().strip(".").lower()
    lines = text.split("\n")
    tails_of_lines = []
    for index, line in enumerate(lines):
        keys = (*INDICATOR_WORDS, "=") if index == len(lines) - 1 else INDICATOR_WORDS
        tails = [tail for key in keys if key in line and (tail := line.rpartition(key)[2].strip())]
        if tails and (shortest := min(tails, key=len)) not in TRIVIAL_ANSWERS:
            tails_of_lines.append(shortest)
    tails_of_lines = tails_of_lines or [text]
    cleaned_tails = [_LONG_DIGIT_RUN.sub(" ", tail) for tail in tails_of_lines]
    numbers = [number for tail in cleaned_tails for pattern in _NUMBERS for number in pattern.findall(tail)]
    return {form for candidate in (*tails_of_lines, *numbers) for form in normalise(candidate)}


def _matches_gold(golds: tuple[str, ...], text: str) -> bool:
    targets = [form for gold in golds for form in normalise(gold)]
    return any(
        any(isinstance(gold, str) and gold in candidate for gold in targets)
        if isinstance(candidate, str)
        else candidate in targets
        for candidate in candidate_answers(text)
    )


class Official(Struct, frozen=True, omit_defaults=True):
    """Scores 1 if upstream counts the reply as correct."""

    pro: bool = False
    """Whether to use the rule of MMMU-Pro."""

    def __call__(self, sample: Sample, prompt: Prompt, reply: Reply) -> Score:
        """Score one reply."""
        if reply.stop == "filter" or not reply.text.strip():
            return no_answer(reply, "no text")
        if not sample.choices:
            right = _matches_gold(sample.targets, reply.text)
            return binary_score(right=right, answer=reply.text.strip()[-100:])
        options = prompt.as_shown(sample).choices
        # in one question of MMMU-Pro the options are a list within a list, which upstream reads as a single option
        option_count = sample.meta.get("options", len(options))
        letter = (read_option_pro if self.pro else read_option)(reply.text, options[:option_count])
        if letter is None:
            draw = 1 / option_count if option_count > 1 else 0.0
            why = "upstream would draw an option at random"
            return no_answer(reply, why, parts={"draw": draw})
        answer = prompt.source_letter(letter) or letter
        right = answer in sample.targets
        return binary_score(right=right, answer=answer)


class Strict(Struct, frozen=True):
    """Scores the stated option, or for an open question the stated answer, compared as a number or as text."""

    def __call__(self, sample: Sample, prompt: Prompt, reply: Reply) -> Score:
        """Score one reply."""
        if not sample.choices:
            return score_free_form_answer(reply, sample.targets, _same_answer)
        reading = read_reply(reply, extract.choice, prompt.as_shown(sample).choices)
        if reading is None:
            return no_stated_answer(reply, "no option stated")
        answer = prompt.source_letter(reading.value) or reading.value
        right = answer in sample.targets
        return with_reading(reading, binary_score(right=right, answer=answer))


def _same_answer(gold: str, answer: str) -> bool:
    """Return whether the words are equal, or the numbers to the precision of the gold number; `12%` is 12, not 0.12."""
    if answers.same_words(gold, answer):
        return True
    target = extract.number(gold)
    if target is None:
        return False
    readings = (extract.number(answer), extract.number(answer, scaled=False))
    tolerance = answers.rounding_tolerance(len(gold.strip(" %.$").partition(".")[2].rstrip(" %")))
    return any(abs(target - stated) <= tolerance for stated in readings if stated is not None)
