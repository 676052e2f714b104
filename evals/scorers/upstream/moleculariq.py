"""MolecularIQ's comparison of counts and atom indices, with its known defects.

Sources: ml-jku/moleculariq-core @ a1b89635, rewards/count_reward.py and index_reward.py; the answer is the text of the last
`<answer>` tag (ml-jku/moleculariq-eval @ 425ecaaa) or, with `first`, of the first one, to which missing braces are added
(OpenCompass @ a5acc4bb, datasets/moleculariq). All properties must be right. Known defects:

* for a single property, any key or a value without a key is accepted; for several, keys are matched by name;
* `[0.9, -3, "x", 2]` is the set {0, 2}: fractions are truncated; negative numbers and texts, even `"2"`, are ignored;
* "none", "empty" and an empty answer are the empty set;
* rings are RDKit's symmetrised set, so bicyclo[2.1.1]hexane has three (`strict` has the same targets);
* formulas are split at two letters regardless of case: C6H5NO2 has 2 "No" and does not equal C6H5O2N, and CO equals Co.

Not implemented: upstream's table of key synonyms, since the prompt asks for exact keys, and the authors' fallbacks for
replies without a tag.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any, Literal

from msgspec import Struct

from evals.extract.visible import visible
from evals.scorers.outcomes import binary_score, no_stated_answer
from evals.types import Prompt, Reply, Sample, Score

FORMULA = "molecular_formula"
_OPENING_TAG, _CLOSING_TAG = re.compile("<answer>", re.IGNORECASE), re.compile("</answer>", re.IGNORECASE)
_MAX_CHARS = 100_000
_SUBSCRIPTS = str.maketrans("₀₁₂₃₄₅₆₇₈₉", "0123456789", " -·")
_ELEMENT = re.compile(r"([a-z]{1,2})(\d*)", re.IGNORECASE)
_EMPTY_SET = frozenset(("none", "empty", "[]", "()", "{}", ""))


class Compared(Struct, frozen=True):
    """Scores 1 if all counts, or all sets of indices, in a reply's tag equal those of the target, a JSON object."""

    kind: Literal["count", "index"]
    first: bool = False
    """Whether the first tag counts and missing braces are added, as in OpenCompass."""

    def __call__(self, sample: Sample, prompt: Prompt, reply: Reply) -> Score:
        """Score one reply."""
        content = None if reply.stop == "filter" else tag_content(visible(reply.text).text, first=self.first)
        if not content:
            return no_stated_answer(reply, "no <answer> tag")
        stated = _parse_with_braces(content) if self.first else content
        gold_values = {normalise_key(key): value for key, value in json.loads(str(sample.target)).items()}
        right = (counts_match if self.kind == "count" else indices_match)(stated, gold_values)
        return binary_score(right=right, answer=content[:200])


def normalise_key(name: object) -> str:
    """Return a property's key in lower case, with underscores for spaces."""
    return "_".join(str(name).lower().split())


def tag_content(text: str, *, first: bool) -> str | None:
    """Return the text between the first or the last opening `<answer>` tag and the next closing one."""
    openings = list(_OPENING_TAG.finditer(text))
    if not openings:
        return None
    begin = openings[0 if first else -1].end()
    closing = _CLOSING_TAG.search(text, begin)
    return text[begin : closing.start()].strip()[:_MAX_CHARS] if closing else None


def _parse_with_braces(content: str) -> Any:
    """Return the JSON object in a tag, with missing braces added; if that fails, the text of the tag."""
    candidates = [content] if content.startswith("{") else []
    candidates.append(f"{{{content}}}")
    if not content.startswith("{") and content.endswith("}"):
        candidates.append(f"{{{content}")
    for text in candidates:
        stated = _parse_json(text)
        if stated is not None:
            return stated
    return content


def _parse_json(text: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return None


# --- counts ---------------------------------------------------------------------------------------------------


def counts_match(stated: Any, gold_values: Mapping[str, Any]) -> bool:
    """Return whether every gold value is stated: a number within 1e-6, the same text, or a formula with equal element counts."""
    stated_values = _named_values(stated)
    if len(gold_values) > 1:
        return stated_values is not None and all(
            _same_value(key, gold, stated_values.get(key)) for key, gold in gold_values.items()
        )
    ((key, gold),) = gold_values.items()
    if _as_float(stated) is not None:
        return _same_value(key, gold, stated)
    if stated_values is None:
        return FORMULA in key and isinstance(stated, str) and _same_value(key, gold, stated)
    only_value = next(iter(stated_values.values())) if len(stated_values) == 1 else None
    return _same_value(key, gold, stated_values.get(key, only_value))


def _named_values(stated: Any) -> dict[str, Any] | None:
    """Return the values by key of an object, JSON text or `key: value` pairs; None if there are no keys or one is repeated."""
    if isinstance(stated, dict):
        pairs = list(stated.items())
    else:
        pairs = _parse_pairs(stated) if isinstance(stated, str) else []
    values = {normalise_key(key): value for key, value in pairs}
    return values if values and len(values) == len(pairs) else None


def _parse_pairs(text: str) -> list[tuple[str, Any]]:
    objects: list[list[tuple[str, Any]]] = []

    def keep_pairs(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        objects.append(pairs)
        return dict(pairs)

    try:
        if isinstance(json.loads(text, object_pairs_hook=keep_pairs), dict):
            return objects[-1]
    except (ValueError, RecursionError):
        pass
    pairs = (part.split(":", 1) for part in re.split(r"[;,\n]", text) if ":" in part)
    return [(key.strip(), value.strip()) for key, value in pairs if key.strip()]


def _as_float(value: Any) -> float | None:
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return None
    try:
        return float(value)
    except (ValueError, OverflowError):
        return None


def _same_value(key: str, gold: Any, stated: Any) -> bool:
    if stated is None:
        return False
    if FORMULA in key:
        return _element_counts(str(gold)) == _element_counts(str(stated))
    numbers = _as_float(gold), _as_float(stated)
    if numbers[0] is not None and numbers[1] is not None:
        return abs(numbers[0] - numbers[1]) <= 1e-6
    return str(gold).strip() == str(stated).strip()


def _element_counts(formula: str) -> dict[str, int] | str:
    counts: dict[str, int] = {}
    try:
        for symbol, count in _ELEMENT.findall(formula.translate(_SUBSCRIPTS)[:_MAX_CHARS]):
            counts[symbol.title()] = counts.get(symbol.title(), 0) + (int(count) if count else 1)
    except ValueError:  # a count of thousands of digits
        return formula
    return counts


# --- indices --------------------------------------------------------------------------------------------------


def indices_match(stated: Any, gold_values: Mapping[str, Any]) -> bool:
    """Return whether every gold set of indices is stated."""
    gold_sets = {key: set(map(int, indices)) for key, indices in gold_values.items()}
    if len(gold_sets) == 1:
        (gold_set,) = gold_sets.values()
        return _index_set(_single_list(stated)) == gold_set
    stated_lists = _named_lists(stated)
    return stated_lists is not None and all(
        _index_set(stated_lists.get(key)) == indices for key, indices in gold_sets.items()
    )


def _single_list(stated: Any) -> Any:
    if isinstance(stated, str):
        text = stated.strip()
        if (indices := _parse_indices(text)) is not None:
            return indices
        parsed = _parse_json(text)
        stated = text.partition(":")[2] if parsed is None and ":" in text else parsed
    return next(iter(stated.values())) if isinstance(stated, dict) and len(stated) == 1 else stated


def _named_lists(stated: Any) -> dict[str, Any] | None:
    if isinstance(stated, str):
        parsed = _parse_json(stated)
        pairs = (part.strip().partition(":")[::2] for part in stated.split(";") if ":" in part)
        stated = {key.strip(): value for key, value in pairs} if parsed is None else parsed
    if not isinstance(stated, dict):
        return None
    lists = {normalise_key(key): value for key, value in stated.items()}
    return lists if len(lists) == len(stated) else None


def _index_set(value: Any) -> set[int] | None:
    indices = _parse_indices(value) if isinstance(value, str) else value
    if not isinstance(indices, list):
        return None
    numbers = (index for index in indices if isinstance(index, int | float))
    return {int(number) for number in numbers if 0 <= number < float("inf")}


def _parse_indices(text: str) -> list[int] | None:
    """Return the indices in `0, 2`, with or without brackets; None for any other text or a negative index."""
    if text.strip().lower() in _EMPTY_SET:
        return []
    unbracketed = re.sub(r"^[\[({]|[\])}]$", "", text.strip())
    try:
        indices = [int(part) for part in unbracketed.split(",") if part.strip()]
    except ValueError:
        return None
    return None if any(index < 0 for index in indices) else indices
