"""What a Slurm job runs: a replica that serves its driver over a WebSocket, and ends when the driver does.

submitit stores a `NodeJob` in the shared folder, calls it on the node, and has Slurm requeue the job shortly before the time
limit. After each start, the job listens on a new port, with a new key.
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

from evals.run.cluster.host import ReplicaHost
from evals.run.cluster.slurm.handshake import DRIVER, JOB, Unauthenticated, authenticate
from evals.run.cluster.slurm.messages import (
    BINARY,
    END,
    HEARTBEAT_S,
    INFO,
    MAX_MESSAGE,
    NO_RESPONSES,
    PATH,
    REQUESTS,
    RESPONSES,
    START,
    Announcement,
    announce,
    announcement_path,
    decode_info,
)

if TYPE_CHECKING:
    from aiohttp import web
    from submitit.core.utils import DelayedSubmission

FIRST_CONNECTION_S = 600.0
"""Maximum wait for the first connection of the driver, which may still be loading data."""
KILL_S = 900.0
"""Time that a job waits after SIGTERM for Slurm to kill it; a job that exits by itself might not be requeued."""


class NodeJob:
    """A replica of a model, to be pickled by submitit."""

    def __init__(
        self, spec: str, options: Mapping[str, Any], *, folder: Path, gpus: int, grace_s: float
    ) -> None:
        """`folder`: a folder shared with the driver; `grace_s`: maximum wait for a driver whose connection has ended."""
        self.spec, self.options, self.folder = spec, dict(options), folder
        self.gpus, self.grace_s = gpus, grace_s

    def __call__(self) -> str:
        """Serve the driver until it ends, or until the job does; return the reason."""
        if self.gpus:
            os.environ["EVALS_ENGINE_GPUS"] = str(self.gpus)
        return asyncio.run(_Server(self).run(os.environ["SLURM_JOB_ID"]))

    def checkpoint(self) -> DelayedSubmission:
        """Return the job to run after requeuing; submitit calls this before the time limit."""
        from submitit.helpers import DelayedSubmission

        return DelayedSubmission(self)


class _Server:
    """The WebSocket server of a job; each start of the job creates a new one."""

    def __init__(self, job: NodeJob) -> None:
        self._job = job
        self._host = ReplicaHost(job.spec, job.options)
        self._key = secrets.token_bytes(32)
        self._socket: web.WebSocketResponse | None = None
        """The driver's connection."""
        self._idle_since = 0.0
        """When the last connection ended; before the first connection, when the server started."""
        self._max_idle_s = FIRST_CONNECTION_S
        """Maximum wait for a connection; changes to `grace_s` once a connection has ended."""
        self._end_reason = ""
        """Why the server ends; empty while it serves."""
        self._end_requested = asyncio.Event()

    async def run(self, job: str) -> str:
        """Listen, announce the address, and serve until `_end` is called; return the reason. `job`: id of the Slurm job."""
        from aiohttp import web

        loop = asyncio.get_running_loop()
        loop.add_signal_handler(signal.SIGTERM, self._end, "SIGTERM")
        self._idle_since = loop.time()
        app = web.Application()
        app.router.add_get(PATH, self._serve_driver)
        runner = web.AppRunner(app, shutdown_timeout=1.0, access_log=None)
        await runner.setup()
        try:
            listener = _listen()
            await web.SockSite(runner, listener).start()
            announcement = Announcement(
                host=_own_host(),
                port=listener.getsockname()[1],
                key=self._key,
                info=decode_info(await self._host.info()),
            )
            await asyncio.to_thread(announce, self._job.folder, job, announcement)
            print(f"listening on {announcement.host}:{announcement.port}", flush=True)  # noqa: T201
            await self._wait_for_end()
        finally:
            announcement_path(self._job.folder, job).unlink(missing_ok=True)
            if self._socket is not None:
                await self._socket.close()
            await self._host.close()
            await runner.cleanup()
        print(f"ending: {self._end_reason}", flush=True)  # noqa: T201
        if self._end_reason == "SIGTERM":
            await asyncio.sleep(KILL_S)
        return self._end_reason

    async def _wait_for_end(self) -> None:
        loop = asyncio.get_running_loop()
        while not self._end_reason:
            with suppress(TimeoutError):
                async with asyncio.timeout(1.0):
                    await self._end_requested.wait()
            if self._socket is None and loop.time() - self._idle_since > self._max_idle_s:
                self._end(f"no connection from the driver for {self._max_idle_s:.0f} s")

    def _end(self, reason: str) -> None:
        self._end_reason = self._end_reason or reason
        self._end_requested.set()

    async def _serve_driver(self, request: web.Request) -> web.WebSocketResponse:
        """Serve a connection of the driver, which replaces an earlier one."""
        from aiohttp import web

        connection = web.WebSocketResponse(heartbeat=HEARTBEAT_S, max_msg_size=MAX_MESSAGE, compress=False)
        await connection.prepare(request)
        try:
            await authenticate(connection, self._key, role=JOB, peer=DRIVER)
        except Unauthenticated:
            await connection.close()
            return connection
        earlier, self._socket = self._socket, connection
        if earlier is not None:
            await earlier.close()
        sender: asyncio.Task[None] | None = None
        try:
            async for message in connection:
                kind, content = (message.data[:1], message.data[1:]) if message.type == BINARY else (b"", b"")
                if kind == START and sender is None:
                    sender = asyncio.get_running_loop().create_task(self._send_responses(connection))
                elif kind == REQUESTS:
                    await self._host.send(content)
                elif kind == END:
                    self._end("the driver has finished")
        finally:
            if sender is not None:
                sender.cancel()
                await asyncio.gather(sender, return_exceptions=True)
            if self._socket is connection:
                self._socket = None
                self._idle_since, self._max_idle_s = asyncio.get_running_loop().time(), self._job.grace_s
        return connection

    async def _send_responses(self, connection: web.WebSocketResponse) -> None:
        """Wait until the model is ready, then send responses as they become ready."""
        start, info = await self._host.start()
        await connection.send_bytes(INFO + info)
        while True:
            responses = await self._host.receive(start)
            if self._end_reason:
                return  # the signal may have ended the model too, so that these may be errors instead of replies
            if responses != NO_RESPONSES:
                await connection.send_bytes(RESPONSES + responses)


def _listen() -> socket.socket:
    """Return a socket that listens on a free port of all interfaces, for IPv6 as well if the node supports it."""
    if socket.has_dualstack_ipv6():
        return socket.create_server(("", 0), family=socket.AF_INET6, dualstack_ipv6=True)
    return socket.create_server(("", 0))


def _own_host() -> str:
    """Return the name of this node, or its address if the name cannot be resolved."""
    name = socket.gethostname()
    with suppress(OSError):
        socket.getaddrinfo(name, None)
        return name
    with suppress(OSError), socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.connect(("192.0.2.1", 9))  # chooses the interface of the default route; nothing is sent
        return str(probe.getsockname()[0])
    return "127.0.0.1"
