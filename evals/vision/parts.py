"""Tuned parts of a network that are linear, so that they can be folded into the matrix beside them.

Written for activations x as rows, and a layer y = x W' + b with W' = `weight` transposed:

    before the layer    x -> x + s (x A' + a) B' + s b'       RepAdapter (Luo et al., arXiv 2302.08106)
    before the layer    x -> x + s x (sum_i S_i (x) D_i U_i)  ALoRE (arXiv 2412.08341); (x) is the Kronecker product
    beside the layer    y -> y + s x A' B'                    LoRA

The sum of ALoRE is that of a secondary review of the paper; that the experts stand before the layer, as RepAdapter's do, is
inferred from its number of parameters, and no code of the authors is public. D_i is (d/n) x r, U_i is r x (d/n), S_i is n x n and
shared by all layers.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

from msgspec import Struct

if TYPE_CHECKING:
    import torch


class Part(Protocol):
    """A tuned part of one linear layer."""

    @property
    def numbers(self) -> int:
        """Return the numbers that were trained, those shared with other layers not included."""
        ...

    def attach(self, layer: Any) -> Any:
        """Make a layer compute with the part beside it; return the hook, which can be removed."""
        ...

    def fold(self, layer: Any) -> None:
        """Change a layer's weight and bias to what layer and part compute together, in the layer's precision."""
        ...


class Before(Struct, frozen=True):
    """A map before a layer: x -> x + s (map(x) + shift)."""

    scale: float

    @property
    def numbers(self) -> int:
        """See `Part`."""
        raise NotImplementedError

    def mapped(self, x: torch.Tensor) -> torch.Tensor:
        """Return map(x) + shift for rows x of shape (..., d)."""
        raise NotImplementedError

    def matrix(self, layer: Any) -> tuple[torch.Tensor, torch.Tensor | None]:
        """Return the map as a d x d matrix for rows, and the shift (d), in the layer's precision."""
        raise NotImplementedError

    def attach(self, layer: Any) -> Any:
        """See `Part`."""
        return layer.register_forward_pre_hook(
            lambda _, given: (given[0] + self.scale * self.mapped(given[0]),)
        )

    def fold(self, layer: Any) -> None:
        """See `Part`: W' becomes (I + s M) W', b becomes b + s shift W'."""
        import torch

        with torch.no_grad():
            matrix, shift = self.matrix(layer)
            weight = layer.weight.data
            if shift is not None:
                moved = self.scale * (shift @ weight.T)
                moved = moved if layer.bias is None else layer.bias.data + moved
                layer.bias = torch.nn.Parameter(moved, requires_grad=False)
            layer.weight.data = weight + self.scale * (matrix @ weight.T).T


class Bottleneck(Before, frozen=True):
    """RepAdapter's bottleneck: x -> (x A' + a) B' + b."""

    down: torch.Tensor
    """A: h x d."""
    up: torch.Tensor
    """B: d x h; block-diagonal if it was trained in groups."""
    down_bias: torch.Tensor
    up_bias: torch.Tensor
    trained: int
    """Numbers without the zeros between groups."""

    @property
    def numbers(self) -> int:
        """See `Part`."""
        return self.trained

    def mapped(self, x: torch.Tensor) -> torch.Tensor:
        """See `Before`."""
        down, up, first, second = (part.to(x) for part in (self.down, self.up, self.down_bias, self.up_bias))
        return (x @ down.T + first) @ up.T + second

    def matrix(self, layer: Any) -> tuple[torch.Tensor, torch.Tensor]:
        """See `Before`."""
        down, up, first, second = (
            part.to(layer.weight) for part in (self.down, self.up, self.down_bias, self.up_bias)
        )
        return (up @ down).T, first @ up.T + second


class Experts(Before, frozen=True):
    """ALoRE's sum of Kronecker products: x -> x (sum_i S_i (x) D_i U_i)."""

    scales: torch.Tensor
    """S: n x n x n, the first index is the expert's."""
    down: torch.Tensor
    """D: n x (d/n) x r."""
    up: torch.Tensor
    """U: n x r x (d/n)."""

    @property
    def numbers(self) -> int:
        """See `Part`."""
        return int(self.down.numel() + self.up.numel())

    def mapped(self, x: torch.Tensor) -> torch.Tensor:
        """See `Before`: a row x as an n x (d/n) matrix X gives the sum of S_i' X D_i U_i."""
        import torch

        scales, down, up = (part.to(x) for part in (self.scales, self.down, self.up))
        count, width = down.shape[0], down.shape[1]
        rows = x.reshape(*x.shape[:-1], count, width)
        inner = torch.einsum("...ak,ikr->...iar", rows, down)
        wide = torch.einsum("...iar,irl->...ial", inner, up)
        return torch.einsum("...ial,iab->...bl", wide, scales).reshape(x.shape)

    def matrix(self, layer: Any) -> tuple[torch.Tensor, None]:
        """See `Before`."""
        import torch

        scales, down, up = (part.to(layer.weight) for part in (self.scales, self.down, self.up))
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
    def numbers(self) -> int:
        """See `Part`."""
        return int(self.down.numel() + self.up.numel())

    def attach(self, layer: Any) -> Any:
        """See `Part`."""
        return layer.register_forward_hook(
            lambda _, given, out: out + self.scale * (given[0] @ self.down.to(out).T @ self.up.to(out).T)
        )

    def fold(self, layer: Any) -> None:
        """See `Part`: the weight becomes W + s B A."""
        import torch

        with torch.no_grad():
            down, up = self.down.to(layer.weight), self.up.to(layer.weight)
            layer.weight.data = layer.weight.data + self.scale * (up @ down)


def dense(weight: torch.Tensor, hidden: int) -> torch.Tensor:
    """Return RepAdapter's grouped convolution d x (h/groups) as the block-diagonal d x h matrix that it is."""
    import torch

    outputs, inner = weight.shape
    groups = hidden // inner
    rows = outputs // groups
    full = torch.zeros(outputs, hidden, dtype=weight.dtype)
    for group in range(groups):
        full[group * rows : (group + 1) * rows, group * inner : (group + 1) * inner] = weight[
            group * rows : (group + 1) * rows
        ]
    return full
