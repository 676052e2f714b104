"""Answers of Biology-Instructions, stated anywhere in a reply: numbers, labels of a list, sets of labels, EC numbers."""

from __future__ import annotations

import re
from collections.abc import Sequence
from math import isfinite
from typing import Any

from msgspec import Struct

from evals.extract import stated_yes_no
from evals.extract.peel import peel
from evals.extract.quantity import stated
from evals.extract.reading import REFUSED, Reading, read
from evals.extract.statements import Form
from evals.extract.units import Quantity
from evals.extract.visible import visible
from evals.scorers.choice import unanswered, with_reading
from evals.scorers.upstream.biology import graded, label_parts, labels_of, numbers, set_score
from evals.types import Prompt, Reply, Sample, Score, Verdict

LARGEST = 1e9
"""Larger numbers are not plausible measurements of these tasks."""
_ENZYME = re.compile(r"(?<![\d.])\d{1,2}\.(?:\d{1,3}|-)\.(?:\d{1,3}|-)\.(?:[nB]?\d{1,4}|-)(?![\d])(?!\.\d)")
_DENIED = re.compile(r"\b(?:not|rather\s+than|instead\s+of|unlike|except)\b|n['’]t\b", re.IGNORECASE)
_SIGN = re.compile(
    r"(?<=[{>:])(?P<before>\s*[*_\"']{0,3})positive(?=[*_\"']{0,3}\s*(?:[}<.]|$))|(?<=\\text\{)positive(?=\})", re.IGNORECASE | re.MULTILINE
)  # fmt: skip
_STATED_SIGN = re.compile(
    r"\b(?:prediction|answer|label|class|classification|result|interaction|verdict|conclusion)\b[\s*_:\"']{1,8}(?:is\b|=)?[\s*_:\"']{0,8}"
    r"(?P<sign>positive|negative)\b(?=[\s*_\"']{0,6}(?:[.,;!)\n]|$))",
    re.IGNORECASE,
)
_NUMBER = r"(?P<number>[-+\u2212]?(?:\d{1,12}(?:\.\d{1,15})?|\.\d{1,15})(?:[eE][-+]?\d{1,3})?)"


def yes_or_no(text: str) -> Reading | None:
    """Return the yes or no that a reply states; positive and negative count in a box, and where the prediction is stated."""
    answer = stated_yes_no(_SIGN.sub(lambda match: (match["before"] or "") + "yes     ", text))
    if answer is not None:
        return answer._replace(value="yes" if answer.value else "no")
    shown = visible(text).text
    signs = [
        sign
        for sign in _STATED_SIGN.finditer(shown)
        if not _UNSURE.search(shown[max(0, sign.start() - 24) : sign.start()].rpartition("\n")[2])
    ]
    if not signs:
        return None
    value = "yes" if signs[-1]["sign"].lower() == "positive" else "no"
    return Reading(value, "sentence", *signs[-1].span("sign"))


STATED: frozenset[Form] = frozenset(("box", "tag", "json", "line", "sentence"))
"""Forms in which a reply states an answer; in all others it must consist of labels alone."""
_UNSURE = re.compile(
    r"\b(?:cannot|can\s*not|no|without|lack\w*|absent|exclu\w+|unlikely|reject\w*|missing|ruled\s+out|impossible|would|neither|if|whether|none\s+of)\b|\?",
    re.IGNORECASE,
)
_FILLER = re.compile(r"\([^()]{0,80}\)|\b(?:and|ec|the|is|number)\b|[^\w]|_", re.IGNORECASE)


def asserted(content: str, form: Form) -> str | None:
    """Return what a statement asserts: what stands before a denial; None if it is a doubt, a condition or a question."""
    if form in ("box", "tag", "json"):
        return content
    denied = _DENIED.search(content)
    content = content[: denied.start()] if denied else content
    clause = re.split(r"[(;.]\s", content, maxsplit=1)[0]
    return None if _UNSURE.search(clause) else content


def only_labels(content: str, names: Sequence[str], form: Form) -> bool:
    """Whether nothing else stands beside the labels, unless a statement holds them."""
    if form in STATED:
        return True
    rest = re.sub(r"[\s_-]+", " ", content.lower())
    for name in names:
        rest = rest.replace(re.sub(r"[\s_-]+", " ", name.lower()), " ")
    return not _FILLER.sub("", rest)


def _plain(label: str) -> str:
    return re.sub(r"[^a-z0-9]", "", label.lower())


class LabelOf(Struct, frozen=True):
    """Scores 1 for the right label of a list, wherever a reply states it; spaces, hyphens and case do not count."""

    labels: tuple[str, ...]

    def __call__(self, sample: Sample, prompt: Prompt, reply: Reply) -> Score:
        """Judge one reply."""
        reading = (
            None
            if reply.stop == "filter"
            else read(reply.text, self._parse, shaped=True, truncated=reply.stop == "length")
        )
        if reading is None:
            return unanswered(reply, "no label stated")
        right = _plain(reading.value) == _plain(str(sample.target))
        verdict: Verdict = "right" if right else "wrong"
        return with_reading(reading, Score(value=float(right), verdict=verdict, answer=reading.value))

    def _parse(self, content: str, form: Form) -> Any:
        names = mentioned(content, self.labels, form)
        return None if not names else names[0] if len(names) == 1 else REFUSED


def mentioned(content: str, labels: Sequence[str], form: Form) -> list[str]:
    """Return the labels that a statement asserts."""
    claim = asserted(content[:2_000], form)
    if claim is None:
        return []
    claim = peel(claim)
    whole = [label for label in labels if _plain(claim) == _plain(label)]
    if whole:
        return whole
    words = re.sub(r"[\s_-]+", " ", claim.lower().replace("\\_", " "))
    names = [label for label in labels if _word(label).search(words)]
    return names if only_labels(words, names, form) else []


def _word(label: str) -> re.Pattern[str]:
    """Return the pattern of a label in a sentence; one of two letters (Am, Um) must be an item of a list by itself."""
    pattern = re.escape(re.sub(r"[\s_-]+", " ", label.lower()))
    if len(label) <= 2:
        return re.compile(rf"(?:^|[,;/&:]|\band)[\s*`]{{0,3}}{pattern}[\s*`.]{{0,3}}(?:$|[,;/&]|\band\b)")
    return re.compile(rf"(?<![a-z0-9])(?<!\d ){pattern}s?(?![a-z0-9])")


class LabelsOf(Struct, frozen=True):
    """Reads a set of labels of a list, wherever a reply states it; `none` excludes all others."""

    labels: tuple[str, ...]

    def __call__(self, sample: Sample, prompt: Prompt, reply: Reply) -> Score:
        """Judge one reply."""
        reading = (
            None
            if reply.stop == "filter"
            else read(reply.text, self._parse, shaped=True, truncated=reply.stop == "length")
        )
        stated = None if reading is None else {name.lower() for name in reading.value}
        gold = labels_of(str(sample.target))
        score = set_score(sample, reply, stated, label_parts(gold, stated or set()))
        return with_reading(reading, score) if reading else score

    def _parse(self, content: str, form: Form) -> Any:
        names = mentioned(content, self.labels, form)
        return REFUSED if "none" in names and len(names) > 1 else names or None


class StatedEnzymes(Struct, frozen=True):
    """Scores the F1 of the EC numbers that a reply states; EC numbers other than the gold ones count against it."""

    def __call__(self, sample: Sample, prompt: Prompt, reply: Reply) -> Score:
        """Judge one reply."""
        reading = (
            None
            if reply.stop == "filter"
            else read(reply.text, _parse_enzymes, shaped=True, truncated=reply.stop == "length")
        )
        gold = Sample(id=sample.id, target=",".join(_ENZYME.findall(str(sample.target))))
        score = set_score(gold, reply, set(reading.value) if reading else None, {})
        return with_reading(reading, score) if reading else score


def _parse_enzymes(content: str, form: Form) -> Any:
    claim = asserted(content[:2_000], form)
    codes = sorted(set(_ENZYME.findall(claim or "")))
    return codes if codes and only_labels(claim or "", codes, form) else None


class StatedNumbers(Struct, frozen=True):
    """Reads the number, or the numbers by key, that a reply states; `percent`: the value of one per cent."""

    percent: float

    def __call__(self, sample: Sample, prompt: Prompt, reply: Reply) -> Score:
        """Judge one reply."""
        keys = sample.meta.get("keys")
        if reply.stop == "filter":
            return graded(sample, reply, [None] * len(keys or [""]))
        if keys:
            read_numbers = numbers(reply.text, keys) or by_label(reply.text, keys)
            return graded(sample, reply, [_plausible(read_numbers.get(key)) for key in keys])
        reading = stated(reply.text, "")
        quantity = reading.value if isinstance(reading, Reading) else reading
        cut = (
            isinstance(reading, Reading)
            and reply.stop == "length"
            and reading.end >= len(reply.text.rstrip())
            and reading.form not in ("box", "tag", "json")
        )
        number = None if cut or not isinstance(quantity, Quantity) else _plausible(self._value(quantity))
        score = graded(sample, reply, [number])
        return with_reading(reading, score) if isinstance(reading, Reading) and number is not None else score

    def _value(self, quantity: Quantity) -> float:
        return quantity.value * (self.percent if quantity.unit in ("%", "percent") else 1.0)


def _plausible(number: float | None) -> float | None:
    return number if number is not None and isfinite(number) and abs(number) <= LARGEST else None


def by_label(text: str, keys: Sequence[str]) -> dict[str, float]:
    """Return the number after the last mention of each key: `"ON": 0.5`, `**ON** = 0.5`, `ON is about 0.5`."""
    found = {}
    for key in keys:
        pattern = re.compile(
            rf"(?<![\w-]){re.escape(key)}(?![\w-])[\"'*`_\s)]{{0,6}}(?:[:=≈|]|is(?:\s+about)?|of)[\s*`_\"']{{0,6}}(?:≈\s?)?{_NUMBER}(?!\d)",
            re.IGNORECASE,
        )
        matches = list(pattern.finditer(text[-100_000:]))
        if matches:
            found[key] = float(matches[-1]["number"].replace("\u2212", "-"))
    return found
