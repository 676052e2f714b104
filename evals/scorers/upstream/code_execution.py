"""Detect whether a task of lm-evaluation-harness executes model output, by inspecting the source of its functions.

lm_eval marks only some of these tasks (`UNSAFE_CODE`): `cruxeval` passes replies to `exec`, `longproc` to `eval`,
`score_robustness_math` to sympy's `parse_expr`, which evaluates Python. A file is inspected as a whole, together with the
files in its folder that it imports: refusing a harmless task is less costly than executing untrusted code.
"""

from __future__ import annotations

import ast
import inspect
from collections.abc import Callable, Iterable, Iterator
from functools import cache
from pathlib import Path
from typing import Any

EVAL_NAMES = frozenset({"eval", "exec", "parse_expr", "sympify", "__import__"})
UNSAFE_MODULES = frozenset({"subprocess", "pickle", "marshal", "ctypes"})
COMMAND_FUNCTIONS = frozenset({"system", "popen", "execv", "execve", "spawnl", "spawnv"})
"""Functions of `os` that run commands."""
UNSAFE_METRICS = frozenset({"code_eval", "apps_metric"})
"""Metrics of the package `evaluate` that execute code."""


def find_code_execution(functions: Iterable[Callable[..., Any]]) -> str:
    """Return the first name that could execute a reply, as `file: name`; empty if the functions' files contain none."""
    visited: set[Path] = set()
    pending = [Path(name) for function in functions if (name := _source_file(function))]
    while pending:
        path = pending.pop()
        if path in visited:
            continue
        visited.add(path)
        dangerous_name, imported = _scan_file(path)
        if dangerous_name:
            return f"{path.name}: {dangerous_name}"
        pending += imported
    return ""


def _source_file(function: Callable[..., Any]) -> str | None:
    try:
        return inspect.getsourcefile(inspect.unwrap(function))
    except TypeError:  # built-in functions and instances have no source
        return None


@cache
def _scan_file(path: Path) -> tuple[str, tuple[Path, ...]]:
    """Return the first dangerous name in a file, empty if there is none, and the files in its folder that it imports."""
    try:
        tree = ast.parse(path.read_bytes())
    except (OSError, SyntaxError, ValueError):
        return "source that cannot be read", ()
    imported: list[Path] = []
    for node in ast.walk(tree):
        if name := _dangerous_name(node):
            return name, ()
        imported += _imported_files(node, path.parent)
    return "", tuple(imported)


def _dangerous_name(node: ast.AST) -> str:
    if isinstance(node, ast.Call):
        function = node.func
        if isinstance(function, ast.Name) and function.id in EVAL_NAMES:
            return function.id
        if isinstance(function, ast.Attribute):
            owner = function.value.id if isinstance(function.value, ast.Name) else ""
            if owner in UNSAFE_MODULES or (owner == "os" and function.attr in COMMAND_FUNCTIONS):
                return f"{owner}.{function.attr}"
            if function.attr in {"parse_expr", "sympify"} or (
                owner == "builtins" and function.attr in EVAL_NAMES
            ):
                return function.attr
    if isinstance(node, ast.ImportFrom) and node.module in UNSAFE_MODULES:
        return str(node.module)
    if (
        isinstance(node, ast.Name)
        and isinstance(node.ctx, ast.Load)
        and node.id in {"eval", "exec", "parse_expr"}
    ):
        return node.id  # passed as a value and possibly called elsewhere
    if isinstance(node, ast.Constant) and isinstance(node.value, str) and node.value in UNSAFE_METRICS:
        return node.value
    return ""


def _imported_files(node: ast.AST, folder: Path) -> Iterator[Path]:
    names: list[str] = []
    if isinstance(node, ast.Import):
        names = [alias.name for alias in node.names]
    elif isinstance(node, ast.ImportFrom):
        module = node.module or ""
        names = [module, *(f"{module}.{alias.name}".strip(".") for alias in node.names)]
    for name in filter(None, names):
        parts = name.split(".")
        if parts[:2] == ["lm_eval", "tasks"]:
            root = next((parent for parent in folder.parents if parent.name == "tasks"), folder)
            parts = parts[2:]
        else:
            root = folder
        if parts and (path := root.joinpath(*parts).with_suffix(".py")).is_file():
            yield path
