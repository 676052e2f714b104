"""ChemBench's reports: `<topic>_report.json` (0.3.0), a JSON file per question (before), or JSON lines of the latter.

A report of 0.3.0 keeps the prompts apart from the results; both have the options in the order that counts. The score of
the whole stands in `summary.json` under two denominators, the questions completed and those of the whole benchmark;
both are noted.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from itertools import groupby
from pathlib import Path
from typing import Any

from evals.errors import DataError
from evals.interop.files import below, document, objects
from evals.interop.foreign import Item, Source
from evals.interop.values import BROKEN, count, number, turns

FORMAT = "chembench"
TASK = "chembench"
SCORES = {
    "overall_score": "score over completed questions",
    "benchmark_score": "score over the whole benchmark",
    "fraction_correct": "fraction correct",
    "total_triggered_refusal": "replies taken for refusals",
    "total_llm_extraction": "answers extracted by a language model",
}


def read(path: Path) -> list[Source]:
    """Read a folder of reports, one of its files or a file of lines; raises DataError in one line."""
    if path.is_file():
        name, _, ending = path.name.partition(".json")
        beside = path.with_name(f"{name}.summary.json" if ending.startswith("l") else "summary.json")
        model = name if ending.startswith("l") else path.absolute().parent.name
        return [_source(model, [path], beside)]
    files = sorted(below(path, "**/*_report.json")) or [
        file for file in sorted(below(path, "**/*.json")) if "summary" not in file.name
    ]
    if not files:
        raise DataError(f"{path}: no <topic>_report.json there")
    found = [(folder.absolute(), list(some)) for folder, some in groupby(files, lambda file: file.parent)]
    return [_source(_model(folder), some, folder / "summary.json") for folder, some in found]


def _model(folder: Path) -> str:
    """Name the model: the folder of 0.3.0 has the run's id after it, before there were `<model>/reports/<run>`."""
    return (
        folder.parent.parent.name if folder.parent.name == "reports" and _is_id(folder.name) else folder.name
    )


def _is_id(name: str) -> bool:
    return len(name) == 36 and name.count("-") == 4


def _source(model: str, files: Iterable[Path], summary: Path) -> Source:
    told = document(summary) if summary.is_file() else {}
    if not isinstance(told, dict):
        raise DataError(f"{summary}: no summary of ChemBench")
    return Source(
        format=FORMAT,
        tasks=(TASK,),
        model=model,
        items=lambda: (item for file in files for item in _items(file)),
        stated={
            said: value for name, said in SCORES.items() if (value := number(told.get(name))) is not None
        },
    )


def _items(path: Path) -> Iterator[Item]:
    for report, where in _reports(path):
        try:
            yield from _replies(report, where)
        except BROKEN as error:
            raise DataError(
                f"{path}: {where}: no report of ChemBench ({type(error).__name__}: {error})"
            ) from None


def _reports(path: Path) -> Iterator[tuple[Mapping[str, Any], str]]:
    if ".jsonl" in path.name:
        yield from ((row["report"][0] if row.get("report") else row, where) for row, where in objects(path))
        return
    found = document(path)
    if isinstance(found, dict) and "topic" in found:
        found = found.get("results") or []
    for place, report in enumerate(found if isinstance(found, list) else [found], 1):
        yield report, f"{path.name}, {place}"


def _replies(report: Mapping[str, Any], where: str) -> Iterator[Item]:
    prompts = (report.get("prompts") or {}).get("batch") or []
    for place, one in enumerate(report.get("results", [report])):
        sent = prompts[place].get("messages") if place < len(prompts) else None
        said = _said(one)
        yield Item(
            where=where,
            id=str(report.get("uuid") or report["name"]),
            prompt=one["prompt"] if isinstance(one.get("prompt"), str) else turns(sent),
            text=said,
            repeat=count(one.get("example_index")) if "results" in report else None,
            failure="" if said is not None else "no completion",
            score=_score(one.get("metrics") or {}),
            answer=str(one.get("parsed_output") or "")[:200],
        )


def _said(one: Mapping[str, Any]) -> str | None:
    output = one.get("output", one.get("completion"))
    if isinstance(output, dict):
        output = output.get("text", output.get("content"))
    return output if isinstance(output, str) else None


def _score(metrics: Mapping[str, Any]) -> float | None:
    value = metrics.get("all_correct")
    if value is None and isinstance(metrics.get("hamming"), int | float):
        value = metrics["hamming"] == 0
    return number(value)
