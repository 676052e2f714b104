"""Cancel Slurm jobs when the process that submitted them ends: `python -I reaper.py JOB...`.

The reaper reads standard input, a pipe that the submitting process holds open. When the pipe closes, because that process
has ended, crashed or been killed with -9, the reaper runs `scancel`, which does not affect jobs that have ended. If the
reaper is killed too, running jobs still notice that their connection has ended. Uses only the standard library.
"""

from __future__ import annotations

import os
import select
import signal
import subprocess
import sys

POLL_S = 1.0
"""Interval at which the parent is checked, in case another process keeps the pipe open."""


def main(jobs: list[str]) -> None:
    """Wait for the end of the parent, then cancel the jobs."""
    for signum in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(signum, signal.SIG_IGN)  # only the pipe decides
    parent = os.getppid()
    while os.getppid() == parent:
        if select.select([0], [], [], POLL_S)[0] and not os.read(0, 1):
            break
    subprocess.run(["scancel", "--quiet", *jobs], check=False)  # noqa: S607


if __name__ == "__main__":
    main(sys.argv[1:])
