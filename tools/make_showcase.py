"""Create a results folder of real recordings for the dashboard's screenshots: `python -m tools.make_showcase DEST`.

Published recordings of MMLU-Pro, ChemBench, MatBench, MMMU and MathVision are imported from the shared data under
`official`, and MMLU-Pro under `strict` too. DEST gets the folders `mirror/` and `results/`, which are not committed.
"""

from __future__ import annotations

import json
import sys
import zipfile
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

from tests.support import command
from tools import chembench_reports, mirror


class Recording(NamedTuple):
    """The recorded replies of one model to one suite, and the protocols to import them under."""

    suite: str
    model: str
    replies: Iterable[dict[str, Any]]
    protocols: tuple[str, ...] = ("official",)


MMLU_PRO = {
    "Llama-3.1-8B-Instruct": "Meta-Llama-3_1-8B-Instruct",
    "Mistral-7B-Instruct-v0.2": "Mistral-7B-Instruct-v0.2",
    "gemini-1.5-flash-002": "gemini-1.5-flash-002",
}
CHEMBENCH = {
    "Llama-3.1-8B-Instruct": "llama3.1-8b-instruct",
    "gemma-2-9b-it": "gemma-2-9b-it",
    "baseline:random": "random_baseline",
}
MATHVISION = {
    "Gemini-Pro": "Gemini-Pro",
    "LLaVA-1.5-7B": "LLaVA-v1.5-7B",
    "Qwen-VL-Max": "Qwen-VL-Max",
    "baseline:random": "Random-Chance",
}
MATBENCH = {"baseline:magpie-rf": "rf", "baseline:mean": "dummy", "gptchem": "gptchem"}
"""Like the tables above: model -> its name in the recorded files."""


def recordings(data: Path) -> Iterator[Recording]:
    """Yield all recordings that consist of plain replies."""
    for model, name in MMLU_PRO.items():
        yield Recording(
            "mmlu-pro", model, _mmlu_pro(data / "mmlu_pro" / "outputs", name), ("official", "strict")
        )
    for model, name in CHEMBENCH.items():
        report = data / "chembench" / "reports" / f"{name}.jsonl.gz"
        yield Recording(
            "chembench:lamalab",
            model,
            chembench_reports.replies(report, data / "chembench" / "tasks.jsonl.gz"),
        )
    for model, name in MATHVISION.items():
        rows = mirror.lines(data / "mathvision" / "outputs" / f"{name}.jsonl.gz")
        replies = ({"id": row["id"], "text": row["response"]} for row in rows)
        yield Recording("mathvision:test", model, replies)
    outputs = sorted((data / "mmmu" / "example_outputs" / "llava1.5_13b").glob("*/output.json"))
    rows = (row for output in outputs for row in mirror.document(output))
    replies = ({"id": row["id"], "text": row["response"]} for row in rows)
    yield Recording("mmmu", "LLaVA-1.5-13B", replies)


def _mmlu_pro(folder: Path, name: str) -> Iterator[dict[str, Any]]:
    [path] = folder.glob(f"*{name}*.zip")
    with zipfile.ZipFile(path) as archive:
        for row in json.loads(archive.read(archive.namelist()[0])):
            yield {"id": row["question_id"], "text": row.get("model_outputs", row.get("generated_text"))}


def build(dest: Path, shared: Path) -> Path:
    """Build the mirror, import all recordings, and return the results folder."""
    data, results = dest / "mirror", dest / "results"
    mirror.build(data, shared)
    for recording in recordings(shared / "data"):
        replies = dest / "replies.jsonl"
        replies.write_text("".join(json.dumps(line) + "\n" for line in recording.replies), encoding="utf-8")
        arguments = (
            "--suite",
            recording.suite,
            "--model",
            recording.model,
            "--data",
            data,
            "--results",
            results,
        )
        for protocol in recording.protocols:
            _evals("import", "replies", replies, *arguments, "--protocol", protocol)
    for model, name in MATBENCH.items():
        file = shared / "data" / "matbench" / "results" / name / "results.json.gz"
        _evals("import", "matbench", file, "--model", model, "--data", data, "--results", results)
    return results


def _evals(*arguments: object) -> None:
    output = command.evals(*arguments)
    if output.status not in (0, 1):
        raise RuntimeError(f"evals {' '.join(map(str, arguments))}: {output.err}")


if __name__ == "__main__":
    print(build(Path(sys.argv[1]), mirror.shared_folder()))
