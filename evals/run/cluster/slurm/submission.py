"""Submit the jobs of a run to Slurm, through submitit, and connect to them."""

from __future__ import annotations

import asyncio
import io
import os
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, redirect_stderr, suppress
from pathlib import Path
from typing import Any

from msgspec.structs import replace

from evals.calls.secrets import is_secret_name
from evals.errors import UsageError, install_command
from evals.plain import count_of, notice, plain
from evals.run.cluster.placement import ENGINES, gpus_needed
from evals.run.cluster.queue import Cluster, ReplicaInfo, require_same_version
from evals.run.cluster.slurm import messages, reaper, scheduler
from evals.run.cluster.slurm import settings as slurm_settings
from evals.run.cluster.slurm.link import SlurmLink
from evals.run.cluster.slurm.node import NodeJob
from evals.run.cluster.slurm.scheduler import SlurmJobs
from evals.run.cluster.slurm.settings import Settings

POLL_INTERVAL_S = 0.5
SHUTDOWN_S = 10.0
"""Time allowed for jobs to end by themselves before they are cancelled."""
MAX_REQUEUES = 1_000_000
"""Maximum number of times that submitit requeues a job because of its time limit."""
SIGNAL_S = 90
"""submitit requeues a job this long before its time limit."""
INHERITED_VARIABLES = frozenset(
    {"HF_TOKEN", "HUGGING_FACE_HUB_TOKEN", "HF_HUB_TOKEN", "SLURM_CONF", "SLURM_CLUSTERS", "SLURM_JWT"}
)
"""Environment variables that jobs inherit although they are secrets or begin with `SLURM_`."""


class SlurmCluster(Cluster):
    """A cluster that ends its jobs when closed."""

    def __init__(
        self, links: Sequence[SlurmLink], info: ReplicaInfo, *, jobs: SlurmJobs, cleanup: ExitStack
    ) -> None:
        """`jobs`: the jobs behind the links. `cleanup`: closed once these have ended."""
        super().__init__(links, info)
        self._links, self._jobs, self._cleanup = links, jobs, cleanup

    async def close(self) -> None:
        """Stop the replicas, and wait until no job is left."""
        await super().close()
        ending = [link.job for link in self._links if link.has_sent_end]
        await asyncio.to_thread(self._jobs.end, ending, wait_s=SHUTDOWN_S)
        self._cleanup.close()


def connect(
    spec: str,
    *,
    replicas: int | None,
    gpus: int | None,
    options: Mapping[str, Any],
    entries: Sequence[str],
    results: Path,
    stopped: Callable[[], bool],
) -> Cluster:
    """Submit the jobs and wait until the first is running; raises UsageError with a one-line message.

    `entries`: settings of the jobs. `stopped`: returns whether the user has interrupted the command; it is polled, since this
    function may run in a thread.
    """
    settings = slurm_settings.read(entries)
    scheduler.require_slurm()
    gpus_per_job = _gpus_per_job(spec, gpus if gpus is not None else settings.gpus)
    with ExitStack() as cleanup:
        folder = new_folder(settings, results)
        cleanup.callback(_remove_temporary_files, folder)
        node_job = NodeJob(
            spec, _with_absolute_paths(options), folder=folder, gpus=gpus_per_job, grace_s=settings.grace
        )
        executor = create_executor(settings, folder, gpus=gpus_per_job)
        run_jobs = SlurmJobs([], folder)
        cleanup.callback(run_jobs.cancel)
        for _ in range(replicas or 1):
            run_jobs.jobs.append(submit(executor, node_job, settings.partition))
        cleanup.callback(_start_reaper(run_jobs.jobs))
        jobs_text = _jobs_text(run_jobs.jobs)
        notice(f"slurm: submitted {jobs_text}; logs: {folder}")
        info = _first_info(run_jobs, folder, stopped)
        require_same_version(info)
        partition = f"partition {settings.partition}" if settings.partition else "default partition"
        note = f"cluster: slurm, {jobs_text}, {partition}, {count_of(gpus_per_job, 'GPU')} each"
        remaining_cleanup = cleanup.pop_all()
    links = [SlurmLink(job, folder, run_jobs) for job in run_jobs.jobs]
    info = replace(info, notes=(note, *info.notes))
    return SlurmCluster(links, info, jobs=run_jobs, cleanup=remaining_cleanup)


def create_executor(settings: Settings, folder: Path, *, gpus: int) -> Any:
    """Return a submitit executor that keeps the files of its jobs in `folder`; raises UsageError."""
    scheduler.require_slurm()
    try:
        from submitit.slurm.slurm import SlurmExecutor
    except ImportError:
        raise UsageError(f"--cluster slurm needs submitit: {install_command('slurm')}") from None
    python = settings.python or ("python3" if settings.container else None)
    executor = SlurmExecutor(folder, max_num_timeout=MAX_REQUEUES, python=python)
    executor.update_parameters(**_submitit_parameters(settings, gpus=gpus))
    return executor


def _gpus_per_job(spec: str, requested: int | None) -> int:
    """Return the number of GPUs per job: as requested, or as in the model's profile, but at least one for an engine."""
    if requested is not None:
        return requested
    return gpus_needed(spec, "") or int(spec.partition(":")[0] in ENGINES)


def _with_absolute_paths(options: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value.resolve() if isinstance(value, Path) else value for name, value in options.items()}


def new_folder(settings: Settings, results: Path) -> Path:
    """Return a new folder for the files of jobs, which only this user can enter; raises UsageError."""
    parent = Path(settings.folder) if settings.folder else results / ".slurm"
    try:
        parent.mkdir(parents=True, exist_ok=True)
        return Path(tempfile.mkdtemp(prefix="run-", dir=parent.resolve()))  # mode 0700
    except OSError as error:
        raise UsageError(f"cannot create a folder for Slurm jobs in {parent}: {error.strerror}") from None


def _remove_temporary_files(folder: Path) -> None:
    """Remove all files but logs from a folder of jobs, and the folder too if it has no logs."""
    for path in folder.iterdir():
        if path.suffix != ".out":
            with suppress(OSError):
                path.unlink()
    with suppress(OSError):  # it is not empty if there are logs
        folder.rmdir()


def _submitit_parameters(settings: Settings, *, gpus: int) -> dict[str, Any]:
    parameters = {
        "partition": settings.partition,
        "account": settings.account,
        "qos": settings.qos,
        "constraint": settings.constraint,
        "mem": settings.memory,
        "gpus_per_node": gpus,
        "cpus_per_task": settings.cpus,
    }
    container = [f"--container-image={settings.container}"] if settings.container else []
    container += [f"--container-mounts={settings.mounts}"] if settings.mounts else []
    return {
        **{name: value for name, value in parameters.items() if value},
        "job_name": "evals",
        "time": slurm_settings.minutes(settings.time),
        "setup": list(settings.setup) or None,
        "srun_args": container or None,
        "signal_delay_s": SIGNAL_S,
        "stderr_to_stdout": True,
        "wckey": None,
        "additional_parameters": {"requeue": True},
    }


def submit(executor: Any, job: Any, partition: str) -> str:
    """Submit a job and return its id; raises UsageError with sbatch's message."""
    from submitit.core.utils import FailedJobError, FailedSubmissionError

    try:
        with _job_environment(), redirect_stderr(io.StringIO()):
            return str(executor.submit(job).job_id)
    except (FailedJobError, FailedSubmissionError, OSError) as error:
        message = re.sub(r"^sbatch: (?:error|fatal): ", "", plain(str(error)), flags=re.MULTILINE)
        lines = [line for line in message.splitlines() if line.strip()]
        reason = " / ".join(lines[-2:]) or type(error).__name__
    names = scheduler.partitions() if partition and "partition" in reason.lower() else []
    if names and partition not in names:
        raise UsageError(
            f"--cluster slurm: there is no partition {partition!r}; available: {', '.join(names)}"
        )
    raise UsageError(f"--cluster slurm: sbatch: {reason}")


@contextmanager
def _job_environment() -> Iterator[None]:
    """Hide secrets, and the variables of a Slurm job that this process is part of, from the jobs submitted in this context."""
    hidden = {
        name: value
        for name, value in os.environ.items()
        if name not in INHERITED_VARIABLES
        and (is_secret_name(name) or name.startswith(("SLURM_", "SLURMD_", "SUBMITIT_")))
    }
    for name in hidden:
        del os.environ[name]
    try:
        yield
    finally:
        os.environ.update(hidden)


def _start_reaper(jobs: Sequence[str]) -> Any:
    """Start a process that cancels the jobs when this process ends; return a function that has the jobs cancelled immediately."""
    process = subprocess.Popen(
        [sys.executable, "-I", reaper.__file__, *jobs],
        stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True,
    )  # fmt: skip

    def stop() -> None:
        if process.stdin is not None:
            process.stdin.close()
        process.wait()

    return stop


def _first_info(run_jobs: SlurmJobs, folder: Path, stopped: Callable[[], bool]) -> ReplicaInfo:
    """Return the description of the first replica that is announced; raises UsageError with the last fault if all jobs fail."""
    waiting = list(run_jobs.jobs)
    reason = ""
    while waiting:
        for job in list(waiting):
            announcement = messages.read_announcement(folder, job)
            if announcement is not None and not announcement.info.fault:
                return announcement.info
            if announcement is not None:
                failure = f"{announcement.info.fault} (Slurm job {job} on {announcement.info.node})"
            else:
                failure = run_jobs.describe_end(job)
            if failure:
                waiting.remove(job)
                reason = failure
        if stopped():
            raise UsageError(f"interrupted while waiting for {_jobs_text(run_jobs.jobs)}")
        time.sleep(POLL_INTERVAL_S)
    raise UsageError(reason)


def _jobs_text(jobs: Sequence[str]) -> str:
    if len(jobs) == 1:
        return f"job {jobs[0]}"
    return f"jobs {', '.join(jobs)}" if len(jobs) <= 8 else f"{len(jobs)} jobs, {jobs[0]} to {jobs[-1]}"
