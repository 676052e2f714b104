"""Smaller GPUs than a model's developers recommend: a warning if the weights fit, by their size on disk, or else a refusal."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from evals import checkpoints, gpus, profiles
from evals.checkpoints import Size
from evals.errors import UsageError
from evals.gpus import Gpu
from evals.model_adapters.common import launch
from evals.model_adapters.vllm import ENGINE
from tests.support.error_messages import assert_recorded, raises

SMALL = Gpu("NVIDIA GeForce RTX 4090", 25.8)
QWEN3_8B = {
    "num_hidden_layers": 36,
    "num_attention_heads": 32,
    "num_key_value_heads": 8,
    "head_dim": 128,
    "max_position_embeddings": 40_960,
}


def write_checkpoint(folder: Path, gb: float, config: dict[str, object] | None = None) -> Path:
    """Write the index and the configuration of a checkpoint with weights of `gb` gigabytes, and return its folder."""
    folder.mkdir(parents=True)
    index = {"metadata": {"total_size": int(gb * 1e9)}, "weight_map": {}}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index))
    (folder / "config.json").write_text(
        json.dumps(config if config is not None else {"text_config": QWEN3_8B})
    )
    return folder


def test_weights_are_sized_by_the_index_and_the_kv_cache_by_the_configuration(tmp_path: Path) -> None:
    size = checkpoints.estimate_size(write_checkpoint(tmp_path / "a", 17.0), context=32_768)
    assert size is not None
    assert (size.weights, size.tokens) == (17.0, 32_768)
    assert size.cache == pytest.approx(2 * 2 * 36 * 8 * 128 * 32_768 / 1e9)  # 4.8 GB


def test_weights_without_an_index_are_sized_by_their_files(tmp_path: Path) -> None:
    (tmp_path / "model.safetensors").write_bytes(b"x" * 5000)
    (tmp_path / "pytorch_model.bin").write_bytes(b"x" * 5000)  # the same weights in another format
    assert checkpoints.estimate_size(tmp_path) == Size(5000 / 1e9)


@pytest.mark.parametrize(
    "content", ["{", "[]", '{"metadata": 7}', '{"metadata": {"total_size": "many"}}', "\x00"]
)
def test_the_size_of_a_broken_checkpoint_is_unknown(tmp_path: Path, content: str) -> None:
    (tmp_path / "model.safetensors.index.json").write_text(content)
    (tmp_path / "config.json").write_text(content)
    assert checkpoints.estimate_size(tmp_path) is None
    assert checkpoints.estimate_size(tmp_path / "absent") is None


def test_the_kv_cache_of_latent_attention_has_one_vector_for_all_heads(tmp_path: Path) -> None:
    config = {
        "num_hidden_layers": 61,
        "num_attention_heads": 128,
        "kv_lora_rank": 512,
        "qk_rope_head_dim": 64,
    }
    size = checkpoints.estimate_size(write_checkpoint(tmp_path / "a", 1.0, config), context=1000)
    assert size is not None
    assert size.cache == pytest.approx(2 * 61 * 576 * 1000 / 1e9)


def test_a_checkpoint_is_found_in_the_hub_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("HF_HUB_CACHE", raising=False)
    monkeypatch.setenv("HF_HOME", str(tmp_path))
    assert checkpoints.checkpoint_folder("internlm/Intern-S1-mini") is None
    repository = tmp_path / "hub" / "models--internlm--Intern-S1-mini"
    snapshot = write_checkpoint(repository / "snapshots" / "abc", 17.0)
    (repository / "refs").mkdir()
    (repository / "refs" / "main").write_text("abc")
    assert checkpoints.checkpoint_folder("internlm/Intern-S1-mini") == snapshot


def intern_s1_mini() -> profiles.Profile:
    """Return the profile of Intern-S1-mini."""
    return next(profile for profile in profiles.all_profiles() if profile.name == "Intern-S1-mini")


def test_a_smaller_gpu_on_which_the_weights_fit_gives_a_warning_with_the_figures() -> None:
    refusal, warning = gpus.check_gpus(intern_s1_mini(), [SMALL], Size(17.0, 4.83, 32_768))
    assert refusal == ""
    assert "its weights take 17.0 GB, the KV cache for 32,768 tokens 4.8 GB, 21.8 GB in all" in warning
    assert "found 1 x NVIDIA GeForce RTX 4090 (26 GB): the engine may fail to start" in warning
    assert (
        "more than available; a shorter context may help"
        in gpus.check_gpus(intern_s1_mini(), [SMALL], Size(22.0, 9.0, 65_536))[1]
    )


@pytest.mark.parametrize(
    ("size", "available"),
    [
        (Size(482.0), [SMALL]),
        (Size(17.0), []),
        (None, [SMALL]),
    ],
    ids=["482 GB", "no GPU", "unknown size"],
)
def test_a_model_that_cannot_fit_is_refused_with_the_option_that_skips_the_check(
    size: Size | None, available: list[Gpu]
) -> None:
    refusal, warning = gpus.check_gpus(intern_s1_mini(), available, size)
    assert_recorded(refusal)
    assert warning == ""


def test_recommended_gpus_give_neither_warning_nor_refusal() -> None:
    assert gpus.check_gpus(intern_s1_mini(), [Gpu("NVIDIA H100 80GB HBM3", 85.5)], None) == ("", "")


def test_the_launcher_warns_or_refuses_unless_the_check_is_off(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = write_checkpoint(tmp_path / "Intern-S1-mini", 17.0)
    monkeypatch.setattr(gpus, "visible_gpus", lambda: [SMALL])
    monkeypatch.setattr(launch, "version", lambda engine, python="": "vllm 0")
    spec = launch.launch_spec(ENGINE, str(folder), intern_s1_mini())
    assert "the engine may fail to start" in launch.check(spec)
    monkeypatch.setattr(gpus, "visible_gpus", list)
    with raises(UsageError):
        launch.check(spec)
    assert launch.check(spec, gpu_check=False) == ""
