"""MATH-Vision's outputs: JSON lines {id, response, model_answer, correct}."""

from __future__ import annotations

import gzip
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec

from evals.errors import DataError
from evals.interop.foreign import Item, Source
from evals.interop.values import BROKEN, number

FORMAT = "mathvision"


def read(path: Path) -> list[Source]:
    """Read an output file; raises DataError in one line."""
    model = path.name.partition(".jsonl")[0]
    return [Source(format=FORMAT, tasks=("mathvision",), model=model, items=lambda: _items(path))]


def _items(path: Path) -> Iterator[Item]:
    decode = msgspec.json.Decoder(dict[str, Any]).decode
    place = 0
    try:
        with gzip.open(path) if path.name.endswith(".gz") else path.open("rb") as stream:
            for place, line in enumerate(stream, 1):
                if line.strip():
                    yield _item(f"{path.name}, line {place}", decode(line))
    except (OSError, *BROKEN) as error:
        raise DataError(f"{path}, line {place}: no output of MATH-Vision ({error})") from None


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
