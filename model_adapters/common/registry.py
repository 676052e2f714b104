"""Servers that `evals serve` of this user keeps, for other commands to find."""

from __future__ import annotations

import os
from pathlib import Path

import msgspec
from msgspec import Struct

from evals import disk
from evals import peer_environments as peers
from evals.model_adapters.common.launch import HOST, LaunchSpec
from evals.model_adapters.common.server_process import models


def serving(spec: LaunchSpec) -> Entry | None:
    """Return the server that `evals serve` of this user keeps for these very weights, if there is one.

    Whoever else listens on this machine may serve other weights under the same name, or be a stranger: such a server is
    named by its address, `server:URL#NAME`.
    """
    for entry in registered(spec.engine.name):
        same = entry.identity == spec.identity and spec.arguments in ((), entry.arguments)
        if same and spec.name in models(entry.url, timeout_s=2.0):
            return entry
    return None


class Entry(Struct):
    """A server that `evals serve` keeps."""

    engine: str
    url: str
    pid: int
    identity: str = ""
    """`LaunchSpec.identity` of what it serves."""
    arguments: tuple[str, ...] = ()
    """The user's own options of the engine."""


def _register() -> Path:
    return peers.cache() / "servers"


def announce(order: LaunchSpec, url: str) -> Path:
    """Let other commands of this user find a server; give the file to remove in the end."""
    folder = _register()
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    path = folder / f"{os.getpid()}.json"
    entry = Entry(order.engine.name, url, os.getpid(), order.identity, order.arguments)
    path.write_bytes(msgspec.json.encode(entry))
    return path


def registered(engine: str) -> list[Entry]:
    """Return the servers that `evals serve` has announced; what its owner left behind is removed."""
    entries = []
    for path in sorted(_register().glob("*.json")):
        try:
            entry = msgspec.json.decode(disk.read_small(path), type=Entry)
            os.kill(entry.pid, 0)
        except (OSError, msgspec.MsgspecError):
            path.unlink(missing_ok=True)
            continue
        if entry.engine == engine and entry.url.startswith(f"http://{HOST}:"):
            entries.append(entry)
    return entries
