"""Small checkpoints for merging: a base and experts close to it, with tensor names as in Qwen2-VL and InternVL."""

from __future__ import annotations

import json
import os
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

if folder := os.environ.get("EVALS_TEST_TORCH"):  # site-packages with torch, searched last
    sys.path.append(folder)
TORCH = all(find_spec(name) for name in ("torch", "safetensors"))
needs_torch = pytest.mark.skipif(
    not TORCH, reason="NOT TESTED WITHOUT TORCH: tests/merging/test_with_torch.py runs it in `make slow`"
)
SHAPES = {
    "model.embed_tokens.weight": (32, 16),
    "model.layers.0.mlp.down_proj.weight": (16, 24),
    "model.layers.0.mlp.up_proj.weight": (24, 16),
    "model.layers.0.self_attn.q_proj.bias": (16,),
    "model.layers.0.self_attn.q_proj.weight": (16, 16),
    "model.norm.weight": (16,),
    "visual.blocks.0.attn.proj.weight": (8, 8),
}
TEMPLATE = "{% for m in messages %}{{ m.content }}{% endfor %}"


def random_weights(seed: int, *, base: dict[str, Any] | None = None, scale: float = 0.02) -> dict[str, Any]:
    """Return random tensors; with `base`, its tensors plus noise."""
    import torch

    generator = torch.Generator().manual_seed(seed)
    noise = {name: torch.randn(shape, generator=generator) for name, shape in SHAPES.items()}
    return {name: base[name] + scale * noise[name] if base else noise[name] for name in noise}


def write_checkpoint(
    folder: Path,
    tensors: dict[str, Any],
    *,
    files: int = 1,
    template: bool = True,
    config: dict[str, Any] | None = None,
) -> Path:
    """Write a checkpoint of one or more weight files, and return its folder."""
    from safetensors.torch import save_file

    folder.mkdir(parents=True)
    (folder / "config.json").write_text(json.dumps({"model_type": "tiny", **(config or {})}))
    (folder / "tokenizer.json").write_text(
        json.dumps({"model": {"vocab": {"a": 0, "b": 1}}, "added_tokens": []})
    )
    (folder / "tokenizer_config.json").write_text(json.dumps({"chat_template": TEMPLATE} if template else {}))
    names = sorted(tensors)
    if files == 1:
        save_file(tensors, folder / "model.safetensors")
        return folder
    mapping = {name: f"model-{index % files:05}.safetensors" for index, name in enumerate(names)}
    for file in set(mapping.values()):
        save_file(
            {name: tensors[name].contiguous() for name in names if mapping[name] == file}, folder / file
        )
    (folder / "model.safetensors.index.json").write_text(json.dumps({"weight_map": mapping}))
    return folder


def write_base_and_experts(
    folder: Path, *, experts: int = 3, dtype: str = "float32", files: int = 1, **options: Any
) -> dict[str, Any]:
    """Write `base` and `e0`, `e1` ... below a folder; return their tensors by name."""
    import torch

    kind = getattr(torch, dtype)
    base = random_weights(0)
    checkpoints = {"base": base, **{f"e{n}": random_weights(n + 1, base=base) for n in range(experts)}}
    checkpoints = {
        name: {key: value.to(kind) for key, value in tensors.items()} for name, tensors in checkpoints.items()
    }
    for name, tensors in checkpoints.items():
        write_checkpoint(folder / name, tensors, files=files, **options)
    return checkpoints


def write_recipe(
    folder: Path,
    method: str,
    *,
    experts: int = 3,
    settings: str = "",
    parameters: str = "",
    name: str = "r.toml",
) -> Path:
    """Write a recipe that merges the checkpoints of `write_base_and_experts`; return its file. `settings`: further TOML lines."""
    expert_lines = "\n".join(f'e{n} = "./e{n}"' for n in range(experts))
    path = folder / name
    text = f'method = "{method}"\nbase = "./base"\n{settings}\n[experts]\n{expert_lines}\n[parameters]\n{parameters}\n'
    path.write_text(text)
    return path


def write_lora(
    folder: Path,
    pairs: dict[str, tuple[Any, Any]],
    *,
    rank: int,
    alpha: float,
    base: str = "base",
    **config: Any,
) -> Path:
    """Write a LoRA from its factors, layer -> (A, B), and return its folder."""
    from safetensors.torch import save_file

    folder.mkdir(parents=True)
    content = {"peft_type": "LORA", "r": rank, "lora_alpha": alpha, "base_model_name_or_path": base, **config}
    (folder / "adapter_config.json").write_text(json.dumps(content))
    tensors = {}
    for layer, (down, up) in pairs.items():
        tensors[f"base_model.model.{layer}.lora_A.weight"] = down
        tensors[f"base_model.model.{layer}.lora_B.weight"] = up
    save_file(tensors, folder / "adapter_model.safetensors")
    return folder


def random_lora_factors(
    shapes: dict[str, tuple[int, ...]], *, seed: int, rank: int = 4, scale: float = 0.05
) -> dict[str, Any]:
    """Return random factors of a LoRA: layer -> (A, B)."""
    import torch

    generator = torch.Generator().manual_seed(seed)
    factors = {}
    for layer, (rows, columns) in shapes.items():
        down = torch.randn(rank, columns, generator=generator) * scale
        factors[layer] = (down, torch.randn(rows, rank, generator=generator) * scale)
    return factors


def read_tensors(folder: Path) -> dict[str, Any]:
    """Return all tensors of a checkpoint."""
    from safetensors.torch import load_file

    return {
        name: value
        for file in sorted(folder.glob("*.safetensors"))
        for name, value in load_file(file).items()
    }
