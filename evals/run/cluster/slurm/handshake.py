"""Mutual authentication of driver and job over a WebSocket, with a key that the job writes to the shared folder.

Each side sends 32 random bytes, and proves that it knows the key by returning an HMAC of the other side's bytes.
"""

from __future__ import annotations

import hmac
import secrets
from typing import TYPE_CHECKING

from evals.run.cluster.slurm.messages import BINARY

if TYPE_CHECKING:
    from aiohttp import ClientWebSocketResponse
    from aiohttp.web import WebSocketResponse

HANDSHAKE_S = 10.0
"""Maximum wait for each message of the other side."""
DIGEST_SIZE = 32
DRIVER, JOB = b"driver", b"job"


class Unauthenticated(Exception):
    """The other side does not know the key, or does not follow the protocol."""


async def authenticate(
    socket: ClientWebSocketResponse | WebSocketResponse, key: bytes, *, role: bytes, peer: bytes
) -> None:
    """Prove that this side, `role`, knows the key, and verify that the other side, `peer`, does; raises Unauthenticated."""
    nonce = secrets.token_bytes(DIGEST_SIZE)
    await socket.send_bytes(nonce)
    await socket.send_bytes(_proof(key, role, await _receive(socket)))
    if not hmac.compare_digest(await _receive(socket), _proof(key, peer, nonce)):
        raise Unauthenticated


def _proof(key: bytes, role: bytes, nonce: bytes) -> bytes:
    return hmac.digest(key, role + nonce, "sha256")


async def _receive(socket: ClientWebSocketResponse | WebSocketResponse) -> bytes:
    try:
        message = await socket.receive(HANDSHAKE_S)
    except TimeoutError:
        raise Unauthenticated from None
    if message.type != BINARY or len(message.data) != DIGEST_SIZE:
        raise Unauthenticated
    return bytes(message.data)
