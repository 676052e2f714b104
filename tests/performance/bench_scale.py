"""A results folder of 10,000,000 records in 830 runs: `python -m tests.performance.bench_scale [FOLDER]`.

Measured are `evals show FOLDER`, `evals show --pivot` and the index of the dashboard's first table, each in a new process:
once with the files out of the page cache (of the folder alone, so that no other program is slowed down), then again. The
same for a copy of the folder, whose files have other times and were not written by this installation. FOLDER is kept.
Bars: 2 s of CPU (which is what a busy machine does not change; 2.5 s for a copied folder) and 400 MB with all workers.
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
from tests.performance.workbench import Measured, evals, measured

MODELS, SAMPLES = 83, 12_049
"""83 models x 10 suites x 12,049 samples: 830 runs, 10,000,670 records."""
BAR_S, BAR_MB = 2.0, 400.0
COPIED_BAR_S = 2.5
"""For a copied folder without a cache, whose files are all hashed and decoded first: 1.9 to 2.2 s were measured."""
RANKS_BAR_S = 8.0
"""For comparing all pairs of 83 models, sample by sample, which the page does after it shows the table."""
INDEX = """
import os, sys
from pathlib import Path
from evals.dashboard.warm import preload_first_page
board = preload_first_page(Path(sys.argv[1]))
print(len(board.cells))
sys.stdout.flush()
os._exit(0)  # as a server, it would go on
"""


RANKS = """
import os, sys
from pathlib import Path
from evals.dashboard.tables.significance import rank_models
from evals.dashboard.warm import preload_first_page
board = preload_first_page(Path(sys.argv[1]))
label = next(iter(board.columns))
runs = {row: cell.entry for row, cell in board.column(label).items() if cell.entry}
print(rank_models(board.columns[label], runs).pairs)
sys.stdout.flush()
os._exit(0)
"""


class Figure(NamedTuple):
    """One command on one folder."""

    name: str
    wall_s: float
    cpu_s: float
    peak_mb: float

    @property
    def over(self) -> bool:
        """Whether it is over its bars."""
        bar = (
            RANKS_BAR_S if "ranks" in self.name else COPIED_BAR_S if self.name.startswith("copied") else BAR_S
        )
        return self.cpu_s > bar or self.peak_mb > BAR_MB

    def __str__(self) -> str:
        """Return the line of the report."""
        verdict = "OVER" if self.over else "ok"
        return f"{self.name:<44} {self.wall_s:6.2f} s {self.cpu_s:6.2f} s of CPU {self.peak_mb:5.0f} MB  {verdict}"


def forget(folder: Path) -> None:
    """Drop the files of a folder from the page cache."""
    os.sync()  # what is not on the disk yet cannot be dropped
    for path in folder.rglob("*"):
        if path.is_file():
            descriptor = os.open(path, os.O_RDONLY)
            os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
            os.close(descriptor)


def commands(results: Path) -> dict[str, Sequence[object]]:
    """Return what is measured."""
    return {
        "show FOLDER": evals("show", results),
        "show --pivot": evals("show", "--pivot", "--results", results),
        "index of the dashboard": [sys.executable, "-c", INDEX, results],
        "ranks of the first column": [sys.executable, "-c", RANKS, results],
    }


def measure(results: Path, *, kind: str, cache: Path) -> list[Figure]:
    """Measure all commands on a folder, cold and warm. `cache`: an empty folder for what this user's installation knows."""
    figures = []
    for name, command in commands(results).items():
        for state in ("cold", "warm"):
            if state == "cold":
                forget(results)
            done: Measured = measured(command, env={"XDG_CACHE_HOME": str(cache)})
            if done.status:
                raise RuntimeError(f"{name}: {done.err}")
            figures.append(Figure(f"{kind}: {name}, {state}", done.wall_s, done.cpu_s, done.peak_mb))
    return figures


def both(folder: Path, *, models: int = MODELS, samples: int = SAMPLES) -> list[Figure]:
    """Make the folder if it is not there, and measure it and its copy."""
    own, copy = folder / "own", folder / "copied"
    known = folder / "cache"
    os.environ["XDG_CACHE_HOME"] = str(known)
    if not own.exists():
        make_board.build(own, models=models, protocols=("official",), samples=samples, large=0)
    if not copy.exists():
        shutil.copytree(own, copy, copy_function=shutil.copyfile)
    figures = measure(own, kind="own", cache=known)
    for number, (name, command) in enumerate(list(commands(copy).items())[:-1]):
        forget(copy)
        empty = folder / f"no cache {number}"
        shutil.rmtree(empty, ignore_errors=True)
        done = measured(command, env={"XDG_CACHE_HOME": str(empty)})
        if done.status:
            raise RuntimeError(f"{name}: {done.err}")
        figures.append(Figure(f"copied: {name}, cold", done.wall_s, done.cpu_s, done.peak_mb))
    return figures


def main() -> int:
    """Print the figures; 1 if one is over its bars."""
    if len(sys.argv) > 1:
        figures = both(Path(sys.argv[1]))
    else:
        with tempfile.TemporaryDirectory() as folder:
            figures = both(Path(folder))
    print(f"load {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores")
    for figure in figures:
        print(figure)
    return int(any(figure.over for figure in figures))


if __name__ == "__main__":
    sys.exit(main())
