"""The shared mock server and data set of the benchmarks, which are found through EVALS_SHARED."""

from __future__ import annotations

import json
import os
import resource
import socket
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

ZERO = {"dist": "zero", "slots": 0}
SATURATION = {"dist": "lognormal", "median_ms": 300, "sigma": 0.8, "slots": 256}
TAIL = SATURATION | {"sigma": 1.2}
LONG = {"dist": "zero", "slots": 0, "reason_chars": 65_536}
"""Settings of the mock server: latencies, slots, and the length of the reasoning."""
NO_FAULTS = {"p429": 0, "p500": 0, "pdrop": 0, "ptrunc": 0, "fault_sticky": 0, "reason_chars": 0}
FAULTS = {
    "dist": "fixed",
    "median_ms": 20,
    "slots": 0,
    "p429": 0.02,
    "p500": 0.02,
    "pdrop": 0.02,
    "ptrunc": 0.02,
}
"""Probabilities of HTTP 429, HTTP 500, a closed connection and a truncated response."""


def bench_folder() -> Path:
    """Return the folder of the shared benchmark files; raise FileNotFoundError if there is none."""
    from tools.mirror import shared_folder

    return shared_folder() / "bench"


def make_data(folder: Path) -> Path:
    """Generate the benchmark data in a folder unless they exist, and return the folder."""
    if not (folder / "mcq.jsonl").exists():
        command = [sys.executable, str(bench_folder() / "make_data.py"), str(folder)]
        subprocess.run(command, check=True, capture_output=True)
    return folder


def head(data: Path, count: int) -> Path:
    """Write a file with the first `count` items and return its path."""
    path = data / f"first{count}.jsonl"
    with (data / "mcq.jsonl").open() as stream:
        path.write_text("".join(line for _, line in zip(range(count), stream, strict=False)))
    return path


class Mock:
    """A running mock server."""

    def __init__(self, port: int) -> None:
        self.port = port
        self.model = f"server:http://127.0.0.1:{port}/v1#mock"

    def configure(self, settings: dict[str, Any]) -> None:
        """Set the behaviour of the mock and reset its counters."""
        self._request("__config", NO_FAULTS | settings)

    def stats(self) -> dict[str, Any]:
        """Return the counters of the mock."""
        counters: dict[str, Any] = self._request("__stats")
        return counters

    def _request(self, path: str, settings: dict[str, Any] | None = None) -> Any:
        request = urllib.request.Request(
            f"http://127.0.0.1:{self.port}/{path}",
            data=None if settings is None else json.dumps(settings).encode(),
        )
        with urllib.request.urlopen(request, timeout=60) as response:
            return json.loads(response.read())


@contextmanager
def mock() -> Iterator[Mock]:
    """Start the mock server on a free port, and stop it at the end."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = ["node", str(bench_folder() / "mock_server.js")]
    with subprocess.Popen(
        command, env=os.environ | {"PORT": str(port)}, stdout=subprocess.PIPE, text=True
    ) as server:
        try:
            assert server.stdout is not None
            server.stdout.readline()
            yield Mock(port)
        finally:
            server.terminate()


class Measurement(NamedTuple):
    """Outcome and resource use of a command."""

    status: int
    out: str
    err: str
    wall_s: float
    cpu_s: float
    """CPU time of the process and its children."""
    peak_mb: float
    """Peak resident memory of the process tree, sampled every 0.05 s."""
    started: float
    """Seconds since the epoch."""
    ended: float


def measure_command(command: Sequence[object], *, env: dict[str, str] | None = None) -> Measurement:
    """Run a command and measure it; Python may write compiled modules, as it does for users."""
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    started, clock = time.time(), time.monotonic()
    peak = [0.0]
    with subprocess.Popen(
        [str(word) for word in command],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=environment | (env or {}),
    ) as process:
        watcher = threading.Thread(target=_watch, args=(process, peak))
        watcher.start()
        out, err = process.communicate()
        watcher.join()
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu_s = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return Measurement(
        process.returncode, out, err, time.monotonic() - clock, cpu_s, peak[0], started, time.time()
    )


def _watch(process: subprocess.Popen[str], peak: list[float]) -> None:
    while process.poll() is None:
        peak[0] = max(peak[0], tree_mb(process.pid))
        time.sleep(0.05)


def tree_mb(root: int) -> float:
    """Return the resident memory of a process and its descendants in MB; shared pages count once per process."""
    parents: dict[int, list[int]] = {}
    sizes: dict[int, int] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                text = (entry / "stat").read_text()
            except OSError:
                continue
            fields = text[text.rindex(")") + 2 :].split()
            parents.setdefault(int(fields[1]), []).append(int(entry.name))
            sizes[int(entry.name)] = int(fields[21]) * resource.getpagesize()
    waiting, total = [root], 0
    while waiting:
        pid = waiting.pop()
        total += sizes.get(pid, 0)
        waiting += parents.get(pid, [])
    return total / 2**20


def evals_command(*arguments: object) -> list[object]:
    """Return the command line that runs `evals` through its entry point."""
    return [sys.executable, "-c", "from evals.cli import main; main()", *arguments]


def ideal_s(settings: dict[str, Any], low: int, high: int) -> dict[str, float]:
    """Return bounds of the makespan of items `low` to `high`: lower_bound_s, list_order_s and list_lpt_s."""
    arguments = (settings["median_ms"], settings["sigma"], settings["slots"], low, high)
    command = ["node", str(bench_folder() / "ideal.js"), *map(str, arguments)]
    bounds: dict[str, float] = json.loads(subprocess.run(command, check=True, capture_output=True).stdout)
    return bounds
