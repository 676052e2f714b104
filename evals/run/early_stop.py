"""Interfaces between runs and the sequential tests that stop them early."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from evals.run.job import Job
from evals.run.progress import ModelProgress
from evals.run.runner import Runner, Watcher
from evals.types import Record


class StoppingRule(Protocol):
    """Decides when a run has reached a verdict and can stop (`verdicts.sequential.SequentialGate`)."""

    @property
    def notes(self) -> Sequence[str]:
        """Return notes for the cards."""
        ...

    def queue(self) -> list[tuple[int, int, int]]:
        """Return (job, position, repeat) in calling order."""
        ...

    def skips(self, job: int) -> bool:
        """Return whether a job needs no more replies."""
        ...

    def details(self, job: int) -> str:
        """Return the state of a job, for the progress display."""
        ...

    def record(self, job: int, record: Record) -> None:
        """Add a record."""
        ...

    def attach(self, runner: Runner) -> None:
        """Set the runner to be stopped once a verdict is reached."""
        ...


class EarlyStop(Protocol):
    """Creates the sequential test for prepared jobs."""

    def begin(self, jobs: Sequence[Job], *, seed: int) -> StoppingRule:
        """Start the sequential test."""
        ...


class StoppingWatcher(Watcher):
    """Forwards records to the sequential test, and then to the progress display, which shows the test's state."""

    def __init__(self, rule: StoppingRule, progress: ModelProgress) -> None:
        self._rule, self._progress = rule, progress

    def record(self, job: int, record: Record) -> None:
        """Forward a record."""
        self._rule.record(job, record)
        self._progress.record(job, record)

    def count_rescored(self, job: int) -> None:
        """Count the reply in the progress display."""
        self._progress.count_rescored(job)
