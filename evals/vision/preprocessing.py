"""Preprocessing of images: timm's evaluation transform, as configured for each model.

A checkpoint requires the preprocessing with which it was trained, so cards state it and it is part of a run's identity.
timm's configurations of ViTs have mean and standard deviation 0.5 and crop 0.9 after a bicubic resize (timm 1.0.31,
vision_transformer.py:2030), but networks tuned with the code of VPT, RepAdapter or similar projects use ImageNet's statistics
and, for VTAB, no crop (RepAdapter @ a7b33b74, dataset.py: the whole image is resized to 224 x 224, bicubic).
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta, Struct

from evals.data.media import MAX_DECODED_PIXELS
from evals.errors import Rejected, UsageError
from evals.validation import cause

Side = Annotated[int, Meta(ge=1, le=4096)]
IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)


class Preprocessing(Struct, frozen=True, kw_only=True):
    """Resize, crop and normalisation."""

    input_size: tuple[int, Side, Side] = (3, 224, 224)
    """Channels, height, width."""
    interpolation: Literal["nearest", "bilinear", "bicubic", "lanczos"] = "bicubic"
    crop_pct: Annotated[float, Meta(gt=0, le=1)] = 0.875
    """Fraction of the resized image's side that is kept."""
    crop_mode: Literal["center", "squash", "border"] = "center"
    """`squash`: the whole image is resized to the input size, regardless of its aspect ratio."""
    mean: tuple[float, float, float] = IMAGENET_MEAN
    std: tuple[float, float, float] = IMAGENET_STD

    @property
    def size(self) -> tuple[int, int]:
        """Return height and width."""
        return self.input_size[1], self.input_size[2]

    def __str__(self) -> str:
        height, width = self.size
        crop = "whole image" if self.crop_mode == "squash" else f"{self.crop_mode} crop {self.crop_pct:g}"
        mean, std = (" ".join(f"{value:g}" for value in values) for values in (self.mean, self.std))
        return f"{width}x{height} {self.interpolation}, {crop}, mean {mean}, std {std}"

    def transform(self) -> Any:
        """Return timm's evaluation transform, which converts an image into a tensor of (3, height, width)."""
        from timm.data import create_transform

        return create_transform(
            input_size=self.input_size,
            is_training=False,
            interpolation=self.interpolation,
            mean=self.mean,
            std=self.std,
            crop_pct=1.0 if self.crop_mode == "squash" else self.crop_pct,
            crop_mode=self.crop_mode,
        )

    def require_size(self, width: int, height: int) -> None:
        """Raise Rejected for an image so elongated that resizing its shorter side to the input size would exhaust memory."""
        if self.crop_mode == "squash":
            return
        side = max(self.size) / self.crop_pct
        scale = side / min(width, height)
        if width * height * scale * scale > MAX_DECODED_PIXELS:
            raise Rejected(
                f"an image of {width}x{height} pixels would be {width * scale:.0f}x{height * scale:.0f} at this network's size"
            )


_IMAGENET = {"mean": IMAGENET_MEAN, "std": IMAGENET_STD}
PRESETS: dict[str, dict[str, Any]] = {
    "vtab": {"interpolation": "bicubic", "crop_mode": "squash", "crop_pct": 1.0, **_IMAGENET},
    "fgvc": {"interpolation": "bilinear", "crop_mode": "center", "crop_pct": 0.875, **_IMAGENET},
}
"""`vtab`: as RepAdapter @ a7b33b74 for VTAB-1k. `fgvc`: as VPT for FGVC (src/data/transforms.py: resize to 256, crop to 224).
VPT's own pipeline for VTAB (TensorFlow, bilinear without antialiasing) is not reproduced."""


def from_config(config: Mapping[str, Any], *, label: str) -> Preprocessing:
    """Return the preprocessing of timm's `pretrained_cfg`; raises UsageError for values that are invalid for a transform."""
    fields = {name: config[name] for name in Preprocessing.__struct_fields__ if config.get(name) is not None}
    try:
        preprocessing = msgspec.convert(msgspec.to_builtins(fields), Preprocessing)
    except (msgspec.ValidationError, TypeError) as error:
        raise UsageError(f"{label}: preprocessing: {cause(error, Preprocessing)}") from None
    mean, std, channels = preprocessing.mean, preprocessing.std, preprocessing.input_size[0]
    if not all(map(math.isfinite, (*mean, *std))) or min(map(abs, std)) == 0 or channels != 3:
        raise UsageError(f"{label}: invalid preprocessing: {preprocessing}")
    return preprocessing
