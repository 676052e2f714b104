"""Serve a folder by SFTP and print the port: `python -m tests.support.sftp_server FOLDER HOST_KEY AUTHORIZED`."""

from __future__ import annotations

import asyncio
import sys

import asyncssh


async def serve(folder: str, host_key: str, authorized: str) -> None:
    """Serve until the process is killed."""
    server = await asyncssh.listen(
        "127.0.0.1",
        0,
        server_host_keys=[host_key],
        authorized_client_keys=authorized,
        sftp_factory=lambda channel: asyncssh.SFTPServer(channel, chroot=folder.encode()),
    )
    print(server.get_port(), flush=True)
    await server.wait_closed()


if __name__ == "__main__":
    asyncio.run(serve(*sys.argv[1:]))
