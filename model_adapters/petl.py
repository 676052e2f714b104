"""A vision backbone with tuned weights (LoRA, adapters, ALoRE) merged into it: `petl:RECIPE.toml`, for the suites fgvc and vtab (extra `timm`).

The recipe names the backbone, the method, the file of tuned weights and the preprocessing (docs/vision.md).
"""

from __future__ import annotations

from functools import partial
from pathlib import Path

from evals.model_adapters.common.classifier import Classifier
from evals.vision import network


def model(rest: str) -> Classifier:
    """Return the model `petl:RECIPE.toml`, validated but not loaded yet; raises UsageError."""
    return Classifier(partial(network.from_recipe, Path(rest)))
