"""What is known of models besides their scores: whether the weights are open, and how many parameters they have."""

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
    """Whether its weights can be had; None: not known."""
    size_b: float | None = None
    """Parameters in units of 1e9; of a mixture of experts, all of them."""
    active_b: float | None = None
    """Of a mixture of experts, those at work for one token."""

    @property
    def size(self) -> str:
        """Return the class of size that filters offer."""
        if self.size_b is None:
            return SIZES[3]
        return SIZES[0] if self.size_b <= 10 else SIZES[1] if self.size_b <= 100 else SIZES[2]


class _Known(Struct, frozen=True, forbid_unknown_fields=True):
    names: tuple[str, ...]
    source: str
    open: bool | None = None
    size_b: float | None = None
    active_b: float | None = None


class _File(Struct, frozen=True, forbid_unknown_fields=True):
    model: tuple[_Known, ...]


@cache
def _known() -> dict[str, _Known]:
    text = (Path(__file__).parent / "models.toml").read_text(encoding="utf-8")
    found = msgspec.convert(tomllib.loads(text), _File)
    return {name: one for one in found.model for name in one.names}


def plain(model: str) -> str:
    """Return a model's name as it is compared: the last part of a path, small letters and digits alone.

    >>> plain("internlm/Intern-S1-mini")
    'interns1mini'
    """
    return re.sub(r"[^a-z0-9]", "", model.rpartition("/")[2].lower())


@cache
def facts(model: str) -> Facts:
    """Look a model up by its name; what the name itself says of its size counts where the table does not.

    >>> facts("Qwen3-235B-A22B")
    Facts(open=True, size_b=235.0, active_b=22.0)
    """
    name = plain(model)
    fits = sorted((known for known in _known() if name.startswith(known)), key=len)
    one = _known()[fits[-1]] if fits else _Known((), "")
    size = re.search(r"(?<![a-z0-9.])(\d+(?:\.\d+)?)b(?![a-z])", model.lower())
    active = re.search(r"(?<![a-z0-9.])a(\d+(?:\.\d+)?)b(?![a-z])", model.lower())
    return Facts(
        open=one.open,
        size_b=one.size_b or (float(size[1]) if size else None),
        active_b=one.active_b or (float(active[1]) if active else None),
    )
