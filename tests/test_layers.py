"""The packages form layers: a module imports only from its own package and from packages in lower layers.

The imports are read from the sources with `ast`, including those inside functions and for type checkers. A new package or
module directly in `evals/` must be added to `LAYERS`. A forbidden import is reported with its file, its line and both
layers.
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
"""Folders of the checkout; all but the first are imported as packages of `evals`, through symbolic links."""

LAYERS: tuple[tuple[str, str], ...] = (
    ("text of messages", "evals.plain"),
    ("errors", "evals.errors"),
    ("types", "evals evals.boundary evals.disk evals.labels evals.types"),
    ("validation", "evals.validation"),
    ("protocols of plug-ins", "evals.seams"),
    ("worker processes, environments of other harnesses", "evals.harness_environments evals.sandbox"),
    ("remote file systems", "evals.remote"),
    ("data", "evals.data"),
    (
        "tools that use only types",
        "evals.calls evals.extract evals.plugins evals.profiles evals.records",
    ),
    ("sizes of checkpoints", "evals.checkpoints"),
    ("merged checkpoints", "evals.merging"),
    ("image classifiers", "evals.vision"),
    ("prompts, metrics, hardware", "evals.gpus evals.prompts evals.report"),
    ("metrics for suites of other packages", "evals.metrics"),
    ("scorers", "evals.scorers"),
    ("suites", "evals.suite"),
    ("benchmarks", "evals.benchmark"),
    ("modules shared by suites", "evals.image_classification evals.intern_s1 evals.short_answers"),
    ("collections of benchmarks", "evals.collection"),
    ("suites and adapters", "evals.model_adapters evals.suites"),
    ("loading by name", "evals.load"),
    ("runs", "evals.run"),
    ("tables of runs", "evals.results"),
    ("other formats, bundles", "evals.bundles evals.interop"),
    ("comparisons of runs", "evals.verdicts"),
    ("challenges: whether a model wrote the replies of a run", "evals.challenge"),
    ("leaderboards", "evals.board"),
    ("the Python API", "evals.api"),
    ("terminal output", "evals.terminal"),
    ("the dashboard", "evals.dashboard"),
    ("commands", "evals.commands"),
    ("the command line", "evals.cli"),
)
"""Description, and modules and packages, of each layer, from the lowest to the highest."""

ALLOWED = {
    (
        "evals.commands.serve",
        "evals.model_adapters.common.launch",
    ): "only `evals serve` launches servers",
    (
        "evals.commands.serve",
        "evals.model_adapters.common.server_process",
    ): "the server process that `evals serve` manages",
    (
        "evals.commands.serve",
        "evals.model_adapters.common.registry",
    ): "where `evals serve` registers its server for other commands",
    (
        "evals.commands.doctor",
        "evals.model_adapters.common.launch",
    ): "`evals doctor` reports which engines could be started",
    (
        "evals.commands.data",
        "evals.model_adapters.llamacpp",
    ): "`evals data smollm2` downloads the weights",
}
"""Imports of suites and adapters by modules other than `load`, with the reason for each."""

TOP_LEVEL_IMPORTS = {
    "evals.cli": {"click"},
    "evals.commands": {"click"},
    "evals.board": {"numpy"},
    "evals.challenge": {"numpy", "scipy"},
    "evals.merging": {"numpy"},
    "evals.verdicts": {"numpy"},
    "evals.dashboard": {"numpy", "pandas", "streamlit", "altair"},
}
"""Packages that modules may import at the top besides the standard library and msgspec; others would slow down start-up.

Commands import most of these packages only when they compare runs, maintain a board or merge models."""


class Import(NamedTuple):
    """An import of one module of the project by another."""

    source: str
    target: str
    where: str
    """File and line."""


def modules(root: Path) -> dict[str, Path]:
    """Return the path of every module of the project, by the name under which it is imported."""
    paths = {}
    for folder in FOLDERS:
        for path in sorted((root / folder).rglob("*.py")):  # does not follow the links within `evals/`
            parts = path.relative_to(root).with_suffix("").parts
            parts = parts[:-1] if parts[-1] == "__init__" else parts
            paths[".".join(parts if parts[0] == "evals" else ("evals", *parts))] = path
    return paths


def read_imports(root: Path) -> Iterator[Import]:
    """Yield all imports of one module of the project by another."""
    known = modules(root)
    for source, path in known.items():
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Import | ast.ImportFrom):
                where = f"{path.relative_to(root)}:{node.lineno}"
                for target in imported_modules(node, known):
                    if target != source:
                        yield Import(source, target, where)


def imported_modules(node: ast.Import | ast.ImportFrom, known: Iterable[str]) -> Iterator[str]:
    """Yield the modules of the project that an import statement names; a top-level name such as `suites` is one, too."""
    if isinstance(node, ast.Import):
        yield from (alias.name for alias in node.names if alias.name.partition(".")[0] in FOLDERS)
    elif node.level:
        yield "a relative import"
    elif node.module and node.module.partition(".")[0] in FOLDERS:
        for alias in node.names:
            submodule = f"{node.module}.{alias.name}"
            yield submodule if submodule in known else node.module


def package(module: str) -> str:
    """Return the entry of `LAYERS` for a module: `evals`, or the module or package directly in it."""
    return ".".join(module.split(".")[:2])


def layer(module: str) -> int:
    """Return the number of a module's layer, or -1 if it has none."""
    return next((n for n, (_, names) in enumerate(LAYERS) if package(module) in names.split()), -1)


def forbidden_imports(imports: Iterable[Import]) -> list[str]:
    """Return the imports from the same or a higher layer; modules of one package may import each other."""
    return [
        f"{e.where}: {e.source} (layer {layer(e.source)}) imports {e.target} (layer {layer(e.target)})"
        for e in imports
        if not (package(e.source) == package(e.target) != "evals")
        and not layer(e.source) > layer(e.target) >= 0
    ]


@pytest.fixture(scope="module")
def imports() -> list[Import]:
    """Return all imports of the project."""
    return list(read_imports(ROOT))


def test_every_module_has_a_layer() -> None:
    assert [m for m in modules(ROOT) if layer(m) < 0] == [], "add these to LAYERS"


def test_every_entry_of_the_layers_exists() -> None:
    listed = {name for _, names in LAYERS for name in names.split()}
    assert listed - {package(module) for module in modules(ROOT)} == set()


def test_modules_import_only_from_lower_layers(imports: list[Import]) -> None:
    assert len(imports) > 100  # the imports were found
    assert forbidden_imports(imports) == []


def test_suites_do_not_import_each_other(imports: list[Import]) -> None:
    between_suites = [e for e in imports if package(e.source) == package(e.target) == "evals.suites"]
    assert between_suites == []


def test_only_load_imports_suites_and_adapters(imports: list[Import]) -> None:
    loaded = ("evals.suites", "evals.model_adapters")
    imported = {
        (e.source, e.target)
        for e in imports
        if package(e.target) in loaded and package(e.source) not in (*loaded, "evals.load")
    }
    assert imported - set(ALLOWED) == set()


def test_every_exception_is_still_needed(imports: list[Import]) -> None:
    assert set(ALLOWED) - {(e.source, e.target) for e in imports} == set()


def test_there_are_no_circular_imports(imports: list[Import]) -> None:
    graph: dict[str, set[str]] = {}
    for e in imports:
        graph.setdefault(e.source, set()).add(e.target)
    try:
        order = list(TopologicalSorter(graph).static_order())
    except CycleError as error:
        pytest.fail(f"circular imports: {' -> '.join(error.args[1])}")
    assert order.index("evals.types") < order.index("evals.run.runner")


def test_heavy_libraries_are_imported_inside_functions() -> None:
    """At the top, modules import only the standard library, msgspec and the project."""
    heavy = []
    for name, path in modules(ROOT).items():
        allowed = TOP_LEVEL_IMPORTS.get(package(name), set()) | {"msgspec", "evals"} | sys.stdlib_module_names
        for node in ast.parse(path.read_text(encoding="utf-8")).body:
            names = [a.name for a in node.names] if isinstance(node, ast.Import) else []
            names += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            heavy += [f"{path.name}: {n}" for n in names if n.partition(".")[0] not in allowed]
    assert heavy == []


@pytest.mark.parametrize(
    ("module", "line", "target"),
    [
        ("evals/types.py", "from evals.records.store import Run", "evals.records.store"),
        ("evals/report/estimates.py", "def f():\n    from evals.run import runner", "evals.run.runner"),
        ("suites/one.py", "import suites.two", "suites.two"),
        ("evals/data/sources.py", "from . import suite", "a relative import"),
        ("evals/report/statistics.py", "from evals.gpus import shortfall", "evals.gpus"),
    ],
    ids=["higher layer", "inside a function", "top-level name", "relative", "same layer"],
)
def test_a_forbidden_import_is_reported_with_file_and_target(
    tmp_path: Path, module: str, line: str, target: str
) -> None:
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
    (message,) = forbidden_imports(read_imports(tmp_path))
    assert message.startswith(f"{module}:")
    assert f"imports {target} " in message
