"""Parts that are folded in compute what they compute beside their layer, and what the formulas say."""

from __future__ import annotations

from typing import Any

import pytest

from tests.support.vision_training import needs_timm

pytestmark = needs_timm


def drawn(*shape: int) -> Any:
    import torch

    return torch.randn(shape, generator=torch.Generator().manual_seed(sum(shape)), dtype=torch.float64)


def made(kind: str) -> Any:
    from evals.vision import parts

    if kind == "lora":
        return parts.LowRank(0.7, drawn(3, 12), drawn(20, 3))
    if kind == "adapter":
        up = parts.block_diagonal(drawn(12, 2), 4)  # two groups
        return parts.Bottleneck(0.7, drawn(4, 12), up, drawn(4), drawn(12), 0)
    return parts.Experts(0.7, drawn(4, 4, 4), drawn(4, 3, 2), drawn(4, 2, 3))


@pytest.mark.parametrize("kind", ["lora", "adapter", "alore"])
@pytest.mark.parametrize("bias", [True, False])
def test_folding_changes_nothing(kind: str, bias: bool) -> None:
    import torch

    layer = torch.nn.Linear(12, 20, bias=bias, dtype=torch.float64)
    x, part = drawn(5, 7, 12), made(kind)
    plain = layer(x).detach()
    hook = part.attach(layer)
    beside = layer(x).detach()
    hook.remove()
    part.fold(layer)
    assert float((beside - plain).abs().max()) > 0.1
    torch.testing.assert_close(layer(x).detach(), beside, rtol=0, atol=1e-12)


def test_experts_are_the_sum_of_kronecker_products() -> None:
    import numpy as np
    import torch

    part = made("alore")
    layer = torch.nn.Linear(12, 20, bias=False, dtype=torch.float64)
    scales, down, up = (value.numpy() for value in (part.scales, part.down, part.up))
    total = sum(np.kron(scales[i], down[i] @ up[i]) for i in range(4))
    expected = layer.weight.detach().numpy() @ (np.eye(12) + 0.7 * total).T
    part.fold(layer)
    np.testing.assert_allclose(layer.weight.detach().numpy(), expected, rtol=0, atol=1e-12)


def test_the_published_number_of_parameters_is_that_of_two_parts_a_block() -> None:
    # 0.15 M on ViT-B/16: 12 blocks, 2 parts, rank 4; the number of experts does not matter
    from evals.vision import parts

    part = parts.Experts(1.0, drawn(4, 4, 4), drawn(4, 192, 4), drawn(4, 4, 192))
    assert 12 * 2 * part.parameter_count == 147_456


def test_a_convolution_in_groups_is_a_block_diagonal_matrix() -> None:
    import torch

    from evals.vision.parts import block_diagonal

    convolution = torch.nn.Conv1d(4, 12, 1, groups=2, bias=False, dtype=torch.float64)
    x = drawn(5, 4)
    expected = convolution(x.T[None])[0].T
    torch.testing.assert_close(x @ block_diagonal(convolution.weight.data[..., 0], 4).T, expected)
