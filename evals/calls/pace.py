"""Concurrency control: increase while throughput grows, halve when the server asks to slow down."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from contextlib import suppress

from evals.seams import Metered

START = 16
MOST = 1024
PAYS = 1.1
"""A doubling must bring at least a tenth more replies per second."""
SETTLES_S = 1.0
"""Time until a halving takes effect if no window ends."""


class Pace:
    """The number of calls allowed in flight, judged window by window; a window is `limit` replies.

    Without a given number it starts at 16 and doubles while each doubling pays, then rests. A server that
    asks to slow down (429, 503, a deadline passed) halves it, at most once a window. It comes back quickly to
    three quarters of where it was refused, since servers that are not full say 429 too, and slowly from there.
    """

    def __init__(
        self, *, fixed: int | None = None, most: int = MOST, clock: Callable[[], float] = time.monotonic
    ) -> None:
        """`fixed`: start there and never exceed it. `most`: what the model can take at once."""
        self.ceiling = min(fixed or most, most)
        self.limit = min(fixed or START, self.ceiling)
        self._searching = fixed is None
        self._clock = clock
        self._best = 0.0
        self._refused_at = 0
        self._halved = False
        self._begin()

    def _begin(self) -> None:
        self._replies, self._since = 0, self._clock()

    def reply(self) -> None:
        """Note a reply."""
        self._replies += 1
        if self._replies >= self.limit:
            rate = self._replies / max(self._clock() - self._since, 1e-6)
            self._begin()
            self._end_window(rate)

    def _end_window(self, rate: float) -> None:
        if self._halved:
            self._halved = False
        elif self._searching:
            self._search(rate)
        elif self.limit < self.ceiling:
            quick = min(2 * self.limit, 3 * self._refused_at // 4)
            slow = self.limit + max(1, self.limit // 16)
            self.limit = min(self.ceiling, max(quick, slow))

    def _search(self, rate: float) -> None:
        if rate >= PAYS * self._best and self.limit < self.ceiling:
            self._best = rate
            self.limit = min(2 * self.limit, self.ceiling)
        else:
            self._searching = False
            self.ceiling = self.limit

    def slow_down(self) -> None:
        """Note that the server asked for fewer calls."""
        if self._halved and self._clock() - self._since < SETTLES_S:
            return  # a response to a call made before the halving
        self._halved, self._searching = True, False
        self._refused_at = self.limit
        self.limit = max(1, self.limit // 2)
        self._begin()


class Spacing:
    """Starts calls at even distances: `per_minute` of them, however the server counts its minutes.

    A leaky bucket (aiolimiter) lets a minute's calls through at once and then refills, up to twice the limit in the first
    minute; with a capacity of one it does this, at twice the CPU, and cannot be told to stop waiting.
    """

    def __init__(self, per_minute: float, *, clock: Callable[[], float] = time.monotonic) -> None:
        self.distance_s = 60.0 / per_minute
        self._clock = clock
        self._next = 0.0

    def delay_s(self) -> float:
        """Reserve the next start time; return the seconds until then."""
        now = self._clock()
        place = max(now, self._next)
        self._next = place + self.distance_s
        return place - now

    async def wait(self, stop: asyncio.Event | None = None) -> None:
        """Wait for the next start time, or until `stop`; a time reserved by a stopped call stays unused."""
        if (delay_s := self.delay_s()) <= 0:
            return
        if stop is None:
            await asyncio.sleep(delay_s)
            return
        with suppress(TimeoutError):
            async with asyncio.timeout(delay_s):
                await stop.wait()


def spacing_of(model: object) -> Spacing | None:
    """Return the spacing of a model whose vendor counts calls per minute; None if it does not."""
    return Spacing(model.per_minute) if isinstance(model, Metered) and model.per_minute else None
