"""The dashboard's figures on 2,000,000 records, beside the floor: `python -m tests.performance.bench_dashboard`.

A page of Streamlit with a heading and three numbers is the floor: what Chromium and Streamlit cost by themselves on the
machine and in the minute at hand. Bars: leaderboard cold half a second above the floor and warm under 0.8 s, a sample under
0.7 s, two runs of 12,032 samples compared under 1.5 s, memory under 400 MB, of which 100 for mapped files.
"""

from __future__ import annotations

import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

from playwright.sync_api import sync_playwright

from tests.performance import make_board
from tests.support import pages

FLOOR = 'import pandas as pd\nimport streamlit as st\nst.title("Floor")\nst.dataframe(pd.DataFrame({"a": [1, 2, 3]}))\n'


class Figure(NamedTuple):
    """One measured number and what it may be."""

    name: str
    value: float
    bar: float
    unit: str = "s"

    def __str__(self) -> str:
        return f"{self.name:<48}{self.value:8.2f} {self.unit}  (bar {self.bar:g})"


@contextmanager
def floor(folder: Path) -> Iterator[str]:
    """Serve the least page that Streamlit can show."""
    import subprocess

    script, port = folder / "floor.py", pages.free_port()
    script.write_text(FLOOR)
    flags = ["--server.headless=true", f"--server.port={port}", "--server.fileWatcherType=none"]
    command = [
        sys.executable,
        "-m",
        "streamlit",
        "run",
        str(script),
        *flags,
        "--browser.gatherUsageStats=false",
    ]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        pages.wait_for(port)
        yield f"http://localhost:{port}"
    finally:
        process.terminate()
        process.wait(20)


def opened(page: Any, address: str, selector: str) -> float:
    """Open an address; gives the seconds until what it is opened for is there."""
    begun = time.monotonic()
    page.goto(address, wait_until="commit")
    page.wait_for_selector(selector, timeout=120_000)
    taken = time.monotonic() - begun
    pages.wait_until_stable(page, timeout_s=120)
    return taken


DRAWN = "text=Run details"
"""What the page Sample draws last."""
TABLE = '[data-testid="stDataFrame"] canvas'


def leaderboard(browser: Any, address: str, name: str, bars: tuple[float, float]) -> list[Figure]:
    """First paint in a fresh profile of a fresh server, then again."""
    context = browser.new_context(viewport={"width": 1440, "height": 900})
    page = context.new_page()
    cold = opened(page, address, TABLE)
    warm = min(opened(page, address, TABLE) for _ in range(3))
    context.close()
    return [Figure(f"{name}, cold", cold, bars[0]), Figure(f"{name}, warm", warm, bars[1])]


def private_mb(pid: int) -> float:
    """Return the most memory a process had, in MB, without the files that it maps.

    Of the libraries' files the kernel counts what lies in its cache: 77 MB in one checkout, 124 in a fresh one with the
    same packages. They are shared and can be dropped. With 100 for them, 300 is the bar of 400 for all of it.
    """
    lines = (line.split() for line in Path(f"/proc/{pid}/status").read_text().splitlines())
    kib = {line[0].rstrip(":"): int(line[1]) for line in lines if line[-1] == "kB"}
    return (kib["VmHWM"] - kib["RssFile"]) / 1024


def measure(results: Path) -> list[Figure]:
    """Measure all of it, the floor first."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=pages.chromium(), args=list(pages.FLAGS))
        with floor(results.parent) as address:
            found = leaderboard(browser, address, "floor: Streamlit's least page", (3, 1))
        with pages.serve(results) as (address, process):
            found += leaderboard(browser, address, "leaderboard", (found[0].value + 0.5, 0.8))
            page = browser.new_page(viewport={"width": 1440, "height": 900})
            opened(page, f"{address}/runs", "h1")
            two = [f"made-{number:05}" for number in (1200, 1201)]
            compare = opened(page, f"{address}/compare?runs={two[0]}&runs={two[1]}", TABLE)
            found.append(Figure("compare, two runs of 12,032 samples", compare, 1.5))
            first = f"{address}/sample?run={two[0]}&suite=mmlu-pro"
            opened(page, first, DRAWN)
            found.append(Figure("sample", opened(page, first, DRAWN), 0.7))
            found.append(Figure("memory of the server at its most", private_mb(process.pid), 300, "MB"))
        browser.close()
    return found


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as folder:
        made = Path(folder) / "results"
        make_board.build(made)
        for figure in measure(made):
            print(figure)
