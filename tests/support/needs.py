"""Skip a module of tests where a package is missing, without the seconds that importing the package takes."""

from __future__ import annotations

from importlib.util import find_spec

import pytest


def needs(package: str, reason: str) -> None:
    """Skip the test module that calls this unless `package` is installed."""
    if find_spec(package) is None:
        pytest.skip(reason, allow_module_level=True)
