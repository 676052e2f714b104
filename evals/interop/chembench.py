"""ChemBench's reports: `<topic>_report.json` (0.3.0), a JSON file per question (older), or JSON Lines.

Reports of 0.3.0 keep prompts and results in two parallel lists. The scores and counts in `summary.json` become notes of
the run.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from itertools import groupby
from pathlib import Path
from typing import Any

from evals.interop.files import find_files, glob_visible, read_json, read_objects, read_optional
from evals.interop.foreign import Item, Source, read_items
from evals.interop.values import count, join_turns, number

SUMMARY_LABELS = {
    "overall_score": "score over completed questions",
    "benchmark_score": "score over the whole benchmark",
    "fraction_correct": "fraction correct",
    "total_triggered_refusal": "replies classified as refusals",
    "total_llm_extraction": "answers extracted by a language model",
}
"""Field of `summary.json` -> its label in a note."""


def read(path: Path) -> list[Source]:
    """Read a folder of reports, one of its files, or a JSON Lines file; raises DataError."""
    if path.is_file():
        name, _, ending = path.name.partition(".json")
        if ending.startswith("l"):  # .jsonl
            return [_source(name, [path], path.with_name(f"{name}.summary.json"))]
        return [_source(path.absolute().parent.name, [path], path.with_name("summary.json"))]
    files = sorted(glob_visible(path, "**/*_report.json")) or [
        file
        for file in find_files(path, "**/*.json", expected="<topic>_report.json")
        if "summary" not in file.name
    ]
    folders = [(folder.absolute(), list(group)) for folder, group in groupby(files, lambda file: file.parent)]
    return [_source(_model_name(folder), group, folder / "summary.json") for folder, group in folders]


def _model_name(folder: Path) -> str:
    """Return the model's name from the folder `<model>/reports/<run id>` (0.3.0) or `<model>` (older)."""
    is_run_id = len(folder.name) == 36 and folder.name.count("-") == 4  # a UUID
    return folder.parent.parent.name if folder.parent.name == "reports" and is_run_id else folder.name


def _source(model: str, files: Iterable[Path], summary_file: Path) -> Source:
    summary = read_optional(summary_file, "a ChemBench summary")
    return Source(
        tasks=("chembench",),
        model=model,
        items=lambda: (
            item for file in files for item in read_items(file, _reports(file), _items, "a ChemBench report")
        ),
        stated_scores={
            label: value
            for name, label in SUMMARY_LABELS.items()
            if (value := number(summary.get(name))) is not None
        },
    )


def _reports(path: Path) -> Iterator[tuple[Any, str]]:
    if ".jsonl" in path.name:
        yield from read_objects(path)
        return
    content = read_json(path)
    if isinstance(content, dict) and "topic" in content:
        content = content.get("results") or []
    for n, report in enumerate(content if isinstance(content, list) else [content], 1):
        yield report, f"{path.name}, {n}"


def _items(row: Mapping[str, Any], location: str) -> Iterator[Item]:
    report = row["report"][0] if row.get("report") else row
    prompts = (report.get("prompts") or {}).get("batch") or []
    for index, result in enumerate(report.get("results", [report])):
        messages = prompts[index].get("messages") if index < len(prompts) else None
        text = _reply_text(result)
        yield Item(
            location=location,
            id=str(report.get("uuid") or report["name"]),
            prompt=result["prompt"] if isinstance(result.get("prompt"), str) else join_turns(messages),
            text=text,
            repeat=count(result.get("example_index")) if "results" in report else None,
            failure="" if text is not None else "no completion",
            score=_score(result.get("metrics") or {}),
            answer=str(result.get("parsed_output") or "")[:200],
        )


def _reply_text(result: Mapping[str, Any]) -> str | None:
    output = result.get("output", result.get("completion"))
    if isinstance(output, dict):
        output = output.get("text", output.get("content"))
    return output if isinstance(output, str) else None


def _score(metrics: Mapping[str, Any]) -> float | None:
    correct = metrics.get("all_correct")
    if correct is None and isinstance(metrics.get("hamming"), int | float):
        correct = metrics["hamming"] == 0
    return number(correct)
