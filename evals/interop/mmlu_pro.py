"""MMLU-Pro's own outputs: a JSON array of the items, each with the reply and the letter that was read.

TIGER-AI-Lab/MMLU-Pro @ f418b116 (eval_results/, evaluate_from_api.py, evaluate_from_local.py): one file of all subjects,
as it is or zipped, or a folder or archive with `<subject>_result.json` per subject, beside which summaries lie. The reply is `model_outputs` or, in older files,
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
from evals.interop.files import below, contents, document
from evals.interop.foreign import Item, Source
from evals.interop.values import BROKEN, decoded, number

FORMAT = "mmlu-pro"
PART = "_result.json"
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
    files = sorted(below(path, f"*{PART}")) if path.is_dir() else [path]
    if not files:
        raise DataError(f"{path}: no <subject>{PART} there")
    name = path.name
    while (bare := _DRESS.sub("", name)) != name:
        name = bare
    return [
        Source(
            format=FORMAT,
            tasks=("mmlu_pro",),
            model=name,
            items=lambda: (item for file in files for item in _items(file)),
            stated=_stated(path / "summary.json"),
        )
    ]


def _stated(path: Path) -> dict[str, float]:
    """Give the accuracy over all subjects, in which what could not be read was drawn by lot."""
    found = document(path) if path.is_file() else {}
    total = found.get("total") if isinstance(found, dict) else None
    score = number(total.get("acc")) if isinstance(total, dict) else None
    return {} if score is None else {"mmlu_pro accuracy with letters drawn by lot": score}


def _items(path: Path) -> Iterator[Item]:
    files = list(contents(path))
    for name, raw in files:
        if len(files) > 1 and not name.endswith(PART):
            continue
        try:
            rows = msgspec.convert(decoded(raw), type=list[Row])
        except BROKEN as error:
            raise DataError(f"{path}: no output of MMLU-Pro ({error})") from None
        for place, row in enumerate(rows, 1):
            yield _item(f"{name}, {place}", row)


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
