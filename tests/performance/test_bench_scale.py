"""Figures of large results folders and of one driver before 1,000 servers, by CPU: the box of a check is shared and slow."""

from __future__ import annotations

from pathlib import Path

import pytest

pytest.importorskip("streamlit", reason="the extra `dashboard` is not installed")

from tests.performance import bench_scale


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
