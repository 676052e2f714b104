"""Shell completion, through the environment variables that click uses."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support import many_runs

COMMAND = [sys.executable, "-c", "import sys; sys.argv[0] = 'evals'; from evals.cli import main; main()"]


def complete(folder: Path, line: str) -> list[str]:
    """Return the completions of a command line, run in the given folder."""
    words = line.split(" ")
    env = os.environ | {
        "_EVALS_COMPLETE": "bash_complete",
        "COMP_WORDS": line,
        "COMP_CWORD": str(len(words) - 1),
    }
    process = subprocess.run(
        COMMAND, cwd=folder, env=env, capture_output=True, text=True, timeout=60, check=False
    )
    assert process.stderr == ""
    return [candidate.partition(",")[2] for candidate in process.stdout.splitlines() if candidate]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a working folder with a results folder of many runs."""
    path = tmp_path_factory.mktemp("complete")
    many_runs.build(path / "results")
    return path


def test_commands_options_suites_models_and_runs_are_completed(folder: Path) -> None:
    assert complete(folder, "evals sh") == ["show"]
    assert complete(folder, "evals show la") == ["last"]
    assert len(complete(folder, "evals compare last ")) > 40
    assert complete(folder, "evals show gpt-4.1/gp") == ["gpt-4.1/gpqa:diamond"]
    assert complete(folder, "evals run mmlu-p") == ["mmlu-pro"]
    assert complete(folder, "evals run gpqa:d") == ["gpqa:diamond"]
    assert complete(folder, "evals run gpqa -m dem") == ["demo:"]
    assert "--pivot" in complete(folder, "evals show --p")
    assert complete(folder, "evals nothing x") == []
    assert complete(folder, "evals gate pl") == ["plan"]
    assert {"plan", "baseline", "last"} <= set(complete(folder, "evals gate "))
    assert "--policy" in complete(folder, "evals gate --p")
    assert "--policy" in complete(folder, "evals gate last --p")
    assert complete(folder, "evals bundle ver") == ["verify"]
    assert complete(folder, "evals claims rep") == ["reproduce"]
    assert complete(folder, "evals ver") == []


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_the_completion_script_of_each_shell_is_printed(shell: str) -> None:
    env = os.environ | {"_EVALS_COMPLETE": f"{shell}_source"}
    process = subprocess.run(COMMAND, env=env, capture_output=True, text=True, timeout=60, check=False)
    assert f"_EVALS_COMPLETE={shell}_complete" in process.stdout
