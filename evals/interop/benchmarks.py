"""Output files of the benchmark authors' scripts: MathVista, MATH-Vision, MMLU-Pro, MMMU and MMMU-Pro.

- MathVista: a JSON object `pid` -> {response, extraction, true_false ...}.
- MATH-Vision: JSON lines {id, response, model_answer, correct}.
- MMLU-Pro (TIGER-AI-Lab/MMLU-Pro @ f418b116): an array of items with `model_outputs` (older: `generated_text`) and `pred`,
  one file of all subjects, maybe zipped, or `<subject>_result.json` in a folder or archive. If `pred` is null, upstream
  scores a random letter, so the reply has no stated score.
- MMMU (MMMU-Benchmark/MMMU @ bb0b95a9): `<subject>/output.json`, an array of {id, index2ans, response}, or an object
  id -> parsed answer, which is then read as the reply.
- MMMU-Pro: JSON lines with `response`, `pred_indexs`, `if_right`; the setting is part of the file's name,
  `<model>_<standard_10_options|vision>_<cot|direct>.jsonl`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from evals.errors import DataError
from evals.interop.files import chosen, contents, document, object_of, objects, optional
from evals.interop.foreign import Item, Source, items
from evals.interop.values import BROKEN, decode_json, listing, mapping, number

MMLU_PRO_PART = "_result.json"
_MMLU_PRO_NAME = re.compile(r"^model_outputs_|_\d+-?shots?$|\.json$|\.zip$|\.gz$")
MMMU_PRO = {"_standard": "mmmu_pro_standard", "_vision": "mmmu_pro_vision"}
"""Part of the file's name -> task; no suite of ours asks with four options."""


def _reply(value: Any, missing: str = "no reply") -> dict[str, Any]:
    return {"text": value, "failure": ""} if isinstance(value, str) else {"text": None, "failure": missing}


def _short(value: Any) -> str:
    return value[:200] if isinstance(value, str) else ""


# --- MathVista, MATH-Vision ----------------------------------------------------------------------------------------


def mathvista(path: Path) -> list[Source]:
    """Read an output file of MathVista; raises DataError."""
    model = path.name.partition(".json")[0].removeprefix("output_")

    def rows() -> Iterator[Item]:
        entries = object_of(path, "output of MathVista")
        located = ((row, f"{path.name}, {name}") for name, row in entries.items())
        return items(path, located, _mathvista, "output of MathVista")

    return [Source(format="mathvista", tasks=("mathvista",), model=model, items=rows)]


def _mathvista(row: dict[str, Any], where: str) -> Iterator[Item]:
    response = None if row.get("error") else row.get("response")
    extraction = row.get("extraction")
    yield Item(
        where=where,
        id=str(row.get("pid", where.rpartition(", ")[2])),
        question=str(row.get("question") or ""),
        options=tuple(map(str, listing(row.get("choices")))),
        **_reply(response, str(row.get("error") or "no response")[:200]),
        score=number(row.get("true_false")),
        answer=str(extraction or "")[:200],
        extracted=extraction if isinstance(extraction, str) and isinstance(response, str) else None,
    )


def mathvision(path: Path) -> list[Source]:
    """Read an output file of MATH-Vision; raises DataError."""
    model = path.name.partition(".jsonl")[0]

    def rows() -> Iterator[Item]:
        return items(path, objects(path), _mathvision, "output of MATH-Vision")

    return [Source(format="mathvision", tasks=("mathvision",), model=model, items=rows)]


def _mathvision(row: dict[str, Any], where: str) -> Iterator[Item]:
    yield Item(
        where=where,
        id=str(row["id"]),
        question=str(row.get("question") or ""),
        **_reply(row.get("response", row.get("model_answer")), "no response"),
        score=number(row.get("correct")),
        answer=str(row.get("model_answer") or "")[:200],
    )


# --- MMLU-Pro ------------------------------------------------------------------------------------------------------


def mmlu_pro(path: Path) -> list[Source]:
    """Read an output file of MMLU-Pro, or a folder of subjects; raises DataError."""
    files = chosen(path, f"*{MMLU_PRO_PART}", wanted=f"<subject>{MMLU_PRO_PART}")
    name = path.name
    while (stripped := _MMLU_PRO_NAME.sub("", name)) != name:
        name = stripped
    total = mapping(optional(path / "summary.json", "summary of MMLU-Pro").get("total"))
    score = number(total.get("acc"))
    return [
        Source(
            format="mmlu-pro",
            tasks=("mmlu_pro",),
            model=name,
            items=lambda: (item for file in files for item in _subjects(file)),
            stated={} if score is None else {"mmlu_pro accuracy with letters drawn by lot": score},
        )
    ]


def _subjects(path: Path) -> Iterator[Item]:
    files = list(contents(path))
    for name, raw in files:
        if len(files) > 1 and not name.endswith(MMLU_PRO_PART):
            continue
        try:
            rows = decode_json(raw)
            if not isinstance(rows, list):
                raise TypeError("not a list")
        except BROKEN as error:
            raise DataError(f"{path}: no output of MMLU-Pro ({error})") from None
        located = ((row, f"{name}, {number}") for number, row in enumerate(rows, 1))
        yield from items(path, located, _mmlu_pro, "output of MMLU-Pro")


def _mmlu_pro(row: dict[str, Any], where: str) -> Iterator[Item]:
    text = row.get("generated_text") if row.get("model_outputs") is None else row["model_outputs"]
    gold, answer = _short(row.get("answer")), _short(row.get("pred"))
    yield Item(
        where=where,
        id=str(row["question_id"]),
        question=str(row.get("question") or ""),
        options=tuple(map(str, listing(row.get("options")))),
        **_reply(text),
        gold=gold,
        score=float(answer == gold) if answer and gold and isinstance(text, str) else None,
        answer=answer,
    )


# --- MMMU, MMMU-Pro ------------------------------------------------------------------------------------------------


def mmmu(path: Path) -> list[Source]:
    """Read a folder of subjects or a file of MMMU, or a file of MMMU-Pro; raises DataError."""
    if ".jsonl" in path.name:
        return [_mmmu_pro(path)]
    files = chosen(path, "*/output.json", wanted="<subject>/output.json")
    model = path.name.partition(".json")[0].removesuffix("_val")

    def rows() -> Iterator[Item]:
        for file in files:
            content = document(file)
            if isinstance(content, dict):
                for name, answer in content.items():
                    yield Item(where=f"{file.name}, {name}", id=name, **_reply(answer))
                continue
            located = (
                (row, f"{file.parent.name}/{file.name}, {n}") for n, row in enumerate(listing(content), 1)
            )
            yield from items(file, located, _mmmu, "output of MMMU, which has an id in every entry")

    return [Source(format="mmmu", tasks=("mmmu_val",), model=model, items=rows)]


def _mmmu(row: dict[str, Any], where: str) -> Iterator[Item]:
    right = row.get("if_right")
    yield Item(
        where=where,
        id=str(row["id"]),
        options=tuple(map(str, mapping(row.get("index2ans")).values())),
        gold=_short(row.get("answer")),
        score=float(right) if isinstance(right, bool) else None,
        answer=_short(row.get("pred_indexs")),
        **_reply(row.get("response")),
    )


def _mmmu_pro(path: Path) -> Source:
    stem = path.name.partition(".jsonl")[0]
    position, task = max((stem.rfind(part), task) for part, task in MMMU_PRO.items())
    if position < 0 or "4_options" in stem:
        raise DataError(f"{path}: its name says neither standard_10_options nor vision")
    what = "output of MMMU-Pro, which has an id in every line"
    return Source(
        format="mmmu",
        tasks=(task,),
        model=stem[:position],
        items=lambda: items(path, objects(path), _mmmu, what),
    )
