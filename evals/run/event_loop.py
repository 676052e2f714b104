"""What all runners of one event loop share: the handler of Ctrl-C, and the threshold of the garbage collector."""

from __future__ import annotations

import asyncio
import gc
import signal
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar
from weakref import WeakKeyDictionary

T = TypeVar("T")

COLLECT = 50_000
"""Garbage-collection threshold (generation 0); at the default of 700, collection took a third of the run time."""

_handlers: WeakKeyDictionary[asyncio.AbstractEventLoop, list[Callable[[], None]]] = WeakKeyDictionary()
"""The interrupt handlers of each running event loop."""
_usual: list[tuple[int, int, int]] = []
"""Thresholds to restore, one for each nested context; the first is the process's own."""


@contextmanager
def on_interrupt(handler: Callable[[], None]) -> Iterator[None]:
    """Call a handler at SIGINT and SIGTERM while the context is open, with those of all other open contexts of the loop.

    Has no effect on event loops without signal handlers, e.g. outside of the main thread.
    """
    loop = asyncio.get_running_loop()
    handlers = _handlers.setdefault(loop, [])
    handlers.append(handler)
    if len(handlers) == 1:
        _install(loop)
    try:
        yield
    finally:
        handlers.remove(handler)
        if not handlers:
            _remove(loop)


def _install(loop: asyncio.AbstractEventLoop) -> None:
    def call_all() -> None:
        for handler in list(_handlers.get(loop, ())):
            handler()

    for signum in (signal.SIGINT, signal.SIGTERM):
        try:
            loop.add_signal_handler(signum, call_all)
        except (NotImplementedError, RuntimeError, ValueError):
            continue


def _remove(loop: asyncio.AbstractEventLoop) -> None:
    for signum in (signal.SIGINT, signal.SIGTERM):
        try:
            loop.remove_signal_handler(signum)
        except (NotImplementedError, RuntimeError, ValueError):
            continue


@contextmanager
def rare_collection() -> Iterator[None]:
    """Collect garbage rarely while any of these contexts is open."""
    _usual.append(gc.get_threshold())
    gc.set_threshold(COLLECT, *_usual[0][1:])
    try:
        yield
    finally:
        first = _usual[0]
        _usual.pop()
        if not _usual:
            gc.set_threshold(*first)


def run_to_end(main: Coroutine[Any, Any, T]) -> T:
    """Run a coroutine on a new event loop, uvloop if installed."""
    try:
        import uvloop
    except ImportError:
        return asyncio.run(main)
    return uvloop.run(main)


async def in_thread(function: Callable[[], T]) -> T:
    """Call a function in a thread; a task that is cancelled meanwhile waits for its end."""
    working = asyncio.ensure_future(asyncio.to_thread(function))
    try:
        return await asyncio.shield(working)
    except asyncio.CancelledError:
        await asyncio.wait({working})
        if not working.cancelled():
            working.exception()  # retrieved: the cancellation is what ends the task
        raise
