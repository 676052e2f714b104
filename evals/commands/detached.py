"""`evals run ... --cluster slurm --detach`: run the command itself as a Slurm job."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from evals.commands import common

if TYPE_CHECKING:
    from evals.run.request import RunRequest


def submit(request: RunRequest, *, as_json: bool) -> bool:
    """Submit this command line as a job and print the job's id; return False if this process is that job.

    `request`: the command's request; for a sweep, the request of its first part.
    """
    from evals.run.cluster.slurm import detach
    from evals.run.session import Session

    if detach.is_driver_job():
        return False
    Session(request, say=common.note)  # reports unknown names now instead of in the job's log
    driver = detach.detach(request, sys.argv[1:])
    if as_json:
        common.print_json({"job": driver.job_id, "log": str(driver.log)})
    else:
        common.say(
            f"Slurm job {driver.job_id} runs this command; log: {driver.log}; `scancel {driver.job_id}` cancels it"
        )
    return True
