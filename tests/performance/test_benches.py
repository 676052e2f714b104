"""The promised figures, guarded with generous bars: the box of a check is shared and slow."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.performance import bench, bench_models, bench_tail, workbench
from tests.support.sizes import size

pytestmark = [pytest.mark.slow, pytest.mark.alone]


@pytest.fixture(scope="module")
def server(shared: Path) -> Iterator[workbench.Mock]:
    if shutil.which("node") is None:
        pytest.skip("NOT MEASURED: the mock server needs node")
    with workbench.mock() as running:
        yield running


def within(figures: list[bench.Figure], slack: float) -> None:
    over = [str(figure) for figure in figures if figure.value > figure.bar * slack]
    assert not over


def test_overhead_over_the_bare_client(server, tmp_path):
    within(bench.overhead(server, tmp_path, items=3000), 2.5)  # start-up weighs more on 3,000 items


def test_start_up_and_show(server, tmp_path):
    slow = max(1.0, bench.bare_start() / 0.06)  # how busy the box is
    within(bench.startup(server, tmp_path), 2.0 * slow)


def test_memory_stays_flat(server, tmp_path):
    within(bench.memory(server, tmp_path), 1.0)


def test_scoring_again(server, tmp_path):
    within(bench.rescore(server, tmp_path), 2.0)


def test_kills_at_random_moments_lose_nothing(server, tmp_path):
    within(bench.kill(server, tmp_path, kills=size(3, 10)), 1.0)


def test_passing_and_lasting_faults(server, tmp_path):
    within(bench.faults(server, tmp_path, items=300), 1.0)


def test_two_suites_share_one_queue_on_a_repeat_run(server, tmp_path, monkeypatch):
    monkeypatch.setattr(bench, "RUNS", 1)
    within(bench.suites(server, tmp_path), 1.25)


def test_four_models_side_by_side_take_hardly_longer_than_the_slowest(server, tmp_path):
    wall, cpu = bench_models.side_by_side(tmp_path, items=200)
    assert wall.value <= 1.5, str(wall)  # start-up weighs more on 600 replies
    assert cpu.value <= cpu.bar, str(cpu)


def test_a_first_run_on_a_mock_has_hardly_a_tail(tmp_path):
    drawn = bench_tail.lengths(bench_tail.COUNTS["two suites"], 0.6)
    data = asyncio.run(bench_tail.ratio(tmp_path / "data", drawn, ideal_s=8.0, data_order=True))
    first = asyncio.run(bench_tail.ratio(tmp_path / "first", drawn, ideal_s=8.0))
    assert first <= 1.2 < data, (first, data)
