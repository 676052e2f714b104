"""The driver's side of a cluster: which replicas get requests, and what happens to samples whose replica dies, freezes or never starts.

Replicas are simulated in this process; `test_cluster_ray.py` has real ones.
"""

from __future__ import annotations

import asyncio
import re
import sys
from collections import Counter
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest
from msgspec import structs

from evals.errors import Context, Disconnected, EvalsError, Gone, ModelError, RateLimit, UsageError
from evals.prompts import ask
from evals.records.store import Run
from evals.run.cluster import host as hosts
from evals.run.cluster import placement
from evals.run.cluster import ray_replicas as replicas
from evals.run.cluster.queue import (
    Cluster,
    RemoteError,
    Replica,
    ReplicaRequest,
    ReplicaResponse,
    RequestBatch,
)
from evals.run.job import Job
from evals.run.runner import Runner
from evals.types import Failure, Message, Prompt, Reply, Sampling
from tests.support import toy
from tests.support.command import evals
from tests.support.error_messages import raises
from tests.support.simulated_replicas import REPLICA_INFO, SimulatedReplica

GREEDY = Sampling(temperature=0.0)


async def run(
    results: Path, simulated: list[SimulatedReplica], count: int = 60, **options: Any
) -> tuple[Job, Cluster]:
    """Run `count` samples on these replicas; the records stay in `job.writer.path`."""
    cluster = Cluster(simulated, REPLICA_INFO, **{k: options.pop(k) for k in ("lease_s",) if k in options})
    job = toy.job(results, toy.suite(count), model="simulated")
    try:
        await Runner(cluster, [job], **options).run()
    finally:
        await cluster.close()
        toy.close_job(job)
    return job, cluster


def reply_counts(job: Job) -> Counter[str]:
    """Return the number of replies to each sample among the records."""
    records = Run(job.writer.path).records()
    return Counter(record.sample for record in records if isinstance(record.outcome, Reply))


def act_after(replica: SimulatedReplica, requests: int, act: Callable[[], object]) -> None:
    """Call `act` once a replica has received `requests` requests; a fixed delay would be unreliable on a busy machine."""
    if len(replica.received) >= requests:
        act()
    else:
        asyncio.get_running_loop().call_later(0.001, act_after, replica, requests, act)


async def test_replicas_share_the_work(tmp_path: Path) -> None:
    simulated = [SimulatedReplica(0.005) for _ in range(3)]
    job, _ = await run(tmp_path, simulated, concurrency=12)
    assert reply_counts(job) == dict.fromkeys(job.samples.ids, 1)
    assert [len(replica.received) for replica in simulated] == pytest.approx([20] * 3, abs=4)
    assert all(replica.closed for replica in simulated)


async def test_the_server_of_the_first_replica_is_noted_once(tmp_path: Path) -> None:
    simulated = [SimulatedReplica(0.005) for _ in range(3)]
    for number, replica in enumerate(simulated):
        replica.info = structs.replace(REPLICA_INFO, notes=(f"server: vllm on port {number}",))
    _, cluster = await run(tmp_path, simulated)
    assert len(cluster.notes) == 1
    assert cluster.notes[0].startswith("server: vllm on port")


async def test_a_field_that_a_replicas_server_rejects_is_noted(tmp_path: Path) -> None:
    replica = Replica(1, SimulatedReplica(0.0))
    cluster = Cluster([SimulatedReplica(0.0)], REPLICA_INFO)
    cluster._replicas = [replica]
    note = "seed is not sent: the server rejects the field"
    responses = [ReplicaResponse(7, Reply(text="A"), (note,)), ReplicaResponse(8, Reply(text="A"))]
    replica.resolve(msgspec.msgpack.encode(responses))
    assert note in cluster.notes


async def test_a_slow_replica_gets_fewer_requests(tmp_path: Path) -> None:
    simulated = [SimulatedReplica(0.005), SimulatedReplica(0.2)]
    await run(tmp_path, simulated, concurrency=8)
    quick, slow = (len(replica.received) for replica in simulated)
    assert quick + slow == 60
    assert slow < 20


async def test_pending_requests_of_a_dead_replica_are_sent_to_others_once(tmp_path: Path) -> None:
    simulated = [SimulatedReplica(0.02) for _ in range(3)]
    act_after(simulated[1], 8, simulated[1].die)
    job, cluster = await run(tmp_path, simulated, concurrency=12)
    assert reply_counts(job) == dict.fromkeys(job.samples.ids, 1)
    records = list(Run(job.writer.path).records())
    assert len(records) == 60  # one record for each sample, none of them a failure
    assert max(r.outcome.attempts for r in records) == 2
    (note,) = cluster.notes
    assert re.fullmatch(
        r"cluster: replica 2 was lost \(its node is gone\); pending requests sent to others: [1-6]", note
    )


async def test_a_replica_that_freezes_loses_its_lease_and_its_samples_are_answered_once(
    tmp_path: Path,
) -> None:
    simulated = [SimulatedReplica(0.02, poll_s=0.05) for _ in range(2)]

    def freeze() -> None:
        simulated[0].frozen = True

    act_after(simulated[0], 8, freeze)
    job, cluster = await run(tmp_path, simulated, concurrency=8, lease_s=0.4)
    assert reply_counts(job) == dict.fromkeys(job.samples.ids, 1)
    assert any("silent for" in note for note in cluster.notes)


async def test_a_replica_with_another_version_of_this_package_gets_no_requests(tmp_path: Path) -> None:
    other = SimulatedReplica(info=structs.replace(REPLICA_INFO, version="0.0.1"))
    job, _ = await run(tmp_path, [other, SimulatedReplica()])
    assert reply_counts(job) == dict.fromkeys(job.samples.ids, 1)
    assert other.closed
    assert not other.received


async def test_an_unexpected_exception_of_a_link_ends_its_replica_and_the_others_take_over(
    tmp_path: Path,
) -> None:
    class Broken(SimulatedReplica):
        async def receive(self) -> bytes:
            if self.received:
                raise ConnectionError("the Ray client has lost its cluster")
            return await super().receive()

    broken = Broken(0.01)
    async with asyncio.timeout(30):
        job, cluster = await run(tmp_path, [broken, SimulatedReplica(0.01)])
    assert reply_counts(job) == dict.fromkeys(job.samples.ids, 1)
    assert broken.closed
    assert any("the Ray client has lost its cluster" in note for note in cluster.notes)


async def test_a_lost_replica_gets_requests_again_after_it_restarts(tmp_path: Path) -> None:
    (replica,) = simulated = [SimulatedReplica(0.01)]

    def die_and_restart() -> None:
        replica.die()
        asyncio.get_running_loop().call_later(0.1, replica.may_restart.set)

    act_after(replica, 16, die_and_restart)
    job, _ = await run(tmp_path, simulated, concurrency=4)
    assert (replica.starts, len(reply_counts(job))) == (2, 60)


class Broken(SimulatedReplica):
    """A replica that can start `max_starts` times; each later start fails."""

    def __init__(self, max_starts: int) -> None:
        super().__init__(0.01)
        self._max_starts = max_starts

    async def start(self):
        if self.starts >= self._max_starts:
            raise UsageError("CUDA out of memory (on node-7)")
        return await super().start()


async def test_if_all_replicas_fail_to_start_the_run_ends_with_the_reason(tmp_path: Path) -> None:
    with raises(UsageError):
        await run(tmp_path, [Broken(0), Broken(0)])


async def test_a_replica_that_fails_to_start_does_not_stop_the_others(tmp_path: Path) -> None:
    job, _ = await run(tmp_path, [Broken(0), SimulatedReplica(0.001)])
    assert len(reply_counts(job)) == 60


async def test_after_the_last_replica_is_lost_pending_samples_are_left_for_the_next_run(
    tmp_path: Path,
) -> None:
    replica = Broken(1)
    act_after(replica, 16, replica.die)
    job, _ = await run(tmp_path, [replica], concurrency=4)
    replied = reply_counts(job)
    assert 0 < len(replied) < 60
    assert not [r for r in Run(job.writer.path).records() if isinstance(r.outcome, Failure)]
    resumed, _ = await run(tmp_path, [SimulatedReplica()])
    assert reply_counts(resumed) == dict.fromkeys(job.samples.ids, 1)


async def test_a_replica_whose_server_has_ended_does_not_affect_the_others(tmp_path: Path) -> None:
    def report_gone(text: str) -> Reply | RemoteError:
        return RemoteError.of(Gone("vllm:x died again"))

    job, cluster = await run(
        tmp_path, [SimulatedReplica(0.01), SimulatedReplica(0.01, respond=report_gone)], concurrency=4
    )
    assert len(reply_counts(job)) == 60
    assert any("died again" in note for note in cluster.notes)


async def test_a_replica_that_cannot_start_is_closed_at_once() -> None:
    broken, working = Broken(0), SimulatedReplica(0.001)
    cluster = Cluster([broken, working], REPLICA_INFO)
    await cluster.ready()  # type: ignore[misc]
    for _ in range(100):
        if broken.closed:
            break
        await asyncio.sleep(0.01)
    assert broken.closed
    assert not working.closed
    await cluster.close()


@pytest.mark.parametrize(
    "error",
    [
        Context("too long"),
        RateLimit("slower", retry_after_s=2.0),
        Disconnected("refused", unreachable=True),
        ModelError("odd"),
        UsageError("no weights"),
    ],
)
def test_an_error_of_a_replica_keeps_its_type_message_and_fields(error: EvalsError) -> None:
    rebuilt = RemoteError.of(error).to_exception()
    assert (type(rebuilt), str(rebuilt), vars(rebuilt)) == (type(error), str(error), vars(error))


def test_an_unexpected_exception_of_a_replica_becomes_a_model_error() -> None:
    rebuilt = RemoteError.of(KeyError("choices")).to_exception()
    assert (type(rebuilt), str(rebuilt)) == (ModelError, "KeyError: 'choices'")


class FunctionModel:
    """A model whose replies come from a function; it replaces the model of a host."""

    def __init__(self, reply: Callable[[Prompt], Awaitable[Reply]]) -> None:
        self._reply = reply

    async def reply(self, prompt: Prompt, sampling: Sampling) -> Reply:
        return await self._reply(prompt)


async def test_a_host_cancels_the_call_of_a_cancelled_request() -> None:
    async def hang(prompt: Prompt) -> Reply:
        await asyncio.sleep(60)
        raise AssertionError

    host = hosts.ReplicaHost("scripted:A", {})
    host._model = FunctionModel(hang)
    await host.send(hosts._encode(RequestBatch([ReplicaRequest(1, ask("x"), GREEDY)], [])))
    await asyncio.sleep(0.01)
    (task,) = host._tasks.values()
    await host.send(hosts._encode(RequestBatch([], [1])))
    await asyncio.sleep(0.01)
    assert task.cancelled()
    assert not host._tasks


async def test_a_host_returns_replies_and_errors(monkeypatch) -> None:
    import msgspec

    host = hosts.ReplicaHost("scripted:call=test_cluster:fail_on_odd_numbers", {})
    start, info = await host.start()
    assert replicas._decode_info(info).name == "scripted"
    await host.send(
        hosts._encode(RequestBatch([ReplicaRequest(n, ask(str(n)), GREEDY) for n in range(4)], []))
    )
    responses = msgspec.msgpack.decode(await host.receive(start), type=list[ReplicaResponse])
    results = {
        r.number: r.outcome.text if isinstance(r.outcome, Reply) else r.outcome.message for r in responses
    }
    assert results == {0: "even", 1: "ValueError: odd", 2: "even", 3: "ValueError: odd"}
    monkeypatch.setattr(hosts, "POLL_S", 0.01)
    restart, _ = await host.start()
    assert await host.receive(start) == await host.receive(restart) == hosts._encode([])


async def test_an_image_that_a_node_cannot_store_is_an_error_of_its_request(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from evals.data import media

    def fail(folder: Path, raw: bytes) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(media, "store_image", fail)
    host = hosts.ReplicaHost("scripted:A", {})
    start, _ = await host.start()
    await host.send(hosts._encode(RequestBatch([ReplicaRequest(1, ask("?"), GREEDY, {"x": b"png"})], [])))
    (response,) = msgspec.msgpack.decode(await host.receive(start), type=list[ReplicaResponse])
    assert "No space left" in response.outcome.message


async def test_a_request_that_is_cancelled_in_the_same_message_makes_no_call() -> None:
    calls = []

    async def count_calls(prompt: Prompt) -> Reply:
        calls.append(prompt)
        return Reply(text="A")

    host = hosts.ReplicaHost("scripted:A", {})
    host._model = FunctionModel(count_calls)
    await host.send(hosts._encode(RequestBatch([ReplicaRequest(n, ask("?"), GREEDY) for n in (1, 2)], [1])))
    await asyncio.gather(*host._tasks.values())
    assert len(calls) == 1


def fail_on_odd_numbers(prompt: Prompt) -> str:
    if int(prompt.messages[0].parts[0].text) % 2:
        raise ValueError("odd")
    return "even"


async def test_a_host_that_cannot_load_its_model_reports_why() -> None:
    host = hosts.ReplicaHost("vllm:nowhere", {})
    info = replicas._decode_info(await host.info())
    assert info.fault.startswith("vllm:nowhere")
    assert "\n" not in info.fault


async def test_an_image_is_sent_with_the_request_and_kept_while_a_call_uses_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from io import BytesIO

    from PIL import Image

    from evals.data import media
    from evals.run.cluster.queue import _read_images

    stream = BytesIO()
    Image.new("RGB", (8, 8), "red").save(stream, format="PNG")
    image = media.store_image(tmp_path, stream.getvalue())
    prompt = Prompt(messages=(Message("user", (image,)),))
    requests = [ReplicaRequest(number, prompt, GREEDY, _read_images(prompt)) for number in (1, 2)]
    # as on another machine, which does not see the driver's folder
    monkeypatch.setattr(media, "_used_folders", {})
    payloads = []

    async def record_image(prompt: Prompt) -> Reply:
        payloads.append(await media.payload(image))
        is_first = len(payloads) == 1
        await asyncio.sleep(0.01 if is_first else 0.05)
        if not is_first:  # the first call has ended
            payloads.append(await media.payload(image))
        return Reply(text="red")

    host = hosts.ReplicaHost("scripted:A", {})
    host._model = FunctionModel(record_image)
    await host.send(hosts._encode(RequestBatch(requests, [])))
    await asyncio.gather(*host._tasks.values())
    assert payloads == [("image/png", stream.getvalue())] * 3
    assert not list(host._folder.iterdir())  # no temporary file is left


@pytest.mark.parametrize(
    ("spec", "nodes", "options", "expected"),
    [
        ("server:http://x/v1#m", [{"CPU": 8}] * 3, {}, (3, 0, 1)),
        ("server:http://x/v1#m", [{"CPU": 8}] * 3, {"replicas": 7}, (7, 0, 1)),
        ("vllm:internlm/Intern-S1-mini", [{"CPU": 8, "GPU": 8}] * 2, {}, (16, 1, 1)),
        ("vllm:/weights", [{"CPU": 8, "GPU": 8}, {"CPU": 8}], {}, (8, 1, 1)),
        ("vllm:/weights", [{"CPU": 8, "GPU": 8}] * 2, {"gpus": 4}, (4, 4, 1)),
        ("vllm:/weights", [{"GPU": 8, "accelerator_type:H100": 1}] * 4, {"gpus": 16}, (2, 16, 2)),
        ("sglang:/weights", [{"GPU": 8}] * 5, {"gpus": 24}, (1, 24, 3)),
        ("vllm:/weights", [{"GPU": 8}] * 4, {"gpus": 12}, (2, 12, 2)),  # six GPUs on each node, two idle
        ("vllm:/weights", [{"GPU": n} for n in (6, 4, 4)], {"gpus": 8}, (1, 8, 2)),
        ("vllm:/weights", [{"GPU": n} for n in (8, 3, 3)], {"gpus": 9}, (1, 9, 3)),
        ("vllm:/weights", [{"CPU": 8}], {"gpus": 0}, (1, 0, 1)),
    ],
)
def test_placement_of_replicas_on_gpus_and_nodes(spec, nodes, options, expected) -> None:
    placed = placement.place(spec, nodes, replicas=options.get("replicas"), gpus=options.get("gpus"))
    assert (placed.replicas, placed.gpus, placed.nodes) == expected


def test_intern_s1_gets_the_gpus_of_its_profile() -> None:
    nodes = [{"CPU": 64, "GPU": 8, "accelerator_type:H100": 1}] * 2
    placed = placement.place("vllm:internlm/Intern-S1-FP8", nodes, replicas=None, gpus=None)
    assert placed.replicas * placed.gpus == 16
    assert placed.gpus >= 4


class RecordingRay:
    """A stand-in for Ray that records the options of actors and starts none."""

    def __init__(self) -> None:
        self.actor_options: dict[str, Any] = {}

    def remote(self, *_: Any, **__: Any) -> RecordingRay:
        return self

    def options(self, **options: Any) -> RecordingRay:
        self.actor_options = options
        return self


def test_the_environment_of_replicas_contains_the_engines_arguments_but_no_keys(monkeypatch) -> None:
    monkeypatch.setenv("EVALS_ENGINE_ARGS", "--seed 1")
    monkeypatch.setenv("EVALS_SERVER_KEY", "secret")
    recording_ray = RecordingRay()
    assert len(replicas._start_actors(recording_ray, "vllm:x/y", placement.Placement(3, 4), {})) == 3
    assert (recording_ray.actor_options["num_gpus"], recording_ray.actor_options["scheduling_strategy"]) == (
        4,
        "SPREAD",
    )
    assert recording_ray.actor_options["runtime_env"]["env_vars"] == {
        "EVALS_ENGINE_ARGS": "--seed 1",
        "EVALS_ENGINE_GPUS": "4",
    }


@pytest.mark.parametrize(
    ("need", "gpus", "fits"),
    [
        (4, [2, 2, 2, 2], (2, 2)),
        (8, [16, 4, 4], (2, 2)),  # never two shards of one replica on a node
        (6, [2, 2], (0, 0)),
        (7, [4, 4], (0, 0)),  # 7 GPUs cannot be divided equally
        (6, [4, 2, 2], (1, 3)),
    ],
)
def test_a_replica_spans_as_few_nodes_as_possible(need, gpus, fits) -> None:
    assert placement.multi_node_fit(need, gpus) == fits


@pytest.mark.parametrize(
    ("nodes", "gpus"),
    [
        ([{"CPU": 8.0}] * 3, None),
        ([{"CPU": 8.0, "GPU": 2.0}] * 2, 8),
    ],
    ids=["no GPU", "4 GPUs"],
)
def test_too_few_gpus_give_a_one_line_message(nodes, gpus) -> None:
    with raises(UsageError):
        placement.place("vllm:internlm/Intern-S1-mini", nodes, replicas=None, gpus=gpus)


@pytest.mark.parametrize("spec", ["lmdeploy:/weights", "hf:internlm/Intern-S1-mini"])
def test_engines_that_cannot_span_nodes_are_rejected(spec) -> None:
    with raises(UsageError):
        placement.place(spec, [{"GPU": 2}] * 4, replicas=None, gpus=4)


@pytest.mark.parametrize(
    "arguments",
    [
        ["--cluster", "pbs"],
        ["--cluster", "ray://"],
        ["--cluster", "ray://127.0.0.1:1"],
        ["--replicas", "3"],
        ["--cluster", "ray", "--replicas", "0"],
        ["--cluster", "ray", "--gpus", "-1"],
    ],
    ids=" ".join,
)
@pytest.mark.filterwarnings("ignore")  # deprecation warnings of Ray itself
def test_a_wrong_option_gives_a_one_line_message(here, arguments) -> None:
    pytest.importorskip("ray", reason="NOT TESTED: ray is not installed")
    outcome = evals("run", "mmlu-pro", "--sample", "-m", "scripted:A", "--quiet", *arguments)
    outcome.assert_usage_error()


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("kind", [Exception, RuntimeError, ValueError])
def test_a_ray_cluster_that_does_not_start_gives_a_one_line_message(here, monkeypatch, kind) -> None:
    ray = pytest.importorskip("ray", reason="NOT TESTED: ray is not installed")

    def init(*addresses: str, **options: object) -> None:
        raise (
            ConnectionError
            if addresses
            else kind("The current node timed out during startup.\nThis could be")
        )

    monkeypatch.setattr(ray, "init", init)
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    outcome = evals("run", "mmlu-pro", "--sample", "-m", "scripted:A", "--cluster", "ray")
    outcome.assert_usage_error()


def test_without_ray_the_message_names_the_extra(here, monkeypatch) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    outcome = evals("run", "mmlu-pro", "--sample", "-m", "scripted:A", "--cluster", "ray")
    outcome.assert_usage_error()
