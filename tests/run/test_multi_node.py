"""A replica that spans several nodes of a Ray cluster with simulated GPUs: the placement of its ranks, and their removal at the end.

The engine is a stand-in whose ranks connect as those of a real engine do; the last test runs vLLM itself on two of the nodes.
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
"""A stand-in for an engine: the ranks connect to the first one, which answers requests; each writes a line to the log."""
import json, os, socket, sys, threading, time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

arguments = sys.argv[1:]
if "-c" in arguments:
    print("vllm 0.0")
    sys.exit(0)

def option(name, default=None):
    return arguments[arguments.index(name) + 1] if name in arguments else default

nodes, rank = int(option("--nnodes", "1")), int(option("--node-rank", "0"))
master = (option("--master-addr"), int(option("--master-port", "0")))
with open({log!r}, "a") as stream:
    stream.write(json.dumps(dict(
        pid=os.getpid(), rank=rank, nodes=nodes, master=master, tensor_parallel=option("--tensor-parallel-size"),
        gpus=os.environ.get("CUDA_VISIBLE_DEVICES"), arguments=arguments,
    )) + "\\n")
if os.path.exists({broken!r}) and rank:
    print("torch.OutOfMemoryError: CUDA out of memory. Tried to allocate 2 GiB")
    sys.exit(1)
if rank:
    while True:
        try:
            with socket.create_connection(master, timeout=60) as connection:
                connection.settimeout(None)
                connection.recv(1)
            sys.exit("the first node is gone")
        except ConnectionRefusedError:
            time.sleep(0.05)
if nodes > 1:
    listener = socket.create_server(("", master[1]))
    connections = [listener.accept()[0] for _ in range(nodes - 1)]
    def watch(connection):
        if not connection.recv(1):
            os._exit(1)
    for connection in connections:
        threading.Thread(target=watch, args=(connection,), daemon=True).start()

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


class LocalCluster:
    """Four nodes with one simulated GPU each, a stand-in engine, and an empty folder of weights."""

    def __init__(self, cluster: Any, folder: Path) -> None:
        self.cluster, self.folder = cluster, folder
        self.log = folder / "ranks.jsonl"
        self.broken = folder / "broken"
        """While this file exists, every rank but the first fails at start."""
        standin = folder / "standin"
        standin.write_text(
            STANDIN.format(python=sys.executable, log=str(self.log), broken=str(self.broken), latency=0.1)
        )
        standin.chmod(0o755)
        self.weights = folder / f"weights-{os.getpid()}"
        self.weights.mkdir()
        (self.weights / "config.json").write_text("{}")
        self.env = os.environ | {"RAY_ADDRESS": cluster.address, "EVALS_ENGINE_PYTHON": str(standin)}

    def start(self, results: Path, *arguments: object, adapter: str = "vllm") -> subprocess.Popen[str]:
        """Start a run of the bundled samples."""
        self.log.unlink(missing_ok=True)
        command = (
            *("run", "mmlu-pro", "--sample", "--repeats", 8, "--cluster", "ray", "--concurrency", 4),
            *("-m", f"{adapter}:{self.weights}", "--results", results, *arguments),
        )
        return subprocess.Popen(
            [sys.executable, "-c", "from evals.cli import main; main()", *map(str, command)],
            env=self.env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        )  # fmt: skip

    def ranks(self) -> list[dict[str, Any]]:
        """Return what each rank of an engine logged when it started."""
        lines = self.log.read_text().splitlines() if self.log.exists() else []
        return [json.loads(line) for line in lines]

    def running_engines(self) -> list[int]:
        """Return the process ids of engines that are still running."""
        return [entry["pid"] for entry in self.ranks() if Path(f"/proc/{entry['pid']}").exists()]

    def placement_groups(self) -> list[dict[int, str]]:
        """Return the nodes of each placement group that holds GPUs or waits for some."""
        groups = ray.util.placement_group_table().values()
        return [group["bundles_to_node_id"] for group in groups if group["state"] != "REMOVED"]

    def wait_until_free(self) -> None:
        """Wait until all GPUs are free and no rank of an engine runs."""
        wait_until(lambda: not self.running_engines() and not self.placement_groups())
        wait_until(lambda: ray.available_resources().get("GPU") == GPUS * len(self.cluster.list_all_nodes()))


def wait_until(condition: Callable[[], bool], seconds: float = 120.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.1)


def record_count(results: Path) -> int:
    return sum(path.read_bytes().count(b"\n") for path in results.glob("*/*/*/records.jsonl"))


@pytest.fixture(scope="module")
def local_cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalCluster]:
    """A started cluster that all tests of this module share."""
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
        yield LocalCluster(cluster, tmp_path_factory.mktemp("multi-node"))
    finally:
        ray.shutdown()
        cluster.shutdown()


def test_two_replicas_of_two_nodes_each_are_placed_on_four_nodes(
    local_cluster: LocalCluster, tmp_path: Path
) -> None:
    process = local_cluster.start(tmp_path, "--gpus", 2)
    wait_until(lambda: record_count(tmp_path) > 0)
    first, second = local_cluster.placement_groups()
    assert len({*first.values(), *second.values()}) == 4  # each rank has a node of its own
    assert ray.available_resources().get("GPU", 0) == 0
    output, _ = process.communicate(timeout=180)
    assert process.returncode == 0, output
    ranks = local_cluster.ranks()
    assert sorted(entry["rank"] for entry in ranks) == [0, 0, 1, 1]
    assert {(entry["tensor_parallel"], entry["gpus"], entry["nodes"]) for entry in ranks} == {("2", "0", 2)}
    assert set(Counter(tuple(entry["master"]) for entry in ranks).values()) == {2}
    assert {"--headless" in entry["arguments"] for entry in ranks if entry["rank"]} == {True}
    (run,) = runs(tmp_path)
    assert run.card.coverage == 1.0
    assert any("2 replicas on 4 nodes, 2 GPUs each over 2 nodes" in note for note in run.card.notes)
    local_cluster.wait_until_free()


@pytest.mark.parametrize("signum", [signal.SIGINT, signal.SIGKILL], ids=["Ctrl-C", "kill -9"])
def test_a_driver_that_is_interrupted_or_killed_leaves_no_placement_group_and_no_engine(
    local_cluster: LocalCluster, tmp_path: Path, signum: int
) -> None:
    process = local_cluster.start(tmp_path, "--gpus", 2)
    wait_until(lambda: record_count(tmp_path) > 8)
    assert len(local_cluster.placement_groups()) == 2
    process.send_signal(signum)
    process.communicate(timeout=60)
    local_cluster.wait_until_free()


def test_all_ranks_of_a_replica_restart_if_one_dies(local_cluster: LocalCluster, tmp_path: Path) -> None:
    process = local_cluster.start(tmp_path, "--gpus", 2, "--replicas", 1, "--repeats", 16)
    wait_until(lambda: record_count(tmp_path) > 8)
    (second_rank,) = (entry["pid"] for entry in local_cluster.ranks() if entry["rank"])
    os.kill(second_rank, signal.SIGKILL)
    output, _ = process.communicate(timeout=180)
    assert process.returncode == 0, output
    assert "replica 1 was lost" in output
    assert [entry["rank"] for entry in local_cluster.ranks()].count(0) == 2
    (run,) = runs(tmp_path)
    assert run.card.coverage == 1.0
    assert set(Counter((r.sample, r.repeat) for r in Run(run.path).records()).values()) == {1}
    local_cluster.wait_until_free()


def test_a_rank_that_cannot_start_gives_a_one_line_message(
    local_cluster: LocalCluster, tmp_path: Path
) -> None:
    local_cluster.broken.touch()
    try:
        process = local_cluster.start(tmp_path, "--gpus", 4)
        output, _ = process.communicate(timeout=180)
    finally:
        local_cluster.broken.unlink()
    assert process.returncode == 2, output
    assert "Traceback" not in output
    assert "ended: " in output.strip().splitlines()[-1]
    assert "out of memory" in output.strip().splitlines()[-1]
    local_cluster.wait_until_free()


@pytest.mark.parametrize(
    ("gpus", "adapter", "message"),
    [
        (5, "vllm", "needs 5 GPUs per replica, the same number on each of its nodes; the cluster has 4, at most 1 on a node"),
        (2, "lmdeploy", "needs 2 GPUs per replica, but a node has at most 1: only vllm: and sglang: can span several nodes"),
    ],
)  # fmt: skip
def test_too_few_gpus_give_a_one_line_message(
    local_cluster: LocalCluster, tmp_path: Path, gpus: int, adapter: str, message: str
) -> None:
    process = local_cluster.start(tmp_path, "--gpus", gpus, adapter=adapter)
    output, _ = process.communicate(timeout=60)
    assert process.returncode == 2
    assert message in output.strip().splitlines()[-1]
    local_cluster.wait_until_free()


@pytest.mark.nightly  # waits for a minute
def test_waiting_for_gpus_in_use_ends_after_a_minute_with_a_one_line_message(
    local_cluster: LocalCluster, tmp_path: Path
) -> None:
    other_group = ray.util.placement_group([{"GPU": 1}] * NODES, strategy="STRICT_SPREAD")
    ray.get(other_group.ready())
    try:
        began = time.monotonic()
        process = local_cluster.start(tmp_path, "--gpus", 2)
        output, _ = process.communicate(timeout=180)
    finally:
        ray.util.remove_placement_group(other_group)
    assert process.returncode == 2, output
    assert output.strip().splitlines()[-1].startswith("evals: Ray has placed no replica within 60 s")
    assert time.monotonic() - began < 90
    local_cluster.wait_until_free()


@pytest.mark.nightly
def test_real_vllm_spans_two_nodes(local_cluster: LocalCluster, tmp_path: Path) -> None:
    """Run tensor parallel on two nodes of a Ray cluster on this machine's CPUs, with gloo instead of NCCL."""
    python = engine.python()
    weights = engine.checkpoint(python, tmp_path / "tiny-s1")
    # the CPU build's distribution has a name that vLLM's own command does not look up
    metadata = tmp_path / "metadata" / "vllm-0.32.0+cpu.dist-info"
    metadata.mkdir(parents=True)
    (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: vllm\nVersion: 0.32.0+cpu\n")
    wrapper = tmp_path / "python"
    settings = {"VLLM_CPU_KVCACHE_SPACE": "1", "HF_HUB_OFFLINE": "1", "VLLM_CPU_OMP_THREADS_BIND": "nobind"}
    exports = "".join(f"export {name}={value}\n" for name, value in settings.items())
    wrapper.write_text(
        f'#!/bin/sh\n{exports}export PYTHONPATH={shlex.quote(str(metadata.parent))}\nexec {shlex.quote(str(python))} "$@"\n'
    )
    wrapper.chmod(0o755)
    env = local_cluster.env | {"EVALS_ENGINE_PYTHON": str(wrapper), "EVALS_ENGINE_ARGS": engine.ARGUMENTS}
    arguments = ("mmlu-pro", "--sample", "-m", f"vllm:{weights}", "--max-tokens", 16, "--limit", 4, "--json")
    cluster = ("--cluster", "ray", "--gpus", 2, "--replicas", 1)
    completed = engine.run_evals("run", *arguments, *cluster, env=env, cwd=tmp_path)
    assert completed.returncode == 0, completed.stderr
    (run,) = json.loads(completed.stdout)["runs"]
    assert run["coverage"] == 1.0
    (server,) = (note for note in run["notes"] if note.startswith("server: vllm"))
    assert "--tensor-parallel-size 2 --nnodes 2 --node-rank 0" in server
    local_cluster.wait_until_free()
