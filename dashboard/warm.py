"""Loads what the first page needs before a browser asks for it: two seconds of imports, and the index of runs."""

from __future__ import annotations

from importlib import import_module
from pathlib import Path
from threading import Thread

FIRST = ("pandas.io.formats.style", "evals.dashboard.tables.styling")
LATER = ("duckdb", "scipy.special", "evals.dashboard.tables.significance", "altair")


def warm(results: Path) -> None:
    """Load what the table is made of; what other pages need follows in a thread of its own."""
    from evals.dashboard.tables.frames import index
    from evals.dashboard.tables.leaderboard import build

    for name in FIRST:
        import_module(name)
    build(index(results).entries)
    Thread(target=lambda: [import_module(name) for name in LATER], daemon=True).start()
