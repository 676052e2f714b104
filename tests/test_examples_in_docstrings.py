"""The examples in docstrings give the results that they state."""

from __future__ import annotations

import doctest
from importlib import import_module
from pathlib import Path

import pytest

from tests.support.paths import ROOT

FILES = [
    path.relative_to(ROOT)
    for folder in ("evals", "suites", "model_adapters", "dashboard")
    for path in sorted((ROOT / folder).rglob("*.py"))
    if ">>> " in path.read_text() and path.parent.name != "views"  # importing a page draws it
]


@pytest.mark.parametrize("path", FILES, ids=str)
def test_the_examples_in_docstrings_are_right(path: Path) -> None:
    name = ".".join(path.with_suffix("").parts)
    result = doctest.testmod(import_module(name if path.parts[0] == "evals" else f"evals.{name}"))
    assert result.attempted > 0
    assert result.failed == 0
