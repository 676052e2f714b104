"""Skip a test module if a package is missing, without importing the package."""

from __future__ import annotations

from importlib.util import find_spec

import pytest


def needs(package: str, reason: str) -> None:
    """Skip the calling test module unless `package` is installed."""
    if find_spec(package) is None:
        pytest.skip(reason, allow_module_level=True)
