"""Run the tests that need torch and timm with the packages of a separate environment, which is created if it is missing."""

from __future__ import annotations

import os
import re
import subprocess
import sys

import pytest

from tests.support.paths import ROOT, TESTS
from tests.support.vision_training import TIMM
from tools.environments import TIMM as ENVIRONMENT


@pytest.mark.slow
@pytest.mark.skipif(TIMM, reason="torch and timm are installed: the tests run directly")
def test_the_tests_that_need_timm_pass_with_it():
    try:
        python = ENVIRONMENT.make()
    except subprocess.CalledProcessError as error:
        pytest.skip(f"NOT TESTED WITH TIMM: its environment cannot be made ({error})")
    (packages,) = (python.parent.parent / "lib").glob("python3*/site-packages")
    env = os.environ | {"EVALS_TEST_TIMM": str(packages), "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    env.pop("PYTEST_XDIST_WORKER", None)
    files = [str(path) for path in (TESTS / "vision").glob("test_*.py") if "= needs_timm" in path.read_text()]
    command = [sys.executable, "-m", "pytest", *files, "-q", "-m", "not slow and not nightly"]
    completed = subprocess.run(
        [*command, "-p", "no:cacheprovider", "-p", "no:xdist", "--tb=short"],
        env=env, cwd=ROOT, capture_output=True, text=True, check=False, timeout=1200,
    )  # fmt: skip
    assert completed.returncode == 0, completed.stdout[-4000:]
    assert int(re.findall(r"(\d+) passed", completed.stdout)[-1]) >= 45
    assert "NOT TESTED WITHOUT TORCH" not in completed.stdout
