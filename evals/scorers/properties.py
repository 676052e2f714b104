"""Named properties of a molecule: counts, formulas and sets of atom indices, all of them right or none.

A reply states them as a JSON object, as lines `name: value`, or, if one is asked for, as a number ("five", "5 rings"), a
formula or a list of indices. Keys count apart from case, spaces, hyphens and underscores. Indices must be whole numbers from 0.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any, Literal

from msgspec import Struct

from evals import extract
from evals.extract.chemical import stated_formula
from evals.extract.number_words import spelled_number
from evals.extract.reading import REFUSED, Reading, read
from evals.extract.tags import json_object, tagged
from evals.extract.visible import visible
from evals.scorers.choice import unanswered, with_reading
from evals.scorers.formula import counts, is_formula
from evals.types import Prompt, Reply, Sample, Score

Kind = Literal["count", "index"]
FORMULA = "molecular_formula"
_LINE = re.compile(
    r"^[\s*\-•>|\"'`]*+([A-Za-z][\w ()-]{0,80}?)[\"'`*\s]*[:=|]\s*(\S.{0,2000})$", re.MULTILINE
)
_NEXT = re.compile(r"[,;]\s+(?=[\"'`]?[A-Za-z][\w ()-]{0,60}[\"'`]?[:=])")
"""Before the next name on a line."""
_LIST = re.compile(
    r"(?:(?:the|these|atoms?|indices|indexes|index|positions?|numbers?|are|at|set)\b[\s:]*+){0,5}"
    r"[\[({]?\s*+(?P<items>\d{1,6}(?:(?:\s*+,\s*+(?:and\s++)?|\s*+;\s*+|\s++and\s++|\s++)\d{1,6})*+)\s*+[\])}]?[.,]?",
    re.IGNORECASE,
)
_NONE = re.compile(
    r"(?:\[\s*\]|\{\s*\}|\(\s*\)|∅|none|empty(?:\s+(?:list|set))?|no\s+atoms?)[.,]?", re.IGNORECASE
)
_COUNTED = re.compile(
    r"(?P<number>\d{1,9}|[a-z-]{1,20})(?:\.0{1,9})?(?:\s+(?:[a-z-]+\s+){0,2}(?:atom|bond|cent(?:er|re)|carbon|chain|donor|acceptor|fragment"
    r"|group|heterocycle|point|position|ring|stereocent(?:er|re)|terminus|termini)s?)?[.]?",
    re.IGNORECASE,
)
"""A number, and what it counts."""
_LONGEST = 100_000


class StatedProperties(Struct, frozen=True):
    """Scores 1 if every property of the target, a JSON object, is stated with its value: the rule of `strict`."""

    kind: Kind

    def __call__(self, sample: Sample, prompt: Prompt, reply: Reply) -> Score:
        """Judge one reply."""
        wanted = {name_of(key): value for key, value in json.loads(str(sample.target)).items()}
        text, cut = visible(reply.text)
        if reply.stop == "filter" or cut:
            return unanswered(reply, "no properties stated")
        text = text[-_LONGEST:]
        stated = _named(text, wanted, self.kind) if reply.stop == "stop" or tagged(text, "answer") else None
        if stated is None:
            return self._single(wanted, reply)
        return _compared(wanted, stated, self.kind)

    def _single(self, wanted: Mapping[str, Any], reply: Reply) -> Score:
        reading = _read_one(reply, next(iter(wanted)), self.kind) if len(wanted) == 1 else None
        if reading is None:
            return unanswered(reply, "no properties stated")
        return with_reading(reading, _compared(wanted, dict.fromkeys(wanted, reading.value), self.kind))


def name_of(key: object) -> str:
    """Return a property's name without case, spaces, hyphens and underscores at its ends."""
    return re.sub(r"[\s_-]+", "_", str(key).strip().strip("`*\"'").lower()).strip("_")


def _named(text: str, wanted: Mapping[str, Any], kind: Kind) -> dict[str, Any] | None:
    """Return the stated values by name; None: no object and no line names a property, or one has two values."""
    region = tagged(text, "answer")
    for place in (region, text) if region is not None else (text,):
        stated = _object(place, wanted) or (_object(f"{{{place}}}", wanted) if place is region else None)
        stated = stated or (None if "{" in place else _lines(place, wanted, kind))
        if stated:
            return stated
    return None


def _object(text: str, wanted: Mapping[str, Any]) -> dict[str, Any] | None:
    stated = json_object(text, unique=True)
    while stated and len(stated) == 1 and isinstance(inner := next(iter(stated.values())), dict):
        stated = inner
    if not stated:
        return None
    named: dict[str, Any] = {}
    for key, value in stated.items():
        if named.setdefault(name_of(key), value) != value:
            return None
    if len(wanted) == len(named) == 1:  # the one property, whatever it is called
        return dict(zip(wanted, named.values(), strict=True))
    return named if named.keys() & wanted.keys() else None


def _lines(text: str, wanted: Mapping[str, Any], kind: Kind) -> dict[str, Any] | None:
    named: dict[str, Any] = {}
    for line in _LINE.finditer(_NEXT.sub("\n", text)):
        key, value = name_of(line[1]), line[2].strip().strip("`*|,\"' ")
        if key in wanted and named.setdefault(key, value) != value:
            return None
    return named or None


def _read_one(reply: Reply, key: str, kind: Kind) -> Reading | None:
    """Read the one value that a reply states."""
    cut = reply.stop == "length"
    if kind == "index":
        return read(reply.text, _parse_indices, truncated=cut)
    if FORMULA in key:
        return stated_formula(reply.text, is_formula, truncated=cut)
    return extract.stated_integer(reply.text, truncated=cut)


def _parse_indices(content: str, form: str) -> Any:
    value = index_set(content)
    short = form in ("box", "tag", "line", "json") and len(content) < 60
    return REFUSED if value is None and short else value


def _compared(wanted: Mapping[str, Any], stated: Mapping[str, Any], kind: Kind) -> Score:
    faults = []
    for key, gold in wanted.items():
        if key not in stated:
            faults.append(f"lacks {key}")
        elif not (_same_indices if kind == "index" else _same_count)(key, gold, stated[key]):
            faults.append(f"{key} is {gold}")
    shown = {key: sorted(value) if isinstance(value, frozenset) else value for key, value in stated.items()}
    answer = json.dumps(shown, ensure_ascii=False, default=str)[:200]
    return Score(
        value=float(not faults),
        verdict="wrong" if faults else "right",
        answer=answer,
        why="; ".join(faults)[:200],
    )


def _same_count(key: str, gold: Any, stated: Any) -> bool:
    if FORMULA in key:
        return isinstance(stated, str) and counts(stated) is not None and counts(stated) == counts(str(gold))
    number = whole_number(stated)
    return number is not None and number == whole_number(gold)


def _same_indices(key: str, gold: Any, stated: Any) -> bool:
    indices = index_set(stated)
    return indices is not None and indices == index_set(gold)


def whole_number(value: Any) -> int | None:
    """Return 5 for 5, 5.0, "5", "five" and "5 rings"; None for anything else, booleans included."""
    if isinstance(value, str):
        counted = _COUNTED.fullmatch(value.strip().strip("*`$"))
        if counted is None:
            return None
        number = (
            float(counted["number"]) if counted["number"].isdecimal() else spelled_number(counted["number"])
        )
        return None if number is None else int(number)
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return int(value) if abs(value) < 1e9 and value == int(value) else None


def index_set(value: Any) -> frozenset[int] | None:
    """Return a set of atom indices from a list of whole numbers, or a text that is one; None for anything else."""
    if isinstance(value, frozenset):
        return value
    if isinstance(value, str):
        text = value.strip().strip("*`$ ").strip()
        if _NONE.fullmatch(text):
            return frozenset()
        listed = _LIST.fullmatch(text) if len(text) < _LONGEST else None
        return frozenset(map(int, re.findall(r"\d+", listed["items"]))) if listed else None
    if not isinstance(value, list):
        return None
    numbers = [whole_number(item) for item in value]
    known = [number for number in numbers if number is not None and number >= 0]
    return frozenset(known) if len(known) == len(numbers) else None
