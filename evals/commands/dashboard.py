"""`evals dashboard`: the results folder in a browser."""

from __future__ import annotations

import errno
import os
import socket
import sys
import time
import webbrowser
from contextlib import suppress
from importlib.util import find_spec
from pathlib import Path
from threading import Thread
from typing import Any

import click

from evals.commands import common
from evals.errors import EvalsError, StoreError, UsageError, install_command
from evals.remote.cache import display_path, is_copy

DEFAULT_PORT = 8501
REFRESH_S = 60.0
"""Interval at which the copy of remote results is refreshed."""


@click.command()
@common.results_option
@click.option("--port", type=click.IntRange(1, 65535), help=f"Default: {DEFAULT_PORT} or the next free port.")
@click.option(
    "--address", default="127.0.0.1", show_default=True, help="Interface to listen on; 0.0.0.0 for all."
)
@click.option("--no-browser", is_flag=True, help="Do not open a browser.")
@click.option(
    "--export",
    "folder",
    type=common.FOLDER,
    metavar="FOLDER",
    help="Write a static copy of the leaderboard (HTML, JSON, CSV) instead of serving.",
)
@click.option(
    "--samples",
    type=click.IntRange(0),
    default=20,
    show_default=True,
    help="With --export: number of samples per run, starting with those that are not right.",
)
def dashboard(
    results: Path, port: int | None, address: str, no_browser: bool, folder: Path | None, samples: int
) -> int:
    """Show leaderboard, comparisons and samples in a browser; the results folder is only read.

    Runs in the foreground until Ctrl-C or SIGTERM.
    """
    missing = [name for name in ("streamlit", "altair", "duckdb") if find_spec(name) is None]
    if missing:
        raise UsageError(f"the dashboard needs {', '.join(missing)}: {install_command('dashboard')}")
    if not results.is_dir():
        raise StoreError(f"no results folder at {results}; `evals run` creates one")
    if folder is not None:
        from evals.dashboard.export import export

        paths = export(results, folder, samples=samples)
        common.note(f"wrote {paths[0]} and {len(paths) - 1} other files")
        return 0
    chosen_port = _free_port(address, port)
    host = "localhost" if address in ("127.0.0.1", "::1", "0.0.0.0", "::") else address  # noqa: S104 - compared
    url = f"http://{_host_and_port(host, chosen_port)}"
    common.note(f"dashboard of {display_path(results)}: {url} (Ctrl-C stops it)")
    if not no_browser:
        Thread(target=_open_browser, args=(url, address, chosen_port), daemon=True).start()
    _serve(results.resolve(), address, chosen_port)
    return 0


def _host_and_port(host: str, port: int) -> str:
    """Return host and port as in a URL, with an IPv6 address in brackets."""
    return f"[{host}]:{port}" if ":" in host and not host.startswith("[") else f"{host}:{port}"


def _open_browser(url: str, address: str, port: int) -> None:
    """Open a browser once the server responds, within 30 seconds; do nothing without a display."""
    if sys.platform == "linux" and not (os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY")):
        return
    for _ in range(300):
        with suppress(OSError), socket.create_connection((address, port), timeout=1):
            webbrowser.open(url)
            return
        time.sleep(0.1)


def _refresh_copy(results: Path) -> None:
    """Refresh the copy of remote results forever; report a repeated failure only once."""
    from evals.records import mirror

    failure = ""
    while True:
        time.sleep(REFRESH_S)
        try:
            mirror.refresh(results)
        except EvalsError as error:
            if str(error) != failure:
                common.note(failure := str(error))
        else:
            failure = ""


def _free_port(address: str, port: int | None) -> int:
    """Return a free port, `port` if given; raises UsageError if there is none."""
    for candidate in range(DEFAULT_PORT, DEFAULT_PORT + 50) if port is None else (port,):
        try:
            family = socket.AF_INET6 if ":" in address else socket.AF_INET
            with socket.socket(family, socket.SOCK_STREAM) as candidate_socket:
                candidate_socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                candidate_socket.bind((address, candidate))
        except TypeError:  # a name outside ASCII that IDNA cannot encode
            raise UsageError(f"cannot listen on {address!r}: it is not an address") from None
        except OSError as error:
            if port is not None or error.errno != errno.EADDRINUSE:
                raise UsageError(
                    f"cannot listen on {_host_and_port(address, candidate)}: {error.strerror or error}"
                ) from None
            continue
        return candidate
    raise UsageError(f"no free port from {DEFAULT_PORT} to {DEFAULT_PORT + 49}; choose one with --port")


def _serve(results: Path, address: str, port: int) -> None:
    """Run Streamlit's server in this process, with its protections on and telemetry off."""
    from evals import dashboard as dashboard_package

    folder = Path(dashboard_package.__path__[0])
    os.chdir(folder)  # a `.streamlit` folder in the current directory could disable the protections below
    from streamlit.web.cli import main as streamlit

    from evals.dashboard.hosts import install_host_check
    from evals.dashboard.state import RESULTS_VARIABLE
    from evals.dashboard.warm import preload

    if is_copy(results):
        Thread(target=_refresh_copy, args=(results,), daemon=True).start()
    preload(results)
    install_host_check(address)
    _stop_without_a_terminal()
    os.environ[RESULTS_VARIABLE] = str(results)
    options = {
        "server.address": address,
        "server.port": port,
        "server.headless": "true",  # otherwise it first asks for an e-mail address
        "server.fileWatcherType": "none",
        "server.enableCORS": "true",
        "server.enableXsrfProtection": "true",
        "server.enableStaticServing": "false",
        "runner.magicEnabled": "false",
        "browser.gatherUsageStats": "false",
        "client.toolbarMode": "minimal",
        "client.showErrorDetails": "type",
        "logger.hideWelcomeMessage": "true",
        "theme.base": folder / "theme.toml",
    }
    flags = [f"--{name}={value}" for name, value in options.items()]
    streamlit(["run", str(folder / "app.py"), *flags], standalone_mode=False)


def _stop_without_a_terminal() -> None:
    """Let Streamlit stop when its terminal or pipe is gone: an error from printing "Stopping..." would keep it running."""
    from streamlit import cli_util

    print_line = cli_util.print_to_cli

    def print_if_possible(message: str, **style: Any) -> None:
        with suppress(OSError):
            print_line(message, **style)

    cli_util.print_to_cli = print_if_possible
