"""Score named properties of a molecule: counts, formulas and sets of atom indices. Every property must be right.

A reply states them as a JSON object, as lines `name: value` or, for a single property, as a number ("five", "5 rings"), a
formula or a list of indices. Case is ignored in keys, and spaces, hyphens and underscores are equivalent. Indices are whole
numbers from 0.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Mapping
from typing import Any, Literal

from msgspec import Struct

from evals import extract
from evals.extract.answer_cues import confirms
from evals.extract.chemical import stated_formula
from evals.extract.layout import gives_up
from evals.extract.number_words import spelled_number
from evals.extract.reading import REJECTED, Reading, read_answer, retracts
from evals.extract.statement_mood import mood
from evals.extract.tags import json_object, last_tag
from evals.extract.visible import visible
from evals.scorers.formula import element_counts, is_formula
from evals.scorers.outcomes import binary_score, no_stated_answer, with_reading
from evals.types import Prompt, Reply, Sample, Score

Kind = Literal["count", "index"]
FORMULA = "molecular_formula"
"""Part of the name of every property that is a formula rather than a count."""
_PROPERTY_LINE = re.compile(
    r"^[\s*\-•>|\"'`]*+([A-Za-z][\w ()-]{0,80}?)[\"'`*\s]*[:=|]\s*(\S.{0,2000})$", re.MULTILINE
)
_BARE_KEY = re.compile(r"([{,]\s{0,9})([A-Za-z]\w{0,60})(?=\s{0,9}:)")
_FINAL_COMMA = re.compile(r",(\s{0,20}[}\]])")
_NAME_SEPARATOR = re.compile(r"[,;]\s+(?=[\"'`]?[A-Za-z][\w ()-]{0,60}[\"'`]?[:=])")
"""Separator before the next name on a line."""
_INDEX_LIST = re.compile(
    r"(?:(?:the|these|atoms?|indices|indexes|index|positions?|numbers?|are|at|set)\b[\s:]*+){0,5}"
    r"[\[({]?\s*+(?P<items>\d{1,6}(?:(?:\s*+,\s*+(?:and\s++)?|\s*+;\s*+|\s++and\s++|\s++)\d{1,6})*+)\s*+[\])}]?[.,]?",
    re.IGNORECASE,
)
_EMPTY_SET = re.compile(
    r"(?:\[\s*\]|\{\s*\}|\(\s*\)|∅|none|empty(?:\s+(?:list|set))?|no\s+atoms?)[.,]?", re.IGNORECASE
)
_COUNT = re.compile(
    r"(?P<number>\d{1,9}|[a-z-]{1,20})(?:\.0{1,9})?(?:\s+(?:[a-z-]+\s+){0,2}(?:atom|bond|cent(?:er|re)|carbon|chain|donor|acceptor|fragment"
    r"|group|heterocycle|point|position|ring|stereocent(?:er|re)|terminus|termini)s?)?[.]?",
    re.IGNORECASE,
)
"""A number, optionally with the noun that it counts."""
_KEY_WORDS = frozenset(
    ("number", "num", "count", "counts", "of", "the", "total", "index", "indices", "indexes")
)
"""Words of a property's name other than the noun that it counts."""
_NO_COUNT = re.compile(r"\b(?:not|n['’]t|at\s(?:least|most)|either|assum\w+|if|than|up\sto)\b", re.IGNORECASE)
"""Words in a line whose numbers need not be the counts."""
_MAX_CHARS, _MAX_LINE_CHARS = 100_000, 1_000
_MAX_ANSWER_CHARS = 60
"""From this length on, a statement that is not a list of indices is skipped instead of being rejected as the answer."""


class StatedProperties(Struct, frozen=True):
    """Scores 1 if every property of the target, a JSON object, is stated with its value: the rule of the protocol `strict`."""

    kind: Kind

    def __call__(self, sample: Sample, prompt: Prompt, reply: Reply) -> Score:
        """Score one reply."""
        gold_values = {normalise_key(key): value for key, value in json.loads(str(sample.target)).items()}
        text, truncated = visible(reply.text)
        if reply.stop == "filter" or truncated:
            return no_stated_answer(reply, "no properties stated")
        text = text[-_MAX_CHARS:]
        stated = _read_values(text, gold_values) if reply.stop == "stop" or last_tag(text, "answer") else None
        if stated is not None and _is_retracted(text):
            return no_stated_answer(reply, "no properties stated")
        if stated is None and self.kind == "count" and reply.stop == "stop":
            stated = _read_sentence(text, gold_values)
        if stated is None:
            return self._score_single(gold_values, reply)
        return _compare_values(gold_values, stated, self.kind)

    def _score_single(self, gold_values: Mapping[str, Any], reply: Reply) -> Score:
        reading = _read_single(reply, next(iter(gold_values)), self.kind) if len(gold_values) == 1 else None
        if reading is None:
            return no_stated_answer(reply, "no properties stated")
        return with_reading(
            reading, _compare_values(gold_values, dict.fromkeys(gold_values, reading.value), self.kind)
        )


def _is_retracted(text: str) -> bool:
    """Return whether the reply retracts its last answer tag, without confirming it."""
    end = text.rfind("</answer>")
    return end >= 0 and retracts(text, end) and not confirms(text, end)


def _noun(key: str) -> str:
    """Return the singular noun of a property's name: ring for `ring_count` and "number of rings"."""
    words = [word.removesuffix("s") for word in normalise_key(key).split("_") if word not in _KEY_WORDS]
    return "".join(words).removesuffix("atom")


def normalise_key(key: object) -> str:
    """Return a property's name in lower case, with one underscore for each run of spaces, hyphens and underscores."""
    return re.sub(r"[\s_-]+", "_", str(key).strip().strip("`*\"'").lower()).strip("_")


def _read_values(text: str, gold_values: Mapping[str, Any]) -> dict[str, Any] | None:
    """Return the stated values by property; None if no object or line names a property, or if one has two values."""
    tagged = last_tag(text, "answer")
    for source in (tagged, text) if tagged is not None else (text,):
        stated = _read_object(source, gold_values)
        if not stated and source is tagged:
            stated = _read_object(f"{{{source}}}", gold_values)
        if not stated and "{" not in source:
            stated = _read_lines(source, gold_values)
        if stated:
            return stated
    return None


def _read_object(text: str, gold_values: Mapping[str, Any]) -> dict[str, Any] | None:
    """Return the values of a JSON object by normalised key; None if it repeats a key or names no property of the target."""
    stated = json_object(text, unique=True) or json_object(_repair_json(text), unique=True)
    while stated and len(stated) == 1 and isinstance(inner := next(iter(stated.values())), dict):
        stated = inner
    if not stated:
        return None
    values: dict[str, Any] = {}
    for key, value in stated.items():
        if values.setdefault(normalise_key(key), value) != value:
            return None
    if len(gold_values) == len(values) == 1:  # a single property may have any name
        return dict(zip(gold_values, values.values(), strict=True))
    return values if values.keys() & gold_values.keys() else None


def _repair_json(text: str) -> str:
    """Return a text with Python's and LaTeX's notation rewritten as JSON, and without trailing commas."""
    text = text.replace("\\boxed{", " ").replace("\\_", "_").replace("\\{", "{").replace("\\}", "}")
    if '"' not in text:
        text = _BARE_KEY.sub(r'\1"\2"', text.replace("'", '"'))
    return _FINAL_COMMA.sub(r"\1", text)


def _read_lines(text: str, gold_values: Mapping[str, Any]) -> dict[str, Any] | None:
    """Return the values of lines such as `ring_count: 2` or `Rings: 2` by property; None if none is named or one has two values."""
    values: dict[str, Any] = {}
    noun_counts = Counter(map(_noun, gold_values))
    key_by_noun = {_noun(key): key for key in gold_values if noun_counts[_noun(key)] == 1}
    for line in _PROPERTY_LINE.finditer(_NAME_SEPARATOR.sub("\n", text)):
        key, value = normalise_key(line[1]), line[2].strip().strip("`*|,\"' ")
        if key not in gold_values and (whole_number(value) is not None or index_set(value) is not None):
            key = key_by_noun.get(_noun(key), key)
        if key in gold_values and values.setdefault(key, value) != value:
            return None
    return values or None


def _read_sentence(text: str, gold_values: Mapping[str, Any]) -> dict[str, Any] | None:
    """Read "The molecule has 5 rings and no chain." in the last line; None unless it gives one count of each property."""
    line = text.rstrip()[-_MAX_LINE_CHARS:].rpartition("\n")[2]
    if gives_up(line) or line.endswith("?") or _NO_COUNT.search(line):
        return None
    values = {}
    for key in gold_values:
        noun = r"[\s-]?".join(map(re.escape, normalise_key(key).removesuffix("_count").split("_")))
        counts = re.finditer(
            rf"(?<![\w.])(\d{{1,4}}|no|[a-z]{{3,9}})[*_]{{0,2}}\s{noun}s?(?![\w-])", line, re.IGNORECASE
        )
        numbers = {
            (0 if count[1].lower() == "no" else whole_number(count[1]))
            if mood(line, *count.span()) == "asserted"
            else None
            for count in counts
        }
        if len(numbers) != 1 or None in numbers:
            return None
        values[key] = numbers.pop()
    return values


def _read_single(reply: Reply, key: str, kind: Kind) -> Reading | None:
    """Read the value of a single property, stated without its name."""
    truncated = reply.stop == "length"
    if kind == "index":
        return read_answer(reply.text, _parse_indices, truncated=truncated)
    if FORMULA in key:
        return stated_formula(reply.text, is_formula, truncated=truncated)
    return extract.stated_integer(reply.text, truncated=truncated)


def _parse_indices(content: str, form: str) -> Any:
    value = index_set(content)
    is_short = form in ("box", "tag", "line", "json") and len(content) < _MAX_ANSWER_CHARS
    return REJECTED if value is None and is_short else value


def _compare_values(gold_values: Mapping[str, Any], stated: Mapping[str, Any], kind: Kind) -> Score:
    faults = []
    for key, gold in gold_values.items():
        if key not in stated:
            faults.append(f"lacks {key}")
        elif not (_same_indices if kind == "index" else _same_count)(key, gold, stated[key]):
            faults.append(f"{key} should be {gold}")
    json_values = {
        key: sorted(value) if isinstance(value, frozenset) else value for key, value in stated.items()
    }
    answer = json.dumps(json_values, ensure_ascii=False, default=str)[:200]
    return binary_score(right=not faults, answer=answer, why="; ".join(faults)[:200])


def _same_count(key: str, gold: Any, stated: Any) -> bool:
    if FORMULA in key:
        return (
            isinstance(stated, str)
            and element_counts(stated) is not None
            and element_counts(stated) == element_counts(str(gold))
        )
    number = whole_number(stated)
    return number is not None and number == whole_number(gold)


def _same_indices(key: str, gold: Any, stated: Any) -> bool:
    indices = index_set(stated)
    return indices is not None and indices == index_set(gold)


def whole_number(value: Any) -> int | None:
    """Return the whole number in a value such as 5, 5.0, "5", "five" or "5 rings"; None for anything else, including booleans."""
    if isinstance(value, str):
        match = _COUNT.fullmatch(value.strip().strip("*`$"))
        if match is None:
            return None
        number = float(match["number"]) if match["number"].isdecimal() else spelled_number(match["number"])
        return None if number is None else int(number)
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return int(value) if abs(value) < 1e9 and value == int(value) else None


def index_set(value: Any) -> frozenset[int] | None:
    """Return the atom indices in a list of whole numbers, or in a text such as "[0, 2]"; None for any other value."""
    if isinstance(value, frozenset):
        return value
    if isinstance(value, str):
        text = value.strip().strip("*`$ ").strip()
        if _EMPTY_SET.fullmatch(text):
            return frozenset()
        listed = _INDEX_LIST.fullmatch(text) if len(text) < _MAX_CHARS else None
        return frozenset(map(int, re.findall(r"\d+", listed["items"]))) if listed else None
    if not isinstance(value, list):
        return None
    numbers = [whole_number(item) for item in value]
    valid = [number for number in numbers if number is not None and number >= 0]
    return frozenset(valid) if len(valid) == len(numbers) else None
