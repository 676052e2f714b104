"""The text of every message that matters, in one file: `tests/cases/messages.txt`. Other tests assert an error's kind.

A block is a command line as somebody types it, and the line that answers. `python -m tests.commands.test_message_texts`
writes the file anew; look at the difference before you commit it.
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

FILE = ROOT / "tests" / "cases" / "messages.txt"
FILES = {
    "text.txt": "hello\n",
    "request.toml": 'suites = ["gpqa"]\nmodles = ["x"]\n',
    "policy.toml": 'alpha = 0.05\n\n[[suite]]\nname = "mmlu-pro"\nmargin = 0.1\n',
    "wrong.toml": 'margin = 1\n[[suite]]\nname = "gpqa"\n',
    "tier.toml": '[[suite]]\nname = "gpqa"\nmargin = 0.1\ntier = "crucial"\n',
    "strange.jsonl": '{"id": "1", "response": "hi"}\n',
}
SUITES = ("mmlu-pro", "gpqa", "aime:2025")


def blocks() -> Iterator[tuple[str, str]]:
    for block in FILE.read_text(encoding="utf-8").split("\n\n"):
        command, _, answer = block.strip().partition("\n")
        if command.startswith("$ evals"):
            yield command.removeprefix("$ "), answer


def build(folder: Path) -> None:
    """Two models on three suites, and files that are not what a command wants."""
    for name, text in FILES.items():
        (folder / name).write_text(text)
    for name in ("careful", "careless"):
        words = ("--sample", "-m", f"demo:{name}", "--run", name, "--quiet", "--results", folder / "results")
        assert evals("run", *SUITES, *words).status == 0


def answer(command: str) -> str:
    """The last line on standard error, else the first on standard output; paths of this checkout are `CHECKOUT`."""
    done = evals(*shlex.split(command)[1:])
    assert "Traceback" not in done.err
    line = done.err.strip().splitlines()[-1] if done.err.strip() else done.out.strip().splitlines()[0]
    return line.replace(str(ROOT), "CHECKOUT")


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("messages")
    build(folder)
    return folder


@pytest.mark.parametrize(
    ("command", "expected"),
    [
        pytest.param(*block, marks=pytest.mark.slow if " lm-eval:" in block[0] else ())  # loads all its tasks
        for block in blocks()
    ],
)
def test_a_mistake_is_answered_in_one_clear_line(
    place: Path, monkeypatch: pytest.MonkeyPatch, command: str, expected: str
) -> None:
    monkeypatch.chdir(place)
    for name in [name for name in os.environ if name.endswith("_API_KEY") or name.startswith("EVALS_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    assert answer(command) == expected


if __name__ == "__main__":
    os.environ["HF_HUB_OFFLINE"] = "1"
    commands = [command for command, _ in blocks()]
    folder = Path(sys.argv[1])
    folder.mkdir()
    build(folder)
    os.chdir(folder)
    FILE.write_text(
        "\n\n".join(f"$ {command}\n{answer(command)}" for command in commands) + "\n", encoding="utf-8"
    )
