"""The house stands on floors: a module imports only from floors below its own.

Drawn from the sources with `ast`, imports inside functions and for type checkers included. A new module gets its
place in `FLOORS`; an edge that points up or sideways is named by its file, its line and both floors.
"""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterable, Iterator
from graphlib import CycleError, TopologicalSorter
from pathlib import Path
from typing import NamedTuple

import pytest

ROOT = Path(__file__).resolve().parent.parent
HOUSE = ("evals", "suites", "model_adapters", "dashboard")

FLOORS: tuple[tuple[str, str], ...] = (
    ("the nouns", "evals evals.errors evals.types"),
    (
        "plain tools, each on its own",
        "evals.archive evals.asking evals.card evals.claims evals.data evals.deadline evals.errata evals.extract "
        "evals.pace evals.peers evals.plugins evals.profiles evals.prompts evals.stats evals.timebox evals.units",
    ),
    ("upstream's own words", "evals.wording"),
    (
        "what judges, and what is judged",
        "evals.gpus evals.media evals.metrics evals.scorers evals.scoring evals.sealed evals.signals evals.spool "
        "evals.suite",
    ),
    ("records on disk, and numbers made of them", "evals.report evals.store"),
    ("what is added from outside", "evals.rescore model_adapters suites"),
    ("what brings them together", "evals.bundle evals.load evals.plan"),
    (
        "whole tasks",
        "evals.batch evals.cluster evals.interop evals.overview evals.progress evals.runner evals.shape evals.spanning evals.suspects "
        "evals.verify",
    ),
    ("two runs and more", "evals.interop.harness evals.replicas evals.verdicts"),
    ("what people see", "dashboard"),
    ("what people touch", "evals.commands"),
    ("the command", "evals.cli"),
)
"""From the ground up: (what stands there, modules and packages)."""

SIBLINGS = frozenset(
    {
        "evals.extract",
        "evals.units",
        "evals.wording",
        "evals.scorers",
        "evals.interop",
        "evals.verdicts",
        "evals.commands",
        "dashboard",
    }
)
"""Packages whose modules may import each other, though never in a circle."""

SHARED_BY_ADAPTERS = {
    "batches": "anthropic openai",
    "fetch": "intern launch server",
    "http": "anthropic batches fetch google intern launch openai server vendors llamacpp",
    "rules": "anthropic google openai vendors",
    "pictures": "anthropic google openai",
    "openai": "intern llamacpp server vendors",
}
"""Module beside the adapters -> the adapters that stand on it: one client, one way to say what vendors refuse."""

ALLOWED = {
    **{
        (f"model_adapters.{user}", f"model_adapters.{shared}"): "shared by adapters"
        for shared, users in SHARED_BY_ADAPTERS.items()
        for user in users.split()
    },
    ("model_adapters.served", "model_adapters.server"): "a started server speaks the same protocol",
    ("model_adapters.served", "model_adapters.launch"): "one launcher for three engines",
    ("model_adapters.launch", "model_adapters.logs"): "why a server ended",
    ("model_adapters.hf", "model_adapters.weights"): "the calls, and what computes them",
    ("model_adapters.weights", "model_adapters.logs"): "why weights cannot be loaded",
    ("model_adapters.launch", "model_adapters.watchdog"): "its file is what is run beside a server",
    ("evals.commands.serve", "model_adapters.launch"): "`evals serve` launches, and nothing else",
    ("evals.commands.doctor", "model_adapters.launch"): "which engines could be started here",
    ("model_adapters.vllm", "model_adapters.launch"): "a row of its table",
    ("model_adapters.vllm", "model_adapters.served"): "a row of its table",
    ("model_adapters.lmdeploy", "model_adapters.launch"): "a row of its table",
    ("model_adapters.lmdeploy", "model_adapters.served"): "a row of its table",
    ("model_adapters.sglang", "model_adapters.launch"): "a row of its table",
    ("model_adapters.sglang", "model_adapters.served"): "a row of its table",
    (
        "evals.commands.data",
        "model_adapters.llamacpp",
    ): "`evals data smollm2` fetches the weights that it names",
    ("evals.signals", "evals.media"): "one folder for all bytes that are kept",
    ("evals.commands.order", "model_adapters.http"): "one rule says what of a URL may be shown",
}
"""Edges that a rule forbids, with the reason why they are right."""

AT_THE_TOP = {
    "evals.cli": {"click"},
    "evals.commands": {"click"},
    "dashboard": {"pandas", "streamlit", "altair"},
}
"""What modules may import at their top besides the standard library and msgspec: start-up is measured."""


class Edge(NamedTuple):
    """One import."""

    source: str
    target: str
    where: str
    """File and line."""


def modules(root: Path) -> dict[str, Path]:
    """All modules of the house by their dotted names."""
    found = {}
    for package in HOUSE:
        for path in sorted((root / package).rglob("*.py")):
            parts = path.relative_to(root).with_suffix("").parts
            found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return found


def edges(root: Path) -> Iterator[Edge]:
    """Every import of one module of the house by another."""
    known = modules(root)
    for source, path in known.items():
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Import | ast.ImportFrom):
                where = f"{path.relative_to(root)}:{node.lineno}"
                for target in targets(node, known):
                    if target != source:
                        yield Edge(source, target, where)


def targets(node: ast.Import | ast.ImportFrom, known: Iterable[str]) -> Iterator[str]:
    if isinstance(node, ast.Import):
        yield from (alias.name for alias in node.names if alias.name.partition(".")[0] in HOUSE)
    elif node.level:
        yield "a relative import"
    elif node.module and node.module.partition(".")[0] in HOUSE:
        for alias in node.names:
            inner = f"{node.module}.{alias.name}"
            yield inner if inner in known else node.module


def place(module: str) -> str:
    """The entry of `FLOORS` that holds a module: itself, else its package."""
    listed = {name for _, names in FLOORS for name in names.split()}
    while module not in listed and "." in module:
        module = module.rpartition(".")[0]
    return module if module in listed else ""


def floor(module: str) -> int:
    """Number of a module's floor; -1: it has none."""
    return next((n for n, (_, names) in enumerate(FLOORS) if place(module) in names.split()), -1)


def offences(found: Iterable[Edge]) -> list[str]:
    """The edges that do not point down."""
    return [
        f"{e.where}: {e.source} (floor {floor(e.source)}) imports {e.target} (floor {floor(e.target)})"
        for e in found
        if (e.source, e.target) not in ALLOWED
        and not (place(e.source) in SIBLINGS and place(e.source) == place(e.target))
        and not floor(e.source) > floor(e.target) >= 0
    ]


@pytest.fixture(scope="module")
def drawn() -> list[Edge]:
    return list(edges(ROOT))


def test_every_module_has_its_floor() -> None:
    # `evals` itself is a place, so a module directly in it must be listed by name
    homeless = [m for m in modules(ROOT) if floor(m) < 0 or (m != "evals" and place(m) == "evals")]
    assert homeless == [], "give these a place in FLOORS"


def test_no_place_stands_empty() -> None:
    listed = {name for _, names in FLOORS for name in names.split()}
    assert listed - {place(module) for module in modules(ROOT)} == set()


def test_imports_point_down(drawn: list[Edge]) -> None:
    assert len(drawn) > 100  # the drawing is not blank
    assert offences(drawn) == []


def test_suites_and_adapters_never_import_each_other(drawn: list[Edge]) -> None:
    outside = {"suites", "model_adapters"}
    assert [
        e
        for e in drawn
        if place(e.source) in outside
        and place(e.target) in outside
        and e.target not in outside
        and (e.source, e.target) not in ALLOWED
    ] == []


def test_only_load_knows_suites_and_adapters(drawn: list[Edge]) -> None:
    assert {
        (e.source, e.target)
        for e in drawn
        if place(e.target) in ("suites", "model_adapters")
        and place(e.source) not in ("suites", "model_adapters")
        and (e.source, e.target) not in ALLOWED
    } == {("evals.load", "suites"), ("evals.load", "model_adapters")}


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
    assert order.index("evals.types") < order.index("evals.runner")


def test_heavy_libraries_wait_until_they_are_needed() -> None:
    """A module's top imports the standard library, msgspec and the house; the rest inside functions."""
    found = []
    for name, path in modules(ROOT).items():
        allowed = AT_THE_TOP.get(place(name), set()) | {"msgspec", *HOUSE} | sys.stdlib_module_names
        for node in ast.parse(path.read_text(encoding="utf-8")).body:
            names = [a.name for a in node.names] if isinstance(node, ast.Import) else []
            names += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            found += [f"{path.name}: {n}" for n in names if n.partition(".")[0] not in allowed]
    assert found == []


@pytest.mark.parametrize(
    ("module", "line", "named"),
    [
        ("evals/types.py", "from evals.store import Run", "evals.store"),
        ("evals/report.py", "def f():\n    from evals import runner", "evals.runner"),
        ("suites/one.py", "import suites.two", "suites.two"),
        ("evals/data.py", "from . import suite", "a relative import"),
        ("evals/stats.py", "from evals.units import parse", "evals.units"),
    ],
    ids=["up", "inside a function", "suite to suite", "relative", "sideways"],
)
def test_an_offending_edge_is_named(tmp_path: Path, module: str, line: str, named: str) -> None:
    others = ("evals/runner.py", "evals/store.py", "evals/suite.py", "evals/units.py", "suites/two.py")
    for path in (module, *others):
        (tmp_path / path).parent.mkdir(exist_ok=True)
        (tmp_path / path).write_text("")
    (tmp_path / module).write_text(line)
    (found,) = offences(edges(tmp_path))
    assert found.startswith(f"{module}:")
    assert f"imports {named} " in found
