"""Cues that several kinds of answers share: a tag pair of the kind's own, a field of JSON, and what follows a label."""

from __future__ import annotations

import re

from evals.extract import moods
from evals.extract.later import later
from evals.extract.reading import Reading
from evals.extract.statements import EXTENT, Form, Statement

_FIELD_LEFT = later(r"[\"'][A-Za-z_ ]{0,30}$")
_FIELD_RIGHT = later(
    r"[A-Za-z_ ]{0,20}[\"']\s*:\s*(?:\"(?P<string>(?:[^\"\\\n]|\\.){1,5000})\"|\[(?P<list>[^\n]{0,5000}?)\](?=\s*[,}\n])|(?P<bare>-?\d[^\s,{}\[\]\"]{0,40}))",
)
_SENTENCE_END = later(r"\n|[。；;！？]|(?<=\S\S)[.!?](?=[\s*_\"'”’]|$)")
_TAG_OPEN = later(r"<\s*$")
_TAG_CLOSE = later(r"\s*>")


def opens_tag(text: str, at: int, end: int) -> int:
    """Return where the content begins if the word from `at` to `end` names an opening tag, else 0."""
    if not _TAG_OPEN.search(text, max(0, at - 4), at):
        return 0
    close = _TAG_CLOSE.match(text, end)
    return close.end() if close else 0


def field_at(text: str, at: int, end: int) -> Statement | None:
    """Return the value of a JSON field in whose key the word from `at` to `end` stands."""
    left = _FIELD_LEFT.search(text, max(0, at - 32), at)
    field = _FIELD_RIGHT.match(text, end) if left else None
    if left is None or field is None:
        return None
    group = str(field.lastgroup)
    return Statement(
        "json", field.start(group), field.end(group), moods.mood(text, left.start(), field.end())
    )


def label_at(text: str, at: int, label: re.Match[str]) -> Statement | None:
    """Return what follows a label: the rest of its line or sentence, or of the next line if that is empty.

    `label` has a group `mark`: a colon or equals sign, or a verb.
    """
    verb = label["mark"][:1].isalpha() or label["mark"][:1] in ("是", "为")
    begin, stop = label.end(), min(len(text), label.end() + EXTENT)
    while begin < stop and (text[begin].isspace() or text[begin] in "*_#"):
        begin += 1
    if text.startswith("```", begin):
        begin = text.find("\n", begin, stop) + 1 or stop
    cut = (_SENTENCE_END if verb else _LINE_END).search(text, begin, stop)
    end = cut.start() if cut else stop
    if end <= begin:
        return None
    form: Form = "sentence" if verb else "line"
    return Statement(form, begin, end, moods.mood(text, at, end if verb else begin, link=label[0]))


_LINE_END = later(r"\n")


def narrowed(text: str, reading: Reading, shown: str) -> Reading:
    """Return a reading whose extent is the answer alone, if that stands in its statement as it was read."""
    at = text.find(shown, reading.begin, reading.end) if shown else -1
    return reading if at < 0 else reading._replace(begin=at, end=at + len(shown))
