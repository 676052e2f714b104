"""LoRA adapters as experts: the low-rank factors of a matrix's change are multiplied when the matrix is merged.

Names, scales and options follow peft 0.21 (`adapter_config.json`, `adapter_model.safetensors`).
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from msgspec import Struct

from evals.errors import UsageError
from evals.merging.tensors import StoredTensor, open_file, read_json, require_finite

if TYPE_CHECKING:
    import torch

CONFIG, FILE = "adapter_config.json", "adapter_model.safetensors"
_FACTOR_NAME = re.compile(r"(.+)\.lora_([AB])(?:\.default)?\.weight")
_PEFT_PREFIX = "base_model.model."
_LAYER_NAME = re.compile(r"[\w.-]+")
"""A key of `alpha_pattern` that is a name; peft also accepts regular expressions."""
PEFT_ALPHA = 8
"""Alpha that peft assumes if the configuration has none."""
UNSUPPORTED = ("use_dora", "fan_in_fan_out", "lora_bias", "use_qalora", "megatron_config")


class FactorPair(Struct, frozen=True):
    """The factors of a matrix's change, `scale * B A`."""

    down: str
    """Name of tensor A (rank x inputs)."""
    up: str
    """Name of tensor B (outputs x rank)."""
    scale: float


class Adapter:
    """A folder with a LoRA adapter."""

    def __init__(self, folder: Path, *, label: str) -> None:
        self.folder, self.label = folder, label
        self.config = read_json(folder / CONFIG)
        peft_type = str(self.config.get("peft_type"))
        if peft_type.upper() != "LORA":
            raise UsageError(f"{label} {folder}: its peft_type is {peft_type}, but only LoRA can be merged")
        for option in UNSUPPORTED:
            if self.config.get(option):
                raise UsageError(
                    f"{label} {folder}: a LoRA with {option}: merge it into full weights with peft first"
                )
        if not (folder / FILE).is_file():
            raise UsageError(f"{label} {folder}: {FILE} is missing")
        self.files = (folder / FILE,)
        self.pairs: dict[str, FactorPair] = {}
        """Name of a tensor of the base -> the factors of its change."""
        self.replacements: dict[str, str] = {}
        """Name of a tensor of the base -> name of the tensor that replaces it (`modules_to_save`)."""

    @property
    def base(self) -> str:
        """Return the base model named in the adapter's configuration; empty if it is not named."""
        return str(self.config.get("base_model_name_or_path") or "")

    def bind(self, base: Mapping[str, StoredTensor]) -> None:
        """Find the base's tensor for each tensor of the adapter; raises UsageError if it has none, or if factors do not fit."""
        with open_file(self.files[0], label=self.label) as file:
            shapes = {name: tuple(file.get_slice(name).get_shape()) for name in sorted(file.keys())}
        halves: dict[str, dict[str, str]] = {}
        for name in shapes:
            if match := _FACTOR_NAME.fullmatch(name):
                target = self._find_target(f"{match[1]}.weight", base)
                halves.setdefault(target, {})[match[2]] = name
            elif "lora_" in name:
                raise UsageError(
                    f"{self.label}: {name[:100]!r} is not a factor of a linear layer: merge it with peft first"
                )
            else:
                self.replacements[self._find_target(name.replace(".modules_to_save.default", ""), base)] = (
                    name
                )
        for target, half in halves.items():
            if set(half) != {"A", "B"}:
                raise UsageError(f"{self.label}: {target} has only one of its two factors")
            down, up = shapes[half["A"]], shapes[half["B"]]
            if not len(down) == len(up) == 2 or not down[0] == up[1] > 0:
                raise UsageError(
                    f"{self.label}: the factors of {target} are {list(down)} and {list(up)}, not those of a linear layer: "
                    "merge it with peft first"
                )
            change = (up[0], down[1])
            if change != base[target].shape:
                raise UsageError(
                    f"{self.label}: {target} is {list(change)}, but {list(base[target].shape)} in the base"
                )
            self.pairs[target] = FactorPair(half["A"], half["B"], self._scale(target, down[0]))

    def _find_target(self, name: str, base: Mapping[str, StoredTensor]) -> str:
        """Return the name in the base of an adapter's tensor; the prefix may differ, as it depends on the model class."""
        name = name.removeprefix(_PEFT_PREFIX).replace(".base_layer.", ".")
        if name in base:
            return name
        components = name.split(".")
        for start in range(1, len(components) - 1):
            suffix = ".".join(components[start:])
            matches = [known for known in base if f".{known}".endswith(f".{suffix}")]
            if len(matches) == 1:
                return matches[0]
        raise UsageError(
            f"{self.label}: the base has no tensor {name[:100]!r}: was the LoRA trained on this base?"
        )

    def _scale(self, target: str, rank: int) -> float:
        alpha = self.config.get("lora_alpha", PEFT_ALPHA)
        patterns = self.config.get("alpha_pattern") or {}
        if not isinstance(patterns, dict) or not all(map(_LAYER_NAME.fullmatch, patterns)):
            raise UsageError(
                f"{self.label}: alpha_pattern in {CONFIG} must map names of layers, not regular expressions: "
                "merge it with peft first"
            )
        layer = target.removesuffix(".weight")
        alpha = next(
            (value for key, value in patterns.items() if layer == key or layer.endswith(f".{key}")), alpha
        )
        if not isinstance(alpha, int | float) or not math.isfinite(alpha):
            raise UsageError(f"{self.label}: lora_alpha in {CONFIG} is not a number")
        return alpha / (math.sqrt(rank) if self.config.get("use_rslora") else rank)

    def factors(self, name: str, dtype: torch.dtype) -> tuple[torch.Tensor, torch.Tensor, float]:
        """Return A, B and the scale of the change to a tensor."""
        pair = self.pairs[name]
        with open_file(self.files[0], label=self.label) as file:
            down, up = file.get_tensor(pair.down).to(dtype), file.get_tensor(pair.up).to(dtype)
        for tensor, tensor_name in ((down, pair.down), (up, pair.up)):
            require_finite(tensor, f"{self.label}: {tensor_name}")
        return down, up, pair.scale

    def task_vector(self, name: str, base: torch.Tensor, into: torch.Tensor) -> torch.Tensor:
        """Write the change to a tensor into `into` and return it: scale * B A, its replacement minus the base, or zeros."""
        import torch

        if name in self.replacements:
            with open_file(self.files[0], label=self.label) as file:
                into.copy_(file.get_tensor(self.replacements[name])).sub_(base)
            require_finite(into, f"{self.label}: {name}")
            return into
        if name not in self.pairs:
            return into.zero_()
        down, up, scale = self.factors(name, base.dtype)
        return torch.matmul(up, down, out=into).mul_(scale)

    def changes(self, name: str) -> bool:
        """Return whether the LoRA changes a tensor of the base."""
        return name in self.pairs or name in self.replacements
