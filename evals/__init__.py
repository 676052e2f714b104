"""science-evals: an evaluation harness for scientific foundation models.

The public names are loaded on first use, so that `import evals` itself imports no other module.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any

_MODULES = {
    "Data": "data",
    "Split": "data",
    "Suite": "suite",
    "check": "suite",
    "Estimate": "types",
    "Failure": "types",
    "Media": "types",
    "Message": "types",
    "Metric": "types",
    "Model": "types",
    "Point": "types",
    "Prompt": "types",
    "Record": "types",
    "Reply": "types",
    "Sample": "types",
    "Sampling": "types",
    "Score": "types",
    "Scorer": "types",
    "Text": "types",
    "Usage": "types",
    "EvalsError": "errors",
    "Run": "records.store",
    "Runs": "results",
    "aevaluate": "api",
    "compare": "api",
    "evaluate": "api",
    "gate": "api",
    "import_replies": "api",
    "runs": "api",
}

__all__ = sorted(_MODULES)


def __getattr__(name: str) -> Any:
    if name not in _MODULES:
        raise AttributeError(f"module 'evals' has no attribute {name!r}")
    return getattr(import_module(f"evals.{_MODULES[name]}"), name)


def __dir__() -> list[str]:
    return list(__all__)
