"""Challenges of short replies of the embedded model (llama.cpp) with transformers and the same weights."""

from __future__ import annotations

import json
import os
import subprocess
from typing import Any

import pytest

from tests.support.paths import ROOT, TESTS
from tests.support.sizes import size
from tools.environments import CHALLENGE

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def outcomes(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """Return the outcomes that `challenge_embedded.py` prints."""
    python = CHALLENGE.python()
    if python is None:
        pytest.skip(
            "NOT TESTED ON REAL MODELS: `make challenge` creates their environment (some minutes, 2 GB)"
        )
    folder = tmp_path_factory.mktemp("embedded")
    command = [str(python), str(TESTS / "support" / "challenge_embedded.py"), str(folder)]
    env = os.environ | {"PYTHONPATH": str(ROOT), "HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1"}
    completed = subprocess.run(
        command, env=env, cwd=folder, capture_output=True, text=True, check=False, timeout=3000
    )
    assert completed.returncode == 0, completed.stderr[-3000:]
    return dict(json.loads(completed.stdout.splitlines()[-1]))


@pytest.mark.parametrize("kind", ["greedy", "sampled"])
def test_the_model_s_own_replies_are_consistent_or_close(outcomes, kind):
    """They may be only close, as llama.cpp multiplies in 8 bits and transformers in float32."""
    assert outcomes[kind]["verdict"] in ("consistent", "close"), outcomes[kind]
    assert outcomes[kind]["replies"] >= size(11, 22)
    assert outcomes[kind]["retokenised"] <= 5


def test_greedy_replies_are_nearly_all_first_choices(outcomes):
    assert outcomes["greedy"]["first_choices"] > 0.95


def test_sampled_replies_that_are_recorded_as_greedy_are_different(outcomes):
    assert outcomes["sampled, recorded as greedy"]["verdict"] == "different"


def test_replies_that_are_recorded_with_other_prompts_are_different(outcomes):
    assert outcomes["greedy, shuffled prompts"]["verdict"] == "different"


def test_computing_likelihoods_takes_less_than_half_the_time_of_generation(outcomes):
    """A coarse bound, as other tests run at the same time; docs/trust.md has the figures."""
    assert outcomes["greedy"]["reading_s"] < 0.5 * outcomes["greedy"]["generation_s"]
