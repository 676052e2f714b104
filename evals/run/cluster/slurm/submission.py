"""Submits the jobs of a run to Slurm, through submitit, and connects the queue to them."""

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
from importlib.metadata import version
from pathlib import Path
from typing import Any

from msgspec.structs import replace

from evals.calls.secrets import names_secret
from evals.errors import UsageError, install
from evals.plain import notice, plain
from evals.run.cluster.placement import ENGINES, gpus_needed
from evals.run.cluster.queue import Cluster, Facts
from evals.run.cluster.slurm import messages, reaper, scheduler
from evals.run.cluster.slurm import settings as slurm_settings
from evals.run.cluster.slurm.link import SlurmLink
from evals.run.cluster.slurm.node import NodeJob
from evals.run.cluster.slurm.scheduler import Scheduler
from evals.run.cluster.slurm.settings import Settings

LOOK_S = 0.5
END_S = 10.0
"""Time for jobs to end by themselves."""
REQUEUES = 1_000_000
"""Number of time limits after which submitit no longer requeues a job."""
SIGNAL_S = 90
"""Time before the limit at which submitit requeues a job."""
KEPT = frozenset(
    {"HF_TOKEN", "HUGGING_FACE_HUB_TOKEN", "HF_HUB_TOKEN", "SLURM_CONF", "SLURM_CLUSTERS", "SLURM_JWT"}
)
"""Variables that a job gets although they are secrets, to download weights, or begin as those of another job do."""


class SlurmCluster(Cluster):
    """A cluster that ends its jobs when closed."""

    def __init__(self, links: Sequence[SlurmLink], facts: Facts, *, jobs: Scheduler, undo: ExitStack) -> None:
        """`undo`: what else is to be done at the end."""
        super().__init__(links, facts)
        self._links, self._jobs, self._undo = links, jobs, undo

    async def close(self) -> None:
        """Stop the replicas, and wait until no job is left."""
        await super().close()
        leaving = [link.job for link in self._links if link.told_to_end]
        await asyncio.to_thread(self._jobs.end, leaving, wait_s=END_S)
        self._undo.close()


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
    """Submit the jobs and wait until the first has joined; raises UsageError with a one-line message.

    `stopped`: returns whether the user has interrupted the command, as this may run in a thread.
    """
    settings = slurm_settings.read(entries)
    scheduler.require()
    each = _gpus(spec, gpus if gpus is not None else settings.gpus)
    with ExitStack() as undo:
        folder = new_folder(settings, results)
        undo.callback(_remove, folder)
        job = NodeJob(spec, _absolute(options), folder=folder, gpus=each, grace_s=settings.grace)
        slurm = executor(settings, folder, gpus=each)
        jobs = Scheduler([], folder)
        undo.callback(jobs.cancel)
        for _ in range(replicas or 1):
            jobs.jobs.append(submit(slurm, job, settings.partition))
        undo.callback(_watch(jobs.jobs))
        notice(f"slurm: submitted {_listed(jobs.jobs)}; logs: {folder}")
        facts = _first_facts(jobs, folder, stopped)
        if facts.version != version("science-evals"):
            raise UsageError(
                f"science-evals {facts.version} on {facts.where}, {version('science-evals')} here: install the same"
            )
        links = [SlurmLink(number, folder, jobs) for number in jobs.jobs]
        where = f"partition {settings.partition}" if settings.partition else "default partition"
        note = f"cluster: slurm, {_listed(jobs.jobs)}, {where}, {each} GPUs each"
        facts = replace(facts, notes=(note, *facts.notes))
        return SlurmCluster(links, facts, jobs=jobs, undo=undo.pop_all())
    raise AssertionError


def executor(settings: Settings, folder: Path, *, gpus: int) -> Any:
    """Return submitit's executor for jobs whose files are in a folder; raises UsageError."""
    scheduler.require()
    try:
        from submitit.slurm.slurm import SlurmExecutor
    except ImportError:
        raise UsageError(f"--cluster slurm needs submitit: {install('slurm')}") from None
    python = settings.python or ("python3" if settings.container else None)
    slurm = SlurmExecutor(folder, max_num_timeout=REQUEUES, python=python)
    slurm.update_parameters(**_parameters(settings, gpus=gpus))
    return slurm


def _gpus(spec: str, wanted: int | None) -> int:
    """Return the GPUs of a job: as set, else as the model's profile states; engines need one at least."""
    if wanted is not None:
        return wanted
    return gpus_needed(spec, "") or int(spec.partition(":")[0] in ENGINES)


def _absolute(options: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value.resolve() if isinstance(value, Path) else value for name, value in options.items()}


def new_folder(settings: Settings, results: Path) -> Path:
    """Return a new folder that only this user can enter."""
    parent = Path(settings.folder) if settings.folder else results / ".slurm"
    try:
        parent.mkdir(parents=True, exist_ok=True)
        return Path(tempfile.mkdtemp(prefix="run-", dir=parent.resolve()))  # mode 0700
    except OSError as error:
        raise UsageError(f"cannot create a folder for Slurm jobs in {parent}: {error.strerror}") from None


def _remove(folder: Path) -> None:
    """Remove addresses, keys and what submitit stored; logs stay."""
    for path in folder.iterdir():
        if path.suffix != ".out":
            with suppress(OSError):
                path.unlink()
    with suppress(OSError):  # logs are in it
        folder.rmdir()


def _parameters(settings: Settings, *, gpus: int) -> dict[str, Any]:
    """Return what submitit writes into the job's script."""
    texts = {
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
        **{name: value for name, value in texts.items() if value},
        "job_name": "evals",
        "time": slurm_settings.minutes(settings.time),
        "setup": list(settings.setup) or None,
        "srun_args": container or None,
        "signal_delay_s": SIGNAL_S,
        "stderr_to_stdout": True,
        "wckey": None,
        "additional_parameters": {"requeue": True},
    }


def submit(slurm: Any, job: Any, partition: str) -> str:
    """Submit a job and return its number; raises UsageError with what sbatch says."""
    from submitit.core.utils import FailedJobError, FailedSubmissionError

    try:
        with _job_environment(), redirect_stderr(io.StringIO()):
            return str(slurm.submit(job).job_id)
    except (FailedJobError, FailedSubmissionError, OSError) as error:
        lines = [
            re.sub(r"^sbatch: (?:error|fatal): ", "", line)
            for line in plain(str(error)).splitlines()
            if line.strip()
        ]
        why = " / ".join(lines[-2:]) or type(error).__name__
    if (
        "partition" in why.lower()
        and partition
        and (names := scheduler.partitions())
        and partition not in names
    ):
        raise UsageError(
            f"--cluster slurm: there is no partition {partition!r}; there are: {', '.join(names)}"
        )
    raise UsageError(f"--cluster slurm: sbatch: {why}")


@contextmanager
def _job_environment() -> Iterator[None]:
    """Submit with an environment without secrets, and without the variables of a job that this process runs in."""
    hidden = {
        name: value
        for name, value in os.environ.items()
        if name not in KEPT and (names_secret(name) or name.startswith(("SLURM_", "SLURMD_", "SUBMITIT_")))
    }
    for name in hidden:
        del os.environ[name]
    try:
        yield
    finally:
        os.environ.update(hidden)


def _watch(jobs: Sequence[str]) -> Any:
    """Start the process that cancels the jobs if this one ends; returns how to stop it."""
    process = subprocess.Popen(
        [sys.executable, "-I", reaper.__file__, *jobs],
        stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True,
    )  # fmt: skip

    def stop() -> None:
        if process.stdin is not None:
            process.stdin.close()
        process.wait()

    return stop


def _first_facts(jobs: Scheduler, folder: Path, stopped: Callable[[], bool]) -> Facts:
    """Return the facts of the first job that has joined; raises UsageError with the last fault if none will."""
    waiting = list(jobs.jobs)
    why = ""
    while waiting:
        for job in list(waiting):
            announcement = messages.read(folder, job)
            if announcement is not None and not announcement.facts.fault:
                return announcement.facts
            if announcement is not None:
                end = f"{announcement.facts.fault} (Slurm job {job} on {announcement.facts.where})"
            else:
                end = jobs.end_of(job)
            if end:
                waiting.remove(job)
                why = end
        if stopped():
            raise UsageError(f"interrupted before {_listed(jobs.jobs)} had joined")
        time.sleep(LOOK_S)
    raise UsageError(why)


def _listed(jobs: Sequence[str]) -> str:
    if len(jobs) == 1:
        return f"job {jobs[0]}"
    return f"jobs {', '.join(jobs)}" if len(jobs) <= 8 else f"{len(jobs)} jobs, {jobs[0]} to {jobs[-1]}"
