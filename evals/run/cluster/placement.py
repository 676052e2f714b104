"""How many replicas of a model fit on a cluster, and how many nodes each of them spans."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from msgspec import Struct

from evals import load, profiles
from evals.errors import UsageError

ENGINES = ("vllm", "lmdeploy", "sglang")
"""Adapters that launch an inference server, which needs at least one GPU."""
GPU_TYPE_PREFIX = "accelerator_type:"
"""Prefix of the Ray resource that states the GPU type of a node."""


class Placement(Struct, frozen=True):
    """Number of replicas, and the resources of each."""

    replicas: int
    gpus: int
    """Number of GPUs of one replica, on all its nodes together; 0: none are reserved."""
    nodes: int = 1
    """Number of nodes of one replica, with equally many GPUs on each; more than 1 only if the replica does not fit on a node."""
    gpu_type: str = ""
    """GPU type that all nodes of a multi-node replica must have; empty: any."""


def place(
    spec: str, nodes: Sequence[Mapping[str, float]], *, replicas: int | None, gpus: int | None
) -> Placement:
    """Return the placement on nodes with these resources; raises UsageError if no replica fits.

    `replicas`, `gpus`: number of replicas, and of GPUs per replica, if set by the user.
    """
    adapter = spec.partition(":")[0]
    node_gpus = [int(node.get("GPU", 0)) for node in nodes]
    largest = max(node_gpus, default=0)
    gpu_type = _gpu_type(nodes)
    required = gpus_needed(spec, gpu_type) if gpus is None else gpus
    if gpus is None and not required and adapter in ENGINES and largest:
        required = 1
    if required and not largest:
        cpus = int(sum(node.get("CPU", 0) for node in nodes))
        raise UsageError(
            f"{spec} needs GPUs ({required} per replica), but no node of the cluster has any (nodes: {len(nodes)}, CPUs: {cpus})"
        )
    if required <= largest:
        fitting = sum(n // required for n in node_gpus) if required else len(nodes)
        return Placement(replicas or fitting, required)
    if adapter not in ENGINES or not load.engine(adapter).multi_node:
        raise UsageError(
            f"{spec} needs {required} GPUs per replica, but a node has at most {largest}: only vllm: and sglang: can span several nodes"
        )
    fitting, nodes_per_replica = multi_node_fit(required, node_gpus)
    if not fitting:
        raise UsageError(
            f"{spec} needs {required} GPUs per replica, the same number on each of its nodes; the cluster has {sum(node_gpus)}, "
            f"at most {largest} on a node"
        )
    return Placement(replicas or fitting, required, nodes=nodes_per_replica, gpu_type=gpu_type)


def _gpu_type(nodes: Sequence[Mapping[str, float]]) -> str:
    """Return the GPU type of the first node that states it; empty if none does."""
    names = (name for node in nodes for name in node if name.startswith(GPU_TYPE_PREFIX))
    return next(names, "").removeprefix(GPU_TYPE_PREFIX)


def multi_node_fit(required: int, node_gpus: Sequence[int]) -> tuple[int, int]:
    """Return (number of replicas that fit, nodes per replica), with as few nodes per replica as possible; (0, 0) if none fits."""
    for nodes_per_replica in range(2, len(node_gpus) + 1):
        if required % nodes_per_replica:
            continue
        # the number of replicas that could use each node; a replica uses a node at most once
        slots = [gpus // (required // nodes_per_replica) for gpus in node_gpus]
        fitting = [
            n
            for n in range(1, sum(slots) // nodes_per_replica + 1)
            if sum(min(n, slot) for slot in slots) >= n * nodes_per_replica
        ]
        if fitting:
            return max(fitting), nodes_per_replica
    return 0, 0


def gpus_needed(spec: str, gpu_type: str) -> int:
    """Return how many GPUs a model needs according to its profile; 0 if unknown, or if its adapter uses none here.

    `gpu_type`: name of the GPUs, such as `H200`; empty: unknown.
    """
    profile = profiles.find(spec)
    if profile is None or spec.partition(":")[0] not in (*ENGINES, "hf"):
        return 0
    count_for_type = next((n for name, n in profile.gpus.items() if name in gpu_type.upper()), None)
    return count_for_type or profile.tensor_parallel or max(profile.gpus.values(), default=0)
