"""How many replicas of a model a cluster's nodes hold, and over how many nodes each goes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from msgspec import Struct

from evals import load, profiles
from evals.errors import UsageError

ENGINES = ("vllm", "lmdeploy", "sglang")


class Shape(Struct, frozen=True):
    """How many replicas, and what each takes of the nodes."""

    replicas: int
    gpus: int
    """Of one replica, on all its nodes together; 0: none are asked of Ray for it."""
    nodes: int = 1
    """That one replica spans, with the same number of GPUs on each, where it is larger than any."""
    kind: str = ""
    """Type of GPU that the nodes of a spanning replica must have."""


def shape(
    spec: str, nodes: Sequence[Mapping[str, float]], *, replicas: int | None, gpus: int | None
) -> Shape:
    """Decide from what the nodes have; `gpus`: the user's word on what one replica takes. Raises UsageError."""
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
                f"{spec} needs {need} GPUs a replica, a node has {most} at most: over several nodes go vllm: and sglang: only"
            )
        found, over = spanning(need, [int(node.get("GPU", 0)) for node in nodes])
        if not found:
            total = int(sum(node.get("GPU", 0) for node in nodes))
            raise UsageError(
                f"{spec} needs {need} GPUs a replica, as many on each of its nodes; the cluster has {total}, {most} "
                "on a node at most"
            )
        return Shape(replicas or found, need, nodes=over, kind=kind)
    usual = sum(int(node.get("GPU", 0)) // need for node in nodes) if need else len(nodes)
    return Shape(replicas or usual, need)


def spanning(need: int, gpus: Sequence[int]) -> tuple[int, int]:
    """Spread replicas over as few nodes each as can be: how many fit, and over how many nodes; (0, 0): none."""
    for over in range(2, len(gpus) + 1):
        if need % over:
            continue
        places = [here // (need // over) for here in gpus]  # one replica takes one place of a node
        fits = [n for n in range(1, sum(places) // over + 1) if sum(min(n, p) for p in places) >= n * over]
        if fits:
            return max(fits), over
    return 0, 0


def _need(spec: str, kind: str) -> int:
    """Look up how many GPUs of a type a model takes; 0 where no profile says."""
    profile = profiles.find(spec)
    if profile is None or spec.partition(":")[0] not in (*ENGINES, "hf"):
        return 0
    known = next((n for name, n in profile.gpus.items() if name in kind.upper()), None)
    return known or profile.tensor_parallel or max(profile.gpus.values(), default=0)
