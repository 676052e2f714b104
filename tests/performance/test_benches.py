"""Checks the stated performance figures with generous limits: CI machines are shared and slow."""

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
    """Yield a running mock server."""
    if shutil.which("node") is None:
        pytest.skip("NOT MEASURED: the mock server needs node")
    with workbench.mock() as mock_server:
        yield mock_server


def check_limits(figures: list[bench.Figure], slack: float) -> None:
    """Assert that no figure is above its limit times `slack`."""
    assert not [str(figure) for figure in figures if figure.value > figure.limit * slack]


def test_the_overhead_over_a_bare_client_is_small(server, tmp_path):
    check_limits(bench.overhead(server, tmp_path, items=3000), 2.5)  # start-up weighs more on 3,000 items


def test_start_up_and_show_are_fast(server, tmp_path):
    slowdown = max(1.0, bench.bare_start() / 0.06)  # how busy the machine is
    check_limits(bench.startup(server, tmp_path), 2.0 * slowdown)


def test_memory_grows_with_neither_replies_nor_records(server, tmp_path):
    check_limits(bench.memory(server, tmp_path), 1.0)


def test_import_and_rescoring_are_fast(server, tmp_path):
    check_limits(bench.rescore(server, tmp_path), 2.0)


def test_kills_at_random_moments_lose_nothing(server, tmp_path):
    check_limits(bench.kill(server, tmp_path, kills=size(3, 10)), 1.0)


def test_temporary_faults_change_no_scores_and_permanent_ones_are_bounded(server, tmp_path):
    check_limits(bench.faults(server, tmp_path, items=300), 1.0)


def test_a_repeat_run_of_two_suites_in_one_queue_is_near_the_ideal(server, tmp_path, monkeypatch):
    monkeypatch.setattr(bench, "RUNS", 1)
    check_limits(bench.suites(server, tmp_path), 1.25)


def test_four_models_side_by_side_take_hardly_longer_than_the_slowest(server, tmp_path):
    wall, cpu = bench_models.side_by_side(tmp_path, items=200)
    assert wall.value <= 1.5, str(wall)  # start-up weighs more on 600 replies
    assert cpu.value <= cpu.limit, str(cpu)


def test_a_first_run_is_nearer_the_ideal_than_the_order_of_the_data(tmp_path):
    lengths = bench_tail.draw_lengths(bench_tail.CASES["two suites"], 0.6)
    data_order = asyncio.run(bench_tail.ratio(tmp_path / "data", lengths, ideal_s=8.0, data_order=True))
    first_run = asyncio.run(bench_tail.ratio(tmp_path / "first", lengths, ideal_s=8.0))
    assert first_run <= 1.2 < data_order, (first_run, data_order)
