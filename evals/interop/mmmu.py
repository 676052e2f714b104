"""The outputs of MMMU's and MMMU-Pro's own scripts (MMMU-Benchmark/MMMU @ bb0b95a9).

MMMU: a folder with `<subject>/output.json`, each an array of {id, question_type, all_choices, index2ans, response}, or
one such file, or an object id -> parsed answer (`answer_dict`, `total_val_output.json`), in which the letter is all that
is left of the reply. MMMU-Pro: JSON lines with `response`, `pred_indexs`, `if_right`, of which the file's name says the
setting: `<model>_<standard_10_options|vision>_<cot|direct>.jsonl`.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from evals.errors import DataError
from evals.interop.files import below, document, objects
from evals.interop.foreign import Item, Source

FORMAT = "mmmu"
PRO = {"_standard": "mmmu_pro_standard", "_vision": "mmmu_pro_vision"}
"""A piece of the file's name -> task; four options are not asked by any suite of ours."""


def read(path: Path) -> list[Source]:
    """Read a folder of subjects or a file; raises DataError in one line."""
    if ".jsonl" in path.name:
        return [_pro(path)]
    files = sorted(below(path, "*/output.json")) if path.is_dir() else [path]
    if not files:
        raise DataError(f"{path}: no <subject>/output.json there")
    return [
        Source(
            format=FORMAT,
            tasks=("mmmu_val",),
            model=path.name.partition(".json")[0].removesuffix("_val"),
            items=lambda: (item for file in files for item in _items(file)),
        )
    ]


def _items(path: Path) -> Iterator[Item]:
    found = document(path)
    if isinstance(found, dict):
        for name, answer in found.items():
            yield Item(where=f"{path.name}, {name}", id=name, **_said(answer))
        return
    for number, row in enumerate(found if isinstance(found, list) else (), 1):
        where = f"{path.parent.name}/{path.name}, {number}"
        if not isinstance(row, dict) or "id" not in row:
            raise DataError(f"{path}: no output of MMMU, which has an id in every entry")
        choices = row.get("index2ans")
        yield Item(
            where=where,
            id=str(row["id"]),
            options=tuple(map(str, choices.values())) if isinstance(choices, dict) else (),
            gold=_text(row.get("answer")),
            **_said(row.get("response")),
        )


def _pro(path: Path) -> Source:
    stem = path.name.partition(".jsonl")[0]
    place, task = max(((stem.rfind(piece), task) for piece, task in PRO.items()), default=(-1, ""))
    if place < 0 or "4_options" in stem:
        raise DataError(f"{path}: its name says neither standard_10_options nor vision")
    return Source(format=FORMAT, tasks=(task,), model=stem[:place], items=lambda: _lines(path))


def _lines(path: Path) -> Iterator[Item]:
    for row, where in objects(path):
        if "id" not in row:
            raise DataError(f"{path}: {where}: no output of MMMU-Pro, which has an id in every line")
        right = row.get("if_right")
        yield Item(
            where=where,
            id=str(row["id"]),
            gold=_text(row.get("answer")),
            score=float(right) if isinstance(right, bool) else None,
            answer=_text(row.get("pred_indexs")),
            **_said(row.get("response")),
        )


def _said(value: Any) -> dict[str, Any]:
    text = value if isinstance(value, str) else None
    return {"text": text, "failure": "" if text is not None else "no reply"}


def _text(value: Any) -> str:
    return value[:200] if isinstance(value, str) else ""
