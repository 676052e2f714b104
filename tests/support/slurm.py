"""A real single-node Slurm in a temporary folder: munged, slurmctld and slurmd, stopped at the end with all jobs.

`low` is the default partition; a job in `high` preempts those in `low`, which Slurm requeues. A requeued job can restart
after six seconds (`cred_expire`; two minutes by default).
"""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

COMMANDS = ("munged", "slurmctld", "slurmd", "sbatch", "srun", "squeue", "scancel", "sinfo", "scontrol")
CONFIGURATION = """
ClusterName=test
SlurmctldHost={host}(127.0.0.1)
SlurmctldPort={port}
SlurmdPort={node_port}
AuthType=auth/munge
CredType=cred/munge
AuthInfo=socket={folder}/munge.socket,cred_expire=5
SlurmUser=root
SlurmdUser=root
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd.pid
SlurmctldLogFile={folder}/slurmctld.log
SlurmdLogFile={folder}/slurmd.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
SlurmdParameters=config_overrides
ReturnToService=2
PreemptType=preempt/partition_prio
PreemptMode=REQUEUE
SchedulerParameters=batch_sched_delay=0,sched_interval=1
KillWait=2
MinJobAge=60
NodeName={host} NodeAddr=127.0.0.1 CPUs={cpus} RealMemory=4000 State=UNKNOWN
PartitionName=low Nodes={host} Default=YES PriorityTier=1 MaxTime=INFINITE State=UP
PartitionName=high Nodes={host} PriorityTier=10 MaxTime=INFINITE State=UP
"""


class Slurm:
    """A running Slurm."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.environment = os.environ | {"SLURM_CONF": str(folder / "slurm.conf")}
        """Environment variables by which Slurm's commands find it."""

    def run(self, *arguments: object, check: bool = True) -> str:
        """Return the output of one of Slurm's commands."""
        completed = subprocess.run(
            [str(word) for word in arguments],
            env=self.environment, capture_output=True, text=True, check=False, timeout=60,
        )  # fmt: skip
        assert not (check and completed.returncode), (arguments, completed.stderr)
        return completed.stdout.strip()

    def jobs(self, *states: str) -> list[str]:
        """Return the ids of jobs in these states; without states, of all that have not ended."""
        chosen = (f"--states={','.join(states)}",) if states else ()
        return self.run("squeue", "--noheader", "--format=%i", *chosen).split()

    def submit(self, command: str, *options: str) -> str:
        """Submit a job that runs a shell command; returns its id."""
        return self.run(
            "sbatch", "--parsable", "--output=/dev/null", "--ntasks=1", *options, f"--wrap={command}"
        )

    def wait_until_empty(self, *, seconds: float = 60) -> None:
        """Wait until no job is left."""
        until = time.monotonic() + seconds
        while remaining := self.run("squeue", "--noheader", "--format=%i %T %r"):
            assert time.monotonic() < until, remaining
            time.sleep(0.2)


def require() -> None:
    """Skip the test if Slurm cannot be run."""
    if missing := [command for command in COMMANDS if shutil.which(command) is None]:
        pytest.skip(f"NOT TESTED ON REAL SLURM: {', '.join(missing)} missing (apt: slurm-wlm, munge)")
    if os.geteuid() != 0:
        pytest.skip("NOT TESTED ON REAL SLURM: its daemons are started as root here")


@contextmanager
def controller(*, cpus: int = 2) -> Iterator[Slurm]:
    """Start Slurm on this machine with a node of `cpus` CPUs, even if the machine has fewer."""
    require()
    with ExitStack() as undo:
        # not pytest's folder: the path of munge's socket must be short
        folder = Path(tempfile.mkdtemp(prefix="slurm-", dir="/tmp"))
        undo.callback(shutil.rmtree, folder, ignore_errors=True)
        _configure(folder, cpus)
        slurm = Slurm(folder)
        munge = [f"--{name}={folder}/munge.{name.partition('-')[0]}" for name in _MUNGE_FILES]
        for name, command in (
            ("munged", ["munged", "--foreground", "--force", *munge]),
            ("slurmctld", ["slurmctld", "-D"]),
            ("slurmd", ["slurmd", "-D"]),
        ):
            process = _daemon(slurm, name, command)
            undo.callback(_end, process)
            if name == "munged":
                _wait(lambda: (folder / "munge.socket").exists(), "munged", folder)
        _wait(
            lambda: "idle" in slurm.run("sinfo", "--noheader", "--format=%T", check=False), "slurmd", folder
        )
        undo.callback(_cancel_all, slurm)
        yield slurm


_MUNGE_FILES = ("key-file", "socket", "pid-file", "seed-file", "log-file")


def _configure(folder: Path, cpus: int) -> None:
    folder.chmod(0o755)
    for name in ("state", "spool"):
        (folder / name).mkdir()
    key = folder / "munge.key"
    key.touch(0o600)
    key.write_bytes(os.urandom(128))
    with socket.socket() as first, socket.socket() as second:
        for probe in (first, second):
            probe.bind(("127.0.0.1", 0))
        ports = {"port": first.getsockname()[1], "node_port": second.getsockname()[1]}
    host = socket.gethostname().partition(".")[0]
    (folder / "slurm.conf").write_text(CONFIGURATION.format(host=host, folder=folder, cpus=cpus, **ports))


def _daemon(slurm: Slurm, name: str, command: list[str]) -> subprocess.Popen[bytes]:
    with (slurm.folder / f"{name}.out").open("wb") as stream:
        return subprocess.Popen(
            command, env=slurm.environment, stdout=stream, stderr=stream, start_new_session=True
        )


def _end(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    try:
        process.wait(10)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def _cancel_all(slurm: Slurm) -> None:
    slurm.run("scancel", "--user=root", check=False)
    slurm.wait_until_empty()


def _wait(condition: object, name: str, folder: Path) -> None:
    assert callable(condition)
    until = time.monotonic() + 60
    while not condition():
        if time.monotonic() > until:
            logs = "\n".join(path.read_text(errors="replace")[-1000:] for path in folder.glob("*.out"))
            pytest.fail(f"{name} did not start: {logs}")
        time.sleep(0.1)
