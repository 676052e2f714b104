"""The jobs of a run in Slurm's queue: their states, why they are pending, and how they ended."""

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
from evals.calls.secrets import Mask, is_secret_name
from evals.errors import UsageError
from evals.plain import count_of, notice, plain

POLL_S = 5.0
"""Minimum interval between two calls of squeue."""
COMMAND_TIMEOUT_S = 60.0
NOTICE_TIMES_S = (10.0, 60.0, 300.0, 900.0, 3600.0)
"""Pending times at which the user is notified of a job; after the last, once an hour."""
END_STATES = frozenset(
    {
        "BOOT_FAIL", "CANCELLED", "COMPLETED", "DEADLINE", "FAILED", "NODE_FAIL", "OUT_OF_MEMORY", "PREEMPTED",
        "REVOKED", "TIMEOUT",
    }
)  # fmt: skip
"""States of jobs that have ended, unless Slurm is about to requeue them."""
NOT_LISTED = "no longer listed by squeue"
"""State of a job that Slurm has forgotten."""
MAX_LOG_BYTES = 64 << 10
"""Number of bytes read from the end of a log."""
MAX_LINES, MAX_LINE_LENGTH = 4, 200
"""Number of lines shown from the end of a log, and maximum length of each in characters."""


class State(NamedTuple):
    """State of a job, and Slurm's reason for it."""

    name: str = ""
    reason: str = ""


class SlurmJobs:
    """The Slurm jobs of one driver."""

    def __init__(self, jobs: Sequence[str], folder: Path) -> None:
        """`folder`: folder of the jobs' logs."""
        self.jobs, self._folder = list(jobs), folder
        self.states: dict[str, State] = {}
        """Job -> its state when Slurm last answered."""
        self._ended_polls: dict[str, int] = {}
        """Job -> number of consecutive polls, up to the last one, in which it was listed as ended."""
        self._pending: dict[str, tuple[float, int]] = {}
        """Pending job -> (time at which it was first seen pending, number of notices given)."""
        self._last_poll = -POLL_S
        self._lock = threading.Lock()

    def describe_end(self, job: str) -> str:
        """Return in one line how a job ended, with the end of its log; empty if the job has not ended. Blocks during a poll.

        Only two consecutive polls show that a job has ended, since preempted jobs are briefly listed as ended too.
        """
        with self._lock:
            if time.monotonic() - self._last_poll >= POLL_S:
                self._poll()
        if self._ended_polls.get(job, 0) < 2:
            return ""
        state = self.states[job].name
        return f"Slurm job {job} ended ({state.lower().replace('_', ' ')}): {last_lines(log_path(self._folder, job))}"

    def _poll(self) -> None:
        """Query the states of all jobs, and notify the user of long pending times; if squeue fails, nothing changes."""
        self._last_poll = time.monotonic()
        states = query_states(self.jobs)
        if states is None:
            return
        for job in self.jobs:
            self.states[job] = state = states.get(job, State(NOT_LISTED))
            has_ended = state.name in END_STATES or state.name == NOT_LISTED
            self._ended_polls[job] = self._ended_polls.get(job, 0) + 1 if has_ended else 0
            if state.name != "PENDING":
                self._pending.pop(job, None)
        self._notify()

    def _notify(self) -> None:
        """Notify the user of jobs that have been pending for a long time, with Slurm's reason."""
        jobs_by_notice: dict[tuple[str, str], list[str]] = {}
        for job in self.jobs:
            state = self.states[job]
            if state.name != "PENDING":
                continue
            since, notices = self._pending.setdefault(job, (self._last_poll, 0))
            waited_s = self._last_poll - since
            if waited_s >= _next_notice_s(notices):
                self._pending[job] = since, notices + 1
                jobs_by_notice.setdefault((_duration_text(waited_s), state.reason), []).append(job)
        for (duration, reason), jobs in jobs_by_notice.items():
            subject = f"job {jobs[0]} has" if len(jobs) == 1 else f"jobs {', '.join(jobs)} have"
            notice(f"slurm: {subject} been pending for {duration}: {reason or 'no reason given'}")

    def cancel(self) -> None:
        """Cancel all jobs; those that have ended are not affected."""
        if self.jobs:
            run_command("scancel", "--quiet", *self.jobs)

    def end(self, ending: Sequence[str], *, wait_s: float) -> None:
        """Cancel all jobs; those in `ending` only if they have not ended by themselves after `wait_s`."""
        if others := [job for job in self.jobs if job not in ending]:
            run_command("scancel", "--quiet", *others)
        deadline = time.monotonic() + wait_s
        while ending and time.monotonic() < deadline:
            states = query_states(ending)
            if states is not None and all(state.name in END_STATES for state in states.values()):
                return
            time.sleep(0.5)
        self.cancel()


def _next_notice_s(notices: int) -> float:
    """Return the pending time at which the next notice is due, after this number of notices."""
    further = notices - len(NOTICE_TIMES_S) + 1
    return NOTICE_TIMES_S[notices] if further <= 0 else NOTICE_TIMES_S[-1] * (1 + further)


def _duration_text(seconds: float) -> str:
    if seconds < 60:
        return f"{seconds:.0f} s"
    return count_of(round(seconds / 60), "minute")


def run_command(*command: str) -> str | None:
    """Run one of Slurm's commands and return its output; None if it fails, empty if Slurm no longer knows a job."""
    try:
        completed = subprocess.run(
            command, capture_output=True, text=True, errors="replace", check=False, timeout=COMMAND_TIMEOUT_S
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    if completed.returncode and "Invalid job id" in completed.stderr:
        return ""
    return None if completed.returncode else completed.stdout


def query_states(jobs: Sequence[str]) -> dict[str, State] | None:
    """Return the states of the jobs that Slurm still lists; None if squeue fails."""
    listed = run_command(
        "squeue", "--noheader", "--states=all", f"--jobs={','.join(jobs)}", "--format=%i|%T|%r"
    )
    if listed is None:
        return None
    states = {}
    for line in listed.splitlines():
        job, _, rest = line.strip().partition("|")
        name, _, reason = rest.partition("|")
        states[job] = State(name, plain(reason))
    return states


def partitions() -> list[str]:
    """Return the names of the cluster's partitions; empty if sinfo fails."""
    return sorted(set((run_command("sinfo", "--noheader", "--format=%R") or "").split()))


def require_slurm() -> None:
    """Raise UsageError if Slurm's commands are not available."""
    for command in ("sbatch", "squeue", "scancel", "srun"):
        if shutil.which(command) is None:
            raise UsageError(
                f"--cluster slurm: there is no {command} on this machine's PATH; run the command on a login node of a "
                "Slurm cluster"
            )


def log_path(folder: Path, job: str) -> Path:
    """Return the path of a job's log, which contains its output."""
    return folder / f"{job}_0_log.out"


def last_lines(log: Path) -> str:
    """Return the last lines of a log and its path as one line, without secrets or terminal escapes."""
    try:
        with disk.open_regular(log) as stream:
            stream.seek(max(0, os.fstat(stream.fileno()).st_size - MAX_LOG_BYTES))
            text = stream.read(MAX_LOG_BYTES).decode(errors="replace")
    except OSError:
        return f"it wrote no log at {log}: do the job's node and this one share that folder?"
    mask = Mask(value for name, value in os.environ.items() if is_secret_name(name))
    lines = [" ".join(line.split()) for line in plain(mask.text(text)).splitlines()]
    last = [line[:MAX_LINE_LENGTH] for line in lines if line][-MAX_LINES:]
    return f"{' / '.join(last) or 'its log is empty'} (log: {log})"
