"""Run the driver, the process that makes the calls, as a Slurm job itself: `evals run ... --cluster slurm --detach`."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from msgspec.structs import replace

from evals.run.cluster.slurm import scheduler, submission
from evals.run.cluster.slurm import settings as slurm_settings
from evals.run.conflicts import check_conflicts

if TYPE_CHECKING:
    from submitit.core.utils import DelayedSubmission

    from evals.run.request import RunRequest

DRIVER_VARIABLE = "EVALS_DETACHED"
"""Environment variable that is set only in the job of a detached driver."""


class SubmittedDriver(NamedTuple):
    """A driver that was submitted as a job."""

    job_id: str
    log: Path


class DriverJob:
    """A command line to run as a job, to be pickled by submitit. If the job is requeued, the run resumes."""

    def __init__(self, arguments: list[str], folder: Path) -> None:
        self.arguments, self.folder = arguments, folder

    def __call__(self) -> None:
        """Run the command, and end the process with the command's exit status."""
        from importlib import import_module

        os.environ[DRIVER_VARIABLE] = "1"
        os.chdir(self.folder)
        sys.argv = ["evals", *self.arguments]
        import_module("evals.cli").main()  # imported by name, since it belongs to a higher layer

    def checkpoint(self) -> DelayedSubmission:
        """Return the job to run after requeuing; submitit calls this before the time limit."""
        from submitit.helpers import DelayedSubmission

        return DelayedSubmission(self)


def detach(request: RunRequest, arguments: list[str]) -> SubmittedDriver:
    """Submit the command as a job; raises UsageError if the request is invalid or Slurm is missing or rejects the job."""
    check_conflicts(request)
    scheduler.require_slurm()
    settings = slurm_settings.read(request.slurm)
    settings = replace(
        settings,
        partition=settings.driver_partition or settings.partition,
        time=settings.driver_time or settings.time,
    )
    executor = submission.create_executor(settings, submission.new_folder(settings, request.results), gpus=0)
    job_id = submission.submit(executor, DriverJob(arguments, Path.cwd()), settings.partition)
    return SubmittedDriver(job_id, scheduler.log_path(Path(executor.folder), job_id))
