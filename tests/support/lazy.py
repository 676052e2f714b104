"""Modules that are imported at their first use: every worker collects all tests, and few of them need scipy."""

from __future__ import annotations

from importlib import import_module
from typing import Any


class _Lazy:
    def __init__(self, name: str) -> None:
        self._name = name

    def __getattr__(self, attribute: str) -> Any:
        if (
            attribute.startswith("_") or attribute == "pytestmark"
        ):  # pytest looks for these in all that a module holds
            raise AttributeError(attribute)
        return getattr(import_module(self._name), attribute)


def lazy(name: str) -> Any:
    """Return a stand-in for a module, which imports it when an attribute is read."""
    return _Lazy(name)
