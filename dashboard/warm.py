"""Loads what the first page needs while the browser is still opening: two seconds of imports, and the index."""

from __future__ import annotations

from importlib import import_module
from pathlib import Path

MODULES = ("pandas.io.formats.style", "duckdb", "scipy.special", "dashboard.ties", "dashboard.heat", "altair")


def warm(results: Path) -> None:
    """Load modules and read all cards."""
    from dashboard.board import build
    from dashboard.frames import index

    build(index(results).entries)
    for name in MODULES:
        import_module(name)
