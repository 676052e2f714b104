"""`--cluster slurm` without Slurm: settings, the connection between driver and job, and messages about the end of a job.

`test_slurm_real.py` uses a real Slurm.
"""

from __future__ import annotations

import asyncio
import os
from pathlib import Path
from typing import Any

import aiohttp
import msgspec
import pytest
from msgspec import structs

from evals.errors import UnknownName, UsageError
from evals.prompts import ask
from evals.run import request
from evals.run.cluster.queue import Cluster, ReplicaInfo, ReplicaLost, ReplicaRequest, RequestBatch
from evals.run.cluster.slurm import messages, scheduler, settings, submission
from evals.run.cluster.slurm.handshake import DRIVER, JOB, Unauthenticated, authenticate
from evals.run.cluster.slurm.link import SlurmLink
from evals.run.cluster.slurm.node import NodeJob, _Server
from evals.run.cluster.slurm.scheduler import SlurmJobs, State
from evals.types import Sampling
from tests.support.command import evals
from tests.support.error_messages import raises

# --- settings


def test_settings_come_from_the_command_line_the_file_and_the_environment() -> None:
    environment = {"EVALS_SLURM_PARTITION": "cpu", "EVALS_SLURM_ACCOUNT": "lab", "EVALS_SLURM_SETUP": "a\nb"}
    table = {"partition": "gpu", "gpus": 8, "time": "1-00:00:00"}
    entries = [*request.make_request({"slurm": table}).slurm, "gpus=4"]
    merged = settings.read(entries, environment)
    assert (merged.partition, merged.account, merged.gpus, merged.setup) == ("gpu", "lab", 4, ("a", "b"))
    assert settings.minutes(merged.time) == 1440


def test_setup_may_be_a_list_of_lines() -> None:
    run_request = request.make_request(
        {"slurm": {"setup": ["module load cuda", "source venv/bin/activate"]}}, source="f.toml"
    )
    assert settings.read(run_request.slurm, {}).setup == ("module load cuda", "source venv/bin/activate")


def test_a_key_of_the_command_line_replaces_that_of_the_file(tmp_path: Path) -> None:
    from evals.commands.run import _make_request

    path = tmp_path / "night.toml"
    path.write_text(
        'suites = ["gpqa"]\nmodels = ["vllm:a/b"]\ncluster = "slurm"\n[slurm]\npartition = "gpu"\naccount = "lab"\n'
    )
    merged = settings.read(_make_request([str(path)], {"slurm": ("partition=debug",)}).slurm, {})
    assert (merged.partition, merged.account) == ("debug", "lab")


@pytest.mark.parametrize(
    "entry",
    [
        "partitio=x",
        "partition",
        "gpus=many",
        "gpus=-1",
        "cpus=0",
        "time=soon",
        "time=0",
        "account=a\n#SBATCH --uid=0",
        "setup=export HF_TOKEN=hf_0123456789abcdefghijkl",
    ],
)
def test_a_wrong_setting_gives_a_one_line_message(entry: str) -> None:
    with raises((UsageError, UnknownName)) as caught:
        settings.read([entry], {})
    assert "\n" not in str(caught.value)


def test_settings_appear_in_the_batch_script(tmp_path: Path) -> None:
    slurm = pytest.importorskip("submitit.slurm.slurm", reason="NOT TESTED: submitit is not installed")
    merged = settings.read(
        ["partition=gpu", "container=evals.sqsh", "mounts=/data:/data", "setup=module load x", "memory=64G"],
        {},
    )
    script = slurm._make_sbatch_string(
        "python3 job", tmp_path, **submission._submitit_parameters(merged, gpus=8)
    )
    for line in (
        "#SBATCH --partition=gpu", "#SBATCH --gpus-per-node=8", "#SBATCH --mem=64G", "#SBATCH --time=240",
        "#SBATCH --requeue", "#SBATCH --signal=USR2@90", "module load x",
    ):  # fmt: skip
        assert line in script.splitlines()
    assert "--container-image=evals.sqsh --container-mounts=/data:/data python3 job" in script
    assert "wckey" not in script


@pytest.mark.parametrize(
    "arguments",
    [
        ["--cluster", "slurm"],
        ["--slurm", "partition=x"],
        ["--detach"],
        ["--cluster", "slurm", "--detach"],
    ],
    ids=" ".join,
)
def test_without_slurm_the_message_names_the_missing_command_or_option(
    here: Path, arguments: list[str]
) -> None:
    outcome = evals("run", "gpqa", "--sample", "-m", "demo:careful", *arguments, env={"PATH": str(here)})
    outcome.assert_usage_error()
    assert not (here / "results").exists()


def test_a_sweep_accepts_detach(here: Path) -> None:
    (here / "sweep.toml").write_text(
        'cluster = "slurm"\nsample = true\n[[sweep]]\nmodels = ["demo:careful"]\nsuites = ["gpqa"]\n'
    )
    outcome = evals("run", "sweep.toml", "--detach", env={"PATH": str(here)})
    outcome.assert_usage_error()
    assert not (here / "results").exists()


def test_a_python_program_cannot_be_detached(here: Path) -> None:
    import evals as package

    with raises(UsageError):
        package.evaluate("gpqa", "demo:careful", sample=True, cluster="slurm", detach=True)


# --- driver and job


class LocalJob:
    """A job that runs in this process."""

    def __init__(self, folder: Path, model: str = "scripted:A", grace_s: float = 0.5) -> None:
        self.folder = folder
        job = NodeJob(model, {}, folder=folder, gpus=0, grace_s=grace_s)
        self.server = _Server(job)
        self.task = asyncio.get_running_loop().create_task(self.server.run("7"))

    async def address(self) -> messages.Announcement:
        while (address := messages.read_announcement(self.folder, "7")) is None:  # noqa: ASYNC110
            await asyncio.sleep(0.01)
        return address

    def link(self) -> SlurmLink:
        return SlurmLink("7", self.folder, SlurmJobs([], self.folder))


async def test_a_job_answers_and_ends_with_the_run(tmp_path: Path) -> None:
    job = LocalJob(tmp_path)
    address = await job.address()
    assert messages.announcement_path(tmp_path, "7").stat().st_mode & 0o777 == 0o600
    cluster = Cluster([job.link()], address.info)
    if (waiting := cluster.ready()) is not None:
        await waiting
    replies = await asyncio.gather(*(cluster.reply(ask(str(n)), Sampling()) for n in range(50)))
    assert [reply.text for reply in replies] == ["A"] * 50
    await cluster.close()
    assert await job.task == "the driver has finished"
    assert messages.read_announcement(tmp_path, "7") is None


async def test_after_sigterm_a_job_sends_no_more_responses(tmp_path: Path) -> None:
    """Slurm signals the model too; its failed calls must not count as responses, since the job may be requeued."""
    job = LocalJob(tmp_path)
    await job.address()
    link = job.link()
    await link.start()
    job.server._end("SIGTERM")
    link.send(request_message("x"))

    async def receive_until_lost() -> None:
        while True:
            assert await link.receive() == msgspec.msgpack.encode([])

    with pytest.raises(ReplicaLost):
        await receive_until_lost()
    await link.close()
    job.task.cancel()  # it would otherwise run until Slurm kills it
    await asyncio.gather(job.task, return_exceptions=True)
    assert messages.read_announcement(tmp_path, "7") is None


def request_message(text: str) -> bytes:
    """Return a message with one request."""
    return msgspec.msgpack.encode(RequestBatch([ReplicaRequest(1, ask(text), Sampling())], []))


async def test_a_job_ends_if_its_driver_does_not_reconnect(tmp_path: Path) -> None:
    job = LocalJob(tmp_path)
    await job.address()
    link = job.link()
    await link.start()
    assert link._session is not None
    await link._disconnect()  # without a closing message, as when a process is killed
    await link._session.close()
    assert await job.task == "no connection from the driver for 0 s"


async def test_a_lost_connection_is_restored(tmp_path: Path) -> None:
    job = LocalJob(tmp_path, grace_s=30)
    cluster = Cluster([job.link()], (await job.address()).info)
    await cluster.ready()  # type: ignore[misc]
    assert job.server._socket is not None
    await job.server._socket.close()
    await asyncio.sleep(0.05)
    while (waiting := cluster.ready()) is not None:
        await waiting
    assert (await cluster.reply(ask("x"), Sampling())).text == "A"
    assert any("the connection to Slurm job 7 at" in note for note in cluster.notes)
    await cluster.close()
    await job.task


async def test_a_node_whose_name_cannot_be_resolved_announces_its_address(
    tmp_path: Path, monkeypatch
) -> None:
    monkeypatch.setattr("socket.gethostname", lambda: "node-7.invalid")
    job = LocalJob(tmp_path)
    assert (await job.address()).host.replace(".", "").isdecimal()
    link = job.link()
    assert (await link.start()).node == "node-7.invalid"
    await link.close()
    await job.task


async def test_a_job_rejects_connections_without_the_key(tmp_path: Path) -> None:
    job = LocalJob(tmp_path)
    address = await job.address()
    link = job.link()
    assert not await link._connect(structs.replace(address, key=b"another"))
    async with aiohttp.ClientSession() as session:
        connection = await session.ws_connect(f"http://{address.host}:{address.port}{messages.PATH}")
        nonce = await connection.receive_bytes()
        await connection.send_bytes(nonce)  # a reflection attack: the nonce itself as the proof
        assert await connection.receive_bytes() != nonce
        await connection.send_bytes(bytes(32))
        assert (await connection.receive()).type is aiohttp.WSMsgType.CLOSE
        await connection.close()
    assert await link._connect(address)
    await link.close()
    assert await job.task == "the driver has finished"


async def test_a_process_at_the_port_without_the_key_receives_no_request(tmp_path: Path) -> None:
    from aiohttp import web

    received: list[Any] = []

    async def impersonate(request: web.Request) -> web.WebSocketResponse:
        connection = web.WebSocketResponse()
        await connection.prepare(request)
        with pytest.raises(Unauthenticated):
            await authenticate(connection, b"guessed", role=JOB, peer=DRIVER)
        received.extend([message async for message in connection])
        return connection

    app = web.Application()
    app.router.add_get(messages.PATH, impersonate)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    address = messages.Announcement(
        host="127.0.0.1", port=runner.addresses[0][1], key=b"right", info=ReplicaInfo(name="m")
    )
    link = SlurmLink("7", tmp_path, SlurmJobs([], tmp_path))
    assert not await link._connect(address)
    await link.close()
    await runner.cleanup()
    assert not received


def test_an_address_file_that_other_users_could_have_written_is_ignored(tmp_path: Path) -> None:
    address = messages.Announcement(host="h", port=1, key=b"k", info=ReplicaInfo())
    messages.announce(tmp_path, "7", address)
    assert messages.read_announcement(tmp_path, "7") == address
    messages.announcement_path(tmp_path, "7").chmod(0o644)
    assert messages.read_announcement(tmp_path, "7") is None
    (tmp_path / "8.address").symlink_to(tmp_path / "7.address")
    assert messages.read_announcement(tmp_path, "8") is None
    (tmp_path / "9.address").write_bytes(b"\xc1garbage")
    assert messages.read_announcement(tmp_path, "9") is None


# --- messages about jobs


def test_the_last_lines_of_a_log_contain_no_secrets_and_no_escape_codes(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setenv("WANDB_API_KEY", "0123456789abcdef")
    log = scheduler.log_path(tmp_path, "7")
    log.write_text("x\n" * 1000 + "key 0123456789abcdef\n\x1b]0;title\x07\x1b[31mValueError:\tbad\n\n")
    assert scheduler.last_lines(log) == f"x / x / key *** / ValueError: bad (log: {log})"
    log.unlink()
    assert "wrote no log" in scheduler.last_lines(log)
    os.mkfifo(log)
    assert "wrote no log" in scheduler.last_lines(log)


def test_pending_jobs_are_named_with_the_reason_of_the_scheduler(tmp_path: Path, monkeypatch, capsys) -> None:
    states = {"7": State("PENDING", "Priority"), "8": State("PENDING", "Priority"), "9": State("RUNNING")}
    monkeypatch.setattr(scheduler, "query_states", lambda jobs: states)
    jobs = SlurmJobs(["7", "8", "9"], tmp_path)
    start = 1000.0
    for seconds in (0, 5, 10, 15, 60, 65, 300, 900, 3600, 7190, 7200):
        monkeypatch.setattr(scheduler.time, "monotonic", lambda now=start + seconds: now)
        jobs.describe_end("7")
    assert capsys.readouterr().err.splitlines() == [
        f"slurm: jobs 7, 8 have been pending for {duration}: Priority"
        for duration in ("10 s", "1 minute", "5 minutes", "15 minutes", "60 minutes", "120 minutes")
    ]


def test_a_job_that_slurm_is_about_to_requeue_has_not_ended(tmp_path: Path, monkeypatch) -> None:
    answers = iter([{"7": State("PREEMPTED")}, {"7": State("PENDING", "BeginTime")}, None, {}, {}])
    monkeypatch.setattr(scheduler, "query_states", lambda jobs: next(answers))
    monkeypatch.setattr(scheduler, "POLL_S", 0.0)
    jobs = SlurmJobs(["7"], tmp_path)
    assert [jobs.describe_end("7") for _ in range(4)] == [""] * 4
    assert jobs.describe_end("7").startswith(
        "Slurm job 7 ended (no longer listed by squeue): it wrote no log at"
    )


def test_waiting_for_the_first_job_ends_when_the_command_is_interrupted(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr(scheduler, "query_states", lambda jobs: {"7": State("PENDING", "Resources")})
    with raises(UsageError):
        submission._first_info(SlurmJobs(["7"], tmp_path), tmp_path, lambda: True)
