"""Short replies of the embedded model (llama.cpp), challenged through transformers with the same file of weights."""

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
def found(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    python = CHALLENGE.python()
    if python is None:
        pytest.skip(
            "NOT TESTED ON REAL MODELS: `make challenge` makes their environment (some minutes, 2 GB)"
        )
    folder = tmp_path_factory.mktemp("embedded")
    words = [str(python), str(TESTS / "support" / "challenge_embedded.py"), str(folder)]
    env = os.environ | {"PYTHONPATH": str(ROOT), "HF_HUB_OFFLINE": "1"}
    done = subprocess.run(
        words, env=env, cwd=folder, capture_output=True, text=True, check=False, timeout=3000
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return dict(json.loads(done.stdout.splitlines()[-1]))


@pytest.mark.parametrize("kind", ["greedy", "drawn"])
def test_its_own_replies_are_not_called_different(found, kind):
    """llama.cpp multiplies in 8 bits, transformers in float32: consistent or close."""
    assert found[kind]["verdict"] in ("consistent", "close"), found[kind]
    assert found[kind]["replies"] >= size(14, 22)
    assert found[kind]["retokenised"] <= 5


def test_greedy_replies_are_nearly_all_first_choices(found):
    assert found["greedy"]["first_choices"] > 0.95


def test_drawn_replies_said_to_be_greedy_are_different(found):
    assert found["drawn, said to be greedy"]["verdict"] == "different"


def test_replies_to_other_prompts_are_different(found):
    assert found["greedy, to other prompts"]["verdict"] == "different"


def test_computing_likelihoods_costs_less_than_half_of_the_calls(found):
    """A coarse bound, as other tests run beside it; docs/trust.md has the figures."""
    assert found["greedy"]["reading_s"] < 0.5 * found["greedy"]["generation_s"]
