"""ChartBench: pairs of assertions, one of them true, and numbers read off a chart (Xu et al., arXiv 2312.15915).

`Published` is the authors' rule (IDEA-FinAI/ChartBench @ 548980b0, Stat/stat_all_metric.py), which VLMEvalKit adopted
(@ e8e78f05, dataset/chartbench.py). Its known defects are kept: a text without the letters "yes" counts as no, even an
empty reply or "I cannot tell", and "eyes" counts as yes. For numbers, upstream passes reply and gold answer to its
comparison in the wrong order: the tolerance is 5 % of the *reply's* number; `8 %` may mean 0.08 in a reply, but not in the
gold answer; and a reply of 0 is right if the signed gold number is at most 0.05, so for every negative number. Since March
2025 (a32f246) the *letters* of DeepSeek's end-of-text token are stripped from both ends of a reply: "12 cents" is 12, and
"december" is "mber", which is wrong for December.

Upstream extracts the number from a reply with a language model (Stat/gpt_filter.py: deepseek-chat, ten replies per call,
100 characters of each; the published script fails because it iterates over a number). Here a rule extracts it
(`number_text`). With `bare` only a reply that consists of a number, or equals the gold answer, is scored by rule; the others
have no value until a judge extracts the number.

`Strict` corrects these defects: "no" must be stated, and numbers are compared by our rule for ChartQA.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from msgspec import Struct
from msgspec.structs import replace

from evals import extract
from evals.scorers.answers import finite_float
from evals.scorers.chart import Stated, score_free_form_answer
from evals.scorers.outcomes import binary_score, no_answer, no_stated_answer, unanswered_verdict, with_reading
from evals.types import Metric, Point, Prompt, Reply, Sample, Score, Verdict

YES_NO = ("yes", "no")
MAX_CHARS = 100_000
"""Number of characters at the end of a reply that are read."""
TOLERANCE = 0.05
END_OF_TEXT = "<\uff5cend\u2581of\u2581sentence\uff5c>"
"""DeepSeek's end-of-text token; upstream strips each of its letters from both ends of a reply."""
_NUMBER = re.compile(r"(?<![\w.])[-+\u2212]?(?:\d[\d,]*(?:\.\d+)?|\.\d+)(?:[eE][-+]?\d+)?(?:\s?\\?%)?")


def parse_float(text: str) -> float | None:
    """Return the number that is the whole text, ignoring percent signs after it; None for any other text."""
    return finite_float(text.rstrip("%"))


def matches_relaxed(stated: str, gold: str) -> bool:
    """Return whether two answers agree by upstream's rule: as numbers if both are numbers, else as texts, ignoring case."""
    stated = stated.strip().strip(END_OF_TEXT)
    value, gold_value = parse_float(stated), parse_float(gold)
    if value is None or gold_value is None:
        return stated.lower() == gold.lower()
    readings = (value, value / 100) if stated.endswith("%") else (value,)
    errors = (abs(gold_value - reading) / abs(reading) if reading else gold_value for reading in readings)
    return any(error <= TOLERANCE for error in errors)


def number_text(text: str) -> tuple[str, bool]:
    """Return the text of the last number in the stated answer, else in the reply, and whether other numbers occur there.

    A reply without a number is returned unchanged.
    """
    text = text.strip()
    if parse_float(text) is not None:
        return text, False
    for region in (extract.stated_answer(text), text):
        numbers = _NUMBER.findall(region or "")
        if numbers:
            number = numbers[-1].replace(",", "").replace("\u2212", "-").replace("\\", "").replace(" ", "")
            return number, len(set(numbers)) > 1
    return text, False


class Published(Struct, frozen=True):
    """Scores by upstream's rule; the assertions of a pair are scored separately."""

    bare: bool = False

    def options(self, sample: Sample, prompt: Prompt) -> tuple[str, ...]:
        """Return no options: these are free-form answers."""
        return ()

    def score_extracted(self, sample: Sample, prompt: Prompt, reply: Reply, extracted: str) -> Score:
        """Score the number that the rule or a judge extracted from the reply."""
        right = any(matches_relaxed(extracted.strip(), gold) for gold in sample.targets)
        return binary_score(right=right, answer=extracted.strip()[:200])

    def __call__(self, sample: Sample, prompt: Prompt, reply: Reply) -> Score:
        """Score one reply."""
        text = reply.text[-MAX_CHARS:].strip()
        if reply.stop == "filter":
            return Score(value=0.0, verdict="refused")
        if sample.target in YES_NO:
            return self._score_assertion(str(sample.target), reply, text.lower())
        if not text:
            return no_answer(reply, "no text")
        if self.bare:
            if parse_float(text.strip(END_OF_TEXT)) is None and not any(
                matches_relaxed(text, gold) for gold in sample.targets
            ):
                return no_answer(reply, "more than a number", value=None)
            return self.score_extracted(sample, prompt, reply, text)
        number, is_ambiguous = number_text(text)
        return replace(self.score_extracted(sample, prompt, reply, number), suspect=is_ambiguous)

    def _score_assertion(self, gold: str, reply: Reply, text: str) -> Score:
        answer = "yes" if "yes" in text else "no"
        right = answer == gold
        verdict: Verdict = ("right" if right else "wrong") if text else unanswered_verdict(reply)
        is_stated = answer == "yes" or re.search(r"\bno\b", text)
        why = "" if is_stated else 'no "yes" in the reply, which upstream reads as "no"'
        return Score(value=float(right), verdict=verdict, answer=answer, why=why, suspect=not is_stated)


class Strict(Struct, frozen=True):
    """Scores 1 if the stated yes or no, or the stated number, is right."""

    number: Stated = Stated()
    """Rule by which numbers are compared."""

    def __call__(self, sample: Sample, prompt: Prompt, reply: Reply) -> Score:
        """Score one reply."""
        text = "" if reply.stop == "filter" else reply.text
        if sample.target in YES_NO:
            reading = extract.stated_yes_no(text)
            if reading is None:
                return no_stated_answer(reply, "neither yes nor no stated")
            answer = "yes" if reading.value else "no"
            right = answer == sample.target
            score = binary_score(right=right, answer=answer)
            return with_reading(reading, score)
        return score_free_form_answer(reply, sample.targets, self._same)

    def _same(self, gold: str, stated: str) -> bool:
        """Return whether two answers agree by our rule for ChartQA; a gold `8 %` may also be stated as 0.08."""
        if self.number.same(gold, stated):
            return True
        percentage = parse_float(gold) if gold.endswith("%") and "%" not in stated else None
        return percentage is not None and self.number.same(f"{percentage / 100:.12g}", stated)


# --- metrics ------------------------------------------------------------------------------------------------


def _checked_pair(points: Sequence[Point]) -> Sequence[Point]:
    """Return the points if they are the two assertions of a pair, else raise ValueError."""
    if sorted(str(point.target) for point in points) != ["no", "yes"]:
        raise ValueError("not a pair of assertions")
    return points


def _bound_if_missing(points: Sequence[Point]) -> float | None:
    """Return the bound that stands in for a pair with a missing outcome; None if no outcome is missing."""
    return next((point.value for point in points if point.verdict == "missing"), None)


def acc_plus(points: Sequence[Point]) -> float:
    """Return 1 if both assertions of a pair are scored as right, else 0."""
    return float(all(point.value == 1.0 for point in _checked_pair(points)))


def confusion(points: Sequence[Point]) -> float:
    """Return 1 if both assertions of a pair get the same answer, else 0; the mean is CoR, the confusion rate."""
    if (bound := _bound_if_missing(_checked_pair(points))) is not None:
        return bound
    answers = {point.answer for point in points}
    return float(len(answers) == 1 and None not in answers)


def pair_error(points: Sequence[Point]) -> float:
    """Return 1 if a pair is neither right nor confused, else 0; the mean is upstream's error rate."""
    if (bound := _bound_if_missing(_checked_pair(points))) is not None:
        return bound
    return float(not acc_plus(points) and not confusion(points))


def assertion_value(points: Sequence[Point]) -> float:
    """Return the value of a single assertion; raises ValueError for a question whose answer is a number."""
    if points[0].target not in YES_NO or points[0].value is None:
        raise ValueError("not an assertion")
    return points[0].value


def number_value(points: Sequence[Point]) -> float:
    """Return the value of a question whose answer is a number; raises ValueError for an assertion."""
    if points[0].target in YES_NO or points[0].value is None:
        raise ValueError("not a numeric question")
    return points[0].value


def pooled_value(points: Sequence[Point]) -> float:
    """Return the value of a pair or of a numeric question; the authors' `final` and VLMEvalKit average both together."""
    return number_value(points) if len(points) == 1 else acc_plus(points)


def metrics(*, pool: bool) -> tuple[Metric, ...]:
    """Return the metrics; with `pool` the mean over pairs and numeric questions is the headline, otherwise Acc+."""
    return (
        Metric(name="pooled", of=pooled_value, together=True, headline=pool),
        Metric(name="acc+", of=acc_plus, together=True, headline=not pool),
        Metric(name="cor", of=confusion, together=True, better="lower"),
        Metric(name="err", of=pair_error, together=True, better="lower"),
        Metric(name="assertions", of=assertion_value),
        Metric(name="nqa", of=number_value),
    )
