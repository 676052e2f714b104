"""Replicas as Ray actors: `--cluster ray` or `--cluster ray://HOST:PORT`.

Ray starts the replicas (`host.py`), places them on free GPUs, and restarts them if their process or node dies. A replica
loads its model on its node as `evals run` would, so that an adapter that launches a server does so on the GPUs that Ray has
assigned. A replica that does not fit on a node gets a placement group: GPUs on several nodes, all or none (`multi_node.py`).
"""

from __future__ import annotations

import asyncio
import logging
import os
import socket
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from typing import Any
from urllib.parse import urlsplit

import msgspec
from msgspec.structs import replace

from evals.boundary import foreign_code
from evals.errors import Crash, UsageError, install_command
from evals.plain import count_of
from evals.run.cluster.host import ReplicaHost
from evals.run.cluster.placement import GPU_TYPE_PREFIX, Placement, place
from evals.run.cluster.queue import Cluster, ReplicaInfo, ReplicaLost, require_same_version

MAX_RESTARTS = 3
"""Maximum number of restarts of a replica by Ray."""
CONNECT_S = 5.0
"""Deadline for connecting to the address of a Ray cluster."""
PLACEMENT_S = 60.0
"""Deadline for Ray to place the first replica and start its process."""
LOSS_REASONS = {
    "ActorDiedError": "its process or its node died",
    "ActorUnavailableError": "it cannot be reached",
}
"""Class of a Ray error -> explanation for the user."""
ENVIRONMENT_PREFIX = "EVALS_ENGINE_"
"""Prefix of the environment variables that the driver passes to replicas; secrets must be set on the nodes."""
_decode_info = msgspec.msgpack.Decoder(ReplicaInfo).decode


class RayLink:
    """A `ReplicaLink` over Ray."""

    def __init__(self, actor: Any) -> None:
        self.actor = actor
        self._start_number = 0

    async def start(self) -> ReplicaInfo:
        """See `ReplicaLink`; Ray waits for a free node, and repeats the call if the actor dies in the meantime."""
        from ray.exceptions import RayError

        try:
            self._start_number, raw = await self.actor.start.options(max_task_retries=-1).remote()
        except RayError as error:
            raise UsageError(f"a replica could not be started: {_short_message(error)}") from None
        info = _decode_info(raw)
        if info.fault:
            raise UsageError(f"{info.fault} (on {info.node})")
        return info

    def send(self, raw: bytes) -> None:
        """See `ReplicaLink`; if a message is lost, `receive` raises."""
        self.actor.send.remote(raw)

    async def receive(self) -> bytes:
        """See `ReplicaLink`."""
        from ray.exceptions import RayError

        try:
            raw: bytes = await self.actor.receive.remote(self._start_number)
        except RayError as error:
            raise ReplicaLost(LOSS_REASONS.get(type(error).__name__) or _short_message(error)) from None
        return raw

    async def close(self) -> None:
        """See `ReplicaLink`."""
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


def _short_message(error: BaseException) -> str:
    """Return the most informative line of a Ray error."""
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
    ray = _connect(address)
    with ExitStack() as cleanup:
        cleanup.callback(ray.shutdown)
        nodes = [node["Resources"] for node in ray.nodes() if node["Alive"]]
        placement = place(spec, nodes, replicas=replicas, gpus=gpus)
        links = [RayLink(actor) for actor in _start_actors(ray, spec, placement, options)]
        info = _first_info(ray, links)
        require_same_version(info)
        cleanup.pop_all()
    span = f" over {placement.nodes} nodes" if placement.nodes > 1 else ""
    size = f"{count_of(placement.replicas, 'replica')} on {count_of(len(nodes), 'node')}"
    note = f"cluster: {address}, {size}, {count_of(placement.gpus, 'GPU')} each{span}"
    return RayCluster(links, replace(info, notes=(note, *info.notes)))


def _connect(address: str) -> Any:
    """Connect to a Ray cluster, or start Ray here, and return the module `ray`; raises UsageError."""
    if address != "ray" and not address.startswith("ray://"):
        raise UsageError(f"--cluster {address!r}: write ray, ray://HOST:PORT, or slurm")
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    try:
        import ray
    except ImportError:
        raise UsageError(f"--cluster needs Ray: {install_command('ray')}") from None
    options = {"log_to_driver": False, "logging_level": logging.ERROR}
    try:
        with foreign_code(Crash):  # Ray raises a plain `Exception` if its processes do not start
            if address != "ray":
                _check_reachable(address)
                ray.init(address, **options)
            elif os.environ.get("RAY_ADDRESS"):
                ray.init(**options)
            else:
                _join_or_start(ray, options)
    except Crash as error:
        ray.shutdown()
        raise UsageError(f"--cluster {address}: {_short_message(error.__cause__ or error)}") from None
    return ray


def _join_or_start(ray: Any, options: Mapping[str, Any]) -> None:
    try:
        ray.init("auto", **options)
    except ConnectionError:
        ray.init(include_dashboard=False, **options)


def _check_reachable(address: str) -> None:
    """Raise UsageError if the address refuses connections; Ray itself would try for 30 s, and fail with a long traceback."""
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
            f"--cluster {address}: no response from {host}:{port} ({error.strerror or error})"
        ) from None


def _start_actors(ray: Any, spec: str, placement: Placement, options: Mapping[str, Any]) -> list[Any]:
    environment = {name: value for name, value in os.environ.items() if name.startswith(ENVIRONMENT_PREFIX)}
    if placement.gpus:
        environment["EVALS_ENGINE_GPUS"] = str(placement.gpus)
    actor_options = {
        "num_cpus": 1,
        "num_gpus": placement.gpus // placement.nodes,
        "max_restarts": MAX_RESTARTS,
        "max_concurrency": 100_000,
        "runtime_env": {"env_vars": environment},
    }
    return [
        ray.remote(ReplicaHost)
        .options(
            **actor_options,
            scheduling_strategy=_reserve_nodes(placement) if placement.nodes > 1 else "SPREAD",
        )
        .remote(spec, dict(options), nodes=placement.nodes, gpus=placement.gpus)
        for _ in range(placement.replicas)
    ]


def _reserve_nodes(placement: Placement) -> Any:
    """Reserve the GPUs of one replica, all or none, while this process runs; return the strategy that selects its first node."""
    from ray.util import placement_group
    from ray.util.scheduling_strategies import PlacementGroupSchedulingStrategy

    bundle = {"CPU": 1.0, "GPU": float(placement.gpus // placement.nodes)}
    if placement.gpu_type:
        # a small amount, which requires the type without using the resource up
        bundle[f"{GPU_TYPE_PREFIX}{placement.gpu_type}"] = 0.001
    group = placement_group([bundle] * placement.nodes, strategy="STRICT_SPREAD")
    return PlacementGroupSchedulingStrategy(group, placement_group_bundle_index=0)


def _first_info(ray: Any, links: Sequence[RayLink]) -> ReplicaInfo:
    """Return the description of the first replica that is up; raises UsageError with the last fault if no replica starts."""
    waiting = [link.actor.info.remote() for link in links]
    reason = f"Ray has placed no replica within {PLACEMENT_S:.0f} s: are its nodes busy? (`ray status`)"
    while waiting:
        done, waiting = ray.wait(waiting, num_returns=1, timeout=PLACEMENT_S)
        if not done:
            break
        try:
            info = _decode_info(ray.get(done[0]))
        except ray.exceptions.RayError as error:
            reason = f"a replica could not be started: {_short_message(error)}"
            continue
        if not info.fault:
            return info
        reason = f"{info.fault} (on {info.node})"
    raise UsageError(reason)
