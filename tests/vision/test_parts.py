"""Tuned parts (LoRA, adapters, ALoRE's experts): the same outputs attached to a layer or folded into it, by the published formulas."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from evals.errors import UsageError
from tests.support.error_messages import raises
from tests.support.vision_training import needs_timm

pytestmark = needs_timm


def random_tensor(*shape: int) -> Any:
    import torch

    return torch.randn(shape, generator=torch.Generator().manual_seed(sum(shape)), dtype=torch.float64)


def create_part(kind: str) -> Any:
    from evals.vision import parts

    if kind == "lora":
        return parts.LowRank(0.7, random_tensor(3, 12), random_tensor(20, 3))
    if kind == "adapter":
        up = parts.block_diagonal(random_tensor(12, 2), 4)  # two groups
        return parts.Bottleneck(0.7, random_tensor(4, 12), up, random_tensor(4), random_tensor(12), 0)
    return parts.Experts(0.7, random_tensor(4, 4, 4), random_tensor(4, 3, 2), random_tensor(4, 2, 3))


@pytest.mark.parametrize(
    ("method", "shapes"),
    [
        ("adapter", {"adapter_attn.conv_A.weight": (4, 12, 3), "adapter_attn.conv_B.weight": (12, 4, 1)}),
        ("adapter", {"adapter_attn.conv_A.weight": (12,), "adapter_attn.conv_B.weight": ()}),
        ("adapter", {"adapter_attn.conv_A.weight": (0, 12, 1), "adapter_attn.conv_B.weight": (12, 0, 1)}),
        ("alore", {"alore_attn.down": (), "alore_attn.up": (2, 3, 6), "alore.scales": (2, 2, 2)}),
    ],
)
def test_tuned_weights_of_other_shapes_are_refused(
    tmp_path: Path, method: str, shapes: dict[str, tuple[int, ...]]
) -> None:
    import torch
    from safetensors.torch import save_file

    from evals.vision import recipe, tuned

    tensors = {
        name if name == "alore.scales" else f"b.{name}": torch.zeros(shape) for name, shape in shapes.items()
    }
    if method == "adapter":
        tensors |= {
            "b.adapter_attn.conv_A.bias": torch.zeros(4),
            "b.adapter_attn.conv_B.bias": torch.zeros(12),
        }
    save_file(tensors, tmp_path / "tuned.safetensors")
    path = tmp_path / "recipe.toml"
    path.write_text(f'method = "{method}"\nbackbone = "x"\ntuned = "tuned.safetensors"\n')
    with raises(UsageError):
        tuned.read(recipe.read(path), {"b.attn.qkv.weight": torch.zeros(20, 12)})


@pytest.mark.parametrize("kind", ["lora", "adapter", "alore"])
@pytest.mark.parametrize("bias", [True, False])
def test_folding_a_part_into_its_layer_changes_no_output(kind: str, bias: bool) -> None:
    import torch

    layer = torch.nn.Linear(12, 20, bias=bias, dtype=torch.float64)
    x, part = random_tensor(5, 7, 12), create_part(kind)
    layer_outputs = layer(x).detach()
    hook = part.attach(layer)
    attached_outputs = layer(x).detach()
    hook.remove()
    part.fold(layer)
    assert float((attached_outputs - layer_outputs).abs().max()) > 0.1
    torch.testing.assert_close(layer(x).detach(), attached_outputs, rtol=0, atol=1e-12)


def test_experts_equal_a_sum_of_kronecker_products() -> None:
    import numpy as np
    import torch

    part = create_part("alore")
    layer = torch.nn.Linear(12, 20, bias=False, dtype=torch.float64)
    scales, down, up = (value.numpy() for value in (part.scales, part.down, part.up))
    kronecker_sum = sum(np.kron(scales[i], down[i] @ up[i]) for i in range(4))
    expected = layer.weight.detach().numpy() @ (np.eye(12) + 0.7 * kronecker_sum).T
    part.fold(layer)
    np.testing.assert_allclose(layer.weight.detach().numpy(), expected, rtol=0, atol=1e-12)


def test_two_parts_per_block_have_the_published_number_of_parameters() -> None:
    # 0.15 M on ViT-B/16: 12 blocks, 2 parts, rank 4; the number of experts does not matter
    from evals.vision import parts

    part = parts.Experts(1.0, random_tensor(4, 4, 4), random_tensor(4, 192, 4), random_tensor(4, 4, 192))
    assert 12 * 2 * part.parameter_count == 147_456


def test_a_grouped_convolution_equals_a_block_diagonal_matrix() -> None:
    import torch

    from evals.vision.parts import block_diagonal

    convolution = torch.nn.Conv1d(4, 12, 1, groups=2, bias=False, dtype=torch.float64)
    x = random_tensor(5, 4)
    expected = convolution(x.T[None])[0].T
    torch.testing.assert_close(x @ block_diagonal(convolution.weight.data[..., 0], 4).T, expected)
