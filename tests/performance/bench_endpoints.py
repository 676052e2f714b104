"""Measure several servers of one model, each simulated with 16 slots: `python -m tests.performance.bench_endpoints`.

Print the speed of three servers relative to one. For three servers of which one dies half way through, or has a tenth
of the speed, print the time relative to the ideal, in which no slot is ever idle.
"""

from __future__ import annotations

import asyncio
import statistics
import tempfile
from pathlib import Path

from evals.errors import Disconnected
from tests.model_adapters.test_endpoints import SimulatedServer, after, model_on, run

SLOTS, SECONDS = 16, 0.1


async def _seconds(servers: list[SimulatedServer], count: int) -> float:
    """Return the seconds that a run of `count` samples takes on these servers."""
    with tempfile.TemporaryDirectory() as folder:
        result = await run(Path(folder), model_on(*servers), count=count, concurrency=SLOTS * len(servers))
    if not result.is_complete:
        raise AssertionError("a sample was not recorded exactly once")
    return result.seconds


async def _seconds_if_one_dies(count: int) -> float:
    """Return the seconds that three servers take if one of them fails half way through."""
    servers = [SimulatedServer(SECONDS) for _ in range(3)]
    fault = Disconnected("refused", unreachable=True)
    after(servers[0], count // 6, lambda: setattr(servers[0], "fault", fault))
    return await _seconds(servers, count)


async def main() -> None:
    """Print a row per case: seconds, and their ratio to the ideal."""
    count, rate = 3200, SLOTS / SECONDS
    one_s = await _seconds([SimulatedServer(SECONDS)], count)
    three_s = await _seconds([SimulatedServer(SECONDS) for _ in range(3)], 3 * count)
    print(
        f"one {one_s:.2f} s; three with three times the samples {three_s:.2f} s: {3 * one_s / three_s:.2f} times the speed"
    )
    slow_s = statistics.median(
        [
            await _seconds(
                [SimulatedServer(SECONDS), SimulatedServer(SECONDS), SimulatedServer(10 * SECONDS)], count
            )
            for _ in range(3)
        ]
    )
    print(
        f"one of three at a tenth of the speed: {slow_s:.2f} s, {slow_s * 2.1 * rate / count:.3f} times the ideal"
    )
    dying_s = await _seconds_if_one_dies(count)
    ideal = (count / 2) / (3 * rate) + (count / 2) / (2 * rate)
    print(f"one of three dies half way through: {dying_s:.2f} s, {dying_s / ideal:.3f} times the ideal")


if __name__ == "__main__":
    asyncio.run(main())
