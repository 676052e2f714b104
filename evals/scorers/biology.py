"""Score replies to Biology-Instructions: a number, a label, or a set of labels or EC numbers, stated anywhere in the reply."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence
from math import isfinite
from typing import Any

from msgspec import Struct

from evals.extract import stated_yes_no
from evals.extract.formatting import strip_formatting
from evals.extract.quantity import stated
from evals.extract.reading import REJECTED, Reading, read_answer
from evals.extract.statements import DELIMITED_FORMS, MAX_STATEMENT_CHARS, Form
from evals.extract.units import Quantity
from evals.extract.visible import visible
from evals.scorers.number import read_number
from evals.scorers.outcomes import binary_score, no_stated_answer, read_reply, with_reading
from evals.scorers.upstream.biology import (
    label_parts,
    parse_numbers,
    score_label_set,
    score_numbers,
    split_labels,
)
from evals.types import Prompt, Reply, Sample, Score

ANSWER_FORMS: frozenset[Form] = frozenset(("box", "tag", "json", "line", "sentence"))
"""Forms of an explicit answer; in any other form the text must consist of labels alone."""
MAX_PLAUSIBLE = 1e9
"""Largest plausible magnitude of a measurement in these tasks."""
MAX_CHARS = 100_000
"""Number of characters at the end of a reply that are searched for numbers by key."""
_DENIAL_WINDOW = 24
"""Number of characters before a stated polarity that are searched for a denial on the same line."""
_EC_NUMBER = re.compile(
    r"(?<![\d.])\d{1,2}\.(?:\d{1,3}|-)\.(?:\d{1,3}|-)\.(?:[nB]?\d{1,4}|-)(?![\d])(?!\.\d)"
)
_NEGATION = re.compile(
    r"\b(?:not|rather\s+than|instead\s+of|unlike|except)\b|n['’]t\b|不是|而非|并非|不属于", re.IGNORECASE
)
_BOXED_POSITIVE = re.compile(
    r"(?<=[{>:])(?P<before>\s*[*_\"']{0,3})positive(?=[*_\"']{0,3}\s*(?:[}<.]|$))|(?<=\\text\{)positive(?=\})", re.IGNORECASE | re.MULTILINE
)  # fmt: skip
_STATED_POLARITY = re.compile(
    r"\b(?:prediction|answer|label|class|classification|result|interaction|verdict|conclusion)\b[\s*_:\"']{1,8}(?:is\b|=)?[\s*_:\"']{0,8}"
    r"(?P<polarity>positive|negative)\b(?=[\s*_\"']{0,6}(?:[.,;!)\n]|$))",
    re.IGNORECASE,
)
_DENIAL_OR_DOUBT = re.compile(
    r"\b(?:cannot|can\s*not|no|without|lack\w*|absent|exclu\w+|unlikely|reject\w*|missing|ruled\s+out|impossible|would|neither|if|whether|none\s+of)\b|\?",
    re.IGNORECASE,
)
_FILLER = re.compile(
    r"\([^()]{0,80}\)|\b(?:and|ec|the|is|number|enzyme|commission|class\s\d|this|protein|most|likely|probably|predicted|to|be|as|has)\b|[^\w]|_",
    re.IGNORECASE,
)
_PSEUDOURIDINE = re.compile(r"\\?\bpsi\b|[Ψψ]|\bpseudouridine\b", re.IGNORECASE)
_POWER_SIGN = re.compile(r"\^\{?(\d)\}?")
_WORD_SEPARATOR = re.compile(r"[\s_-]+")
_LATEX_TEXT = re.compile(r"\\(?:text|mathrm|mathbf|textbf)\{([^{}]{0,200})\}")
_NUMBER = r"(?P<number>[-+\u2212]?(?:\d{1,12}(?:\.\d{1,15})?|\.\d{1,15})(?:[eE][-+]?\d{1,3})?)"


def yes_or_no(text: str) -> Reading | None:
    """Return the yes or no that a reply states, including "positive" or "negative" in a box or after a word like "prediction"."""
    padded_yes = "yes".ljust(len("positive"))  # keeps the positions of the text that follows
    answer = stated_yes_no(_BOXED_POSITIVE.sub(lambda match: (match["before"] or "") + padded_yes, text))
    if answer is not None:
        return answer._replace(value="yes" if answer.value else "no")
    visible_text = visible(text).text
    matches = [
        match
        for match in _STATED_POLARITY.finditer(visible_text)
        if not _DENIAL_OR_DOUBT.search(
            visible_text[max(0, match.start() - _DENIAL_WINDOW) : match.start()].rpartition("\n")[2]
        )
    ]
    if not matches:
        return None
    value = "yes" if matches[-1]["polarity"].lower() == "positive" else "no"
    return Reading(value, "sentence", *matches[-1].span("polarity"))


def asserted_text(content: str, form: Form) -> str | None:
    """Return the part of a statement before a negation, or the whole content of a box, a tag or JSON.

    None if the first clause expresses a denial, a doubt, a condition or a question.
    """
    if form in DELIMITED_FORMS:
        return content
    negation = _NEGATION.search(content)
    content = content[: negation.start()] if negation else content
    clause = re.split(r"[(;.]\s", content, maxsplit=1)[0]
    return None if _DENIAL_OR_DOUBT.search(clause) else content


def is_label_statement(content: str, labels: Sequence[str], form: Form) -> bool:
    """Return whether a statement is an explicit answer or consists of labels alone."""
    if form in ANSWER_FORMS:
        return True
    remainder = _lower_words(content)
    for label in labels:
        remainder = remainder.replace(_lower_words(label), " ")
    return not _FILLER.sub("", remainder)


def _lower_words(text: str) -> str:
    """Return a text in lower case, with a space between words that spaces, hyphens or underscores separate."""
    return _WORD_SEPARATOR.sub(" ", text.lower())


def _normalise_label(label: str) -> str:
    return re.sub(r"[^a-z0-9]", "", label.lower())


class LabelOf(Struct, frozen=True):
    """Scores 1 if a reply states the right label and no other one; case, spaces and punctuation are ignored."""

    labels: tuple[str, ...]

    def __call__(self, sample: Sample, prompt: Prompt, reply: Reply) -> Score:
        """Score one reply."""
        reading = read_reply(reply, read_answer, self._parse, use_layout=True)
        if reading is None:
            return no_stated_answer(reply, "no label stated")
        right = _normalise_label(reading.value) == _normalise_label(str(sample.target))
        return with_reading(reading, binary_score(right=right, answer=reading.value))

    def _parse(self, content: str, form: Form) -> Any:
        asserted = asserted_labels(content, self.labels, form)
        if len(asserted) > 1:
            return REJECTED
        return asserted[0] if asserted else None


def asserted_labels(content: str, labels: Sequence[str], form: Form) -> list[str]:
    """Return the labels that a statement asserts; empty if it contains other words and is not an explicit answer."""
    claim = asserted_text(content[:MAX_STATEMENT_CHARS], form)
    if claim is None:
        return []
    claim = _POWER_SIGN.sub(r"\1", unicodedata.normalize("NFKC", _PSEUDOURIDINE.sub("Psi", claim)))
    claim = strip_formatting(claim)
    exact_matches = [label for label in labels if _normalise_label(claim) == _normalise_label(label)]
    if exact_matches:
        return exact_matches
    words = _lower_words(claim.replace("\\_", " "))
    asserted = [label for label in labels if _label_pattern(label).search(words)]
    return asserted if is_label_statement(words, asserted, form) else []


def _label_pattern(label: str) -> re.Pattern[str]:
    """Return the pattern for a label in a sentence; a two-letter label (Am, Um) must be an item of a list."""
    pattern = re.escape(_lower_words(label))
    if len(label) <= 2:
        return re.compile(rf"(?:^|[,;/&:]|\band)[\s*`]{{0,3}}{pattern}[\s*`.]{{0,3}}(?:$|[,;/&]|\band\b)")
    return re.compile(rf"(?<![a-z0-9])(?<!\d ){pattern}s?(?![a-z0-9])")


class LabelsOf(Struct, frozen=True):
    """Scores the F1 of the set of labels that a reply states; an answer that combines `none` with other labels is rejected."""

    labels: tuple[str, ...]

    def __call__(self, sample: Sample, prompt: Prompt, reply: Reply) -> Score:
        """Score one reply."""
        reading = read_reply(reply, read_answer, self._parse, use_layout=True)
        labels = None if reading is None else {name.lower() for name in reading.value}
        parts = label_parts(split_labels(str(sample.target)), labels or set())
        return with_reading(reading, score_label_set(sample, reply, labels, parts))

    def _parse(self, content: str, form: Form) -> Any:
        names = asserted_labels(content, self.labels, form)
        return REJECTED if "none" in names and len(names) > 1 else names or None


class StatedEnzymes(Struct, frozen=True):
    """Scores the F1 of the set of EC numbers that a reply states."""

    def __call__(self, sample: Sample, prompt: Prompt, reply: Reply) -> Score:
        """Score one reply."""
        reading = read_reply(reply, read_answer, _parse_enzymes, use_layout=True)
        gold_codes = ",".join(_EC_NUMBER.findall(str(sample.target)))
        stated_codes = set(reading.value) if reading else None
        score = score_label_set(Sample(id=sample.id, target=gold_codes), reply, stated_codes, {})
        return with_reading(reading, score)


def _parse_enzymes(content: str, form: Form) -> Any:
    claim = asserted_text(content[:MAX_STATEMENT_CHARS], form)
    codes = sorted(set(_EC_NUMBER.findall(claim or "")))
    return codes if codes and is_label_statement(claim or "", codes, form) else None


class StatedNumbers(Struct, frozen=True):
    """Scores the number, or the numbers by key, that a reply states."""

    percent: float
    """Value of 1 % in the target's unit: 1 if targets are percentages, 0.01 if they are fractions."""

    def __call__(self, sample: Sample, prompt: Prompt, reply: Reply) -> Score:
        """Score one reply."""
        keys = sample.meta.get("keys")
        if reply.stop == "filter":
            return score_numbers(sample, reply, [None] * len(keys or [""]))
        if keys:
            numbers = parse_numbers(reply.text, keys) or numbers_by_key(reply.text, keys)
            return score_numbers(sample, reply, [_if_plausible(numbers.get(key)) for key in keys])
        quantity, reading = read_number(stated, reply, "")
        number = None if quantity is None else _if_plausible(self._convert_percent(quantity))
        return with_reading(None if number is None else reading, score_numbers(sample, reply, [number]))

    def _convert_percent(self, quantity: Quantity) -> float:
        return quantity.value * (self.percent if quantity.unit in ("%", "percent") else 1.0)


def _if_plausible(number: float | None) -> float | None:
    return number if number is not None and isfinite(number) and abs(number) <= MAX_PLAUSIBLE else None


def numbers_by_key(text: str, keys: Sequence[str]) -> dict[str, float]:
    """Return the number after the last mention of each key, as in `"ON": 0.5`, `**ON** = 0.5` or `ON is about 0.5`."""
    text = _LATEX_TEXT.sub(r"\1", text[-MAX_CHARS:].replace("\\_", "_"))
    numbers = {}
    for key in keys:
        name = re.escape(key).replace("_", r"[_/\s-]")
        pattern = re.compile(
            rf"(?<![\w/-]){name}(?![\w/-])[\"'*`_\s)]{{0,6}}(?:[:=≈|]|is(?:\s+about)?|of)[\s*`_\"']{{0,6}}(?:≈\s?)?{_NUMBER}(?!\d)",
            re.IGNORECASE,
        )
        matches = list(pattern.finditer(text))
        if matches:
            numbers[key] = float(matches[-1]["number"].replace("\u2212", "-"))
    return numbers
