"""Servers that `evals serve` runs for this user, registered so that other commands find them."""

from __future__ import annotations

import os
from pathlib import Path

import msgspec
from msgspec import Struct

from evals import disk
from evals import harness_environments as environments
from evals.model_adapters.common.launch import HOST, LaunchSpec
from evals.model_adapters.common.server_process import models


def serving(spec: LaunchSpec) -> Entry | None:
    """Return the server that this user's `evals serve` runs with exactly these weights; None if there is none.

    Any other server on this machine may serve different weights under the same name or belong to another user: it must
    be given by its address, `server:URL#NAME`.
    """
    for entry in registered(spec.engine.name):
        same = entry.identity == spec.identity and spec.arguments in ((), entry.arguments)
        if same and spec.name in models(entry.url, timeout_s=2.0):
            return entry
    return None


class Entry(Struct):
    """A server run by `evals serve`."""

    engine: str
    url: str
    pid: int
    identity: str = ""
    """`LaunchSpec.identity` of its weights."""
    arguments: tuple[str, ...] = ()
    """User's options of the engine."""
    began: str = ""
    """When the process began, as the system counts; its id may be that of another process later."""


def _began(pid: int) -> str:
    """Return the start of a process in clock ticks since boot; empty where there is no /proc."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[19]
    except (OSError, IndexError):
        return ""


def _register() -> Path:
    return environments.cache() / "servers"


def announce(spec: LaunchSpec, url: str) -> Path:
    """Register a server for other commands of this user; return the file to remove when it ends."""
    folder = _register()
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    path = folder / f"{os.getpid()}.json"
    entry = Entry(spec.engine.name, url, os.getpid(), spec.identity, spec.arguments, _began(os.getpid()))
    path.write_bytes(msgspec.json.encode(entry))
    return path


def registered(engine: str) -> list[Entry]:
    """Return the registered servers; entries of processes that have ended are removed."""
    entries = []
    for path in sorted(_register().glob("*.json")):
        try:
            entry = msgspec.json.decode(disk.read_small(path), type=Entry)
            os.kill(entry.pid, 0)
            if entry.began != _began(entry.pid):
                raise ProcessLookupError(entry.pid)
        except (OSError, msgspec.MsgspecError):
            path.unlink(missing_ok=True)
            continue
        if entry.engine == engine and entry.url.startswith(f"http://{HOST}:"):
            entries.append(entry)
    return entries
