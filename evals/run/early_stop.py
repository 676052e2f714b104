"""Runs that stop when a verdict is decided: what the session asks of whoever decides."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from evals.run.job import Job
from evals.run.progress import Progress
from evals.run.runner import Runner, Watcher
from evals.types import Record


class Race(Protocol):
    """A run that stops when a verdict is decided (`verdicts.sequential.Race`)."""

    @property
    def notes(self) -> Sequence[str]:
        """What the cards say of it."""
        ...

    def queue(self) -> list[tuple[int, int, int]]:
        """Return (job, position, repeat) in the order of asking."""
        ...

    def skips(self, job: int) -> bool:
        """Whether a job needs no more replies."""
        ...

    def facts(self, job: int) -> str:
        """Say where a job stands, for the progress."""
        ...

    def record(self, job: int, record: Record) -> None:
        """Take in a record."""
        ...

    def attach(self, runner: Runner) -> None:
        """End this runner once decided."""
        ...


class EarlyStop(Protocol):
    """What makes a race of prepared jobs (`verdicts.until.Until`)."""

    def begin(self, jobs: Sequence[Job], *, seed: int) -> Race:
        """Set the race up."""
        ...


class Both(Watcher):
    """Tells race and progress of every record; the race first, so that the progress shows its state."""

    def __init__(self, race: Race, progress: Progress) -> None:
        self._race, self._progress = race, progress

    def record(self, job: int, record: Record) -> None:
        """Pass a record on."""
        self._race.record(job, record)
        self._progress.record(job, record)

    def rejudged(self, job: int) -> None:
        """Pass on that a reply was scored again."""
        self._progress.rejudged(job)
