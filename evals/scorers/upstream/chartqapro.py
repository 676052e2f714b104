"""ChartQAPro: relaxed accuracy for numbers, ANLS for texts (vis-nlp/ChartQAPro @ 8911d1ba, evaluate_predictions.py).

VLMEvalKit (@ e8e78f05, dataset/utils/chartqapro.py) has the same rule. Its known defects are kept in `Published`:

* the exact comparison that upstream intends for options and for true or false is never used: these are compared by ANLS
  too, so "falsey" scores 0.83 for "false";
* the whole reply is compared, even under chain of thought, so a reply with reasoning before the answer is wrong;
* a list is parsed only if it is a Python literal; the prompt shows typographic quotes, and a list with such quotes is
  compared as a single text;
* items are compared in order, and a missing or extra item lowers the mean;
* items of several words in an unquoted gold list lose their spaces: the gold answer `[New York, Rome]` contains "NewYork";
* a percent sign is ignored, a number with a thousands separator is a text, and years are compared exactly only if the data
  mark them as years.

`Strict` compares the stated answer by our rule for ChartQA, without partial credit; the items of a list may be in any order.

ANLS is computed as in the package anls 0.0.2: 1 - edits / length of the longer text, or 0 if the edits reach half of that
length.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Sequence
from math import isfinite

from msgspec import Struct

from evals.scorers import answers
from evals.scorers.chart import Stated, score_free_form_answer
from evals.scorers.outcomes import no_answer, partial_score
from evals.scorers.text import edit_distance
from evals.types import Prompt, Reply, Sample, Score

MAX_CHARS = 2_000
"""Maximum number of characters of a reply that are read, more than three times the length of any target."""
TOLERANCE = 0.05
_COMMA_OUTSIDE_NUMBER = re.compile(r",(?!\d{3}\b)")
_UNQUOTED_WORD = re.compile(r"(?<!['\w])\w['\w]*")


def parse_list_literal(text: str) -> list[str] | None:
    """Return the items of a list written as a Python literal; None for anything else."""
    if not text.lstrip(" \t").startswith(("[", "(")) or len(text) > MAX_CHARS * 10:
        return None
    try:
        value = ast.literal_eval(text)
    except (ValueError, SyntaxError, TypeError, MemoryError, RecursionError):
        return None
    return [str(item) for item in value] if isinstance(value, list) else None


def split_gold(gold: str) -> list[str]:
    """Return the items of a gold answer, split as upstream does it; an answer that is not a list is its only item."""
    text = gold.strip()
    quoted = None
    if text.startswith("[") and text.endswith("]") and "\n" not in text:
        quoted = parse_list_literal(_UNQUOTED_WORD.sub(lambda item: f"'{item[0]}'", text))
    items = quoted or parse_list_literal(gold)
    return [item.strip(" '") for item in items] if items else [gold]


def anls(stated: str, gold: str) -> float:
    """Return ANLS: 1 - edits / length of the longer text, or 0 if the edits reach half of that length."""
    first, second = (" ".join(text.lower().split()) for text in (stated, gold))
    longer, shorter = sorted((len(first), len(second)), reverse=True)
    if not longer:
        return 1.0
    if longer - shorter >= longer / 2:
        return 0.0
    distance = edit_distance(first, second) / longer
    return 1.0 - distance if distance < 0.5 else 0.0


def item_score(gold: str, stated: str) -> float:
    """Return the score of one item: whether the numbers agree within 5 %, or ANLS if either is not a number."""
    gold, stated = (text.strip().strip("%").strip() for text in (gold, stated))
    try:
        target, value = float(gold), float(stated)
    except ValueError:
        return anls(stated, gold)
    if not isfinite(target) or not isfinite(value):
        return 0.0
    return float(value == 0.0 if target == 0.0 else abs(value - target) / abs(target) <= TOLERANCE)


def score_reply(gold: str, stated: str, years: Sequence[bool]) -> float:
    """Score a reply as upstream does; `years` states for each gold item whether it is a year."""
    gold, stated = (text.strip(".").strip("\n") for text in (gold, stated))
    gold_items = split_gold(gold)
    items = [item.strip(" '") for item in parse_list_literal(stated) or ()] or [stated]
    scores = [
        float(target.strip().lower() == item.strip().lower()) if is_year else item_score(target, item)
        for target, item, is_year in zip(gold_items, items, _flags_per_item(years, gold_items), strict=False)
    ]
    return sum(scores) / max(len(gold_items), len(items))


def year_flags(sample: Sample) -> list[bool]:
    """Return whether each gold item is a year; for a conversation, only the flag of its last turn."""
    flags = [str(flag).upper() == "YES" for flag in sample.meta.get("years") or ["NO"]]
    return flags[-1:] if sample.group == "Conversational" else flags


def _flags_per_item(years: Sequence[bool], items: Sequence[str]) -> list[bool]:
    """Return at least one flag per gold item; if there are too few, they are repeated as upstream does it."""
    return list(years) * (1 if len(years) >= len(items) else len(items))


def _split_list(text: str) -> list[str]:
    """Split a list, with or without brackets, at commas outside numbers, and remove quotes."""
    if ("'" in text or '"' in text) and (quoted := parse_list_literal(text)):
        return quoted
    inner = text.strip()
    inner = inner[1:-1] if inner.startswith("[") and inner.endswith("]") else inner
    return [item.strip(" '\"\u2018\u2019") for item in _COMMA_OUTSIDE_NUMBER.split(inner)]


class Strict(Struct, frozen=True):
    """Scores 1 if the stated answer is right; for a list, every item must be stated, in any order."""

    rule: Stated = Stated()

    def __call__(self, sample: Sample, prompt: Prompt, reply: Reply) -> Score:
        """Score one reply."""
        years = year_flags(sample)
        return score_free_form_answer(
            reply, (str(sample.target),), lambda gold, stated: self._same(gold, stated, years=years)
        )

    def _same(self, gold: str, stated: str, *, years: Sequence[bool]) -> bool:
        gold = gold.strip().strip(".")
        if not (gold.startswith("[") and gold.endswith("]")):
            return self._same_item(gold, stated, is_year=years[-1])
        gold_items, items = _split_list(gold), _split_list(stated)
        for target, is_year in zip(gold_items, _flags_per_item(years, gold_items), strict=False):
            match = next((item for item in items if self._same_item(target, item, is_year=is_year)), None)
            if match is None:
                return False
            items.remove(match)
        return not items

    def _same_item(self, gold: str, stated: str, *, is_year: bool) -> bool:
        if answers.parse_plain_number(gold) is not None:
            return self.rule.same_number(gold, stated, is_year=is_year)
        return self.rule.same(gold, stated)


class Published(Struct, frozen=True):
    """Scores a reply from 0 to 1 as upstream does."""

    def __call__(self, sample: Sample, prompt: Prompt, reply: Reply) -> Score:
        """Score one reply."""
        text = reply.text[:MAX_CHARS].strip()
        if reply.stop == "filter" or not text:
            return no_answer(reply, "no text")
        return partial_score(score_reply(str(sample.target), text, year_flags(sample)), answer=text[:200])
