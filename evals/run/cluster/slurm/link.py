"""The driver's connection to a Slurm job: a `Link` of the queue, over a WebSocket."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from evals.errors import UsageError
from evals.plain import notice
from evals.run.cluster.queue import POLL_S, Facts, Lost
from evals.run.cluster.slurm.handshake import DRIVER, HANDSHAKE_S, JOB, Unauthenticated, authenticate
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
    decode_facts,
    read,
)
from evals.run.cluster.slurm.scheduler import Scheduler

if TYPE_CHECKING:
    import aiohttp

LOOK_S = 1.0
"""Interval at which the shared folder is searched for a job's address."""
UNREACHABLE_S = 60.0
"""Time after which the user is told that a job cannot be reached at its address."""


class SlurmLink:
    """A `Link` to one job, through all of its starts."""

    def __init__(self, job: str, folder: Path, scheduler: Scheduler) -> None:
        self.job = job
        self.told_to_end = False
        """Whether the job has been told that the run is over."""
        self._folder, self._scheduler = folder, scheduler
        self._session: aiohttp.ClientSession | None = None
        self._socket: aiohttp.ClientWebSocketResponse | None = None
        self._sending: set[asyncio.Task[None]] = set()
        self._where = ""
        self._unreachable_since: float | None = None

    async def start(self) -> Facts:
        """See `Link`; waits while Slurm has the job in its queue, for the first time or again."""
        await self._disconnect()
        while True:
            announcement = await asyncio.to_thread(read, self._folder, self.job)
            if announcement is not None and await self._connect(announcement):
                if (facts := await self._until_ready()) is not None:
                    if facts.fault:
                        raise UsageError(f"{facts.fault} (Slurm job {self.job} on {facts.where})")
                    return facts
                await self._disconnect()
            if end := await asyncio.to_thread(self._scheduler.end_of, self.job):
                raise UsageError(end)
            await asyncio.sleep(LOOK_S)

    async def _connect(self, announcement: Announcement) -> bool:
        """Return whether the job answers at this address and knows the key."""
        import aiohttp

        if self._session is None:
            self._session = aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=None, sock_connect=10))
        self._where = f"{announcement.host}:{announcement.port}"
        connection = None
        try:
            async with asyncio.timeout(2 * HANDSHAKE_S):
                connection = await self._session.ws_connect(
                    f"http://{self._where}{PATH}",
                    heartbeat=HEARTBEAT_S,
                    max_msg_size=MOST_MESSAGE,
                    compress=0,
                )
                await authenticate(connection, announcement.key, role=DRIVER, peer=JOB)
                await connection.send_bytes(START)
        except (aiohttp.ClientError, OSError, TimeoutError, Unauthenticated) as error:
            if connection is not None:
                await connection.close()
            self._note_unreachable(error)
            return False
        self._socket, self._unreachable_since = connection, None
        return True

    def _note_unreachable(self, error: Exception) -> None:
        """Tell the user, once, about a running job that cannot be reached; an address may be that of an earlier start."""
        now = asyncio.get_running_loop().time()
        state = self._scheduler.states.get(self.job)
        if state is not None and state.name != "RUNNING":
            self._unreachable_since = None
            return
        if self._unreachable_since is None:
            self._unreachable_since = now
        elif now - self._unreachable_since > UNREACHABLE_S:
            self._unreachable_since = float("inf")
            why = getattr(error, "strerror", None) or type(error).__name__
            notice(f"slurm: job {self.job} runs, but cannot be reached at {self._where} ({why})")

    async def _until_ready(self) -> Facts | None:
        """Wait until the model is ready; None if the connection ends before."""
        while self._socket is not None:
            message = await self._socket.receive()
            if message.type != BINARY:
                return None
            if message.data[:1] == FACTS:
                return decode_facts(message.data[1:])
        return None

    def give(self, work: bytes) -> None:
        """See `Link`; a lost message shows in `take`."""
        if self._socket is not None:
            task = asyncio.get_running_loop().create_task(self._send(self._socket, WORK + work))
            self._sending.add(task)
            task.add_done_callback(self._sending.discard)

    async def _send(self, connection: aiohttp.ClientWebSocketResponse, message: bytes) -> None:
        with suppress(OSError):  # aiohttp raises ClientConnectionResetError, which is one
            await connection.send_bytes(message)

    async def take(self) -> bytes:
        """See `Link`; an ended connection, also by a missing answer to a ping, is a lost job."""
        if self._socket is None:
            raise Lost("not connected")
        try:
            message = await self._socket.receive(POLL_S)
        except TimeoutError:
            return NO_ANSWERS
        if message.type != BINARY:
            raise Lost(f"the connection to Slurm job {self.job} at {self._where} ended")
        return bytes(message.data[1:]) if message.data[:1] == ANSWERS else NO_ANSWERS

    async def _disconnect(self) -> None:
        connection, self._socket = self._socket, None
        if connection is not None:
            await connection.close()

    async def close(self) -> None:
        """See `Link`; the job ends by itself."""
        if self._socket is not None:
            await self._send(self._socket, END)
            self.told_to_end = True
        await self._disconnect()
        if self._session is not None:
            await self._session.close()
