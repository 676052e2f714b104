"""Merging folders of safetensors: which tensors are merged or copied, LoRAs, resumption, and messages for invalid input."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from evals.errors import UsageError
from evals.merging import checks, writing
from evals.merging.build import Plan, make
from evals.merging.lora import Adapter
from evals.merging.table import METHODS
from evals.merging.tensors import Checkpoint
from tests.support.error_messages import raises
from tests.support.merging import (
    needs_torch,
    random_lora_factors,
    random_weights,
    read_tensors,
    write_base_and_experts,
    write_checkpoint,
    write_lora,
    write_recipe,
)
from tests.support.paths import ROOT

pytestmark = needs_torch
DOWN, UP = "model.layers.0.mlp.down_proj.weight", "model.layers.0.mlp.up_proj.weight"
Q_PROJ = "model.layers.0.self_attn.q_proj.weight"
DOWN_LAYER, Q_LAYER = DOWN.removesuffix(".weight"), Q_PROJ.removesuffix(".weight")
split_into_shards = writing.shards


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Redirect the caches to the temporary folder; return the folder of cached merges."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("HF_HOME", str(tmp_path / "hub"))
    return tmp_path / "cache" / "science-evals" / "merges"


def merge(path: Path, **options: Any) -> Path:
    """Merge by a recipe and return the folder."""
    return make(Plan(path), log=lambda _: None, **options)


def assert_refused(path: Path) -> None:
    """Assert that a recipe is refused with the recorded message and that no file is left behind."""
    before = {file for file in path.parent.rglob("*") if "cache" not in file.parts}
    with raises(UsageError):
        make(Plan(path), log=lambda _: None)
    assert {file for file in path.parent.rglob("*") if "cache" not in file.parts} == before
    cached = [file.name for file in path.parent.glob("cache/science-evals/merges/*")]
    assert [name for name in cached if name != "hashes.json" and not name.endswith(".lock")] == []


@pytest.mark.parametrize("files", [1, 3])
def test_matrices_of_the_language_model_are_merged_and_other_tensors_are_the_bases(tmp_path, files):
    import torch

    checkpoints = write_base_and_experts(tmp_path, dtype="bfloat16", files=files)
    folder = merge(write_recipe(tmp_path, "task-arithmetic"))
    merged = read_tensors(folder)
    assert set(merged) == set(checkpoints["base"])
    for name, base in checkpoints["base"].items():
        if name in (DOWN, UP, Q_PROJ):
            taus = [checkpoints[f"e{n}"][name].float() - base.float() for n in range(3)]
            expected = (base.float() + 0.3 * sum(taus)).bfloat16()
            torch.testing.assert_close(merged[name], expected, rtol=0, atol=0)
        else:
            assert torch.equal(merged[name], base), name
    card = json.loads((folder / "merge.json").read_text())
    assert (card["lambda"], card["merged"], card["tensors"], card["seed"]) == (0.3, 3, 7, 0)
    assert set(card["experts"]) == {"e0", "e1", "e2"}
    assert card["key"].startswith(folder.name.rpartition("-")[2])


@pytest.mark.parametrize("method", sorted(METHODS))
@pytest.mark.parametrize("edition", ["fixed", "original"])
def test_every_method_writes_the_same_bytes_when_repeated(tmp_path, method, edition):
    write_base_and_experts(tmp_path)
    path = write_recipe(tmp_path, method, settings=f'edition = "{edition}"')
    first, second = merge(path, out=tmp_path / "one"), merge(path, out=tmp_path / "two")
    names = sorted(file.name for file in first.iterdir())
    assert names == sorted(file.name for file in second.iterdir())
    assert all((first / name).read_bytes() == (second / name).read_bytes() for name in names)
    card = json.loads((first / "merge.json").read_text())
    assert card["defect"] == (METHODS[method].defect if edition == "original" else "")


def test_a_merge_is_cached_until_the_recipe_or_an_expert_changes(tmp_path, cache):
    write_base_and_experts(tmp_path)
    path = write_recipe(tmp_path, "ties")
    lines: list[str] = []
    first = make(Plan(path), log=lines.append)
    assert make(Plan(path), log=lines.append) == first
    assert len(lines) == 1
    other_lambda = make(
        Plan(write_recipe(tmp_path, "ties", settings="lambda = 0.4", name="r2.toml")), log=lines.append
    )
    write_checkpoint(tmp_path / "other", random_weights(9, base=read_tensors(tmp_path / "base")))
    shutil.copy(tmp_path / "other" / "model.safetensors", tmp_path / "e0" / "model.safetensors")
    other_expert = make(Plan(path), log=lines.append)
    assert len({first, other_lambda, other_expert}) == 3
    assert sorted(folder for folder in cache.iterdir() if folder.is_dir()) == sorted(
        (first, other_lambda, other_expert)
    )


def test_a_recipe_may_set_the_dtype_of_the_result(tmp_path):
    import torch

    write_base_and_experts(tmp_path)
    folder = merge(write_recipe(tmp_path, "ties", settings='dtype = "bfloat16"\ncompute = "float64"'))
    assert {tensor.dtype for tensor in read_tensors(folder).values()} == {torch.bfloat16}
    assert json.loads((folder / "config.json").read_text())["dtype"] == "bfloat16"


def test_a_merge_in_several_shards_has_the_same_tensors(tmp_path, monkeypatch):
    import torch

    checkpoints = write_base_and_experts(tmp_path)
    whole = read_tensors(merge(write_recipe(tmp_path, "ties"), out=tmp_path / "whole"))
    monkeypatch.setattr(writing, "shards", lambda tensors: [*split_into_shards(tensors, limit=2000)])
    folder = merge(write_recipe(tmp_path, "ties"), out=tmp_path / "parts")
    assert len(list(folder.glob("model-*.safetensors"))) > 3
    sharded = read_tensors(folder)
    assert all(torch.equal(sharded[name], whole[name]) for name in checkpoints["base"])
    index = json.loads((folder / "model.safetensors.index.json").read_text())
    assert index["metadata"]["total_size"] == sum(tensor.nbytes for tensor in whole.values())


def test_a_killed_merge_resumes_after_its_last_complete_shard(tmp_path):
    write_base_and_experts(tmp_path)
    path = write_recipe(tmp_path, "ties", settings="seed = 3")
    whole = merge(path, out=tmp_path / "whole")
    script = (
        "import os, sys\nfrom pathlib import Path\nfrom evals.merging import writing, build, merger\n"
        "shards = writing.shards\nwriting.shards = lambda tensors: shards(tensors, limit=2000)\n"
        "tensor = merger.Merger.tensor\nmerged = []\n"
        "def merge_or_die(self, name):\n    merged.append(name)\n"
        "    if len(merged) == int(sys.argv[3]): os.kill(os.getpid(), 9)\n    return tensor(self, name)\n"
        "merger.Merger.tensor = merge_or_die\n"
        "build.make(build.Plan(Path(sys.argv[1])), out=Path(sys.argv[2]), log=print)\nprint('merged', len(merged))"
    )
    env = os.environ | {"PYTHONPATH": os.pathsep.join([str(ROOT), os.environ.get("EVALS_TEST_TORCH", "")])}

    def run(dies_at: int) -> subprocess.CompletedProcess[str]:
        arguments = [sys.executable, "-c", script, str(path), str(tmp_path / "out"), str(dies_at)]
        return subprocess.run(arguments, env=env, capture_output=True, text=True, check=False, timeout=300)

    assert run(4).returncode == -9
    assert not (tmp_path / "out").exists()
    completed = run(0)
    assert completed.returncode == 0, completed.stderr
    assert "resuming after shard 2 of 4" in completed.stdout
    assert "merged 5" in completed.stdout
    resumed = read_tensors(tmp_path / "out")
    for name, tensor in read_tensors(whole).items():
        assert tensor.equal(resumed[name]), name
    assert list(tmp_path.glob(".out*")) == []


# --- LoRAs


def lora_factors(seed: int, *, layers: tuple[str, ...] = (DOWN, Q_PROJ)) -> dict[str, Any]:
    """Return random factors (A, B) of a LoRA by layer."""
    shapes = {layer.removesuffix(".weight"): tuple(random_weights(0)[layer].shape) for layer in layers}
    return random_lora_factors(shapes, seed=seed)


def test_loras_are_added_to_the_base_with_their_scales(tmp_path):
    import torch

    base = write_base_and_experts(tmp_path, experts=0)["base"]
    first, second = lora_factors(1), lora_factors(2, layers=(Q_PROJ,))
    write_lora(tmp_path / "e0", first, rank=4, alpha=8)
    write_lora(tmp_path / "e1", second, rank=4, alpha=8, use_rslora=True, alpha_pattern={"q_proj": 2})
    merged = read_tensors(merge(write_recipe(tmp_path, "task-arithmetic", experts=2, settings="lambda = 1")))
    (a0, b0), (a1, b1), (c, d) = first[Q_LAYER], second[Q_LAYER], first[DOWN_LAYER]
    torch.testing.assert_close(merged[Q_PROJ], base[Q_PROJ] + 2 * b0 @ a0 + (2 / 4**0.5) * b1 @ a1)
    torch.testing.assert_close(merged[DOWN], base[DOWN] + 2 * d @ c)
    assert torch.equal(merged[UP], base[UP])


def test_a_lora_merges_like_the_full_checkpoint_that_it_is_equivalent_to(tmp_path):
    import torch

    base = write_base_and_experts(tmp_path, experts=1)["base"]
    factors = lora_factors(1)
    write_lora(tmp_path / "e1", factors, rank=4, alpha=4)
    from_lora = read_tensors(merge(write_recipe(tmp_path, "ties", experts=2), out=tmp_path / "from-lora"))
    full = dict(base)
    for layer, (down, up) in factors.items():
        full[f"{layer}.weight"] = base[f"{layer}.weight"] + up @ down
    shutil.rmtree(tmp_path / "e1")
    write_checkpoint(tmp_path / "e1", full)
    from_full = read_tensors(merge(write_recipe(tmp_path, "ties", experts=2), out=tmp_path / "from-full"))
    assert all(torch.allclose(from_lora[name], from_full[name], atol=1e-5) for name in base)


def test_a_lora_without_alpha_has_that_of_peft(tmp_path):
    write_base_and_experts(tmp_path, experts=0)
    folder = write_lora(tmp_path / "lora", lora_factors(1, layers=(Q_PROJ,)), rank=4, alpha=4)
    config = json.loads((folder / "adapter_config.json").read_text())
    del config["lora_alpha"]
    (folder / "adapter_config.json").write_text(json.dumps(config))
    adapter = Adapter(folder, label="lora")
    adapter.bind(Checkpoint(tmp_path / "base", label="base").tensors)
    assert adapter.pairs[Q_PROJ].scale == 8 / 4


def test_the_original_modality_merge_of_loras_multiplies_lambda_twice(tmp_path):
    import torch

    base = write_base_and_experts(tmp_path, experts=0)["base"]
    for number in range(2):
        write_lora(tmp_path / f"e{number}", lora_factors(number + 1, layers=(Q_PROJ,)), rank=4, alpha=4)
    path = write_recipe(
        tmp_path,
        "optmerge-modality",
        experts=2,
        settings='edition = "original"\nlambda = 0.5',
        parameters="steps = 0",
    )
    merged = read_tensors(merge(path))
    down = sum(lora_factors(n + 1, layers=(Q_PROJ,))[Q_LAYER][0] for n in range(2)) / 2
    up = sum(lora_factors(n + 1, layers=(Q_PROJ,))[Q_LAYER][1] for n in range(2)) / 2
    torch.testing.assert_close(merged[Q_PROJ], base[Q_PROJ] + 0.25 * up @ down)


# --- invalid input


def change_tensors(folder: Path, name: str, change: Callable[[dict[str, Any]], None]) -> None:
    """Rewrite a checkpoint with changed tensors."""
    tensors = read_tensors(folder / name)
    change(tensors)
    config = json.loads((folder / name / "config.json").read_text())
    shutil.rmtree(folder / name)
    write_checkpoint(folder / name, tensors, config=config)


def test_tensors_whose_names_or_shapes_differ_are_refused(tmp_path):
    import torch

    write_base_and_experts(tmp_path)
    change_tensors(tmp_path, "e1", lambda tensors: tensors.pop(UP))
    assert_refused(write_recipe(tmp_path, "ties"))
    change_tensors(tmp_path, "e1", lambda tensors: tensors.update({UP: torch.zeros(24, 17)}))
    assert_refused(write_recipe(tmp_path, "ties"))
    change_tensors(
        tmp_path,
        "e1",
        lambda tensors: tensors.update({UP: torch.zeros(24, 16), "model.extra.weight": torch.ones(2, 2)}),
    )
    assert_refused(write_recipe(tmp_path, "ties"))


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_weights_with_nan_or_infinite_values_are_refused(tmp_path, value):
    write_base_and_experts(tmp_path)
    change_tensors(tmp_path, "e2", lambda tensors: tensors[UP][3].fill_(value))
    assert_refused(write_recipe(tmp_path, "ties"))


def test_nan_in_a_tensor_that_is_not_merged_is_refused_too(tmp_path):
    write_base_and_experts(tmp_path)
    change_tensors(tmp_path, "base", lambda tensors: tensors["model.norm.weight"][3].fill_(float("nan")))
    assert_refused(write_recipe(tmp_path, "ties"))


def test_a_base_far_from_its_experts_is_refused_unless_accepted(tmp_path):
    write_base_and_experts(tmp_path)
    shutil.rmtree(tmp_path / "base")
    write_checkpoint(tmp_path / "base", random_weights(77))
    path = write_recipe(tmp_path, "ties")
    assert_refused(path)
    assert merge(path, accept=True).is_dir()


def test_nan_produced_by_an_original_method_is_reported_with_its_tensor(tmp_path):
    write_base_and_experts(tmp_path)
    base = read_tensors(tmp_path / "base")
    change_tensors(tmp_path, "e1", lambda tensors: tensors.update({UP: base[UP]}))
    assert_refused(write_recipe(tmp_path, "wudi", settings='edition = "original"'))
    assert merge(write_recipe(tmp_path, "wudi")).is_dir()


def test_a_base_without_a_chat_template_is_refused_unless_the_recipe_sets_a_tokenizer(tmp_path):
    write_base_and_experts(tmp_path, experts=2)
    (tmp_path / "base" / "tokenizer_config.json").write_text("{}")
    assert_refused(write_recipe(tmp_path, "ties", experts=2))
    folder = merge(write_recipe(tmp_path, "ties", experts=2, settings='tokenizer = "e1"'))
    assert checks.has_template(folder)
    shutil.rmtree(folder)
    for number in range(2):
        (tmp_path / f"e{number}" / "tokenizer_config.json").write_text("{}")
    assert_refused(write_recipe(tmp_path, "ties", experts=2))
    (tmp_path / "base" / "chat_template.jinja").write_text("{{ messages }}")
    assert (merge(write_recipe(tmp_path, "ties", experts=2)) / "chat_template.jinja").is_file()


def test_an_expert_with_a_different_vocabulary_is_refused(tmp_path):
    write_base_and_experts(tmp_path)
    (tmp_path / "e1" / "tokenizer.json").write_text('{"model": {"vocab": {"b": 0}}}')
    assert_refused(write_recipe(tmp_path, "ties"))


def test_a_checkpoint_that_runs_code_is_refused_unless_trusted(tmp_path):
    write_base_and_experts(tmp_path)
    (tmp_path / "base" / "tokenizer_config.json").write_text(
        '{"chat_template": "x", "auto_map": {"AutoTokenizer": ["t.T", null]}}'
    )
    (tmp_path / "base" / "t.py").write_text("raise SystemExit")
    assert_refused(write_recipe(tmp_path, "ties"))
    folder = make(Plan(write_recipe(tmp_path, "ties"), trusted=True), log=lambda _: None)
    assert (folder / "t.py").is_file()


def test_loras_that_cannot_be_merged_are_refused(tmp_path):
    import torch

    write_base_and_experts(tmp_path, experts=0)
    path = write_recipe(tmp_path, "ties", experts=1)

    def assert_lora_is_refused(factors: dict[str, Any], **config: Any) -> None:
        shutil.rmtree(tmp_path / "e0", ignore_errors=True)
        write_lora(tmp_path / "e0", factors, **{"rank": 4, "alpha": 4, **config})
        assert_refused(path)

    assert_lora_is_refused(lora_factors(1), use_dora=True)
    assert_lora_is_refused(lora_factors(1), peft_type="IA3")
    assert_lora_is_refused(lora_factors(1), base="org/other")
    assert merge(path, accept=True).is_dir()
    shutil.rmtree(tmp_path / "cache")
    assert_lora_is_refused({"model.layers.7.q": (torch.ones(4, 2), torch.ones(2, 4))})
    assert_lora_is_refused({Q_LAYER: (torch.ones(4, 9), torch.ones(16, 4))})
    assert_lora_is_refused({Q_LAYER: (torch.ones(4, 16, 1, 1), torch.ones(16, 4, 1, 1))})  # of a convolution
    assert_lora_is_refused({Q_LAYER: (torch.ones(0, 16), torch.ones(16, 0))})
    assert_lora_is_refused(lora_factors(1), alpha_pattern=["q_proj"])
    assert_lora_is_refused(lora_factors(1), alpha_pattern={"(q|k)_proj": 8})
    (tmp_path / "e0" / "adapter_model.safetensors").unlink()
    assert_refused(path)


def test_a_lora_as_the_base_is_refused(tmp_path):
    write_base_and_experts(tmp_path, experts=1)
    shutil.rmtree(tmp_path / "base")
    write_lora(tmp_path / "base", lora_factors(1), rank=4, alpha=4)
    assert_refused(write_recipe(tmp_path, "ties", experts=1))


def test_missing_and_repeated_checkpoints_are_refused(tmp_path):
    write_base_and_experts(tmp_path, experts=1)
    path = write_recipe(tmp_path, "ties", experts=2)
    assert_refused(path)
    path.write_text(path.read_text().replace("./e1", "org/name"))
    assert_refused(path)
    path.write_text(path.read_text().replace("org/name", "./e0"))
    assert_refused(path)


def test_weights_that_are_not_safetensors_are_refused(tmp_path):
    write_base_and_experts(tmp_path)
    path = write_recipe(tmp_path, "ties")
    (tmp_path / "e0" / "model.safetensors").write_bytes(b"\xff" * 100)
    assert_refused(path)
    (tmp_path / "e0" / "model.safetensors").unlink()
    (tmp_path / "e0" / "pytorch_model.bin").write_bytes(b"pickle")
    assert_refused(path)
    (tmp_path / "e0" / "model.safetensors.index.json").write_text(
        '{"weight_map": {"a": "../base/model.safetensors"}}'
    )
    assert_refused(path)
    (tmp_path / "e0" / "config.json").unlink()
    assert_refused(path)


def test_quantized_weights_are_refused(tmp_path):
    write_base_and_experts(tmp_path)
    (tmp_path / "e0" / "config.json").write_text('{"quantization_config": {"bits": 4}}')
    assert_refused(write_recipe(tmp_path, "ties"))


def test_a_base_with_a_dtype_that_cannot_be_copied_is_refused(tmp_path):
    import torch
    from safetensors.torch import load_file, save_file

    write_base_and_experts(tmp_path)
    weights = tmp_path / "base" / "model.safetensors"
    save_file(load_file(weights) | {"table": torch.zeros(2, dtype=torch.uint16)}, weights)
    assert_refused(write_recipe(tmp_path, "ties"))


def test_a_recipe_that_excludes_all_tensors_is_refused(tmp_path):
    write_base_and_experts(tmp_path)
    assert_refused(write_recipe(tmp_path, "ties", settings='exclude = ["*"]'))


def test_a_full_disk_is_reported_before_and_during_the_merge(tmp_path, monkeypatch):
    write_base_and_experts(tmp_path)
    path = write_recipe(tmp_path, "ties")
    monkeypatch.setattr(checks.shutil, "disk_usage", lambda _: shutil._ntuple_diskusage(1, 1, 1000))
    assert_refused(path)
    monkeypatch.undo()
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))

    def fail(*_: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(writing, "_write_tensor", fail)
    assert_refused(path)


def test_a_file_that_is_too_large_to_copy_is_reported_before_the_merge(tmp_path, monkeypatch):
    write_base_and_experts(tmp_path)
    (tmp_path / "base" / "tf_model.h5").write_bytes(b"x" * 5000)  # weights of another framework: not copied
    (tmp_path / "base" / "notes.json").write_text(f'"{"x" * (1 << 20)}"')
    monkeypatch.setattr(writing, "MAX_FILE_BYTES", 1 << 20)
    monkeypatch.setattr(writing, "write_shard", lambda *_: pytest.fail("merged before the files were copied"))
    assert_refused(write_recipe(tmp_path, "ties"))
    monkeypatch.undo()
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    assert not (merge(write_recipe(tmp_path, "ties")) / "tf_model.h5").exists()


def test_a_failed_write_in_the_middle_of_a_tensor_leaves_no_files(tmp_path):
    """Like a full disk, a limit on the size of files, set in a process of its own, interrupts the write of a tensor."""
    write_base_and_experts(tmp_path)
    path = write_recipe(tmp_path, "ties")
    script = (
        "import resource, sys\nfrom pathlib import Path\nfrom evals.merging.build import Plan, make\n"
        "plan = Plan(Path(sys.argv[1]))\nresource.setrlimit(resource.RLIMIT_FSIZE, (2048, 2048))\n"
        "make(plan, out=Path(sys.argv[2]), log=print)"
    )
    env = os.environ | {"PYTHONPATH": os.pathsep.join([str(ROOT), os.environ.get("EVALS_TEST_TORCH", "")])}
    arguments = [sys.executable, "-c", script, str(path), str(tmp_path / "out")]
    process = subprocess.run(arguments, env=env, capture_output=True, text=True, check=False, timeout=300)
    assert f"UsageError: cannot write {tmp_path / 'out'}: File too large" in process.stderr
    assert list(tmp_path.glob("*out*")) == []


def test_an_existing_folder_that_is_not_this_merge_is_not_overwritten(tmp_path):
    write_base_and_experts(tmp_path)
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "mine").write_text("precious")
    with raises(UsageError):
        merge(write_recipe(tmp_path, "ties"), out=tmp_path / "out")
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["mine"]


def test_values_beyond_the_range_of_float16_are_refused(tmp_path):
    write_base_and_experts(tmp_path)
    change_tensors(tmp_path, "base", lambda tensors: tensors[UP].mul_(1e6))
    for n in range(3):
        change_tensors(tmp_path, f"e{n}", lambda tensors: tensors[UP].mul_(1e6))
    assert_refused(write_recipe(tmp_path, "ties", settings='dtype = "float16"'))
