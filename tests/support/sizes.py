"""How much of a test runs in `make test`, in CI and in the nightly run (all of it)."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from typing import Any, TypeVar

import pytest

FULL = "EVALS_FULL_SIZE"
"""Environment variable that `make nightly` sets."""


T = TypeVar("T")


def size(ci: T, nightly: T) -> T:
    """Return the value for this execution, mostly a number of repetitions."""
    return nightly if os.environ.get(FULL) else ci


def tiers(
    values: Iterable[Any], *, fast: Callable[[Any], bool] = lambda _: False, slow: Callable[[Any], bool]
) -> list[Any]:
    """Return parameters of a test: those that are `fast` run in `make test`, those that are `slow` in CI, others in the nightly."""
    return [
        value
        if fast(value)
        else pytest.param(
            *(value if isinstance(value, tuple) else (value,)),
            marks=pytest.mark.slow if slow(value) else pytest.mark.nightly,
        )
        for value in values
    ]
