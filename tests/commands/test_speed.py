"""Commands respond fast: CPU time and memory of commands, each in a process of its own."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

import pytest

from tests.performance.bench import slowdown
from tests.support import many_runs

PROGRAM = """
import resource, sys
from evals.cli import main
sys.argv = ["evals", *sys.argv[1:]]
try:
    main()
finally:
    usage = resource.getrusage(resource.RUSAGE_SELF)
    status = open("/proc/self/status").read()  # ru_maxrss counts the parent's memory, too
    print(usage.ru_utime + usage.ru_stime, status.partition("VmHWM:")[2].split()[0], file=sys.stderr)
"""


class Usage(NamedTuple):
    """Resources that a command used."""

    cpu_s: float
    mib: float


def usage_of(*arguments: object) -> Usage:
    """Run a command twice and return the usage with less CPU time; the first run may have to compile modules."""
    usages = []
    for _ in range(2):
        process = subprocess.run(
            [sys.executable, "-c", PROGRAM, *map(str, arguments)], capture_output=True, text=True, timeout=60, check=False
        )  # fmt: skip
        assert process.returncode == 0, process.stderr
        cpu, kib = process.stderr.splitlines()[-1].split()
        usages.append(Usage(float(cpu), float(kib) / 1024))
    return min(usages)


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a results folder with at least sixty runs."""
    folder = tmp_path_factory.mktemp("many")
    for name in ("a", "b"):
        many_runs.build(folder / name)
    merged = folder / "a"
    for run in (folder / "b").glob("*@*/*/*"):
        target = merged / run.parent.relative_to(folder / "b") / f"{run.name}-b"
        target.parent.mkdir(parents=True, exist_ok=True)
        run.rename(target)
    assert len(list(merged.glob("*@*/*/*/card.json"))) >= 60
    return merged


def test_help_is_printed_fast() -> None:
    cpu_s, mib = usage_of("--help")
    assert cpu_s < 0.4 * slowdown()
    assert mib < 40


@pytest.mark.slow
@pytest.mark.parametrize("arguments", [("show",), ("show", "--runs"), ("show", "--pivot"), ("list", "runs")])
def test_many_runs_are_shown_fast(results: Path, arguments: tuple[str, ...]) -> None:
    cpu_s, mib = usage_of(*arguments, "--results", results)
    assert cpu_s < 1.5 * slowdown()
    assert mib < 80
