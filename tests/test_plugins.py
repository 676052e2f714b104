"""Suites and adapters of other packages: found by entry point, named with their origin, never in the house's place."""

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
    """Put a distribution with entry points on the path, as an installer would."""

    def put(package: str, group: str, points: dict[str, str], **modules: str) -> None:
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

    yield put
    plugins.origins.cache_clear()


@pytest.fixture
def made(tmp_path: Path) -> Callable[[str, str], Path]:
    """Write a package with `evals new`."""

    def make(what: str, name: str) -> Path:
        done = evals("new", what, name, "--out", tmp_path / name)
        assert done.status == 0, done.err
        return tmp_path / name

    return make


@pytest.mark.parametrize(("what", "tests"), [("suite", 2), ("adapter", 2)])
def test_what_new_writes_passes_its_own_tests_and_the_house_style(
    what: str, tests: int, made: Callable[[str, str], Path]
) -> None:
    folder = made(what, "well-made")
    for items in folder.glob("*/test.jsonl"):  # an item more breaks no test
        with items.open("a") as stream:
            stream.write('{"id": "3", "country": "Peru", "cities": ["Lima", "Cusco"], "answer": "A"}\n')
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--rootdir", folder, folder]
    path = {"PYTHONPATH": f"{ROOT}:{folder}", "PATH": "/usr/bin:/bin"}
    done = subprocess.run(command, capture_output=True, text=True, cwd=folder, env=path, check=False)
    assert f"{tests} passed" in done.stdout, done.stdout + done.stderr
    ruff = [
        sys.executable,
        "-m",
        "ruff",
        "check",
        "--config",
        ROOT / "pyproject.toml",
        folder / ("well_made.py" if what == "adapter" else "well_made/__init__.py"),
    ]
    assert subprocess.run(ruff, capture_output=True, text=True, check=False).returncode == 0


def test_a_suite_of_another_package_runs_and_is_listed_with_its_origin(
    install: Install, made: Callable[[str, str], Path], tmp_path: Path
) -> None:
    folder = made("suite", "capital-cities")
    install("evals_x", plugins.SUITES, {"capital-cities": "capital_cities"})
    (folder / "capital_cities").rename(tmp_path / "evals_x" / "capital_cities")
    assert "from evals_x 1.2" in evals("list", "suites").out
    words = ("-m", "scripted:ANSWER: A", "--results", tmp_path / "r")  # its items travel with it
    done = evals("run", "capital_cities", *words)
    assert done.status == 0, done.err
    assert "1 right, 1 wrong" in done.out
    own = tmp_path / "own.jsonl"
    own.write_text('{"id": 1, "country": "Peru", "cities": ["Lima", "Cusco"], "answer": "A"}\n')
    assert "1 right;" in evals("run", "capital_cities", "--data", own, *words).out
    (tmp_path / "evals_x" / "capital_cities" / "test.jsonl").unlink()
    assert "no file named test" in evals("run", "capital_cities", *words).error_line


OLDER = """
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


def test_a_suite_file_of_the_older_form_is_listed_and_runs(install: Install, tmp_path: Path) -> None:
    install("evals_old", plugins.SUITES, {"sums": "older_sums"}, older_sums=OLDER)
    [entry] = [one for one in evals("list", "suites", "--json").json["suites"] if one["name"] == "sums"]
    assert (entry["rows"], entry["default"], entry["version"]) == ({"easy": 1, "hard": 1}, ["easy"], "3")
    assert (entry["protocols"], entry["needs"], entry["gated"]) == (["strict", "loose"], [], False)
    assert [suite.id for suite in load.suite("sums")] == ["sums:easy"]
    done = evals("run", "sums:hard", "--protocol", "loose", "-m", "scripted:ANSWER: 2", "--results", tmp_path)
    assert done.status == 0, done.err
    assert "1 right" in done.out


def test_an_adapter_of_another_package_answers(
    install: Install, made: Callable[[str, str], Path], tmp_path: Path
) -> None:
    text = (made("adapter", "polly") / "polly.py").read_text()
    install("evals_y", plugins.ADAPTERS, {"polly": "polly"}, polly=text)
    assert "(from evals_y 1.2)" in evals("list", "models").out
    assert evals("run", "aime:2025", "--sample", "-m", "polly:p", "--results", tmp_path).status == 0


def test_a_name_of_the_house_is_not_taken_over(install: Install) -> None:
    install("evals_z", plugins.SUITES, {"aime": "their_aime"}, their_aime="raise RuntimeError")
    assert load.suite_origin("aime") is None
    assert load.benchmark("aime").title.startswith("AIME 2024 and 2025")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("raise RuntimeError('no')", "RuntimeError: no"),
        ("import nowhere", "No module named 'nowhere'"),
        ("def (", "SyntaxError"),
        (None, "No module"),
    ],
)  # fmt: skip
def test_a_broken_plugin_is_one_line_and_hides_nothing(install: Install, text: str | None, said: str) -> None:
    modules = {} if text is None else {"broken_suite": text}
    install("evals_b", plugins.SUITES, {"broken": "broken_suite"}, **modules)
    done = evals("list", "suites")
    assert done.status == 0
    assert "mmlu-pro" in done.out
    assert "skipped: broken of evals_b 1.2" in done.err
    protocols = evals("list", "protocols")
    assert (protocols.status, "mmlu-pro" in protocols.out) == (0, True)
    assert "skipped: broken of evals_b 1.2" in protocols.err
    assert said in evals("check", "broken", "--sample").error_line


def test_an_adapter_that_is_no_python_hides_no_other(install: Install) -> None:
    install("evals_c", plugins.ADAPTERS, {"torn": "torn_adapter"}, torn_adapter="def (")
    done = evals("list", "models")
    assert (done.status, "openai:" in done.out) == (0, True)
    assert "SyntaxError" in evals("run", "aime", "--sample", "-m", "torn:x").error_line


def test_an_unknown_suite_suggests_a_plugin(install: Install) -> None:
    install("evals_n", plugins.SUITES, {"polymers": "nowhere"})
    assert "did you mean polymers?" in evals("check", "polymer", "--sample").error_line


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("suite", "aime"), "a suite called aime already exists"),
        (("adapter", "openai"), "an adapter called openai already exists"),
        (("suite", "1st"), "beginning with a letter"),
        (("suite", "../x"), "beginning with a letter"),
        (("suite", "Ä"), "beginning with a letter"),
        (("suite", "class"), "another name"),
        (("suite", "json"), "another name"),
        (("adapter", "numpy"), "another name"),
    ],
)
def test_a_name_that_cannot_be_is_one_line(words: tuple[str, str], said: str, here: Path) -> None:
    assert said in evals("new", *words).error_line
    assert list(here.iterdir()) == []


def test_new_never_writes_over_a_folder(here: Path) -> None:
    (here / "mine").mkdir()
    assert "already exists" in evals("new", "suite", "mine").error_line
