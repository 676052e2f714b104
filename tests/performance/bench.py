"""Measure the performance figures that this project states: `python -m tests.performance.bench [NAME...|all]`.

Names: overhead saturation suites startup memory rescore kill faults. Prints a line per figure: its name,
its value and its limit. The commands call a mock server of the OpenAI protocol on this machine. Most figures are
ratios to a baseline on the same machine (a bare client or the ideal), and medians of three runs that alternate with
runs of the baseline. Needs node and the shared benchmark files (EVALS_SHARED).
"""

from __future__ import annotations

import argparse
import json
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import Any, NamedTuple

from tests.performance.workbench import (
    FAULTS,
    LONG,
    SATURATION,
    TAIL,
    ZERO,
    Measurement,
    Mock,
    bench_folder,
    evals_command,
    head,
    ideal_s,
    make_data,
    measure_command,
    mock,
)

RUNS = 3
TRUE_SCORE = 0.62775
"""Fraction of the 12,000 items that the mock server answers correctly."""


class Figure(NamedTuple):
    """One line of the report."""

    name: str
    value: float
    limit: float
    unit: str = ""
    note: str = ""

    def __str__(self) -> str:
        """Return the line of the report."""
        verdict = "ok" if self.value <= self.limit else "OVER"
        note = f"  ({self.note})" if self.note else ""
        return f"{self.name:<52} {self.value:>9.3f} {self.unit:<6} limit {self.limit:g}  {verdict}{note}"


def run(
    server: Mock, data: Path, results: Path, *arguments: object, suites: tuple[str, ...] = ("mmlu-pro",)
) -> Any:
    """Run suites on the mock server; return the measurement and the JSON entries of the runs."""
    measurement = measure_command(
        evals_command(
            "run",
            *suites,
            "-m",
            server.model,
            "--data",
            data,
            "--results",
            results,
            "--json",
            "--quiet",
            *arguments,
        )
    )
    if measurement.status not in (0, 1):
        raise RuntimeError(measurement.err)
    return measurement, json.loads(measurement.out)["runs"]


def headline_value(entry: Any) -> float:
    """Return the headline value of a run."""
    return float(next(e["value"] for e in entry["estimates"] if e["headline"]))


def run_baseline(server: Mock, data: Path, out: Path, concurrency: int) -> Measurement:
    """Run a bare aiohttp client, the baseline."""
    script = out.with_name("baseline.py")
    source = (bench_folder() / "floor_aiohttp.py").read_text()
    script.write_text(source.replace("127.0.0.1:8000", f"127.0.0.1:{server.port}"))
    measurement = measure_command([sys.executable, script, data, out, concurrency])
    if measurement.status:
        raise RuntimeError(measurement.err)
    return measurement


def overhead(server: Mock, folder: Path, *, items: int = 12_000) -> list[Figure]:
    """Measure CPU time and memory of a run without latency, and compare them with the bare client."""
    data = head(make_data(folder / "data"), items)
    runs, baselines = [], []
    for turn in range(RUNS):
        server.configure(ZERO)
        baselines.append(run_baseline(server, data, folder / "baseline.jsonl", 64))
        server.configure(ZERO)
        measurement, [entry] = run(server, data, folder / f"overhead{turn}", "--concurrency", 64)
        if items == 12_000 and abs(headline_value(entry) - TRUE_SCORE) > 1e-9:
            raise RuntimeError(f"wrong score: {headline_value(entry)}")
        runs.append(measurement)
    cpu, baseline_cpu = median(m.cpu_s for m in runs), median(m.cpu_s for m in baselines)
    note = f"{cpu:.2f} s over {baseline_cpu:.2f} s of CPU; {1000 * cpu / items:.3f} s per 1,000"
    peak = max(m.peak_mb for m in runs)
    return [
        Figure(
            f"overhead: CPU over a bare aiohttp client, {items} items", cpu / baseline_cpu, 2.0, "times", note
        ),
        Figure(
            "overhead: peak memory",
            peak,
            200,
            "MB",
            f"bare client {max(m.peak_mb for m in baselines):.0f} MB",
        ),
    ]


def saturation(server: Mock, folder: Path, *, items: int = 12_000) -> list[Figure]:
    """Measure how well 256 slots are kept busy, in a first run (lengths unknown) and a repeat run (lengths known)."""
    data = head(make_data(folder / "data"), items)
    ideal = ideal_s(SATURATION, 0, items)
    figures = []
    spans: dict[str, list[float]] = {"first": [], "repeat": []}
    outside_span = []
    for turn in range(RUNS):
        for name in spans:
            server.configure(SATURATION)
            measurement, _ = run(
                server, data, folder / f"saturation{turn}", "--concurrency", 256, "--run", name
            )
            span_s = server.stats()["span_ms"] / 1000
            spans[name].append(span_s / ideal["lower_bound_s"])
            outside_span.append(measurement.wall_s - span_s)
    data_order = ideal["list_order_s"] / ideal["lower_bound_s"]
    limits = {"first": 1.16 if items == 12_000 else data_order + 0.05, "repeat": 1.05}
    for name, ratios in spans.items():
        note = f"ideal {ideal['lower_bound_s']:.1f} s; file order {data_order:.2f}" if name == "first" else ""
        figures.append(
            Figure(
                f"saturation: span over the ideal, {name} run", median(ratios), limits[name], "times", note
            )
        )
    figures.append(Figure("saturation: start-up and end around the span", median(outside_span), 1.5, "s"))
    return figures


def suites(server: Mock, folder: Path, *, items: int = 3000) -> list[Figure]:
    """Measure two suites of `items` items each, at most 6,000, in one queue, with long-tailed latencies."""
    data = make_data(folder / "data")
    mirror = folder / "two"
    (mirror / "mmlu-pro").mkdir(parents=True, exist_ok=True)
    (mirror / "gpqa").mkdir(exist_ok=True)
    lines = (data / "mcq.jsonl").read_text().splitlines(keepends=True)
    (mirror / "mmlu-pro" / "test.jsonl").write_text("".join(lines[:items]))
    with (mirror / "gpqa" / "gpqa_main.jsonl").open("w") as stream:
        for line in lines[items : 2 * items]:
            row = json.loads(line)
            item = {
                "Record ID": str(row["question_id"]),
                "Question": row["question"],
                "High-level domain": "Physics",
            }
            names = ("Correct Answer", "Incorrect Answer 1", "Incorrect Answer 2", "Incorrect Answer 3")
            stream.write(json.dumps(item | dict(zip(names, row["options"], strict=False))) + "\n")
    ideal = ideal_s(TAIL, 0, 2 * items)
    spans: dict[str, list[float]] = {"first": [], "repeat": []}
    for turn in range(RUNS):
        for name in spans:
            server.configure(TAIL)
            arguments = ("--concurrency", 256, "--run", name)
            run(server, mirror, folder / f"suites{turn}", *arguments, suites=("mmlu-pro", "gpqa:main"))
            spans[name].append(server.stats()["span_ms"] / 1000 / ideal["lower_bound_s"])
    note = f"ideal {ideal['lower_bound_s']:.1f} s; first run {median(spans['first']):.2f}"
    return [
        Figure("suites: span over the merged ideal, repeat run", median(spans["repeat"]), 1.10, "times", note)
    ]


def bare_start() -> float:
    """Return the CPU seconds of importing what every command imports: 0.06 on an idle machine of this project."""
    return median(measure_command([sys.executable, "-c", "import click, msgspec"]).cpu_s for _ in range(7))


def slowdown() -> float:
    """Return by what factor starting a process takes more CPU time than on an idle machine, at least 1."""
    return max(1.0, bare_start() / 0.06)


def startup(server: Mock, folder: Path) -> list[Figure]:
    """Measure the CPU time of the commands that must respond at once."""
    data = head(make_data(folder / "data"), 12_000)
    server.configure(ZERO)
    results = folder / "startup"
    run(server, data, results, "--concurrency", 64, "--run", "a")
    bare = bare_start()
    figures = []
    for arguments, limit in ((("--help",), 0.15), (("list", "suites"), 0.15)):
        cpu = median(measure_command(evals_command(*arguments)).cpu_s for _ in range(7))
        name = f"start-up: CPU of evals {' '.join(arguments)}"
        figures.append(Figure(name, cpu, limit, "s", f"importing click and msgspec alone {bare:.3f} s"))
    shows = [measure_command(evals_command("show", "a", "--results", results)) for _ in range(7)]
    cpu, wall = median(m.cpu_s for m in shows), median(m.wall_s for m in shows)
    figures.append(Figure("start-up: evals show of 12,000 records, CPU", cpu, 1.0, "s", f"{wall:.2f} s wall"))
    by_sample = measure_command(evals_command("show", "a", "--samples", "--json", "--results", results))
    figures.append(
        Figure("start-up: show --samples --json of 12,000, CPU", by_sample.cpu_s, 2.0, "s", "no stated limit")
    )
    return figures


def memory(server: Mock, folder: Path, *, records: int = 100_000) -> list[Figure]:
    """Measure the peak memory of a run with long replies and of one with many records; neither may be high."""
    data = make_data(folder / "data")
    server.configure(LONG)
    long, _ = run(server, head(data, 3000), folder / "long", "--concurrency", 64)
    data_file = folder / "many.jsonl"
    lines = (data / "mcq.jsonl").read_text().splitlines()
    with data_file.open("w") as stream:
        for number in range(records):
            row = json.loads(lines[number % len(lines)])
            stream.write(json.dumps(row | {"question_id": number}) + "\n")
    server.configure(ZERO)
    many, [entry] = run(server, data_file, folder / "many", "--concurrency", 64)
    if entry["expected"] != records or entry["coverage"] != 1.0:
        raise RuntimeError(f"{entry['coverage']} of {entry['expected']}")
    disk = sum(path.stat().st_size for path in (folder / "long").rglob("*") if path.is_file()) / 2**20
    return [
        Figure(
            "memory: 3,000 replies of 64 KiB, peak",
            long.peak_mb,
            200,
            "MB",
            f"{disk:.0f} MB on disk for 188 MB of text",
        ),
        Figure(f"memory: {records:,} records, peak", many.peak_mb, 200, "MB", f"{many.wall_s:.0f} s"),
    ]


def rescore(server: Mock, folder: Path) -> list[Figure]:
    """Measure the import of 12,000 recorded replies up to the estimate, and rescoring the imported run."""
    data = make_data(folder / "data")
    replies = folder / "replies.jsonl"
    generator = random.Random(0)
    with replies.open("w") as stream:
        for number in range(12_000):
            text = (
                f"{'We weigh the options one by one. ' * 7}The answer is ({generator.choice('ABCDEFGHIJ')})."
            )
            stream.write(json.dumps({"id": number, "text": text}) + "\n")
    imports, scores = [], []
    for turn in range(RUNS):
        arguments = (
            "--suite",
            "mmlu-pro",
            "--model",
            "m",
            "--data",
            data / "mcq.jsonl",
            "--run",
            f"r{turn}",
            "--json",
        )
        imports.append(
            measure_command(
                evals_command("import", "replies", replies, *arguments, "--results", folder / "rescore")
            )
        )
        scores.append(
            measure_command(evals_command("score", f"r{turn}", "--json", "--results", folder / "rescore"))
        )
    for measurement in (*imports, *scores):
        if measurement.status:
            raise RuntimeError(measurement.err)
    return [
        Figure(
            "rescore: 12,000 replies, import to estimate, CPU", median(m.cpu_s for m in imports), 3.0, "s"
        ),
        Figure(
            "rescore: evals score of 12,000, CPU", median(m.cpu_s for m in scores), 3.0, "s", "same limit"
        ),
    ]


def kill(server: Mock, folder: Path, *, items: int = 3000, kills: int = 10) -> list[Figure]:
    """Kill a run at random moments: no recorded sample is requested again, and the final result is the same."""
    data = head(make_data(folder / "data"), items)
    settings = {"dist": "fixed", "median_ms": 40, "slots": 64}
    server.configure(settings)
    _, [uninterrupted] = run(server, data, folder / "whole", "--concurrency", 64)
    server.configure(settings)
    generator, wasted = random.Random(time.time_ns()), 0
    for number in range(kills):
        target = generator.randrange(items // (kills + 1)) + number * items // (kills + 1)
        wasted += _run_and_kill(server, data, folder / "killed", target)
    before = _recorded_starts(folder / "killed")
    _, [entry] = run(server, data, folder / "killed", "--concurrency", 64)
    after = _final_starts(folder / "killed")
    replaced = sum(after.get(name) != started for name, started in before.items())
    repeated = server.stats()["requests"] - items - wasted
    is_same = entry["estimates"] == uninterrupted["estimates"] and entry["counts"] == uninterrupted["counts"]
    return [
        Figure(
            f"kill: {kills} kills, recorded samples requested again",
            max(repeated, 0),
            0,
            "",
            f"{wasted} calls in flight were lost",
        ),
        Figure("kill: recorded samples lost or replaced", replaced, 0),
        Figure("kill: result differs from an uninterrupted run", 0 if is_same else 1, 0),
    ]


def _run_and_kill(server: Mock, data: Path, results: Path, target: int) -> int:
    """Start a run, kill it at `target` calls in all, and return the number of calls without a record."""
    requests, records = server.stats()["requests"], len(_recorded_starts(results))
    command = evals_command(
        "run",
        "mmlu-pro",
        "-m",
        server.model,
        "--data",
        data,
        "--results",
        results,
        "--quiet",
        "--concurrency",
        64,
    )
    process = subprocess.Popen(list(map(str, command)), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    while server.stats()["requests"] < max(target, requests + 1) and process.poll() is None:
        time.sleep(0.002)
    process.send_signal(signal.SIGKILL)
    process.wait()
    while server.stats()["busy"] or server.stats()["waiting"]:
        time.sleep(0.02)  # the server still answers calls of the killed process
    return int(server.stats()["requests"] - requests - (len(_recorded_starts(results)) - records))


def _recorded_starts(results: Path) -> dict[str, float]:
    """Return the start time of each sample in the JSON lines of a killed run."""
    starts = {}
    for path in results.glob("*/*/*/records.jsonl"):
        for line in path.read_bytes().splitlines(keepends=True):
            if line.endswith(b"\n"):
                record = json.loads(line)
                starts[record["sample"]] = record["started"]
    return starts


def _final_starts(results: Path) -> dict[str, float]:
    """Return the start time of each sample of a finished run."""
    from evals.records import store

    [stored] = store.runs(results)
    return {record.sample: record.started for record in stored.records()}


def faults(server: Mock, folder: Path, *, items: int = 3000) -> list[Figure]:
    """Check that temporary faults do not change scores, and that permanent ones count as failures with bounds."""
    data = head(make_data(folder / "data"), items)
    server.configure(ZERO)
    _, [clean] = run(server, data, folder / "clean", "--concurrency", 64, "--run", "a")
    expected = _verdicts(folder / "clean")
    server.configure(FAULTS)
    temporary, _ = run(server, data, folder / "passing", "--concurrency", 64, "--run", "a")
    after_retries = _verdicts(folder / "passing")
    wrong = sum(after_retries[name] != verdict for name, verdict in expected.items())
    server.configure(FAULTS | {"fault_sticky": 1})
    _, [sticky] = run(server, data, folder / "sticky", "--concurrency", 64, "--run", "a")
    permanent = _verdicts(folder / "sticky")
    failed = {name for name, verdict in permanent.items() if verdict.startswith("failed:")}
    changed = sum(permanent[name] != expected[name] for name in expected if name not in failed)
    estimate = next(e for e in sticky["estimates"] if e["headline"])
    hits = sum(verdict == "right" for verdict in permanent.values())
    is_bounded = (
        estimate["n"] == items - len(failed)
        and sticky["coverage"] == (items - len(failed)) / items
        and abs(estimate["worst"] - hits / items) < 1e-12
        and abs(estimate["best"] - (hits + len(failed)) / items) < 1e-12
    )
    kinds = {name: count for name, count in sticky["counts"].items() if name.startswith("failed:")}
    return [
        Figure("faults: temporary, samples with another verdict", wrong, 0, "", f"{temporary.wall_s:.1f} s"),
        Figure("faults: permanent, other samples with another verdict", changed, 0, "", f"failures {kinds}"),
        Figure(
            "faults: permanent, wrong coverage or bounds",
            0 if is_bounded else 1,
            0,
            "",
            f"{clean['coverage']}",
        ),
    ]


def _verdicts(results: Path) -> dict[str, str]:
    """Return the verdict of each sample of run a."""
    measurement = measure_command(evals_command("show", "a", "--samples", "--json", "--results", results))
    return {row["id"]: row["verdict"] for row in json.loads(measurement.out)["samples"]}


BENCHES: dict[str, Callable[[Mock, Path], list[Figure]]] = {
    "overhead": overhead,
    "saturation": saturation,
    "suites": suites,
    "startup": startup,
    "memory": memory,
    "rescore": rescore,
    "kill": kill,
    "faults": faults,
}


def main() -> int:
    """Run benchmarks and print their figures; return 1 if a figure is over its limit."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("names", nargs="*", default=["all"], choices=[*BENCHES, "all"])
    names = parser.parse_args().names
    is_over = False
    with tempfile.TemporaryDirectory() as root, mock() as server:
        for name in BENCHES if "all" in names else names:
            folder = Path(root) / name
            folder.mkdir()
            for figure in BENCHES[name](server, folder):
                print(figure, flush=True)
                is_over = is_over or figure.value > figure.limit
    return int(is_over)


if __name__ == "__main__":
    sys.exit(main())
