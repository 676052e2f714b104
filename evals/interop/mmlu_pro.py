"""MMLU-Pro's own outputs: a JSON array of the items, each with the reply and the letter that was read.

TIGER-AI-Lab/MMLU-Pro @ f418b116 (eval_results/, evaluate_from_api.py, evaluate_from_local.py): one file of all subjects,
as it is or zipped, or a folder with `<subject>_result.json` per subject. The reply is `model_outputs` or, in older files,
`generated_text`. Where `pred` is null upstream draws a letter when it counts: no score of theirs is stated for such a
reply.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
from msgspec import Struct

from evals.errors import DataError
from evals.interop.foreign import Item, Source, unpacked

FORMAT = "mmlu-pro"
REPLIES = ("model_outputs", "generated_text")
_DRESS = re.compile(r"^model_outputs_|_\d+-?shots?$|\.json$|\.zip$|\.gz$")


class Row(Struct, frozen=True):
    """What is read of an item."""

    question_id: int | str
    question: str = ""
    options: list[str] = []
    answer: str | None = None
    pred: str | None = None
    model_outputs: Any = None
    generated_text: Any = None


def read(path: Path) -> list[Source]:
    """Read a file or a folder of subjects; raises DataError in one line."""
    files = sorted(path.glob("*_result.json")) if path.is_dir() else [path]
    if not files:
        raise DataError(f"{path}: no <subject>_result.json there")
    name = path.name
    while (bare := _DRESS.sub("", name)) != name:
        name = bare
    return [
        Source(
            format=FORMAT,
            tasks=("mmlu_pro",),
            model=name,
            items=lambda: (item for file in files for item in _items(file)),
        )
    ]


def _items(path: Path) -> Iterator[Item]:
    try:
        rows = msgspec.json.decode(unpacked(path), type=list[Row])
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise DataError(f"{path}: no output of MMLU-Pro ({error})") from None
    for number, row in enumerate(rows, 1):
        yield _item(f"{path.name}, {number}", row)


def _item(where: str, row: Row) -> Item:
    said = row.generated_text if row.model_outputs is None else row.model_outputs
    text = said if isinstance(said, str) else None
    judged = row.pred is not None and row.answer is not None and text is not None
    return Item(
        where=where,
        id=str(row.question_id),
        question=row.question,
        options=tuple(row.options),
        text=text,
        failure="" if text is not None else "no reply",
        gold=row.answer or "",
        score=float(row.pred == row.answer) if judged else None,
        answer=row.pred or "",
    )
