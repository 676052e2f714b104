"""Registry of the servers that `evals serve` runs for this user, so that other commands can use them."""

from __future__ import annotations

import os
from pathlib import Path

import msgspec
from msgspec import Struct

from evals import checkpoints, disk
from evals import harness_environments as environments
from evals.model_adapters.common.launch import HOST, LaunchSpec
from evals.model_adapters.common.server_process import served_models
from evals.plain import notice


def find_server(spec: LaunchSpec) -> RegisteredServer | None:
    """Return a server that `evals serve` runs for this user with these weights (and engine options, if any); else None.

    Other servers on this machine may serve different weights under the same name or belong to another user; they must be
    specified by their address, `server:URL#NAME`.
    """
    for entry in registered_servers(spec.engine.name):
        is_same = entry.identity == spec.identity and spec.arguments in ((), entry.arguments)
        if not is_same or spec.name not in served_models(entry.url, timeout_s=2.0):
            continue
        if entry.changed_ns == checkpoints.changed_ns(spec.model):
            return entry
        notice(f"the server at {entry.url} is not used, as {spec.identity} has changed since it was started")
    return None


class RegisteredServer(Struct):
    """A server run by `evals serve`."""

    engine: str
    url: str
    pid: int
    identity: str = ""
    """`LaunchSpec.identity` of its weights."""
    arguments: tuple[str, ...] = ()
    """The user's options for the engine."""
    changed_ns: int = 0
    """Time of the last change of its weights when it was registered; see `checkpoints.changed_ns`."""
    began: str = ""
    """Start time of the process in clock ticks, since its id may be reused by another process."""


def _start_time(pid: int) -> str:
    """Return the start time of a process in clock ticks since boot; empty without /proc."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[19]
    except (OSError, IndexError):
        return ""


def _registry_folder() -> Path:
    return environments.cache() / "servers"


def register(spec: LaunchSpec, url: str) -> Path:
    """Register a server for other commands of this user; return the file, to be removed when the server ends."""
    folder = _registry_folder()
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    path = folder / f"{os.getpid()}.json"
    entry = RegisteredServer(
        engine=spec.engine.name, url=url, pid=os.getpid(), identity=spec.identity, arguments=spec.arguments,
        changed_ns=checkpoints.changed_ns(spec.model), began=_start_time(os.getpid()),
    )  # fmt: skip
    disk.replace(path, msgspec.json.encode(entry))
    return path


def registered_servers(engine: str) -> list[RegisteredServer]:
    """Return the registered servers of an engine; entries of processes that have ended, and invalid ones, are removed."""
    entries = []
    for path in sorted(_registry_folder().glob("*.json")):
        try:
            entry = msgspec.json.decode(disk.read_small(path), type=RegisteredServer)
            os.kill(entry.pid, 0)
            if entry.began != _start_time(entry.pid):
                raise ProcessLookupError(entry.pid)
        except (OSError, msgspec.MsgspecError):
            path.unlink(missing_ok=True)
            continue
        if entry.engine == engine and entry.url.startswith(f"http://{HOST}:"):
            entries.append(entry)
    return entries
