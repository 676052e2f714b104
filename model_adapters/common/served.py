"""A model behind a server that is started for it: the first call starts it, `close` stops it.

If the server dies in mid-run it is started again, once; the calls of that time wait. A server of this machine that
serves the model already is used as it is, and left running.
"""

from __future__ import annotations

import asyncio
import shlex
import sys
import time
from collections.abc import Awaitable, Mapping, Sequence
from pathlib import Path

from msgspec import structs

from evals import profiles
from evals.errors import Context, Disconnected, EvalsError, Gone, UsageError
from evals.model_adapters.common import launch, registry, server_process
from evals.model_adapters.common.launch import Engine
from evals.model_adapters.server import TAKES_SERIES, Server
from evals.plain import plain
from evals.profiles import Profile
from evals.types import Likelihood, Prompt, Reply, Sampling

RESTARTS = 1


class Served:
    """The chat model of one `launch.LaunchSpec`."""

    slots: int | None = None

    def __init__(self, order: launch.LaunchSpec, *, log: Path) -> None:
        self.name = order.name
        self.accepts = takes(order)
        self._notes: list[str] = []
        """What a reader of the card must know of the server."""
        self.options = shlex.join(order.arguments)
        """They may change what is said (a type of numbers, a quantization), so they make another run."""
        self.order = order
        self._log = log
        self._process: server_process.Process | None = None
        self._chat: Server | None = None
        self._chats: list[Server] = []
        self._headers: dict[str, str] = {}
        self._context: int | None = None
        self._starting: asyncio.Task[None] | None = None
        self._starts = 0
        self._fault: EvalsError | None = None

    @property
    def notes(self) -> list[str]:
        """Say what the card must say: of the server, and of the calls to it."""
        return [*self._notes, *dict.fromkeys(note for chat in self._chats for note in chat.notes)]

    def add_headers(self, headers: Mapping[str, str]) -> None:
        """Send further headers with every call."""
        self._headers.update(headers)

    def warn(self, line: str) -> None:
        """Tell a person, and the card."""
        self._say(f"warning: {line}")
        self._notes.append(line)

    def beside(self, run: Path) -> None:
        """Write the server's log into a run's folder."""
        self._log = run / f"{self.order.engine.name}.log"

    def ready(self) -> Awaitable[None] | None:
        """None: it can be called. Else what to await before a call; raises UsageError, or Gone in mid-run."""
        if self._chat is not None and (self._process is None or self._process.alive):
            return None
        if self._starting is None or self._starting.done():
            self._starting = asyncio.get_running_loop().create_task(self._start())
        return asyncio.shield(self._starting)

    async def _start(self) -> None:
        if self._fault is not None:
            raise self._fault
        if self._process is not None and self.order.nodes > 1:
            raise Gone(self._process.epitaph("died"))  # its other nodes must start again with it
        if self._process is not None and self._starts > RESTARTS:
            raise Gone(self._process.epitaph("died again"))
        if (
            not self._starts
            and self.order.nodes == 1
            and (kept := await asyncio.to_thread(registry.serving, self.order))
        ):
            self._connect(kept.url, server_process.models(kept.url))
            options = f", with {shlex.join(kept.arguments)}" if kept.arguments else ""
            self._notes.append(
                f"server: {kept.url}, which ran already and was not started for this run; weights: {kept.identity}{options}"
            )
            return
        again = self._process
        if again is not None:
            self._say(f"{again.epitaph('died')}; starting it again, once")
            self._chat = None  # until the next one answers
            await asyncio.to_thread(again.stop)
        self._starts += 1
        self._process = server_process.Process(self.order, self._log)
        self._say(f"{self.order.engine.name}: starting {self.name} (log: {self._log})")
        began = time.monotonic()
        try:
            await asyncio.to_thread(self._process.start)
        except UsageError as error:
            self._fault = Gone(str(error)) if again else error
            raise self._fault from None
        self._connect(self._process.url, {self.name: self._process.context})
        self._say(f"{self.order.engine.name}: {self.name} is ready after {time.monotonic() - began:.0f} s")
        if again is None:
            version = await asyncio.to_thread(launch.version, self.order.engine, self.order.python)
            arguments = " ".join(self._process.command[2:])
            self._notes.append(f"server: {version}: {arguments}; log: {self._log.name}")
        else:
            self._notes.append("server: it died in mid-run and was started again")

    async def follow(self) -> str:
        """Run one more node's share of a server that answers on the first, until it ends; says how that was."""
        self._process = server_process.Process(self.order, self._log)
        return await asyncio.to_thread(self._process.follow)

    def _connect(self, url: str, models: dict[str, int | None]) -> None:
        wanted = (self.name, self.order.model, str(self.order.folder))
        name = next((name for name in wanted if name in models), self.name)
        self._chat = Server(name, base=url, switch=self._switch)
        self._chat.add_headers(self._headers)
        self._chats.append(self._chat)
        self._context = models.get(name)

    @property
    def _switch(self) -> str:
        profile = self.order.profile
        engine = self.order.engine
        return (profile.thinking.get(engine.name) if profile else None) or engine.thinking

    def _say(self, line: str) -> None:
        print(plain(line), file=sys.stderr, flush=True)  # noqa: T201 - what a person waits for, minutes with large weights

    async def _up(self) -> Server:
        if (waiting := self.ready()) is not None:
            await waiting
        if self._chat is None:
            raise Gone(f"{self.name}: its server was stopped")
        return self._chat

    async def reply(self, prompt: Prompt, sampling: Sampling) -> Reply:
        """Ask once; a death of the server in between is worth another try."""
        chat = await self._up()
        if sampling.max_tokens and self._context and sampling.max_tokens >= self._context:
            sampling = self._unbounded(sampling)
        try:
            try:
                return await chat.reply(prompt, sampling)
            except Context:
                if sampling.max_tokens is None:
                    raise
                return await chat.reply(prompt, self._unbounded(sampling))
        except Disconnected as error:
            raise await self._cut(error) from None

    def _unbounded(self, sampling: Sampling) -> Sampling:
        """Leave a reply what the prompt leaves of the context, where max_tokens asks for more than that.

        So do vLLM, SGLang (0.4.10 to 0.5.23) and LMDeploy (0.9.2 to 0.18) where a chat sends no max_tokens.
        """
        note = f"max_tokens {sampling.max_tokens} is more than the context of {self._context or 'the server'} leaves: "
        note += "replies end where it does"
        if note not in self._notes:
            self._notes.append(note)
        return structs.replace(sampling, max_tokens=None)

    async def _cut(self, error: Disconnected) -> Disconnected:
        """A server of ours that is dead, or about to be, is started again; the runner need not give up."""
        if self._process is None:
            return error
        for _ in range(30 if error.unreachable else 0):  # its watchdog tidies up for a moment
            if not self._process.alive:
                break
            await asyncio.sleep(0.1)
        return error if self._process.alive else Disconnected(f"the server died: {error}")

    async def logprobs(self, prompt: str, continuations: Sequence[str]) -> tuple[Likelihood, ...]:
        """See `LogProbs`."""
        chat = await self._up()
        try:
            return await chat.logprobs(prompt, continuations)
        except Disconnected as error:
            raise await self._cut(error) from None

    async def close(self) -> None:
        """Stop the server, where it was started here, and all that it started."""
        if self._process is not None:
            await asyncio.to_thread(self._process.stop)
        if self._starting is not None:
            self._starting.cancel()
            await asyncio.gather(self._starting, return_exceptions=True)
        for chat in self._chats:
            await chat.close()


def takes(order: launch.LaunchSpec) -> frozenset[str]:
    """Say what a model can take besides text; a time series goes through LMDeploy alone."""
    series = order.profile and order.engine.name == "lmdeploy" and TAKES_SERIES.search(order.model)
    return profiles.takes(order.profile, order.folder) | {"logprobs"} | ({"time_series"} if series else set())


def make(
    engine: Engine,
    rest: str,
    *,
    results: Path = Path("results"),
    trust_remote_code: bool = False,
    gpu_check: bool = True,
) -> Served:
    """Make the model of `ENGINE:REST`, checked and not started; raises UsageError."""
    profile: Profile | None = profiles.find(f"{engine.name}:{rest}")
    name = profiles.full_name(rest, profile)
    order = launch.spec_of(engine, name, profile, trust_remote_code=trust_remote_code)
    warning = launch.check(order, gpu_check=gpu_check)
    made = Served(order, log=results / f"{engine.name}.log")
    if warning:
        made.warn(warning)
    return made
