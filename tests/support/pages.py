"""The dashboard in a real browser: serve a folder, open pages in Chromium, wait until they are stable, check them."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from http.client import HTTPConnection
from pathlib import Path
from typing import Any, NamedTuple

from tests.support.paths import ROOT

AXE = ROOT / "tests" / "browser" / "node_modules" / "axe-core" / "axe.min.js"
SCREENSHOTS = ROOT / "screenshots"
FLAGS = (
    "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync",
)  # fmt: skip
PROBES = ("/_stcore/health", "/_stcore/host-config")
"""Streamlit's client looks for its server below the page's own path first; those two 404 errors are expected."""


def chromium() -> str:
    """Return the path of Chromium; empty if there is none."""
    return os.environ.get("EVALS_CHROMIUM") or shutil.which("chromium") or ""


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextmanager
def serve(results: Path, *arguments: str) -> Iterator[tuple[str, subprocess.Popen[bytes]]]:
    """Run `evals dashboard` on a results folder; yields its address and its process."""
    port = free_port()
    command = [
        sys.executable,
        "-c",
        "from evals.cli import main; main()",
        "dashboard",
        "--results",
        str(results),
    ]
    process = subprocess.Popen([*command, "--no-browser", "--port", str(port), *arguments], cwd=ROOT)
    try:
        wait_for(port)
        yield f"http://localhost:{port}", process
    finally:
        process.terminate()
        process.wait(20)


def wait_for(port: int, *, timeout_s: float = 90) -> None:
    """Wait until the server answers; raises OSError."""
    end = time.monotonic() + timeout_s
    while True:
        try:
            with closing(HTTPConnection("127.0.0.1", port, timeout=2)) as connection:
                connection.request("GET", "/_stcore/health")
                assert connection.getresponse().read() == b"ok"
            return
        except OSError:
            if time.monotonic() > end:
                raise
            time.sleep(0.1)


class SideEffects(NamedTuple):
    """Side effects of a page: errors and requests."""

    errors: list[str]
    external_urls: list[str]
    """URLs requested from other hosts."""


def record_side_effects(page: Any, base: str) -> SideEffects:
    """Record console errors, failed scripts and requests to other hosts."""
    effects = SideEffects([], [])

    def record_error(message: Any) -> None:
        is_probe = any(probe in (message.location or {}).get("url", "") for probe in PROBES)
        if message.type == "error" and not is_probe:
            effects.errors.append(message.text)

    def record_request(request: Any) -> None:
        if not request.url.startswith((base, base.replace("http", "ws", 1), "data:", "blob:")):
            effects.external_urls.append(request.url)

    page.on("console", record_error)
    page.on("pageerror", lambda error: effects.errors.append(str(error)))
    page.on("request", record_request)
    return effects


def wait_until_stable(page: Any, *, timeout_s: float = 60) -> None:
    """Wait until the script has run and the page's height has not changed for 0.75 s."""
    page.wait_for_selector("h1", timeout=timeout_s * 1000)
    page.wait_for_selector(
        '[data-test-script-state="notRunning"]', state="attached", timeout=timeout_s * 1000
    )
    height, unchanged, end = -1.0, 0, time.monotonic() + timeout_s
    while unchanged < 3 and time.monotonic() < end:
        page.wait_for_timeout(250)
        now = page.evaluate("() => document.querySelector('[data-testid=stMain]').scrollHeight")
        unchanged, height = (unchanged + 1, now) if now == height else (0, now)


def screenshot(page: Any, name: str) -> Path:
    """Take a screenshot of the whole page, as wide as its window."""
    SCREENSHOTS.mkdir(exist_ok=True)
    width = page.viewport_size["width"]
    height = page.evaluate("() => document.querySelector('[data-testid=stMain]').scrollHeight")
    page.set_viewport_size({"width": width, "height": int(min(6000, max(900, height)))})
    page.wait_for_timeout(600)
    path = SCREENSHOTS / f"{name}.png"
    page.screenshot(path=path)
    page.set_viewport_size({"width": width, "height": 900})
    return path


def accessibility_faults(page: Any) -> list[str]:
    """Return the serious and critical findings of axe-core, with the first element of each.

    Elements that are redrawn every few seconds fade for a moment, so a finding counts only if it occurs twice.
    """
    page.add_script_tag(path=str(AXE))
    if not _faults(page):
        return []
    page.wait_for_timeout(1300)
    return _faults(page)


def _faults(page: Any) -> list[str]:
    report = page.evaluate("() => axe.run(document, {resultTypes: ['violations']})")
    return [
        f"{violation['id']}: {violation['help']} ({len(violation['nodes'])}x, {violation['nodes'][0]['html'][:160]})"
        for violation in report["violations"]
        if violation["impact"] in ("serious", "critical")
    ]
