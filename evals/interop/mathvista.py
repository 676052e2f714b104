"""MathVista's outputs: one JSON object, `pid` -> {response, extraction, prediction, true_false ...}."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from evals.errors import DataError
from evals.interop.files import document
from evals.interop.foreign import Item, Source
from evals.interop.values import number

FORMAT = "mathvista"


def read(path: Path) -> list[Source]:
    """Read an output file; raises DataError in one line."""
    model = path.name.partition(".json")[0].removeprefix("output_")
    return [Source(format=FORMAT, tasks=("mathvista",), model=model, items=lambda: _items(path))]


def _items(path: Path) -> Iterator[Item]:
    found = document(path)
    if not isinstance(found, dict) or not all(isinstance(row, dict) for row in found.values()):
        raise DataError(f"{path}: no output of MathVista, which is an object by pid")
    for name, row in found.items():
        yield _item(f"{path.name}, {name}", str(row.get("pid", name)), row)


def _item(where: str, name: str, row: dict[str, Any]) -> Item:
    said, right = row.get("response"), row.get("true_false")
    failed = not isinstance(said, str) or bool(row.get("error"))
    options = row.get("choices")
    return Item(
        where=where,
        id=name,
        question=str(row.get("question") or ""),
        options=tuple(map(str, options)) if isinstance(options, list) else (),
        text=None if failed else said,
        failure=str(row.get("error") or "no response")[:200] if failed else "",
        score=number(right),
        answer=str(row.get("extraction") or "")[:200],
        extracted=row["extraction"] if isinstance(row.get("extraction"), str) and not failed else None,
    )
