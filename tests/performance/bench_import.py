"""Import and audit of a whole lm-eval run: `python -m tests.performance.bench_import`.

12,032 real questions of MMLU-Pro with the recorded replies of Mistral-7B, in the files that lm-eval writes (a file per
subject, each prompt with five worked examples), 84 MB. The floor is a bare script that decodes every line and writes it
again. Needs the shared data (EVALS_SHARED); the audit by lm-eval needs its environment (`evals/peers/`).
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
from tests.performance.workbench import Measured, evals, measured
from tools import mirror

RUNS = 3
STAMP = "2026-01-01T00-00-00.000000"
FILTER = re.compile(r"answer is \(?([ABCDEFGHIJ])\)?")
FLOOR = """
import json, pathlib, sys
with open(sys.argv[2], "w") as out:
    for path in sorted(pathlib.Path(sys.argv[1]).glob("samples_*.jsonl")):
        for line in path.open():
            out.write(json.dumps(json.loads(line)) + "\\n")
"""


def make(folder: Path) -> tuple[Path, Path]:
    """Write the run; gives its folder, and a mirror with the data set."""
    shared = mirror.shared_folder()
    local = folder / "mirror"
    mirror.build(local, shared)
    [archive] = (shared / "data" / "mmlu_pro" / "outputs").glob("*Mistral*.zip")
    with zipfile.ZipFile(archive) as packed:
        said = {row["question_id"]: row for row in json.loads(packed.read(packed.namelist()[0]))}
    with gzip.open(local / "mmlu-pro" / "test.jsonl.gz", "rt") as stream:
        items = [json.loads(line) for line in stream]
    by_subject: dict[str, list[tuple[Any, str]]] = defaultdict(list)
    for item in items:
        row = said[item["question_id"]]
        by_subject[item["category"]].append((item, row.get("model_outputs") or row["generated_text"]))
    out = folder / "mistral"
    out.mkdir()
    (out / f"results_{STAMP}.json").write_text(json.dumps({"results": {}, "configs": {}, "n-shot": {}}))
    for subject, pairs in by_subject.items():
        shots = "".join(f"{_asked(item)} {text[:400]}\n\n" for item, text in pairs[:5])
        name = f"samples_mmlu_pro_{subject.replace(' ', '_')}_{STAMP}.jsonl"
        lines = (json.dumps(_line(number, *pair, shots)) + "\n" for number, pair in enumerate(pairs))
        (out / name).write_text("".join(lines))
    return out, local


def _asked(item: Any) -> str:
    options = "".join(f"{chr(65 + place)}. {text}\n" for place, text in enumerate(item["options"]))
    return f"Question:\n{item['question']}\nOptions:\n{options}Answer: Let's think step by step."


def _line(number: int, item: Any, text: str, shots: str) -> dict[str, Any]:
    found = FILTER.search(text)
    answer = found[1] if found else "[invalid]"
    settings = {"until": ["Question:"], "max_gen_toks": 2048, "do_sample": False, "temperature": 0.0}
    return {
        "doc_id": number,
        "doc": item,
        "target": item["answer"],
        "arguments": {"gen_args_0": {"arg_0": shots + _asked(item), "arg_1": settings}},
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
    """Import and audit, beside the floor; raises RuntimeError where a command fails or a number is wrong."""
    source, local = make(folder)
    results, floors = folder / "results", []
    times: dict[str, list[Measured]] = defaultdict(list)
    audits = ["import", *(["lm-eval"] if environments.interpreter("lm-eval") else [])]
    for turn in range(runs):
        floors.append(_good(measured([sys.executable, "-c", FLOOR, source, folder / "floor.jsonl"])))
        words = ("--data", local, "--results", results, "--run", f"r{turn}", "--protocol", "official")
        times["import"].append(_good(measured(evals("import", "lm-eval", source, *words, "--json"))))
        for peer in audits:
            words = (f"r{turn}", "--with", peer, "--results", results, "--json")
            done = _good(measured(evals("audit", *words)))
            if (found := json.loads(done.out))["n"] != 12_032 or found["agreed"] != 11_861:
                raise RuntimeError(f"audit --with {peer}: {found['agreed']} of {found['n']} alike")
            times[f"audit --with {peer}"].append(done)
    least = median(one.cpu_s for one in floors)
    figures = []
    for name, taken in times.items():
        wall, cpu = median(one.wall_s for one in taken), median(one.cpu_s for one in taken)
        bar = 5.0 if name == "import" else 10.0
        note = f"{cpu:.2f} s of CPU; floor {least:.2f}"
        figures.append(Figure(f"{name}: 12,032 replies", wall, bar, "s", note))
        figures.append(Figure(f"{name}: CPU over the floor", cpu / least, bar, "times"))
    return figures


def _good(done: Measured) -> Measured:
    if done.status:
        raise RuntimeError(done.err[-2000:])
    return done


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as place:
        found = measure(Path(place))
    print(*found, sep="\n")
    sys.exit(any(figure.value > figure.bar for figure in found))
