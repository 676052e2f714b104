"""A timm image classifier: `timm:NAME`, `timm:NAME@CHECKPOINT`, `timm:FOLDER`, for the suites fgvc and vtab (extra `timm`).

NAME is one of timm's models (`timm.list_models()`), with the tag of its weights. CHECKPOINT is a weights file (safetensors,
or a pickle that contains only tensors) or a folder. The head of the checkpoint determines the number of outputs. See
docs/vision.md.
"""

from __future__ import annotations

from functools import partial

from evals.model_adapters.common.classifier import Classifier
from evals.vision import network


def model(rest: str) -> Classifier:
    """Return the model `timm:REST`, validated but not loaded yet; raises UsageError."""
    return Classifier(partial(network.from_name, rest))
