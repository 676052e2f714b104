"""Read and validate recipes of tuned vision backbones, which are TOML files.

method = "alore"                                 # full, linear, lora, adapter, alore
backbone = "vit_base_patch16_224.orig_in21k"     # a timm name, or a folder with config.json
weights = "./backbone.safetensors"               # the frozen weights; default: the folder's, or timm's for that name
tuned = "./alore.safetensors"                    # the trained tensors, including the classifier head
merge = true                                     # false: do not fold the tuned parts (LoRA, adapters) into the backbone
preprocessing = "vtab"                           # or "fgvc", "model" (the default), or a table

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
from evals.validation import cause, check_short_name, short_name_from
from evals.vision.preprocessing import PRESETS, Preprocessing, from_config


class NoParameters(Struct, frozen=True, forbid_unknown_fields=True):
    """A method without parameters."""


class ScaleParameters(Struct, frozen=True, forbid_unknown_fields=True):
    """Parameters of a method whose tuned parts precede a layer."""

    scale: float = 1.0
    """The factor s of the papers; RepAdapter's authors tune it for each task, and the value in ALoRE is not published."""


METHODS: dict[str, type[Any]] = {
    "full": NoParameters,
    "linear": NoParameters,
    "lora": NoParameters,
    "adapter": ScaleParameters,
    "alore": ScaleParameters,
}
"""Method -> its parameters; LoRA's scale is read from peft's adapter_config.json."""
WITHOUT_PARTS = ("full", "linear")
"""Methods without tuned parts: they train the whole backbone, or only its head."""


class PreprocessingChanges(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Changes to the model's own preprocessing."""

    size: Annotated[int, Meta(ge=1, le=4096)] | None = None
    interpolation: str | None = None
    crop: Annotated[float, Meta(gt=0, le=1)] | None = None
    """Fraction of the resized image's side that is kept; see also `squash`."""
    squash: bool = False
    """Whether the whole image is resized to the input size, without a crop."""
    mean: tuple[float, float, float] | None = None
    std: tuple[float, float, float] | None = None


class _RecipeFile(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    method: str
    backbone: Annotated[str, Meta(min_length=1)]
    tuned: Annotated[str, Meta(min_length=1)]
    """A file, or for LoRA a peft folder."""
    weights: str = ""
    """The file with the frozen weights; empty: the backbone's own."""
    name: str | None = None
    """Short name for tables; None: the file's."""
    merge: bool = True
    preprocessing: str | PreprocessingChanges = "model"
    parameters: dict[str, Any] = {}


class Recipe(_RecipeFile, frozen=True, kw_only=True):
    """A tuned backbone."""

    path: Path
    name: str
    scale: float

    @property
    def folder(self) -> Path:
        """Return the folder that paths are relative to."""
        return self.path.resolve().parent

    def resolve_preprocessing(self, model_preprocessing: Preprocessing) -> Preprocessing:
        """Return the model's preprocessing with the changes of the recipe; raises UsageError."""
        if isinstance(self.preprocessing, str):
            settings = PRESETS.get(self.preprocessing, {})
        else:
            settings = _timm_settings(self.preprocessing)
        return from_config({**msgspec.structs.asdict(model_preprocessing), **settings}, label=str(self.path))


def _timm_settings(changes: PreprocessingChanges) -> dict[str, Any]:
    settings: dict[str, Any] = {
        name: value
        for name in ("interpolation", "mean", "std")
        if (value := getattr(changes, name)) is not None
    }
    if changes.size is not None:
        settings["input_size"] = (3, changes.size, changes.size)
    if changes.crop is not None:
        settings |= {"crop_pct": changes.crop, "crop_mode": "center"}
    if changes.squash:
        settings |= {"crop_pct": 1.0, "crop_mode": "squash"}
    return settings


def read(path: Path) -> Recipe:
    """Read and validate a recipe; raises UsageError."""
    try:
        file = msgspec.toml.decode(disk.read_small(path, 1 << 20).removeprefix(disk.BOM), type=_RecipeFile)
    except (OSError, msgspec.MsgspecError, ValueError, RecursionError) as error:
        raise UsageError(f"{path}: {cause(error, _RecipeFile)}") from None
    if file.method not in METHODS:
        raise UnknownName("method", file.method, METHODS, source=path)
    parameters_type = METHODS[file.method]
    try:
        parameters = msgspec.convert(file.parameters, parameters_type)
    except msgspec.ValidationError as error:
        raise UsageError(f"{path}: [parameters] of {file.method}: {cause(error, parameters_type)}") from None
    scale = float(getattr(parameters, "scale", 1.0))
    if not math.isfinite(scale):
        raise UsageError(f"{path}: scale = {scale} is not a finite number")
    if isinstance(file.preprocessing, str) and file.preprocessing not in ("model", *PRESETS):
        raise UnknownName("preprocessing", file.preprocessing, ["model", *PRESETS], source=path)
    changes = file.preprocessing
    if isinstance(changes, PreprocessingChanges) and changes.squash and changes.crop is not None:
        raise UsageError(
            f"{path}: preprocessing: squash keeps the whole image, so crop must be removed, or squash"
        )
    if file.name is not None:
        check_short_name(file.name, path)
    name = file.name or short_name_from(path, "tuned")
    return Recipe(**msgspec.structs.asdict(file) | {"path": path, "name": name, "scale": scale})
