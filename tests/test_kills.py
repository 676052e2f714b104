"""kill -9 at random moments, of every command that writes: no run unreadable, nothing recorded lost, no half bundle.

EVALS_KILLS says how many; the short instance runs in every check, the nightly one sets 50.
"""

from __future__ import annotations

import os
import random
import shutil
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import pytest

from evals.records import store
from tests.support.command import evals

KILLS = int(os.environ.get("EVALS_KILLS", "6"))
REPLIES = "".join(f'{{"id": "2025-I-{n}", "text": "ANSWER: {n}"}}\n' for n in range(1, 4))
COMMANDS: dict[str, tuple[str, ...]] = {
    "score": ("score", "one"),
    "bundle": ("bundle", "one", "b.zip"),
    "import": (
        "import",
        "replies",
        "replies.jsonl",
        "--suite",
        "aime:2025",
        "--model",
        "m",
        "--sample",
        "--run",
        "in",
    ),
    "run": ("run", "aime:2025", "--sample", "-m", "scripted:ANSWER: 3", "--run", "new"),
    "resume": ("run", "aime:2025", "--sample", "-m", "scripted:ANSWER: 1", "--run", "one"),
}


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("kills")
    words = ("--sample", "-m", "scripted:ANSWER: 1", "--run", "one", "--results", folder / "results")
    assert evals("run", "aime:2025", *words).status == 0
    (folder / "replies.jsonl").write_text(REPLIES)
    return folder


def replies(run: store.Run) -> Counter[tuple[str, int]]:
    return Counter((record.sample, record.repeat) for record in run.records())


def killed(words: tuple[str, ...], folder: Path, after_s: float) -> bool:
    """Start a command and kill it; whether it still ran."""
    command = [sys.executable, "-c", "from evals.cli import main; main()", *words, "--results", "results"]
    with subprocess.Popen(
        command, cwd=folder, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    ) as started:
        try:
            started.wait(after_s)
        except subprocess.TimeoutExpired:
            started.kill()
            return True
    return False


@pytest.mark.slow
def test_no_kill_loses_or_breaks_anything(
    made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    draw = random.Random(5)
    lasts: dict[str, float] = {}
    for name, words in COMMANDS.items():
        shutil.copytree(made, tmp_path / name)
        began = time.monotonic()
        assert not killed(words, tmp_path / name, 60)
        lasts[name] = time.monotonic() - began
    for count in range(KILLS):
        name = draw.choice(list(COMMANDS))
        folder = tmp_path / str(count)
        shutil.copytree(made, folder)
        monkeypatch.chdir(folder)
        (one,) = store.find(folder / "results", "one")
        before = replies(one)
        killed(COMMANDS[name], folder, draw.uniform(0.4, 1.0) * lasts[name])
        assert replies(one) == before, name
        for run in store.runs(folder / "results"):
            store.check(run.path)
            assert max(replies(run).values(), default=1) == 1, name
        assert evals("show", "--json").status == 0
        if Path("b.zip").exists():
            assert evals("bundle", "verify", "b.zip").status == 0
        assert evals(*COMMANDS[name]).status in (0, 2), name  # 2: it was done, or stands there already
        assert evals("show", "one").status == 0
