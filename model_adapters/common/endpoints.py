"""Several servers of one model behind a single queue: `server:URL1,URL2#NAME` or `server:@FILE#NAME`.

The runner keeps as many calls in flight as all servers together accept; each server has its own `Pace`. A call goes to the
least loaded server. Calls to a lost server are retried on the others, and the server is tried again after a pause. Once the
queue is empty, calls are moved from slow servers to much faster idle ones.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable, Collection, Coroutine, Mapping, Sequence
from typing import Any, Protocol, TypeVar

from evals.calls.pace import MAX_LIMIT, Pace
from evals.errors import Disconnected, Fatal, Gone, ModelError, OutOfQuota, RateLimit, Transient
from evals.model_adapters.common.balance import Balance
from evals.model_adapters.common.http import without_secrets
from evals.plain import count_of, notice
from evals.seams import Decoding, SupportsHeaders, SupportsReplyLikelihoods, TokenLikelihoods
from evals.types import Likelihood, LogProbs, Model, Prompt, Reply, Sampling

T = TypeVar("T")

MIN_PAUSE_S, MAX_PAUSE_S = 1.0, 30.0
"""Time before a lost server is tried again; doubled by every consecutive failure."""
MAX_FAILURES = 3
"""Consecutive failures after which a reachable server counts as lost."""
CHECK_DELAY_S = 0.05
"""Delay of the check for calls that should be moved, after the end of a call; also the minimum interval between checks."""
MIN_SPEEDUP = 2.0
"""Ratio of mean durations above which calls are moved to a faster server."""
MIN_SPEEDUP_UNMEASURED = 4.0
"""The same ratio for a server without a reply yet; the age of its oldest call stands in for the mean duration."""
MIN_REPLIES = 8
"""Number of replies after which a server is measured well enough for calls to be moved to it."""


class ServerClient(Model, LogProbs, SupportsReplyLikelihoods, SupportsHeaders, Protocol):
    """A client of one server."""


class Call:
    """A call in flight; `task`, which awaits nothing else, is cancelled to move the call."""

    def __init__(self, task: asyncio.Task[Any], started: float, *, movable: bool) -> None:
        self.task, self.started, self.movable = task, started, movable
        self.moved = False
        """Whether the call was cancelled in order to be moved to another server."""

    def move(self) -> None:
        """Cancel the call, so that it is repeated on another server."""
        self.moved = True
        self.task.cancel()


class Endpoint:
    """One of several servers: its pace, its calls in flight, and how reliable it is."""

    def __init__(self, url: str, server: ServerClient, pace: Pace, balance: Balance[Endpoint]) -> None:
        """`url`: without secrets. `balance`: updated after every change of its load, capacity or usability."""
        self.url, self.server, self.pace = url, server, pace
        self._balance = balance
        self.calls: set[Call] = set()
        self.replies = self.losses = 0
        self.mean_s = 0.0
        """Moving average of the duration of calls that returned a reply."""
        self.paused = self.removed = False
        """`paused`: not called for a while; `removed`: no longer in the file of addresses."""
        self.rejection = ""
        """The error after which the server is not called again; empty if there is none."""
        self._failures = 0
        self._pause_end: asyncio.TimerHandle | None = None

    @property
    def usable(self) -> bool:
        """Return whether the server can be called."""
        return not (self.paused or self.removed or self.rejection)

    @property
    def capacity(self) -> int:
        """Return the current concurrency limit, or 1 for a lost server until it replies again."""
        return 1 if self._failures >= MAX_FAILURES else self.pace.limit

    @property
    def max_capacity(self) -> int:
        """Return the largest value that `capacity` can reach."""
        return self.pace.ceiling

    @property
    def load(self) -> float:
        """Return the fraction of the capacity that is in use."""
        return len(self.calls) / self.capacity

    def begin(self, call: Call) -> None:
        """Add a call in flight."""
        self.calls.add(call)
        self._balance.update(self)

    def end(self, call: Call) -> None:
        """Remove a call that has ended; this also reports the changes made by `on_reply` or `on_failure`."""
        self.calls.discard(call)
        self._balance.update(self)

    def on_reply(self, seconds: float) -> None:
        """Process a reply that took `seconds`."""
        if self._failures >= MAX_FAILURES:
            notice(f"endpoints: {self.url} responds again")
        self._failures = 0
        self.replies += 1
        self.mean_s += (seconds - self.mean_s) * max(0.1, 1 / self.replies)
        self.pace.reply()

    def on_failure(self, error: ModelError) -> float:
        """Process a failure; return the seconds for which to pause the server, 0 for no pause."""
        if isinstance(error, RateLimit):
            self.pace.slow_down()
            return error.retry_after_s or 0.0
        unreachable = isinstance(error, Disconnected) and error.unreachable
        was_lost = self._failures >= MAX_FAILURES
        self._failures = max(self._failures + 1, MAX_FAILURES if unreachable else 0)
        if self._failures < MAX_FAILURES or self.paused:
            return 0.0
        if not was_lost:
            self.losses += 1
            notice(f"endpoints: {self.url} is lost ({error}); its samples are sent to the others")
        return min(MIN_PAUSE_S * 2.0 ** (self._failures - MAX_FAILURES), MAX_PAUSE_S)

    def pause(self, seconds: float) -> None:
        """Do not call the server for a while; a shorter pause does not end a longer one."""
        loop = asyncio.get_running_loop()
        if self._pause_end is not None and self._pause_end.when() >= loop.time() + seconds:
            return
        if self._pause_end is not None:
            self._pause_end.cancel()
        self._pause_end = loop.call_later(seconds, self.resume)
        self.paused = True
        self._balance.update(self)

    def resume(self) -> None:
        """End the pause."""
        self.paused, self._pause_end = False, None
        self._balance.update(self)

    def is_slower(self, other: Endpoint, now: float) -> bool:
        """Return whether this server is so much slower than another that its calls should be moved there."""
        if self.replies:
            return self.mean_s > MIN_SPEEDUP * other.mean_s
        oldest = min((call.started for call in self.calls), default=now)
        return now - oldest > MIN_SPEEDUP_UNMEASURED * other.mean_s

    def remaining_s(self, call: Call, now: float) -> float:
        """Return the estimated time until a call ends: how far its age is below, or already above, the mean duration."""
        return abs(self.mean_s - (now - call.started))

    @property
    def note(self) -> str:
        """Return the note on the server for the run's card."""
        lost = f", lost {self.losses} times" if self.losses > 1 else ", lost once" if self.losses else ""
        reason = f"; not called again: {self.rejection}" if self.rejection else ""
        return f"endpoint {self.url}: {count_of(self.replies, 'reply', 'replies')}{lost}{reason}"


class SharedPace:
    """The limit on calls in flight to several servers: the sum of the limits of the usable ones, at most the user's limit."""

    def __init__(
        self, endpoints: Collection[Endpoint], balance: Balance[Endpoint], *, fixed: int | None
    ) -> None:
        """`fixed`: the user's limit for all servers together; None: no limit."""
        self._endpoints, self._balance = endpoints, balance
        self._max = fixed or sys.maxsize

    @property
    def limit(self) -> int:
        """Return the number of calls allowed in flight."""
        return max(1, min(self._balance.capacity, self._max))

    @property
    def ceiling(self) -> int:
        """Return the largest value that `limit` can reach."""
        return max(1, min(self._balance.max_capacity, self._max))

    def reply(self) -> None:
        """Do nothing, since each server counts its own replies."""

    def slow_down(self) -> None:
        """Slow down all servers after a call exceeded its deadline."""
        for endpoint in self._endpoints:
            endpoint.pace.slow_down()
            self._balance.update(endpoint)


class Endpoints:
    """A model on several servers."""

    def __init__(
        self, name: str, addresses: Callable[[], Sequence[str] | None], connect: Callable[[str], ServerClient]
    ) -> None:
        """`addresses`: returns the base URLs if they have changed, else None. `connect`: returns a client for a URL."""
        self.name = name
        self._addresses, self._connect = addresses, connect
        self._endpoints: dict[str, Endpoint] = {}
        self._balance = Balance[Endpoint]()
        self._headers: dict[str, str] = {}
        self._fixed: int | None = None
        self._pending_check: asyncio.TimerHandle | None = None
        self._update_addresses()
        self.accepts = next(iter(self._endpoints.values())).server.accepts

    def pace(self, fixed: int | None) -> SharedPace:
        """Return the limit on calls in flight; `fixed`: the user's limit for all servers together."""
        self._fixed = fixed
        for endpoint in self._endpoints.values():
            endpoint.pace = self._new_pace()
            self._balance.update(endpoint)
        return SharedPace(self._endpoints.values(), self._balance, fixed=fixed)

    def _new_pace(self) -> Pace:
        fixed = None if self._fixed is None else -(-self._fixed // max(1, len(self._endpoints)))
        return Pace(fixed=fixed, max_limit=MAX_LIMIT)

    @property
    def notes(self) -> list[str]:
        """Return notes for the card: a line for each server, and the notes of the clients."""
        client_notes = [note for endpoint in self._endpoints.values() for note in endpoint.server.notes]
        return list(dict.fromkeys([*(e.note for e in self._endpoints.values()), *client_notes]))

    def add_headers(self, headers: Mapping[str, str]) -> None:
        """Send additional headers with every call to every server."""
        self._headers |= headers
        for endpoint in self._endpoints.values():
            endpoint.server.add_headers(headers)

    async def reply(self, prompt: Prompt, sampling: Sampling) -> Reply:
        """See `Model`."""
        return await self._call_with_failover(lambda server: server.reply(prompt, sampling))

    async def logprobs(self, prompt: str, continuations: Sequence[str]) -> tuple[Likelihood, ...]:
        """See `LogProbs`."""
        return await self._call_with_failover(lambda server: server.logprobs(prompt, continuations))

    def backend(self) -> str:
        """See `SupportsReplyLikelihoods`."""
        return f"prompt_logprobs of {', '.join(e.url for e in self._endpoints.values())}"

    async def reply_likelihoods(
        self, exchanges: Sequence[tuple[Prompt, Reply]], sampling: Sampling, decoding: Decoding
    ) -> Sequence[TokenLikelihoods | ModelError]:
        """See `SupportsReplyLikelihoods`."""
        return await self._call_with_failover(
            lambda server: server.reply_likelihoods(exchanges, sampling, decoding)
        )

    async def close(self) -> None:
        """Close all connections."""
        if self._pending_check is not None:
            self._pending_check.cancel()
        await asyncio.gather(*(e.server.close() for e in self._endpoints.values()))

    async def _call_with_failover(self, send: Callable[[ServerClient], Coroutine[Any, Any, T]]) -> T:
        """Call a server, and others if it fails or is slow; raises the last error."""
        self._update_addresses()
        loop, task, tried = asyncio.get_running_loop(), asyncio.current_task(), set[Endpoint]()
        if task is None:
            raise RuntimeError("a server can only be called in a task")
        movable = True
        while True:
            endpoint = self._choose_server(tried)
            call = Call(task, loop.time(), movable=movable)
            endpoint.begin(call)
            try:
                result = await send(endpoint.server)
            except asyncio.CancelledError:
                if not call.moved or task.cancelling() > 1:
                    raise
                tried, movable = {endpoint}, False
            except (Transient, Fatal) as error:
                tried.add(endpoint)
                if not self._handle_failure(endpoint, error, tried):
                    raise
            else:
                endpoint.on_reply(loop.time() - call.started)
                return result
            finally:
                if call.moved:
                    task.uncancel()
                endpoint.end(call)
                self._schedule_check(CHECK_DELAY_S)

    def _choose_server(self, tried: Collection[Endpoint]) -> Endpoint:
        """Return the least loaded server, if possible a usable and untried one; raises Fatal if no server is left."""
        if not tried and (least_loaded := self._balance.least_loaded()) is not None:
            return least_loaded
        listed = [e for e in self._endpoints.values() if not e.removed and not e.rejection]
        usable = [e for e in listed if not e.paused] or listed
        if not usable:
            reason = next(
                (e.rejection for e in self._endpoints.values() if e.rejection), "no address is listed"
            )
            raise Fatal(f"no server is left: {reason}")
        return min([e for e in usable if e not in tried] or usable, key=lambda e: e.load)

    def _handle_failure(self, endpoint: Endpoint, error: ModelError, tried: Collection[Endpoint]) -> bool:
        """Process a failure; return whether to repeat the call on another server.

        A server that has replied is not given up after a fatal error, which may be about one prompt (a firewall's 403).
        """
        if isinstance(error, Gone | OutOfQuota) or (isinstance(error, Fatal) and not endpoint.replies):
            if not endpoint.rejection:
                endpoint.rejection = str(error)
                self._balance.update(endpoint)
                notice(f"endpoints: {endpoint.url} is not called again: {error}")
        elif pause_s := endpoint.on_failure(error):
            endpoint.pause(pause_s)
        return any(e.usable and e not in tried for e in self._endpoints.values())

    def _update_addresses(self) -> None:
        """Apply changes in the file of addresses: connect to added servers, and stop using removed ones."""
        urls = self._addresses()
        if urls is None:
            return
        listed = set(urls)
        for url in urls:
            if url not in self._endpoints:
                server, pace = self._connect(url), self._new_pace()
                endpoint = Endpoint(without_secrets(url), server, pace, self._balance)
                endpoint.server.add_headers(self._headers)
                self._endpoints[url] = endpoint
        for url, endpoint in self._endpoints.items():
            endpoint.removed = url not in listed
            self._balance.update(endpoint)

    def _schedule_check(self, after_s: float) -> None:
        if self._pending_check is None:
            self._pending_check = asyncio.get_running_loop().call_later(after_s, self._move_calls)

    def _move_calls(self) -> None:
        """Move calls from slow servers to the fastest one with free capacity, which servers have once the queue is empty."""
        self._pending_check = None
        now = asyncio.get_running_loop().time()
        idle = [e for e in self._endpoints.values() if e.usable and e.replies >= MIN_REPLIES and e.load < 1]
        if not idle:
            return
        fast = min(idle, key=lambda e: e.mean_s)
        slow = [e for e in self._endpoints.values() if e is not fast and e.calls]
        candidates = [
            (endpoint.remaining_s(call, now), call)
            for endpoint in slow
            if endpoint.is_slower(fast, now)
            for call in endpoint.calls
            if call.movable and not call.moved
        ]
        candidates.sort(key=lambda candidate: -candidate[0])
        for remaining_s, call in candidates[: fast.capacity - len(fast.calls)]:
            if remaining_s > fast.mean_s:
                call.move()
        if slow:
            self._schedule_check(max(CHECK_DELAY_S, fast.mean_s / 2))
