"""The packages are layers: a module imports only from packages below its own.

Drawn from the sources with `ast`, imports inside functions and for type checkers included. A new package or module
directly in `evals/` gets its place in `LAYERS`; an import that points up or sideways is named by its file, its line and
both layers.
"""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterable, Iterator
from graphlib import CycleError, TopologicalSorter
from pathlib import Path
from typing import NamedTuple

import pytest

from tests.support.paths import ROOT

FOLDERS = ("evals", "suites", "model_adapters", "dashboard")
"""Folders of the checkout; all but the first are packages of `evals` too, by a link."""

LAYERS: tuple[tuple[str, str], ...] = (
    ("errors", "evals.errors"),
    ("types", "evals evals.boundary evals.disk evals.labels evals.plain evals.types evals.validation"),
    ("what models, scorers and statistics may offer", "evals.seams"),
    ("worker processes, folders of the user", "evals.harness_environments evals.sandbox"),
    ("remote file systems", "evals.remote"),
    ("data", "evals.data"),
    (
        "tools that know only types",
        "evals.calls evals.extract evals.plugins evals.profiles evals.records",
    ),
    ("sizes of checkpoints", "evals.checkpoints"),
    ("merged checkpoints", "evals.merging"),
    ("image classifiers", "evals.vision"),
    ("prompts, metrics, hardware", "evals.gpus evals.prompts evals.report"),
    ("a face of metrics for suites of other packages", "evals.metrics"),
    ("scorers", "evals.scorers"),
    ("suites as values", "evals.suite"),
    ("suites as tables", "evals.benchmark"),
    ("what suites share", "evals.image_classification evals.intern_s1 evals.short_answers"),
    ("benchmarks under one name", "evals.collection"),
    ("suites and adapters", "evals.model_adapters evals.suites"),
    ("names to objects", "evals.load"),
    ("runs", "evals.run"),
    ("runs as tables", "evals.results"),
    ("other formats, bundles", "evals.bundles evals.interop"),
    ("two runs and more", "evals.verdicts"),
    ("whether a model wrote a run's replies", "evals.challenge"),
    ("a board of entries", "evals.board"),
    ("the library", "evals.api"),
    ("what a terminal shows", "evals.terminal"),
    ("pages", "evals.dashboard"),
    ("commands", "evals.commands"),
    ("the command line", "evals.cli"),
)
"""From the bottom up: (what it is, modules and packages)."""

ALLOWED = {
    (
        "evals.commands.serve",
        "evals.model_adapters.common.launch",
    ): "`evals serve` launches, and nothing else",
    ("evals.commands.serve", "evals.model_adapters.common.server_process"): "the server that it keeps",
    ("evals.commands.serve", "evals.model_adapters.common.registry"): "where other commands find it",
    ("evals.commands.doctor", "evals.model_adapters.common.launch"): "which engines could be started here",
    (
        "evals.commands.data",
        "evals.model_adapters.llamacpp",
    ): "`evals data smollm2` fetches the weights it names",
}
"""Imports that only `load` may make, with the reason why these are right."""

AT_THE_TOP = {
    "evals.cli": {"click"},
    "evals.commands": {"click"},
    "evals.dashboard": {"pandas", "streamlit", "altair"},
}
"""What modules may import at their top besides the standard library and msgspec: start-up is measured."""


class Edge(NamedTuple):
    """One import."""

    source: str
    target: str
    where: str
    """File and line."""


def modules(root: Path) -> dict[str, Path]:
    """Every module of the project by the name under which it is imported."""
    found = {}
    for folder in FOLDERS:
        for path in sorted((root / folder).rglob("*.py")):  # does not follow the links within `evals/`
            parts = path.relative_to(root).with_suffix("").parts
            parts = parts[:-1] if parts[-1] == "__init__" else parts
            found[".".join(parts if parts[0] == "evals" else ("evals", *parts))] = path
    return found


def edges(root: Path) -> Iterator[Edge]:
    """Every import of one module of the project by another."""
    known = modules(root)
    for source, path in known.items():
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Import | ast.ImportFrom):
                where = f"{path.relative_to(root)}:{node.lineno}"
                for target in targets(node, known):
                    if target != source:
                        yield Edge(source, target, where)


def targets(node: ast.Import | ast.ImportFrom, known: Iterable[str]) -> Iterator[str]:
    """The modules that an import names; a top-level `suites` is as foreign here as in a user's folder."""
    if isinstance(node, ast.Import):
        yield from (alias.name for alias in node.names if alias.name.partition(".")[0] in FOLDERS)
    elif node.level:
        yield "a relative import"
    elif node.module and node.module.partition(".")[0] in FOLDERS:
        for alias in node.names:
            inner = f"{node.module}.{alias.name}"
            yield inner if inner in known else node.module


def package(module: str) -> str:
    """The entry of `LAYERS` that holds a module: `evals` itself, or what lies directly in it."""
    return ".".join(module.split(".")[:2])


def layer(module: str) -> int:
    """Number of a module's layer; -1: it has none."""
    return next((n for n, (_, names) in enumerate(LAYERS) if package(module) in names.split()), -1)


def offences(found: Iterable[Edge]) -> list[str]:
    """The imports that do not point down; modules of one package may import each other."""
    return [
        f"{e.where}: {e.source} (layer {layer(e.source)}) imports {e.target} (layer {layer(e.target)})"
        for e in found
        if not (package(e.source) == package(e.target) != "evals")
        and not layer(e.source) > layer(e.target) >= 0
    ]


@pytest.fixture(scope="module")
def drawn() -> list[Edge]:
    return list(edges(ROOT))


def test_every_module_has_its_layer() -> None:
    assert [m for m in modules(ROOT) if layer(m) < 0] == [], "give these a place in LAYERS"


def test_no_place_stands_empty() -> None:
    listed = {name for _, names in LAYERS for name in names.split()}
    assert listed - {package(module) for module in modules(ROOT)} == set()


def test_imports_point_down(drawn: list[Edge]) -> None:
    assert len(drawn) > 100  # the drawing is not blank
    assert offences(drawn) == []


def test_suites_stand_alone(drawn: list[Edge]) -> None:
    inner = [e for e in drawn if package(e.source) == package(e.target) == "evals.suites"]
    assert inner == []


def test_only_load_knows_suites_and_adapters(drawn: list[Edge]) -> None:
    outside = ("evals.suites", "evals.model_adapters")
    others = {
        (e.source, e.target)
        for e in drawn
        if package(e.target) in outside and package(e.source) not in (*outside, "evals.load")
    }
    assert others - set(ALLOWED) == set()


def test_every_exception_is_still_needed(drawn: list[Edge]) -> None:
    assert set(ALLOWED) - {(e.source, e.target) for e in drawn} == set()


def test_no_circle_within_a_package(drawn: list[Edge]) -> None:
    graph: dict[str, set[str]] = {}
    for e in drawn:
        graph.setdefault(e.source, set()).add(e.target)
    try:
        order = list(TopologicalSorter(graph).static_order())
    except CycleError as error:
        pytest.fail(f"imports run in a circle: {' -> '.join(error.args[1])}")
    assert order.index("evals.types") < order.index("evals.run.runner")


def test_heavy_libraries_wait_until_they_are_needed() -> None:
    """A module's top imports the standard library, msgspec and the project; the rest inside functions."""
    found = []
    for name, path in modules(ROOT).items():
        allowed = AT_THE_TOP.get(package(name), set()) | {"msgspec", "evals"} | sys.stdlib_module_names
        for node in ast.parse(path.read_text(encoding="utf-8")).body:
            names = [a.name for a in node.names] if isinstance(node, ast.Import) else []
            names += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            found += [f"{path.name}: {n}" for n in names if n.partition(".")[0] not in allowed]
    assert found == []


@pytest.mark.parametrize(
    ("module", "line", "named"),
    [
        ("evals/types.py", "from evals.records.store import Run", "evals.records.store"),
        ("evals/report/estimates.py", "def f():\n    from evals.run import runner", "evals.run.runner"),
        ("suites/one.py", "import suites.two", "suites.two"),
        ("evals/data/sources.py", "from . import suite", "a relative import"),
        ("evals/report/statistics.py", "from evals.gpus import needs", "evals.gpus"),
    ],
    ids=["up", "inside a function", "by another name", "relative", "sideways"],
)
def test_an_offending_edge_is_named(tmp_path: Path, module: str, line: str, named: str) -> None:
    others = (
        "evals/run/runner.py",
        "evals/records/store.py",
        "evals/suite.py",
        "evals/gpus.py",
        "suites/two.py",
    )
    for path in (module, *others):
        (tmp_path / path).parent.mkdir(exist_ok=True, parents=True)
        (tmp_path / path).write_text("")
    (tmp_path / module).write_text(line)
    (found,) = offences(edges(tmp_path))
    assert found.startswith(f"{module}:")
    assert f"imports {named} " in found
