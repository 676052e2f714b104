"""One driver before many servers, without a network: `python -m tests.performance.bench_driver [SERVERS...]`.

Each server is simulated in this process: 20 places at 0.8 s a call, so that 1,000 of them could answer 25,000 calls/s.
The runner, its caller, the choice of a server, scoring and the records on disk are the product's own. The floor is the same
without a choice: one model that answers after 0.8 s. Prints records/s, records per CPU second and the peak memory.
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

PLACES, SECONDS = 20, 0.8


class Rate(NamedTuple):
    """Throughput of a driver, disk included."""

    servers: int
    records_per_s: float
    records_per_cpu_s: float
    peak_mb: float

    def __str__(self) -> str:
        """Return the line of the report."""
        name = f"{self.servers:,} servers" if self.servers else "floor: no choice of a server"
        return (
            f"{name:<30} {self.records_per_s:9,.0f} records/s {self.records_per_cpu_s:9,.0f} per CPU second "
            f"{self.peak_mb:5.0f} MB"
        )


class Simulated:
    """A server that answers every call after a while."""

    accepts = frozenset[str]()
    name = "simulated"
    slots: int | None = PLACES * 1000
    notes: list[str] = []

    def add_headers(self, headers: Mapping[str, str]) -> None:
        """Take no headers."""

    async def reply(self, prompt: Prompt, sampling: Sampling) -> Reply:
        """Return a reply after a while."""
        await asyncio.sleep(SECONDS)
        return Reply(text="A", usage=Usage(input=9, output=3))

    async def logprobs(self, prompt: str, continuations: Sequence[str]) -> tuple[Likelihood, ...]:
        """Raise: there are none."""
        raise NotImplementedError

    async def close(self) -> None:
        """Close nothing."""


def _model(servers: int) -> Model:
    if not servers:
        return Simulated()
    urls = [f"http://s{number}/v1" for number in range(servers)]
    return Endpoints("simulated", Addresses(",".join(urls), lambda url: None), lambda url: Simulated())


def measure(servers: int, records: int) -> Rate:
    """Run in this process."""

    async def main() -> Rate:
        with tempfile.TemporaryDirectory() as folder:
            job = toy.job(Path(folder), toy.suite(records), model="simulated")
            model = _model(servers)
            runner = Runner(model, [job], concurrency=PLACES * max(servers, 1000))
            began, cpu = time.monotonic(), time.process_time()
            await runner.run()
            seconds, cpu_s = time.monotonic() - began, time.process_time() - cpu
            await model.close()
            lines = sum(1 for _ in (job.writer.path / "records.jsonl").open())
            toy.close_job(job)
        if lines != records:
            raise AssertionError(f"{lines} records, not {records}")
        return Rate(servers, records / seconds, records / cpu_s, _peak_mb())

    import uvloop

    return uvloop.run(main())


def _peak_mb() -> float:
    """Return the peak memory of this process; `getrusage` would include that of the process that started it."""
    status = Path("/proc/self/status").read_text(encoding="ascii")
    return next(int(line.split()[1]) for line in status.splitlines() if line.startswith("VmHWM")) / 1024


def apart(servers: int, records: int) -> Rate:
    """Run in a process of its own, so that its peak memory is its own; `multiprocessing` would import this one's main."""
    code = f"from tests.performance import bench_driver as b; print(*b.measure({servers}, {records}))"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    count, *figures = done.stdout.split()
    return Rate(int(count), *map(float, figures))


def main() -> None:
    """Print a row per number of servers, the floor first."""
    print(f"load {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores")
    for servers in [0, *(map(int, sys.argv[1:]) if sys.argv[1:] else (1, 10, 100, 1000))]:
        print(apart(servers, 200_000 if servers in (0, 1000) else 50_000), flush=True)


if __name__ == "__main__":
    main()
