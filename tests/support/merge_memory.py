"""Measure peak memory and time of a merge in a separate process; prints JSON, with the increase of the peak in bytes.

TORCH_PYTHON tests/support/merge_memory.py FOLDER make HIDDEN LAYERS EXPERTS     checkpoints of Qwen2's shape, hidden size HIDDEN
TORCH_PYTHON tests/support/merge_memory.py FOLDER METHOD EXPERTS [PARAMETERS]   merges them by METHOD, or with `mergekit`; PARAMETERS: TOML lines of [parameters]
"""

from __future__ import annotations

import json
import os
import shutil
import sys
import time
from pathlib import Path
from typing import Any


def shapes(hidden_size: int, layers: int) -> dict[str, tuple[int, ...]]:
    """Return the tensors' shapes of a Qwen2, by name; its feed-forward layer and vocabulary are four times as wide."""
    wide = 4 * hidden_size
    tensors: dict[str, tuple[int, ...]] = {
        "lm_head.weight": (wide, hidden_size),
        "model.embed_tokens.weight": (wide, hidden_size),
    }
    tensors["model.norm.weight"] = (hidden_size,)
    for index in range(layers):
        layer = f"model.layers.{index}"
        for name in "qkvo":
            tensors[f"{layer}.self_attn.{name}_proj.weight"] = (hidden_size, hidden_size)
        tensors |= {f"{layer}.self_attn.{name}_proj.bias": (hidden_size,) for name in "qkv"}
        tensors |= {f"{layer}.mlp.{name}_proj.weight": (wide, hidden_size) for name in ("gate", "up")}
        tensors[f"{layer}.mlp.down_proj.weight"] = (hidden_size, wide)
        tensors |= {
            f"{layer}.{name}_layernorm.weight": (hidden_size,) for name in ("input", "post_attention")
        }
    return tensors


def make(folder: Path, hidden_size: int, layers: int, experts: int) -> None:
    """Write a base and experts in bfloat16."""
    import torch
    from safetensors.torch import save_file

    config = {
        "model_type": "qwen2", "architectures": ["Qwen2ForCausalLM"], "hidden_size": hidden_size, "intermediate_size": 4 * hidden_size,
        "vocab_size": 4 * hidden_size, "num_hidden_layers": layers, "num_attention_heads": hidden_size // 64,
        "num_key_value_heads": hidden_size // 64, "tie_word_embeddings": False,
    }  # fmt: skip
    generator = torch.Generator().manual_seed(0)
    base = {
        name: torch.randn(shape, generator=generator).bfloat16()
        for name, shape in shapes(hidden_size, layers).items()
    }
    for number, name in enumerate(("base", *(f"e{n}" for n in range(experts)))):
        model_folder = folder / name
        model_folder.mkdir(parents=True)
        (model_folder / "config.json").write_text(json.dumps(config))
        (model_folder / "tokenizer_config.json").write_text('{"chat_template": "x"}')
        values = (
            base
            if not number
            else {
                key: value + (0.1 * torch.randn(value.shape, generator=generator)).bfloat16()
                for key, value in base.items()
            }
        )
        save_file(values, model_folder / "model.safetensors", metadata={"format": "pt"})


def peak_memory() -> int:
    """Return the process's peak resident set size, in bytes."""
    lines = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
    return int(lines["VmHWM"].split()[0]) * 1024


def read_clocks() -> tuple[float, float]:
    """Return wall and processor seconds."""
    return time.perf_counter(), time.process_time()


def report(before: int, began: tuple[float, float], **values: int) -> None:
    """Print the increase of peak memory over `before` (bytes), the time since `began` (`read_clocks`), and the machine's load."""
    wall, processor = (end - start for start, end in zip(began, read_clocks(), strict=True))
    load = round(os.getloadavg()[0], 1)
    print(
        json.dumps(
            {
                "peak_increase_bytes": peak_memory() - before,
                "seconds": wall,
                "cpu": processor,
                "load": load,
                **values,
            }
        )
    )


def merge(folder: Path, method: str, experts: int, parameters: str = "") -> None:
    """Merge with this project's code, and print memory and time."""
    import torch
    from safetensors.torch import load_file

    from evals.merging import build
    from evals.merging.table import MergeContext

    torch.randn(64, 64) @ torch.randn(64, 64)  # loads the kernels
    torch.linalg.svd(torch.randn(8, 8))
    load_file(folder / "base" / "model.safetensors")
    expert_lines = "\n".join(f'e{n} = "./e{n}"' for n in range(experts))
    path = folder / f"{method}.toml"
    path.write_text(
        f'method = "{method}"\nbase = "./base"\nexclude = []\n[experts]\n{expert_lines}\n[parameters]\n{parameters}'
    )
    plan = build.Plan(path)
    rule = plan.recipe.rule
    context = MergeContext(
        tensor="x", experts=tuple(plan.experts), parameters=plan.recipe.parameters, edition="fixed", seed=0,
        factor=1.0, stored_dtype=torch.bfloat16,
    )  # fmt: skip
    # run once before measuring, to load the method's kernels
    rule.load()([torch.randn(1024, 1024) for _ in plan.experts], context)
    Path("/proc/self/clear_refs").write_text("5")  # resets the peak
    before, began = peak_memory(), read_clocks()
    shutil.rmtree(folder / "out", ignore_errors=True)
    build.make(plan, out=folder / "out", log=lambda _: None)
    float32_bytes = max(entry.count for entry in plan.base.tensors.values()) * 4
    report(before, began, largest_tensor_bytes=float32_bytes, experts=experts)


def mergekit(folder: Path, experts: int) -> None:
    """Merge the same files with mergekit, and print memory and time."""
    import torch
    import yaml
    from mergekit.config import MergeConfiguration
    from mergekit.merge import run_merge
    from mergekit.options import MergeOptions

    torch.randn(64, 64) @ torch.randn(64, 64)  # loads the kernels
    models: list[dict[str, object]] = [
        {"model": str(folder / f"e{n}"), "parameters": {"weight": 1.0, "density": 0.2}}
        for n in range(experts)
    ]
    settings: dict[str, Any] = {
        "merge_method": "ties",
        "models": models,
        "base_model": str(folder / "base"),
        "dtype": "float32",
    }
    settings["out_dtype"] = "bfloat16"
    settings["parameters"] = {"lambda": 0.3, "normalize": True}
    config = MergeConfiguration.model_validate(yaml.safe_load(yaml.safe_dump(settings)))
    Path("/proc/self/clear_refs").write_text("5")
    before, began = peak_memory(), read_clocks()
    run_merge(config, str(folder / "mergekit"), MergeOptions(copy_tokenizer=False, write_model_card=False))
    report(before, began, experts=experts)


if __name__ == "__main__":
    folder, action, *arguments = sys.argv[1:]
    if action == "make":
        make(Path(folder), *map(int, arguments))
    elif action == "mergekit":
        mergekit(Path(folder), int(arguments[0]))
    else:
        merge(Path(folder), action, int(arguments[0]), *arguments[1:])
