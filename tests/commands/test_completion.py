"""Completion in a shell, as click asks for it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support import many_runs

COMMAND = [sys.executable, "-c", "import sys; sys.argv[0] = 'evals'; from evals.cli import main; main()"]


def complete(place: Path, line: str) -> list[str]:
    words = line.split(" ")
    env = os.environ | {
        "_EVALS_COMPLETE": "bash_complete",
        "COMP_WORDS": line,
        "COMP_CWORD": str(len(words) - 1),
    }
    done = subprocess.run(
        COMMAND, cwd=place, env=env, capture_output=True, text=True, timeout=60, check=False
    )
    assert done.stderr == ""
    return [answer.partition(",")[2] for answer in done.stdout.splitlines() if answer]


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("complete")
    many_runs.build(folder / "results")
    return folder


def test_names_complete(place: Path) -> None:
    assert complete(place, "evals sh") == ["show"]
    assert complete(place, "evals show la") == ["last"]
    assert len(complete(place, "evals compare last ")) > 40
    assert complete(place, "evals show gpt-4.1/gp") == ["gpt-4.1/gpqa:diamond"]
    assert complete(place, "evals run mmlu-p") == ["mmlu-pro"]
    assert complete(place, "evals run gpqa:d") == ["gpqa:diamond"]
    assert complete(place, "evals run gpqa -m dem") == ["demo:"]
    assert "--pivot" in complete(place, "evals show --p")
    assert complete(place, "evals nothing x") == []
    assert complete(place, "evals gate pl") == ["plan"]
    assert {"plan", "baseline", "last"} <= set(complete(place, "evals gate "))
    assert "--policy" in complete(place, "evals gate --p")
    assert "--policy" in complete(place, "evals gate last --p")
    assert complete(place, "evals bundle ver") == ["verify"]
    assert complete(place, "evals claims rep") == ["reproduce"]
    assert complete(place, "evals ver") == []


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_each_shell_has_its_script(shell: str) -> None:
    env = os.environ | {"_EVALS_COMPLETE": f"{shell}_source"}
    done = subprocess.run(COMMAND, env=env, capture_output=True, text=True, timeout=60, check=False)
    assert f"_EVALS_COMPLETE={shell}_complete" in done.stdout
