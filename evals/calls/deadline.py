"""Like `asyncio.timeout`, but with a single timer for thousands of concurrent calls that have the same timeout."""

from __future__ import annotations

import asyncio
from types import TracebackType
from typing import Any


class Deadline:
    """A context manager shared by concurrent tasks; a task that stays in it for too long gets TimeoutError.

    Do not enter it in a task that is already being cancelled: the two cancellations could not be distinguished.
    """

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        self._due: dict[asyncio.Task[Any], float] = {}
        """Due times in ascending order, since all tasks have the same timeout."""
        self._timer: asyncio.TimerHandle | None = None

    def __enter__(self) -> None:
        loop, task = asyncio.get_running_loop(), asyncio.current_task()
        if task is None:
            raise RuntimeError("a deadline must be entered in a task")
        self._due[task] = loop.time() + self.seconds
        if self._timer is None:
            self._timer = loop.call_later(self.seconds, self._expire_due)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        task = asyncio.current_task()
        if task is None or self._due.pop(task, None) is not None:
            return
        if task.uncancel() == 0 and kind is asyncio.CancelledError:  # only the deadline has cancelled it
            raise TimeoutError from error

    def expire(self) -> None:
        """Raise TimeoutError in all tasks that are in the context now."""
        tasks, self._due = list(self._due), {}
        for task in tasks:
            task.cancel()

    def _expire_due(self) -> None:
        """Cancel the tasks whose time is up, and set the timer for the next task."""
        loop = asyncio.get_running_loop()
        self._timer = None
        for task, due in list(self._due.items()):
            if due > loop.time():
                self._timer = loop.call_at(due, self._expire_due)
                return
            del self._due[task]
            task.cancel()
