"""Replicas that span several nodes: the model's server has a rank on each node, and the first rank receives the requests.

Ray reserves either all GPUs or none (a placement group with one bundle per node), and the engine runs in its multi-node
mode. If a rank ends once the server is up, the replica's process exits; Ray then stops the other ranks and restarts the replica.
"""

from __future__ import annotations

import asyncio
import os
import socket
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from evals import load
from evals.errors import EvalsError


class Follower:
    """A rank of a replica's server on a node other than the first."""

    def __init__(self, spec: str, options: Mapping[str, Any], environment: Mapping[str, str]) -> None:
        """`environment`: variables for the engine on this node."""
        os.environ.update(environment)
        self._fault = ""
        try:
            folder = Path(tempfile.mkdtemp(prefix="evals-follower-"))
            self._model: Any = load.model(spec, results=folder, **options)
        except EvalsError as error:
            self._fault = str(error)

    async def follow(self) -> str:
        """Run this rank of the server until it ends; return the reason."""
        reason = self._fault or await self._model.follow()
        return f"{reason} (on {socket.gethostname()})"

    async def close(self) -> None:
        """Stop this rank of the server."""
        if not self._fault:
            await self._model.close()


class FollowerGroup:
    """The ranks of a replica's server after the first, in bundles 1, 2, ... of the replica's placement group."""

    def __init__(self, spec: str, options: Mapping[str, Any], *, nodes: int, gpus: int) -> None:
        """Start the ranks, and set the engine's environment variables on this node. `gpus`: number on all nodes together."""
        import ray
        from ray.util import get_current_placement_group
        from ray.util.scheduling_strategies import PlacementGroupSchedulingStrategy

        environment = {
            "EVALS_ENGINE_NODES": str(nodes),
            "EVALS_ENGINE_MASTER": _address_with_free_port(ray.util.get_node_ip_address()),
        }
        os.environ.update(environment, EVALS_ENGINE_RANK="0")
        group = get_current_placement_group()
        self._actors = [
            ray.remote(Follower)
            .options(
                num_cpus=1,
                num_gpus=gpus // nodes,
                max_concurrency=8,
                scheduling_strategy=PlacementGroupSchedulingStrategy(
                    group, placement_group_bundle_index=rank
                ),
            )
            .remote(spec, dict(options), environment | {"EVALS_ENGINE_RANK": str(rank)})
            for rank in range(1, nodes)
        ]
        self._tasks: set[asyncio.Task[str]] = set()

    async def wait_for_first_end(self) -> str:
        """Run the ranks and wait until one of them ends; return the reason."""
        self._tasks = self._tasks or {asyncio.create_task(_run_follower(actor)) for actor in self._actors}
        done, _ = await asyncio.wait(self._tasks, return_when=asyncio.FIRST_COMPLETED)
        return done.pop().result()

    async def close(self) -> None:
        """Stop all ranks."""
        import ray

        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*(actor.close.remote() for actor in self._actors), return_exceptions=True)
        for actor in self._actors:
            ray.kill(actor)


async def _run_follower(actor: Any) -> str:
    from ray.exceptions import RayError

    try:
        reason: str = await actor.follow.remote()
    except RayError as error:
        return f"one of its nodes was lost ({type(error).__name__})"
    return reason


def _address_with_free_port(host: str) -> str:
    with socket.socket() as probe:
        probe.bind(("", 0))
        return f"{host}:{probe.getsockname()[1]}"
