"""Recorded reports of lamalab's ChemBench -> replies: `python -m tools.chembench_reports REPORT.jsonl.gz TASKS OUT.jsonl`.

OUT has a line per task as `evals import replies` takes it: id, text, and `order`, which gives for each option of
the report's own prompt its place in the corpus (in about 55 tasks the two differ). Prompts carry chemistry markup
already rendered, so options are matched by what is left when markup is taken off.
"""

from __future__ import annotations

import gzip
import json
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

_MARKUP = re.compile(r"\[(?:START|END)_(?:RXN)?SMILES\]|\\(?:ce|pu|text|mathrm|rm)|\\|[\s${}^_]")


def open_lines(path: Path) -> Iterator[dict[str, Any]]:
    with gzip.open(path, "rt") if path.suffix == ".gz" else path.open() as stream:
        for line in stream:
            yield json.loads(line)


def task_ids(tasks: Path) -> dict[str, tuple[str, dict[str, Any]]]:
    """Name in the reports (`<parent folder>-<file stem>-<task name>`) -> sample id and task."""
    found: dict[str, tuple[str, dict[str, Any]]] = {}
    seen: dict[str, int] = {}
    for row in open_lines(tasks):
        path, task = Path(row["path"]), row["task"]
        count = seen[task["uuid"]] = seen.get(task["uuid"], 0) + 1
        name = task["uuid"] if count == 1 else f"{task['uuid']}-{count}"
        found[f"{path.parent.name}-{path.stem}-{task['name']}"] = (name, task)
    return found


def bare(text: str) -> str:
    """Return an option without markup, and with powers of ten in short form, as in some prompts."""
    text = _MARKUP.sub("", re.sub(r"\\cdot\s*10\^", "e", text))
    return text.casefold()


def shown_options(prompt: str) -> list[str]:
    """Read the options of a report's prompt."""
    body = prompt.split("Options:\n", 1)[1].split("\n\nYou MUST", 1)[0]
    return re.split(r"(?:^|\n)[A-Z]\. ", body)[1:]


def order(prompt: str, choices: list[str]) -> list[int]:
    """Return the index in the corpus of each option shown; raises ValueError if they do not match."""
    left = {index: bare(choice) for index, choice in enumerate(choices)}
    positions = []
    for option in shown_options(prompt):
        index = next((i for i, text in left.items() if text == bare(option)), None)
        if index is None:
            raise ValueError(f"option {option!r} is not in the corpus")
        positions.append(index)
        del left[index]
    return positions


def replies(report: Path, tasks: Path) -> Iterator[dict[str, Any]]:
    """Yield one line per task of a report file."""
    names = task_ids(tasks)
    for row in open_lines(report):
        result = row["report"][0]
        name, task = names[result["name"]]
        output = result["output"]
        text = output["text"] if isinstance(output, dict) else str(output)
        line: dict[str, Any] = {"id": name, "text": text}
        if choices := list(task["examples"][0].get("target_scores") or ()):
            line["order"] = order(result["prompt"], choices)
        yield line


def published(summary: Path, tasks: Path) -> dict[str, int]:
    """Sample id -> published verdict, 1 or 0."""
    names = task_ids(tasks)
    scores = json.loads(summary.read_text())["model_scores"]
    return {names[score["question_name"]][0]: int(score["all_correct"]) for score in scores}


def main(arguments: list[str]) -> None:
    """Write a report's replies to a file."""
    report, tasks, out = map(Path, arguments)
    out.write_text("".join(json.dumps(line) + "\n" for line in replies(report, tasks)))


if __name__ == "__main__":
    main(sys.argv[1:])
