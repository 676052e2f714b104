"""More concurrent calls than a process may have open files: the limit is raised if possible, otherwise fewer calls are made."""

from __future__ import annotations

import json
import shlex
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.support.faults import Answer, FaultyServer, completion


def write_rows(path: Path, count: int) -> Path:
    """Write rows of MMLU-Pro to a file; return its path."""
    row = {
        "options": ["a", "b"],
        "answer": "A",
        "answer_index": 0,
        "category": "math",
        "cot_content": "",
        "src": "",
    }
    lines = (json.dumps(row | {"question_id": n, "question": f"What is {n}?"}) for n in range(count))
    path.write_text("\n".join(lines))
    return path


@pytest.mark.slow
@pytest.mark.parametrize("limit", ["-Sn 128", "-n 128"])
def test_a_run_with_more_calls_than_allowed_open_files_is_complete(here: Path, limit: str) -> None:
    def answer_slowly(call: object) -> Answer:
        time.sleep(0.3)
        return completion("ANSWER: A")

    with FaultyServer(answer_slowly) as server:
        arguments = [
            "run",
            "mmlu-pro",
            "--data",
            str(write_rows(here / "rows.jsonl", 400)),
            "-m",
            server.model,
        ]
        command = [sys.executable, "-c", "from evals.cli import main; main()", *arguments]
        options = ["--concurrency", "200", "--quiet", "--json", "--max-tokens", "9"]
        script = f"ulimit {limit}; exec {shlex.join([*command, *options])}"
        completed = subprocess.run(
            ["bash", "-c", script], capture_output=True, text=True, timeout=300, check=False
        )
    assert completed.returncode == 0, completed.stderr
    assert json.loads(completed.stdout)["runs"][0]["counts"] == {"right": 400}
