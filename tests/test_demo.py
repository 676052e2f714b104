"""`make demo` shows the main features of the harness within two minutes, without an API key or a GPU."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from tools import demo


@pytest.mark.slow
def test_the_demo_prints_its_main_results_within_a_minute(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("rdkit", reason="the extra `chemistry` is not installed")
    monkeypatch.setattr(demo, "_small_model_steps", list)  # other slow tests run the small model
    monkeypatch.setenv("COLUMNS", "100")
    started = time.monotonic()
    assert demo.main(tmp_path / "demo") == 0
    assert time.monotonic() - started < 60
    out = capfd.readouterr().out
    for line in (
        "B (careful) is 62.5 points better on mmlu-pro",
        "no significant difference on gpqa:diamond",
        "right skeleton, wrong stereo: atom 6 (C) is R, should be S",
        "✓ same up to stereochemistry",
        "✗ regression: a suite lost significantly more than its margin",
        "dashboard --results",
    ):
        assert line in out
