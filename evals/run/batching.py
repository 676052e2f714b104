"""`evals run --batch`: wait for the batches of a model before its runner starts."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from evals.run.event_loop import on_interrupt

if TYPE_CHECKING:
    from evals.run.batch import BatchReplies
    from evals.run.job import Job


class BatchWait:
    """The wait for the batches of one model, which the user may interrupt."""

    def __init__(self, *, say: Callable[[str], None], warn: Callable[[str], None]) -> None:
        """`say`: called with progress messages; `warn`: with errors and the number of pending batches."""
        self._say, self._warn = say, warn
        self._stop = asyncio.Event()
        self._task: asyncio.Task[Any] | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self.interrupted = False

    async def collect(self, model: Any, jobs: Sequence[Job]) -> BatchReplies:
        """Submit requests without a reply and wait for the results; an interrupt ends the wait, and no batch is lost.

        Raises CancelledError after a second interrupt.
        """
        from evals.run.batch import collect_batches

        self._task, self._loop = asyncio.current_task(), asyncio.get_running_loop()
        with on_interrupt(self.interrupt):
            collected = await collect_batches(model, model.batches, jobs, say=self._say, stop=self._stop)
        for fault in collected.faults:
            self._warn(f"evals: {fault}")
        if collected.pending:
            subject = "1 batch is" if collected.pending == 1 else f"{collected.pending} batches are"
            self._warn(f"{subject} still pending: repeat the command later to collect the results")
        return collected

    def interrupt_from_thread(self) -> None:
        """Interrupt the wait from another thread."""
        if self._loop is not None:
            self._loop.call_soon_threadsafe(self.interrupt)

    def interrupt(self) -> None:
        """End the wait; if called again, cancel the task."""
        if self.interrupted and self._task is not None:
            self._task.cancel()
        self.interrupted = True
        self._stop.set()
