"""The terminal answers at once: CPU seconds and memory of commands as processes of their own."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

import pytest

from tests.support import many_runs

MEASURED = """
import resource, sys
from evals.cli import main
sys.argv = ["evals", *sys.argv[1:]]
try:
    main()
finally:
    used = resource.getrusage(resource.RUSAGE_SELF)
    status = open("/proc/self/status").read()  # ru_maxrss counts the parent's memory, too
    print(used.ru_utime + used.ru_stime, status.partition("VmHWM:")[2].split()[0], file=sys.stderr)
"""


class Used(NamedTuple):
    cpu_s: float
    mib: float


def used(*words: object) -> Used:
    """The better of two runs: the first may compile modules."""
    figures = []
    for _ in range(2):
        done = subprocess.run(
            [sys.executable, "-c", MEASURED, *map(str, words)], capture_output=True, text=True, timeout=60, check=False
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        cpu, kib = done.stderr.splitlines()[-1].split()
        figures.append(Used(float(cpu), float(kib) / 1024))
    return min(figures)


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("many")
    for part in ("a", "b"):
        many_runs.build(folder / part)
    merged = folder / "a"
    for run in (folder / "b").glob("*@*/*/*"):
        place = merged / run.parent.relative_to(folder / "b") / f"{run.name}-b"
        place.parent.mkdir(parents=True, exist_ok=True)
        run.rename(place)
    assert len(list(merged.glob("*@*/*/*/card.json"))) >= 60
    return merged


def test_help_starts_fast() -> None:
    cpu_s, mib = used("--help")
    assert cpu_s < 0.4
    assert mib < 40


@pytest.mark.parametrize("words", [("show",), ("show", "--runs"), ("show", "--pivot"), ("list", "runs")])
def test_many_runs_are_shown_fast(results: Path, words: tuple[str, ...]) -> None:
    cpu_s, mib = used(*words, "--results", results)
    assert cpu_s < 1.5
    assert mib < 80
