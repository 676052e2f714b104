"""The message for each frequent mistake on the command line: the last line of stderr or, if it is empty, the first of stdout."""

from __future__ import annotations

import os
import shlex
from pathlib import Path

import pytest

from tests.support.command import evals
from tests.support.error_messages import assert_recorded
from tests.support.paths import CASES

COMMANDS = CASES / "mistaken_commands.txt"
INPUT_FILES = {
    "text.txt": "hello\n",
    "request.toml": 'suites = ["gpqa"]\nmodles = ["x"]\n',
    "policy.toml": 'alpha = 0.05\n\n[[suite]]\nname = "mmlu-pro"\nmargin = 0.1\n',
    "wrong.toml": 'margin = 1\n[[suite]]\nname = "gpqa"\n',
    "tier.toml": '[[suite]]\nname = "gpqa"\nmargin = 0.1\ntier = "crucial"\n',
    "strange.jsonl": '{"id": "1", "response": "hi"}\n',
}
SUITES = ("mmlu-pro", "gpqa", "aime:2025")


def write_inputs(folder: Path) -> None:
    """Fill a folder with runs of two models on three suites, and with input files, most of them wrong."""
    for name, text in INPUT_FILES.items():
        (folder / name).write_text(text)
    for name in ("careful", "careless"):
        arguments = (
            "--sample",
            "-m",
            f"demo:{name}",
            "--run",
            name,
            "--quiet",
            "--results",
            folder / "results",
        )
        assert evals("run", *SUITES, *arguments).status == 0


@pytest.fixture(scope="module")
def command_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a working folder with the runs and files that the commands use."""
    folder = tmp_path_factory.mktemp("messages")
    write_inputs(folder)
    return folder


@pytest.mark.parametrize(
    "command",
    [
        # a command with lm-eval loads all tasks of lm-eval
        pytest.param(command, marks=pytest.mark.slow if " lm-eval:" in command else ())
        for command in COMMANDS.read_text(encoding="utf-8").splitlines()
    ],
)
def test_a_mistaken_command_prints_the_recorded_message(
    command_folder: Path, monkeypatch: pytest.MonkeyPatch, command: str
) -> None:
    monkeypatch.chdir(command_folder)
    for name in [name for name in os.environ if name.endswith("_API_KEY") or name.startswith("EVALS_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    outcome = evals(*shlex.split(command)[1:])
    assert "Traceback" not in outcome.err
    error_lines = outcome.err.strip().splitlines()
    assert_recorded(error_lines[-1] if error_lines else outcome.out.strip().splitlines()[0])
