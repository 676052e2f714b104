"""Samples from plain rows, for `Suite.of`."""

from __future__ import annotations

import string
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from evals.data.sources import read_file
from evals.errors import DataError
from evals.types import Sample, Text

QUESTION_COLUMNS = ("question", "input", "prompt", "problem")
TARGET_COLUMNS = ("target", "answer", "label", "gold")
CHOICES_COLUMNS = ("choices", "options")
"""Accepted column names; the first that exists is used."""


def samples(rows: Iterable[Mapping[str, Any]] | str | Path) -> list[Sample]:
    """Return a sample per row; `rows` may be a JSON Lines, CSV or Parquet file. Raises DataError.

    A row has a question and a target, and optionally `id` (default: its number), `choices` and `group`. With choices, the
    target is the letter, the index from 0, or the text of a choice.
    """
    if isinstance(rows, str | Path):
        rows = read_file(Path(rows))
    return list(_samples(rows))


def _samples(rows: Iterable[Mapping[str, Any]]) -> Iterator[Sample]:
    for number, row in enumerate(rows, 1):
        if not isinstance(row, Mapping):
            raise DataError(
                f"row {number} is {type(row).__name__}, not a mapping with a question and a target"
            )
        choices = tuple(map(str, _first_value(row, CHOICES_COLUMNS) or ()))
        target = _first_value(row, TARGET_COLUMNS)
        if target is None:
            raise DataError(f"row {number} has no target; it has {', '.join(map(str, row)) or 'nothing'}")
        question = _first_value(row, QUESTION_COLUMNS)
        yield Sample(
            id=str(row.get("id", number)),
            question=(Text("" if question is None else str(question)),),
            target=_gold_letter(target, choices, number) if choices else _gold_answer(target),
            choices=choices,
            group=str(row.get("group") or row.get("subject") or ""),
            meta={"row": {str(key): value for key, value in row.items()}},
        )


def _first_value(row: Mapping[str, Any], names: Sequence[str]) -> Any:
    return next((row[name] for name in names if row.get(name) is not None), None)


def _gold_answer(target: Any) -> str | float | tuple[str, ...]:
    if isinstance(target, list | tuple):
        return tuple(map(str, target))
    return float(target) if isinstance(target, float) else str(target)


def _gold_letter(target: Any, choices: Sequence[str], number: int) -> str:
    letters = string.ascii_uppercase[: len(choices)]
    if isinstance(target, int) and not isinstance(target, bool) and 0 <= target < len(choices):
        return letters[target]
    if str(target) in choices:
        return letters[list(choices).index(str(target))]
    if len(str(target)) == 1 and str(target) in letters:
        return str(target)
    raise DataError(f"row {number}: the target {target!r} is not one of its choices")
