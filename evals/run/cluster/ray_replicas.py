"""Replicas as Ray actors: `--cluster ray`, or `ray://HOST:PORT`.

Ray starts the replicas (`host.py`), places them on free GPUs, and restarts them after their process or node died. A replica loads its model on its node as `evals run` would, so an
adapter that launches a server launches it on the GPUs that Ray assigned. A replica that does not fit on a node gets a
placement group: GPUs on several nodes, all or none (`multi_node.py`).
"""

from __future__ import annotations

import asyncio
import logging
import os
import socket
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from importlib.metadata import version
from typing import Any
from urllib.parse import urlsplit

import msgspec
from msgspec.structs import replace

from evals.boundary import foreign_code
from evals.errors import Crash, UsageError, install
from evals.run.cluster.host import Host
from evals.run.cluster.placement import Placement, place
from evals.run.cluster.queue import Cluster, Facts, Lost

RESTARTS = 3
"""Maximum number of restarts of a replica by Ray."""
CONNECT_S = 5.0
PLACE_S = 60.0
"""Deadline for Ray to place the first replica and start its process."""
LOSSES = {
    "ActorDiedError": "its process or its node died",
    "ActorUnavailableError": "it cannot be reached",
}
"""Ray error class -> explanation."""
ENVIRONMENT = "EVALS_ENGINE_"
"""Prefix of environment variables that are passed from the driver to replicas; secrets are set on the nodes."""
_facts = msgspec.msgpack.Decoder(Facts).decode


class RayLink:
    """A `Link` over Ray."""

    def __init__(self, actor: Any) -> None:
        self.actor = actor
        self._start = 0

    async def start(self) -> Facts:
        """See `Link`; Ray queues the actor until a node is free, and repeats the call if the actor died meanwhile."""
        from ray.exceptions import RayError

        try:
            self._start, raw = await self.actor.start.options(max_task_retries=-1).remote()
        except RayError as error:
            raise UsageError(f"a replica could not be started: {_line(error)}") from None
        facts = _facts(raw)
        if facts.fault:
            raise UsageError(f"{facts.fault} (on {facts.where})")
        return facts

    def give(self, work: bytes) -> None:
        """See `Link`; a lost message shows in `take`."""
        self.actor.give.remote(work)

    async def take(self) -> bytes:
        """See `Link`."""
        from ray.exceptions import RayError

        try:
            raw: bytes = await self.actor.take.remote(self._start)
        except RayError as error:
            raise Lost(LOSSES.get(type(error).__name__) or _line(error)) from None
        return raw

    async def close(self) -> None:
        """See `Link`."""
        import ray

        try:
            await self.actor.close.remote()
        finally:
            ray.kill(self.actor)


class RayCluster(Cluster):
    """A cluster that disconnects from Ray when closed."""

    async def close(self) -> None:
        """Stop the replicas and disconnect; a Ray instance started by this process ends."""
        import ray

        await super().close()
        await asyncio.to_thread(ray.shutdown)


def _line(error: BaseException) -> str:
    """Return the informative line of a Ray error."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    informative = [line for line in lines if "Error" in line or "died" in line or "node" in line.lower()]
    return (informative or lines or [type(error).__name__])[-1][:300]


def connect(
    spec: str,
    address: str,
    *,
    replicas: int | None = None,
    gpus: int | None = None,
    options: Mapping[str, Any],
) -> Cluster:
    """Connect to Ray, or start it, and place the replicas; raises UsageError with a one-line message."""
    ray = _ray(address)
    with ExitStack() as undo:
        undo.callback(ray.shutdown)
        nodes = [node["Resources"] for node in ray.nodes() if node["Alive"]]
        placement = place(spec, nodes, replicas=replicas, gpus=gpus)
        links = [RayLink(actor) for actor in _actors(ray, spec, placement, options)]
        facts = _first_facts(ray, links)
        if facts.version != version("science-evals"):
            raise UsageError(
                f"science-evals {facts.version} on {facts.where}, {version('science-evals')} here: install the same"
            )
        undo.pop_all()
    gpu_text = f"{placement.gpus} GPUs each" + (
        f" over {placement.nodes} nodes" if placement.nodes > 1 else ""
    )
    replica_text = f"{placement.replicas} replica{'s' if placement.replicas > 1 else ''}"
    note = f"cluster: {address}, {replica_text} on {len(nodes)} nodes, {gpu_text}"
    return RayCluster(links, replace(facts, notes=(note, *facts.notes)))


def _ray(address: str) -> Any:
    if address != "ray" and not address.startswith("ray://"):
        raise UsageError(f"--cluster {address!r}: write ray, ray://HOST:PORT, or slurm")
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    try:
        import ray
    except ImportError:
        raise UsageError(f"--cluster needs Ray: {install('ray')}") from None
    quiet = {"log_to_driver": False, "logging_level": logging.ERROR}
    try:
        with foreign_code(Crash):  # Ray raises the bare class if its processes do not come up
            if address != "ray":
                _reach(address)
                ray.init(address, **quiet)
            elif os.environ.get("RAY_ADDRESS"):
                ray.init(**quiet)
            else:
                _join_or_start(ray, quiet)
    except Crash as error:
        ray.shutdown()
        raise UsageError(f"--cluster {address}: {_line(error.__cause__ or error)}") from None
    return ray


def _join_or_start(ray: Any, quiet: Mapping[str, Any]) -> None:
    """Connect to the Ray instance on this machine, or start one."""
    try:
        ray.init("auto", **quiet)
    except ConnectionError:
        ray.init(include_dashboard=False, **quiet)


def _reach(address: str) -> None:
    """Check that the address accepts connections: Ray itself would try for 30 s and fail with a long traceback."""
    try:
        parts = urlsplit(address)
        host, port = parts.hostname, parts.port or 10001
    except ValueError:
        host, port = None, 0
    if not host:
        raise UsageError(f"--cluster {address}: write ray://HOST:PORT")
    try:
        socket.create_connection((host, port), timeout=CONNECT_S).close()
    except OSError as error:
        raise UsageError(
            f"--cluster {address}: no answer from {host}:{port} ({error.strerror or error})"
        ) from None


def _actors(ray: Any, spec: str, placement: Placement, options: Mapping[str, Any]) -> list[Any]:
    environment = {name: value for name, value in os.environ.items() if name.startswith(ENVIRONMENT)}
    if placement.gpus:
        environment["EVALS_ENGINE_GPUS"] = str(placement.gpus)
    actor_options = {
        "num_cpus": 1,
        "num_gpus": placement.gpus // placement.nodes,
        "max_restarts": RESTARTS,
        "max_concurrency": 100_000,
        "runtime_env": {"env_vars": environment},
    }
    return [
        ray.remote(Host)
        .options(
            **actor_options,
            scheduling_strategy=_reserved_group(placement) if placement.nodes > 1 else "SPREAD",
        )
        .remote(spec, dict(options), nodes=placement.nodes, gpus=placement.gpus)
        for _ in range(placement.replicas)
    ]


def _reserved_group(placement: Placement) -> Any:
    """Reserve the GPUs of one replica, all or none, while this process runs; returns the strategy for its first node."""
    from ray.util import placement_group
    from ray.util.scheduling_strategies import PlacementGroupSchedulingStrategy

    bundle = {"CPU": 1.0, "GPU": float(placement.gpus // placement.nodes)}
    if placement.kind:
        bundle[f"accelerator_type:{placement.kind}"] = 0.001
    group = placement_group([bundle] * placement.nodes, strategy="STRICT_SPREAD")
    return PlacementGroupSchedulingStrategy(group, placement_group_bundle_index=0)


def _first_facts(ray: Any, links: Sequence[RayLink]) -> Facts:
    """Return the facts of the first replica that is up; raises UsageError with the last fault if all fail."""
    waiting = [link.actor.facts.remote() for link in links]
    why = f"Ray has placed no replica within {PLACE_S:.0f} s: are its nodes busy? (`ray status`)"
    while waiting:
        done, waiting = ray.wait(waiting, num_returns=1, timeout=PLACE_S)
        if not done:
            break
        try:
            facts = _facts(ray.get(done[0]))
        except ray.exceptions.RayError as error:
            why = f"a replica could not be started: {_line(error)}"
            continue
        if not facts.fault:
            return facts
        why = f"{facts.fault} (on {facts.where})"
    raise UsageError(why)
