"""Check that a model can run a suite: that it accepts the suite's inputs, and that a classifier's head fits."""

from __future__ import annotations

from evals.data.series import AS_TEXT
from evals.seams import ImageClassifier
from evals.suite import Suite
from evals.types import Model

CLASSES = "classes"
"""Capability of image classifiers, required by their suites."""


def incompatibility_reason(suite: Suite, model: Model, name: str) -> str:
    """Return why a model cannot run a suite; empty if it can."""
    accepts = model.accepts
    if "tokens" in accepts - suite.needs:
        return f"{name} is a tokenizer: it can only run compression"
    if "tokens" in suite.needs - accepts:
        return f"{suite.id} needs a tokenizer, -m tokens:NAME; {name} is not one"
    if CLASSES in accepts - suite.needs:
        return (
            f"{name} is an image classifier and reads no text: it can run fgvc and vtab, but not {suite.id}"
        )
    if CLASSES in suite.needs - accepts:
        return f"{suite.id} needs an image classifier, -m timm:NAME@CHECKPOINT or petl:RECIPE.toml; {name} is not one"
    if "logprobs" in suite.needs - accepts:
        return f"{suite.id} needs a model that computes log-likelihoods; {name} does not"
    if missing := suite.needs - accepts - AS_TEXT - {"judge"}:
        inputs = ", ".join(
            "images" if kind == "image" else kind.replace("_", " ") for kind in sorted(missing)
        )
        return f"{suite.id} needs a model that takes {inputs}; {name} does not"
    if suite.classes is None or not isinstance(model, ImageClassifier) or model.classes == suite.classes:
        return ""
    return (
        f"{suite.id} has {suite.classes} classes, but the head of {name} has {model.classes} outputs: "
        "it was trained on another task"
    )
