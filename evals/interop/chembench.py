"""ChemBench's reports: `<topic>_report.json` (0.3.0), a JSON file per question (older), or JSON lines of the latter.

Reports of 0.3.0 hold prompts and results in two parallel lists. `summary.json` states the overall score with two
denominators, the completed questions and those of the whole benchmark; both become notes.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from itertools import groupby
from pathlib import Path
from typing import Any

from evals.interop.files import below, chosen, document, objects, optional
from evals.interop.foreign import Item, Source, items
from evals.interop.values import count, number, turns

FORMAT = "chembench"
SCORES = {
    "overall_score": "score over completed questions",
    "benchmark_score": "score over the whole benchmark",
    "fraction_correct": "fraction correct",
    "total_triggered_refusal": "replies classified as refusals",
    "total_llm_extraction": "answers extracted by a language model",
}


def read(path: Path) -> list[Source]:
    """Read a folder of reports, one of its files, or a file of JSON lines; raises DataError."""
    if path.is_file():
        name, _, ending = path.name.partition(".json")
        beside = path.with_name(f"{name}.summary.json" if ending.startswith("l") else "summary.json")
        model = name if ending.startswith("l") else path.absolute().parent.name
        return [_source(model, [path], beside)]
    files = sorted(below(path, "**/*_report.json")) or [
        file for file in chosen(path, "**/*.json", wanted="<topic>_report.json") if "summary" not in file.name
    ]
    folders = [(folder.absolute(), list(group)) for folder, group in groupby(files, lambda file: file.parent)]
    return [_source(_model(folder), group, folder / "summary.json") for folder, group in folders]


def _model(folder: Path) -> str:
    """Return the model's name: of 0.3.0 from `<model>/reports/<run id>`, of older versions from `<model>`."""
    is_run = len(folder.name) == 36 and folder.name.count("-") == 4
    return folder.parent.parent.name if folder.parent.name == "reports" and is_run else folder.name


def _source(model: str, files: Iterable[Path], summary: Path) -> Source:
    scores = optional(summary, "summary of ChemBench")
    return Source(
        format=FORMAT,
        tasks=("chembench",),
        model=model,
        items=lambda: (
            item for file in files for item in items(file, _reports(file), _replies, "report of ChemBench")
        ),
        stated={
            label: score for name, label in SCORES.items() if (score := number(scores.get(name))) is not None
        },
    )


def _reports(path: Path) -> Iterator[tuple[Any, str]]:
    if ".jsonl" in path.name:
        yield from objects(path)
        return
    content = document(path)
    if isinstance(content, dict) and "topic" in content:
        content = content.get("results") or []
    for place, report in enumerate(content if isinstance(content, list) else [content], 1):
        yield report, f"{path.name}, {place}"


def _replies(row: Mapping[str, Any], where: str) -> Iterator[Item]:
    report = row["report"][0] if row.get("report") else row
    prompts = (report.get("prompts") or {}).get("batch") or []
    for place, result in enumerate(report.get("results", [report])):
        sent = prompts[place].get("messages") if place < len(prompts) else None
        text = _text(result)
        yield Item(
            where=where,
            id=str(report.get("uuid") or report["name"]),
            prompt=result["prompt"] if isinstance(result.get("prompt"), str) else turns(sent),
            text=text,
            repeat=count(result.get("example_index")) if "results" in report else None,
            failure="" if text is not None else "no completion",
            score=_score(result.get("metrics") or {}),
            answer=str(result.get("parsed_output") or "")[:200],
        )


def _text(result: Mapping[str, Any]) -> str | None:
    output = result.get("output", result.get("completion"))
    if isinstance(output, dict):
        output = output.get("text", output.get("content"))
    return output if isinstance(output, str) else None


def _score(metrics: Mapping[str, Any]) -> float | None:
    value = metrics.get("all_correct")
    if value is None and isinstance(metrics.get("hamming"), int | float):
        value = metrics["hamming"] == 0
    return number(value)
