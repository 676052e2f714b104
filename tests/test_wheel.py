"""The wheel alone, in a fresh environment and an empty folder, runs a suite on the bundled items."""

from __future__ import annotations

import json
import subprocess
import sys
import venv
import zipfile
from pathlib import Path

import pytest

from tests.support.paths import ROOT


def command(*words: str | Path, cwd: Path) -> str:
    done = subprocess.run([str(word) for word in words], cwd=cwd, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    return done.stdout


@pytest.mark.slow
def test_a_wheel_in_a_fresh_environment_runs_the_sample_items(tmp_path: Path) -> None:
    command(
        sys.executable,
        "-m",
        "pip",
        "wheel",
        "--quiet",
        "--no-deps",
        "-w",
        tmp_path / "dist",
        ROOT,
        cwd=tmp_path,
    )
    wheel = next((tmp_path / "dist").glob("science_evals-*.whl"))
    venv.create(tmp_path / "fresh", with_pip=True)
    with zipfile.ZipFile(wheel) as packed:
        tops = {name.partition("/")[0] for name in packed.namelist()}
    assert {top for top in tops if not top.endswith(".dist-info")} == {"evals"}
    bin_ = tmp_path / "fresh" / "bin"
    command(bin_ / "pip", "install", "--quiet", wheel, cwd=tmp_path)
    empty = tmp_path / "empty"
    empty.mkdir()
    shown = command(
        bin_ / "evals",
        "run",
        "mmlu-pro",
        "gpqa",
        "aime",
        "--sample",
        "-m",
        "scripted:ANSWER: A",
        "--json",
        cwd=empty,
    )
    runs = json.loads(shown)["runs"]
    assert [run["suite"] for run in runs] == ["mmlu-pro", "gpqa:diamond", "aime:2024", "aime:2025"]
    assert all(run["coverage"] == 1.0 and run["data"] == "sample" for run in runs)
    assert (empty / "results").is_dir()
    names = [
        s["name"]
        for s in json.loads(command(bin_ / "evals", "list", "suites", "--json", cwd=empty))["suites"]
    ]
    assert listed_among_namesakes(tmp_path, bin_ / "python") == names


def test_folders_of_our_names_in_the_current_directory_change_nothing(tmp_path: Path) -> None:
    names = {path.stem.replace("_", "-") for path in (ROOT / "suites").glob("[a-z]*.py")}
    assert set(listed_among_namesakes(tmp_path, Path(sys.executable))) >= names


def listed_among_namesakes(folder: Path, python: Path) -> list[str]:
    """The suites that a Python lists when started among packages named like folders of the project."""
    for name in ("suites", "model_adapters", "dashboard"):
        (folder / name).mkdir()
        (folder / name / "__init__.py").write_text("raise ImportError('a package of the user')")
    code = "import sys; from evals.cli import main; sys.argv[1:] = ['list', 'suites', '--json']; main()"
    return [suite["name"] for suite in json.loads(command(python, "-c", code, cwd=folder))["suites"]]
