"""Properties of models by which the leaderboard is filtered: openness of the weights, and number of parameters."""

from __future__ import annotations

import re
import tomllib
from functools import cache
from pathlib import Path

import msgspec
from msgspec import Struct

from evals.verdicts.reported import normalise_model_name

SIZE_CLASSES = ("up to 10B", "10B to 100B", "over 100B", "unknown")
"""Classes of the total number of parameters."""


class ModelFacts(Struct, frozen=True, kw_only=True):
    """Properties of a model or a model family."""

    open: bool | None = None
    """Whether the weights are public; None if unknown."""
    size_b: float | None = None
    """Number of parameters in billions; all of them for a mixture of experts."""
    active_b: float | None = None
    """Number of active parameters in billions, for a mixture of experts."""

    @property
    def size_class(self) -> str:
        """Return the model's class of `SIZE_CLASSES`."""
        if self.size_b is None:
            return SIZE_CLASSES[3]
        return SIZE_CLASSES[(self.size_b > 10) + (self.size_b > 100)]


class _ModelEntry(ModelFacts, frozen=True, kw_only=True, forbid_unknown_fields=True):
    names: tuple[str, ...] = ()
    source: str = ""


class _ModelTable(Struct, frozen=True, forbid_unknown_fields=True):
    model: tuple[_ModelEntry, ...]


@cache
def _entries_by_prefix() -> dict[str, _ModelEntry]:
    text = (Path(__file__).parent / "models.toml").read_text(encoding="utf-8")
    table = msgspec.convert(tomllib.loads(text), _ModelTable)
    return {prefix: entry for entry in table.model for prefix in entry.names}


@cache
def model_facts(model: str) -> ModelFacts:
    """Return the properties of a model; a size that is not in `models.toml` is parsed from the model's name.

    >>> model_facts("Qwen3-235B-A22B")
    ModelFacts(open=True, size_b=235.0, active_b=22.0)
    """
    name = normalise_model_name(model)
    prefixes = [prefix for prefix in _entries_by_prefix() if name.startswith(prefix)]
    model_entry = _entries_by_prefix()[max(prefixes, key=len)] if prefixes else _ModelEntry()
    size = re.search(r"(?<![a-z0-9.])(\d+(?:\.\d+)?)b(?![a-z])", model.lower())
    active = re.search(r"(?<![a-z0-9.])a(\d+(?:\.\d+)?)b(?![a-z])", model.lower())
    return ModelFacts(
        open=model_entry.open,
        size_b=model_entry.size_b or (float(size[1]) if size else None),
        active_b=model_entry.active_b or (float(active[1]) if active else None),
    )
