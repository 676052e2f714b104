"""Measure the import and audit of a whole lm-eval run: `python -m tests.performance.bench_import`.

12,032 real questions of MMLU-Pro with the recorded replies of Mistral-7B, in the files that lm-eval writes (a file per
subject, each prompt with five worked examples), 84 MB. The baseline is a bare script that decodes every line and writes
it again. Needs the shared data (EVALS_SHARED); the audit by lm-eval needs its environment (`evals/peers/`).
"""

from __future__ import annotations

import gzip
import json
import re
import sys
import tempfile
import zipfile
from collections import defaultdict
from pathlib import Path
from statistics import median
from typing import Any

from evals import harness_environments as environments
from tests.performance.bench import Figure
from tests.performance.workbench import Measurement, evals_command, measure_command
from tools import mirror

RUNS = 3
TIMESTAMP = "2026-01-01T00-00-00.000000"
FILTER = re.compile(r"answer is \(?([ABCDEFGHIJ])\)?")
BASELINE = """
import json, pathlib, sys
with open(sys.argv[2], "w") as out:
    for path in sorted(pathlib.Path(sys.argv[1]).glob("samples_*.jsonl")):
        for line in path.open():
            out.write(json.dumps(json.loads(line)) + "\\n")
"""


def write_run(folder: Path) -> tuple[Path, Path]:
    """Write the lm-eval run and a mirror of the data set, and return both folders."""
    shared = mirror.shared_folder()
    mirror_folder = folder / "mirror"
    mirror.build(mirror_folder, shared)
    [archive] = (shared / "data" / "mmlu_pro" / "outputs").glob("*Mistral*.zip")
    with zipfile.ZipFile(archive) as outputs:
        replies = {row["question_id"]: row for row in json.loads(outputs.read(outputs.namelist()[0]))}
    with gzip.open(mirror_folder / "mmlu-pro" / "test.jsonl.gz", "rt") as stream:
        items = [json.loads(line) for line in stream]
    by_subject: dict[str, list[tuple[Any, str]]] = defaultdict(list)
    for item in items:
        row = replies[item["question_id"]]
        by_subject[item["category"]].append((item, row.get("model_outputs") or row["generated_text"]))
    out = folder / "mistral"
    out.mkdir()
    (out / f"results_{TIMESTAMP}.json").write_text(json.dumps({"results": {}, "configs": {}, "n-shot": {}}))
    for subject, pairs in by_subject.items():
        shots = "".join(f"{_prompt(item)} {text[:400]}\n\n" for item, text in pairs[:5])
        name = f"samples_mmlu_pro_{subject.replace(' ', '_')}_{TIMESTAMP}.jsonl"
        lines = (json.dumps(_line(number, *pair, shots)) + "\n" for number, pair in enumerate(pairs))
        (out / name).write_text("".join(lines))
    return out, mirror_folder


def _prompt(item: Any) -> str:
    options = "".join(f"{chr(65 + index)}. {text}\n" for index, text in enumerate(item["options"]))
    return f"Question:\n{item['question']}\nOptions:\n{options}Answer: Let's think step by step."


def _line(number: int, item: Any, text: str, shots: str) -> dict[str, Any]:
    match = FILTER.search(text)
    answer = match[1] if match else "[invalid]"
    settings = {"until": ["Question:"], "max_gen_toks": 2048, "do_sample": False, "temperature": 0.0}
    return {
        "doc_id": number,
        "doc": item,
        "target": item["answer"],
        "arguments": {"gen_args_0": {"arg_0": shots + _prompt(item), "arg_1": settings}},
        "resps": [[text]],
        "filtered_resps": [answer],
        "filter": "custom-extract",
        "metrics": ["exact_match"],
        "doc_hash": "0" * 64,
        "prompt_hash": "1" * 64,
        "target_hash": "2" * 64,
        "exact_match": float(answer == item["answer"]),
    }


def measure(folder: Path, *, runs: int = RUNS) -> list[Figure]:
    """Measure import, audit and baseline; raise RuntimeError if a command fails or a number is wrong."""
    source, mirror_folder = write_run(folder)
    results, baselines = folder / "results", []
    times: dict[str, list[Measurement]] = defaultdict(list)
    audits = ["import", *(["lm-eval"] if environments.interpreter("lm-eval") else [])]
    for turn in range(runs):
        baselines.append(
            _checked(measure_command([sys.executable, "-c", BASELINE, source, folder / "baseline.jsonl"]))
        )
        arguments = (
            "--data",
            mirror_folder,
            "--results",
            results,
            "--run",
            f"r{turn}",
            "--protocol",
            "official",
        )
        times["import"].append(
            _checked(measure_command(evals_command("import", "lm-eval", source, *arguments, "--json")))
        )
        for peer in audits:
            arguments = (f"r{turn}", "--with", peer, "--results", results, "--json")
            measurement = _checked(measure_command(evals_command("audit", *arguments)))
            if (report := json.loads(measurement.out))["n"] != 12_032 or report["agreed"] != 11_861:
                raise RuntimeError(f"audit --with {peer}: {report['agreed']} of {report['n']} agree")
            times[f"audit --with {peer}"].append(measurement)
    baseline_cpu = median(measurement.cpu_s for measurement in baselines)
    figures = []
    for name, measurements in times.items():
        wall = median(measurement.wall_s for measurement in measurements)
        cpu = median(measurement.cpu_s for measurement in measurements)
        limit = 5.0 if name == "import" else 10.0
        note = f"{cpu:.2f} s of CPU; baseline {baseline_cpu:.2f}"
        figures.append(Figure(f"{name}: 12,032 replies", wall, limit, "s", note))
        figures.append(Figure(f"{name}: CPU over the baseline", cpu / baseline_cpu, limit, "times"))
    return figures


def _checked(measurement: Measurement) -> Measurement:
    """Return the measurement; raise RuntimeError if its command failed."""
    if measurement.status:
        raise RuntimeError(measurement.err[-2000:])
    return measurement


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as folder:
        figures = measure(Path(folder))
    print(*figures, sep="\n")
    sys.exit(any(figure.value > figure.limit for figure in figures))
