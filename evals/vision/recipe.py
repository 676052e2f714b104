"""Recipes of tuned vision backbones: TOML files, read and validated.

method = "alore"                                 # full, linear, lora, adapter, alore
backbone = "vit_base_patch16_224.orig_in21k"     # a name of timm, or a folder with config.json
weights = "./backbone.safetensors"               # the frozen weights; default: the folder's, or timm's own of that name
tuned = "./alore.safetensors"                    # what was trained, with the classifier head
merge = true                                     # false: run it with the tuned part beside the backbone
preprocessing = "vtab"                           # or "fgvc", "model" (default), or a table

[parameters]
scale = 1.0
"""

from __future__ import annotations

import math
from pathlib import Path
from typing import Annotated, Any

import msgspec
from msgspec import Meta, Struct

from evals import disk
from evals.errors import UnknownName, UsageError
from evals.validation import cause
from evals.vision.preprocessing import PRESETS, Preprocessing, from_config


class NoParameters(Struct, frozen=True, forbid_unknown_fields=True):
    """A method without parameters."""


class Scale(Struct, frozen=True, forbid_unknown_fields=True):
    """Parameters of parts that stand before a layer."""

    scale: float = 1.0
    """s; RepAdapter's authors search it per task, and ALoRE's value is not known."""


METHODS: dict[str, type[Any]] = {
    "full": NoParameters,
    "linear": NoParameters,
    "lora": NoParameters,
    "adapter": Scale,
    "alore": Scale,
}
"""Method -> its parameters; LoRA's scale stands in peft's adapter_config.json."""
PLAIN = ("full", "linear")
"""Methods without a part to fold."""


class Adjusted(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Changes of the model's own preprocessing."""

    size: Annotated[int, Meta(ge=1, le=4096)] | None = None
    interpolation: str | None = None
    crop: Annotated[float, Meta(gt=0, le=1)] | None = None
    """Share of the resized image that is kept; see also `squash`."""
    squash: bool = False
    """Whether the whole image is resized to the input's size."""
    mean: tuple[float, float, float] | None = None
    std: tuple[float, float, float] | None = None


class _File(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    method: str
    backbone: Annotated[str, Meta(min_length=1)]
    tuned: Annotated[str, Meta(min_length=1)]
    weights: str = ""
    name: Annotated[str, Meta(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}\Z")] | None = None
    merge: bool = True
    preprocessing: str | Adjusted = "model"
    parameters: dict[str, Any] = {}


class Recipe(Struct, frozen=True, kw_only=True):
    """A tuned backbone."""

    path: Path
    name: str
    """Short name for tables."""
    method: str
    backbone: str
    tuned: str
    """File, or for LoRA the folder of peft."""
    weights: str
    """File with the frozen weights; empty: the backbone's own."""
    merge: bool
    preprocessing: str | Adjusted
    scale: float

    @property
    def folder(self) -> Path:
        """Return the folder that paths are relative to."""
        return self.path.resolve().parent

    def preprocess(self, own: Preprocessing) -> Preprocessing:
        """Return the preprocessing; `own`: the model's. Raises UsageError."""
        changes: dict[str, Any]
        if isinstance(self.preprocessing, str):
            changes = PRESETS.get(self.preprocessing, {})
        else:
            changes = _changes(self.preprocessing)
        return from_config({**msgspec.structs.asdict(own), **changes}, label=str(self.path))


def _changes(adjusted: Adjusted) -> dict[str, Any]:
    changes: dict[str, Any] = {
        name: value
        for name in ("interpolation", "mean", "std")
        if (value := getattr(adjusted, name)) is not None
    }
    if adjusted.size is not None:
        changes["input_size"] = (3, adjusted.size, adjusted.size)
    if adjusted.crop is not None:
        changes |= {"crop_pct": adjusted.crop, "crop_mode": "center"}
    if adjusted.squash:
        changes |= {"crop_pct": 1.0, "crop_mode": "squash"}
    return changes


def read(path: Path) -> Recipe:
    """Read and validate a recipe; raises UsageError in one line."""
    try:
        file = msgspec.toml.decode(disk.read_small(path, 1 << 20).removeprefix(disk.BOM), type=_File)
    except (OSError, msgspec.MsgspecError, ValueError, RecursionError) as error:
        raise UsageError(f"{path}: {cause(error, _File)}") from None
    if file.method not in METHODS:
        raise UnknownName(f"method in {path}", file.method, METHODS)
    kind = METHODS[file.method]
    try:
        parameters = msgspec.convert(file.parameters, kind)
    except msgspec.ValidationError as error:
        raise UsageError(f"{path}: [parameters] of {file.method}: {cause(error, kind)}") from None
    scale = float(getattr(parameters, "scale", 1.0))
    if not math.isfinite(scale):
        raise UsageError(f"{path}: scale = {scale} is not a number that weights can be multiplied by")
    if isinstance(file.preprocessing, str) and file.preprocessing not in ("model", *PRESETS):
        raise UnknownName(f"preprocessing in {path}", file.preprocessing, ["model", *PRESETS])
    return Recipe(
        path=path, name=file.name or _stem(path), method=file.method, backbone=file.backbone, tuned=file.tuned,
        weights=file.weights, merge=file.merge, preprocessing=file.preprocessing, scale=scale,
    )  # fmt: skip


def _stem(path: Path) -> str:
    """Return a file's name as a model's name."""
    stem = "".join(letter if letter.isascii() and letter.isalnum() else "-" for letter in path.stem)
    return stem.strip("-")[:64] or "tuned"
