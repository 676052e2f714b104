"""The tests of merging that need torch, run with that of the vLLM environment."""

from __future__ import annotations

import os
import re
import subprocess
import sys

import pytest

from tests.support import engine
from tests.support.merging import TORCH
from tests.support.paths import ROOT, TESTS


@pytest.mark.slow
@pytest.mark.skipif(TORCH, reason="torch is installed: the tests run as they are")
def test_the_tests_that_need_torch_pass_with_it():
    (packages,) = (engine.python().parent.parent / "lib").glob("python3*/site-packages")
    env = os.environ | {"EVALS_TEST_TORCH": str(packages), "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    env.pop("PYTEST_XDIST_WORKER", None)
    words = [sys.executable, "-m", "pytest", str(TESTS / "merging"), "-q", "-m", "not slow and not nightly"]
    done = subprocess.run(
        [*words, "-p", "no:cacheprovider", "-p", "no:xdist", "--tb=short"],
        env=env, cwd=ROOT, capture_output=True, text=True, check=False, timeout=900,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout[-4000:]
    assert int(re.findall(r"(\d+) passed", done.stdout)[-1]) > 140
    assert "NOT TESTED WITHOUT TORCH" not in done.stdout
