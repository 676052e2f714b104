"""`--cluster slurm` on a real Slurm of one node, whose jobs launch a stand-in engine.

Each job is complete: sbatch through submitit, `srun`, the launcher, an engine process and the connection to the driver.
"""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from evals.prompts import plain_text
from evals.records.store import Run, runs
from evals.types import Reply
from tests.support import standin
from tests.support.engine import process_tree
from tests.support.slurm import Slurm, controller

pytest.importorskip("submitit", reason="NOT TESTED ON REAL SLURM: submitit is not installed")
pytestmark = [pytest.mark.slow, pytest.mark.heavy]

REPEATS, CONCURRENCY = 20, 4
CALLS = 16 * REPEATS
GRACE_S = 3


@pytest.fixture(scope="module")
def slurm() -> Iterator[Slurm]:
    """A real Slurm that all tests of this module share."""
    with controller(cpus=2) as instance:
        yield instance


class Workspace:
    """A folder with weights, a stand-in engine and its log, and the command to test."""

    def __init__(self, slurm: Slurm, folder: Path) -> None:
        self.slurm, self.folder = slurm, folder
        self.processes: list[subprocess.Popen[bytes]] = []
        self.results, self.log = folder / "results", folder / "log"
        weights = folder / f"weights-{os.getpid()}"
        weights.mkdir()
        (weights / "config.json").write_text("{}")
        self.model = f"vllm:{weights}"
        self.env = slurm.environment | {
            "EVALS_ENGINE_PYTHON": str(standin.install(folder / "engine")),
            "STANDIN_S": "0.5",
            "PYTHONPATH": os.pathsep.join(sys.path),
            "SOME_API_KEY": "sk-never-to-be-seen-in-a-job",
        }

    def start(self, *options: object) -> subprocess.Popen[bytes]:
        """Start the command, with two jobs of one CPU each."""
        arguments = (
            *("run", "mmlu-pro", "--sample", "-m", self.model, "--repeats", REPEATS, "--temperature", 0.7),
            *("--results", self.results, "--quiet", "--concurrency", CONCURRENCY, "--cluster", "slurm"),
            *("--replicas", 2, "--gpus", 0, "--slurm", f"grace={GRACE_S}", "--slurm", "cpus=1", *options),
        )
        with self.log.open("ab") as stream:
            process = subprocess.Popen(
                [sys.executable, "-c", "from evals.cli import main; main()", *map(str, arguments)],
                env=self.env, cwd=self.folder, stdout=stream, stderr=stream,
            )  # fmt: skip
        self.processes.append(process)
        return process

    @property
    def output(self) -> str:
        return self.log.read_text(errors="replace")

    def wait_until(
        self, condition: Callable[[], object], process: subprocess.Popen[bytes], seconds: float = 90
    ) -> None:
        """Wait for a condition while the command runs."""
        deadline = time.monotonic() + seconds
        while not condition():
            assert process.poll() is None, self.output
            assert time.monotonic() < deadline, self.output
            time.sleep(0.05)

    @property
    def run(self) -> Run:
        (run,) = runs(self.results)
        return Run(run.path)

    def record_count(self) -> int:
        """Return the number of records on disk."""
        return sum(path.read_bytes().count(b"\n") for path in self.results.glob("*/*/*/records.jsonl"))

    def replies(self) -> list[tuple[str, int]]:
        """Return the prompt and repeat of every record with a reply; the repeat is also the seed of the call."""
        return [
            (plain_text(record.prompt.messages[-1].parts), record.repeat)
            for record in self.run.records()
            if isinstance(record.outcome, Reply)
        ]

    def calls(self) -> list[tuple[str, int]]:
        """Return the prompt and seed of every call that any engine has received, without the launcher's own calls."""
        lines = (self.folder / "engine" / "requests.jsonl").read_text().splitlines()
        bodies = [body for line in lines if (body := json.loads(line)).get("max_tokens") != 1]
        return [(body["messages"][-1]["content"], body["seed"]) for body in bodies]

    def ready_count(self) -> int:
        """Return how many times a replica became ready."""
        return len(re.findall(r"replica \d on \S+ is ready", self.output))


@pytest.fixture
def workspace(slurm: Slurm, tmp_path: Path) -> Iterator[Workspace]:
    """A workspace whose processes and jobs are ended after the test."""
    workspace = Workspace(slurm, tmp_path)
    yield workspace
    for process in workspace.processes:
        process.kill()
        process.wait()
    slurm.run("scancel", "--user=root")
    slurm.wait_until_empty()


def reaper_of(driver: int) -> int:
    """Return the id of the process that cancels the jobs of a dead driver."""
    (pid,) = [
        pid for pid in process_tree(driver) if b"reaper.py" in Path(f"/proc/{pid}/cmdline").read_bytes()
    ]
    return pid


def run_with_disruptions(workspace: Workspace, *, with_reaper: bool) -> None:
    """Preempt a job, kill -9 the driver and scancel a job during one run; check that no reply is lost or repeated.

    `with_reaper`: whether the process that cancels the jobs of a killed driver survives; if it does not, the jobs end
    because their connection has ended.
    """
    slurm = workspace.slurm
    first = workspace.start()
    workspace.wait_until(lambda: workspace.record_count() >= 20 and workspace.ready_count() >= 2, first)
    slurm.submit("sleep 1", "--partition=high")
    workspace.wait_until(lambda: workspace.ready_count() >= 3, first)  # the preempted job has rejoined
    assert "was lost" in workspace.output
    reaper = reaper_of(first.pid)
    first.kill()
    if not with_reaper:
        os.kill(reaper, signal.SIGKILL)
    first.wait()
    slurm.wait_until_empty(seconds=30)
    before, calls_before = set(workspace.replies()), len(workspace.calls())
    assert 0 < len(before) < CALLS

    second = workspace.start()
    workspace.wait_until(lambda: "resuming" in workspace.output and workspace.ready_count() >= 5, second)
    slurm.run("scancel", slurm.jobs("RUNNING")[0])
    assert second.wait(120) == 0, workspace.output
    slurm.wait_until_empty(seconds=30)

    replies, later_calls = Counter(workspace.replies()), workspace.calls()[calls_before:]
    assert len(replies) == CALLS
    assert set(replies.values()) == {1}
    assert workspace.run.card.coverage == 1.0
    assert before.isdisjoint(later_calls)  # no recorded reply was requested again
    assert len(later_calls) - len(set(later_calls)) <= CONCURRENCY  # calls in flight when a job was cancelled
    assert not list(workspace.results.glob(".slurm/*/*.address"))


def test_preemption_a_killed_driver_and_a_cancelled_job_lose_no_reply(workspace: Workspace) -> None:
    run_with_disruptions(workspace, with_reaper=False)


@pytest.mark.nightly
@pytest.mark.parametrize("number", range(10))
def test_ten_disrupted_runs_lose_no_reply(workspace: Workspace, number: int) -> None:
    run_with_disruptions(workspace, with_reaper=number % 2 == 0)


def test_pending_jobs_are_reported_with_the_reason_and_cancelled_after_a_killed_driver(
    workspace: Workspace,
) -> None:
    slurm = workspace.slurm
    blocker = slurm.submit("sleep 300", "--ntasks=2")
    process = workspace.start()
    workspace.wait_until(lambda: "been pending for" in workspace.output, process)
    assert re.search(r"slurm: jobs? .+ been pending for 1\d s: (Resources|Priority)\n", workspace.output), (
        workspace.output
    )
    process.kill()
    process.wait()
    slurm.run("scancel", blocker)
    slurm.wait_until_empty(seconds=30)
    assert not workspace.record_count()


def error_line(workspace: Workspace, *options: object) -> str:
    """Return the last line of a command that cannot be started."""
    process = workspace.start("--replicas", 1, *options)
    assert process.wait(60) == 2, workspace.output
    assert "Traceback" not in workspace.output
    workspace.slurm.wait_until_empty()
    return workspace.output.strip().splitlines()[-1]


def test_an_unknown_partition_gives_a_one_line_message(workspace: Workspace) -> None:
    line = error_line(workspace, "--slurm", "partition=gpus")
    assert line == "evals: --cluster slurm: there is no partition 'gpus'; available: high, low"


def test_gpus_that_the_cluster_lacks_give_a_one_line_message(workspace: Workspace) -> None:
    assert error_line(workspace, "--gpus", 8).startswith("evals: --cluster slurm: sbatch: ")


def test_a_job_that_fails_at_once_is_reported_with_its_log(workspace: Workspace) -> None:
    workspace.env["HF_TOKEN"] = "hf_0123456789abcdefghij"  # the only secret that jobs receive
    setup = r"printf 'module: cuda/99\n\033[31mnot found, %s\n' $HF_TOKEN; exit 7"
    line = error_line(workspace, "--slurm", f"setup={setup}")
    match = re.fullmatch(
        r"evals: Slurm job \d+ ended \(failed\): module: cuda/99 / not found, \*\*\* \(log: (\S+)\)", line
    )
    assert match, line
    assert Path(match[1]).is_file()


def test_an_engine_that_fails_at_start_is_reported_with_its_reason(workspace: Workspace) -> None:
    workspace.env["STANDIN"] = "oom"
    line = error_line(workspace)
    assert "out of memory" in line
    assert "Slurm job" in line


def test_the_key_is_private_and_no_secret_reaches_a_job(workspace: Workspace) -> None:
    process = workspace.start("--replicas", 1)
    workspace.wait_until(lambda: workspace.record_count() >= 4, process)
    (address,) = workspace.results.glob(".slurm/*/*.address")
    assert address.stat().st_mode & 0o777 == 0o600
    assert address.parent.stat().st_mode & 0o777 == 0o700
    environment = json.loads((workspace.folder / "engine" / "environment.json").read_text())
    assert "SOME_API_KEY" not in environment
    (job,) = workspace.slurm.jobs("RUNNING")
    assert workspace.env["SOME_API_KEY"] not in workspace.slurm.run(
        "scontrol", "write", "batch_script", job, "-"
    )
    (log,) = workspace.results.glob(".slurm/*/*.out")
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            words = path.read_bytes()
        except OSError:
            continue
        assert b"never-to-be-seen" not in words
    process.send_signal(signal.SIGINT)
    process.wait(60)
    workspace.slurm.wait_until_empty(seconds=30)
    assert not address.exists()
    assert log.exists()


def test_a_detached_driver_is_a_job_and_its_run_resumes(workspace: Workspace) -> None:
    process = workspace.start("--detach", "--slurm", "driver_partition=high", "--replicas", 1, "--repeats", 4)
    assert process.wait(60) == 0, workspace.output
    driver = re.search(r"Slurm job (\d+) runs this command; log: (\S+);", workspace.output)
    assert driver
    deadline = time.monotonic() + 60
    while workspace.record_count() < 8:
        assert time.monotonic() < deadline, Path(driver[2]).read_text()
        time.sleep(0.1)
    workspace.slurm.run("scontrol", "requeue", driver[1])
    deadline = time.monotonic() + 90
    while workspace.slurm.run("squeue", "--noheader", "--format=%i") and time.monotonic() < deadline:
        time.sleep(0.2)
    assert "resuming" in Path(driver[2]).read_text()
    assert Counter(Counter(workspace.replies()).values()) == {1: 64}


def test_a_job_that_reaches_its_time_limit_is_requeued_and_rejoins(workspace: Workspace) -> None:
    process = workspace.start("--replicas", 1)
    workspace.wait_until(lambda: workspace.ready_count() >= 1 and workspace.record_count() >= 4, process)
    (job,) = workspace.slurm.jobs("RUNNING")
    workspace.slurm.run("scancel", "--signal=USR2", job)  # the signal that Slurm sends before the limit
    workspace.wait_until(lambda: workspace.ready_count() >= 2, process)
    assert workspace.slurm.jobs("RUNNING") == [job]
    process.send_signal(signal.SIGINT)
    process.wait(60)
