"""Product modules have at most 400 lines, their functions at most 40, and no f-string contains a constant."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

from tests.support.paths import ROOT

MAX_MODULE_LINES = 400
MAX_FUNCTION_LINES = 40


def modules() -> Iterator[Path]:
    for folder in ("evals", "suites", "model_adapters", "dashboard"):
        for path in (ROOT / folder).rglob("*.py"):
            if not any(part.is_symlink() for part in (path, *path.parents)):
                yield path


def test_modules_and_functions_are_short() -> None:
    too_long = []
    for path in modules():
        source = path.read_text(encoding="utf-8")
        if (count := len(source.splitlines())) > MAX_MODULE_LINES:
            too_long.append(f"{path.relative_to(ROOT)}: {count} lines")
        for node in ast.walk(ast.parse(source)):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                count = (node.end_lineno or 0) - node.lineno + 1
                if count > MAX_FUNCTION_LINES:
                    too_long.append(f"{path.relative_to(ROOT)}, {node.name}: {count} lines")
    assert not too_long


def test_no_f_string_contains_a_constant() -> None:
    """In an f-string, `{1,2}` is a tuple: a pattern must double the braces of its repetitions."""
    constants = [
        f"{path.relative_to(ROOT)}:{node.lineno}"
        for path in modules()
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.FormattedValue) and isinstance(node.value, ast.Tuple | ast.Constant)
    ]
    assert constants == []
