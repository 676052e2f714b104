"""The texts of error messages are recorded in `tests/cases/messages.txt`, so that a change of wording shows in a diff.

A block of the file is a command line and the line that it prints. `python -m tests.commands.test_message_texts FOLDER`
rewrites the file, building its runs in the new folder FOLDER; review the diff before you commit it.
"""

from __future__ import annotations

import os
import shlex
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.command import evals
from tests.support.paths import ROOT

MESSAGES = ROOT / "tests" / "cases" / "messages.txt"
INPUT_FILES = {
    "text.txt": "hello\n",
    "request.toml": 'suites = ["gpqa"]\nmodles = ["x"]\n',
    "policy.toml": 'alpha = 0.05\n\n[[suite]]\nname = "mmlu-pro"\nmargin = 0.1\n',
    "wrong.toml": 'margin = 1\n[[suite]]\nname = "gpqa"\n',
    "tier.toml": '[[suite]]\nname = "gpqa"\nmargin = 0.1\ntier = "crucial"\n',
    "strange.jsonl": '{"id": "1", "response": "hi"}\n',
}
SUITES = ("mmlu-pro", "gpqa", "aime:2025")


def blocks() -> Iterator[tuple[str, str]]:
    """Yield the command and the expected line of each block of the file."""
    for block in MESSAGES.read_text(encoding="utf-8").split("\n\n"):
        command, _, message = block.strip().partition("\n")
        if command.startswith("$ evals"):
            yield command.removeprefix("$ "), message


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


def message_of(command: str) -> str:
    """Return the last line of stderr, or the first of stdout if stderr is empty; this checkout becomes `CHECKOUT`."""
    outcome = evals(*shlex.split(command)[1:])
    assert "Traceback" not in outcome.err
    error_lines = outcome.err.strip().splitlines()
    line = error_lines[-1] if error_lines else outcome.out.strip().splitlines()[0]
    return line.replace(str(ROOT), "CHECKOUT")


@pytest.fixture(scope="module")
def command_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a working folder with the runs and files that the commands use."""
    folder = tmp_path_factory.mktemp("messages")
    write_inputs(folder)
    return folder


@pytest.mark.parametrize(
    ("command", "expected"),
    [
        # a command with lm-eval loads all tasks of lm-eval
        pytest.param(*block, marks=pytest.mark.slow if " lm-eval:" in block[0] else ())
        for block in blocks()
    ],
)
def test_a_command_prints_the_recorded_message(
    command_folder: Path, monkeypatch: pytest.MonkeyPatch, command: str, expected: str
) -> None:
    monkeypatch.chdir(command_folder)
    for name in [name for name in os.environ if name.endswith("_API_KEY") or name.startswith("EVALS_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    assert message_of(command) == expected


if __name__ == "__main__":
    os.environ["HF_HUB_OFFLINE"] = "1"
    commands = [command for command, _ in blocks()]
    folder = Path(sys.argv[1])
    folder.mkdir()
    write_inputs(folder)
    os.chdir(folder)
    MESSAGES.write_text(
        "\n\n".join(f"$ {command}\n{message_of(command)}" for command in commands) + "\n", encoding="utf-8"
    )
