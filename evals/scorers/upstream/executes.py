"""Find out whether a task of lm-evaluation-harness runs what a model wrote, by reading the source of its functions.

lm_eval marks some such tasks (`UNSAFE_CODE`), not all: `cruxeval` passes replies to `exec`, `longproc` to `eval`,
`score_robustness_math` to sympy's `parse_expr`, which evaluates Python. A file counts as a whole, with the files beside
it that it imports: to be refused wrongly costs a line, to run a stranger's code more.
"""

from __future__ import annotations

import ast
import inspect
from collections.abc import Callable, Iterable, Iterator
from functools import cache
from pathlib import Path
from typing import Any

EVALUATES = frozenset({"eval", "exec", "parse_expr", "sympify", "__import__"})
PROCESSES = frozenset({"subprocess", "pickle", "marshal", "ctypes"})
COMMANDS = frozenset({"system", "popen", "execv", "execve", "spawnl", "spawnv"})
METRICS = frozenset({"code_eval", "apps_metric"})
"""Metrics of the package `evaluate` that run code."""


def executes(functions: Iterable[Callable[..., Any]]) -> str:
    """Return what in the source of some functions could run a reply, as `file: name`; empty if nothing does."""
    seen: set[Path] = set()
    waiting = [Path(name) for function in functions if (name := _file(function))]
    while waiting:
        path = waiting.pop()
        if path in seen:
            continue
        seen.add(path)
        danger, imported = _scan(path)
        if danger:
            return f"{path.name}: {danger}"
        waiting += imported
    return ""


def _file(function: Callable[..., Any]) -> str | None:
    try:
        return inspect.getsourcefile(inspect.unwrap(function))
    except TypeError:  # built in, or an instance
        return None


@cache
def _scan(path: Path) -> tuple[str, tuple[Path, ...]]:
    """Return the first dangerous name of a file, and the files beside it that it imports."""
    try:
        tree = ast.parse(path.read_bytes())
    except (OSError, SyntaxError, ValueError):
        return "source that cannot be read", ()
    beside: list[Path] = []
    for node in ast.walk(tree):
        if name := _danger(node):
            return name, ()
        beside += _imported(node, path.parent)
    return "", tuple(beside)


def _danger(node: ast.AST) -> str:
    if isinstance(node, ast.Call):
        called = node.func
        if isinstance(called, ast.Name) and called.id in EVALUATES:
            return called.id
        if isinstance(called, ast.Attribute):
            owner = called.value.id if isinstance(called.value, ast.Name) else ""
            if owner in PROCESSES or (owner == "os" and called.attr in COMMANDS):
                return f"{owner}.{called.attr}"
            if called.attr in {"parse_expr", "sympify"} or (owner == "builtins" and called.attr in EVALUATES):
                return called.attr
    if isinstance(node, ast.ImportFrom) and node.module in PROCESSES:
        return str(node.module)
    if (
        isinstance(node, ast.Name)
        and isinstance(node.ctx, ast.Load)
        and node.id in {"eval", "exec", "parse_expr"}
    ):
        return node.id  # handed on, and called elsewhere
    if isinstance(node, ast.Constant) and isinstance(node.value, str) and node.value in METRICS:
        return node.value
    return ""


def _imported(node: ast.AST, folder: Path) -> Iterator[Path]:
    names: list[str] = []
    if isinstance(node, ast.Import):
        names = [alias.name for alias in node.names]
    elif isinstance(node, ast.ImportFrom):
        module = node.module or ""
        names = [module, *(f"{module}.{alias.name}".strip(".") for alias in node.names)]
    for name in filter(None, names):
        parts = name.split(".")
        if parts[:2] == ["lm_eval", "tasks"]:
            root = next((one for one in folder.parents if one.name == "tasks"), folder)
            parts = parts[2:]
        else:
            root = folder
        if parts and (path := root.joinpath(*parts).with_suffix(".py")).is_file():
            yield path
