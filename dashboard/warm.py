"""Load what the first page needs before a browser asks for it: two seconds of imports, and the index of runs.

Streamlit collects garbage after every run of a page, while the page's last elements still wait to be sent. What was
loaded here is exempt (`gc.freeze`), which takes 0.1 to 0.3 s off every page.
"""

from __future__ import annotations

import gc
from importlib import import_module
from pathlib import Path
from threading import Thread
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from evals.dashboard.tables.leaderboard import Board

FIRST = ("pandas.io.formats.style", "evals.dashboard.tables.styling")
LATER = ("duckdb", "scipy.special", "evals.dashboard.tables.significance", "altair")


def warm(results: Path) -> None:
    """Load what the table is made of; what other pages need follows in a thread of its own."""
    load_first(results)
    gc.collect()
    gc.freeze()
    Thread(target=_load_later, daemon=True).start()


def load_first(results: Path) -> Board:
    """Load what the first table needs, and return what it shows."""
    from evals.dashboard.tables.frames import index
    from evals.dashboard.tables.leaderboard import build

    for name in FIRST:
        import_module(name)
    return build(index(results).entries)


def _load_later() -> None:
    for name in LATER:
        import_module(name)
    gc.collect()
    gc.freeze()
