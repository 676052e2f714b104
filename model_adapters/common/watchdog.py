"""Ends a server when the process that started it ends: `python -I watchdog.py GRACE_S COMMAND...`.

It starts the server in its own process group and reads from a pipe (standard input) held by the starting process. When
the pipe closes (that process exited, crashed or was killed with -9) or the server ends, it sends SIGTERM to the whole
group, waits, and kills all processes that are left, itself included. It uses only the standard library.
"""

from __future__ import annotations

import ctypes
import os
import select
import signal
import subprocess
import sys
import time
from pathlib import Path

PR_SET_PDEATHSIG, PR_SET_CHILD_SUBREAPER = 1, 36
POLL_S = 0.2


def main(grace_s: float, command: list[str]) -> None:
    """Run the server until it or the parent ends, or the pipe is closed; then end the process group."""
    for signum in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(signum, lambda *_: None)  # ignored: the parent ends the server by closing the pipe
    parent = os.getppid()
    _prctl(PR_SET_CHILD_SUBREAPER, 1)  # orphaned descendants outside the group are reparented to this process
    server = subprocess.Popen(
        command, stdin=subprocess.DEVNULL, preexec_fn=lambda: _prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    )
    while server.poll() is None and os.getppid() == parent:
        if select.select([0], [], [], POLL_S)[0] and not os.read(0, 1):
            break
    if (status := server.poll()) is not None and status < 0:
        os.write(1, f"killed by signal {-status} ({signal.Signals(-status).name})\n".encode())
    os.killpg(0, signal.SIGTERM)
    deadline = time.monotonic() + (grace_s if server.poll() is None else 1.0)
    while time.monotonic() < deadline and (server.poll() is None or _children()):
        time.sleep(POLL_S / 4)
    while children := _children():  # their children are reparented to this process in turn
        for pid in children:
            os.kill(pid, signal.SIGKILL)
        time.sleep(POLL_S / 10)
    os.killpg(0, signal.SIGKILL)


def _prctl(option: int, value: int) -> None:
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(option, value, 0, 0, 0)


def _children() -> list[int]:
    """Return the ids of living children, including reparented ones; empty if the system does not list them."""
    try:
        pids = [int(pid) for pid in Path(f"/proc/self/task/{os.getpid()}/children").read_text().split()]
    except OSError:
        return []
    return [pid for pid in pids if not _reap(pid)]


def _reap(pid: int) -> bool:
    """Reap a child if it has ended; return whether it has."""
    try:
        return os.waitpid(pid, os.WNOHANG)[0] == pid
    except ChildProcessError:
        return True


if __name__ == "__main__":
    main(float(sys.argv[1]), sys.argv[2:])
