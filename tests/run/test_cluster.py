"""The driver's side of a cluster: who is asked, and what becomes of samples whose replica dies, freezes or never starts.

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
from tests.support.simulated_replicas import FACTS, SimulatedReplica

ANYTHING = Sampling(temperature=0.0)


async def run(
    results: Path, links: list[SimulatedReplica], count: int = 60, **options: Any
) -> tuple[Job, Cluster]:
    """Ask `count` samples of these replicas; the records are left in `job.writer.path`."""
    cluster = Cluster(links, FACTS, **{k: options.pop(k) for k in ("lease_s",) if k in options})
    job = toy.job(results, toy.suite(count), model="simulated")
    try:
        await Runner(cluster, [job], **options).run()
    finally:
        await cluster.close()
        toy.close_job(job)
    return job, cluster


def answered(job: Job) -> Counter[str]:
    """How often each sample has a reply among the records."""
    records = Run(job.writer.path).records()
    return Counter(record.sample for record in records if isinstance(record.outcome, Reply))


def once(link: SimulatedReplica, asked: int, act: Callable[[], object]) -> None:
    """Have something happen when a replica was asked so often; on a crowded machine, seconds say nothing."""
    if len(link.received) >= asked:
        act()
    else:
        asyncio.get_running_loop().call_later(0.001, once, link, asked, act)


async def test_replicas_share_the_work(tmp_path: Path) -> None:
    links = [SimulatedReplica(0.005) for _ in range(3)]
    job, _ = await run(tmp_path, links, concurrency=12)
    assert answered(job) == dict.fromkeys(job.samples.ids, 1)
    assert [len(link.received) for link in links] == pytest.approx([20] * 3, abs=4)
    assert all(link.closed for link in links)


async def test_what_the_first_replica_says_of_its_server_is_noted_once(tmp_path: Path) -> None:
    links = [SimulatedReplica(0.005) for _ in range(3)]
    for number, link in enumerate(links):
        link.facts = structs.replace(FACTS, notes=(f"server: vllm on port {number}",))
    _, cluster = await run(tmp_path, links)
    assert len(cluster.notes) == 1
    assert cluster.notes[0].startswith("server: vllm on port")


async def test_what_a_replicas_server_refuses_while_it_answers_is_noted(tmp_path: Path) -> None:
    replica = Replica(1, SimulatedReplica(0.0))
    cluster = Cluster([SimulatedReplica(0.0)], FACTS)
    cluster._replicas = [replica]
    refused = "seed is not sent: the server rejects the field"
    answers = [ReplicaResponse(7, Reply(text="A"), (refused,)), ReplicaResponse(8, Reply(text="A"))]
    replica.resolve(msgspec.msgpack.encode(answers))
    assert refused in cluster.notes


async def test_a_slow_replica_gets_less(tmp_path: Path) -> None:
    links = [SimulatedReplica(0.005), SimulatedReplica(0.2)]
    await run(tmp_path, links, concurrency=8)
    quick, slow = (len(link.received) for link in links)
    assert quick + slow == 60
    assert slow < 20


async def test_what_a_dead_replica_had_goes_to_others_once(tmp_path: Path) -> None:
    links = [SimulatedReplica(0.02) for _ in range(3)]
    once(links[1], 8, links[1].die)
    job, cluster = await run(tmp_path, links, concurrency=12)
    assert answered(job) == dict.fromkeys(job.samples.ids, 1)
    records = list(Run(job.writer.path).records())
    assert len(records) == 60  # none failed, none was written twice
    assert max(r.outcome.attempts for r in records) == 2
    (note,) = cluster.notes
    assert re.fullmatch(
        r"cluster: replica 2 was lost \(its node is gone\); pending requests sent to others: [1-6]", note
    )


async def test_a_silent_replica_loses_its_lease_and_its_late_answers_are_thrown_away(tmp_path: Path) -> None:
    links = [SimulatedReplica(0.02, poll_s=0.05) for _ in range(2)]

    def freeze() -> None:
        links[0].frozen = True

    once(links[0], 8, freeze)
    job, cluster = await run(tmp_path, links, concurrency=8, lease_s=0.4)
    assert answered(job) == dict.fromkeys(job.samples.ids, 1)
    assert any("silent for" in note for note in cluster.notes)


async def test_a_lost_replica_is_asked_again_when_it_is_back(tmp_path: Path) -> None:
    (link,) = links = [SimulatedReplica(0.01)]

    def dies() -> None:
        link.die()
        asyncio.get_running_loop().call_later(0.1, link.may_restart.set)

    once(link, 16, dies)
    job, _ = await run(tmp_path, links, concurrency=4)
    assert (link.starts, len(answered(job))) == (2, 60)


class Broken(SimulatedReplica):
    """Never starts, or never starts again."""

    def __init__(self, starts: int) -> None:
        super().__init__(0.01)
        self._good = starts

    async def start(self):
        if self.starts >= self._good:
            raise UsageError("CUDA out of memory (on node-7)")
        return await super().start()


async def test_replicas_that_die_at_start_end_the_run_with_their_reason(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"^CUDA out of memory \(on node-7\)$"):
        await run(tmp_path, [Broken(0), Broken(0)])


async def test_one_that_does_not_start_does_not_stop_the_others(tmp_path: Path) -> None:
    job, _ = await run(tmp_path, [Broken(0), SimulatedReplica(0.001)])
    assert len(answered(job)) == 60


async def test_when_the_last_replica_is_gone_what_is_open_stays_open(tmp_path: Path) -> None:
    link = Broken(1)
    once(link, 16, link.die)
    job, _ = await run(tmp_path, [link], concurrency=4)
    done = answered(job)
    assert 0 < len(done) < 60
    assert not [r for r in Run(job.writer.path).records() if isinstance(r.outcome, Failure)]
    resumed, _ = await run(tmp_path, [SimulatedReplica()])
    assert answered(resumed) == dict.fromkeys(job.samples.ids, 1)


async def test_a_replica_whose_server_is_gone_takes_no_other_with_it(tmp_path: Path) -> None:
    def says(text: str) -> Reply | RemoteError:
        return RemoteError.of(Gone("vllm:x died again"))

    job, cluster = await run(
        tmp_path, [SimulatedReplica(0.01), SimulatedReplica(0.01, respond=says)], concurrency=4
    )
    assert len(answered(job)) == 60
    assert any("died again" in note for note in cluster.notes)


async def test_a_replica_that_will_not_come_back_is_closed_at_once() -> None:
    broken, sound = Broken(0), SimulatedReplica(0.001)
    cluster = Cluster([broken, sound], FACTS)
    await cluster.ready()  # type: ignore[misc]
    for _ in range(100):
        if broken.closed:
            break
        await asyncio.sleep(0.01)
    assert broken.closed
    assert not sound.closed
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
def test_an_error_arrives_as_it_was(error: EvalsError) -> None:
    found = RemoteError.of(error).to_exception()
    assert (type(found), str(found), vars(found)) == (type(error), str(error), vars(error))


def test_a_crash_is_the_models_error() -> None:
    found = RemoteError.of(KeyError("choices")).to_exception()
    assert (type(found), str(found)) == (ModelError, "KeyError: 'choices'")


class Other:
    """A model that a host is given in the place of its own."""

    def __init__(self, reply: Callable[[Prompt], Awaitable[Reply]]) -> None:
        self._reply = reply

    async def reply(self, prompt: Prompt, sampling: Sampling) -> Reply:
        return await self._reply(prompt)


async def test_a_question_that_nobody_waits_for_is_taken_back() -> None:
    async def never(prompt: Prompt) -> Reply:
        await asyncio.sleep(60)
        raise AssertionError

    host = hosts.ReplicaHost("scripted:A", {})
    host._model = Other(never)
    await host.send(hosts._encode(RequestBatch([ReplicaRequest(1, ask("x"), ANYTHING)], [])))
    await asyncio.sleep(0.01)
    (task,) = host._tasks.values()
    await host.send(hosts._encode(RequestBatch([], [1])))
    await asyncio.sleep(0.01)
    assert task.cancelled()
    assert not host._tasks


async def test_a_host_answers_what_it_is_asked_and_tells_faults(monkeypatch) -> None:
    import msgspec

    host = hosts.ReplicaHost("scripted:call=test_cluster:odd", {})
    start, facts = await host.start()
    assert replicas._decode_info(facts).name == "scripted"
    await host.send(
        hosts._encode(RequestBatch([ReplicaRequest(n, ask(str(n)), ANYTHING) for n in range(4)], []))
    )
    answers = msgspec.msgpack.decode(await host.receive(start), type=list[ReplicaResponse])
    told = {a.number: a.outcome.text if isinstance(a.outcome, Reply) else a.outcome.message for a in answers}
    assert told == {0: "even", 1: "ValueError: odd", 2: "even", 3: "ValueError: odd"}
    monkeypatch.setattr(hosts, "POLL_S", 0.01)
    again, _ = await host.start()
    assert await host.receive(start) == await host.receive(again) == hosts._encode([])


def odd(prompt: Prompt) -> str:
    if int(prompt.messages[0].parts[0].text) % 2:
        raise ValueError("odd")
    return "even"


async def test_a_host_that_cannot_make_its_model_says_why() -> None:
    host = hosts.ReplicaHost("vllm:nowhere", {})
    facts = replicas._decode_info(await host.info())
    assert facts.fault.startswith("vllm:nowhere")
    assert "\n" not in facts.fault


async def test_images_travel_with_the_question(tmp_path: Path, monkeypatch) -> None:
    from io import BytesIO

    from PIL import Image

    from evals.data import media
    from evals.run.cluster.queue import _read_images

    stream = BytesIO()
    Image.new("RGB", (8, 8), "red").save(stream, format="PNG")
    kept = media.store_image(tmp_path, stream.getvalue())
    prompt = Prompt(messages=(Message("user", (kept,)),))
    question = ReplicaRequest(1, prompt, ANYTHING, _read_images(prompt))
    monkeypatch.setattr(media, "_FOLDERS", {})  # another machine, which does not see the driver's folder
    seen = []

    async def sees(prompt: Prompt) -> Reply:
        seen.append(await media.payload(kept))
        return Reply(text="red")

    host = hosts.ReplicaHost("scripted:A", {})
    host._model = Other(sees)
    await host.send(hosts._encode(RequestBatch([question], [])))
    await host.receive(0)
    assert seen == [("image/png", stream.getvalue())]
    assert not list(host._folder.iterdir())  # and nothing is left behind


@pytest.mark.parametrize(
    ("spec", "nodes", "asked", "wanted"),
    [
        ("server:http://x/v1#m", [{"CPU": 8}] * 3, {}, (3, 0, 1)),
        ("server:http://x/v1#m", [{"CPU": 8}] * 3, {"replicas": 7}, (7, 0, 1)),
        ("vllm:internlm/Intern-S1-mini", [{"CPU": 8, "GPU": 8}] * 2, {}, (16, 1, 1)),
        ("vllm:/weights", [{"CPU": 8, "GPU": 8}, {"CPU": 8}], {}, (8, 1, 1)),
        ("vllm:/weights", [{"CPU": 8, "GPU": 8}] * 2, {"gpus": 4}, (4, 4, 1)),
        ("vllm:/weights", [{"GPU": 8, "accelerator_type:H100": 1}] * 4, {"gpus": 16}, (2, 16, 2)),
        ("sglang:/weights", [{"GPU": 8}] * 5, {"gpus": 24}, (1, 24, 3)),
        ("vllm:/weights", [{"GPU": 8}] * 4, {"gpus": 12}, (2, 12, 2)),  # six on each, two idle
        ("vllm:/weights", [{"GPU": n} for n in (6, 4, 4)], {"gpus": 8}, (1, 8, 2)),
        ("vllm:/weights", [{"GPU": n} for n in (8, 3, 3)], {"gpus": 9}, (1, 9, 3)),
        ("vllm:/weights", [{"CPU": 8}], {"gpus": 0}, (1, 0, 1)),
    ],
)
def test_how_many_replicas_and_of_what_shape(spec, nodes, asked, wanted) -> None:
    found = placement.place(spec, nodes, replicas=asked.get("replicas"), gpus=asked.get("gpus"))
    assert (found.replicas, found.gpus, found.nodes) == wanted


def test_intern_s1_takes_the_gpus_of_its_profile() -> None:
    nodes = [{"CPU": 64, "GPU": 8, "accelerator_type:H100": 1}] * 2
    found = placement.place("vllm:internlm/Intern-S1-FP8", nodes, replicas=None, gpus=None)
    assert found.replicas * found.gpus == 16
    assert found.gpus >= 4


class Recorded:
    """Ray as far as placing goes: what actors are asked for, and nothing is started."""

    def __init__(self) -> None:
        self.asked: dict[str, Any] = {}

    def remote(self, *_: Any, **__: Any) -> Recorded:
        return self

    def options(self, **asked: Any) -> Recorded:
        self.asked = asked
        return self


def test_the_environment_of_replicas_holds_the_engines_words_and_no_keys(monkeypatch) -> None:
    monkeypatch.setenv("EVALS_ENGINE_ARGS", "--seed 1")
    monkeypatch.setenv("EVALS_SERVER_KEY", "secret")
    recorded = Recorded()
    assert len(replicas._start_actors(recorded, "vllm:x/y", placement.Placement(3, 4), {})) == 3
    assert (recorded.asked["num_gpus"], recorded.asked["scheduling_strategy"]) == (4, "SPREAD")
    assert recorded.asked["runtime_env"]["env_vars"] == {
        "EVALS_ENGINE_ARGS": "--seed 1",
        "EVALS_ENGINE_GPUS": "4",
    }


@pytest.mark.parametrize(
    ("need", "gpus", "fits"),
    [
        (4, [2, 2, 2, 2], (2, 2)),
        (8, [16, 4, 4], (2, 2)),  # never two parts of one replica on a node
        (6, [2, 2], (0, 0)),
        (7, [4, 4], (0, 0)),  # not as many on each
        (6, [4, 2, 2], (1, 3)),
    ],
)
def test_a_replica_goes_over_as_few_nodes_as_can_be(need, gpus, fits) -> None:
    assert placement.multi_node_fit(need, gpus) == fits


@pytest.mark.parametrize(
    ("nodes", "gpus", "words"),
    [
        ([{"CPU": 8.0}] * 3, None, "no node of the cluster has any (nodes: 3, CPUs: 24)"),
        (
            [{"CPU": 8.0, "GPU": 2.0}] * 2,
            8,
            "needs 8 GPUs per replica, the same number on each of its nodes; the cluster has 4, at most 2 on a node",
        ),
    ],
)
def test_too_few_gpus_are_one_line(nodes, gpus, words) -> None:
    with pytest.raises(UsageError) as found:
        placement.place("vllm:internlm/Intern-S1-mini", nodes, replicas=None, gpus=gpus)
    assert words in str(found.value)


@pytest.mark.parametrize("spec", ["lmdeploy:/weights", "hf:internlm/Intern-S1-mini"])
def test_what_cannot_go_over_several_nodes_says_so(spec) -> None:
    with pytest.raises(
        UsageError,
        match="needs 4 GPUs per replica, but a node has at most 2: only vllm: and sglang: can span several nodes",
    ):
        placement.place(spec, [{"GPU": 2}] * 4, replicas=None, gpus=4)


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        (["--cluster", "pbs"], "--cluster 'pbs': write ray, ray://HOST:PORT, or slurm"),
        (["--cluster", "ray://"], "--cluster ray://: write ray://HOST:PORT"),
        (["--cluster", "ray://127.0.0.1:1"], "--cluster ray://127.0.0.1:1: no response from 127.0.0.1:1"),
        (["--replicas", "3"], "--replicas and --gpus need --cluster"),
        (["--cluster", "ray", "--replicas", "0"], "--replicas must be above 0, got 0"),
        (["--cluster", "ray", "--gpus", "-1"], "--gpus must be 0 or more, got -1"),
    ],
)
@pytest.mark.filterwarnings("ignore")  # what Ray deprecates is its own
def test_a_mistake_is_one_line(here, words, complaint) -> None:
    pytest.importorskip("ray", reason="NOT TESTED: ray is not installed")
    found = evals("run", "mmlu-pro", "--sample", "-m", "scripted:A", "--quiet", *words)
    assert found.error_line.startswith(complaint)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("kind", [Exception, RuntimeError, ValueError])
def test_a_ray_that_does_not_come_up_is_one_line(here, monkeypatch, kind) -> None:
    ray = pytest.importorskip("ray", reason="NOT TESTED: ray is not installed")

    def init(*addresses: str, **options: object) -> None:
        raise (
            ConnectionError
            if addresses
            else kind("The current node timed out during startup.\nThis could be")
        )

    monkeypatch.setattr(ray, "init", init)
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    found = evals("run", "mmlu-pro", "--sample", "-m", "scripted:A", "--cluster", "ray")
    assert found.error_line == "--cluster ray: The current node timed out during startup."


def test_without_ray_the_extra_is_named(here, monkeypatch) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    found = evals("run", "mmlu-pro", "--sample", "-m", "scripted:A", "--cluster", "ray")
    assert "[ray]'" in found.error_line
