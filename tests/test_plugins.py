"""Suites and adapters of other packages are found by entry point, listed with their origin, and cannot replace ours."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterator
from importlib import invalidate_caches
from pathlib import Path

import pytest

from evals import load, plugins
from tests.support.command import evals

ROOT = Path(__file__).resolve().parent.parent
Install = Callable[..., None]


@pytest.fixture
def install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Install]:
    """Yield a function that puts a distribution with entry points on the path, as an installer does."""

    def install_package(package: str, group: str, points: dict[str, str], **modules: str) -> None:
        site = tmp_path / package
        info = site / f"{package}-1.2.dist-info"
        info.mkdir(parents=True)
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {package}\nVersion: 1.2\n")
        lines = "".join(f"{name} = {module}\n" for name, module in points.items())
        (info / "entry_points.txt").write_text(f"[{group}]\n{lines}")
        for module, text in modules.items():
            (site / f"{module}.py").write_text(text)
        monkeypatch.syspath_prepend(site)
        invalidate_caches()
        plugins.origins.cache_clear()

    yield install_package
    plugins.origins.cache_clear()


@pytest.fixture
def write_package(tmp_path: Path) -> Callable[[str, str], Path]:
    """Return a function that writes a package with `evals new` and returns its folder."""

    def write(kind: str, name: str) -> Path:
        outcome = evals("new", kind, name, "--out", tmp_path / name)
        assert outcome.status == 0, outcome.err
        return tmp_path / name

    return write


@pytest.mark.parametrize(("kind", "tests"), [("suite", 2), ("adapter", 2)])
def test_a_package_from_the_template_passes_its_tests_and_our_lint_rules(
    kind: str, tests: int, write_package: Callable[[str, str], Path]
) -> None:
    folder = write_package(kind, "well-made")
    for data_file in folder.glob("*/test.jsonl"):  # the tests of the template pass with another item, too
        with data_file.open("a") as stream:
            stream.write('{"id": "3", "country": "Peru", "cities": ["Lima", "Cusco"], "answer": "A"}\n')
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--rootdir", folder, folder]
    env = {"PYTHONPATH": f"{ROOT}:{folder}", "PATH": "/usr/bin:/bin"}
    process = subprocess.run(command, capture_output=True, text=True, cwd=folder, env=env, check=False)
    assert f"{tests} passed" in process.stdout, process.stdout + process.stderr
    ruff = [
        sys.executable,
        "-m",
        "ruff",
        "check",
        "--config",
        ROOT / "pyproject.toml",
        folder / ("well_made.py" if kind == "adapter" else "well_made/__init__.py"),
    ]
    assert subprocess.run(ruff, capture_output=True, text=True, check=False).returncode == 0


def test_a_suite_of_another_package_runs_and_is_listed_with_its_origin(
    install: Install, write_package: Callable[[str, str], Path], tmp_path: Path
) -> None:
    folder = write_package("suite", "capital-cities")
    install("evals_x", plugins.SUITES, {"capital-cities": "capital_cities"})
    (folder / "capital_cities").rename(tmp_path / "evals_x" / "capital_cities")
    assert "from evals_x 1.2" in evals("list", "suites").out
    arguments = ("-m", "scripted:ANSWER: A", "--results", tmp_path / "r")  # the items are part of the package
    outcome = evals("run", "capital_cities", *arguments)
    assert outcome.status == 0, outcome.err
    assert "1 right, 1 wrong" in outcome.out
    local_data = tmp_path / "own.jsonl"
    local_data.write_text('{"id": 1, "country": "Peru", "cities": ["Lima", "Cusco"], "answer": "A"}\n')
    assert "1 right;" in evals("run", "capital_cities", "--data", local_data, *arguments).out
    (tmp_path / "evals_x" / "capital_cities" / "test.jsonl").unlink()
    evals("run", "capital_cities", *arguments).assert_usage_error()


SUITE_WITHOUT_BENCHMARK = """
'''Sums: a suite file without BENCHMARK.'''
from evals.prompts import ask, plain_text
from evals.scorers.integer import StatedInteger
from evals.report.metrics import accuracy
from evals.suite import Suite
from evals.types import Sample, Text

VARIANTS = {"easy": 1, "hard": 1}
DEFAULT = ("easy",)
PROTOCOLS = ("strict", "loose")
VERSION = "3"
NEEDS = frozenset()
GATED = False

def suite(variant="easy", protocol="strict"):
    return Suite(
        name="sums", variant=variant, protocol=protocol, version=VERSION,
        samples=lambda data: [Sample(id=variant, question=(Text("1 + 1"),), target="2")],
        prompter=lambda data: lambda sample, repeat: ask(plain_text(sample.question)),
        ideal=lambda sample, prompt: "ANSWER: 2", scorers={"sum": StatedInteger()}, metrics=accuracy(),
    )
"""


def test_a_suite_module_without_a_benchmark_is_listed_and_runs(install: Install, tmp_path: Path) -> None:
    install("evals_old", plugins.SUITES, {"sums": "older_sums"}, older_sums=SUITE_WITHOUT_BENCHMARK)
    suites = evals("list", "suites", "--json").json["suites"]
    [entry] = [entry for entry in suites if entry["name"] == "sums"]
    assert (entry["rows"], entry["default"], entry["version"]) == ({"easy": 1, "hard": 1}, ["easy"], "3")
    assert (entry["protocols"], entry["needs"], entry["gated"]) == (["strict", "loose"], [], False)
    assert [suite.id for suite in load.suite("sums")] == ["sums:easy"]
    arguments = ("--protocol", "loose", "-m", "scripted:ANSWER: 2", "--results", tmp_path)
    outcome = evals("run", "sums:hard", *arguments)
    assert outcome.status == 0, outcome.err
    assert "1 right" in outcome.out


def test_an_adapter_of_another_package_is_listed_and_runs(
    install: Install, write_package: Callable[[str, str], Path], tmp_path: Path
) -> None:
    text = (write_package("adapter", "polly") / "polly.py").read_text()
    install("evals_y", plugins.ADAPTERS, {"polly": "polly"}, polly=text)
    assert "(from evals_y 1.2)" in evals("list", "models").out
    assert evals("run", "aime:2025", "--sample", "-m", "polly:p", "--results", tmp_path).status == 0


def test_a_plugin_cannot_replace_a_suite_of_ours(install: Install) -> None:
    install("evals_z", plugins.SUITES, {"aime": "their_aime"}, their_aime="raise RuntimeError")
    assert load.suite_origin("aime") is None
    assert load.benchmark("aime").title.startswith("AIME 2024 and 2025")


@pytest.mark.parametrize(
    "text",
    [
        "raise RuntimeError('no')",
        "import nowhere",
        "def (",
        None,
    ],
)  # fmt: skip
def test_a_broken_plugin_is_reported_in_one_line_and_other_suites_are_listed(
    install: Install, text: str | None
) -> None:
    modules = {} if text is None else {"broken_suite": text}
    install("evals_b", plugins.SUITES, {"broken": "broken_suite"}, **modules)
    suites = evals("list", "suites")
    assert suites.status == 0
    assert "mmlu-pro" in suites.out
    assert "skipped: broken of evals_b 1.2" in suites.err
    protocols = evals("list", "protocols")
    assert (protocols.status, "mmlu-pro" in protocols.out) == (0, True)
    assert "skipped: broken of evals_b 1.2" in protocols.err
    evals("check", "broken", "--sample").assert_usage_error()


def test_an_adapter_with_a_syntax_error_does_not_hide_other_adapters(install: Install) -> None:
    install("evals_c", plugins.ADAPTERS, {"torn": "torn_adapter"}, torn_adapter="def (")
    models = evals("list", "models")
    assert (models.status, "openai:" in models.out) == (0, True)
    evals("run", "aime", "--sample", "-m", "torn:x").assert_usage_error()


def test_an_unknown_suite_suggests_a_plugin(install: Install) -> None:
    install("evals_n", plugins.SUITES, {"polymers": "nowhere"})
    evals("check", "polymer", "--sample").assert_usage_error()


@pytest.mark.parametrize(
    "arguments",
    [
        ("suite", "aime"),
        ("adapter", "openai"),
        ("suite", "1st"),
        ("suite", "../x"),
        ("suite", "Ä"),
        ("suite", "class"),
        ("suite", "json"),
        ("adapter", "numpy"),
    ],
    ids=" ".join,
)
def test_an_unusable_name_is_refused_with_a_one_line_message(arguments: tuple[str, str], here: Path) -> None:
    evals("new", *arguments).assert_usage_error()
    assert list(here.iterdir()) == []


def test_new_does_not_overwrite_a_folder(here: Path) -> None:
    (here / "mine").mkdir()
    evals("new", "suite", "mine").assert_usage_error()
