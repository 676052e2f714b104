"""Samples from plain rows, for `Suite.of`."""

from __future__ import annotations

import string
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from math import isnan
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import msgspec

from evals.data.sources import read_file
from evals.errors import DataError
from evals.types import Sample, Text

QUESTION_COLUMNS = ("question", "input", "prompt", "problem")
TARGET_COLUMNS = ("target", "answer", "label", "gold")
CHOICES_COLUMNS = ("choices", "options")
"""Accepted column names; the first that exists is used."""
FRAME_HINT = "; rows of a data frame: frame.to_dict('records')"


def samples(rows: Iterable[Mapping[str, Any]] | str | Path) -> list[Sample]:
    """Return a sample per row; `rows` may be a JSON Lines, CSV or Parquet file. Raises DataError.

    A row has a question and a target, and optionally `id` (default: its number), `choices` (a list, or a JSON list as text)
    and `group`. With choices, the target is the letter, the index from 0, or the text of a choice. Cells without a value in
    a table of pandas (NaN) are missing.
    """
    if isinstance(rows, str | Path):
        rows = read_file(Path(rows))
    return list(_samples(rows))


def has_question(sample: Sample) -> bool:
    """Return whether the row of a sample has a question."""
    return any(isinstance(part, Text) and part.text.strip() for part in sample.question)


def _samples(rows: Iterable[Mapping[str, Any]]) -> Iterator[Sample]:
    for number, row in enumerate(rows, 1):
        if not isinstance(row, Mapping):
            raise DataError(
                f"row {number} is {type(row).__name__}, not a mapping with a question and a target{FRAME_HINT if hasattr(rows, 'to_dict') else ''}"
            )
        row = {str(key): _plain_value(value) for key, value in row.items()}
        choices = _choices(_first_value(row, CHOICES_COLUMNS), number)
        target, question = _first_value(row, TARGET_COLUMNS), _first_value(row, QUESTION_COLUMNS)
        if target is None:
            present = [name for name, value in row.items() if value is not None]
            raise DataError(
                f"row {number} has no {' or '.join(TARGET_COLUMNS)}; it has {', '.join(present) or 'nothing'}"
            )
        yield Sample(
            id=str(number if row.get("id") is None else row["id"]),
            question=(Text("" if question is None else str(question)),),
            target=_gold_letter(target, choices, number) if choices else _gold_answer(target),
            choices=choices,
            group=str(row.get("group") or row.get("subject") or ""),
            meta={"row": row},
        )


@runtime_checkable
class _Array(Protocol):
    """A number or an array of numpy."""

    def tolist(self) -> Any:
        """Return it as Python's own numbers and lists."""
        ...


def _plain_value(value: Any) -> Any:
    """Return a value as JSON can represent it; None for NaN."""
    value = value.tolist() if isinstance(value, _Array) else value
    return None if isinstance(value, float) and isnan(value) else value


def _choices(value: Any, number: int) -> tuple[str, ...]:
    """Return the choices of a row; raises DataError for anything but a list, or a JSON list as text."""
    if isinstance(value, str) and value.strip():
        with suppress(msgspec.DecodeError):
            value = msgspec.json.decode(value)
    if not value:
        return ()
    if not isinstance(value, list | tuple):
        raise DataError(f"row {number}: its choices must be a list, got {value!r:.80}")
    return tuple(map(str, value))


def _first_value(row: Mapping[str, Any], names: Sequence[str]) -> Any:
    return next((row[name] for name in names if row.get(name) is not None), None)


def _gold_answer(target: Any) -> str | float | tuple[str, ...]:
    if isinstance(target, list | tuple):
        return tuple(map(str, target))
    return float(target) if isinstance(target, float) else str(target)


def _gold_letter(target: Any, choices: Sequence[str], number: int) -> str:
    letters = string.ascii_uppercase[: len(choices)]
    if isinstance(target, float) and target.is_integer():  # an index in a table with missing values
        target = int(target)
    if isinstance(target, int) and not isinstance(target, bool) and 0 <= target < len(choices):
        return letters[target]
    if str(target) in choices:
        return letters[list(choices).index(str(target))]
    if len(str(target)) == 1 and str(target) in letters:
        return str(target)
    raise DataError(f"row {number}: the target {target!r} is not one of its choices")
