"""A server that this process starts, watches and stops; whatever ends this process ends it too."""

from __future__ import annotations

import os
import shlex
import socket
import subprocess
import sys
import threading
import time
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import IO

import msgspec

from evals import disk
from evals.errors import UsageError
from evals.model_adapters.common import watchdog
from evals.model_adapters.common.faults import fault_message
from evals.model_adapters.common.fetch import Refused, fetch, listed
from evals.model_adapters.common.launch import HOST, SECRET, Engine, LaunchSpec, command
from evals.model_adapters.common.logs import PORT_TAKEN, cause

GRACE_S = 5.0
"""For a server to end by itself."""
LOG_MOST = 8 << 20
"""Bytes of a log, from its end, that are read for the cause of a death."""
LIFE_S = 600.0
"""For its first call, which may compile what it computes with."""
WEIGHTS = frozenset({"HF_TOKEN", "HUGGING_FACE_HUB_TOKEN", "HF_HUB_TOKEN"})
"""Secrets that an engine needs to fetch weights."""


class Process:
    """A server that was started here; it ends when `stop` is called, and when this process ends in any way."""

    def __init__(self, wanted: LaunchSpec, log: Path, *, port: int | None = None) -> None:
        self.order, self.log = wanted, log
        self._given = port
        self._take(port or free_port())
        self.context: int | None = None
        """Tokens of prompt and reply, as the server says."""
        self._dog: subprocess.Popen[bytes] | None = None
        self._stopping = threading.Event()
        self._begins = 0

    @property
    def url(self) -> str:
        """Return the base URL of its chat protocol."""
        return f"http://{HOST}:{self.port}/v1"

    @property
    def alive(self) -> bool:
        """Whether its process runs."""
        return self._dog is not None and self._dog.poll() is None

    def _take(self, port: int) -> None:
        self.port = port
        self.command = command(self.order, port=port)

    def start(self) -> None:
        """Start it and wait until it answers; raises UsageError with the cause, and leaves nothing running."""
        try:
            self._start()
        except UsageError as error:
            if self._given or PORT_TAKEN not in str(error) or self._stopping.is_set():
                self._stopping.set()
                raise
            self._take(free_port())  # somebody was quicker
            self._start()

    def _start(self) -> None:
        self._spawn()
        with ExitStack() as undo:
            undo.callback(self._end)
            self._until_healthy()
            self._live()
            self.context = models(self.url).get(self.order.name)
            undo.pop_all()

    def _spawn(self) -> None:
        self.log.parent.mkdir(parents=True, exist_ok=True)
        with os.fdopen(disk.create(self.log, append=True), "ab") as stream:
            stream.write(f"# {time.strftime('%Y-%m-%d %H:%M:%S')} {shlex.join(self.command)}\n".encode())
            stream.flush()
            self._begins = stream.tell()
            self._dog = subprocess.Popen(
                [sys.executable, "-I", watchdog.__file__, str(GRACE_S), *self.command],
                stdin=subprocess.PIPE, stdout=stream, stderr=stream, start_new_session=True,
                env=_environment(self.order.engine),
            )  # fmt: skip

    def _until_healthy(self) -> None:
        until = time.monotonic() + self.order.start_s
        pause_s = 0.05
        while not self._stopping.wait(pause_s):
            pause_s = min(1.0, 1.2 * pause_s)
            if not self.alive:
                raise UsageError(self.epitaph("ended before it served anything"))
            if _answers(f"http://{HOST}:{self.port}{self.order.engine.health}"):
                return
            if time.monotonic() > until:
                raise UsageError(self.epitaph(f"is not ready after {self.order.start_s:.0f} s"))
        raise UsageError("stopped while it started")

    def _live(self) -> None:
        """Have it say a word, as proof of life; raises UsageError."""
        body = {
            "model": self.order.name,
            "messages": [{"role": "user", "content": "Say yes."}],
            "max_tokens": 1,
        }
        headers = {"Content-Type": "application/json"}
        try:
            fetch(
                f"{self.url}/chat/completions",
                data=msgspec.json.encode(body),
                headers=headers,
                timeout_s=LIFE_S,
            )
        except OSError as error:
            reason = str(error)
            if isinstance(error, Refused):
                reason = f"HTTP {error.status}: {fault_message(error.body)}"
            if self._dog is not None:  # a call that kills it is answered before it is dead
                with suppress(subprocess.TimeoutExpired):
                    self._dog.wait(GRACE_S)
            if not self.alive:
                raise UsageError(self.epitaph("ended at its first call")) from None
            named = f"{self.order.engine.name}:{self.order.model}"
            raise UsageError(f"{named} is up and cannot answer: {reason} (log: {self.log})") from None

    def follow(self) -> str:
        """Run this node's share of a server that answers elsewhere, until it ends; says how that was."""
        self._spawn()
        if self._dog is not None:
            self._dog.wait()
        return self.epitaph("ended")

    def epitaph(self, what: str) -> str:
        """Say in one line what became of it, and where its log is."""
        with self.log.open("rb") as stream:
            stream.seek(max(self._begins, self.log.stat().st_size - LOG_MOST))
            why = cause(stream.read().decode(errors="replace"))
        return f"{self.order.engine.name}:{self.order.model} {what}: {why} (log: {self.log})"

    def leave(self) -> None:
        """Break off a `start` that waits, from a signal's handler."""
        self._stopping.set()

    def stop(self) -> None:
        """End it and all that it started; idempotent."""
        self._stopping.set()
        self._end()

    def _end(self) -> None:
        dog = self._dog
        if dog is None:
            return
        _close(dog.stdin)
        with suppress(subprocess.TimeoutExpired):
            dog.wait(GRACE_S + 5.0)
        for _ in range(2):  # the group outlives its watchdog where somebody killed that
            try:
                os.killpg(dog.pid, 9)
            except OSError:
                break
        dog.wait()


def _close(pipe: IO[bytes] | None) -> None:
    if pipe is not None:
        try:
            pipe.close()
        except OSError:
            return


def _environment(engine: Engine) -> dict[str, str]:
    """Return what the server needs of our environment: no keys of other services, and nothing that phones home."""
    kept = {
        name: value
        for name, value in os.environ.items()
        if name in WEIGHTS or not (SECRET & set(name.lower().split("_")) or name.startswith("EVALS_"))
    }
    return kept | {"DO_NOT_TRACK": "1", "PYTHONUNBUFFERED": "1"} | engine.environment


def free_port() -> int:
    """Find a port that nobody listens on now."""
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        return int(probe.getsockname()[1])


def is_free(port: int) -> bool:
    """Whether nobody listens on a port of the loopback interface."""
    with socket.socket() as probe:
        probe.settimeout(2.0)
        return probe.connect_ex((HOST, port)) != 0


def _answers(url: str) -> bool:
    try:
        fetch(url, timeout_s=5.0)
    except OSError:
        return False
    return True


def models(url: str, *, timeout_s: float = 5.0) -> dict[str, int | None]:
    """Ask a server what it serves: name -> context in tokens, where it says; empty where nobody answers."""
    try:
        entries = listed(f"{url}/models", timeout_s=timeout_s)
    except (OSError, ValueError):  # which every fault of msgspec is
        return {}
    return {entry.id: entry.max_model_len for entry in entries}
