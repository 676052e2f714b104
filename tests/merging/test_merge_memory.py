"""Memory of a merge in addition to that of imports, and its time compared with mergekit on the same files."""

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


def run(python: Path | str, folder: Path, *arguments: object) -> dict[str, Any]:
    """Run tests/support/merge_memory.py in a process of its own, and return the figures that it prints."""
    script = ROOT / "tests" / "support" / "merge_memory.py"
    env = os.environ | {
        "PYTHONPATH": str(ROOT),
        "XDG_CACHE_HOME": str(folder / "cache"),
        "OMP_NUM_THREADS": "1",
    }
    command = [str(python), str(script), str(folder), *map(str, arguments)]
    process = subprocess.run(command, env=env, capture_output=True, text=True, check=False, timeout=3600)
    assert process.returncode == 0, process.stderr[-2000:]
    return dict(json.loads(process.stdout)) if process.stdout else {}


SIDE = 1024
"""Hidden size: the largest tensors have 16 MB in float32, the size at which allocators waste most (38 MB in the nightly test)."""


@pytest.fixture(scope="module")
def python_and_folder(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, Path]:
    """Return a Python with torch, and a folder with a base and five experts."""
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
def test_elementwise_methods_need_little_more_memory_than_one_tensor_of_each_checkpoint(
    python_and_folder, method, parameters
):
    measured = run(*python_and_folder, method, EXPERTS, parameters)
    assert measured["largest_tensor_bytes"] == 4 * SIDE * SIDE * 4
    assert measured["peak_increase_bytes"] <= max_bytes(measured)


def max_bytes(measured: dict[str, Any]) -> float:
    """Return the maximum memory of an elementwise method, in bytes in addition to imports."""
    return 1.3 * float(measured["largest_tensor_bytes"]) * (EXPERTS + 2)


@pytest.mark.nightly
def test_ties_is_not_slower_and_needs_no_more_memory_than_mergekit(tmp_path):
    """Both merge the same files: a Qwen2 with 2.5e8 weights and five experts."""
    try:
        python = MERGEKIT.make()
    except (OSError, subprocess.SubprocessError) as error:
        pytest.skip(f"NOT COMPARED WITH MERGEKIT: its environment could not be created: {error}")
    run(python, tmp_path, "make", 1536, 6, EXPERTS)
    ours = run(python, tmp_path, "ties", EXPERTS)
    theirs = run(python, tmp_path, "mergekit", EXPERTS)
    print(ours, theirs)
    assert ours["seconds"] <= theirs["seconds"]
    assert ours["peak_increase_bytes"] <= min(theirs["peak_increase_bytes"], max_bytes(ours))
