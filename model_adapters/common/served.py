"""A model whose server is started on this machine by the first call, and stopped by `close`.

A server that dies during a run is restarted once, while its calls wait, unless it spans several nodes. If `evals serve` is
already running a server with the same weights, that server is used, and left running.
"""

from __future__ import annotations

import asyncio
import shlex
import time
from collections.abc import AsyncIterator, Awaitable, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

from msgspec import structs

from evals import profiles
from evals.errors import Context, Disconnected, EvalsError, Gone, ModelError, UsageError
from evals.model_adapters.common import launch, registry, server_process
from evals.model_adapters.common.launch import Engine
from evals.model_adapters.server import TIME_SERIES_MODELS, Server
from evals.plain import notice
from evals.profiles import Profile
from evals.seams import Decoding, TokenLikelihoods
from evals.types import Likelihood, Prompt, Reply, Sampling

MAX_RESTARTS = 1


class LaunchedModel:
    """A chat model on the server that a `LaunchSpec` describes."""

    slots: int | None = None

    def __init__(self, spec: launch.LaunchSpec, *, log: Path) -> None:
        self.name = spec.name
        self.accepts = accepted_inputs(spec)
        self._notes: list[str] = []
        """Notes on the server for the run's card."""
        self.options = shlex.join(spec.arguments)
        """The user's options for the engine; part of the run's identity, as they may change replies (data type, quantisation)."""
        self.spec = spec
        self._log = log
        self._process: server_process.ServerProcess | None = None
        self._client: Server | None = None
        self._clients: list[Server] = []
        self._headers: dict[str, str] = {}
        self._context_length: int | None = None
        self._start_task: asyncio.Task[None] | None = None
        self._start_count = 0
        self._fault: EvalsError | None = None

    @property
    def notes(self) -> list[str]:
        """Return the notes for the run's card: on the server, and on the calls to it."""
        return [*self._notes, *dict.fromkeys(note for client in self._clients for note in client.notes)]

    def add_headers(self, headers: Mapping[str, str]) -> None:
        """Send additional headers with every call."""
        self._headers.update(headers)

    def warn(self, line: str) -> None:
        """Show a warning to the user and note it on the card."""
        notice(f"warning: {line}")
        self._notes.append(line)

    def log_to(self, run: Path) -> None:
        """Write the server's log into a run's folder."""
        self._log = run / f"{self.spec.engine.name}.log"

    def ready(self) -> Awaitable[None] | None:
        """See `HasStartup`."""
        if self._client is not None and (self._process is None or self._process.alive):
            return None
        if self._start_task is None or self._start_task.done():
            self._start_task = asyncio.get_running_loop().create_task(self._start())
        return asyncio.shield(self._start_task)

    async def _start(self) -> None:
        if self._fault is not None:
            raise self._fault
        if self._process is not None and self.spec.nodes > 1:
            raise Gone(self._process.describe_end("died"))  # its ranks on other nodes have to restart too
        if self._process is not None and self._start_count > MAX_RESTARTS:
            raise Gone(self._process.describe_end("died again"))
        if (
            not self._start_count
            and self.spec.nodes == 1
            and (running := await asyncio.to_thread(registry.find_server, self.spec))
        ):
            self._connect(running.url, server_process.served_models(running.url))
            options = f", with {shlex.join(running.arguments)}" if running.arguments else ""
            self._notes.append(
                f"server: {running.url}, already running and not started for this run; weights: {running.identity}{options}"
            )
            return
        previous = self._process
        if previous is not None:
            notice(f"{previous.describe_end('died')}; restarting it once")
            self._client = None  # until the new server is ready
            await asyncio.to_thread(previous.stop)
        self._start_count += 1
        self._process = server_process.ServerProcess(self.spec, self._log)
        notice(f"{self.spec.engine.name}: starting {self.name} (log: {self._log})")
        started = time.monotonic()
        try:
            await asyncio.to_thread(self._process.start)
        except UsageError as error:
            self._fault = Gone(str(error)) if previous else error
            raise self._fault from None
        self._connect(self._process.url, {self.name: self._process.context})
        notice(f"{self.spec.engine.name}: {self.name} is ready after {time.monotonic() - started:.0f} s")
        if previous is None:
            version = await asyncio.to_thread(launch.version, self.spec.engine, self.spec.python)
            _, _, *arguments = self._process.command  # without `python -m`
            self._notes.append(f"server: {version}: {' '.join(arguments)}; log: {self._log.name}")
        else:
            self._notes.append("server: it died during the run and was restarted")

    async def follow(self) -> str:
        """Run this node's rank of a multi-node server until it ends; return why it ended."""
        self._process = server_process.ServerProcess(self.spec, self._log)
        return await asyncio.to_thread(self._process.follow)

    def _connect(self, url: str, models: dict[str, int | None]) -> None:
        names = (self.name, self.spec.model, str(self.spec.folder))
        name = next((name for name in names if name in models), self.name)
        profile, engine = self.spec.profile, self.spec.engine
        thinking_switch = (profile.thinking.get(engine.name) if profile else None) or engine.thinking
        self._client = Server(name, base=url, switch=thinking_switch)
        self._client.add_headers(self._headers)
        self._clients.append(self._client)
        self._context_length = models.get(name)

    @asynccontextmanager
    async def _ready_client(self) -> AsyncIterator[Server]:
        """Yield the client of the server, once it is ready, for one call."""
        if (waiting := self.ready()) is not None:
            await waiting
        if self._client is None:
            raise Gone(f"{self.name}: its server was stopped")
        try:
            yield self._client
        except Disconnected as error:
            raise await self._classify_disconnect(error) from None

    async def reply(self, prompt: Prompt, sampling: Sampling) -> Reply:
        """Return the reply to one prompt; raises Disconnected, which is retried, if the server dies during the call."""
        async with self._ready_client() as client:
            if sampling.max_tokens and self._context_length and sampling.max_tokens >= self._context_length:
                sampling = self._without_max_tokens(sampling)
            try:
                return await client.reply(prompt, sampling)
            except Context:
                if sampling.max_tokens is None:
                    raise
                return await client.reply(prompt, self._without_max_tokens(sampling))

    def _without_max_tokens(self, sampling: Sampling) -> Sampling:
        """Return the sampling parameters without max_tokens, which exceeds the context together with the prompt; note it on the card.

        Without max_tokens, vLLM, SGLang (0.4.10 to 0.5.23) and LMDeploy (0.9.2 to 0.18) let a reply fill the context.
        """
        note = f"prompt and max_tokens {sampling.max_tokens} exceed the context of {self._context_length or 'the server'}: "
        note += "replies are limited by the context"
        if note not in self._notes:
            self._notes.append(note)
        return structs.replace(sampling, max_tokens=None)

    async def _classify_disconnect(self, error: Disconnected) -> Disconnected:
        """Return the error to raise for a lost connection; wait up to three seconds to find out whether the server has died.

        After a death, the error is one that is retried, since the server is restarted.
        """
        if self._process is None:
            return error
        # `alive` is about the watchdog, which exits a little later than the server
        for _ in range(30 if error.unreachable else 0):
            if not self._process.alive:
                break
            await asyncio.sleep(0.1)
        return error if self._process.alive else Disconnected(f"the server died: {error}")

    async def logprobs(self, prompt: str, continuations: Sequence[str]) -> tuple[Likelihood, ...]:
        """See `LogProbs`."""
        async with self._ready_client() as client:
            return await client.logprobs(prompt, continuations)

    def backend(self) -> str:
        """See `SupportsReplyLikelihoods`."""
        return launch.version(self.spec.engine, self.spec.python)

    async def reply_likelihoods(
        self, exchanges: Sequence[tuple[Prompt, Reply]], sampling: Sampling, decoding: Decoding
    ) -> Sequence[TokenLikelihoods | ModelError]:
        """See `SupportsReplyLikelihoods`."""
        async with self._ready_client() as client:
            return await client.reply_likelihoods(exchanges, sampling, decoding)

    async def close(self) -> None:
        """Stop the server, with its child processes, if this process started it; close the clients."""
        if self._process is not None:
            await asyncio.to_thread(self._process.stop)
        if self._start_task is not None:
            self._start_task.cancel()
            await asyncio.gather(self._start_task, return_exceptions=True)
        for client in self._clients:
            await client.close()


def accepted_inputs(spec: launch.LaunchSpec) -> frozenset[str]:
    """Return `Model.accepts`: inputs besides text, and `logprobs`. Only LMDeploy accepts time series."""
    takes_series = spec.profile and spec.engine.name == "lmdeploy" and TIME_SERIES_MODELS.search(spec.model)
    return (
        profiles.accepted_inputs(spec.profile, spec.folder)
        | {"logprobs"}
        | ({"time_series"} if takes_series else set())
    )


def launched_model(
    engine: Engine,
    rest: str,
    *,
    results: Path = Path("results"),
    trust_remote_code: bool = False,
    gpu_check: bool = True,
) -> LaunchedModel:
    """Return the model `ENGINE:REST`, checked but not started; raises UsageError."""
    profile: Profile | None = profiles.find(f"{engine.name}:{rest}")
    name = profiles.full_name(rest, profile)
    spec = launch.launch_spec(engine, name, profile, trust_remote_code=trust_remote_code)
    warning = launch.check(spec, gpu_check=gpu_check)
    model = LaunchedModel(spec, log=results / f"{engine.name}.log")
    if warning:
        model.warn(warning)
    return model
