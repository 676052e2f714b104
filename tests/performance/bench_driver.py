"""Measure one driver with many servers, without a network: `python -m tests.performance.bench_driver [SERVERS...]`.

Each server is simulated in this process: 20 slots at 0.8 s a call, so that 1,000 servers could answer 25,000 calls/s.
The runner, its caller, the choice of a server, scoring and the records on disk are those of the product. The baseline has
no choice of a server: one model that replies after 0.8 s. Prints records/s, records per CPU second and the peak memory.
"""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from evals.model_adapters.common.addresses import Addresses
from evals.model_adapters.common.endpoints import Endpoints
from evals.run.runner import Runner
from evals.types import Likelihood, Model, Prompt, Reply, Sampling, Usage
from tests.support import toy
from tests.support.paths import ROOT

SLOTS, SECONDS = 20, 0.8


class Rate(NamedTuple):
    """Throughput and peak memory of a driver that writes its records to disk."""

    servers: int
    records_per_s: float
    records_per_cpu_s: float
    peak_mb: float

    def __str__(self) -> str:
        """Return the line of the report."""
        name = f"{self.servers:,} servers" if self.servers else "baseline: no choice of a server"
        return (
            f"{name:<30} {self.records_per_s:9,.0f} records/s {self.records_per_cpu_s:9,.0f} per CPU second "
            f"{self.peak_mb:5.0f} MB"
        )


class SimulatedServer:
    """A server that replies to every call after SECONDS."""

    accepts = frozenset[str]()
    name = "simulated"
    slots: int | None = SLOTS * 1000
    notes: list[str] = []

    def add_headers(self, headers: Mapping[str, str]) -> None:
        """Ignore the headers."""

    async def reply(self, prompt: Prompt, sampling: Sampling) -> Reply:
        """Return a reply after SECONDS."""
        await asyncio.sleep(SECONDS)
        return Reply(text="A", usage=Usage(input=9, output=3))

    async def logprobs(self, prompt: str, continuations: Sequence[str]) -> tuple[Likelihood, ...]:
        """Raise NotImplementedError; the server has no log-probabilities."""
        raise NotImplementedError

    async def close(self) -> None:
        """Do nothing; there is nothing to close."""


def _model(servers: int) -> Model:
    """Return a model on a number of simulated servers, or the baseline if it is 0."""
    if not servers:
        return SimulatedServer()
    urls = [f"http://s{number}/v1" for number in range(servers)]
    return Endpoints("simulated", Addresses(",".join(urls), lambda url: None), lambda url: SimulatedServer())


def measure(servers: int, records: int) -> Rate:
    """Measure a run in this process; raise AssertionError if records are missing."""

    async def main() -> Rate:
        with tempfile.TemporaryDirectory() as folder:
            job = toy.job(Path(folder), toy.suite(records), model="simulated")
            model = _model(servers)
            runner = Runner(model, [job], concurrency=SLOTS * max(servers, 1000))
            started, cpu = time.monotonic(), time.process_time()
            await runner.run()
            seconds, cpu_s = time.monotonic() - started, time.process_time() - cpu
            await model.close()
            lines = sum(1 for _ in (job.writer.path / "records.jsonl").open())
            toy.close_job(job)
        if lines != records:
            raise AssertionError(f"{lines} records, not {records}")
        return Rate(servers, records / seconds, records / cpu_s, _peak_mb())

    import uvloop

    return uvloop.run(main())


def _peak_mb() -> float:
    """Return the peak memory of this process; `getrusage` would include its parent's memory."""
    status = Path("/proc/self/status").read_text(encoding="ascii")
    return next(int(line.split()[1]) for line in status.splitlines() if line.startswith("VmHWM")) / 1024


def measure_in_subprocess(servers: int, records: int) -> Rate:
    """Measure in a subprocess, to get its own peak memory; `multiprocessing` would import this process's main module."""
    code = f"from tests.performance import bench_driver as b; print(*b.measure({servers}, {records}))"
    process = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True
    )
    count, *figures = process.stdout.split()
    return Rate(int(count), *map(float, figures))


def main() -> None:
    """Print a row per number of servers, the baseline first."""
    print(f"load {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores")
    for servers in [0, *(map(int, sys.argv[1:]) if sys.argv[1:] else (1, 10, 100, 1000))]:
        print(measure_in_subprocess(servers, 200_000 if servers in (0, 1000) else 50_000), flush=True)


if __name__ == "__main__":
    main()
