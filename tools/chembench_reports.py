"""Convert recorded reports of lamalab's ChemBench: `python -m tools.chembench_reports REPORT.jsonl.gz TASKS OUT.jsonl`.

OUT has a line per task, in the format of `evals import replies`: id, text, and `order`, the index in the corpus of each
option in the order of the report's prompt, which differs from that of the corpus in about 55 tasks. Prompts contain no
chemistry markup, so options are compared without it.
"""

from __future__ import annotations

import gzip
import json
import re
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

_MARKUP = re.compile(r"\[(?:START|END)_(?:RXN)?SMILES\]|\\(?:ce|pu|text|mathrm|rm)|\\|[\s${}^_]")


def read_lines(path: Path) -> Iterator[dict[str, Any]]:
    """Yield the objects of a JSON Lines file, which may be compressed."""
    with gzip.open(path, "rt") if path.suffix == ".gz" else path.open() as stream:
        for line in stream:
            yield json.loads(line)


def task_ids(tasks: Path) -> dict[str, tuple[str, dict[str, Any]]]:
    """Return (sample id, task) by name in the reports (`<parent folder>-<file stem>-<task name>`)."""
    by_name: dict[str, tuple[str, dict[str, Any]]] = {}
    counts = Counter[str]()
    for row in read_lines(tasks):
        path, task = Path(row["path"]), row["task"]
        uuid = task["uuid"]
        counts[uuid] += 1
        sample_id = uuid if counts[uuid] == 1 else f"{uuid}-{counts[uuid]}"
        by_name[f"{path.parent.name}-{path.stem}-{task['name']}"] = (sample_id, task)
    return by_name


def without_markup(option: str) -> str:
    """Return an option in lower case without markup, with powers of ten in the short form that some prompts use."""
    return _MARKUP.sub("", re.sub(r"\\cdot\s*10\^", "e", option)).casefold()


def shown_options(prompt: str) -> list[str]:
    """Return the options in a report's prompt."""
    body = prompt.split("Options:\n", 1)[1].split("\n\nYou MUST", 1)[0]
    return re.split(r"(?:^|\n)[A-Z]\. ", body)[1:]


def option_order(prompt: str, choices: list[str]) -> list[int]:
    """Return the index in the corpus of each option shown; raises ValueError if they do not match."""
    remaining = {index: without_markup(choice) for index, choice in enumerate(choices)}
    indices = []
    for option in shown_options(prompt):
        index = next((i for i, choice in remaining.items() if choice == without_markup(option)), None)
        if index is None:
            raise ValueError(f"option {option!r} is not in the corpus")
        indices.append(index)
        del remaining[index]
    return indices


def replies(report: Path, tasks: Path) -> Iterator[dict[str, Any]]:
    """Yield one line per task in a report file."""
    by_name = task_ids(tasks)
    for row in read_lines(report):
        result = row["report"][0]
        sample_id, task = by_name[result["name"]]
        output = result["output"]
        text = output["text"] if isinstance(output, dict) else str(output)
        line: dict[str, Any] = {"id": sample_id, "text": text}
        if choices := list(task["examples"][0].get("target_scores") or ()):
            line["order"] = option_order(result["prompt"], choices)
        yield line


def published_scores(summary: Path, tasks: Path) -> dict[str, int]:
    """Return the published scores, 1 or 0, by sample id."""
    by_name = task_ids(tasks)
    scores = json.loads(summary.read_text())["model_scores"]
    return {by_name[score["question_name"]][0]: int(score["all_correct"]) for score in scores}


def main(arguments: list[str]) -> None:
    """Write a report's replies to a file."""
    report, tasks, out = map(Path, arguments)
    out.write_text("".join(json.dumps(line) + "\n" for line in replies(report, tasks)))


if __name__ == "__main__":
    main(sys.argv[1:])
