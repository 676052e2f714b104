"""What driver and job exchange: an announcement in the shared folder, then binary WebSocket messages.

The first byte of a message is its kind. Driver to job: START; WORK and an encoded `Work`; END. Job to driver: FACTS and
encoded `Facts`, once the model is ready; ANSWERS and an encoded list of `Answer`.
"""

from __future__ import annotations

import os
import secrets
import stat
from pathlib import Path

import msgspec
from msgspec import Struct

from evals import disk
from evals.run.cluster.queue import Facts

START, WORK, END = b"s", b"w", b"e"
FACTS, ANSWERS = b"f", b"a"
BINARY = 2
"""`aiohttp.WSMsgType.BINARY`."""
PATH = "/replica"
HEARTBEAT_S = 30.0
"""Interval of WebSocket pings from both sides; a connection ends if the answer takes longer than half of it."""
MOST = 1 << 20
"""Size limit of an announcement in bytes."""
MOST_MESSAGE = 1 << 30
"""Size limit of a message in bytes, also of those that strangers send before they are refused."""

NO_ANSWERS = msgspec.msgpack.encode([])
"""Answers of a message that has none."""
encode_facts = msgspec.msgpack.Encoder().encode
decode_facts = msgspec.msgpack.Decoder(Facts).decode


class Announcement(Struct, frozen=True, kw_only=True):
    """Where a job listens, and the key that its connections need."""

    host: str
    port: int
    key: bytes
    facts: Facts


def path_of(folder: Path, job: str) -> Path:
    """Return the file of a job's announcement."""
    return folder / f"{job}.address"


def announce(folder: Path, job: str, announcement: Announcement) -> None:
    """Write an announcement that only this user can read, in one step; replaces that of an earlier start."""
    path = path_of(folder, job)
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
    with os.fdopen(os.open(temporary, flags, 0o600), "wb") as stream:
        stream.write(msgspec.msgpack.encode(announcement))
        stream.flush()
        os.fsync(stream.fileno())
    temporary.replace(path)


def read(folder: Path, job: str) -> Announcement | None:
    """Return the announcement of a job; None if there is none, or another user could have written it."""
    path = path_of(folder, job)
    try:
        status = path.lstat()
        if not stat.S_ISREG(status.st_mode) or status.st_uid != os.getuid() or status.st_mode & 0o077:
            return None
        return msgspec.msgpack.decode(disk.read_small(path, MOST), type=Announcement)
    except (OSError, msgspec.MsgspecError):
        return None
