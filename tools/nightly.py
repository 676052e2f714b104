"""Run every check, the longest ones too, and write what came of them: `make nightly`.

The table goes to docs/nightly.md: date, commit, and per part how many tests passed, failed and were skipped, and how
long it took. Exit status 1 if anything failed.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import time
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parent.parent
PAGE = ROOT / "docs" / "nightly.md"
PARTS = {
    "fast": ("-m", "not slow and not nightly", "-n", "auto", "--dist", "loadfile"),
    "real components": ("-m", "slow and not alone and not nightly", "-n", "2", "--dist", "loadfile"),
    "measured alone": ("-m", "slow and alone and not nightly"),
    "nightly only": ("-m", "nightly"),
}
"""Name -> arguments of pytest."""
LONGER = {"EVALS_FUZZ_S": "600", "EVALS_KILLS": "50"}
"""How long files are mangled, and how often commands are killed."""
COUNT = re.compile(r"(\d+) (passed|failed|skipped|errors?)")


class Part(NamedTuple):
    """What came of one part."""

    name: str
    counts: dict[str, int]
    minutes: float
    status: int


def run(name: str, arguments: tuple[str, ...]) -> Part:
    """Run one part; its output goes to the terminal, its last line is read."""
    began = time.monotonic()
    command = [sys.executable, "-m", "pytest", "-q", *arguments]
    last = ""
    with subprocess.Popen(
        command, cwd=ROOT, env=os.environ | LONGER, stdout=subprocess.PIPE, text=True
    ) as process:
        for line in process.stdout or ():
            sys.stdout.write(line)
            last = line.strip() or last
    counts = {
        what.rstrip("s") if what.startswith("error") else what: int(n) for n, what in COUNT.findall(last)
    }
    return Part(name, counts, (time.monotonic() - began) / 60, process.returncode)


def page(parts: list[Part], commit: str) -> str:
    """The page that is committed."""
    rows = [
        f"| {p.name} | {p.counts.get('passed', 0)} | {p.counts.get('failed', 0) + p.counts.get('error', 0)} "
        f"| {p.counts.get('skipped', 0)} | {p.minutes:.1f} |"
        for p in parts
    ]
    head = f"Last run: {time.strftime('%Y-%m-%d', time.gmtime())}, commit {commit}. Written by `make nightly`; do not edit."
    table = ["| part | passed | failed | skipped | minutes |", "|---|--:|--:|--:|--:|", *rows]
    return "\n".join(["# The last whole run", "", head, "", *table, ""])


def main() -> int:
    """Run all parts and write the page."""
    git = ["git", "-C", str(ROOT), "rev-parse", "--short", "HEAD"]
    commit = subprocess.run(git, capture_output=True, text=True, check=True).stdout.strip()
    parts = [run(name, arguments) for name, arguments in PARTS.items()]
    PAGE.write_text(page(parts, commit), encoding="utf-8")
    return int(any(part.status for part in parts))


if __name__ == "__main__":
    sys.exit(main())
