"""Commands that write are killed at random moments: runs stay readable, no record is lost, no bundle is incomplete.

EVALS_KILLS is the number of kills; every check makes six, the nightly run sets 50.
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
def source_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with a run and a file of replies, which tests copy."""
    folder = tmp_path_factory.mktemp("kills")
    arguments = ("--sample", "-m", "scripted:ANSWER: 1", "--run", "one", "--results", folder / "results")
    assert evals("run", "aime:2025", *arguments).status == 0
    (folder / "replies.jsonl").write_text(REPLIES)
    return folder


def record_counts(run: store.Run) -> Counter[tuple[str, int]]:
    """Return the number of records by sample and repeat."""
    return Counter((record.sample, record.repeat) for record in run.records())


def run_and_kill(arguments: tuple[str, ...], folder: Path, after_s: float) -> bool:
    """Start a command, kill it after `after_s` seconds, and return whether it was still running."""
    command = [sys.executable, "-c", "from evals.cli import main; main()", *arguments, "--results", "results"]
    with subprocess.Popen(
        command, cwd=folder, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    ) as process:
        try:
            process.wait(after_s)
        except subprocess.TimeoutExpired:
            process.kill()
            return True
    return False


@pytest.mark.slow
def test_killed_commands_lose_no_records_and_leave_readable_runs(
    source_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    generator = random.Random(5)
    durations: dict[str, float] = {}
    for name, arguments in COMMANDS.items():
        shutil.copytree(source_folder, tmp_path / name)
        started = time.monotonic()
        assert not run_and_kill(arguments, tmp_path / name, 60)
        durations[name] = time.monotonic() - started
    for count in range(KILLS):
        name = generator.choice(list(COMMANDS))
        folder = tmp_path / str(count)
        shutil.copytree(source_folder, folder)
        monkeypatch.chdir(folder)
        (stored,) = store.find(folder / "results", "one")
        before = record_counts(stored)
        run_and_kill(COMMANDS[name], folder, generator.uniform(0.4, 1.0) * durations[name])
        assert record_counts(stored) == before, name
        for run in store.runs(folder / "results"):
            store.check(run.path)
            assert max(record_counts(run).values(), default=1) == 1, name
        assert evals("show", "--json").status == 0
        if Path("b.zip").exists():
            assert evals("bundle", "verify", "b.zip").status == 0
        # status 2: the killed command had finished, and its work is not repeated
        assert evals(*COMMANDS[name]).status in (0, 2), name
        assert evals("show", "one").status == 0
