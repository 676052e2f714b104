"""OpenCompass: `predictions/<model>/<dataset>.json` (and its parts `_0.json`, `_1.json`), `results/` beside it.

A prediction is {"0": {origin_prompt, prediction, gold, ...}}; what each was worth stands in the `details` of the results,
where the evaluator kept any; an empty prediction may be a call that was refused. Replies that are lists (of repeats) become repeats. Prompts are searched for our questions.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import msgspec

from evals.errors import DataError
from evals.interop.files import whole
from evals.interop.foreign import Item, Source
from evals.interop.values import BROKEN, number

FORMAT = "opencompass"
NOTHING = "nothing: OpenCompass keeps a refused or filtered call and an empty reply alike"
_PART = re.compile(r"_(\d+)$")
_RIGHT = ("correct", "is_correct", "cascade_correct")


def read(path: Path) -> list[Source]:
    """Read an output folder, a folder of predictions or one prediction file; raises DataError in one line."""
    files = (
        [path]
        if path.is_file()
        else sorted(path.glob("**/predictions/*/*.json")) or sorted(path.glob("*.json"))
    )
    parts: dict[tuple[str, str], list[Path]] = defaultdict(list)
    names = {(file.parent, file.stem) for file in files}
    for file in files:
        whole_name = _PART.sub("", file.stem)
        split = whole_name != file.stem and (file.parent, f"{whole_name}_0") in names
        parts[file.parent.name, whole_name if split else file.stem].append(file)
    if not parts:
        raise DataError(f"{path}: no predictions/<model>/<dataset>.json there")
    return [_source(model, task, some) for (model, task), some in parts.items()]


def _number(path: Path) -> int:
    found = _PART.search(path.stem)
    return int(found[1]) if found else 0


def _source(model: str, task: str, files: list[Path]) -> Source:
    results = _results(files[0], task)
    stated = {
        f"{task} {name}": value
        for name, told in results.items()
        if not isinstance(told, bool) and (value := number(told)) is not None
    }
    return Source(
        format=FORMAT,
        tasks=(task,),
        model=model,
        items=lambda: _items(sorted(files, key=_number), _details(results)),
        stated=stated,
    )


def _results(predictions: Path, task: str) -> dict[str, Any]:
    path = predictions.parent.parent.parent / "results" / predictions.parent.name / f"{task}.json"
    return _decoded(path) if path.is_file() else {}


def _decoded(path: Path) -> dict[str, Any]:
    try:
        found = msgspec.json.decode(whole(path))
    except BROKEN as error:
        raise DataError(f"{path}: {error}") from None
    if not isinstance(found, dict):
        raise DataError(f"{path}: not a file of OpenCompass, which holds an object by number")
    return found


def _details(results: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Give what was made of each prediction; an object by number has other keys too, as its type."""
    details = results.get("details")
    rows = [details[key] for key in details if key.isdecimal()] if isinstance(details, dict) else details
    return [row if isinstance(row, dict) else {} for row in rows] if isinstance(rows, list) else []


def _items(files: list[Path], details: list[dict[str, Any]]) -> Iterator[Item]:
    place = 0
    for file in files:
        for name, row in _decoded(file).items():
            where = f"{file.name}, {name}"
            if not isinstance(row, dict) or "prediction" not in row:
                raise DataError(f"{file}: {name} has no prediction")
            stated = details[place] if place < len(details) else {}
            place += 1
            said = row["prediction"]
            if isinstance(said, dict):
                raise DataError(f"{file}: {name} was judged by perplexity; there is no reply to score")
            texts = said if isinstance(said, list) else [said]
            for repeat, text in enumerate(texts):
                yield Item(
                    where=where,
                    prompt=_prompt(row.get("origin_prompt")),
                    text=None if text in (None, "") else str(text),
                    failure=NOTHING if text in (None, "") else "",
                    repeat=repeat if len(texts) > 1 else None,
                    score=_score(stated) if len(texts) == 1 else None,
                    answer=_answer(stated) if len(texts) == 1 else "",
                )


def _prompt(origin: Any) -> str:
    if isinstance(origin, list):
        return "\n\n".join(str(turn.get("prompt", "")) for turn in origin if isinstance(turn, dict))
    return origin if isinstance(origin, str) else ""


def _answer(stated: Mapping[str, Any]) -> str:
    found = stated.get("pred", stated.get("predictions"))
    return str(found)[:200] if isinstance(found, str | int) else ""


def _score(stated: Mapping[str, Any]) -> float | None:
    for name in _RIGHT:
        value = stated.get(name)
        if isinstance(value, list) and value:
            value = value[0]
        if (found := number(value)) is not None:
            return found
    return None
