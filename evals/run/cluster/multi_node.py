"""A replica that is larger than a node: one part of its server on each of several, the first of which answers.

Ray reserves the GPUs, all or none (a placement group with one bundle a node), and the engine's own way of several
nodes does the rest. The parts live and die together: when one is gone the replica ends its process, Ray ends what it
made, and starts it again where there is room.
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
    """One more node's part of a replica's server."""

    def __init__(self, spec: str, options: Mapping[str, Any], words: Mapping[str, str]) -> None:
        """`words`: environment of the engine there."""
        os.environ.update(words)
        self._fault = ""
        try:
            folder = Path(tempfile.mkdtemp(prefix="evals-follower-"))
            self._model: Any = load.model(spec, results=folder, **options)
        except EvalsError as error:
            self._fault = str(error)

    async def follow(self) -> str:
        """Run it until it ends; says how that was."""
        ended = self._fault or await self._model.follow()
        return f"{ended} (on {socket.gethostname()})"

    async def close(self) -> None:
        """Stop it."""
        if not self._fault:
            await self._model.close()


class Followers:
    """All parts but the first, which is where this is made; in the bundles 1 and on of its placement group."""

    def __init__(self, spec: str, options: Mapping[str, Any], *, nodes: int, gpus: int) -> None:
        """`gpus`: of all nodes together. What the engine here must know goes into its environment."""
        import ray
        from ray.util import get_current_placement_group
        from ray.util.scheduling_strategies import PlacementGroupSchedulingStrategy

        words = {
            "EVALS_ENGINE_NODES": str(nodes),
            "EVALS_ENGINE_MASTER": _meeting(ray.util.get_node_ip_address()),
        }
        os.environ.update(words, EVALS_ENGINE_RANK="0")
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
            .remote(spec, dict(options), words | {"EVALS_ENGINE_RANK": str(rank)})
            for rank in range(1, nodes)
        ]
        self._ends: set[asyncio.Task[str]] = set()

    async def ended(self) -> str:
        """Have them run, and wait until the first of them ends; says how that was."""
        self._ends = self._ends or {asyncio.create_task(_follow(actor)) for actor in self._actors}
        done, _ = await asyncio.wait(self._ends, return_when=asyncio.FIRST_COMPLETED)
        return done.pop().result()

    async def close(self) -> None:
        """Stop them all."""
        import ray

        for task in self._ends:
            task.cancel()
        await asyncio.gather(*(actor.close.remote() for actor in self._actors), return_exceptions=True)
        for actor in self._actors:
            ray.kill(actor)


async def _follow(actor: Any) -> str:
    from ray.exceptions import RayError

    try:
        ended: str = await actor.follow.remote()
    except RayError as error:
        return f"one of its nodes was lost ({type(error).__name__})"
    return ended


def _meeting(address: str) -> str:
    with socket.socket() as probe:
        probe.bind(("", 0))
        return f"{address}:{probe.getsockname()[1]}"
