"""Measure by how much a run exceeds its ideal time on a mock with 64 slots and log-normal lengths: `python -m tests.performance.bench_tail [SECONDS]`.

Each case is a run of the product's runner. Its figure is the wall time relative to the ideal, which is the larger of two
times: the sum of all replies' times divided by the number of slots, and the time of the longest reply. Cases: calls in the
order of the data; a first run, which learns the lengths while it runs, where the logarithms of question sizes and reply
lengths have a correlation of .6, .45 or 0; a repeat run, whose lengths are known. SECONDS is the ideal time of a case.
"""

from __future__ import annotations

import asyncio
import os
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from evals.run.job import Job
from evals.run.order import PlannedCall
from evals.run.runner import Runner
from evals.types import Prompt, Reply, Sampling, Usage
from tests.support import toy

SLOTS = 64
WORKLOADS = {"one suite": ((4000, 300.0),), "two suites": ((1500, 300.0), (1500, 2000.0))}
"""Number of items and median length in tokens of each suite of a workload."""


class PacedModel:
    """A model whose replies have given lengths and take a fixed time per token."""

    name = "mock"
    accepts: frozenset[str] = frozenset()
    slots: int | None = SLOTS

    def __init__(self, tokens: dict[str, float], *, token_s: float) -> None:
        self._tokens, self._token_s = tokens, token_s

    async def reply(self, prompt: Prompt, sampling: Sampling) -> Reply:
        """Return a reply after the time that its tokens take."""
        tokens = self._tokens[toy.sample_id_in(prompt)]
        await asyncio.sleep(tokens * self._token_s)
        return Reply(text="A", usage=Usage(input=10, output=round(tokens)), seconds=tokens * self._token_s)

    async def close(self) -> None:
        """Do nothing; there is nothing to close."""


class Lengths(NamedTuple):
    """Lengths of the replies in tokens and sizes of the questions in characters, one array per suite."""

    tokens: list[np.ndarray]
    sizes: list[np.ndarray]

    @property
    def ideal(self) -> float:
        """Return the ideal time (a lower bound) with all slots, in tokens."""
        all_tokens = np.concatenate(self.tokens)
        return float(max(all_tokens.sum() / SLOTS, all_tokens.max()))


def draw_lengths(suites: Sequence[tuple[int, float]], correlation: float, *, seed: int = 0) -> Lengths:
    """Draw log-normal reply lengths (sigma 1) and question sizes; their logarithms have this correlation."""
    random = np.random.default_rng(seed)
    tokens, sizes = [], []
    for count, median in suites:
        x = random.normal(size=count)
        z = correlation * x + np.sqrt(1 - correlation**2) * random.normal(size=count)
        tokens.append(median * np.exp(x))
        sizes.append(np.maximum(1, 200 * np.exp(z / 2)).astype(int))
    return Lengths(tokens, sizes)


async def ratio(
    folder: Path,
    lengths: Lengths,
    *,
    ideal_s: float,
    lengths_known: bool = False,
    in_data_order: bool = False,
) -> float:
    """Run a case and return its wall time relative to the ideal."""
    jobs, tokens = [], dict[str, float]()
    for number, (suite_tokens, sizes) in enumerate(zip(lengths.tokens, lengths.sizes, strict=True)):
        names = [f"q{number}-{index:05}" for index in range(len(sizes))]
        tokens |= dict(zip(names, map(float, suite_tokens), strict=True))
        items = [
            toy.sample(name, question=f"{'x' * size} {name}")
            for name, size in zip(names, sizes.tolist(), strict=True)
        ]
        jobs.append(toy.job(folder / str(number), toy.suite(items)))
        if lengths_known:
            jobs[-1].lengths = {name: (tokens[name], 0.0) for name in names}
    token_s = ideal_s / lengths.ideal
    try:
        runner = Runner(
            PacedModel(tokens, token_s=token_s),
            jobs,
            concurrency=SLOTS,
            queue=_in_data_order(jobs) if in_data_order else None,
        )
        started = time.perf_counter()
        await runner.run()
        return (time.perf_counter() - started) / ideal_s
    finally:
        for job in jobs:
            toy.close_job(job)


def _in_data_order(jobs: Sequence[Job]) -> list[PlannedCall]:
    """Return all calls in the order of the data."""
    return [(number, index, 0) for number, job in enumerate(jobs) for index in range(len(job.samples))]


async def measure(name: str, *, ideal_s: float) -> dict[str, float]:
    """Return the ratio of wall time to ideal for each case of a workload."""
    ratios = {}
    with tempfile.TemporaryDirectory() as folder:
        correlated = draw_lengths(WORKLOADS[name], 0.6)
        cases = {
            "order of the data": (correlated, {"in_data_order": True}),
            "first run, correlation .6": (correlated, {}),
            "first run, correlation .45": (draw_lengths(WORKLOADS[name], 0.45), {}),
            "first run, no correlation": (draw_lengths(WORKLOADS[name], 0.0), {}),
            "repeat run": (correlated, {"lengths_known": True}),
        }
        for case, (lengths, options) in cases.items():
            ratios[case] = await ratio(Path(folder) / case, lengths, ideal_s=ideal_s, **options)
    return ratios


def main() -> None:
    """Print a line per case, and the load of the machine."""
    ideal_s = float(sys.argv[1]) if len(sys.argv) > 1 else 20.0
    for name in WORKLOADS:
        for case, value in asyncio.run(measure(name, ideal_s=ideal_s)).items():
            print(f"{name}, {case}: {value:.3f} times the ideal of {ideal_s:g} s", flush=True)
    print(f"load {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores")


if __name__ == "__main__":
    main()
