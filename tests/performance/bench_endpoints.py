"""Several servers of one model, on mocks with 16 places each: `python -m tests.performance.bench_endpoints`.

Prints the speed of three against one, and the cost of one that dies at half way or has a tenth of the speed, against
what the places of the servers would need if no time were lost.
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
    with tempfile.TemporaryDirectory() as folder:
        result = await run(Path(folder), model_on(*servers), count=count, concurrency=SLOTS * len(servers))
    if not result.is_complete:
        raise AssertionError("a sample was not recorded exactly once")
    return result.seconds


async def _dying(count: int) -> float:
    servers = [SimulatedServer(SECONDS) for _ in range(3)]
    fault = Disconnected("refused", unreachable=True)
    after(servers[0], count // 6, lambda: setattr(servers[0], "fault", fault))
    return await _seconds(servers, count)


async def main() -> None:
    """Print a row per case: seconds, and their ratio to the ideal."""
    count, rate = 3200, SLOTS / SECONDS
    one = await _seconds([SimulatedServer(SECONDS)], count)
    three = await _seconds([SimulatedServer(SECONDS) for _ in range(3)], 3 * count)
    print(
        f"one {one:.2f} s; three with three times the samples {three:.2f} s: {3 * one / three:.2f} times the speed"
    )
    tenth = statistics.median(
        [
            await _seconds(
                [SimulatedServer(SECONDS), SimulatedServer(SECONDS), SimulatedServer(10 * SECONDS)], count
            )
            for _ in range(3)
        ]
    )
    print(
        f"one of three at a tenth of the speed: {tenth:.2f} s, {tenth * 2.1 * rate / count:.3f} times the ideal"
    )
    dying = await _dying(count)
    ideal = (count / 2) / (3 * rate) + (count / 2) / (2 * rate)
    print(f"one of three dies at half way: {dying:.2f} s, {dying / ideal:.3f} times the ideal")


if __name__ == "__main__":
    asyncio.run(main())
