"""The order of calls: how much longer than the minimum a run takes, simulated with the runner's queue."""

from __future__ import annotations

import heapq
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from statistics import median

import numpy as np
import pytest

from evals.run.job import Job
from evals.run.order import PlannedCall, Queue, calling_order
from tests.support import toy
from tests.support.sizes import size

SLOTS = 64


@contextmanager
def open_jobs(folder: Path, *sizes: Sequence[int], groups: Sequence[str] = ()) -> Iterator[list[Job]]:
    """Yield one job for each suite; `sizes` are the lengths of its questions in characters."""
    jobs = []
    for number, suite in enumerate(sizes):
        samples = [
            toy.sample(f"q{i:05}", question="x" * size, group=groups[i] if groups else "")
            for i, size in enumerate(suite)
        ]
        jobs.append(toy.job(folder / str(number), toy.suite(samples)))
    try:
        yield jobs
    finally:
        for job in jobs:
            toy.close_job(job)


def relative_duration(
    jobs: Sequence[Job], tokens: Sequence[np.ndarray], fixed: Sequence[PlannedCall] | None = None
) -> float:
    """Return the duration of a run relative to the shortest possible one.

    `SLOTS` calls are in flight, and each takes one second per token; `fixed` replaces the adaptive order.
    """
    now = 0.0
    queue = Queue(jobs, fixed, clock=lambda: now)
    in_flight: list[tuple[float, PlannedCall]] = []

    def start() -> None:
        call = queue.pop()
        heapq.heappush(in_flight, (now + float(tokens[call[0]][call[1]]), call))

    while queue and len(in_flight) < SLOTS:
        start()
    while in_flight:
        now, finished_call = heapq.heappop(in_flight)
        queue.add_reply(finished_call, float(tokens[finished_call[0]][finished_call[1]]))
        if queue:
            start()
    total = sum(float(lengths.sum()) for lengths in tokens)
    return now / max(total / SLOTS, max(float(lengths.max()) for lengths in tokens))


def random_lengths(
    seed: int, counts: Sequence[int], scales: Sequence[float], correlation: float
) -> tuple[list, list]:
    """Return log-normal reply lengths (sigma 1) for every suite, and question sizes correlated with them."""
    random = np.random.default_rng(seed)
    tokens, sizes = [], []
    for count, scale in zip(counts, scales, strict=True):
        x = random.normal(size=count)
        z = correlation * x + np.sqrt(1 - correlation**2) * random.normal(size=count)
        tokens.append(scale * np.exp(x))
        sizes.append(np.maximum(1, 200 * np.exp(z / 2)).astype(int).tolist())
    return tokens, sizes


def median_durations(
    folder: Path, counts: Sequence[int], scales: Sequence[float], correlation: float, *, seeds: int
) -> tuple[float, float]:
    """Return the medians over seeds of the relative duration in adaptive order and in data order."""
    ratios = []
    for seed in range(seeds):
        tokens, sizes = random_lengths(seed, counts, scales, correlation)
        with open_jobs(folder / str(seed), *sizes) as jobs:
            data_order = [
                (number, position, 0) for number, count in enumerate(counts) for position in range(count)
            ]
            ratios.append((relative_duration(jobs, tokens), relative_duration(jobs, tokens, data_order)))
    return median(adaptive for adaptive, _ in ratios), median(data for _, data in ratios)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("counts", "scales", "bound"),
    [
        ((12_000,), (300,), 1.08),
        ((3000, 3000), (300, 300), 1.10),
        ((3000, 3000), (300, 2000), 1.10),
        ((3000, 3000), (2000, 300), 1.10),
    ],
)
@pytest.mark.parametrize("correlation", [0.6, -0.6])
def test_a_first_run_takes_hardly_longer_than_the_shortest_possible_one(
    tmp_path: Path, counts: tuple[int, ...], scales: tuple[float, ...], bound: float, correlation: float
) -> None:
    """The measured relative durations are 1.005 for one suite and 1.005 to 1.016 for two."""
    assert median_durations(tmp_path, counts, scales, correlation, seeds=size(5, 20))[0] <= bound


@pytest.mark.slow
@pytest.mark.parametrize(("counts", "scales"), [((12_000,), (300,)), ((3000, 3000), (300, 2000))])
def test_without_any_correlation_the_adaptive_order_is_no_worse_than_the_data_order(
    tmp_path: Path, counts: tuple[int, ...], scales: tuple[float, ...]
) -> None:
    adaptive, data = median_durations(tmp_path, counts, scales, 0.0, seeds=size(5, 20))
    assert adaptive <= data + 0.01


def test_groups_with_long_replies_are_called_first_once_replies_show_it(tmp_path: Path) -> None:
    random = np.random.default_rng(1)
    groups = [("short", "long")[i % 2] for i in range(600)]
    tokens = [np.array([(50.0, 900.0)[i % 2] * float(random.lognormal(0, 0.3)) for i in range(600)])]
    with open_jobs(tmp_path, [100] * 600, groups=groups) as jobs:
        queue = Queue(jobs, clock=lambda: 0.0)
        for _ in range(100):
            call = queue.pop()
            queue.add_reply(call, float(tokens[0][call[1]]))
        remaining = [groups[position] for _, position, _ in queue.remaining()]
    first_short = remaining.index("short")
    assert first_short > 150
    assert set(remaining[first_short:]) == {"short"}


def test_calls_of_suites_with_unknown_reply_lengths_alternate(tmp_path: Path) -> None:
    with open_jobs(tmp_path, [100] * 300, [100] * 300) as jobs:
        first = calling_order(jobs)[:32]
    assert sum(number for number, _, _ in first) == 16


def test_a_short_queue_keeps_the_order_of_the_data(tmp_path: Path) -> None:
    with open_jobs(tmp_path, [300, 100, 200], [900]) as jobs:
        queue = Queue(jobs)
        calls = [queue.pop() for _ in range(4)]
        for call in calls:
            queue.add_reply(call, 10.0)
    assert [(number, position) for number, position, _ in calls] == [(0, 0), (0, 1), (0, 2), (1, 0)]


def test_sorting_takes_at_most_about_a_hundredth_of_the_time(tmp_path: Path) -> None:
    """Simulate a sort that takes 1 s and replies that take 0.01 s."""
    now, sorts = 0.0, 0

    class SlowQueue(Queue):
        def _sort(self) -> None:
            nonlocal now, sorts
            super()._sort()
            now, sorts = now + 1.0, sorts + 1

    with open_jobs(tmp_path, list(range(1, 1001))) as jobs:
        queue = SlowQueue(jobs, clock=lambda: now)
        for _ in range(1000):
            now += 0.01
            queue.add_reply(queue.pop(), 10.0)
    assert sorts == 2  # at the start, and once after the first replies
