"""The figures that this project promises, measured: `python -m tests.performance.bench [NAME...|all]`.

Names: overhead saturation suites startup memory rescore kill faults. A line per figure: what was measured, its
ratio to its floor or ideal, and the bar. Everything talks to a mock of the OpenAI protocol on this machine, so
the figures are ratios of one machine, medians of three runs, interleaved with the floor where there is one.
Needs node and the shared bench (EVALS_SHARED).
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
    Measured,
    Mock,
    bench_folder,
    evals,
    head,
    ideal_s,
    make_data,
    measured,
    mock,
)

RUNS = 3
TRUE_SCORE = 0.62775
"""Share of the 12,000 items that the mock answers right."""


class Figure(NamedTuple):
    """One line of the report."""

    name: str
    value: float
    bar: float
    unit: str = ""
    note: str = ""

    def __str__(self) -> str:
        """Write the line."""
        verdict = "ok" if self.value <= self.bar else "OVER"
        note = f"  ({self.note})" if self.note else ""
        return f"{self.name:<52} {self.value:>9.3f} {self.unit:<6} bar {self.bar:g}  {verdict}{note}"


def run(
    server: Mock, data: Path, results: Path, *words: object, suites: tuple[str, ...] = ("mmlu-pro",)
) -> Any:
    """Run the command against the mock; gives (measurement, runs)."""
    done = measured(
        evals(
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
            *words,
        )
    )
    if done.status not in (0, 1):
        raise RuntimeError(done.err)
    return done, json.loads(done.out)["runs"]


def value(entry: Any) -> float:
    """The headline."""
    return float(next(e["value"] for e in entry["estimates"] if e["headline"]))


def floor(server: Mock, data: Path, out: Path, concurrency: int) -> Measured:
    """Run the bare aiohttp client."""
    script = out.with_name("floor.py")
    source = (bench_folder() / "floor_aiohttp.py").read_text()
    script.write_text(source.replace("127.0.0.1:8000", f"127.0.0.1:{server.port}"))
    done = measured([sys.executable, script, data, out, concurrency])
    if done.status:
        raise RuntimeError(done.err)
    return done


def overhead(server: Mock, folder: Path, *, items: int = 12_000) -> list[Figure]:
    """CPU and memory of the whole way at zero latency, against the floor."""
    data = head(make_data(folder / "data"), items)
    ours, floors = [], []
    for turn in range(RUNS):
        server.configure(ZERO)
        floors.append(floor(server, data, folder / "floor.jsonl", 64))
        server.configure(ZERO)
        done, [entry] = run(server, data, folder / f"overhead{turn}", "--concurrency", 64)
        if items == 12_000 and abs(value(entry) - TRUE_SCORE) > 1e-9:
            raise RuntimeError(f"wrong score: {value(entry)}")
        ours.append(done)
    cpu, least = median(d.cpu_s for d in ours), median(d.cpu_s for d in floors)
    note = f"{cpu:.2f} s over {least:.2f} s of CPU; {1000 * cpu / items:.3f} s per 1,000"
    peak = max(d.peak_mb for d in ours)
    return [
        Figure(f"overhead: CPU over the aiohttp floor, {items} items", cpu / least, 2.0, "times", note),
        Figure("overhead: peak memory", peak, 200, "MB", f"floor {max(d.peak_mb for d in floors):.0f} MB"),
    ]


def saturation(server: Mock, folder: Path, *, items: int = 12_000) -> list[Figure]:
    """256 slots kept busy: first run (lengths unknown) and repeat run (lengths known)."""
    data = head(make_data(folder / "data"), items)
    ideal = ideal_s(SATURATION, 0, items)
    figures = []
    spans: dict[str, list[float]] = {"first": [], "repeat": []}
    around = []
    for turn in range(RUNS):
        for name in spans:
            server.configure(SATURATION)
            done, _ = run(server, data, folder / f"saturation{turn}", "--concurrency", 256, "--run", name)
            span_s = server.stats()["span_ms"] / 1000
            spans[name].append(span_s / ideal["lower_bound_s"])
            around.append(done.wall_s - span_s)
    in_order = ideal["list_order_s"] / ideal["lower_bound_s"]
    bars = {"first": 1.16 if items == 12_000 else in_order + 0.05, "repeat": 1.05}
    for name, ratios in spans.items():
        note = f"ideal {ideal['lower_bound_s']:.1f} s; file order {in_order:.2f}" if name == "first" else ""
        figures.append(
            Figure(f"saturation: span over the ideal, {name} run", median(ratios), bars[name], "times", note)
        )
    figures.append(Figure("saturation: start-up and end around the span", median(around), 1.5, "s"))
    return figures


def suites(server: Mock, folder: Path) -> list[Figure]:
    """Two suites of 3,000 in one queue, long tail."""
    data = make_data(folder / "data")
    mirror = folder / "two"
    (mirror / "mmlu-pro").mkdir(parents=True, exist_ok=True)
    (mirror / "gpqa").mkdir(exist_ok=True)
    (mirror / "mmlu-pro" / "test.jsonl").write_bytes((data / "suite_a.jsonl").read_bytes())
    with (mirror / "gpqa" / "gpqa_main.jsonl").open("w") as stream:
        for line in (data / "suite_b.jsonl").read_text().splitlines():
            row = json.loads(line)
            made = {
                "Record ID": str(row["question_id"]),
                "Question": row["question"],
                "High-level domain": "Physics",
            }
            names = ("Correct Answer", "Incorrect Answer 1", "Incorrect Answer 2", "Incorrect Answer 3")
            stream.write(json.dumps(made | dict(zip(names, row["options"], strict=False))) + "\n")
    ideal = ideal_s(TAIL, 0, 6000)
    spans: dict[str, list[float]] = {"first": [], "repeat": []}
    for turn in range(RUNS):
        for name in spans:
            server.configure(TAIL)
            words = ("--concurrency", 256, "--run", name)
            run(server, mirror, folder / f"suites{turn}", *words, suites=("mmlu-pro", "gpqa:main"))
            spans[name].append(server.stats()["span_ms"] / 1000 / ideal["lower_bound_s"])
    note = f"ideal {ideal['lower_bound_s']:.1f} s; first run {median(spans['first']):.2f}"
    return [
        Figure("suites: span over the merged ideal, repeat run", median(spans["repeat"]), 1.10, "times", note)
    ]


def bare_start() -> float:
    """CPU of importing what every command imports, in seconds: 0.06 on this project's machine at rest."""
    return median(measured([sys.executable, "-c", "import click, msgspec"]).cpu_s for _ in range(7))


def startup(server: Mock, folder: Path) -> list[Figure]:
    """CPU of the commands that must feel instant."""
    data = head(make_data(folder / "data"), 12_000)
    server.configure(ZERO)
    results = folder / "startup"
    run(server, data, results, "--concurrency", 64, "--run", "a")
    bare = bare_start()
    figures = []
    for words, bar in ((("--help",), 0.15), (("list", "suites"), 0.15)):
        cpu = median(measured(evals(*words)).cpu_s for _ in range(7))
        name, note = (
            f"start-up: CPU of evals {' '.join(words)}",
            f"importing click and msgspec alone {bare:.3f} s",
        )
        figures.append(Figure(name, cpu, bar, "s", note))
    shows = [measured(evals("show", "a", "--results", results)) for _ in range(7)]
    cpu, wall = median(d.cpu_s for d in shows), median(d.wall_s for d in shows)
    figures.append(Figure("start-up: evals show of 12,000 records, CPU", cpu, 1.0, "s", f"{wall:.2f} s wall"))
    by_sample = measured(evals("show", "a", "--samples", "--json", "--results", results))
    figures.append(
        Figure("start-up: show --samples --json of 12,000, CPU", by_sample.cpu_s, 2.0, "s", "no bar set")
    )
    return figures


def memory(server: Mock, folder: Path, *, records: int = 100_000) -> list[Figure]:
    """Memory does not grow with replies, nor with records."""
    data = make_data(folder / "data")
    server.configure(LONG)
    long, _ = run(server, head(data, 3000), folder / "long", "--concurrency", 64)
    many = folder / "many.jsonl"
    lines = (data / "mcq.jsonl").read_text().splitlines()
    with many.open("w") as stream:
        for number in range(records):
            row = json.loads(lines[number % len(lines)])
            stream.write(json.dumps(row | {"question_id": number}) + "\n")
    server.configure(ZERO)
    wide, [entry] = run(server, many, folder / "many", "--concurrency", 64)
    if entry["expected"] != records or entry["coverage"] != 1.0:
        raise RuntimeError(f"{entry['coverage']} of {entry['expected']}")
    disk = sum(path.stat().st_size for path in (folder / "long").rglob("*") if path.is_file()) / 2**20
    return [
        Figure(
            "memory: 3,000 replies of 64 KiB, peak", long.peak_mb, 200, "MB", f"{disk:.0f} MB on disk for 188"
        ),
        Figure(f"memory: {records:,} records, peak", wide.peak_mb, 200, "MB", f"{wide.wall_s:.0f} s"),
    ]


def rescore(server: Mock, folder: Path) -> list[Figure]:
    """12,000 recorded replies from file to estimate, and a run of them scored again."""
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
        words = (
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
        imports.append(measured(evals("import", "replies", replies, *words, "--results", folder / "rescore")))
        scores.append(measured(evals("score", f"r{turn}", "--json", "--results", folder / "rescore")))
    for done in (*imports, *scores):
        if done.status:
            raise RuntimeError(done.err)
    return [
        Figure(
            "rescore: 12,000 replies, import to estimate, CPU", median(d.cpu_s for d in imports), 3.0, "s"
        ),
        Figure("rescore: evals score of 12,000, CPU", median(d.cpu_s for d in scores), 3.0, "s", "same bar"),
    ]


def kill(server: Mock, folder: Path, *, items: int = 3000, kills: int = 10) -> list[Figure]:
    """Kill -9 at random moments; what was recorded is never asked again, and the table comes out the same."""
    data = head(make_data(folder / "data"), items)
    settings = {"dist": "fixed", "median_ms": 40, "slots": 64}
    server.configure(settings)
    _, [whole] = run(server, data, folder / "whole", "--concurrency", 64)
    server.configure(settings)
    generator, wasted = random.Random(time.time_ns()), 0
    for number in range(kills):
        goal = generator.randrange(items // (kills + 1)) + number * items // (kills + 1)
        wasted += _killed(server, data, folder / "killed", goal)
    before = dict(_recorded(folder / "killed"))
    _, [entry] = run(server, data, folder / "killed", "--concurrency", 64)
    after = _final(folder / "killed")
    moved = sum(after.get(name) != started for name, started in before.items())
    twice = server.stats()["requests"] - items - wasted
    same = entry["estimates"] == whole["estimates"] and entry["counts"] == whole["counts"]
    return [
        Figure(
            f"kill: {kills} kills, recorded samples asked again",
            max(twice, 0),
            0,
            "",
            f"{wasted} were in flight",
        ),
        Figure("kill: recorded samples lost or replaced", moved, 0),
        Figure("kill: final table other than an uninterrupted run's", 0 if same else 1, 0),
    ]


def _killed(server: Mock, data: Path, results: Path, goal: int) -> int:
    """Start, kill when the server has seen so many calls; gives the calls that left no record."""
    seen, kept = server.stats()["requests"], len(_recorded(results))
    command = evals(
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
    while server.stats()["requests"] < max(goal, seen + 1) and process.poll() is None:
        time.sleep(0.002)
    process.send_signal(signal.SIGKILL)
    process.wait()
    while server.stats()["busy"] or server.stats()["waiting"]:
        time.sleep(0.02)  # what it had sent is served, and wasted
    return int(server.stats()["requests"] - seen - (len(_recorded(results)) - kept))


def _recorded(results: Path) -> dict[str, float]:
    """Sample -> when it was asked, from the lines of a run that was killed."""
    found = {}
    for path in results.glob("*/*/*/records.jsonl"):
        for line in path.read_bytes().splitlines(keepends=True):
            if line.endswith(b"\n"):
                record = json.loads(line)
                found[record["sample"]] = record["started"]
    return found


def _final(results: Path) -> dict[str, float]:
    from evals.records import store

    [only] = store.runs(results)
    return {record.sample: record.started for record in only.records()}


def faults(server: Mock, folder: Path, *, items: int = 3000) -> list[Figure]:
    """Passing faults leave no trace in the scores; lasting ones are failures, counted and bounded."""
    data = head(make_data(folder / "data"), items)
    server.configure(ZERO)
    _, [clean] = run(server, data, folder / "clean", "--concurrency", 64, "--run", "a")
    right = _verdicts(folder / "clean")
    server.configure(FAULTS)
    passing, _ = run(server, data, folder / "passing", "--concurrency", 64, "--run", "a")
    found = _verdicts(folder / "passing")
    wrong = sum(found[name] != verdict for name, verdict in right.items())
    server.configure(FAULTS | {"fault_sticky": 1})
    _, [sticky] = run(server, data, folder / "sticky", "--concurrency", 64, "--run", "a")
    lasting = _verdicts(folder / "sticky")
    failed = {name for name, verdict in lasting.items() if verdict.startswith("failed:")}
    misjudged = sum(lasting[name] != right[name] for name in right if name not in failed)
    estimate = next(e for e in sticky["estimates"] if e["headline"])
    hits = sum(lasting[name] == "right" for name in lasting)
    sound = (
        estimate["n"] == items - len(failed)
        and sticky["coverage"] == (items - len(failed)) / items
        and abs(estimate["worst"] - hits / items) < 1e-12
        and abs(estimate["best"] - (hits + len(failed)) / items) < 1e-12
    )
    kinds = {name: count for name, count in sticky["counts"].items() if name.startswith("failed:")}
    return [
        Figure("faults: passing, samples without their right score", wrong, 0, "", f"{passing.wall_s:.1f} s"),
        Figure("faults: lasting, other samples misjudged", misjudged, 0, "", f"failures {kinds}"),
        Figure(
            "faults: lasting, failures not bounded as they should",
            0 if sound else 1,
            0,
            "",
            f"{clean['coverage']}",
        ),
    ]


def _verdicts(results: Path) -> dict[str, str]:
    done = measured(evals("show", "a", "--samples", "--json", "--results", results))
    return {row["id"]: row["verdict"] for row in json.loads(done.out)["samples"]}


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
    """Run benches and print their figures; 1 where one is over its bar."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("names", nargs="*", default=["all"], choices=[*BENCHES, "all"])
    names = parser.parse_args().names
    over = False
    with tempfile.TemporaryDirectory() as place, mock() as server:
        for name in BENCHES if "all" in names else names:
            folder = Path(place) / name
            folder.mkdir()
            for figure in BENCHES[name](server, folder):
                print(figure, flush=True)
                over = over or figure.value > figure.bar
    return int(over)


if __name__ == "__main__":
    sys.exit(main())
