"""The driver's connection to a Slurm job: a `ReplicaLink` over a WebSocket."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from evals.errors import UsageError
from evals.plain import notice
from evals.run.cluster.queue import POLL_S, ReplicaInfo, ReplicaLost
from evals.run.cluster.slurm.handshake import DRIVER, HANDSHAKE_S, JOB, Unauthenticated, authenticate
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
    decode_info,
    read_announcement,
)
from evals.run.cluster.slurm.scheduler import SlurmJobs

if TYPE_CHECKING:
    import aiohttp

POLL_INTERVAL_S = 1.0
"""Interval at which the shared folder is searched for a job's announcement."""
UNREACHABLE_S = 60.0
"""Time after which the user is told that a job cannot be reached at its address."""


class SlurmLink:
    """A `ReplicaLink` to a job, which Slurm may requeue and start again."""

    def __init__(self, job: str, folder: Path, slurm_jobs: SlurmJobs) -> None:
        self.job = job
        self.has_sent_end = False
        """Whether the job has been notified that the run is over."""
        self._folder, self._slurm_jobs = folder, slurm_jobs
        self._session: aiohttp.ClientSession | None = None
        self._socket: aiohttp.ClientWebSocketResponse | None = None
        self._send_tasks: set[asyncio.Task[None]] = set()
        self._address = ""
        self._unreachable_since: float | None = None

    async def start(self) -> ReplicaInfo:
        """See `ReplicaLink`; waits while the job is pending, including after it was requeued."""
        await self._disconnect()
        while True:
            announcement = await asyncio.to_thread(read_announcement, self._folder, self.job)
            if announcement is not None and await self._connect(announcement):
                if (info := await self._wait_until_ready()) is not None:
                    if info.fault:
                        raise UsageError(f"{info.fault} (Slurm job {self.job} on {info.node})")
                    return info
                await self._disconnect()
            if end_message := await asyncio.to_thread(self._slurm_jobs.describe_end, self.job):
                raise UsageError(end_message)
            await asyncio.sleep(POLL_INTERVAL_S)

    async def _connect(self, announcement: Announcement) -> bool:
        """Connect to the job; return whether it is reachable at this address and knows the key."""
        import aiohttp

        if self._session is None:
            self._session = aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=None, sock_connect=10))
        self._address = f"{announcement.host}:{announcement.port}"
        connection = None
        try:
            async with asyncio.timeout(2 * HANDSHAKE_S):
                connection = await self._session.ws_connect(
                    f"http://{self._address}{PATH}",
                    heartbeat=HEARTBEAT_S,
                    max_msg_size=MAX_MESSAGE,
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
        """Notify the user, once, if a job stays unreachable for `UNREACHABLE_S` although it is running."""
        now = asyncio.get_running_loop().time()
        state = self._slurm_jobs.states.get(self.job)
        if state is not None and state.name != "RUNNING":
            self._unreachable_since = None
            return
        if self._unreachable_since is None:
            self._unreachable_since = now
        elif now - self._unreachable_since > UNREACHABLE_S:
            self._unreachable_since = float("inf")
            reason = getattr(error, "strerror", None) or type(error).__name__
            notice(f"slurm: job {self.job} is running, but cannot be reached at {self._address} ({reason})")

    async def _wait_until_ready(self) -> ReplicaInfo | None:
        """Wait until the model is ready; return None if the connection ends first."""
        while self._socket is not None:
            message = await self._socket.receive()
            if message.type != BINARY:
                return None
            if message.data[:1] == INFO:
                return decode_info(message.data[1:])
        return None

    def send(self, raw: bytes) -> None:
        """See `ReplicaLink`; if a message is lost, `receive` raises."""
        if self._socket is not None:
            task = asyncio.get_running_loop().create_task(self._send(self._socket, REQUESTS + raw))
            self._send_tasks.add(task)
            task.add_done_callback(self._send_tasks.discard)

    async def _send(self, connection: aiohttp.ClientWebSocketResponse, message: bytes) -> None:
        with suppress(OSError):  # e.g. aiohttp's ClientConnectionResetError
            await connection.send_bytes(message)

    async def receive(self) -> bytes:
        """See `ReplicaLink`; raises ReplicaLost if the connection has ended, e.g. because a ping was not answered."""
        if self._socket is None:
            raise ReplicaLost("not connected")
        try:
            message = await self._socket.receive(POLL_S)
        except TimeoutError:
            return NO_RESPONSES
        if message.type != BINARY:
            raise ReplicaLost(f"the connection to Slurm job {self.job} at {self._address} ended")
        return bytes(message.data[1:]) if message.data[:1] == RESPONSES else NO_RESPONSES

    async def _disconnect(self) -> None:
        connection, self._socket = self._socket, None
        if connection is not None:
            await connection.close()

    async def close(self) -> None:
        """See `ReplicaLink`; the job ends by itself."""
        if self._socket is not None:
            await self._send(self._socket, END)
            self.has_sent_end = True
        await self._disconnect()
        if self._session is not None:
            await self._session.close()
