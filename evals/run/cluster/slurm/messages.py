"""Protocol between driver and job: an announcement in the shared folder, then binary WebSocket messages.

The first byte of a message is its kind. Driver to job: START; REQUESTS and an encoded `RequestBatch`; END. Job to driver:
INFO and an encoded `ReplicaInfo`, once the model is ready; RESPONSES and an encoded list of `ReplicaResponse`.
"""

from __future__ import annotations

import os
import stat
from pathlib import Path

import msgspec
from msgspec import Struct

from evals import disk
from evals.run.cluster.queue import ReplicaInfo

START, REQUESTS, END = b"s", b"w", b"e"
"""Kinds of messages from the driver to the job."""
INFO, RESPONSES = b"f", b"a"
"""Kinds of messages from the job to the driver."""
BINARY = 2
"""`aiohttp.WSMsgType.BINARY`."""
PATH = "/replica"
"""Path of the WebSocket in its URL."""
HEARTBEAT_S = 30.0
"""Interval of the WebSocket pings from both sides; a connection ends if an answer takes longer than half of this."""
MAX_ANNOUNCEMENT = 1 << 20
"""Size limit of an announcement in bytes."""
MAX_MESSAGE = 1 << 30
"""Size limit of a message in bytes, which also holds before authentication."""

NO_RESPONSES = msgspec.msgpack.encode([])
"""An encoded empty list of responses."""
decode_info = msgspec.msgpack.Decoder(ReplicaInfo).decode


class Announcement(Struct, frozen=True, kw_only=True):
    """The address of a job, the key for connections to it, and a description of its replica."""

    host: str
    port: int
    key: bytes
    info: ReplicaInfo


def announcement_path(folder: Path, job: str) -> Path:
    """Return the file of a job's announcement."""
    return folder / f"{job}.address"


def announce(folder: Path, job: str, announcement: Announcement) -> None:
    """Write an announcement atomically to a file that only this user can read; it replaces an earlier one of the job."""
    disk.replace(announcement_path(folder, job), msgspec.msgpack.encode(announcement), mode=0o600)


def read_announcement(folder: Path, job: str) -> Announcement | None:
    """Return the announcement of a job; None if there is no valid one, or if another user could have read or written it."""
    path = announcement_path(folder, job)
    try:
        status = path.lstat()
        if not stat.S_ISREG(status.st_mode) or status.st_uid != os.getuid() or status.st_mode & 0o077:
            return None
        return msgspec.msgpack.decode(disk.read_small(path, MAX_ANNOUNCEMENT), type=Announcement)
    except (OSError, msgspec.MsgspecError):
        return None
