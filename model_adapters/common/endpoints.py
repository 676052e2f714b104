"""Several servers of one model behind a single queue: `server:URL1,URL2#NAME` or `server:@FILE#NAME`.

The runner keeps as many calls in flight as the servers take together, each with its own `Pace`; a call goes to the one
with the smallest share of it in use. Calls of a server that is lost go to the others, and it is tried again after a pause.
Once the queue is empty, calls open on a server that is much slower than an idle one are moved there.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection, Coroutine, Mapping, Sequence
from typing import Any, Protocol, TypeVar

from evals.calls.pace import MAX_LIMIT, Pace
from evals.errors import Disconnected, Fatal, ModelError, RateLimit, Transient
from evals.model_adapters.common.balance import Balance
from evals.model_adapters.common.http import without_secrets
from evals.plain import notice
from evals.seams import Decoding, TokenReading
from evals.types import Likelihood, Prompt, Reply, Sampling

T = TypeVar("T")

PAUSE_S, LONGEST_PAUSE_S = 1.0, 30.0
"""Time before a lost server is tried again; it doubles with every failure in a row."""
FAILURES = 3
"""Faults in a row after which a server that answers counts as lost."""
IDLE_S = 0.05
"""Time for which a server has room for calls before it is given those of slower ones."""
SLOWER = 2.0
"""Ratio of mean durations from which calls are moved to a faster server."""
UNKNOWN_SLOWER = 4.0
"""The same for a server that has not replied yet, by the age of its oldest call."""
ENOUGH = 8
"""Replies after which the mean duration of a server is known."""


class Server(Protocol):
    """A client of one server."""

    @property
    def accepts(self) -> frozenset[str]:
        """Return the inputs that the model takes."""
        ...

    @property
    def notes(self) -> list[str]:
        """Return remarks on its calls."""
        ...

    def add_headers(self, headers: Mapping[str, str]) -> None:
        """Send further headers with every call."""
        ...

    def reply(self, prompt: Prompt, sampling: Sampling) -> Coroutine[Any, Any, Reply]:
        """Call the model."""
        ...

    def logprobs(
        self, prompt: str, continuations: Sequence[str]
    ) -> Coroutine[Any, Any, tuple[Likelihood, ...]]:
        """Return log-likelihoods."""
        ...

    def read_replies(
        self, written: Sequence[tuple[Prompt, Reply]], sampling: Sampling, decoding: Decoding
    ) -> Coroutine[Any, Any, Sequence[TokenReading | ModelError]]:
        """Return readings of recorded replies."""
        ...

    async def close(self) -> None:
        """Close the connections."""
        ...


class Call:
    """A call in flight; `task` makes nothing else meanwhile."""

    def __init__(self, task: asyncio.Task[Any], started: float, *, movable: bool) -> None:
        self.task, self.started, self.movable = task, started, movable
        self.moved = False
        """Whether it was cancelled to be made on another server."""

    def move(self) -> None:
        """Cancel the call, so that it is made on another server."""
        self.moved = True
        self.task.cancel()


class Endpoint:
    """One of several servers: its pace, its calls in flight, and how reliable it is."""

    def __init__(self, url: str, server: Server, pace: Pace, changed: Callable[[Endpoint], None]) -> None:
        """`url`: without secrets. `changed`: called after every change of its load, or of whether it is usable."""
        self.url, self.server, self.pace = url, server, pace
        self._changed = changed
        self.calls: set[Call] = set()
        self.replies = self.losses = 0
        self.mean_s = 0.0
        """Moving average of the duration of a call with a reply."""
        self.paused = self.removed = False
        """Whether it waits to be tried again; whether the file of addresses no longer lists it."""
        self.rejected = ""
        """The error for which it is called no more; empty if there is none."""
        self._failures = 0

    @property
    def usable(self) -> bool:
        """Return whether it is to be called."""
        return not (self.paused or self.removed or self.rejected)

    @property
    def room(self) -> int:
        """Return the number of calls it takes at once: one until a server that failed has replied again."""
        return 1 if self._failures >= FAILURES else self.pace.limit

    @property
    def most(self) -> int:
        """Return the maximum of `room`."""
        return self.pace.ceiling

    @property
    def load(self) -> float:
        """Return the share of its room in use."""
        return len(self.calls) / self.room

    def begin(self, call: Call) -> None:
        """Note a call that is made."""
        self.calls.add(call)
        self._changed(self)

    def end(self, call: Call) -> None:
        """Note that a call has ended, after its reply or failure was noted."""
        self.calls.discard(call)
        self._changed(self)

    def replied(self, seconds: float) -> None:
        """Note a reply after this time."""
        if self._failures >= FAILURES:
            notice(f"endpoints: {self.url} answers again")
        self._failures = 0
        self.replies += 1
        self.mean_s += (seconds - self.mean_s) * max(0.1, 1 / self.replies)
        self.pace.reply()

    def failed(self, error: ModelError) -> float:
        """Note a failure; return the time in seconds for which to pause, 0 if it is to be called as before."""
        if isinstance(error, RateLimit):
            self.pace.slow_down()
            return error.retry_after_s or 0.0
        unreachable = isinstance(error, Disconnected) and error.unreachable
        was_lost = self._failures >= FAILURES
        self._failures = max(self._failures + 1, FAILURES if unreachable else 0)
        if self._failures < FAILURES or self.paused:
            return 0.0
        if not was_lost:
            self.losses += 1
            notice(f"endpoints: {self.url} is lost ({error}); its samples go to the others")
        return min(PAUSE_S * 2.0 ** (self._failures - FAILURES), LONGEST_PAUSE_S)

    def pause(self, seconds: float) -> None:
        """Call it no more for a while."""
        self.paused = True
        self._changed(self)
        asyncio.get_running_loop().call_later(seconds, self.resume)

    def resume(self) -> None:
        """Call it again after a pause."""
        self.paused = False
        self._changed(self)

    def reject(self, why: str) -> None:
        """Call it no more."""
        self.rejected = why
        self._changed(self)

    def update_listing(self, *, removed: bool) -> None:
        """Note whether the file of addresses lists it."""
        self.removed = removed
        self._changed(self)

    def take_pace(self, pace: Pace) -> None:
        """Start over with another pace."""
        self.pace = pace
        self._changed(self)

    def slow_down(self) -> None:
        """Note that a call exceeded its deadline."""
        self.pace.slow_down()
        self._changed(self)

    def is_slower(self, other: Endpoint, now: float) -> bool:
        """Return whether its calls take so much longer than another's that they are worth moving there."""
        if self.replies:
            return self.mean_s > SLOWER * other.mean_s
        oldest = min((call.started for call in self.calls), default=now)
        return now - oldest > UNKNOWN_SLOWER * other.mean_s

    def remaining_s(self, call: Call, now: float) -> float:
        """Return a guess of the time until a call ends: the mean less its age, or how much it is above the mean."""
        return abs(self.mean_s - (now - call.started))

    @property
    def note(self) -> str:
        """Return its part in the run for the card."""
        lost = f", lost {self.losses} times" if self.losses > 1 else ", lost once" if self.losses else ""
        why = f"; called no more: {self.rejected}" if self.rejected else ""
        return f"endpoint {self.url}: {self.replies:,} replies{lost}{why}"


class SharedPace:
    """Concurrency of a runner in front of several servers: what they take together."""

    def __init__(self, endpoints: Collection[Endpoint], balance: Balance[Endpoint]) -> None:
        self._endpoints, self._balance = endpoints, balance

    @property
    def limit(self) -> int:
        """Return the number of calls allowed in flight."""
        return max(1, self._balance.room)

    @property
    def ceiling(self) -> int:
        """Return the maximum of `limit`."""
        return max(1, self._balance.most)

    def reply(self) -> None:
        """Do nothing: a reply is noted for its server."""

    def slow_down(self) -> None:
        """Slow all servers down: a call exceeded its deadline, wherever it was."""
        for endpoint in self._endpoints:
            endpoint.slow_down()


class Endpoints:
    """A model on several servers."""

    def __init__(
        self, name: str, addresses: Callable[[], Sequence[str] | None], connect: Callable[[str], Server]
    ) -> None:
        """`addresses`: returns the base URLs, None if they are the same as before. `connect`: URL -> client."""
        self.name = name
        self._addresses, self._connect = addresses, connect
        self._endpoints: dict[str, Endpoint] = {}
        self._balance = Balance[Endpoint]()
        self._headers: dict[str, str] = {}
        self._fixed: int | None = None
        self._check: asyncio.TimerHandle | None = None
        self._update()
        self.accepts = next(iter(self._endpoints.values())).server.accepts

    def pace(self, fixed: int | None) -> SharedPace:
        """Return the concurrency; `fixed`: that of all servers together."""
        self._fixed = fixed
        for endpoint in self._endpoints.values():
            endpoint.take_pace(self._own_pace())
        return SharedPace(self._endpoints.values(), self._balance)

    def _own_pace(self) -> Pace:
        fixed = None if self._fixed is None else -(-self._fixed // max(1, len(self._endpoints)))
        return Pace(fixed=fixed, most=MAX_LIMIT)

    @property
    def notes(self) -> list[str]:
        """Return remarks for the card: who answered how many, and each server's own."""
        own = [note for endpoint in self._endpoints.values() for note in endpoint.server.notes]
        return list(dict.fromkeys([*(e.note for e in self._endpoints.values()), *own]))

    def add_headers(self, headers: Mapping[str, str]) -> None:
        """Send further headers with every call to every server."""
        self._headers |= headers
        for endpoint in self._endpoints.values():
            endpoint.server.add_headers(headers)

    async def reply(self, prompt: Prompt, sampling: Sampling) -> Reply:
        """See `Model`."""
        return await self._ask(lambda server: server.reply(prompt, sampling))

    async def logprobs(self, prompt: str, continuations: Sequence[str]) -> tuple[Likelihood, ...]:
        """See `LogProbs`."""
        return await self._ask(lambda server: server.logprobs(prompt, continuations))

    def backend(self) -> str:
        """See `ReadsReplies`."""
        return f"prompt_logprobs of {', '.join(e.url for e in self._endpoints.values())}"

    async def read_replies(
        self, written: Sequence[tuple[Prompt, Reply]], sampling: Sampling, decoding: Decoding
    ) -> Sequence[TokenReading | ModelError]:
        """See `ReadsReplies`."""
        return await self._ask(lambda server: server.read_replies(written, sampling, decoding))

    async def close(self) -> None:
        """Close all connections."""
        if self._check is not None:
            self._check.cancel()
        await asyncio.gather(*(e.server.close() for e in self._endpoints.values()))

    async def _ask(self, ask: Callable[[Server], Coroutine[Any, Any, T]]) -> T:
        """Call a server; if it fails or is slow, call others. Raises the last error."""
        self._update()
        loop, task, tried = asyncio.get_running_loop(), asyncio.current_task(), set[Endpoint]()
        if task is None:
            raise RuntimeError("a server must be called in a task")
        movable = True
        while True:
            endpoint = self._choose(tried)
            call = Call(task, loop.time(), movable=movable)
            endpoint.begin(call)
            try:
                result = await ask(endpoint.server)
            except asyncio.CancelledError:
                if not call.moved or task.cancelling() > 1:
                    raise
                tried, movable = {endpoint}, False
            except (Transient, Fatal) as error:
                tried.add(endpoint)
                if not self._on_failure(endpoint, error, tried):
                    raise
            else:
                endpoint.replied(loop.time() - call.started)
                return result
            finally:
                if call.moved:
                    task.uncancel()
                endpoint.end(call)
                self._check_later(IDLE_S)

    def _choose(self, tried: Collection[Endpoint]) -> Endpoint:
        """Return the server to call: the least loaded of those that are usable and untried; raises Fatal if none is left."""
        if not tried and (least := self._balance.least()) is not None:
            return least
        listed = [e for e in self._endpoints.values() if not e.removed and not e.rejected]
        usable = [e for e in listed if not e.paused] or listed
        if not usable:
            why = next((e.rejected for e in self._endpoints.values() if e.rejected), "no address is listed")
            raise Fatal(f"none of {len(self._endpoints)} servers is left: {why}")
        return min([e for e in usable if e not in tried] or usable, key=lambda e: e.load)

    def _on_failure(self, endpoint: Endpoint, error: ModelError, tried: Collection[Endpoint]) -> bool:
        """Note a failure; return whether the call is to be made on another server."""
        if isinstance(error, Fatal):
            if not endpoint.rejected:
                endpoint.reject(str(error))
                notice(f"endpoints: {endpoint.url} is called no more: {error}")
        elif pause_s := endpoint.failed(error):
            endpoint.pause(pause_s)
        return any(e.usable and e not in tried for e in self._endpoints.values())

    def _update(self) -> None:
        """Connect to servers that were added to the file of addresses; leave those that were removed from it."""
        urls = self._addresses()
        if urls is None:
            return
        listed = set(urls)
        for url in urls:
            if url not in self._endpoints:
                server, pace = self._connect(url), self._own_pace()
                endpoint = Endpoint(without_secrets(url), server, pace, self._balance.note)
                endpoint.server.add_headers(self._headers)
                self._endpoints[url] = endpoint
        for url, endpoint in self._endpoints.items():
            endpoint.update_listing(removed=url not in listed)

    def _check_later(self, after_s: float) -> None:
        if self._check is None:
            self._check = asyncio.get_running_loop().call_later(after_s, self._move_calls)

    def _move_calls(self) -> None:
        """If a server has had room since the last call ended, the queue is empty: move calls of slower servers to it."""
        self._check = None
        now = asyncio.get_running_loop().time()
        idle = [e for e in self._endpoints.values() if e.usable and e.replies >= ENOUGH and e.load < 1]
        if not idle:
            return
        fast = min(idle, key=lambda e: e.mean_s)
        slow = [e for e in self._endpoints.values() if e is not fast and e.calls]
        calls = [
            (endpoint.remaining_s(call, now), call)
            for endpoint in slow
            if endpoint.is_slower(fast, now)
            for call in endpoint.calls
            if call.movable and not call.moved
        ]
        calls.sort(key=lambda entry: -entry[0])
        for remaining_s, call in calls[: fast.room - len(fast.calls)]:
            if remaining_s > fast.mean_s:
                call.move()
        if slow:
            self._check_later(max(IDLE_S, fast.mean_s / 2))
