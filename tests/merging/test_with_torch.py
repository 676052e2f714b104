"""Run the tests of merging that need torch or mergekit with the packages of an environment that has them."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support import engine
from tests.support.merging import TORCH
from tests.support.paths import ROOT, TESTS
from tools.environments import MERGEKIT


@pytest.mark.slow
@pytest.mark.skipif(TORCH, reason="torch is installed: the tests run without this")
def test_the_tests_that_need_torch_pass_with_it():
    files = [path for path in (TESTS / "merging").glob("test_*.py") if "needs_torch" in path.read_text()]
    out = run_tests(engine.python(), *files)
    assert int(re.findall(r"(\d+) passed", out)[-1]) > 140
    assert "NOT TESTED WITHOUT TORCH" not in out


@pytest.mark.slow
@pytest.mark.skipif(TORCH, reason="torch is installed: the tests run without this")
def test_the_tests_that_need_mergekit_pass_with_it():
    if (python := MERGEKIT.python()) is None:
        pytest.skip(
            "NOT TESTED WITHOUT MERGEKIT: python -m tools.environments mergekit creates its environment"
        )
    out = run_tests(python, TESTS / "merging" / "test_merge_mergekit.py")
    assert "NOT TESTED WITHOUT" not in out


def run_tests(python: Path, *files: Path) -> str:
    """Run fast tests with the packages of another environment, searched last; return pytest's output."""
    (packages,) = (python.parent.parent / "lib").glob("python3*/site-packages")
    env = os.environ | {"EVALS_TEST_TORCH": str(packages), "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    env.pop("PYTEST_XDIST_WORKER", None)
    arguments = [sys.executable, "-m", "pytest", *map(str, files), "-q", "-m", "not slow and not nightly"]
    process = subprocess.run(
        [*arguments, "-p", "no:cacheprovider", "-p", "no:xdist", "--tb=short"],
        env=env, cwd=ROOT, capture_output=True, text=True, check=False, timeout=900,
    )  # fmt: skip
    assert process.returncode == 0, process.stdout[-4000:]
    return process.stdout
