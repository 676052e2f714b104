"""Modules imported on first use: every worker collects all tests, and few of these need scipy."""

from __future__ import annotations

from importlib import import_module
from typing import Any


class _Lazy:
    def __init__(self, name: str) -> None:
        self._name = name

    def __getattr__(self, attribute: str) -> Any:
        if attribute.startswith("_") or attribute == "pytestmark":  # pytest looks these up in every global
            raise AttributeError(attribute)
        return getattr(import_module(self._name), attribute)


def lazy(name: str) -> Any:
    """Return a proxy of a module that imports it when an attribute is read."""
    return _Lazy(name)
