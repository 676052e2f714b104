"""Facts about models for filters: whether the weights are open, and the number of parameters."""

from __future__ import annotations

import re
import tomllib
from functools import cache
from pathlib import Path

import msgspec
from msgspec import Struct

SIZES = ("up to 10B", "10B to 100B", "over 100B", "not known")


class Facts(Struct, frozen=True, kw_only=True):
    """One model, or a family of them."""

    open: bool | None = None
    """Whether its weights are public; None: not known."""
    size_b: float | None = None
    """Parameters in units of 1e9; of a mixture of experts, all of them."""
    active_b: float | None = None
    """Of a mixture of experts, the active ones per token."""

    @property
    def size(self) -> str:
        """Return the size class of the filter."""
        if self.size_b is None:
            return SIZES[3]
        return SIZES[0] if self.size_b <= 10 else SIZES[1] if self.size_b <= 100 else SIZES[2]


class _Known(Facts, frozen=True, kw_only=True, forbid_unknown_fields=True):
    names: tuple[str, ...] = ()
    source: str = ""


class _File(Struct, frozen=True, forbid_unknown_fields=True):
    model: tuple[_Known, ...]


@cache
def _known() -> dict[str, _Known]:
    text = (Path(__file__).parent / "models.toml").read_text(encoding="utf-8")
    table = msgspec.convert(tomllib.loads(text), _File)
    return {name: known for known in table.model for name in known.names}


def plain(model: str) -> str:
    """Return a model's name for comparison: the last part of a path, lower-case letters and digits only.

    >>> plain("internlm/Intern-S1-mini")
    'interns1mini'
    """
    return re.sub(r"[^a-z0-9]", "", model.rpartition("/")[2].lower())


@cache
def facts(model: str) -> Facts:
    """Look a model up by its name; a size that the table lacks is read from the name.

    >>> facts("Qwen3-235B-A22B")
    Facts(open=True, size_b=235.0, active_b=22.0)
    """
    name = plain(model)
    fits = sorted((known for known in _known() if name.startswith(known)), key=len)
    listed = _known()[fits[-1]] if fits else _Known()
    size = re.search(r"(?<![a-z0-9.])(\d+(?:\.\d+)?)b(?![a-z])", model.lower())
    active = re.search(r"(?<![a-z0-9.])a(\d+(?:\.\d+)?)b(?![a-z])", model.lower())
    return Facts(
        open=listed.open,
        size_b=listed.size_b or (float(size[1]) if size else None),
        active_b=listed.active_b or (float(active[1]) if active else None),
    )
