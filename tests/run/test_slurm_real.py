"""`--cluster slurm` on a real Slurm of one node, whose jobs launch a stand-in engine.

Each job goes the whole way: sbatch through submitit, `srun`, the launcher, an engine process, the connection back.
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
    with controller(cpus=2) as running:
        yield running


class Place:
    """A folder with weights, the stand-in's log, and the command."""

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

    def start(self, *more: object) -> subprocess.Popen[bytes]:
        """Start the command, with two jobs of one CPU each."""
        words = (
            *("run", "mmlu-pro", "--sample", "-m", self.model, "--repeats", REPEATS, "--temperature", 0.7),
            *("--results", self.results, "--quiet", "--concurrency", CONCURRENCY, "--cluster", "slurm"),
            *("--replicas", 2, "--gpus", 0, "--slurm", f"grace={GRACE_S}", "--slurm", "cpus=1", *more),
        )
        with self.log.open("ab") as stream:
            process = subprocess.Popen(
                [sys.executable, "-c", "from evals.cli import main; main()", *map(str, words)],
                env=self.env, cwd=self.folder, stdout=stream, stderr=stream,
            )  # fmt: skip
        self.processes.append(process)
        return process

    @property
    def text(self) -> str:
        return self.log.read_text(errors="replace")

    def until(
        self, condition: Callable[[], object], process: subprocess.Popen[bytes], seconds: float = 90
    ) -> None:
        """Wait for a condition while the command runs."""
        until = time.monotonic() + seconds
        while not condition():
            assert process.poll() is None, self.text
            assert time.monotonic() < until, self.text
            time.sleep(0.05)

    @property
    def run(self) -> Run:
        (run,) = runs(self.results)
        return Run(run.path)

    def recorded(self) -> int:
        """Return the number of records on disk."""
        return sum(path.read_bytes().count(b"\n") for path in self.results.glob("*/*/*/records.jsonl"))

    def replied(self) -> list[tuple[str, int]]:
        """Return the prompt and seed of every record with a reply."""
        return [
            (plain_text(record.prompt.messages[-1].parts), record.repeat)
            for record in self.run.records()
            if isinstance(record.outcome, Reply)
        ]

    def asked(self) -> list[tuple[str, int]]:
        """Return the prompt and seed of every call that has arrived at any engine, apart from the launcher's own."""
        lines = (self.folder / "engine" / "requests.jsonl").read_text().splitlines()
        bodies = [body for line in lines if (body := json.loads(line)).get("max_tokens") != 1]
        return [(body["messages"][-1]["content"], body["seed"]) for body in bodies]

    def ready(self) -> int:
        """Return how many times a replica became ready."""
        return len(re.findall(r"replica \d on \S+ is ready", self.text))


@pytest.fixture
def place(slurm: Slurm, tmp_path: Path) -> Iterator[Place]:
    place = Place(slurm, tmp_path)
    yield place
    for process in place.processes:
        process.kill()
        process.wait()
    slurm.run("scancel", "--user=root")
    slurm.wait_until_empty()


def reaper_of(driver: int) -> int:
    """Return the process that cancels the jobs of a driver that is gone."""
    (pid,) = [
        pid for pid in process_tree(driver) if b"reaper.py" in Path(f"/proc/{pid}/cmdline").read_bytes()
    ]
    return pid


def disrupted(place: Place, *, with_reaper: bool) -> None:
    """One run through preemption, kill -9 of the driver, and scancel of a job; nothing may be lost.

    `with_reaper`: whether the process that cancels the jobs of a killed driver survives; if it does not, the jobs end
    because their connection has ended.
    """
    slurm = place.slurm
    first = place.start()
    place.until(lambda: place.recorded() >= 20 and place.ready() >= 2, first)
    slurm.submit("sleep 1", "--partition=high")
    place.until(lambda: place.ready() >= 3, first)  # the preempted job has joined again
    assert "was lost" in place.text
    reaper = reaper_of(first.pid)
    first.kill()
    if not with_reaper:
        os.kill(reaper, signal.SIGKILL)
    first.wait()
    slurm.wait_until_empty(seconds=30)
    before, asked_before = set(place.replied()), len(place.asked())
    assert 0 < len(before) < CALLS

    second = place.start()
    place.until(lambda: "resuming" in place.text and place.ready() >= 5, second)
    slurm.run("scancel", slurm.jobs("RUNNING")[0])
    assert second.wait(120) == 0, place.text
    slurm.wait_until_empty(seconds=30)

    replied, later = Counter(place.replied()), place.asked()[asked_before:]
    assert len(replied) == CALLS
    assert set(replied.values()) == {1}
    assert place.run.card.coverage == 1.0
    assert before.isdisjoint(later)  # nothing that was recorded
    assert len(later) - len(set(later)) <= CONCURRENCY  # what was in flight when a job was cancelled
    assert not list(place.results.glob(".slurm/*/*.address"))


def test_preempted_killed_and_cancelled_nothing_is_lost(place: Place) -> None:
    disrupted(place, with_reaper=False)


@pytest.mark.nightly
@pytest.mark.parametrize("number", range(10))
def test_ten_times(place: Place, number: int) -> None:
    disrupted(place, with_reaper=number % 2 == 0)


def test_pending_jobs_are_explained_and_end_with_a_killed_driver(place: Place) -> None:
    slurm = place.slurm
    blocker = slurm.submit("sleep 300", "--ntasks=2")
    process = place.start()
    place.until(lambda: "been pending for" in place.text, process)
    assert re.search(r"slurm: jobs? .+ been pending for 1\d s: (Resources|Priority)\n", place.text), (
        place.text
    )
    process.kill()
    process.wait()
    slurm.run("scancel", blocker)
    slurm.wait_until_empty(seconds=30)
    assert not place.recorded()


def complaint(place: Place, *more: object) -> str:
    """Return the last line of a command that cannot be started."""
    process = place.start("--replicas", 1, *more)
    assert process.wait(60) == 2, place.text
    assert "Traceback" not in place.text
    place.slurm.wait_until_empty()
    return place.text.strip().splitlines()[-1]


def test_no_such_partition(place: Place) -> None:
    line = complaint(place, "--slurm", "partition=gpus")
    assert line == "evals: --cluster slurm: there is no partition 'gpus'; available: high, low"


def test_no_gpus(place: Place) -> None:
    assert complaint(place, "--gpus", 8).startswith("evals: --cluster slurm: sbatch: ")


def test_a_job_that_dies_at_once(place: Place) -> None:
    place.env["HF_TOKEN"] = "hf_0123456789abcdefghij"  # the one secret that jobs get
    setup = r"printf 'module: cuda/99\n\033[31mnot found, %s\n' $HF_TOKEN; exit 7"
    line = complaint(place, "--slurm", f"setup={setup}")
    match = re.fullmatch(
        r"evals: Slurm job \d+ ended \(failed\): module: cuda/99 / not found, \*\*\* \(log: (\S+)\)", line
    )
    assert match, line
    assert Path(match[1]).is_file()


def test_an_engine_that_dies_at_start(place: Place) -> None:
    place.env["STANDIN"] = "oom"
    line = complaint(place)
    assert "out of memory" in line
    assert "Slurm job" in line


def test_only_this_user_can_read_the_key_and_no_secret_reaches_a_job(place: Place) -> None:
    process = place.start("--replicas", 1)
    place.until(lambda: place.recorded() >= 4, process)
    (address,) = place.results.glob(".slurm/*/*.address")
    assert address.stat().st_mode & 0o777 == 0o600
    assert address.parent.stat().st_mode & 0o777 == 0o700
    environment = json.loads((place.folder / "engine" / "environment.json").read_text())
    assert "SOME_API_KEY" not in environment
    (job,) = place.slurm.jobs("RUNNING")
    assert place.env["SOME_API_KEY"] not in place.slurm.run("scontrol", "write", "batch_script", job, "-")
    (log,) = place.results.glob(".slurm/*/*.out")
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            words = path.read_bytes()
        except OSError:
            continue
        assert b"never-to-be-seen" not in words
    process.send_signal(signal.SIGINT)
    process.wait(60)
    place.slurm.wait_until_empty(seconds=30)
    assert not address.exists()
    assert log.exists()


def test_a_detached_driver_is_a_job_and_its_run_resumes(place: Place) -> None:
    process = place.start("--detach", "--slurm", "driver_partition=high", "--replicas", 1, "--repeats", 4)
    assert process.wait(60) == 0, place.text
    driver = re.search(r"Slurm job (\d+) runs this command; log: (\S+);", place.text)
    assert driver
    until = time.monotonic() + 60
    while place.recorded() < 8:
        assert time.monotonic() < until, Path(driver[2]).read_text()
        time.sleep(0.1)
    place.slurm.run("scontrol", "requeue", driver[1])
    until = time.monotonic() + 90
    while place.slurm.run("squeue", "--noheader", "--format=%i") and time.monotonic() < until:
        time.sleep(0.2)
    assert "resuming" in Path(driver[2]).read_text()
    assert Counter(Counter(place.replied()).values()) == {1: 64}


def test_a_job_that_reaches_its_time_limit_is_requeued_and_joins_again(place: Place) -> None:
    process = place.start("--replicas", 1)
    place.until(lambda: place.ready() >= 1 and place.recorded() >= 4, process)
    (job,) = place.slurm.jobs("RUNNING")
    place.slurm.run("scancel", "--signal=USR2", job)  # what Slurm sends before the limit
    place.until(lambda: place.ready() >= 2, process)
    assert place.slurm.jobs("RUNNING") == [job]
    process.send_signal(signal.SIGINT)
    process.wait(60)
