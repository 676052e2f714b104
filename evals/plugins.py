"""Suites and adapters of other packages, declared by entry points; their code runs only when the user names them.

    [project.entry-points."science_evals.suites"]
    capitals = "my_package.capitals"

A package cannot replace a suite or an adapter of this project. To list suites and adapters, a package's source is parsed
but not run.
"""

from __future__ import annotations

import ast
from collections.abc import Sequence
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from msgspec import Struct

from evals.errors import UsageError

SUITES, ADAPTERS = "science_evals.suites", "science_evals.adapters"


class Listing(Struct, frozen=True, kw_only=True):
    """Summary of a benchmark for `evals list suites` and shell completion."""

    about: str
    variants: dict[str, int]
    """Name -> rows; 0: unknown."""
    default: tuple[str, ...]
    """Variants that the bare name selects."""
    protocols: tuple[str, ...]
    """The default first."""
    version: str
    needs: tuple[str, ...]
    """Required model inputs and capabilities: image, time_series, logprobs, judge."""
    gated: bool


class Origin(Struct, frozen=True):
    """The package that defines a plugin."""

    module: str
    package: str
    version: str

    def __str__(self) -> str:
        return f"{self.package} {self.version}"


@cache
def origins(group: str) -> dict[str, Origin]:
    """Return the origins by name (with hyphens); if several packages define a name, the alphabetically first one is used."""
    from importlib.metadata import entry_points

    by_name: dict[str, Origin] = {}
    for point in sorted(entry_points(group=group), key=lambda p: (p.name, p.dist.name if p.dist else "")):
        dist = point.dist
        origin = Origin(point.module, dist.name if dist else "unknown", dist.version if dist else "?")
        by_name.setdefault(point.name.replace("_", "-").lower(), origin)
    return by_name


def docstring_title(module: str) -> str:
    """Return the first line of a module's docstring; raises UsageError if the module's source cannot be parsed."""
    return (ast.get_docstring(_parse_source(module)) or "").partition("\n")[0]


def listing(module: str) -> Listing:
    """Return the summary of a suite file, read from literals in its source; raises UsageError if it defines no suite."""
    tree = _parse_source(module)
    values = {
        target.id: node.value
        for node in tree.body
        if isinstance(node, ast.Assign | ast.AnnAssign) and node.value is not None
        for target in (node.targets if isinstance(node, ast.Assign) else [node.target])
        if isinstance(target, ast.Name)
    }
    benchmark = values.get("BENCHMARK")
    if isinstance(benchmark, ast.Call):
        fields = {
            keyword.arg: values.get(_identifier(keyword.value), keyword.value)
            for keyword in benchmark.keywords
            if keyword.arg
        }
    else:  # the older form: constants in upper case
        fields = {name.lower(): value for name, value in values.items()}
    if "protocols" not in fields:
        raise UsageError(f"{module} defines no BENCHMARK")
    variants = _variant_rows(fields.get("variants"))
    return Listing(
        about=_literal_value(fields.get("title")) or docstring_title(module),
        variants=variants,
        default=tuple(_literal_value(fields.get("default")) or (name for name in variants if name)),
        protocols=_constant_keys(fields["protocols"]),
        version=str(_literal_value(fields.get("version")) or "1"),
        needs=tuple(sorted(_literal_value(fields.get("needs")) or ())),
        gated=bool(_literal_value(fields.get("gated"))),
    )


def _parse_source(module: str) -> ast.Module:
    try:
        spec = find_spec(module)
    except ImportError:  # its package is broken
        spec = None
    if spec is None or spec.origin is None:
        raise UsageError(f"there is no module {module}")
    try:
        return ast.parse(Path(spec.origin).read_bytes())
    except (OSError, SyntaxError, ValueError) as error:
        raise UsageError(f"{module}: {type(error).__name__}: {error}") from error


def _identifier(node: ast.expr) -> str:
    return node.id if isinstance(node, ast.Name) else ""


def _literal_value(node: ast.expr | None) -> Any:
    """Return the value of a literal or of a `frozenset(...)` of literals; None for anything else."""
    if isinstance(node, ast.Call) and _identifier(node.func) == "frozenset":
        node = node.args[0] if node.args else None
    try:
        return None if node is None else ast.literal_eval(node)
    except ValueError:
        return None


def _constant_keys(node: ast.expr) -> tuple[str, ...]:
    """Return the constant keys of a mapping, or the constant items of a sequence, as strings."""
    nodes: Sequence[ast.expr | None] = []
    if isinstance(node, ast.Dict):
        nodes = node.keys
    elif isinstance(node, ast.Tuple | ast.List):
        nodes = node.elts
    return tuple(str(key.value) for key in nodes if isinstance(key, ast.Constant))


def _variant_rows(node: ast.expr | None) -> dict[str, int]:
    """Return the number of rows of each variant from a literal mapping of names to numbers or to `Variant(rows)`."""
    if not isinstance(node, ast.Dict):
        return {"": 0}
    rows = {}
    for key, value in zip(node.keys, node.values, strict=True):
        if isinstance(value, ast.Call):
            arguments = [*value.args, *(keyword.value for keyword in value.keywords if keyword.arg == "rows")]
            value = arguments[0] if arguments else value
        count = _literal_value(value)
        if isinstance(key, ast.Constant):
            rows[str(key.value)] = count if isinstance(count, int) else 0
    return rows
