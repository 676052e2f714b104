"""Read the tuned file of a recipe: tuned parts of layers, and tensors that replace tensors of the backbone.

| method | file | names |
|---|---|---|
| `full` | all weights | timm's |
| `linear` | the classifier head | `head.weight`, `head.bias` |
| `lora` | a peft folder | `base_model.model.LAYER.lora_A.weight`, ..., the head through `modules_to_save` |
| `adapter` | RepAdapter's names (RepAdapter @ a7b33b74, repadapter.py) | `BLOCK.adapter_attn.conv_A.weight`, `.adapter_mlp...`, head |
| `alore` | our names, as the authors' code is not public | `BLOCK.alore_attn.down`, `.up`, `.alore_mlp...`, `alore.scales`, head |
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from msgspec import Struct

from evals.errors import UsageError
from evals.merging.lora import CONFIG, Adapter
from evals.merging.tensors import StoredTensor, open_file, require_finite
from evals.vision import parts, weights
from evals.vision.parts import Part
from evals.vision.recipe import WITHOUT_PARTS, Recipe
from evals.vision.weights import Tensors

if TYPE_CHECKING:
    import torch

LAYERS = {"attn": "attn.qkv", "mlp": "mlp.fc1"}
"""Site of a part in a block -> the linear layer after it."""
_ADAPTER_TENSOR = re.compile(
    r"(?P<block>.+)\.adapter_(?P<site>attn|mlp)\.conv_(?P<half>[AB])\.(?P<kind>weight|bias)"
)
_EXPERTS_TENSOR = re.compile(r"(?P<block>.+)\.alore_(?P<site>attn|mlp)\.(?P<half>down|up)")
SCALES_NAME = "alore.scales"


class TunedWeights(Struct, frozen=True, kw_only=True):
    """The trained parts and tensors of a recipe."""

    parts: dict[str, Part]
    """Linear layer -> its part."""
    replacements: Tensors
    """Tensors that replace tensors of the backbone, the head included."""
    shared: int = 0
    """Number of parameters that all parts share."""

    @property
    def parameter_count(self) -> int:
        """Return the number of trained parameters of the parts, without the tensors that replace others."""
        return sum(part.parameter_count for part in self.parts.values()) + self.shared


def read(recipe: Recipe, state: Mapping[str, torch.Tensor]) -> TunedWeights:
    """Read the tuned file; only names and shapes of `state`, the network's tensors, are used. Raises UsageError."""
    label = f"tuned {recipe.tuned}"
    path = (recipe.folder / recipe.tuned).expanduser()
    if recipe.method == "lora":
        return _read_lora(path, state, label)
    tensors = weights.read(path, label=label)
    if recipe.method in WITHOUT_PARTS:
        return TunedWeights(parts={}, replacements=tensors)
    read_parts = _read_adapter if recipe.method == "adapter" else _read_alore
    return read_parts(tensors, state, label=label, scale=recipe.scale)


def _read_lora(path: Path, state: Mapping[str, Any], label: str) -> TunedWeights:
    import torch

    if not (path / CONFIG).is_file():
        raise UsageError(f"{label}: expected a peft folder with {CONFIG} and adapter_model.safetensors")
    adapter = Adapter(path, label=label)
    stored_tensors = {name: StoredTensor(path, "F32", tuple(tensor.shape)) for name, tensor in state.items()}
    adapter.bind(stored_tensors)
    with open_file(adapter.files[0], label=label) as file:
        replacements = {target: file.get_tensor(name) for target, name in adapter.replacements.items()}
    for target, tensor in replacements.items():
        require_finite(tensor, f"{label}: {target}")
    low_rank: dict[str, Part] = {}
    for target in adapter.pairs:
        down, up, scale = adapter.factors(target, torch.float32)
        low_rank[target.removesuffix(".weight")] = parts.LowRank(scale, down, up)
    return TunedWeights(parts=low_rank, replacements=replacements)


def _group_by_layer(tensors: Tensors, pattern: re.Pattern[str]) -> tuple[dict[str, dict[str, Any]], Tensors]:
    """Return the matching tensors, layer -> half and kind (e.g. `A.weight`) -> tensor, and the tensors that do not match."""
    grouped: dict[str, dict[str, Any]] = {}
    others: Tensors = {}
    for name, tensor in tensors.items():
        if match := pattern.fullmatch(name):
            groups = match.groupdict()
            key = ".".join(filter(None, (groups["half"], groups.get("kind"))))
            grouped.setdefault(f"{groups['block']}.{LAYERS[groups['site']]}", {})[key] = tensor
        else:
            others[name] = tensor
    return grouped, others


def _require_tensors(part: Mapping[str, Any], names: tuple[str, ...], *, label: str, layer: str) -> list[Any]:
    """Return the tensors of a part by name; raises UsageError if one is missing."""
    if missing := [name for name in names if name not in part]:
        raise UsageError(f"{label}: the part before {layer} lacks {missing[0]}")
    return [part[name] for name in names]


def _read_adapter(tensors: Tensors, state: Mapping[str, Any], *, label: str, scale: float) -> TunedWeights:
    import torch

    grouped, others = _group_by_layer(tensors, _ADAPTER_TENSOR)
    by_layer: dict[str, Part] = {}
    for layer, part in grouped.items():
        down, down_bias, up, up_bias = _require_tensors(
            part, ("A.weight", "A.bias", "B.weight", "B.bias"), label=label, layer=layer
        )
        down, up = (torch.atleast_2d(weight).flatten(1) for weight in (down, up))  # convolutions of width 1
        hidden, width = down.shape
        inputs = _input_width(state, layer, label)
        if (
            not width == inputs == up.shape[0]
            or not 0 < up.shape[1] <= hidden
            or hidden % up.shape[1]
            or width % (hidden // up.shape[1])
            or down_bias.shape != (hidden,)
            or up_bias.shape != (width,)
        ):
            raise UsageError(f"{label}: the adapter before {layer} does not fit its {inputs} inputs")
        count = sum(tensor.numel() for tensor in (down, down_bias, up, up_bias))
        up = parts.block_diagonal(up, hidden)
        by_layer[layer] = parts.Bottleneck(scale, down, up, down_bias, up_bias, count)
    _require_nonempty(by_layer, label, "adapter_attn")
    return TunedWeights(parts=by_layer, replacements=others)


def _read_alore(tensors: Tensors, state: Mapping[str, Any], *, label: str, scale: float) -> TunedWeights:
    grouped, others = _group_by_layer(tensors, _EXPERTS_TENSOR)
    _require_nonempty(grouped, label, "alore_attn")
    scales = others.pop(SCALES_NAME, None)
    if scales is None:
        raise UsageError(f"{label}: {SCALES_NAME}, the matrices that all layers share, is missing")
    count = scales.shape[0] if scales.dim() else 0
    if count < 1 or tuple(scales.shape) != (count, count, count):
        raise UsageError(f"{label}: {SCALES_NAME} is {list(scales.shape)}, not n x n x n for n experts")
    by_layer: dict[str, Part] = {}
    for layer, part in grouped.items():
        down, up = _require_tensors(part, ("down", "up"), label=label, layer=layer)
        width = _input_width(state, layer, label)
        rank = down.shape[-1] if down.dim() else 0
        if width % count or (tuple(down.shape), tuple(up.shape)) != (
            (count, width // count, rank),
            (count, rank, width // count),
        ):
            raise UsageError(
                f"{label}: the experts before {layer} are {list(down.shape)} and {list(up.shape)}; {count} experts for {width} "
                f"inputs need [{count}, {width}/{count}, r] and [{count}, r, {width}/{count}]"
            )
        by_layer[layer] = parts.Experts(scale, scales, down, up)
    return TunedWeights(parts=by_layer, replacements=others, shared=int(scales.numel()))


def _input_width(state: Mapping[str, Any], layer: str, label: str) -> int:
    weight = state.get(f"{layer}.weight")
    if weight is None or weight.dim() != 2:
        raise UsageError(f"{label}: the backbone has no linear layer {layer}")
    return int(weight.shape[1])


def _require_nonempty(by_layer: Mapping[str, Any], label: str, name: str) -> None:
    if not by_layer:
        raise UsageError(f"{label}: no tensor is named BLOCK.{name}...; was it trained with this method?")
