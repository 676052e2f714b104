"""MATH-Vision's outputs: JSON lines {id, response, model_answer, correct}."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from evals.errors import DataError
from evals.interop.files import objects
from evals.interop.foreign import Item, Source
from evals.interop.values import BROKEN, number

FORMAT = "mathvision"


def read(path: Path) -> list[Source]:
    """Read an output file; raises DataError in one line."""
    model = path.name.partition(".jsonl")[0]
    return [Source(format=FORMAT, tasks=("mathvision",), model=model, items=lambda: _items(path))]


def _items(path: Path) -> Iterator[Item]:
    for row, where in objects(path):
        try:
            yield _item(where, row)
        except BROKEN as error:
            raise DataError(f"{path}: {where}: no output of MATH-Vision ({error!r})") from None


def _item(where: str, row: dict[str, Any]) -> Item:
    said, right = row.get("response", row.get("model_answer")), row.get("correct")
    return Item(
        where=where,
        id=str(row["id"]),
        question=str(row.get("question") or ""),
        text=said if isinstance(said, str) else None,
        failure="" if isinstance(said, str) else "no response",
        score=number(right),
        answer=str(row.get("model_answer") or "")[:200],
    )
