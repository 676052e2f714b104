"""ChemBench's reports: a folder of `<topic>_report.json` (0.3.0), or JSON lines of {path, report} with a summary.

The older lines hold the prompt as sent, with the options in the order that counts. The score of the whole stands there
under two denominators, the questions completed and those of the whole benchmark; both are noted.
"""

from __future__ import annotations

import gzip
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from evals.errors import DataError
from evals.interop.files import whole
from evals.interop.foreign import Item, Source
from evals.interop.values import BROKEN, number, text

FORMAT = "chembench"
TASK = "chembench"


def read(path: Path) -> list[Source]:
    """Read a folder of reports or a file of lines; raises DataError in one line."""
    if path.is_file() and path.name.removesuffix(".gz").endswith(".jsonl"):
        model = path.name.partition(".jsonl")[0]
        return [Source(format=FORMAT, tasks=(TASK,), model=model, items=lambda: _of_lines(path))]
    files = [path] if path.is_file() else sorted(path.rglob("*_report.json"))
    if not files:
        raise DataError(f"{path}: no <topic>_report.json there")
    folder = files[0].parent
    return [
        Source(
            format=FORMAT,
            tasks=(TASK,),
            model=folder.name,
            items=lambda: (item for file in files for item in _of_topic(file)),
            stated=_stated(folder / "summary.json"),
        )
    ]


def _stated(path: Path) -> dict[str, float]:
    if not path.is_file():
        return {}
    found = _decoded(path)
    names = {
        "overall_score": "score over completed questions",
        "benchmark_score": "score over the whole benchmark",
    }
    return {said: value for name, said in names.items() if (value := number(found.get(name))) is not None}


def _decoded(path: Path) -> dict[str, Any]:
    try:
        found = json.loads(whole(path))
    except BROKEN as error:
        raise DataError(f"{path}: {error}") from None
    if not isinstance(found, dict):
        raise DataError(f"{path}: no report of ChemBench")
    return found


def _of_topic(path: Path) -> Iterator[Item]:
    for place, task in enumerate(_decoded(path).get("results") or (), 1):
        where = f"{path.name}, {place}"
        try:
            for repeat, one in enumerate(task["results"]):
                yield Item(
                    where=where,
                    id=text(str(task["uuid"])),
                    prompt=_text(one.get("prompt")),
                    text=_said(one),
                    repeat=repeat if len(task["results"]) > 1 else None,
                    failure="" if _said(one) is not None else "no completion",
                    score=_score(one.get("metrics") or {}),
                    answer=text(str(one.get("parsed_output") or "")[:200]),
                )
        except BROKEN as error:
            raise DataError(f"{where}: no result of ChemBench ({error!r})") from None


def _of_lines(path: Path) -> Iterator[Item]:
    place = 0
    try:
        with gzip.open(path) if path.name.endswith(".gz") else path.open("rb") as stream:
            for place, line in enumerate(stream, 1):
                one = json.loads(line)["report"][0]  # which holds NaN: msgspec refuses it
                yield Item(
                    where=f"{path.name}, line {place}",
                    id=text(str(one["name"])),
                    prompt=_text(one.get("prompt")),
                    text=_said(one),
                    failure="" if _said(one) is not None else "no completion",
                    score=_score(one.get("metrics") or {}),
                )
    except (OSError, *BROKEN) as error:
        raise DataError(f"{path}, line {place}: no report of ChemBench ({error})") from None


def _text(value: Any) -> str:
    return text(value) if isinstance(value, str) else ""


def _said(one: dict[str, Any]) -> str | None:
    output = one.get("output", one.get("completion"))
    if isinstance(output, dict):
        output = output.get("text")
    return text(output) if isinstance(output, str) else None


def _score(metrics: dict[str, Any]) -> float | None:
    value = metrics.get("all_correct")
    if value is None and isinstance(metrics.get("hamming"), int | float):
        value = metrics["hamming"] == 0
    return number(value)
