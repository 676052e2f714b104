"""Tiny checkpoints of one small ViT, tuned in seconds on generated drawings: full, linear probe, LoRA, adapter, ALoRE.

The product does not train; the tests do, to create files like those that users have.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterable
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

from tools.make_samples_classes import drawing

if folder := os.environ.get("EVALS_TEST_TIMM"):  # site-packages with torch and timm, searched last
    sys.path.append(folder)
TIMM = all(find_spec(name) for name in ("torch", "torchvision", "timm", "safetensors"))
needs_timm = pytest.mark.skipif(
    not TIMM,
    reason="NOT TESTED WITHOUT TORCH AND TIMM: tests/vision/test_with_timm.py runs it in `make slow`",
)
CLASSES, SIZE, WIDTH, RANK, EXPERTS = 10, 32, 48, 2, 4
NOISE = 90.0
"""Standard deviation of the pixel noise; pixels are 0 to 255."""
ARGUMENTS = {
    "img_size": SIZE, "patch_size": 8, "embed_dim": WIDTH, "depth": 2, "num_heads": 3, "mlp_ratio": 2.0,
}  # fmt: skip
CONFIG: dict[str, Any] = {
    "architecture": "vit_tiny_patch16_224",
    "num_classes": 0,
    "model_args": ARGUMENTS,
    "pretrained_cfg": {
        "input_size": [3, SIZE, SIZE], "interpolation": "bilinear", "crop_pct": 1.0, "crop_mode": "center",
        "mean": [0.5, 0.5, 0.5], "std": [0.5, 0.5, 0.5], "num_classes": 0, "classifier": "head",
        "tag": None, "url": "", "hf_hub_id": None,
    },
}  # fmt: skip
STEPS = {"backbone": 250, "full": 120, "linear": 120, "lora": 120, "adapter": 120, "alore": 120}


def noisy(task: str, label: int, classes: int, seed: int) -> Any:
    """Return a drawing with so much noise that no two are equal and no network is always right, as an array of uint8, height first."""
    import numpy as np

    generator = np.random.default_rng([seed, label])
    clean = np.asarray(drawing(task, label, classes, seed).convert("RGB"), dtype=float)
    image = generator.uniform(0.3, 1.0) * clean + generator.normal(60, NOISE, clean.shape)
    return image.clip(0, 255).astype("uint8")


def noisy_images(task: str, labels: Iterable[int], classes: int, *, first_seed: int) -> tuple[Any, Any]:
    """Return drawings as a batch with the normalisation in `CONFIG`, and their labels."""
    import numpy as np
    import torch

    labels = list(labels)
    images = [noisy(task, label, classes, first_seed + number) for number, label in enumerate(labels)]
    batch = torch.from_numpy(np.stack(images)).permute(0, 3, 1, 2).float() / 255
    return (batch - 0.5) / 0.5, torch.tensor(labels)


def write_data(parent: Path, *, items: int, name: str = "eurosat") -> Path:
    """Write a test split of drawings in the layout of VTAB-1k's lists; return the folder to give as --data."""
    from PIL import Image

    folder = parent / "vtab-1k" / name
    (folder / "images").mkdir(parents=True)
    lines = []
    for number in range(items):
        label = number % CLASSES
        pixels = noisy("eurosat", label, CLASSES, 10_000 + number)
        Image.fromarray(pixels).save(folder / "images" / f"{number:04}.png")
        lines.append(f"images/{number:04}.png {label}")
    (folder / "test.txt").write_text("\n".join(lines) + "\n")
    return parent / "vtab-1k"


def create_vit(classes: int) -> Any:
    """Return the small ViT with random weights."""
    import timm
    import torch

    torch.manual_seed(0)
    return timm.create_model(CONFIG["architecture"], num_classes=classes, **ARGUMENTS)


def train(
    module: Any, parameters: Iterable[Any], data: tuple[Any, Any], steps: int, learning_rate: float
) -> None:
    """Minimise the cross-entropy with Adam in batches of 64."""
    import torch

    images, labels = data
    optimiser = torch.optim.Adam(list(parameters), lr=learning_rate)
    generator = torch.Generator().manual_seed(0)
    module.train()
    for _ in range(steps):
        batch = torch.randint(len(labels), (64,), generator=generator)
        loss = torch.nn.functional.cross_entropy(module(images[batch]), labels[batch])
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    module.eval()


def write_folder(folder: Path, tensors: dict[str, Any], *, classes: int) -> Path:
    """Write a checkpoint folder as timm's `save_for_hf` does."""
    from safetensors.torch import save_file

    folder.mkdir(parents=True)
    content = {**CONFIG, "num_classes": classes}
    content["pretrained_cfg"] = {**CONFIG["pretrained_cfg"], "num_classes": classes}
    (folder / "config.json").write_text(json.dumps(content))
    save_file(
        {name: value.detach().contiguous() for name, value in tensors.items()}, folder / "model.safetensors"
    )
    return folder


def create_parts(method: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return the modules that the method adds (`evals.vision.parts`) by layer, and the tensors to train and to store, by name in the file."""
    import torch

    from evals.vision import parts

    generator = torch.Generator().manual_seed(1)

    def random(*shape: int, scale: float = 0.2) -> Any:
        return (scale * torch.randn(shape, generator=generator)).requires_grad_()

    parts_by_layer: dict[str, Any] = {}
    tensors: dict[str, Any] = {}
    if method == "alore":
        tensors["alore.scales"] = random(EXPERTS, EXPERTS, EXPERTS, scale=0.5)
    for block in (0, 1):
        for site, layer, outputs in (("attn", "attn.qkv", 3 * WIDTH), ("mlp", "mlp.fc1", 2 * WIDTH)):
            name = f"blocks.{block}.{layer}"
            if method == "lora":
                down, up = random(RANK, WIDTH), random(outputs, RANK, scale=0.01)
                tensors |= {
                    f"base_model.model.{name}.lora_{letter}.weight": tensor
                    for letter, tensor in (("A", down), ("B", up))
                }
                parts_by_layer[name] = parts.LowRank(1.0, down, up)
            elif method == "adapter":
                prefix = f"blocks.{block}.adapter_{site}.conv_"
                down, down_bias, up_bias = random(2 * RANK, WIDTH, 1), random(2 * RANK), random(WIDTH)
                up = random(WIDTH, 2 * RANK, 1)  # one group
                tensors |= {
                    f"{prefix}A.weight": down, f"{prefix}A.bias": down_bias, f"{prefix}B.weight": up, f"{prefix}B.bias": up_bias,
                }  # fmt: skip
                parts_by_layer[name] = parts.Bottleneck(1.0, down[..., 0], up[..., 0], down_bias, up_bias, 0)
            elif method == "alore":
                down, up = random(EXPERTS, WIDTH // EXPERTS, RANK), random(EXPERTS, RANK, WIDTH // EXPERTS)
                tensors |= {f"blocks.{block}.alore_{site}.down": down, f"blocks.{block}.alore_{site}.up": up}
                parts_by_layer[name] = parts.Experts(1.0, tensors["alore.scales"], down, up)
    return parts_by_layer, tensors


def tune(method: str, backbone: dict[str, Any], data: tuple[Any, Any]) -> dict[str, Any]:
    """Tune a copy of the backbone; return the tensors of the tuned file."""
    module = create_vit(CLASSES)
    module.load_state_dict({**module.state_dict(), **backbone})
    if method == "full":
        train(module, module.parameters(), data, STEPS[method], 1e-3)
        return dict(module.state_dict())
    for parameter in module.parameters():
        parameter.requires_grad_(False)
    module.head.requires_grad_(True)
    parts_by_layer, tensors = create_parts(method)
    for name, part in parts_by_layer.items():
        part.attach(module.get_submodule(name))
    train(module, [*module.head.parameters(), *tensors.values()], data, STEPS[method], 5e-3)
    prefix = "base_model.model." if method == "lora" else ""
    heads = {
        f"{prefix}{name}": value for name, value in module.state_dict().items() if name.startswith("head.")
    }
    return {**tensors, **heads}


def write_lora(folder: Path, tensors: dict[str, Any]) -> Path:
    """Write a LoRA folder as peft does."""
    from safetensors.torch import save_file

    folder.mkdir()
    config = {"peft_type": "LORA", "r": RANK, "lora_alpha": RANK, "base_model_name_or_path": "backbone"}
    (folder / "adapter_config.json").write_text(json.dumps(config))
    save_file(
        {name: tensor.detach().contiguous() for name, tensor in tensors.items()},
        folder / "adapter_model.safetensors",
    )
    return folder


def write_recipe(path: Path, method: str, tuned: str, extra_lines: str = "") -> Path:
    """Write a recipe beside the backbone."""
    path.write_text(f'method = "{method}"\nbackbone = "./backbone"\ntuned = "{tuned}"\n{extra_lines}\n')
    return path


def write_backbone_and_tuned_models(
    folder: Path, *, methods: Iterable[str] = ("full", "linear", "lora", "adapter", "alore")
) -> Path:
    """Train a backbone on another task, tune it with each method, and write all files and recipes; return the folder."""
    from safetensors.torch import save_file

    backbone_classes = 12
    module = create_vit(backbone_classes)
    data = noisy_images(
        "dsprites_ori", (n % backbone_classes for n in range(600)), backbone_classes, first_seed=0
    )
    train(module, module.parameters(), data, STEPS["backbone"], 1e-3)
    backbone = {name: value for name, value in module.state_dict().items() if not name.startswith("head.")}
    write_folder(folder / "backbone", backbone, classes=0)
    tuning_data = noisy_images("eurosat", (n % CLASSES for n in range(400)), CLASSES, first_seed=0)
    for method in methods:
        tensors = tune(method, backbone, tuning_data)
        if method == "lora":
            write_lora(folder / method, tensors)
            write_recipe(folder / f"{method}.toml", method, "./lora")
        else:
            save_file(
                {name: tensor.detach().contiguous() for name, tensor in tensors.items()},
                folder / f"{method}.safetensors",
            )
            write_recipe(folder / f"{method}.toml", method, f"./{method}.safetensors")
    return folder
