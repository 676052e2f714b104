"""Figures of large results folders and of one driver before 1,000 servers, by CPU: the box of a check is shared and slow."""

from __future__ import annotations

from pathlib import Path

import pytest

pytest.importorskip("streamlit", reason="the extra `dashboard` is not installed")

from tests.performance import bench, bench_driver, bench_scale


@pytest.mark.slow
@pytest.mark.alone
def test_show_and_the_index_of_830_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    assert not [str(one) for one in bench_scale.both(tmp_path, samples=121) if one.over]


@pytest.mark.nightly
@pytest.mark.alone
def test_show_and_the_index_of_ten_million_records(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    assert not [str(one) for one in bench_scale.both(tmp_path) if one.over]


@pytest.mark.slow
@pytest.mark.alone
def test_a_driver_before_1000_servers_is_as_fast_as_before_10() -> None:
    rates: list[list[bench_driver.Rate]] = []
    for _ in range(3):  # the machine may have been busy in a turn
        rates.append([bench_driver.apart(servers, 20_000) for servers in (10, 1000)])
        few, many = (max(rate.records_per_cpu_s for rate in column) for column in zip(*rates, strict=True))
        if many > 0.6 * few:
            break
    assert many > 0.6 * few
    assert all(rate.peak_mb < 400 for pair in rates for rate in pair)


@pytest.mark.nightly
@pytest.mark.alone
def test_a_driver_before_1000_servers_writes_20000_records_a_second_of_cpu() -> None:
    slow = max(1.0, bench.bare_start() / 0.06)  # how busy the box is
    assert bench_driver.apart(1000, 200_000).records_per_cpu_s > 20_000 / slow
