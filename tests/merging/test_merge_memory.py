"""Memory of merging, above what imports take, and its time beside mergekit's on the same files."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.support import engine
from tests.support.merging import TORCH
from tests.support.paths import ROOT

EXPERTS = 5


def run(python: Path | str, place: Path, *words: object) -> dict[str, Any]:
    script = ROOT / "tests" / "support" / "merge_memory.py"
    env = os.environ | {
        "PYTHONPATH": str(ROOT),
        "XDG_CACHE_HOME": str(place / "cache"),
        "OMP_NUM_THREADS": "1",
    }
    command = [str(python), str(script), str(place), *map(str, words)]
    done = subprocess.run(command, env=env, capture_output=True, text=True, check=False, timeout=900)
    assert done.returncode == 0, done.stderr[-2000:]
    return dict(json.loads(done.stdout)) if done.stdout else {}


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, Path]:
    python = sys.executable if TORCH else str(engine.python())
    folder = tmp_path_factory.mktemp("memory")
    run(python, folder, "make", 2048, 1, EXPERTS)
    return python, folder


@pytest.mark.slow
@pytest.mark.parametrize("method", ["weight-average", "task-arithmetic", "ties", "dare", "dare-ties"])
def test_elementwise_methods_need_little_more_than_the_tensors_of_one_name(place, method):
    taken = run(*place, method, EXPERTS)
    assert taken["largest"] == 4 * 2048 * 2048 * 4
    assert taken["above"] <= 1.3 * taken["largest"] * (EXPERTS + 2)


MERGEKIT = "EVALS_MERGEKIT_PYTHON"
"""A Python with torch, mergekit 0.1.5 and this project's dependencies: `pip install torch==2.13.0 mergekit==0.1.5`, and the rest."""


@pytest.mark.nightly
def test_ties_is_not_slower_than_mergekit(tmp_path):
    """A Qwen2 of 1.0e9 weights and five experts: the same files, all tensors, in one run."""
    python = os.environ.get(MERGEKIT)
    if not python:
        pytest.skip(f"NOT COMPARED WITH MERGEKIT: {MERGEKIT} names no Python that has it")
    run(python, tmp_path, "make", 1536, 26, EXPERTS)
    ours = run(python, tmp_path, "ties", EXPERTS)
    theirs = run(python, tmp_path, "mergekit", EXPERTS)
    print(ours, theirs)
    assert ours["seconds"] <= theirs["seconds"]
    assert ours["above"] <= theirs["above"]
