"""Replicas in this process with scripted latency, without Ray, to test the driver and measure its throughput.

python -m tests.support.simulated_replicas [REPLICAS] [SLOTS] [LATENCY_S] [SECONDS] [--profile]
"""

from __future__ import annotations

import asyncio
import sys
import tempfile
import time
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from typing import Any, NamedTuple

import msgspec

from evals.run.cluster.queue import (
    POLL_S,
    Cluster,
    RemoteError,
    ReplicaInfo,
    ReplicaLost,
    ReplicaResponse,
    RequestBatch,
)
from evals.types import Reply, Usage

REPLICA_INFO = ReplicaInfo(
    name="simulated", accepts=frozenset({"image"}), slots=16, node="here", version=version("science-evals")
)
_encode = msgspec.msgpack.Encoder().encode
_work = msgspec.msgpack.Decoder(RequestBatch).decode


class SimulatedReplica:
    """A replica that answers each request after `latency_s`; it can die, freeze and restart."""

    def __init__(
        self,
        latency_s: float = 0.0,
        *,
        respond: Callable[[str], Reply | RemoteError] | None = None,
        info: ReplicaInfo = REPLICA_INFO,
        poll_s: float = POLL_S,
    ) -> None:
        self.info, self.latency_s, self.poll_s = info, latency_s, poll_s
        self.respond = respond or (lambda text: Reply(text="A", usage=Usage(input=9, output=3)))
        self.received: list[str] = []
        self.starts = 0
        self.closed = False
        self.dead = self.frozen = False
        self.may_restart = asyncio.Event()
        self._answers: list[ReplicaResponse] = []
        self._wake = asyncio.Event()

    async def start(self) -> ReplicaInfo:
        self.starts += 1
        self._wake_regularly()
        if self.starts > 1:
            await self.may_restart.wait()
        self.dead = self.frozen = False
        self._answers = []
        return self.info

    def _wake_regularly(self) -> None:
        """Wake `receive` regularly, so that it returns even without answers."""
        self._wake.set()
        asyncio.get_running_loop().call_later(self.poll_s, self._wake_regularly)

    def send(self, raw: bytes) -> None:
        texts = {q.number: q.prompt.messages[-1].parts[0].text for q in _work(raw).requests}  # type: ignore[union-attr]
        self.received += texts.values()
        asyncio.get_running_loop().call_later(self.latency_s, self._done, texts, self.starts)

    def _done(self, texts: dict[int, str], start: int) -> None:
        if texts and start == self.starts and not self.dead:
            self._answers += [ReplicaResponse(number, self.respond(text)) for number, text in texts.items()]
            self._wake.set()

    async def receive(self) -> bytes:
        if self.frozen:
            await asyncio.Event().wait()
        if not self._answers and not self.dead:
            self._wake.clear()
            await self._wake.wait()
        if self.frozen:
            await asyncio.Event().wait()
        if self.dead:
            raise ReplicaLost("its node is gone")
        answers, self._answers = self._answers, []
        return _encode(answers)

    def die(self) -> None:
        self.dead = True
        self._wake.set()

    async def close(self) -> None:
        self.closed = True


PROFILE: list[Any] = []
"""The profiler to use during the run, if any."""


class Rate(NamedTuple):
    """Throughput of the driver, including writes to disk."""

    records_per_s: float
    records_per_cpu_s: float


def measure(replicas: int, slots: int, latency_s: float, seconds: float) -> Rate:
    """Return the throughput of a run of `seconds` seconds."""
    from evals.run.runner import Runner
    from tests.support import toy

    async def main() -> Rate:
        info = msgspec.structs.replace(REPLICA_INFO, slots=slots)
        cluster = Cluster([SimulatedReplica(latency_s, info=info) for _ in range(replicas)], info)
        items = int(30_000 * seconds)
        with tempfile.TemporaryDirectory() as folder:
            job = toy.job(Path(folder), toy.suite(items), model="simulated")
            runner = Runner(cluster, [job], concurrency=replicas * slots)
            if (waiting := cluster.ready()) is not None:
                await waiting
            began, cpu = time.monotonic(), time.process_time()
            asyncio.get_running_loop().call_later(seconds, runner.end, "time")
            if PROFILE:
                PROFILE[0].enable()
            await runner.run()
            if PROFILE:
                PROFILE[0].disable()
            elapsed, cpu_used = time.monotonic() - began, time.process_time() - cpu
            done = sum(1 for _ in (job.writer.path / "records.jsonl").open())
            toy.close_job(job)
            await cluster.close()
        return Rate(done / elapsed, done / cpu_used)

    import uvloop

    return uvloop.run(main())


def _command(arguments: list[str]) -> None:
    numbers = [word for word in arguments if not word.startswith("-")]
    replicas, slots, latency_s, seconds = (
        *map(float, numbers),
        *(1000.0, 4.0, 0.1, 5.0)[len(numbers) :],
    )
    if "--profile" in arguments:
        import cProfile
        import pstats

        PROFILE.append(profile := cProfile.Profile())
        rate = measure(int(replicas), int(slots), latency_s, seconds)
        pstats.Stats(profile).sort_stats("tottime").print_stats(30)
    else:
        rate = measure(int(replicas), int(slots), latency_s, seconds)
    print(
        f"{replicas:.0f} replicas, {slots:.0f} slots each, {latency_s:g} s: {rate.records_per_s:,.0f} records/s, {rate.records_per_cpu_s:,.0f} a CPU second"
    )


if __name__ == "__main__":
    _command(sys.argv[1:])
