"""Progress bars fit the width of the terminal, there is one for each suite, and their final state stays on the screen."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.paths import ROOT

pty = pytest.importorskip("pty", reason="needs a Unix terminal")
ESCAPE_CODES = re.compile("\x1b\\[[0-9;]*[A-Za-z]")


def run_on_a_terminal(columns: int, *arguments: str) -> str:
    """Run the command with a terminal of this width as its standard error, and return what it writes there."""
    master, terminal = pty.openpty()
    import fcntl
    import struct
    import termios

    fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack("HHHH", 30, columns, 0, 0))
    env = {**os.environ, "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-c", "from evals.cli import main; main()", *arguments]
    process = subprocess.Popen(command, stdin=terminal, stdout=subprocess.DEVNULL, stderr=terminal, env=env)
    os.close(terminal)
    output = b""
    while True:
        try:
            chunk = os.read(master, 65_536)
        except OSError:  # the command has closed the terminal
            break
        if not chunk:
            break
        output += chunk
    os.close(master)
    assert process.wait(60) in (0, 1), output
    return output.decode()


@pytest.mark.parametrize("columns", [60, 120])
def test_bars_fit_the_terminal_and_remain_visible(columns: int, tmp_path: Path) -> None:
    arguments = (
        "run",
        "mmlu-pro",
        "aime:2025",
        "--sample",
        "-m",
        "scripted:ANSWER: {C}",
        "--results",
        str(tmp_path),
    )
    output = run_on_a_terminal(columns, *arguments)
    lines = [ESCAPE_CODES.sub("", line) for line in re.split(r"[\r\n]+", output)]
    bars = [line for line in lines if "16/16" in line or "12/12" in line]
    assert {line.split()[0] for line in bars} == {"mmlu-pro", "aime:2025"}
    assert max(map(len, lines)) <= columns


@pytest.mark.parametrize("columns", [60, 120])
def test_each_model_has_a_bar_for_each_suite(columns: int, tmp_path: Path) -> None:
    models = ("-m", "demo:careful", "-m", "demo:careless", "--results", str(tmp_path))
    output = run_on_a_terminal(columns, "run", "mmlu-pro", "gpqa", "--sample", *models)
    lines = [ESCAPE_CODES.sub("", line) for line in re.split(r"[\r\n]+", output)]
    names = {tuple(line.split()[:2]) for line in lines if "16/16" in line or "12/12" in line}
    assert names == {
        (f"{model}:", suite) for model in ("careful", "careless") for suite in ("mmlu-pro", "gpqa:diamond")
    }
    assert max(map(len, lines)) <= columns
