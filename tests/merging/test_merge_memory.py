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
from tools.environments import MERGEKIT

EXPERTS = 5


def run(python: Path | str, place: Path, *words: object) -> dict[str, Any]:
    script = ROOT / "tests" / "support" / "merge_memory.py"
    env = os.environ | {
        "PYTHONPATH": str(ROOT),
        "XDG_CACHE_HOME": str(place / "cache"),
        "OMP_NUM_THREADS": "1",
    }
    command = [str(python), str(script), str(place), *map(str, words)]
    done = subprocess.run(command, env=env, capture_output=True, text=True, check=False, timeout=3600)
    assert done.returncode == 0, done.stderr[-2000:]
    return dict(json.loads(done.stdout)) if done.stdout else {}


SIDE = 1024
"""The largest tensors have 16 MB in float32, the size at which allocators waste most; the nightly test has 38 MB."""


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, Path]:
    python = sys.executable if TORCH else str(engine.python())
    folder = tmp_path_factory.mktemp("memory")
    run(python, folder, "make", SIDE, 1, EXPERTS)
    return python, folder


METHODS = [
    ("weight-average", ""), ("task-arithmetic", ""), ("ties", ""), ("dare", ""), ("dare-ties", ""),
    ("ties", 'scope = "model"'), ("dare-ties", 'scope = "model"'),
]  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize(("method", "parameters"), METHODS)
def test_elementwise_methods_need_little_more_than_the_tensors_of_one_name(place, method, parameters):
    taken = run(*place, method, EXPERTS, parameters)
    assert taken["largest"] == 4 * SIDE * SIDE * 4
    assert taken["above"] <= bound(taken)


def bound(taken: dict[str, Any]) -> float:
    """Return the bytes that an elementwise method may take."""
    return 1.3 * float(taken["largest"]) * (EXPERTS + 2)


@pytest.mark.nightly
def test_ties_is_not_slower_than_mergekit(tmp_path):
    """A Qwen2 with 2.5e8 weights and five experts: the same files, all tensors, in one run."""
    try:
        python = MERGEKIT.make()
    except (OSError, subprocess.SubprocessError) as error:
        pytest.skip(f"NOT COMPARED WITH MERGEKIT: its environment could not be created: {error}")
    run(python, tmp_path, "make", 1536, 6, EXPERTS)
    ours = run(python, tmp_path, "ties", EXPERTS)
    theirs = run(python, tmp_path, "mergekit", EXPERTS)
    print(ours, theirs)
    assert ours["seconds"] <= theirs["seconds"]
    assert ours["above"] <= min(theirs["above"], bound(ours))
