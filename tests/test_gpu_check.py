"""GPUs that its makers would not use: a warning where the weights fit by their size on disk, a refusal where they cannot."""

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

SMALL = Gpu("NVIDIA GeForce RTX 4090", 25.8)
QWEN3_8B = {
    "num_hidden_layers": 36,
    "num_attention_heads": 32,
    "num_key_value_heads": 8,
    "head_dim": 128,
    "max_position_embeddings": 40_960,
}


def checkpoint(folder: Path, gb: float, config: dict[str, object] | None = None) -> Path:
    folder.mkdir(parents=True)
    index = {"metadata": {"total_size": int(gb * 1e9)}, "weight_map": {}}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index))
    (folder / "config.json").write_text(
        json.dumps(config if config is not None else {"text_config": QWEN3_8B})
    )
    return folder


def test_weights_are_sized_by_their_index_and_a_cache_by_the_configuration(tmp_path: Path) -> None:
    found = checkpoints.estimate_size(checkpoint(tmp_path / "a", 17.0), context=32_768)
    assert found is not None
    assert (found.weights, found.tokens) == (17.0, 32_768)
    assert found.cache == pytest.approx(2 * 2 * 36 * 8 * 128 * 32_768 / 1e9)  # 4.8 GB


def test_weights_without_an_index_are_sized_by_their_files(tmp_path: Path) -> None:
    (tmp_path / "model.safetensors").write_bytes(b"x" * 5000)
    (tmp_path / "pytorch_model.bin").write_bytes(b"x" * 5000)  # the same again
    assert checkpoints.estimate_size(tmp_path) == Size(5000 / 1e9)


@pytest.mark.parametrize(
    "broken", ["{", "[]", '{"metadata": 7}', '{"metadata": {"total_size": "many"}}', "\x00"]
)
def test_a_broken_index_tells_nothing(tmp_path: Path, broken: str) -> None:
    (tmp_path / "model.safetensors.index.json").write_text(broken)
    (tmp_path / "config.json").write_text(broken)
    assert checkpoints.estimate_size(tmp_path) is None
    assert checkpoints.estimate_size(tmp_path / "absent") is None


def test_latent_attention_keeps_one_vector_for_all_heads(tmp_path: Path) -> None:
    config = {
        "num_hidden_layers": 61,
        "num_attention_heads": 128,
        "kv_lora_rank": 512,
        "qk_rope_head_dim": 64,
    }
    found = checkpoints.estimate_size(checkpoint(tmp_path / "a", 1.0, config), context=1000)
    assert found is not None
    assert found.cache == pytest.approx(2 * 61 * 576 * 1000 / 1e9)


def test_the_hubs_cache_is_looked_into(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("HF_HUB_CACHE", raising=False)
    monkeypatch.setenv("HF_HOME", str(tmp_path))
    assert checkpoints.checkpoint_folder("internlm/Intern-S1-mini") is None
    repository = tmp_path / "hub" / "models--internlm--Intern-S1-mini"
    place = checkpoint(repository / "snapshots" / "abc", 17.0)
    (repository / "refs").mkdir()
    (repository / "refs" / "main").write_text("abc")
    assert checkpoints.checkpoint_folder("internlm/Intern-S1-mini") == place


def mini() -> profiles.Profile:
    return next(one for one in profiles.all_profiles() if one.name == "Intern-S1-mini")


def test_a_smaller_gpu_that_the_weights_fit_on_is_a_warning_with_the_figures() -> None:
    refusal, warning = gpus.check_gpus(mini(), [SMALL], Size(17.0, 4.83, 32_768))
    assert refusal == ""
    assert "its weights take 17.0 GB, the KV cache for 32,768 tokens 4.8 GB, 21.8 GB in all" in warning
    assert "found 1 x NVIDIA GeForce RTX 4090 (26 GB): the engine may fail to start" in warning
    assert (
        "more than available; a shorter context may help"
        in gpus.check_gpus(mini(), [SMALL], Size(22.0, 9.0, 65_536))[1]
    )


@pytest.mark.parametrize(
    ("size", "here", "said"),
    [
        (Size(482.0), [SMALL], "its weights take 482.0 GB, and the GPUs here have 26 GB in all"),
        (Size(17.0), [], "its weights take 17.0 GB, and the GPUs here have 0 GB in all"),
        (None, [SMALL], "the size of its weights is not known"),
    ],
)
def test_what_cannot_fit_is_refused_and_the_way_around_named(
    size: Size | None, here: list[Gpu], said: str
) -> None:
    refusal, warning = gpus.check_gpus(mini(), here, size)
    assert said in refusal
    assert refusal.endswith("--no-gpu-check starts the server anyway")
    assert warning == ""


def test_gpus_that_its_makers_use_are_no_matter() -> None:
    assert gpus.check_gpus(mini(), [Gpu("NVIDIA H100 80GB HBM3", 85.5)], None) == ("", "")


def test_the_launcher_warns_refuses_and_looks_away(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = checkpoint(tmp_path / "Intern-S1-mini", 17.0)
    monkeypatch.setattr(gpus, "visible_gpus", lambda: [SMALL])
    monkeypatch.setattr(launch, "version", lambda engine, python="": "vllm 0")
    order = launch.launch_spec(ENGINE, str(folder), mini())
    assert "the engine may fail to start" in launch.check(order)
    monkeypatch.setattr(gpus, "visible_gpus", list)
    with pytest.raises(UsageError, match="--no-gpu-check starts the server anyway"):
        launch.check(order)
    assert launch.check(order, gpu_check=False) == ""
