"""Placement: how many replicas of a model fit on a cluster, and how many nodes each spans."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from msgspec import Struct

from evals import load, profiles
from evals.errors import UsageError

ENGINES = ("vllm", "lmdeploy", "sglang")


class Shape(Struct, frozen=True):
    """Number of replicas, and the resources of each."""

    replicas: int
    gpus: int
    """GPUs of one replica, over all its nodes; 0: none are reserved."""
    nodes: int = 1
    """Nodes of one replica, with the same number of GPUs on each; above 1 only if it does not fit on a node."""
    kind: str = ""
    """GPU type that all nodes of a multi-node replica must have."""


def shape(
    spec: str, nodes: Sequence[Mapping[str, float]], *, replicas: int | None, gpus: int | None
) -> Shape:
    """Return the placement on nodes with these resources; `gpus`: GPUs per replica set by the user. Raises UsageError."""
    adapter = spec.partition(":")[0]
    most = max((int(node.get("GPU", 0)) for node in nodes), default=0)
    kind = next((k.partition(":")[2] for n in nodes for k in n if k.startswith("accelerator_type:")), "")
    need = _need(spec, kind) if gpus is None else gpus
    if gpus is None and not need and adapter in ENGINES and most:
        need = 1
    if need and not most:
        cpus = int(sum(node.get("CPU", 0) for node in nodes))
        raise UsageError(
            f"{spec} needs GPUs ({need} a replica), and no node of the cluster has any ({len(nodes)} nodes, {cpus} CPUs)"
        )
    if need > most:
        if adapter not in ENGINES or not load.engine(adapter).span:
            raise UsageError(
                f"{spec} needs {need} GPUs a replica, a node has {most} at most: only vllm: and sglang: can span several nodes"
            )
        fitting, nodes_per_replica = spanning(need, [int(node.get("GPU", 0)) for node in nodes])
        if not fitting:
            total = int(sum(node.get("GPU", 0) for node in nodes))
            raise UsageError(
                f"{spec} needs {need} GPUs a replica, as many on each of its nodes; the cluster has {total}, {most} "
                "on a node at most"
            )
        return Shape(replicas or fitting, need, nodes=nodes_per_replica, kind=kind)
    usual = sum(int(node.get("GPU", 0)) // need for node in nodes) if need else len(nodes)
    return Shape(replicas or usual, need)


def spanning(need: int, gpus: Sequence[int]) -> tuple[int, int]:
    """Return how many replicas fit with the fewest nodes each, and that number of nodes; (0, 0) if none fits."""
    for nodes_per_replica in range(2, len(gpus) + 1):
        if need % nodes_per_replica:
            continue
        places = [
            here // (need // nodes_per_replica) for here in gpus
        ]  # a replica takes at most one place per node
        fits = [
            n
            for n in range(1, sum(places) // nodes_per_replica + 1)
            if sum(min(n, p) for p in places) >= n * nodes_per_replica
        ]
        if fits:
            return max(fits), nodes_per_replica
    return 0, 0


def _need(spec: str, kind: str) -> int:
    """Return the number of GPUs of a type that the profile states for a model; 0 if unknown."""
    profile = profiles.find(spec)
    if profile is None or spec.partition(":")[0] not in (*ENGINES, "hf"):
        return 0
    by_gpu_type = next((n for name, n in profile.gpus.items() if name in kind.upper()), None)
    return by_gpu_type or profile.tensor_parallel or max(profile.gpus.values(), default=0)
