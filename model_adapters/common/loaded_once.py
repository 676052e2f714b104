"""A model in this process that is loaded in a thread when it is first needed."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from typing import Generic, TypeVar

from evals.errors import ModelError

T = TypeVar("T")


class LoadedOnce(Generic[T]):
    """Load something heavy once, whoever asks first; a failed attempt is repeated by the next caller."""

    name: str
    _loaded: T | None = None
    _loading: asyncio.Task[None] | None = None

    def _load(self) -> T:
        """Load it; called in a thread."""
        raise NotImplementedError

    def ready(self) -> Awaitable[None] | None:
        """Return None if it is loaded, else an awaitable that loads it."""
        if self._loaded is not None:
            return None
        if self._loading is None or self._loading.done():
            self._loading = asyncio.get_running_loop().create_task(self._load_in_thread())
        return asyncio.shield(self._loading)

    async def _load_in_thread(self) -> None:
        self._loaded = await asyncio.to_thread(self._load)

    async def loaded(self) -> T:
        """Return it, loaded; raises ModelError if it was closed meanwhile."""
        if (waiting := self.ready()) is not None:
            await waiting
        if self._loaded is None:
            raise ModelError(f"{self.name} was closed")
        return self._loaded
