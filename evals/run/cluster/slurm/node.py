"""What a Slurm job runs: a replica that answers its driver over a WebSocket, and ends with the driver.

submitit stores the `NodeJob` in the shared folder, runs it on the node, and has Slurm requeue it shortly before its time
limit. Each start listens on a new port with a new key.
"""

from __future__ import annotations

import asyncio
import os
import secrets
import signal
import socket
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from evals.run.cluster.host import Host
from evals.run.cluster.slurm.handshake import DRIVER, JOB, Unauthenticated, authenticate
from evals.run.cluster.slurm.messages import (
    ANSWERS,
    BINARY,
    END,
    FACTS,
    HEARTBEAT_S,
    MOST_MESSAGE,
    NO_ANSWERS,
    PATH,
    START,
    WORK,
    Announcement,
    announce,
    decode_facts,
    path_of,
)

if TYPE_CHECKING:
    from aiohttp import web
    from submitit.core.utils import DelayedSubmission

JOIN_S = 600.0
"""Time for the driver to make its first connection: it may still be loading data."""
KILLED_S = 900.0
"""Time for Slurm to kill a job that has received SIGTERM; a job that ended by itself might not be requeued."""


class NodeJob:
    """A replica of a model, to be pickled by submitit."""

    def __init__(
        self, spec: str, options: Mapping[str, Any], *, folder: Path, gpus: int, grace_s: float
    ) -> None:
        """`folder`: shared with the driver; `grace_s`: how long to wait for a driver whose connection has ended."""
        self.spec, self.options, self.folder = spec, dict(options), folder
        self.gpus, self.grace_s = gpus, grace_s

    def __call__(self) -> str:
        """Serve until the driver or the job ends; returns why."""
        if self.gpus:
            os.environ["EVALS_ENGINE_GPUS"] = str(self.gpus)
        return asyncio.run(_Server(self).run(os.environ["SLURM_JOB_ID"]))

    def checkpoint(self) -> DelayedSubmission:
        """Return what to run when the job starts again; called by submitit before the time limit."""
        from submitit.helpers import DelayedSubmission

        return DelayedSubmission(self)


class _Server:
    """One start of a job."""

    def __init__(self, job: NodeJob) -> None:
        self._job = job
        self._host = Host(job.spec, job.options)
        self._key = secrets.token_bytes(32)
        self._socket: web.WebSocketResponse | None = None
        """The driver's connection."""
        self._since = 0.0
        """When the last connection ended, or this began."""
        self._limit_s = JOIN_S
        self._why = ""
        """Why to end; empty: go on."""
        self._ended = asyncio.Event()

    async def run(self, job: str) -> str:
        """Listen, announce the address, and serve until there is a reason to end; returns it."""
        from aiohttp import web

        loop = asyncio.get_running_loop()
        loop.add_signal_handler(signal.SIGTERM, self._end, "SIGTERM")
        self._since = loop.time()
        app = web.Application()
        app.router.add_get(PATH, self._connection)
        runner = web.AppRunner(app, shutdown_timeout=1.0, access_log=None)
        await runner.setup()
        try:
            listening = _listen()
            await web.SockSite(runner, listening).start()
            here = Announcement(
                host=_own_name(),
                port=listening.getsockname()[1],
                key=self._key,
                facts=decode_facts(await self._host.facts()),
            )
            await asyncio.to_thread(announce, self._job.folder, job, here)
            print(f"listening on {here.host}:{here.port}", flush=True)  # noqa: T201
            await self._until_end()
        finally:
            path_of(self._job.folder, job).unlink(missing_ok=True)
            if self._socket is not None:
                await self._socket.close()
            await self._host.close()
            await runner.cleanup()
        print(f"ending: {self._why}", flush=True)  # noqa: T201
        if self._why == "SIGTERM":
            await asyncio.sleep(KILLED_S)
        return self._why

    async def _until_end(self) -> None:
        loop = asyncio.get_running_loop()
        while not self._why:
            with suppress(TimeoutError):
                async with asyncio.timeout(1.0):
                    await self._ended.wait()
            if self._socket is None and loop.time() - self._since > self._limit_s:
                self._end(f"no connection from the driver for {self._limit_s:.0f} s")

    def _end(self, why: str) -> None:
        self._why = self._why or why
        self._ended.set()

    async def _connection(self, request: web.Request) -> web.WebSocketResponse:
        """Serve the driver; a new connection replaces an earlier one."""
        from aiohttp import web

        connection = web.WebSocketResponse(heartbeat=HEARTBEAT_S, max_msg_size=MOST_MESSAGE, compress=False)
        await connection.prepare(request)
        try:
            await authenticate(connection, self._key, role=JOB, peer=DRIVER)
        except Unauthenticated:
            await connection.close()
            return connection
        earlier, self._socket = self._socket, connection
        if earlier is not None:
            await earlier.close()
        answering: asyncio.Task[None] | None = None
        try:
            async for message in connection:
                kind, content = (message.data[:1], message.data[1:]) if message.type == BINARY else (b"", b"")
                if kind == START and answering is None:
                    answering = asyncio.get_running_loop().create_task(self._answer(connection))
                elif kind == WORK:
                    await self._host.give(content)
                elif kind == END:
                    self._end("the driver has finished")
        finally:
            if answering is not None:
                answering.cancel()
                await asyncio.gather(answering, return_exceptions=True)
            if self._socket is connection:
                self._socket = None
                self._since, self._limit_s = asyncio.get_running_loop().time(), self._job.grace_s
        return connection

    async def _answer(self, connection: web.WebSocketResponse) -> None:
        """Start the model, then send answers as they come."""
        start, facts = await self._host.start()
        await connection.send_bytes(FACTS + facts)
        while True:
            answers = await self._host.take(start)
            if self._why:
                return  # the model may have been ended by the same signal: that is no answer
            if answers != NO_ANSWERS:
                await connection.send_bytes(ANSWERS + answers)


def _listen() -> socket.socket:
    """Return a socket on a free port of all interfaces, over IPv6 as well if the node has it."""
    if socket.has_dualstack_ipv6():
        return socket.create_server(("", 0), family=socket.AF_INET6, dualstack_ipv6=True)
    return socket.create_server(("", 0))


def _own_name() -> str:
    """Return the name of this node, or its address if the name cannot be resolved here."""
    name = socket.gethostname()
    with suppress(OSError):
        socket.getaddrinfo(name, None)
        return name
    with suppress(OSError), socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.connect(("192.0.2.1", 9))  # chooses the interface of the default route; nothing is sent
        return str(probe.getsockname()[0])
    return "127.0.0.1"
