"""Output files of the benchmark authors' scripts: MathVista, MATH-Vision, MMLU-Pro, MMMU and MMMU-Pro.

- MathVista: a JSON object `pid` -> {response, extraction, true_false ...}.
- MATH-Vision: JSON Lines {id, response, model_answer, correct}.
- MMLU-Pro (TIGER-AI-Lab/MMLU-Pro @ f418b116): an array of items with `model_outputs` (older: `generated_text`) and `pred`,
  in one file for all subjects (possibly zipped) or in a `<subject>_result.json` per subject, in a folder or archive. If
  `pred` is null, the authors' script scores a random letter; the reply is then imported without a score.
- MMMU (MMMU-Benchmark/MMMU @ bb0b95a9): `<subject>/output.json`, an array of {id, index2ans, response}, or an object
  id -> parsed answer; the parsed answer is then imported as the reply.
- MMMU-Pro: JSON Lines with `response`, `pred_indexs`, `if_right`; the setting is part of the file name,
  `<model>_<standard_10_options|vision>_<cot|direct>.jsonl`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from evals.data.loose_json import decode_json
from evals.errors import DataError
from evals.interop.files import find_files, read_contents, read_json, read_object, read_objects, read_optional
from evals.interop.foreign import Item, Source, read_items
from evals.interop.values import PARSE_ERRORS, as_dict, as_list, number
from evals.validation import cause

MMLU_PRO_SUFFIX = "_result.json"
_MMLU_PRO_AFFIX = re.compile(r"^model_outputs_|_\d+-?shots?$|\.json$|\.zip$|\.gz$")
"""What precedes or follows the model's name in the name of a file or folder."""
MMMU_PRO = {"_standard": "mmmu_pro_standard", "_vision": "mmmu_pro_vision"}
"""Part of the file name -> task; none of our suites has the setting with four options."""


def _reply_fields(value: Any, failure: str = "no reply") -> dict[str, Any]:
    """Return the fields of an `Item` for a reply, or for a `failure` if the value is not a text."""
    return {"text": value, "failure": ""} if isinstance(value, str) else {"text": None, "failure": failure}


def _short_text(value: Any) -> str:
    return value[:200] if isinstance(value, str) else ""


# --- MathVista, MATH-Vision ----------------------------------------------------------------------------------------


def mathvista(path: Path) -> list[Source]:
    """Read an output file of MathVista; raises DataError."""
    model = path.name.partition(".json")[0].removeprefix("output_")

    def read() -> Iterator[Item]:
        rows = read_object(path, "MathVista output")
        located = ((row, f"{path.name}, {pid}") for pid, row in rows.items())
        return read_items(path, located, _mathvista_item, "MathVista output")

    return [Source(tasks=("mathvista",), model=model, items=read)]


def _mathvista_item(row: dict[str, Any], location: str) -> Iterator[Item]:
    response = None if row.get("error") else row.get("response")
    extraction = row.get("extraction")
    yield Item(
        location=location,
        id=str(row.get("pid", location.rpartition(", ")[2])),
        question=str(row.get("question") or ""),
        options=tuple(map(str, as_list(row.get("choices")))),
        **_reply_fields(response, str(row.get("error") or "no response")[:200]),
        score=number(row.get("true_false")),
        answer=str(extraction or "")[:200],
        extracted=extraction if isinstance(extraction, str) and isinstance(response, str) else None,
    )


def mathvision(path: Path) -> list[Source]:
    """Read an output file of MATH-Vision; raises DataError."""
    return [
        Source(
            tasks=("mathvision",),
            model=path.name.partition(".jsonl")[0],
            items=lambda: read_items(path, read_objects(path), _mathvision_item, "MATH-Vision output"),
        )
    ]


def _mathvision_item(row: dict[str, Any], location: str) -> Iterator[Item]:
    yield Item(
        location=location,
        id=str(row["id"]),
        question=str(row.get("question") or ""),
        **_reply_fields(row.get("response", row.get("model_answer")), "no response"),
        score=number(row.get("correct")),
        answer=str(row.get("model_answer") or "")[:200],
    )


# --- MMLU-Pro ------------------------------------------------------------------------------------------------------


def mmlu_pro(path: Path) -> list[Source]:
    """Read an output file of MMLU-Pro, or a folder with a file per subject; raises DataError."""
    files = find_files(path, f"*{MMLU_PRO_SUFFIX}", expected=f"<subject>{MMLU_PRO_SUFFIX}")
    model = path.name
    while (stripped := _MMLU_PRO_AFFIX.sub("", model)) != model:
        model = stripped
    total = as_dict(read_optional(path / "summary.json", "an MMLU-Pro summary").get("total"))
    accuracy = number(total.get("acc"))
    label = "mmlu_pro accuracy (random letter if none was parsed)"
    return [
        Source(
            tasks=("mmlu_pro",),
            model=model,
            items=lambda: (item for file in files for item in _mmlu_pro_items(file)),
            stated_scores={} if accuracy is None else {label: accuracy},
        )
    ]


def _mmlu_pro_items(path: Path) -> Iterator[Item]:
    files = list(read_contents(path))
    for name, raw in files:
        if len(files) > 1 and not name.endswith(MMLU_PRO_SUFFIX):
            continue
        try:
            rows = decode_json(raw)
            if not isinstance(rows, list):
                raise TypeError("not a list")
        except PARSE_ERRORS as error:
            raise DataError(f"{path}: cannot be read as MMLU-Pro output ({cause(error)})") from None
        located = ((row, f"{name}, {n}") for n, row in enumerate(rows, 1))
        yield from read_items(path, located, _mmlu_pro_item, "MMLU-Pro output")


def _mmlu_pro_item(row: dict[str, Any], location: str) -> Iterator[Item]:
    text = row.get("generated_text") if row.get("model_outputs") is None else row["model_outputs"]
    gold, answer = _short_text(row.get("answer")), _short_text(row.get("pred"))
    yield Item(
        location=location,
        id=str(row["question_id"]),
        question=str(row.get("question") or ""),
        options=tuple(map(str, as_list(row.get("options")))),
        **_reply_fields(text),
        gold=gold,
        score=float(answer == gold) if answer and gold and isinstance(text, str) else None,
        answer=answer,
    )


# --- MMMU, MMMU-Pro ------------------------------------------------------------------------------------------------


def mmmu(path: Path) -> list[Source]:
    """Read MMMU output (one file, or a folder with a file per subject) or one MMMU-Pro file; raises DataError."""
    if ".jsonl" in path.name:
        return [_mmmu_pro(path)]
    files = find_files(path, "*/output.json", expected="<subject>/output.json")
    model = path.name.partition(".json")[0].removesuffix("_val")

    def read() -> Iterator[Item]:
        for file in files:
            content = read_json(file)
            if isinstance(content, dict):
                for id_, answer in content.items():
                    yield Item(location=f"{file.name}, {id_}", id=id_, **_reply_fields(answer))
                continue
            located = (
                (row, f"{file.parent.name}/{file.name}, {n}") for n, row in enumerate(as_list(content), 1)
            )
            yield from read_items(file, located, _mmmu_item, "MMMU output, which has an id in every entry")

    return [Source(tasks=("mmmu_val",), model=model, items=read)]


def _mmmu_item(row: dict[str, Any], location: str) -> Iterator[Item]:
    right = row.get("if_right")
    yield Item(
        location=location,
        id=str(row["id"]),
        options=tuple(map(str, as_dict(row.get("index2ans")).values())),
        gold=_short_text(row.get("answer")),
        score=float(right) if isinstance(right, bool) else None,
        answer=_short_text(row.get("pred_indexs")),
        **_reply_fields(row.get("response")),
    )


def _mmmu_pro(path: Path) -> Source:
    stem = path.name.partition(".jsonl")[0]
    position, task = max((stem.rfind(part), task) for part, task in MMMU_PRO.items())
    if position < 0 or "4_options" in stem:
        raise DataError(f"{path}: its name contains neither standard_10_options nor vision")
    expected = "MMMU-Pro output, which has an id in every line"
    return Source(
        tasks=(task,),
        model=stem[:position],
        items=lambda: read_items(path, read_objects(path), _mmmu_item, expected),
    )
