"""Concurrency control: raise the concurrency while throughput grows, and halve it when the server is overloaded."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from contextlib import suppress
from weakref import WeakValueDictionary

from evals.seams import Concurrency, HasAccount, HasPace, HasRateLimit, slots_of

INITIAL_LIMIT, MAX_LIMIT = 16, 1024
"""Number of concurrent calls at the start of a run, and maximum number if the model sets none."""
MIN_GAIN = 1.1
"""The concurrency is doubled again if the last doubling raised the replies per second by at least this factor."""
MIN_HALVING_INTERVAL_S = 1.0
"""After this time, the concurrency may be halved again even if no window has ended since the last halving."""


class Pace:
    """The number of calls allowed in flight, adjusted after each window of `limit` replies.

    Unless fixed, the number starts at 16 and doubles for as long as each doubling raises the throughput by a tenth. When the
    server is overloaded (HTTP 429 or 503, or a timeout), the number is halved, at most once per window or second, whichever
    ends first. It then recovers quickly to three quarters of its value before the halving, and slowly from there.
    """

    def __init__(
        self,
        *,
        fixed: int | None = None,
        max_limit: int = MAX_LIMIT,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """`fixed`: the initial and maximum number of calls; None: search for the best. `max_limit`: the model's own maximum."""
        self.ceiling = min(fixed or max_limit, max_limit)
        """Maximum of `limit`; lowered when a doubling gains too little."""
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
            self._double_or_stop(rate)
        elif self.limit < self.ceiling:
            quick_recovery = min(2 * self.limit, 3 * self._limit_before_halving // 4)
            slow_recovery = self.limit + max(1, self.limit // 16)
            self.limit = min(self.ceiling, max(quick_recovery, slow_recovery))

    def _double_or_stop(self, rate: float) -> None:
        """Double the limit if the last doubling raised the replies per second enough; otherwise, end the search."""
        if rate >= MIN_GAIN * self._best_rate and self.limit < self.ceiling:
            self._best_rate = rate
            self.limit = min(2 * self.limit, self.ceiling)
        else:
            self._is_searching = False
            self.ceiling = self.limit

    def slow_down(self) -> None:
        """Halve the concurrency, because the server asked for fewer calls or missed a deadline."""
        if self._has_halved and self._clock() - self._window_start < MIN_HALVING_INTERVAL_S:
            return  # the failed call was made before the halving
        self._has_halved, self._is_searching = True, False
        self._limit_before_halving = self.limit
        self.limit = max(1, self.limit // 2)
        self._begin_window()


class Spacing:
    """Starts calls at even intervals: `per_minute` calls per minute.

    A leaky bucket (aiolimiter) would admit the calls of one minute at once and then refill, which allows twice the limit in
    the first minute. A bucket with a capacity of one call would be equivalent, but would take twice the CPU time, and its
    wait cannot be interrupted.
    """

    def __init__(self, per_minute: float, *, clock: Callable[[], float] = time.monotonic) -> None:
        self.interval_s = 60.0 / per_minute
        self._clock = clock
        self._next_start = 0.0

    def reserve_start(self) -> float:
        """Reserve the next start time; return the seconds until then."""
        now = self._clock()
        start = max(now, self._next_start)
        self._next_start = start + self.interval_s
        return start - now

    async def wait(self, stop: asyncio.Event | None = None) -> None:
        """Wait for the next start time, or until `stop` is set; the start time of a stopped call stays unused."""
        if (delay_s := self.reserve_start()) <= 0:
            return
        if stop is None:
            await asyncio.sleep(delay_s)
            return
        with suppress(TimeoutError):
            async with asyncio.timeout(delay_s):
                await stop.wait()


_spacing_by_account: WeakValueDictionary[tuple[str, float], Spacing] = WeakValueDictionary()
"""(account, calls per minute) -> the spacing that all of the account's models in use share."""


def spacing_of(model: object) -> Spacing | None:
    """Return the spacing of calls to a model, which all models of an account share; None if it has no limit per minute."""
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
