"""A merged model: `merge:RECIPE.toml` builds the checkpoint once, in the cache, and serves it with `vllm:` or `hf:` (extra `merge`).

The recipe defines the base, the experts, the method and its hyperparameters (docs/merging.md).
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from pathlib import Path
from typing import TypeAlias

from evals.errors import ModelError
from evals.merging.build import Plan, make
from evals.model_adapters import hf, vllm
from evals.model_adapters.common.served import LaunchedModel
from evals.model_adapters.hf import Transformers
from evals.plain import notice
from evals.seams import Decoding, TokenLikelihoods
from evals.types import Likelihood, Prompt, Reply, Sampling

OPTIONS = ("results", "trust_remote_code", "gpu_check")
Engine: TypeAlias = LaunchedModel | Transformers
Loader: TypeAlias = Callable[[str], Engine]
"""Loads the model in a folder."""


class MergedModel:
    """The model of a recipe, merged by the first call and then served like any other checkpoint."""

    def __init__(self, plan: Plan, load: Loader) -> None:
        self._plan, self._load = plan, load
        base_engine = load(str(plan.base.folder))  # reports missing requirements of the engine early
        self.name = plan.name
        self.accepts = base_engine.accepts
        self.slots: int | None = base_engine.slots
        engine_options = base_engine.options if isinstance(base_engine, LaunchedModel) else ""
        self.options = f"merge {plan.key} {engine_options}".rstrip()
        """Identity of merge and engine, so that a different merge starts a new run."""
        self._engine: Engine | None = None
        self._run: Path | None = None
        self._headers: dict[str, str] = {}
        self._merge_task: asyncio.Task[Engine] | None = None

    @property
    def notes(self) -> list[str]:
        """Return the merge's identity, and the notes of its server."""
        return [self._plan.summary, *(self._engine.notes if isinstance(self._engine, LaunchedModel) else ())]

    def log_to(self, run: Path) -> None:
        """Write the server's log into a run's folder."""
        self._run = run
        if isinstance(self._engine, LaunchedModel):
            self._engine.log_to(run)

    def add_headers(self, headers: Mapping[str, str]) -> None:
        """Send additional headers with every call, if the model is served over HTTP."""
        self._headers.update(headers)

    def ready(self) -> Awaitable[None] | None:
        """Return None if the model can be called, else an awaitable that merges and starts the model."""
        return self._start() if self._engine is None else self._engine.ready()

    async def _start(self) -> None:
        engine = await self._merged_engine()
        if (waiting := engine.ready()) is not None:
            await waiting

    async def _merged_engine(self) -> Engine:
        if self._engine is not None:
            return self._engine
        if self._merge_task is None or self._merge_task.done():
            self._merge_task = asyncio.get_running_loop().create_task(self._merge())
        return await asyncio.shield(self._merge_task)

    async def _merge(self) -> Engine:
        folder = await asyncio.to_thread(make, self._plan, log=notice)
        engine = self._load(str(folder))
        if isinstance(engine, LaunchedModel):
            engine.add_headers(self._headers)
            if self._run is not None:
                engine.log_to(self._run)
        self._engine = engine
        return engine

    async def reply(self, prompt: Prompt, sampling: Sampling) -> Reply:
        """Return the reply to one prompt; the first call merges."""
        return await (await self._merged_engine()).reply(prompt, sampling)

    async def logprobs(self, prompt: str, continuations: Sequence[str]) -> tuple[Likelihood, ...]:
        """See `LogProbs`."""
        return await (await self._merged_engine()).logprobs(prompt, continuations)

    def backend(self) -> str:
        """See `SupportsReplyLikelihoods`."""
        return self._engine.backend() if self._engine is not None else ""

    async def reply_likelihoods(
        self, exchanges: Sequence[tuple[Prompt, Reply]], sampling: Sampling, decoding: Decoding
    ) -> Sequence[TokenLikelihoods | ModelError]:
        """See `SupportsReplyLikelihoods`."""
        return await (await self._merged_engine()).reply_likelihoods(exchanges, sampling, decoding)

    async def close(self) -> None:
        """Stop the server, or release the memory; a merge in progress is completed in its thread."""
        if self._merge_task is not None and not self._merge_task.done():
            self._merge_task.cancel()
            await asyncio.gather(self._merge_task, return_exceptions=True)
        if self._engine is not None:
            await self._engine.close()


def model(
    rest: str,
    *,
    results: Path = Path("results"),
    trust_remote_code: bool = False,
    gpu_check: bool = True,
) -> MergedModel:
    """Return the model `merge:RECIPE.toml`, validated but not merged yet; raises UsageError."""
    plan = Plan(Path(rest), trusted=trust_remote_code)

    def load(folder: str) -> Engine:
        if plan.recipe.serve == "hf":
            return hf.model(folder, trust_remote_code=trust_remote_code)
        server: LaunchedModel = vllm.model(
            folder, results=results, trust_remote_code=trust_remote_code, gpu_check=gpu_check
        )
        return server

    return MergedModel(plan, load)
