"""A replica over several nodes of a Ray cluster with GPUs in name only: where its parts land, and what is left of them.

The engine is a stand-in, whose parts meet as real ones do; vLLM itself comes last, over two of the nodes.
"""

from __future__ import annotations

import json
import os
import shlex
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from evals.records.store import Run, runs
from tests.support import engine

ray = pytest.importorskip("ray", reason="NOT TESTED: ray is not installed")
pytestmark = [pytest.mark.slow, pytest.mark.heavy, pytest.mark.filterwarnings("ignore")]

STANDIN = '''#!{python}
"""Stands in for an engine: parts meet at the first one's address, which then answers; the log says where each is."""
import json, os, socket, sys, threading, time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

words = sys.argv[1:]
if "-c" in words:
    print("vllm 0.0")
    sys.exit(0)

def option(name, usual=None):
    return words[words.index(name) + 1] if name in words else usual

nodes, rank = int(option("--nnodes", "1")), int(option("--node-rank", "0"))
meeting = (option("--master-addr"), int(option("--master-port", "0")))
with open({log!r}, "a") as stream:
    stream.write(json.dumps(dict(
        pid=os.getpid(), rank=rank, nodes=nodes, meeting=meeting, share=option("--tensor-parallel-size"),
        gpus=os.environ.get("CUDA_VISIBLE_DEVICES"), words=words,
    )) + "\\n")
if os.path.exists({broken!r}) and rank:
    print("torch.OutOfMemoryError: CUDA out of memory. Tried to allocate 2 GiB")
    sys.exit(1)
if rank:
    while True:
        try:
            with socket.create_connection(meeting, timeout=60) as line:
                line.settimeout(None)
                line.recv(1)
            sys.exit("the first node is gone")
        except ConnectionRefusedError:
            time.sleep(0.05)
if nodes > 1:
    door = socket.create_server(("", meeting[1]))
    lines = [door.accept()[0] for _ in range(nodes - 1)]
    def watch(line):
        if not line.recv(1):
            os._exit(1)
    for line in lines:
        threading.Thread(target=watch, args=(line,), daemon=True).start()

class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    def answer(self, body):
        raw = json.dumps(body).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(raw)))
        self.end_headers()
        self.wfile.write(raw)
    def do_GET(self):
        self.answer(dict(data=[dict(id=option("--served-model-name"), max_model_len=4096)]))
    def do_POST(self):
        self.rfile.read(int(self.headers["Content-Length"]))
        time.sleep({latency})
        self.answer(dict(
            model="m", usage=dict(prompt_tokens=1, completion_tokens=1),
            choices=[dict(index=0, finish_reason="stop", message=dict(role="assistant", content="ANSWER: A"))],
        ))
    def log_message(self, *_):
        pass

ThreadingHTTPServer(("127.0.0.1", int(option("--port"))), Handler).serve_forever()
'''
GPUS, NODES = 1, 4


class Place:
    """Four nodes of one GPU in name, an engine, weights in name."""

    def __init__(self, cluster: Any, folder: Path) -> None:
        self.cluster, self.folder = cluster, folder
        self.log, self.broken = folder / "parts.jsonl", folder / "broken"
        standin = folder / "standin"
        standin.write_text(
            STANDIN.format(python=sys.executable, log=str(self.log), broken=str(self.broken), latency=0.1)
        )
        standin.chmod(0o755)
        self.weights = folder / f"weights-{os.getpid()}"
        self.weights.mkdir()
        (self.weights / "config.json").write_text("{}")
        self.env = os.environ | {"RAY_ADDRESS": cluster.address, "EVALS_ENGINE_PYTHON": str(standin)}

    def start(self, results: Path, *words: object, adapter: str = "vllm") -> subprocess.Popen[str]:
        """Start a run of the bundled samples."""
        self.log.unlink(missing_ok=True)
        command = (
            *("run", "mmlu-pro", "--sample", "--repeats", 8, "--cluster", "ray", "--concurrency", 4),
            *("-m", f"{adapter}:{self.weights}", "--results", results, *words),
        )
        return subprocess.Popen(
            [sys.executable, "-c", "from evals.cli import main; main()", *map(str, command)],
            env=self.env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        )  # fmt: skip

    def parts(self) -> list[dict[str, Any]]:
        """What each part of an engine said when it began."""
        lines = self.log.read_text().splitlines() if self.log.exists() else []
        return [json.loads(line) for line in lines]

    def left(self) -> list[int]:
        """Engines that still run."""
        return [p["pid"] for p in self.parts() if Path(f"/proc/{p['pid']}").exists()]

    def reserved(self) -> list[dict[int, str]]:
        """Placement groups that hold GPUs or wait for some: their nodes."""
        groups = ray.util.placement_group_table().values()
        return [group["bundles_to_node_id"] for group in groups if group["state"] != "REMOVED"]

    def nothing_is_left(self) -> None:
        """All GPUs are free again, and no part of an engine runs."""
        until(lambda: not self.left() and not self.reserved())
        until(lambda: ray.available_resources().get("GPU") == GPUS * len(self.cluster.list_all_nodes()))


def until(holds: Callable[[], bool], seconds: float = 120.0) -> None:
    deadline = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.1)


def records(results: Path) -> int:
    return sum(path.read_bytes().count(b"\n") for path in results.glob("*/*/*/records.jsonl"))


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    from ray.cluster_utils import Cluster

    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    cluster = Cluster(
        initialize_head=True, head_node_args={"num_cpus": 1, "num_gpus": GPUS, "include_dashboard": False}
    )
    for _ in range(NODES - 1):
        cluster.add_node(num_cpus=1, num_gpus=GPUS)
    cluster.wait_for_nodes()
    ray.init(cluster.address, log_to_driver=False)
    try:
        yield Place(cluster, tmp_path_factory.mktemp("spanning"))
    finally:
        ray.shutdown()
        cluster.shutdown()


def test_two_standin_replicas_of_two_nodes_each_share_four_nodes(place: Place, tmp_path: Path) -> None:
    process = place.start(tmp_path, "--gpus", 2)
    until(lambda: records(tmp_path) > 0)
    one, two = place.reserved()
    assert len({*one.values(), *two.values()}) == 4  # each part has a node of its own
    assert ray.available_resources().get("GPU", 0) == 0
    said, _ = process.communicate(timeout=180)
    assert process.returncode == 0, said
    parts = place.parts()
    assert sorted(p["rank"] for p in parts) == [0, 0, 1, 1]
    assert {(p["share"], p["gpus"], p["nodes"]) for p in parts} == {("2", "0", 2)}
    assert set(Counter(tuple(p["meeting"]) for p in parts).values()) == {2}
    assert {"--headless" in p["words"] for p in parts if p["rank"]} == {True}
    (run,) = runs(tmp_path)
    assert run.card.coverage == 1.0
    assert any("2 replicas on 4 nodes, 2 GPUs each over 2 nodes" in note for note in run.card.notes)
    place.nothing_is_left()


@pytest.mark.parametrize("word", [signal.SIGINT, signal.SIGKILL], ids=["Ctrl-C", "kill -9"])
def test_a_driver_that_ends_leaves_no_group_and_no_standin(place: Place, tmp_path: Path, word: int) -> None:
    process = place.start(tmp_path, "--gpus", 2)
    until(lambda: records(tmp_path) > 8)
    assert len(place.reserved()) == 2
    process.send_signal(word)
    process.communicate(timeout=60)
    place.nothing_is_left()


def test_a_replica_whose_second_standin_dies_is_made_again_as_a_whole(place: Place, tmp_path: Path) -> None:
    process = place.start(tmp_path, "--gpus", 2, "--replicas", 1, "--repeats", 16)
    until(lambda: records(tmp_path) > 8)
    (second,) = (p["pid"] for p in place.parts() if p["rank"])
    os.kill(second, signal.SIGKILL)
    said, _ = process.communicate(timeout=180)
    assert process.returncode == 0, said
    assert "replica 1 was lost" in said
    assert [p["rank"] for p in place.parts()].count(0) == 2
    (run,) = runs(tmp_path)
    assert run.card.coverage == 1.0
    assert set(Counter((r.sample, r.repeat) for r in Run(run.path).records()).values()) == {1}
    place.nothing_is_left()


def test_a_second_standin_that_cannot_start_is_one_line(place: Place, tmp_path: Path) -> None:
    place.broken.touch()
    try:
        process = place.start(tmp_path, "--gpus", 4)
        said, _ = process.communicate(timeout=180)
    finally:
        place.broken.unlink()
    assert process.returncode == 2, said
    assert "Traceback" not in said
    assert "ended: " in said.strip().splitlines()[-1]
    assert "out of memory" in said.strip().splitlines()[-1]
    place.nothing_is_left()


@pytest.mark.parametrize(
    ("gpus", "adapter", "words"),
    [
        (5, "vllm", "needs 5 GPUs per replica, the same number on each of its nodes; the cluster has 4, at most 1 on a node"),
        (2, "lmdeploy", "needs 2 GPUs per replica, but a node has at most 1: only vllm: and sglang: can span several nodes"),
    ],
)  # fmt: skip
def test_not_enough_room_is_one_line(
    place: Place, tmp_path: Path, gpus: int, adapter: str, words: str
) -> None:
    process = place.start(tmp_path, "--gpus", gpus, adapter=adapter)
    said, _ = process.communicate(timeout=60)
    assert process.returncode == 2
    assert words in said.strip().splitlines()[-1]
    place.nothing_is_left()


@pytest.mark.nightly  # a minute of waiting
def test_gpus_that_others_hold_are_waited_for_and_said_in_one_line(place: Place, tmp_path: Path) -> None:
    held = ray.util.placement_group([{"GPU": 1}] * NODES, strategy="STRICT_SPREAD")
    ray.get(held.ready())
    try:
        began = time.monotonic()
        process = place.start(tmp_path, "--gpus", 2)
        said, _ = process.communicate(timeout=180)
    finally:
        ray.util.remove_placement_group(held)
    assert process.returncode == 2, said
    assert said.strip().splitlines()[-1].startswith("evals: Ray has placed no replica within 60 s")
    assert time.monotonic() - began < 90
    place.nothing_is_left()


@pytest.mark.nightly
def test_real_vllm_goes_over_two_nodes(place: Place, tmp_path: Path) -> None:
    """Tensor parallel over two nodes of one Ray cluster on this machine's CPUs: gloo between them, not NCCL."""
    python = engine.python()
    weights = engine.checkpoint(python, tmp_path / "tiny-s1")
    # the CPU build has another name than its command looks up
    named = tmp_path / "named" / "vllm-0.32.0+cpu.dist-info"
    named.mkdir(parents=True)
    (named / "METADATA").write_text("Metadata-Version: 2.1\nName: vllm\nVersion: 0.32.0+cpu\n")
    wrapped = tmp_path / "python"
    more = {"VLLM_CPU_KVCACHE_SPACE": "1", "HF_HUB_OFFLINE": "1", "VLLM_CPU_OMP_THREADS_BIND": "nobind"}
    exports = "".join(f"export {name}={value}\n" for name, value in more.items())
    wrapped.write_text(
        f'#!/bin/sh\n{exports}export PYTHONPATH={shlex.quote(str(named.parent))}\nexec {shlex.quote(str(python))} "$@"\n'
    )
    wrapped.chmod(0o755)
    env = place.env | {"EVALS_ENGINE_PYTHON": str(wrapped), "EVALS_ENGINE_ARGS": engine.ARGUMENTS}
    words = ("mmlu-pro", "--sample", "-m", f"vllm:{weights}", "--max-tokens", 16, "--limit", 4, "--json")
    over = ("--cluster", "ray", "--gpus", 2, "--replicas", 1)
    done = engine.run_evals("run", *words, *over, env=env, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    (run,) = json.loads(done.stdout)["runs"]
    assert run["coverage"] == 1.0
    (server,) = (note for note in run["notes"] if note.startswith("server: vllm"))
    assert "--tensor-parallel-size 2 --nnodes 2 --node-rank 0" in server
    place.nothing_is_left()
