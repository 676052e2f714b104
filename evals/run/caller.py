"""Calls to the model of a run: pace, deadlines, retries, and when to give up.

Limits are tighter before the first reply: a wrong address fails within seconds, a server that is warming up is given
the time it asks for or a minute, and one that accepts calls but answers none is given up within two minutes.
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
from evals.seams import Concurrency, Requests, Starting
from evals.types import Failure, Message, Model, Prompt, Reply, Sampling

ATTEMPTS = 6
"""Attempts per call once the server has replied."""
ATTEMPTS_UNPROVEN = 3
"""Attempts per call before the first reply of a run, so that a wrong address fails quickly."""
ATTEMPTS_RATE_LIMIT = 12
WARM_UP_S = 60.0
"""Maximum wait for a busy or loading server before the first reply, unless it asks for more."""
SILENT_S = 60.0
"""Time without any answer after which the server is probed with a call for one token."""
PROBE_S = 45.0
"""Deadline of the probe; a server that misses it is given up."""
PROBE = Prompt(messages=(Message.user("Say yes."),))


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
        on_rest: Callable[[], None],
        say: Callable[[str], None] | None,
    ) -> None:
        """`timeout_s`: deadline of one call; None: a minute and a tenth of a second per token allowed.

        `stop`: set when the run ends; `end`: ends it; `on_rest`: called when a call starts to wait for a retry, as
        other calls may take its slot; `say`: shows the user what is being waited for.
        """
        self.replies = 0
        """Number of calls with a reply."""
        self.resting = self.refused = 0
        """Calls waiting for a retry: after a fault, and because of a rate limit."""
        self._model, self._pace, self._timeout_s = model, pace, timeout_s
        self._stop, self._end, self._on_rest, self._say = stop, end, on_rest, say
        self._ready = model.ready if isinstance(model, Starting) else None
        self._spacing = spacing_of(model)
        self._deadlines: dict[float, Deadline] = {}
        """Deadlines by their length in seconds."""
        self._calling = 0
        self._turns: deque[asyncio.Future[None]] = deque()
        self._failing_since: float | None = None
        """Time of the first failure; only used before the first reply."""
        self._waiting = False
        """Whether the user has been told about the wait for the server."""
        self._asked_s = 0.0
        """Longest `retry_after_s` the server has asked for during warm-up."""
        self._heard = False
        """Whether the server has answered anything, a fault included."""
        self._silence: asyncio.Task[None] | None = None
        self._silent = ""
        """Why the server is considered silent; empty if it is not."""

    async def reply(self, prompt: Prompt, sampling: Sampling) -> Reply | Failure | None:
        """Call until there is a reply or a final failure; None if the run ends before."""
        attempt = 0
        while True:
            attempt += 1
            try:
                waiting = self._ready() if self._ready is not None else None
                if waiting is not None and not await self._up(waiting):
                    return None
                reply = await self._call(prompt, sampling)
            except Fatal as error:
                if not self.replies:
                    raise
                if isinstance(error, Gone | OutOfQuota):
                    self._end(f"{error}; the same command goes on from here")
                    return None
                return failure_record("model", error, attempts=attempt)
            except Transient as error:
                if error.slow_down:
                    self._pace.slow_down()
                if isinstance(error, Disconnected) and error.unreachable and not self.replies:
                    raise Fatal(str(error)) from error
                if self._silent:
                    return failure_record("model", Timeout(self._silent), attempts=attempt)
                if self._gives_up(error, attempt):
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

    def _gives_up(self, error: Transient, attempt: int) -> bool:
        """Return whether to stop retrying a call; before the first reply, a server that is warming up gets more time."""
        if self.replies:
            return attempt >= (ATTEMPTS_RATE_LIMIT if isinstance(error, RateLimit) else ATTEMPTS)
        if not isinstance(error, RateLimit):
            return attempt >= ATTEMPTS_UNPROVEN or self.failing_s >= WARM_UP_S
        if self.failing_s >= max(WARM_UP_S, self._asked_s):
            return True
        if not self._waiting and self._say is not None:
            asked = (
                f"as it asks, {error.retry_after_s:.3g} s"
                if error.retry_after_s
                else f"up to {WARM_UP_S:.0f} s"
            )
            self._say(f"waiting for the server: {error}; {asked}")
        self._waiting = True
        self._asked_s = max(self._asked_s, error.retry_after_s or 0.0)
        return False

    @property
    def failing_s(self) -> float:
        """Return the seconds since calls began to fail; starts the clock on first use."""
        now_s = time.monotonic()
        if self._failing_since is None:
            self._failing_since = now_s
        return now_s - self._failing_since

    @property
    def has_failed_for_long(self) -> bool:
        """Return whether calls have failed for at least `WARM_UP_S`."""
        return self._failing_since is not None and self.failing_s >= WARM_UP_S

    async def _up(self, waiting: Awaitable[None]) -> bool:
        """Wait until the model can be called, without a deadline; False if the run ends meanwhile."""
        up, stop = asyncio.ensure_future(waiting), asyncio.ensure_future(self._stop.wait())
        try:
            await asyncio.wait({up, stop}, return_when=asyncio.FIRST_COMPLETED)
            if not up.done():
                return False
            await up
            return True
        finally:
            stop.cancel()
            up.cancel()

    async def _call(self, prompt: Prompt, sampling: Sampling) -> Reply | None:
        """Call once, when the pace allows it; None if the run ends before."""
        limit_s = self._timeout_s or 60.0 + 0.1 * (sampling.max_tokens or 4096)
        deadline = self._deadlines.get(limit_s) or self._deadlines.setdefault(limit_s, Deadline(limit_s))
        while self._calling >= self._pace.limit:
            turn = asyncio.get_running_loop().create_future()
            self._turns.append(turn)
            await turn
        self._calling += 1
        try:
            if self._spacing is not None:
                await self._spacing.wait(self._stop)
                if self._stop.is_set():
                    return None
            if self._silence is None and self._timeout_s is None:
                self._silence = asyncio.get_running_loop().create_task(self._listen())
            with deadline, foreign_code(ModelError, passing=(EvalsError, TimeoutError)):
                reply = await call_model(self._model, inline_text_media(prompt), sampling)
        except TimeoutError:
            raise Timeout(f"no reply within {limit_s:.0f} s") from None
        except Disconnected:
            raise
        except EvalsError:
            self._heard = True
            raise
        else:
            self._heard = True
            return reply
        finally:
            self._calling -= 1
            for _ in range(min(len(self._turns), self._pace.limit - self._calling) if self._turns else 0):
                if not (turn := self._turns.popleft()).done():
                    turn.set_result(None)

    async def _listen(self) -> None:
        """Probe a server that has answered nothing for `SILENT_S`, and give it up if one token takes over `PROBE_S`.

        Applies to HTTP models only, and only if the user has set no deadline per call.
        """
        if not isinstance(self._model, Requests):
            return
        await asyncio.sleep(SILENT_S)
        if self._heard:
            return
        try:
            async with asyncio.timeout(PROBE_S):
                with foreign_code(ModelError):
                    await self._model.reply(PROBE, Sampling(max_tokens=1))
        except (TimeoutError, Disconnected):
            if not self._heard and not self._stop.is_set():
                self._silent = (
                    f"the server accepts calls and answers none: nothing in {SILENT_S + PROBE_S:.0f} s, not even one "
                    "token (--timeout S waits longer)"
                )
                for deadline in self._deadlines.values():
                    deadline.expire()
        except EvalsError:
            return  # it answers

    async def _back_off(self, error: Transient, attempt: int) -> bool:
        """Wait before a retry, at least as long as the server asks; returns False if the run ends meanwhile.

        A waiting call does not occupy a slot.
        """
        self._rest(error, 1)
        self._on_rest()
        try:
            async with asyncio.timeout(wait_s(attempt, error)):
                await self._stop.wait()
        except TimeoutError:
            return True
        finally:
            self._rest(error, -1)
        return False

    def _rest(self, error: Transient, change: int) -> None:
        if error.slow_down:
            self.refused += change
        else:
            self.resting += change

    async def close(self) -> None:
        """Cancel the probe of a silent server."""
        if self._silence is not None:
            self._silence.cancel()
            await asyncio.gather(self._silence, return_exceptions=True)
