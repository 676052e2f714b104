"""Running on an event loop: Ctrl-C handlers, the garbage-collection threshold, and blocking work in threads."""

from __future__ import annotations

import asyncio
import gc
import signal
import time
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager, suppress
from types import FrameType
from typing import Any, TypeVar
from weakref import WeakKeyDictionary

T = TypeVar("T")

GC_THRESHOLD = 50_000
"""Garbage-collection threshold (generation 0); at the default of 700, garbage collection took a third of the run time."""
BLOCKED_S = 1.0
"""If a signal is not handled within this time, the loop is blocked, e.g. by a scorer that never returns."""

_handlers: WeakKeyDictionary[asyncio.AbstractEventLoop, list[Callable[[], None]]] = WeakKeyDictionary()
"""The interrupt handlers of each running event loop."""
_saved_thresholds: list[tuple[int, int, int]] = []
"""The thresholds at the start of each open context; the first are the original ones."""


@contextmanager
def on_interrupt(handler: Callable[[], None]) -> Iterator[None]:
    """Call a handler on SIGINT and SIGTERM while the context is open, in addition to those of other contexts on the same loop.

    If the loop is blocked (`BLOCKED_S`), a further signal raises KeyboardInterrupt. Has no effect on event loops without signal handlers, e.g. outside the main thread.
    """
    loop = asyncio.get_running_loop()
    handlers = _handlers.setdefault(loop, [])
    handlers.append(handler)
    if len(handlers) == 1:
        _install_handlers(loop)
    try:
        yield
    finally:
        handlers.remove(handler)
        if not handlers:
            for signum in (signal.SIGINT, signal.SIGTERM):
                with suppress(NotImplementedError, RuntimeError, ValueError):
                    loop.remove_signal_handler(signum)


def _install_handlers(loop: asyncio.AbstractEventLoop) -> None:
    unhandled: list[float] = []

    def call_all() -> None:
        unhandled.clear()
        for handler in list(_handlers.get(loop, ())):
            handler()

    for signum in (signal.SIGINT, signal.SIGTERM):
        with suppress(NotImplementedError, RuntimeError, ValueError):
            loop.add_signal_handler(signum, call_all)
            _interrupt_if_blocked(signum, unhandled)


def _interrupt_if_blocked(signum: signal.Signals, unhandled: list[float]) -> None:
    """Let a signal raise KeyboardInterrupt if the loop is blocked. `unhandled`: times of the signals that it has not handled yet."""
    notify_loop = signal.getsignal(signum)

    def on_signal(number: int, frame: FrameType | None) -> None:
        if unhandled and time.monotonic() - unhandled[0] > BLOCKED_S:
            raise KeyboardInterrupt
        unhandled.append(time.monotonic())
        if callable(notify_loop):
            notify_loop(number, frame)

    signal.signal(signum, on_signal)


@contextmanager
def infrequent_gc() -> Iterator[None]:
    """Raise the garbage-collection threshold while at least one context of this kind is open."""
    _saved_thresholds.append(gc.get_threshold())
    gc.set_threshold(GC_THRESHOLD, *_saved_thresholds[0][1:])
    try:
        yield
    finally:
        original = _saved_thresholds[0]
        _saved_thresholds.pop()
        if not _saved_thresholds:
            gc.set_threshold(*original)


def run_on_new_loop(main: Coroutine[Any, Any, T]) -> T:
    """Run a coroutine on a new event loop, with uvloop if that is installed."""
    try:
        import uvloop
    except ImportError:
        return asyncio.run(main)
    return uvloop.run(main)


async def in_thread(function: Callable[[], T]) -> T:
    """Call a function in a thread; if the task is cancelled in the meantime, wait for the function to end first."""
    future = asyncio.ensure_future(asyncio.to_thread(function))
    try:
        return await asyncio.shield(future)
    except asyncio.CancelledError:
        await asyncio.wait({future})
        if not future.cancelled():
            future.exception()  # marks it as retrieved; only the cancellation is raised
        raise
