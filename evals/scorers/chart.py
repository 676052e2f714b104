"""Score answers about charts by relaxed accuracy, in its published and in a corrected form.

`Relaxed` is VLMEvalKit's version (@ e8e78f05, dataset/utils/vqa_eval.py) of the rule of ChartQA's authors. Known defects: a
target of 0 is compared as text; `12%` is 0.12 and never 12; a year within 5 % is right; a number with a thousands separator
or a unit is compared as text; the whole reply is compared, so a reply with any reasoning is wrong.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence

from msgspec import Struct

from evals import extract
from evals.scorers import answers
from evals.scorers.outcomes import binary_score, no_answer, no_stated_answer, read_reply, with_reading
from evals.types import Prompt, Reply, Sample, Score

_YEAR = re.compile(r"(?:1[5-9]|20)\d\d")
_YES_NO = {
    "yes": ("true", "是", "是的", "对", "正确"),
    "no": ("false", "否", "不是", "不对", "不正确", "没有"),
}
MAX_CHARS = 2_000
"""Maximum number of characters that are parsed as a number by upstream's rule."""


def parse_upstream_number(text: str) -> float | None:
    """Parse a text as upstream does, `12%` as 0.12; None if it is not a finite number."""
    text = text.strip()[:MAX_CHARS]
    value = answers.finite_float(text.rstrip("%"))
    return value if value is None or not text.endswith("%") else value / 100


class Relaxed(Struct, frozen=True):
    """Scores 1 for a number within a relative `tolerance` of the target, or for the target's text, ignoring case."""

    tolerance: float = 0.05

    def __call__(self, sample: Sample, prompt: Prompt, reply: Reply) -> Score:
        """Score one reply."""
        text = reply.text.strip()
        if reply.stop == "filter" or not text:
            return no_answer(reply, "no text")
        gold = str(sample.target)
        target, stated = parse_upstream_number(gold), parse_upstream_number(text)
        if stated is not None and target:
            right = abs(stated - target) / abs(target) <= self.tolerance
        else:
            right = text.lower() == gold.lower()
        return binary_score(right=right, answer=text[:200])


class Stated(Struct, frozen=True):
    """Scores 1 for a stated number within a relative `tolerance` of the target (a year must be exact) or for the same text.

    `12%`, 12 and, if the target is a percentage, 0.12 are the same number; for a target of 0 the tolerance is absolute, as
    if the target were 1. "12k" is 12,000 or, for an axis in thousands, 12; "the light blue bar" is light blue; lists of names
    are compared ignoring their order.
    """

    tolerance: float = 0.05

    def __call__(self, sample: Sample, prompt: Prompt, reply: Reply) -> Score:
        """Score one reply."""
        return score_free_form_answer(reply, (str(sample.target),), self.same)

    def same(self, gold: str, answer: str) -> bool:
        """Return whether two answers agree."""
        if answer.strip(" .。*").casefold() in _YES_NO.get(gold.strip().casefold(), ()):
            return True
        if any(
            same(gold, answer) for same in (answers.same_words, answers.same_name_set, answers.same_range)
        ):
            return True
        return self.same_number(gold, answer, is_year=_YEAR.fullmatch(gold.strip()) is not None)

    def same_number(self, gold: str, answer: str, *, is_year: bool) -> bool:
        """Return whether two numbers agree within the tolerance, or exactly if the gold number is a year."""
        target = answers.parse_plain_number(gold)
        scaled = None if target is None else extract.number(answer)
        unscaled = None if target is None else extract.number(answer, scaled=False)
        if target is None or scaled is None or unscaled is None:
            return False
        if is_year:
            return target == scaled
        as_percentage = scaled
        if ("%" in gold) != ("%" in answer) and (0 < abs(target) < 1 or "%" in gold):
            as_percentage = scaled * (100 if "%" in gold else 0.01)
        return any(
            abs(target - value) <= self.tolerance * (abs(target) or 1.0)
            for value in (scaled, unscaled, as_percentage)
        )


def score_free_form_answer(reply: Reply, golds: Sequence[str], same: Callable[[str, str], bool]) -> Score:
    """Score the stated free-form answer, with or without the explanation after it, against any of several gold answers."""
    reading = read_reply(reply, extract.stated_text)
    if reading is None:
        return no_stated_answer(reply, "no answer stated")
    right = any(same(gold, candidate) for candidate in reading.value for gold in golds)
    score = binary_score(right=right, answer=reading.value[0][:200])
    return with_reading(reading, score)
