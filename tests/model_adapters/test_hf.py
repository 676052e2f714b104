"""`hf:` with real transformers on the tiny checkpoint, and with one that brings its own code."""

from __future__ import annotations

import json
import subprocess
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

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
def test_without_torch_the_line_names_the_extra(here):
    line = evals("run", "mmlu-pro", "--sample", "-m", "hf:internlm/Intern-S1-mini").error_line
    assert line.startswith("hf:internlm/Intern-S1-mini needs torch")


def with_its_own_code(weights: Path, folder: Path) -> Path:
    """The same weights under a class of their own, which only their own code knows."""
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
def found(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    python = engine.python()
    place = tmp_path_factory.mktemp("hf")
    weights = engine.checkpoint(python, place / "tiny-s1")
    remote = with_its_own_code(weights, place / "remote")
    env = engine.environment(python) | {"PYTHONPATH": str(ROOT), "HF_HOME": str(place / "cache")}
    words = [str(python), str(TESTS / "support" / "hf_checks.py"), str(weights), str(remote)]
    done = subprocess.run(words, env=env, cwd=place, capture_output=True, text=True, check=False, timeout=300)
    assert done.returncode == 0, done.stderr[-3000:]
    return dict(json.loads(done.stdout.splitlines()[-1]))


@pytest.mark.slow
def test_a_checkpoint_without_code_is_loaded_by_the_class_for_images_and_text(found):
    assert found["native"] == "InternVLForConditionalGeneration"


@pytest.mark.slow
def test_a_checkpoint_with_code_is_loaded_by_the_class_that_its_auto_map_names(found):
    assert found["remote"] == "ToyModel"


@pytest.mark.slow
def test_code_that_is_not_trusted_is_not_run(found):
    assert found["remote, not trusted"].startswith("UsageError: hf:")
    assert "--trust-remote-code" in found["remote, not trusted"]


@pytest.mark.slow
def test_weights_that_are_not_there_are_one_line(found):
    assert found["nowhere"].startswith("UsageError: hf:nobody/nothing-at-all: ")
    assert "\n" not in found["nowhere"]


@pytest.mark.slow
@pytest.mark.parametrize("how", ["greedy", "sampled"])
def test_a_batch_changes_no_reply(found, how):
    alone, together = found[how]
    assert alone == together
    assert len({reply[0] for reply in alone}) >= 4


@pytest.mark.slow
def test_calls_that_come_while_a_batch_is_computed_do_not_break_it(found):
    """Their tokens are counted beside it: with one tokenizer for both, every ninth call failed here."""
    assert sum(found["crowd"].values()) == 300
    assert set(found["crowd"]) <= {"stop", "length"}, found["crowd"]


@pytest.mark.slow
def test_other_seeds_draw_other_replies(found):
    drawn = found["sampled"][0]
    differ = [a[0] != b[0] for a, b in zip(drawn, found["other seeds"], strict=True)]
    assert sum(differ) >= len(differ) - 1  # two short draws of a tiny model may coincide
    assert drawn != found["greedy"][0]


@pytest.mark.slow
def test_a_stop_string_ends_a_reply_and_is_not_in_it(found):
    text = found["greedy"][0][0][0]
    assert found["stopped"][:2] == [text[: text.index(text[3:5])], "stop"]


@pytest.mark.slow
def test_likelihoods_are_finite_and_begin_behind_the_prompt(found):
    assert all(logprob < 0 and tokens >= 1 for logprob, tokens, _ in found["likelihoods"])


@pytest.mark.slow
@pytest.mark.parametrize(
    ("weights", "token"), [*((one, "") for one in hub.REJECTIONS), ("org/gated", "hf_of_somebody")]
)
def test_weights_that_the_hub_refuses_are_one_line(tmp_path, weights, token):
    python = engine.python()
    with hub.serve() as address:
        env = engine.environment(python) | {"PYTHONPATH": str(ROOT), "HF_HOME": str(tmp_path / "cache")}
        env |= {"HF_HUB_OFFLINE": "0", "HF_ENDPOINT": address, "HF_TOKEN": token}
        words = ("run", "mmlu-pro", "--sample", "-m", f"hf:{weights}")
        done = engine.run_evals(*words, env=env, cwd=tmp_path, python=str(python))
    assert done.returncode == 2
    lines = [line for line in done.stderr.splitlines() if line.startswith("evals: ")]
    assert lines == [f"evals: hf:{weights}: {hub.REJECTIONS[weights]}"], done.stderr
