"""Replicas in this process: scripted latency, no Ray; to test the driver, and to measure its throughput.

python -m tests.support.simulated_replicas [REPLICAS] [SLOTS] [LATENCY_S] [SECONDS] [--profile]
"""

from __future__ import annotations

import asyncio
import sys
import tempfile
import time
from collections.abc import Callable
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

FACTS = ReplicaInfo(name="simulated", accepts=frozenset({"image"}), slots=16, node="here")
_encode = msgspec.msgpack.Encoder().encode
_work = msgspec.msgpack.Decoder(RequestBatch).decode


class Simulated:
    """A replica that answers each question after `latency_s`; it may die, freeze and return."""

    def __init__(
        self,
        latency_s: float = 0.0,
        *,
        says: Callable[[str], Reply | RemoteError] | None = None,
        facts: ReplicaInfo = FACTS,
        poll_s: float = POLL_S,
    ) -> None:
        self.facts, self.latency_s, self.poll_s = facts, latency_s, poll_s
        self.says = says or (lambda text: Reply(text="A", usage=Usage(input=9, output=3)))
        self.asked: list[str] = []
        self.starts = 0
        self.closed = False
        self.dead = self.frozen = False
        self.comes_back = asyncio.Event()
        self._answers: list[ReplicaResponse] = []
        self._some = asyncio.Event()

    async def start(self) -> ReplicaInfo:
        self.starts += 1
        self._beat()
        if self.starts > 1:
            await self.comes_back.wait()
        self.dead = self.frozen = False
        self._answers = []
        return self.facts

    def _beat(self) -> None:
        """Send heartbeats, with or without answers."""
        self._some.set()
        asyncio.get_running_loop().call_later(self.poll_s, self._beat)

    def send(self, raw: bytes) -> None:
        asked = {q.number: q.prompt.messages[-1].parts[0].text for q in _work(raw).requests}  # type: ignore[union-attr]
        self.asked += asked.values()
        asyncio.get_running_loop().call_later(self.latency_s, self._done, asked, self.starts)

    def _done(self, asked: dict[int, str], start: int) -> None:
        if asked and start == self.starts and not self.dead:
            self._answers += [ReplicaResponse(number, self.says(text)) for number, text in asked.items()]
            self._some.set()

    async def receive(self) -> bytes:
        if self.frozen:
            await asyncio.Event().wait()
        if not self._answers and not self.dead:
            self._some.clear()
            await self._some.wait()
        if self.frozen:
            await asyncio.Event().wait()
        if self.dead:
            raise ReplicaLost("its node is gone")
        answers, self._answers = self._answers, []
        return _encode(answers)

    def die(self) -> None:
        self.dead = True
        self._some.set()

    async def close(self) -> None:
        self.closed = True


PROFILE: list[Any] = []
"""A profile of the run alone, where one is wanted."""


class Rate(NamedTuple):
    """Throughput of the driver, disk included."""

    records_per_s: float
    records_per_cpu_s: float


def measure(replicas: int, slots: int, latency_s: float, seconds: float) -> Rate:
    """Run for so many seconds."""
    from evals.run.runner import Runner
    from tests.support import toy

    async def main() -> Rate:
        facts = msgspec.structs.replace(FACTS, slots=slots)
        cluster = Cluster([Simulated(latency_s, facts=facts) for _ in range(replicas)], facts)
        wanted = int(30_000 * seconds)
        with tempfile.TemporaryDirectory() as folder:
            job = toy.job(Path(folder), toy.suite(wanted), model="simulated")
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
            took, used = time.monotonic() - began, time.process_time() - cpu
            done = sum(1 for _ in (job.writer.path / "records.jsonl").open())
            toy.close(job)
            await cluster.close()
        return Rate(done / took, done / used)

    import uvloop

    return uvloop.run(main())


def _command(words: list[str]) -> None:
    numbers = [word for word in words if not word.startswith("-")]
    replicas, slots, latency_s, seconds = (
        *map(float, numbers),
        *(1000.0, 4.0, 0.1, 5.0)[len(numbers) :],
    )
    if "--profile" in words:
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
