"""Measure a results folder of 10,000,000 records in 830 runs: `python -m tests.performance.bench_scale [FOLDER]`.

Measured are `evals show FOLDER`, `evals show --pivot`, the index of the dashboard's first table and the ranks of its models,
each in a new process: first after dropping the folder's files from the page cache, then again. The first three are also
measured on a copy of the folder, whose files have other times and were not written by this installation. FOLDER is kept.
Limits: 2 s of CPU time, which depends little on how busy the machine is (2.5 s for the copy; 8 s for the ranks), and
400 MB with all workers.
"""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from tests.performance import make_board
from tests.performance.workbench import Measurement, evals_command, measure_command

MODELS, SAMPLES = 83, 12_049
"""83 models x 10 suites x 12,049 samples: 830 runs, 10,000,670 records."""
LIMIT_S, LIMIT_MB = 2.0, 400.0
COPIED_LIMIT_S = 2.5
"""For a copied folder without a cache: all its files are hashed and decoded first, which took 1.9 to 2.2 s."""
RANKS_LIMIT_S = 8.0
"""For comparing all pairs of 83 models, sample by sample, which the page does after it shows the table."""
INDEX = """
import os, sys
from pathlib import Path
from evals.dashboard.warm import preload_first_page
board = preload_first_page(Path(sys.argv[1]))
print(len(board.cells))
sys.stdout.flush()
os._exit(0)  # does not wait for the background threads of a server
"""


RANKS = """
import os, sys
from pathlib import Path
from evals.dashboard.tables.significance import rank_models
from evals.dashboard.warm import preload_first_page
board = preload_first_page(Path(sys.argv[1]))
label = next(iter(board.columns))
runs = board.runs(label)
print(rank_models(board.columns[label], runs).pairs)
sys.stdout.flush()
os._exit(0)
"""


class Figure(NamedTuple):
    """Resources that one command used on one folder."""

    name: str
    wall_s: float
    cpu_s: float
    peak_mb: float

    def is_over(self, slack: float = 1.0) -> bool:
        """Return whether the CPU time is over its limit times `slack`, or the memory over its limit."""
        limit_s = LIMIT_S
        if "ranks" in self.name:
            limit_s = RANKS_LIMIT_S
        elif self.name.startswith("copied"):
            limit_s = COPIED_LIMIT_S
        return self.cpu_s > slack * limit_s or self.peak_mb > LIMIT_MB

    def __str__(self) -> str:
        """Return the line of the report."""
        verdict = "OVER" if self.is_over() else "ok"
        return f"{self.name:<44} {self.wall_s:6.2f} s {self.cpu_s:6.2f} s of CPU {self.peak_mb:5.0f} MB  {verdict}"


def drop_from_page_cache(folder: Path) -> None:
    """Drop the files of a folder from the page cache."""
    os.sync()  # pages that are not on the disk yet cannot be dropped
    for path in folder.rglob("*"):
        if path.is_file():
            descriptor = os.open(path, os.O_RDONLY)
            os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
            os.close(descriptor)


def commands(results: Path) -> dict[str, Sequence[object]]:
    """Return the commands that are measured, by name."""
    return {
        "show FOLDER": evals_command("show", results),
        "show --pivot": evals_command("show", "--pivot", "--results", results),
        "index of the dashboard": [sys.executable, "-c", INDEX, results],
        "ranks of the first column": [sys.executable, "-c", RANKS, results],
    }


def measure(results: Path, *, kind: str, cache: Path) -> list[Figure]:
    """Measure all commands on a folder, cold and warm, with `cache` as the folder of the user's caches."""
    figures = []
    for name, command in commands(results).items():
        for state in ("cold", "warm"):
            if state == "cold":
                drop_from_page_cache(results)
            measurement: Measurement = measure_command(command, env={"XDG_CACHE_HOME": str(cache)})
            if measurement.status:
                raise RuntimeError(f"{name}: {measurement.err}")
            figures.append(
                Figure(f"{kind}: {name}, {state}", measurement.wall_s, measurement.cpu_s, measurement.peak_mb)
            )
    return figures


def measure_original_and_copy(folder: Path, *, models: int = MODELS, samples: int = SAMPLES) -> list[Figure]:
    """Build the results folder and its copy unless they exist, and measure both."""
    original, copy = folder / "own", folder / "copied"
    cache = folder / "cache"
    os.environ["XDG_CACHE_HOME"] = str(cache)
    if not original.exists():
        make_board.build(original, models=models, protocols=("official",), samples=samples, large=0)
    if not copy.exists():
        shutil.copytree(original, copy, copy_function=shutil.copyfile)
    figures = measure(original, kind="own", cache=cache)
    for number, (name, command) in enumerate(list(commands(copy).items())[:-1]):
        drop_from_page_cache(copy)
        empty = folder / f"no cache {number}"
        shutil.rmtree(empty, ignore_errors=True)
        measurement = measure_command(command, env={"XDG_CACHE_HOME": str(empty)})
        if measurement.status:
            raise RuntimeError(f"{name}: {measurement.err}")
        figures.append(
            Figure(f"copied: {name}, cold", measurement.wall_s, measurement.cpu_s, measurement.peak_mb)
        )
    return figures


def main() -> int:
    """Print the figures; return 1 if one is over its limits."""
    if len(sys.argv) > 1:
        figures = measure_original_and_copy(Path(sys.argv[1]))
    else:
        with tempfile.TemporaryDirectory() as folder:
            figures = measure_original_and_copy(Path(folder))
    print(f"load {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores")
    for figure in figures:
        print(figure)
    return int(any(figure.is_over() for figure in figures))


if __name__ == "__main__":
    sys.exit(main())
