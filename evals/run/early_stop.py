"""Interfaces between runs and the sequential tests that stop them early."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from evals.run.job import Job
from evals.run.order import PlannedCall
from evals.run.runner import Runner
from evals.types import Record


class StoppingRule(Protocol):
    """Decides when a model's runs can stop because the verdict is certain (`verdicts.sequential.SequentialGate`)."""

    @property
    def notes(self) -> Sequence[str]:
        """Return notes for the runs' cards."""

    def queue(self) -> list[PlannedCall]:
        """Return all calls in calling order."""

    def should_skip(self, job_index: int) -> bool:
        """Return whether a job needs no more replies."""

    def details(self, job_index: int) -> str:
        """Return the state of a job's test, for the progress display."""

    def record(self, job_index: int, record: Record) -> None:
        """Add a record to the test."""

    def attach(self, runner: Runner) -> None:
        """Set the runner that is stopped once a verdict is reached."""


class EarlyStop(Protocol):
    """Creates a `StoppingRule`."""

    def begin(self, jobs: Sequence[Job], *, seed: int) -> StoppingRule:
        """Return the rule for these jobs, which have been prepared."""
