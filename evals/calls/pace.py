"""Concurrency control: increase while throughput grows, halve when the server asks to slow down."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from contextlib import suppress
from weakref import WeakValueDictionary

from evals.seams import Concurrency, HasAccount, HasPace, HasRateLimit, slots_of

INITIAL_LIMIT = 16
MAX_LIMIT = 1024
MIN_GAIN = 1.1
"""Minimum gain in replies per second for which the concurrency is doubled."""
HALVING_S = 1.0
"""Time after which the concurrency may be halved again if no window has ended."""


class Pace:
    """The number of calls allowed in flight, adjusted after each window of `limit` replies.

    Unless fixed, it starts at 16 and doubles for as long as each doubling raises the throughput by a tenth. When the server
    asks to slow down (429, 503, a timeout), the number is halved, at most once per window; it then recovers quickly to three
    quarters of its value before the halving, and slowly from there.
    """

    def __init__(
        self,
        *,
        fixed: int | None = None,
        max_limit: int = MAX_LIMIT,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """`fixed`: the initial number of calls, which is never exceeded. `max_limit`: the model's maximum."""
        self.ceiling = min(fixed or max_limit, max_limit)
        self.limit = min(fixed or INITIAL_LIMIT, self.ceiling)
        self._is_searching = fixed is None
        self._clock = clock
        self._best_rate = 0.0
        self._limit_before_halving = 0
        self._has_halved = False
        self._begin_window()

    def _begin_window(self) -> None:
        self._replies, self._window_start = 0, self._clock()

    def reply(self) -> None:
        """Count a reply."""
        self._replies += 1
        if self._replies >= self.limit:
            rate = self._replies / max(self._clock() - self._window_start, 1e-6)
            self._begin_window()
            self._end_window(rate)

    def _end_window(self, rate: float) -> None:
        if self._has_halved:
            self._has_halved = False
        elif self._is_searching:
            self._search(rate)
        elif self.limit < self.ceiling:
            quick = min(2 * self.limit, 3 * self._limit_before_halving // 4)
            slow = self.limit + max(1, self.limit // 16)
            self.limit = min(self.ceiling, max(quick, slow))

    def _search(self, rate: float) -> None:
        if rate >= MIN_GAIN * self._best_rate and self.limit < self.ceiling:
            self._best_rate = rate
            self.limit = min(2 * self.limit, self.ceiling)
        else:
            self._is_searching = False
            self.ceiling = self.limit

    def slow_down(self) -> None:
        """Reduce the concurrency because the server asked for fewer calls."""
        if self._has_halved and self._clock() - self._window_start < HALVING_S:
            return  # a response to a call made before the halving
        self._has_halved, self._is_searching = True, False
        self._limit_before_halving = self.limit
        self.limit = max(1, self.limit // 2)
        self._begin_window()


class Spacing:
    """Starts calls at even intervals, `per_minute` of them per minute.

    A leaky bucket (aiolimiter) would admit a minute's calls at once and then refill, which allows twice the limit in the
    first minute. With a capacity of one it would be equivalent, but take twice the CPU time, and its wait cannot be
    interrupted.
    """

    def __init__(self, per_minute: float, *, clock: Callable[[], float] = time.monotonic) -> None:
        self.interval_s = 60.0 / per_minute
        self._clock = clock
        self._next_start = 0.0

    def delay_s(self) -> float:
        """Reserve the next start time; return the seconds until then."""
        now = self._clock()
        start = max(now, self._next_start)
        self._next_start = start + self.interval_s
        return start - now

    async def wait(self, stop: asyncio.Event | None = None) -> None:
        """Wait for the next start time, or until `stop` is set; the start time of a stopped call stays unused."""
        if (delay_s := self.delay_s()) <= 0:
            return
        if stop is None:
            await asyncio.sleep(delay_s)
            return
        with suppress(TimeoutError):
            async with asyncio.timeout(delay_s):
                await stop.wait()


_spacing_by_account: WeakValueDictionary[tuple[str, float], Spacing] = WeakValueDictionary()
"""(account, limit) -> its spacing, while in use."""


def spacing_of(model: object) -> Spacing | None:
    """Return the spacing for a model with a limit in calls per minute, shared by its account; None without a limit."""
    if not isinstance(model, HasRateLimit) or not model.per_minute:
        return None
    if not isinstance(model, HasAccount):
        return Spacing(model.per_minute)
    key = (model.account, model.per_minute)
    return _spacing_by_account.get(key) or _spacing_by_account.setdefault(key, Spacing(model.per_minute))


def pace_of(model: object, fixed: int | None) -> Concurrency:
    """Return the concurrency control of a model: its own if it has one, else a `Pace`."""
    return (
        model.pace(fixed)
        if isinstance(model, HasPace)
        else Pace(fixed=fixed, max_limit=slots_of(model) or MAX_LIMIT)
    )
