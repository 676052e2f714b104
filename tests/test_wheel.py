"""The wheel, installed in a new environment, runs suites on the bundled items in an empty folder."""

from __future__ import annotations

import json
import subprocess
import sys
import venv
import zipfile
from pathlib import Path

import pytest

from tests.support.paths import ROOT


def run_command(*arguments: str | Path, cwd: Path) -> str:
    """Run a command, require success and return its output."""
    process = subprocess.run(
        [str(word) for word in arguments], cwd=cwd, capture_output=True, text=True, check=False
    )
    assert process.returncode == 0, process.stderr[-2000:]
    return process.stdout


@pytest.mark.slow
def test_the_wheel_runs_the_sample_items_in_a_new_environment(tmp_path: Path) -> None:
    run_command(
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
    with zipfile.ZipFile(wheel) as archive:
        top_level = {name.partition("/")[0] for name in archive.namelist()}
    assert {name for name in top_level if not name.endswith(".dist-info")} == {"evals"}
    bin_ = tmp_path / "fresh" / "bin"
    run_command(bin_ / "pip", "install", "--quiet", wheel, cwd=tmp_path)
    empty = tmp_path / "empty"
    empty.mkdir()
    output = run_command(
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
    runs = json.loads(output)["runs"]
    assert [run["suite"] for run in runs] == ["mmlu-pro", "gpqa:diamond", "aime:2024", "aime:2025"]
    assert all(run["coverage"] == 1.0 and run["data"] == "sample" for run in runs)
    assert (empty / "results").is_dir()
    names = [
        s["name"]
        for s in json.loads(run_command(bin_ / "evals", "list", "suites", "--json", cwd=empty))["suites"]
    ]
    assert suites_listed_among_user_packages(tmp_path, bin_ / "python") == names


def test_packages_of_the_user_with_our_names_are_not_imported(tmp_path: Path) -> None:
    names = {path.stem.replace("_", "-") for path in (ROOT / "suites").glob("[a-z]*.py")}
    assert set(suites_listed_among_user_packages(tmp_path, Path(sys.executable))) >= names


def suites_listed_among_user_packages(folder: Path, python: Path) -> list[str]:
    """Return the suites that are listed in a folder with the user's packages `suites`, `model_adapters` and `dashboard`."""
    for name in ("suites", "model_adapters", "dashboard"):
        (folder / name).mkdir()
        (folder / name / "__init__.py").write_text("raise ImportError('a package of the user')")
    code = "import sys; from evals.cli import main; sys.argv[1:] = ['list', 'suites', '--json']; main()"
    return [suite["name"] for suite in json.loads(run_command(python, "-c", code, cwd=folder))["suites"]]
