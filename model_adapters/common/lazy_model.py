"""Models in this process that are loaded in a thread when first needed, and that compute concurrent calls in batches."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Sequence
from typing import Generic, Protocol, TypeVar

from evals.boundary import foreign_code
from evals.errors import ModelError
from evals.types import Reply

T = TypeVar("T")


class PendingReply(Protocol):
    """A call that waits for its batch."""

    @property
    def reply(self) -> asyncio.Future[Reply]:
        """Return the future of the reply."""
        ...


P = TypeVar("P", bound=PendingReply)


class LazyModel(Generic[T, P]):
    """Loads a resource once, at the first call, and processes calls in batches; a failed load is retried by the next call."""

    name: str
    gather_s = 0.0
    """Time to wait for more calls, if no batch is being computed."""

    def __init__(self) -> None:
        self._loaded: T | None = None
        self._load_task: asyncio.Task[None] | None = None
        self._pending: list[P] = []
        self._batch_task: asyncio.Task[None] | None = None

    def _load(self) -> T:
        """Load the resource; called in a thread."""
        raise NotImplementedError

    def _take_batch(self) -> list[P]:
        """Remove the calls of the next batch from `_pending`, and return them."""
        raise NotImplementedError

    async def _compute(self, batch: Sequence[P], loaded: T) -> Sequence[Reply | ModelError]:
        """Return the outcome of each call of a batch."""
        raise NotImplementedError

    def ready(self) -> Awaitable[None] | None:
        """Return None if the resource is loaded, else an awaitable that loads it."""
        if self._loaded is not None:
            return None
        if self._load_task is None or self._load_task.done():
            self._load_task = asyncio.get_running_loop().create_task(self._load_in_thread())
        return asyncio.shield(self._load_task)

    async def _load_in_thread(self) -> None:
        self._loaded = await asyncio.to_thread(self._load)

    async def loaded(self) -> T:
        """Return the loaded resource; raises ModelError if the model was closed in the meantime."""
        if (waiting := self.ready()) is not None:
            await waiting
        if self._loaded is None:
            raise ModelError(f"{self.name} was closed")
        return self._loaded

    async def _reply_in_batch(self, pending: P, loaded: T) -> Reply:
        """Return the reply to a call that is processed in a batch with others."""
        self._pending.append(pending)
        if self._batch_task is None or self._batch_task.done():
            self._batch_task = asyncio.get_running_loop().create_task(self._process_batches(loaded))
        return await pending.reply

    async def _process_batches(self, loaded: T) -> None:
        await asyncio.sleep(self.gather_s)
        while self._pending:
            batch = [pending for pending in self._take_batch() if not pending.reply.done()]
            if not batch:
                continue
            outcomes: Sequence[Reply | ModelError]
            try:
                with foreign_code(ModelError):
                    outcomes = await self._compute(batch, loaded)
            except ModelError as error:  # an error of the library fails all calls of the batch
                outcomes = [error] * len(batch)
            for pending, outcome in zip(batch, outcomes, strict=True):
                if pending.reply.done():
                    continue
                if isinstance(outcome, Reply):
                    pending.reply.set_result(outcome)
                else:
                    pending.reply.set_exception(outcome)

    async def close(self) -> None:
        """Cancel loading and computing, and release the memory."""
        for task in (self._batch_task, self._load_task):
            if task is not None:
                task.cancel()
                await asyncio.gather(task, return_exceptions=True)
        self._loaded = None
