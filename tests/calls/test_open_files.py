"""More calls at once than a process may have open files: the limit is raised if it can be, else fewer calls are made."""

from __future__ import annotations

import json
import shlex
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.support.faults import Answer, FaultyServer, completion


def rows(path: Path, count: int) -> Path:
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
def test_a_run_outlives_the_limit_on_open_files(here: Path, limit: str) -> None:
    def slowly(call: object) -> Answer:
        time.sleep(0.3)
        return completion("ANSWER: A")

    with FaultyServer(slowly) as server:
        words = ["run", "mmlu-pro", "--data", str(rows(here / "rows.jsonl", 400)), "-m", server.model]
        command = [sys.executable, "-c", "from evals.cli import main; main()", *words]
        more = ["--concurrency", "200", "--quiet", "--json", "--max-tokens", "9"]
        text = f"ulimit {limit}; exec {shlex.join([*command, *more])}"
        done = subprocess.run(["bash", "-c", text], capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["runs"][0]["counts"] == {"right": 400}
