"""Measure four models side by side on three suites: `python -m tests.performance.bench_models [ITEMS]`.

Each model is a mock server of its own with 64 slots and log-normal latencies; the slowest has twice the median latency
of the second slowest. Print the wall time of the four together relative to the slowest alone, and the CPU time of the
four together relative to the sum of the four alone, for the command line as a user calls it.
"""

from __future__ import annotations

import json
import os
import sys
import tempfile
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path

from tests.performance.bench import Figure
from tests.performance.workbench import Measurement, Mock, evals_command, make_data, measure_command, mock

MEDIANS_MS = (600, 300, 300, 150)
SLOTS = 64
SUITES = ("mmlu-pro", "gpqa:main", "gpqa:extended")
GPQA_OPTIONS = ("Correct Answer", "Incorrect Answer 1", "Incorrect Answer 2", "Incorrect Answer 3")


def mirror(folder: Path, items: int) -> Path:
    """Write the data of three suites, `items` each and none in two of them; return their folder."""
    data = make_data(folder / "data")
    rows = (data / "mcq.jsonl").read_text().splitlines()[: 3 * items]
    for name in ("mmlu-pro", "gpqa"):
        (folder / "three" / name).mkdir(parents=True, exist_ok=True)
    (folder / "three" / "mmlu-pro" / "test.jsonl").write_text("\n".join(rows[:items]) + "\n")
    for number, name in enumerate(("main", "extended"), 1):
        with (folder / "three" / "gpqa" / f"gpqa_{name}.jsonl").open("w") as stream:
            for line in rows[number * items : (number + 1) * items]:
                stream.write(json.dumps(_as_gpqa(json.loads(line))) + "\n")
    return folder / "three"


def _as_gpqa(row: dict[str, object]) -> dict[str, object]:
    options = row["options"]
    assert isinstance(options, list)
    head = {
        "Record ID": str(row["question_id"]),
        "Question": row["question"],
        "High-level domain": "Physics",
    }
    return head | dict(zip(GPQA_OPTIONS, options, strict=False))


def run(models: Sequence[str], data: Path, results: Path) -> Measurement:
    """Run models on the three suites, each with as many calls in flight as its server has slots."""
    arguments = [word for model in models for word in ("-m", model)]
    measurement = measure_command(
        evals_command(
            *("run", *SUITES, *arguments, "--data", data, "--results", results),
            *("--concurrency", SLOTS, "--json", "--quiet"),
        )
    )
    if measurement.status:
        raise AssertionError(measurement.err)
    return measurement


def side_by_side(folder: Path, *, items: int) -> list[Figure]:
    """Measure four models alone and together."""
    data = mirror(folder, items)
    with ExitStack() as stack:
        servers = [stack.enter_context(mock()) for _ in MEDIANS_MS]
        names = [f"{server.model}{number}" for number, server in enumerate(servers)]
        _configure(servers)
        alone = [run([name], data, folder / f"alone{n}") for n, name in enumerate(names)]
        _configure(servers)
        together = run(names, data, folder / "together")
    slowest = max(measurement.wall_s for measurement in alone)
    cpu_s = sum(measurement.cpu_s for measurement in alone)
    walls = ", ".join(f"{measurement.wall_s:.1f}" for measurement in alone)
    peak = max(measurement.peak_mb for measurement in alone)
    return [
        Figure(
            "models: wall of four together over the slowest alone",
            together.wall_s / slowest,
            1.05,
            "times",
            f"{together.wall_s:.1f} s; alone {walls} s",
        ),
        Figure(
            "models: CPU of four together over the sum alone",
            together.cpu_s / cpu_s,
            1.1,
            "times",
            f"{together.cpu_s:.1f} s of {cpu_s:.1f} s; peak {together.peak_mb:.0f} MB, alone {peak:.0f} MB",
        ),
    ]


def _configure(servers: Sequence[Mock]) -> None:
    for server, median_ms in zip(servers, MEDIANS_MS, strict=True):
        server.configure({"dist": "lognormal", "median_ms": median_ms, "sigma": 0.8, "slots": SLOTS})


def main() -> None:
    """Print the figures, and the load of the machine."""
    items = int(sys.argv[1]) if len(sys.argv) > 1 else 1200
    with tempfile.TemporaryDirectory() as folder:
        for figure in side_by_side(Path(folder), items=items):
            print(figure, flush=True)
    print(f"load {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores")


if __name__ == "__main__":
    main()
