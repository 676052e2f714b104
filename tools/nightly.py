"""Run every check, including the longest ones, and write the outcome to docs/nightly.md: `make nightly`.

    python -m tools.nightly [PART ...]

Without arguments all parts run. With arguments only these parts run, and the other rows of the table are kept: each row has
its own date and commit. Exit status 1 if a test failed.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PAGE = ROOT / "docs" / "nightly.md"
BY_FILE = ("--dist", "loadfile", "--no-loadscope-reorder")
"""Tests of one file run in one worker; `tests/conftest.py` has the order of the files."""
PARTS = {
    "fast": ("-m", "not slow and not nightly", "-n", "auto", *BY_FILE),
    "components": ("-m", "slow and not heavy and not alone and not nightly", "-n", "2", *BY_FILE),
    "heavy": ("-m", "heavy and not nightly", "-n", "2", *BY_FILE),
    "alone": ("-m", "alone and not nightly"),
    "pages": ("-m", "nightly", "tests/dashboard"),
    "models": ("-m", "nightly", "tests/interop", "tests/merging", "tests/model_adapters"),
    "statistics": ("-m", "nightly", "tests/conformance", "tests/verdicts"),
    "scale": ("-m", "nightly", "tests/performance", "tests/run"),
    "challenges": ("-m", "nightly", "tests/tools"),
}
"""Name -> arguments of pytest; `tests/tools/test_nightly.py` checks that every test is in one of them."""
FULL_SIZES = {"EVALS_FUZZ_S": "600", "EVALS_KILLS": "50", "EVALS_FULL_SIZE": "1"}
"""Environment of every part: duration of fuzzing, number of kills, full size of simulations."""
TITLE = "# The last nightly run"
INTRODUCTION = (
    "Written by `make nightly` (`python -m tools.nightly PART` repeats one part); do not edit. `fast` is `make test`; "
    "`components`, `heavy` and `alone` are `make slow`; the others run only here."
)
TABLE_HEAD = (
    "| part | passed | failed | skipped | minutes | date | commit |",
    "|---|--:|--:|--:|--:|---|---|",
)
OUTCOME_COUNT = re.compile(r"(\d+) (passed|failed|skipped|errors?)\b")


def run(name: str, commit: str) -> tuple[str, int]:
    """Run one part, with its output on the terminal; return its row of the table and its exit status."""
    started = time.monotonic()
    command = [sys.executable, "-m", "pytest", "-q", *PARTS[name]]
    summary = ""
    env = os.environ | FULL_SIZES
    with subprocess.Popen(command, cwd=ROOT, env=env, stdout=subprocess.PIPE, text=True) as process:
        for line in process.stdout or ():
            sys.stdout.write(line)
            summary = line.strip() or summary
    counts = {outcome.rstrip("s"): int(count) for count, outcome in OUTCOME_COUNT.findall(summary)}
    cells = (
        name,
        counts.get("passed", 0),
        counts.get("failed", 0) + counts.get("error", 0),
        counts.get("skipped", 0),
        f"{(time.monotonic() - started) / 60:.1f}",
        time.strftime("%Y-%m-%d", time.gmtime()),
        commit,
    )
    return f"| {' | '.join(map(str, cells))} |", process.returncode


def rows_of(page: str) -> dict[str, str]:
    """Return the rows of an earlier page, by part."""
    first_cells = {line: line.removeprefix("| ").partition(" |")[0] for line in page.splitlines()}
    return {part: line for line, part in first_cells.items() if part in PARTS}


def main(parts: list[str]) -> int:
    """Run these parts, or all if there are none, and write the page after each."""
    if unknown := set(parts) - set(PARTS):
        print(f"unknown: {', '.join(sorted(unknown))}; the parts are {', '.join(PARTS)}", file=sys.stderr)
        return 2
    git = ["git", "-C", str(ROOT), "rev-parse", "--short", "HEAD"]
    commit = subprocess.run(git, capture_output=True, text=True, check=True).stdout.strip()
    rows = rows_of(PAGE.read_text(encoding="utf-8")) if PAGE.exists() else {}
    failed = False
    for name in parts or PARTS:
        rows[name], status = run(name, commit)
        failed |= bool(status)
        table = [*TABLE_HEAD, *(rows[part] for part in PARTS if part in rows)]
        PAGE.write_text("\n".join([TITLE, "", INTRODUCTION, "", *table, ""]), encoding="utf-8")
    return int(failed)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
