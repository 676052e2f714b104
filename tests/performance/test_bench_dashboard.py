"""Check the stated figures of the dashboard on 2,000,000 records, with generous limits: CI machines are shared and slow."""

from __future__ import annotations

from pathlib import Path

import pytest

pytest.importorskip("playwright", reason="NOT MEASURED: playwright is not installed")
pytest.importorskip("streamlit", reason="the extra `dashboard` is not installed")


from tests.performance import bench_dashboard, make_board
from tests.support import pages

pytestmark = [
    pytest.mark.slow,
    pytest.mark.alone,
    pytest.mark.skipif(not pages.chromium(), reason="NOT MEASURED: Chromium is not installed"),
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
]


@pytest.mark.parametrize(
    "samples", [make_board.SAMPLES // 20, pytest.param(make_board.SAMPLES, marks=pytest.mark.nightly)]
)
def test_dashboard_pages_open_within_their_limits(tmp_path: Path, samples: int) -> None:
    records = make_board.build(tmp_path / "results", samples=samples)
    assert records > 2_000_000 * samples / make_board.SAMPLES
    figures = {measured.name: measured for measured in bench_dashboard.measure(tmp_path / "results")}
    baseline_s = figures["baseline: minimal Streamlit page, warm"].value
    slowdown = max(1.0, baseline_s / 0.4)  # how busy the machine is
    over = [
        str(figure)
        for figure in figures.values()
        if figure.unit == "s" and figure.value > 2 * slowdown * figure.limit
    ]
    assert over == []
    assert figures["peak memory of the server"].value < 300
