"""What happens to an image before a network sees it: timm's evaluation transform, by a model's own configuration.

Two traps. timm's configurations of ViTs have mean and standard deviation 0.5 and crop 0.9 of a bicubic resize
(timm 1.0.31, vision_transformer.py:2030), while networks tuned by the code of VPT, RepAdapter and their kin have ImageNet's
statistics, and for VTAB no crop (RepAdapter @ a7b33b74, dataset.py: the whole image to 224 x 224, bicubic). A checkpoint is only
as good as its own preprocessing, so it stands on every card and belongs to a run's identity.
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
    """Share of the resized image's side that is kept."""
    crop_mode: Literal["center", "squash", "border"] = "center"
    """`squash`: the whole image is resized to the input's size, whatever its proportions."""
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
        """Return timm's evaluation transform: image -> tensor of (3, height, width)."""
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
        """Raise Rejected for an image so long and narrow that resizing it by its shorter side would exhaust memory."""
        if self.crop_mode == "squash":
            return
        side = max(self.size) / self.crop_pct
        scale = side / min(width, height)
        if width * height * scale * scale > MAX_DECODED_PIXELS:
            raise Rejected(
                f"an image of {width}x{height} pixels would be {width * scale:.0f}x{height * scale:.0f} at this network's size"
            )


PRESETS: dict[str, dict[str, Any]] = {
    "vtab": {
        "interpolation": "bicubic",
        "crop_mode": "squash",
        "crop_pct": 1.0,
        "mean": IMAGENET_MEAN,
        "std": IMAGENET_STD,
    },
    "fgvc": {
        "interpolation": "bilinear",
        "crop_mode": "center",
        "crop_pct": 0.875,
        "mean": IMAGENET_MEAN,
        "std": IMAGENET_STD,
    },
}
"""Of the code that reads VTAB-1k's lists (RepAdapter @ a7b33b74), and of VPT for FGVC (src/data/transforms.py: 256, then 224).
VPT's own VTAB pipeline resizes by TensorFlow, bilinear without antialiasing, which is not reproduced here."""


def from_config(config: Mapping[str, Any], *, label: str) -> Preprocessing:
    """Return the preprocessing of timm's `pretrained_cfg`; raises UsageError for values that no transform can have."""
    known = {name: config[name] for name in Preprocessing.__struct_fields__ if config.get(name) is not None}
    try:
        made = msgspec.convert(msgspec.to_builtins(known), Preprocessing)
    except (msgspec.ValidationError, TypeError) as error:
        raise UsageError(f"{label}: preprocessing: {cause(error, Preprocessing)}") from None
    numbers = (*made.mean, *made.std)
    if not all(map(math.isfinite, numbers)) or min(map(abs, made.std)) == 0 or made.input_size[0] != 3:
        raise UsageError(f"{label}: preprocessing: {made} is none that an image can have")
    return made
