"""Tuned parts of a network (LoRA, adapters): linear maps, which can be folded into the weights of a linear layer.

The formulas are for activations x as rows and a layer y = x W' + b, where W' is the transposed `weight`:

    before the layer    x -> x + s (x A' + a) B' + s b'       RepAdapter (Luo et al., arXiv 2302.08106)
    before the layer    x -> x + s x (sum_i S_i (x) D_i U_i)  ALoRE (arXiv 2412.08341); (x) is the Kronecker product
    beside the layer    y -> y + s x A' B'                    LoRA

ALoRE's sum is taken from a review of the paper, as the authors' code is not public. That the experts precede the layer, as
in RepAdapter, is inferred from the number of parameters. D_i is (d/n) x r, U_i is r x (d/n), S_i is n x n and shared by all
layers.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, TypeAlias

from msgspec import Struct

if TYPE_CHECKING:
    import torch


class InputMap(Struct, frozen=True):
    """A residual map of a layer's input: x -> x + s (map(x) + shift)."""

    scale: float

    def mapped(self, x: torch.Tensor) -> torch.Tensor:
        """Return map(x) + shift for rows x of shape (..., d)."""
        raise NotImplementedError

    def matrix(self, layer: Any) -> tuple[torch.Tensor, torch.Tensor | None]:
        """Return the map as a d x d matrix that multiplies rows from the right, and the shift (d), in the layer's precision."""
        raise NotImplementedError

    def attach(self, layer: Any) -> Any:
        """Add the part to the layer's forward pass; return the hook, which can be removed."""
        return layer.register_forward_pre_hook(
            lambda _, inputs: (inputs[0] + self.scale * self.mapped(inputs[0]),)
        )

    def fold(self, layer: Any) -> None:
        """Fold the part into the layer, in its precision: W' becomes (I + s M) W', b becomes b + s shift W'."""
        import torch

        matrix, shift = self.matrix(layer)
        weight = layer.weight.data
        if shift is not None:
            bias = self.scale * (shift @ weight.T)
            bias = bias if layer.bias is None else layer.bias.data + bias
            layer.bias = torch.nn.Parameter(bias, requires_grad=False)
        layer.weight.data = weight + self.scale * (matrix @ weight.T).T


class Bottleneck(InputMap, frozen=True):
    """RepAdapter's bottleneck: x -> (x A' + a) B' + b."""

    down: torch.Tensor
    """A: h x d."""
    up: torch.Tensor
    """B: d x h; block-diagonal if it was trained in groups."""
    down_bias: torch.Tensor
    up_bias: torch.Tensor
    parameter_count: int
    """Number of trained parameters, without the zeros between groups."""

    def _tensors(self, like: torch.Tensor) -> Iterator[torch.Tensor]:
        return (tensor.to(like) for tensor in (self.down, self.up, self.down_bias, self.up_bias))

    def mapped(self, x: torch.Tensor) -> torch.Tensor:
        """See `InputMap`."""
        down, up, down_bias, up_bias = self._tensors(x)
        return (x @ down.T + down_bias) @ up.T + up_bias

    def matrix(self, layer: Any) -> tuple[torch.Tensor, torch.Tensor]:
        """See `InputMap`."""
        down, up, down_bias, up_bias = self._tensors(layer.weight)
        return (up @ down).T, down_bias @ up.T + up_bias


class Experts(InputMap, frozen=True):
    """ALoRE's sum of Kronecker products: x -> x (sum_i S_i (x) D_i U_i)."""

    scales: torch.Tensor
    """S: n x n x n; the first index is the expert."""
    down: torch.Tensor
    """D: n x (d/n) x r."""
    up: torch.Tensor
    """U: n x r x (d/n)."""

    @property
    def parameter_count(self) -> int:
        """Return the number of trained parameters, without S, which the layers share."""
        return int(self.down.numel() + self.up.numel())

    def mapped(self, x: torch.Tensor) -> torch.Tensor:
        """See `InputMap`: a row x as an n x (d/n) matrix X gives the sum of S_i' X D_i U_i."""
        import torch

        scales, down, up = (tensor.to(x) for tensor in (self.scales, self.down, self.up))
        count, width = down.shape[0], down.shape[1]
        rows = x.reshape(*x.shape[:-1], count, width)
        inner = torch.einsum("...ak,ikr->...iar", rows, down)
        wide = torch.einsum("...iar,irl->...ial", inner, up)
        return torch.einsum("...ial,iab->...bl", wide, scales).reshape(x.shape)

    def matrix(self, layer: Any) -> tuple[torch.Tensor, None]:
        """See `InputMap`."""
        import torch

        scales, down, up = (tensor.to(layer.weight) for tensor in (self.scales, self.down, self.up))
        products = [torch.kron(scales[i], down[i] @ up[i]) for i in range(len(scales))]
        return torch.stack(products).sum(0), None


class LowRank(Struct, frozen=True):
    """LoRA: y -> y + s x A' B'."""

    scale: float
    down: torch.Tensor
    """A: r x inputs."""
    up: torch.Tensor
    """B: outputs x r."""

    @property
    def parameter_count(self) -> int:
        """Return the number of trained parameters."""
        return int(self.down.numel() + self.up.numel())

    def attach(self, layer: Any) -> Any:
        """See `InputMap.attach`."""
        return layer.register_forward_hook(
            lambda _, inputs, out: out + self.scale * (inputs[0] @ self.down.to(out).T @ self.up.to(out).T)
        )

    def fold(self, layer: Any) -> None:
        """Fold the part into the layer, in its precision: the weight becomes W + s B A."""
        down, up = self.down.to(layer.weight), self.up.to(layer.weight)
        layer.weight.data = layer.weight.data + self.scale * (up @ down)


Part: TypeAlias = Bottleneck | Experts | LowRank
"""A tuned part of one linear layer."""


def block_diagonal(weight: torch.Tensor, hidden: int) -> torch.Tensor:
    """Return the weight of a grouped convolution, d x (h/groups), as the equivalent block-diagonal d x h matrix."""
    import torch

    groups = hidden // weight.shape[1]
    return torch.block_diag(*weight.chunk(groups))
