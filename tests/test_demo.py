"""`make demo` shows what the harness is for, within two minutes, without a key or a GPU."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from tools import demo


@pytest.mark.slow
def test_the_demo_shows_its_point(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("rdkit", reason="the extra `chemistry` is not installed")
    monkeypatch.setattr(demo, "_small_model_steps", list)  # the slow tests run it
    monkeypatch.setenv("COLUMNS", "100")
    started = time.monotonic()
    assert demo.main(tmp_path / "demo") == 0
    assert time.monotonic() - started < 60
    out = capfd.readouterr().out
    for said in (
        "B (careful) is 62.5 points better on mmlu-pro",
        "no significant difference on gpqa:diamond",
        "right skeleton, wrong stereo: atom 6 (C) is R, should be S",
        "✓ same up to stereochemistry",
        "✗ regression: a suite lost significantly more than its margin",
        "dashboard --results",
    ):
        assert said in out
