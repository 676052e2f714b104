"""Calls to the model of a run, with limits on their concurrency, time and retries.

These limits are stricter before the first reply: a wrong address fails within seconds, a server that is warming up has
a minute or the time that it requests, and a server that accepts calls without answering is abandoned within two minutes.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Awaitable, Callable

from msgspec import structs

from evals.boundary import foreign_code
from evals.calls.backoff import wait_s
from evals.calls.call import call_model
from evals.calls.deadline import Deadline
from evals.calls.pace import spacing_of
from evals.data.series import inline_text_media
from evals.errors import (
    Disconnected,
    EvalsError,
    Fatal,
    Gone,
    ModelError,
    OutOfQuota,
    RateLimit,
    Timeout,
    Transient,
)
from evals.scorers.scoring import failure_record
from evals.seams import Concurrency, HasStartup, SupportsHeaders
from evals.types import Failure, Message, Model, Prompt, Reply, Sampling

MAX_ATTEMPTS = 6
"""Attempts per call once the server has replied."""
MAX_ATTEMPTS_BEFORE_REPLY = 3
"""Attempts per call before the first reply of a run, so that a wrong address fails quickly."""
MAX_ATTEMPTS_RATE_LIMITED = 12
"""Attempts per call once the server has replied, if the last attempt failed because of a rate limit."""
WARM_UP_S = 60.0
"""Maximum wait for a busy or loading server before its first reply, unless it requests a longer wait."""
SILENCE_S = 60.0
"""Time without any response after which the server is probed with a call for one token."""
PROBE_S = 45.0
"""Deadline of the probe; a server that misses it is abandoned."""
PROBE_PROMPT = Prompt(messages=(Message.user("Say yes."),))


class Caller:
    """Calls one model on behalf of a runner."""

    def __init__(
        self,
        model: Model,
        pace: Concurrency,
        *,
        timeout_s: float | None,
        stop: asyncio.Event,
        end: Callable[[str], None],
        on_back_off: Callable[[], None],
        say: Callable[[str], None] | None,
    ) -> None:
        """`timeout_s`: deadline of one call; None: a minute and a tenth of a second per token of `max_tokens`.

        `stop`: set when the run ends; `end`: ends it; `on_back_off`: called when a call begins to wait for a retry, as
        other calls may take its slot; `say`: notifies the user while calls wait for the server.
        """
        self.replies = 0
        """Number of calls that returned a reply."""
        self.backing_off = self.rate_limited = 0
        """Numbers of calls that wait for a retry: `rate_limited` after rate limits and timeouts, `backing_off` after other faults."""
        self._model, self._pace, self._timeout_s = model, pace, timeout_s
        self._stop, self._end, self._on_back_off, self._say = stop, end, on_back_off, say
        self._ready = model.ready if isinstance(model, HasStartup) else None
        self._spacing = spacing_of(model)
        self._deadlines: dict[float, Deadline] = {}
        """Time allowed for a call in seconds -> the deadline that such calls share."""
        self._in_flight = 0
        self._waiters: deque[asyncio.Future[None]] = deque()
        self._failing_since: float | None = None
        """Time of the first failed call; only used before the first reply."""
        self._has_announced_wait = False
        """Whether the user has been notified of the wait for the server."""
        self._requested_wait_s = 0.0
        """Longest `retry_after_s` that the server has requested during warm-up."""
        self._has_responded = False
        """Whether the server has responded at all, even if only with errors."""
        self._probe_task: asyncio.Task[None] | None = None
        self._silence_message = ""
        """Message saying that the server does not respond; empty if it does."""

    async def reply(self, prompt: Prompt, sampling: Sampling) -> Reply | Failure | None:
        """Call the model until it replies or the failure is final; return None if the run ends first."""
        attempt = 0
        while True:
            attempt += 1
            try:
                waiting = self._ready() if self._ready is not None else None
                if waiting is not None and not await self._wait_until_ready(waiting):
                    return None
                reply = await self._call(prompt, sampling)
            except Fatal as error:
                if not self.replies:
                    raise
                if isinstance(error, Gone | OutOfQuota):
                    self._end(f"{error}; run the same command again to continue")
                    return None
                return failure_record("model", error, attempts=attempt)
            except Transient as error:
                if error.slow_down:
                    self._pace.slow_down()
                if isinstance(error, Disconnected) and error.unreachable and not self.replies:
                    raise Fatal(str(error)) from error
                if self._silence_message:
                    return failure_record("model", Timeout(self._silence_message), attempts=attempt)
                if self._is_final(error, attempt):
                    return failure_record("model", error, attempts=attempt)
                if not await self._back_off(error, attempt):
                    return None
            except ModelError as error:
                return failure_record("model", error, attempts=attempt)
            else:
                if reply is None:
                    return None
                self.replies += 1
                self._pace.reply()
                return reply if attempt == 1 else structs.replace(reply, attempts=attempt)

    def _is_final(self, error: Transient, attempt: int) -> bool:
        """Return whether a call should not be retried; before the first reply, a server that is warming up gets more time.

        Notifies the user, once, of the wait for such a server.
        """
        if self.replies:
            return attempt >= (MAX_ATTEMPTS_RATE_LIMITED if isinstance(error, RateLimit) else MAX_ATTEMPTS)
        if self._failing_since is None:
            self._failing_since = time.monotonic()
        failing_s = time.monotonic() - self._failing_since
        if not isinstance(error, RateLimit):
            return attempt >= MAX_ATTEMPTS_BEFORE_REPLY or failing_s >= WARM_UP_S
        if failing_s >= max(WARM_UP_S, self._requested_wait_s):
            return True
        if not self._has_announced_wait and self._say is not None:
            requested_s = error.retry_after_s
            duration = f"{requested_s:.3g} s" if requested_s else f"up to {WARM_UP_S:.0f} s"
            self._say(f"waiting {duration} for the server: {error}")
        self._has_announced_wait = True
        self._requested_wait_s = max(self._requested_wait_s, error.retry_after_s or 0.0)
        return False

    @property
    def has_exceeded_warm_up(self) -> bool:
        """Return whether calls have failed for at least `WARM_UP_S`."""
        return self._failing_since is not None and time.monotonic() - self._failing_since >= WARM_UP_S

    async def _wait_until_ready(self, waiting: Awaitable[None]) -> bool:
        """Wait until the model is ready, without a deadline; return False if the run ends in the meantime."""
        ready, stop = asyncio.ensure_future(waiting), asyncio.ensure_future(self._stop.wait())
        try:
            await asyncio.wait({ready, stop}, return_when=asyncio.FIRST_COMPLETED)
            if not ready.done():
                return False
            await ready
            return True
        finally:
            stop.cancel()
            ready.cancel()

    async def _call(self, prompt: Prompt, sampling: Sampling) -> Reply | None:
        """Call the model once, as soon as the concurrency limit allows it; return None if the run ends first."""
        limit_s = self._timeout_s or 60.0 + 0.1 * (sampling.max_tokens or 4096)
        deadline = self._deadlines.get(limit_s) or self._deadlines.setdefault(limit_s, Deadline(limit_s))
        while self._in_flight >= self._pace.limit:
            waiter = asyncio.get_running_loop().create_future()
            self._waiters.append(waiter)
            await waiter
        self._in_flight += 1
        try:
            if self._spacing is not None:
                await self._spacing.wait(self._stop)
            if self._stop.is_set():  # the run has ended while this call waited
                return None
            if self._probe_task is None and self._timeout_s is None:
                self._probe_task = asyncio.get_running_loop().create_task(self._probe_when_silent())
            with deadline, foreign_code(ModelError, passing=(EvalsError, TimeoutError)):
                reply = await call_model(self._model, inline_text_media(prompt), sampling)
        except TimeoutError as error:  # the deadline's has no message; a function may raise one of its own
            raise Timeout(
                f"TimeoutError: {error}" if str(error) else f"no reply within {limit_s:.0f} s"
            ) from None
        except Disconnected:
            raise
        except EvalsError:
            self._has_responded = True
            raise
        else:
            self._has_responded = True
            return reply
        finally:
            self._in_flight -= 1
            for _ in range(min(len(self._waiters), self._pace.limit - self._in_flight)):
                if not (waiter := self._waiters.popleft()).done():
                    waiter.set_result(None)

    async def _probe_when_silent(self) -> None:
        """Probe a server that has not responded for `SILENCE_S`; abandon it if the probe is disconnected or takes longer than `PROBE_S`.

        This applies only to HTTP models, and only if the user has set no deadline.
        """
        if not isinstance(self._model, SupportsHeaders):
            return
        await asyncio.sleep(SILENCE_S)
        if self._has_responded:
            return
        try:
            async with asyncio.timeout(PROBE_S):
                with foreign_code(ModelError):
                    await self._model.reply(PROBE_PROMPT, Sampling(max_tokens=1))
        except (TimeoutError, Disconnected):
            if not self._has_responded and not self._stop.is_set():
                self._silence_message = (
                    f"the server accepts calls but does not answer: not even one token in {SILENCE_S + PROBE_S:.0f} s "
                    "(--timeout S allows more time)"
                )
                for deadline in self._deadlines.values():
                    deadline.expire()
        except EvalsError:
            return  # an error response: the server is responsive

    async def _back_off(self, error: Transient, attempt: int) -> bool:
        """Wait before a retry, at least as long as the server requests; return False if the run ends in the meantime.

        A waiting call does not occupy a slot.
        """
        self._change_waiting_count(error, 1)
        self._on_back_off()
        try:
            async with asyncio.timeout(wait_s(attempt, error)):
                await self._stop.wait()
        except TimeoutError:
            return True
        finally:
            self._change_waiting_count(error, -1)
        return False

    def _change_waiting_count(self, error: Transient, change: int) -> None:
        if error.slow_down:
            self.rate_limited += change
        else:
            self.backing_off += change

    async def close(self) -> None:
        """Cancel the probe."""
        if self._probe_task is not None:
            self._probe_task.cancel()
            await asyncio.gather(self._probe_task, return_exceptions=True)
