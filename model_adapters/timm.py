"""An image classifier of timm: `timm:NAME`, `timm:NAME@CHECKPOINT`, `timm:FOLDER`, for the suites fgvc and vtab (extra `timm`).

NAME is one of timm's (`timm.list_models()`), with its tag of weights. CHECKPOINT is a file of weights (safetensors, or a pickle of
nothing but tensors) or a folder. The number of outputs is that of the checkpoint's head. See docs/vision.md.
"""

from __future__ import annotations

from functools import partial

from evals.model_adapters.common.classifier import Classifier
from evals.vision import network


def model(rest: str) -> Classifier:
    """Return the model `timm:REST`, checked but not kept in memory; raises UsageError."""
    return Classifier(partial(network.of_name, rest))
