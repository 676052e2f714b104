"""A real PostgreSQL server, from Debian's package, for a test."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.support.pages import free_port

USER = "evals"
PASSWORD = "a-password-that-must-not-be-shown"


def programs() -> Path | None:
    """Return the folder of `initdb` and `postgres`; None if PostgreSQL is not installed."""
    installed = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"))
    on_path = shutil.which("initdb")
    return installed[-1].parent if installed else Path(on_path).resolve().parent if on_path else None


@contextmanager
def serve(folder: Path) -> Iterator[int]:
    """Serve an empty cluster with password authentication; yields its port."""
    # other users, such as postgres, cannot read pytest's folders
    with tempfile.TemporaryDirectory(prefix="evals-pg-") as server_folder:
        yield from _served(folder, Path(server_folder))


def _served(programs_: Path, server_folder: Path) -> Iterator[int]:
    port = free_port()
    (server_folder / "password").write_text(PASSWORD)
    as_user: list[str] = []
    if os.geteuid() == 0:  # PostgreSQL refuses to run as root
        shutil.chown(server_folder, "postgres")
        (server_folder / "password").chmod(0o644)
        as_user = ["runuser", "-u", "postgres", "--"]
    data = str(server_folder / "data")
    initdb = [*as_user, str(programs_ / "initdb"), "-D", data, "-U", USER, "-A", "scram-sha-256", "-N"]
    subprocess.run(
        [*initdb, f"--pwfile={server_folder / 'password'}"],
        check=True,
        capture_output=True,
        cwd="/",
        timeout=120,
    )
    words = [
        str(programs_ / "postgres"),
        "-D",
        data,
        "-k",
        str(server_folder),
        "-h",
        "127.0.0.1",
        "-p",
        str(port),
        "-F",
    ]
    log = (server_folder / "log").open("wb")
    process = subprocess.Popen([*as_user, *words], stdout=log, stderr=log, cwd="/")
    try:
        _wait_for(port, server_folder / "log")
        yield port
    finally:
        stop = [*as_user, str(programs_ / "pg_ctl"), "-D", data, "-m", "immediate", "stop"]
        subprocess.run(stop, check=False, capture_output=True, cwd="/", timeout=60)
        process.wait(30)
        log.close()


def _wait_for(port: int, log: Path) -> None:
    for _ in range(600):
        if b"ready to accept connections" in log.read_bytes():
            socket.create_connection(("127.0.0.1", port), timeout=5).close()
            return
        time.sleep(0.1)
    raise TimeoutError(log.read_text()[-2000:])
