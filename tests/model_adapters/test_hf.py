"""`hf:` with real transformers on the tiny checkpoint, and on one that has its own code."""

from __future__ import annotations

import json
import subprocess
from importlib.util import find_spec
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from evals.model_adapters.common.weights import Checkpoint, PendingCall, _make_reply
from evals.types import Sampling
from tests.support import engine, hub
from tests.support.command import evals
from tests.support.paths import ROOT, TESTS

CONFIGURATION = """
from transformers import InternVLConfig
class ToyConfig(InternVLConfig):
    model_type = "toy-s1"
"""
MODELLING = """
from transformers import InternVLForConditionalGeneration
from .configuration_toy import ToyConfig
class ToyModel(InternVLForConditionalGeneration):
    config_class = ToyConfig
"""


@pytest.mark.skipif(find_spec("torch") is not None, reason="torch is installed here")
def test_without_torch_the_message_says_that_it_is_needed(here):
    evals("run", "mmlu-pro", "--sample", "-m", "hf:internlm/Intern-S1-mini").assert_usage_error()


def test_a_reply_whose_end_lies_beyond_its_context_is_truncated():
    checkpoint = Checkpoint(
        model=SimpleNamespace(generation_config=SimpleNamespace(eos_token_id=0)),
        processor=None,
        tokenizer=SimpleNamespace(decode=lambda tokens, skip_special_tokens: " ".join(map(str, tokens))),
        counting_tokenizer=None,
        context=10,
        takes_images=False,
    )
    pending = PendingCall("", [], Sampling(), 7, None)
    outcomes = [
        _make_reply(checkpoint, pending, tokens, 7, seconds=1.0, name="m")
        for tokens in ([5, 6, 0, 8], [5, 6, 7, 8, 0])
    ]
    assert [(reply.text, reply.stop) for reply in outcomes] == [("5 6 0", "stop"), ("5 6 7", "length")]


def checkpoint_with_code(weights: Path, folder: Path) -> Path:
    """Create a checkpoint of the same weights whose model class is defined in its own code; return its folder."""
    folder.mkdir()
    for path in weights.iterdir():
        if path.name != "config.json":
            (folder / path.name).symlink_to(path)
    config = json.loads((weights / "config.json").read_text())
    auto_map = {"AutoConfig": "configuration_toy.ToyConfig", "AutoModelForCausalLM": "modeling_toy.ToyModel"}
    config |= {"model_type": "toy-s1", "architectures": ["ToyModel"], "auto_map": auto_map}
    (folder / "config.json").write_text(json.dumps(config))
    (folder / "configuration_toy.py").write_text(CONFIGURATION)
    (folder / "modeling_toy.py").write_text(MODELLING)
    return folder


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """Return the results of `hf_checks.py`."""
    python = engine.python()
    folder = tmp_path_factory.mktemp("hf")
    weights = engine.checkpoint(python, folder / "tiny-s1")
    remote = checkpoint_with_code(weights, folder / "remote")
    env = engine.environment(python) | {"PYTHONPATH": str(ROOT), "HF_HOME": str(folder / "cache")}
    command = [str(python), str(TESTS / "support" / "hf_checks.py"), str(weights), str(remote)]
    completed = subprocess.run(
        command, env=env, cwd=folder, capture_output=True, text=True, check=False, timeout=300
    )
    assert completed.returncode == 0, completed.stderr[-3000:]
    return dict(json.loads(completed.stdout.splitlines()[-1]))


@pytest.mark.slow
def test_a_checkpoint_without_code_is_loaded_as_a_model_of_images_and_text(results):
    assert results["native"] == "InternVLForConditionalGeneration"


@pytest.mark.slow
def test_a_checkpoint_with_code_is_loaded_as_the_class_in_its_auto_map(results):
    assert results["remote"] == "ToyModel"


@pytest.mark.slow
def test_code_that_is_not_trusted_is_not_run(results):
    assert results["remote, not trusted"].startswith("UsageError: hf:")
    assert "--trust-remote-code" in results["remote, not trusted"]


@pytest.mark.slow
def test_missing_weights_are_reported_in_one_line(results):
    assert results["nowhere"].startswith("UsageError: hf:nobody/nothing-at-all: ")
    assert "\n" not in results["nowhere"]


@pytest.mark.slow
@pytest.mark.parametrize("decoding", ["greedy", "sampled"])
def test_replies_in_a_batch_are_the_same_as_alone(results, decoding):
    alone, together = results[decoding]
    assert alone == together
    assert len({reply[0] for reply in alone}) >= 4


@pytest.mark.slow
def test_calls_can_arrive_while_a_batch_is_computed(results):
    """Their prompts are tokenized at the same time; when both used one tokenizer, every ninth call failed here."""
    assert sum(results["crowd"].values()) == 300
    assert set(results["crowd"]) <= {"stop", "length"}, results["crowd"]


@pytest.mark.slow
def test_other_seeds_give_other_replies(results):
    sampled = results["sampled"][0]
    differs = [a[0] != b[0] for a, b in zip(sampled, results["other seeds"], strict=True)]
    assert sum(differs) >= len(differs) - 1  # two short replies of a tiny model may be equal by chance
    assert sampled != results["greedy"][0]


@pytest.mark.slow
def test_a_stop_sequence_ends_the_reply_and_is_not_part_of_it(results):
    text = results["greedy"][0][0][0]
    assert results["stopped"][:2] == [text[: text.index(text[3:5])], "stop"]


@pytest.mark.slow
def test_log_likelihoods_are_negative_and_cover_at_least_one_token(results):
    assert all(logprob < 0 and tokens >= 1 for logprob, tokens, _ in results["likelihoods"])


@pytest.mark.slow
@pytest.mark.parametrize(
    ("weights", "token"), [*((name, "") for name in hub.REJECTIONS), ("org/gated", "hf_of_somebody")]
)
def test_weights_that_the_hub_refuses_are_reported_in_one_line(tmp_path, weights, token):
    python = engine.python()
    with hub.serve() as address:
        env = engine.environment(python) | {"PYTHONPATH": str(ROOT), "HF_HOME": str(tmp_path / "cache")}
        env |= {"HF_HUB_OFFLINE": "0", "HF_ENDPOINT": address, "HF_TOKEN": token}
        arguments = ("run", "mmlu-pro", "--sample", "-m", f"hf:{weights}")
        completed = engine.run_evals(*arguments, env=env, cwd=tmp_path, python=str(python))
    assert completed.returncode == 2
    lines = [line for line in completed.stderr.splitlines() if line.startswith("evals: ")]
    assert lines == [f"evals: hf:{weights}: {hub.REJECTIONS[weights]}"], completed.stderr
