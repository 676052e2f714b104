"""What Slurm says of the jobs: their states, why they are pending, and how they ended."""

from __future__ import annotations

import os
import shutil
import subprocess
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from evals import disk
from evals.calls.secrets import Mask, names_secret
from evals.errors import UsageError
from evals.plain import notice, plain

POLL_S = 5.0
"""Minimum interval between two calls of squeue."""
COMMAND_S = 60.0
NOTICES_S = (10.0, 60.0, 300.0, 900.0, 3600.0)
"""Times for which a job has been pending at which the user is told; then every hour."""
ENDED = frozenset(
    {
        "BOOT_FAIL", "CANCELLED", "COMPLETED", "DEADLINE", "FAILED", "NODE_FAIL", "OUT_OF_MEMORY", "PREEMPTED",
        "REVOKED", "TIMEOUT",
    }
)  # fmt: skip
"""States from which a job does not return, unless Slurm is about to requeue it."""
GONE = "no longer listed by squeue"
LOG_MOST = 64 << 10
LINES, LONGEST = 4, 200
"""Last lines of a log that are shown, and the characters of each."""


class State(NamedTuple):
    """State of a job, and the scheduler's reason for it."""

    name: str = ""
    reason: str = ""


class Scheduler:
    """The jobs of one driver."""

    def __init__(self, jobs: Sequence[str], folder: Path) -> None:
        """`folder`: where their logs are."""
        self.jobs, self._folder = list(jobs), folder
        self.states: dict[str, State] = {}
        """State of each job when Slurm last answered."""
        self._ended: dict[str, int] = {}
        """Polls in a row in which a job had ended."""
        self._pending: dict[str, tuple[float, int]] = {}
        """Since when a job is pending, and how many notices there were."""
        self._polled = -POLL_S
        self._lock = threading.Lock()

    def end_of(self, job: str) -> str:
        """Return in one line how a job ended, with the end of its log; empty if it has not. Blocks while Slurm is asked.

        A job has ended if two polls in a row say so: preempted jobs have ended for a moment, too.
        """
        with self._lock:
            if time.monotonic() - self._polled >= POLL_S:
                self._poll()
        if self._ended.get(job, 0) < 2:
            return ""
        state = self.states[job].name
        return f"Slurm job {job} ended ({state.lower().replace('_', ' ')}): {last_lines(log_of(self._folder, job))}"

    def _poll(self) -> None:
        self._polled = time.monotonic()
        states = query(self.jobs)
        if states is None:
            return
        for job in self.jobs:
            self.states[job] = state = states.get(job, State(GONE))
            ended = state.name in ENDED or state.name == GONE
            self._ended[job] = self._ended.get(job, 0) + 1 if ended else 0
            if state.name != "PENDING":
                self._pending.pop(job, None)
        self._notify()

    def _notify(self) -> None:
        """Tell the user which jobs have been pending for long, and why."""
        due: dict[tuple[str, str], list[str]] = {}
        for job in self.jobs:
            state = self.states[job]
            if state.name != "PENDING":
                continue
            since, notices = self._pending.setdefault(job, (self._polled, 0))
            waited_s = self._polled - since
            if waited_s >= _notice_s(notices):
                self._pending[job] = since, notices + 1
                due.setdefault((_words(waited_s), state.reason), []).append(job)
        for (duration, reason), jobs in due.items():
            what = f"job {jobs[0]} has" if len(jobs) == 1 else f"jobs {', '.join(jobs)} have"
            notice(f"slurm: {what} been pending for {duration}: {reason or 'no reason given'}")

    def cancel(self) -> None:
        """Cancel all jobs; those that have ended are not affected."""
        if self.jobs:
            run("scancel", "--quiet", *self.jobs)

    def end(self, leaving: Sequence[str], *, wait_s: float) -> None:
        """Cancel the jobs at once, except those that are about to end by themselves, and these after a time."""
        if others := [job for job in self.jobs if job not in leaving]:
            run("scancel", "--quiet", *others)
        until = time.monotonic() + wait_s
        while leaving and time.monotonic() < until:
            states = query(leaving)
            if states is not None and all(state.name in ENDED for state in states.values()):
                return
            time.sleep(0.5)
        self.cancel()


def _notice_s(notices: int) -> float:
    """Return the time pending at which the next notice is due."""
    further = notices - len(NOTICES_S) + 1
    return NOTICES_S[notices] if further <= 0 else NOTICES_S[-1] * (1 + further)


def _words(seconds: float) -> str:
    if seconds < 60:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} minute{'s' if seconds >= 90 else ''}"


def run(*words: str) -> str | None:
    """Return the output of one of Slurm's commands; None if it fails."""
    try:
        done = subprocess.run(
            words, capture_output=True, text=True, errors="replace", check=False, timeout=COMMAND_S
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    if done.returncode and "Invalid job id" in done.stderr:
        return ""
    return None if done.returncode else done.stdout


def query(jobs: Sequence[str]) -> dict[str, State] | None:
    """Return the states of those jobs that Slurm still lists; None if it does not answer."""
    listed = run("squeue", "--noheader", "--states=all", f"--jobs={','.join(jobs)}", "--format=%i|%T|%r")
    if listed is None:
        return None
    states = {}
    for line in listed.splitlines():
        job, _, rest = line.strip().partition("|")
        name, _, reason = rest.partition("|")
        states[job] = State(name, plain(reason))
    return states


def partitions() -> list[str]:
    """Return the names of the partitions; empty if Slurm does not answer."""
    return sorted(set((run("sinfo", "--noheader", "--format=%R") or "").split()))


def require() -> None:
    """Raise UsageError if there is no Slurm here."""
    for command in ("sbatch", "squeue", "scancel", "srun"):
        if shutil.which(command) is None:
            raise UsageError(
                f"--cluster slurm: there is no {command} on this machine's PATH; run it on a login node of a Slurm cluster"
            )


def log_of(folder: Path, job: str) -> Path:
    """Return the file that a job's output goes to."""
    return folder / f"{job}_0_log.out"


def last_lines(log: Path) -> str:
    """Return the last lines of a log and its path in one line, without secrets and terminal escapes."""
    try:
        with disk.open_regular(log) as stream:
            stream.seek(max(0, os.fstat(stream.fileno()).st_size - LOG_MOST))
            text = stream.read(LOG_MOST).decode(errors="replace")
    except OSError:
        return f"it wrote no log at {log}: do its node and this one share that folder?"
    mask = Mask(value for name, value in os.environ.items() if names_secret(name))
    lines = [" ".join(line.split()) for line in plain(mask.text(text)).splitlines()]
    shown = [line[:LONGEST] for line in lines if line][-LINES:]
    return f"{' / '.join(shown) or 'its log is empty'} (log: {log})"
