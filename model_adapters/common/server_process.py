"""An inference server as a child process, which ends when this process ends, for whatever reason."""

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

import msgspec

from evals import disk
from evals.calls.secrets import SECRET_WORDS, name_words, url_secrets
from evals.errors import UsageError
from evals.model_adapters.common import watchdog
from evals.model_adapters.common.faults import fault_message
from evals.model_adapters.common.fetch import HttpStatusError, fetch, list_models
from evals.model_adapters.common.launch import HOST, Engine, LaunchSpec, command_line
from evals.model_adapters.common.logs import PORT_TAKEN, cause

GRACE_S = 5.0
"""Time allowed for a server to shut down cleanly, or to end after a failed test call."""
MAX_LOG_BYTES = 8 << 20
"""Number of bytes at the end of a log that are searched for the reason why a server ended."""
FIRST_CALL_S = 600.0
"""Deadline of the first call, during which kernels may be compiled."""
DOWNLOAD_SECRETS = frozenset({"HF_TOKEN", "HUGGING_FACE_HUB_TOKEN", "HF_HUB_TOKEN"})
"""Secrets that an engine needs to download weights."""


class ServerProcess:
    """A server process, which runs until `stop` or the end of this process."""

    def __init__(self, spec: LaunchSpec, log: Path, *, port: int | None = None) -> None:
        self.spec, self.log = spec, log
        self._fixed_port = port
        self._set_port(port or free_port())
        self.context: int | None = None
        """Context length in tokens, as reported by the server."""
        self._watchdog: subprocess.Popen[bytes] | None = None
        self._stopping = threading.Event()
        self._log_start = 0

    @property
    def url(self) -> str:
        """Return the base URL of its OpenAI-compatible API."""
        return f"http://{HOST}:{self.port}/v1"

    @property
    def alive(self) -> bool:
        """Return whether the server is running."""
        return self._watchdog is not None and self._watchdog.poll() is None

    def _set_port(self, port: int) -> None:
        self.port = port
        self.command = command_line(self.spec, port=port)

    def start(self) -> None:
        """Start the server and wait until it replies; raises UsageError with the cause, after ending all processes."""
        try:
            self._start()
        except UsageError as error:
            if self._fixed_port or PORT_TAKEN not in str(error) or self._stopping.is_set():
                self._stopping.set()
                raise
            self._set_port(free_port())  # another process has taken the port
            self._start()

    def _start(self) -> None:
        self._spawn()
        with ExitStack() as cleanup:
            cleanup.callback(self._end)
            self._wait_until_healthy()
            self._test_call()
            self.context = served_models(self.url).get(self.spec.name)
            cleanup.pop_all()

    def _spawn(self) -> None:
        self.log.parent.mkdir(parents=True, exist_ok=True)
        with os.fdopen(disk.create(self.log, append=True), "ab") as stream:
            stream.write(f"# {time.strftime('%Y-%m-%d %H:%M:%S')} {shlex.join(self.command)}\n".encode())
            stream.flush()
            self._log_start = stream.tell()
            self._watchdog = subprocess.Popen(
                [sys.executable, "-I", watchdog.__file__, str(GRACE_S), *self.command],
                stdin=subprocess.PIPE, stdout=stream, stderr=stream, start_new_session=True,
                env=_environment(self.spec.engine),
            )  # fmt: skip

    def _wait_until_healthy(self) -> None:
        deadline = time.monotonic() + self.spec.start_timeout_s
        pause_s = 0.05
        while not self._stopping.wait(pause_s):
            pause_s = min(1.0, 1.2 * pause_s)
            if not self.alive:
                raise UsageError(self.describe_end("ended before it served anything"))
            if _is_healthy(f"http://{HOST}:{self.port}{self.spec.engine.health}"):
                return
            if time.monotonic() > deadline:
                raise UsageError(self.describe_end(f"is not ready after {self.spec.start_timeout_s:.0f} s"))
        raise UsageError("stopped during start-up")

    def _test_call(self) -> None:
        """Request one token, to verify that the server can reply; raises UsageError."""
        messages = [{"role": "user", "content": "Say yes."}]
        body = msgspec.json.encode({"model": self.spec.name, "messages": messages, "max_tokens": 1})
        headers, url = {"Content-Type": "application/json"}, f"{self.url}/chat/completions"
        try:
            fetch(url, data=body, headers=headers, timeout_s=FIRST_CALL_S)
        except OSError as error:
            reason = str(error)
            if isinstance(error, HttpStatusError):
                reason = f"HTTP {error.status}: {fault_message(error.body)}"
            if self._watchdog is not None:
                # a call that crashes the server may fail before its process has ended
                with suppress(subprocess.TimeoutExpired):
                    self._watchdog.wait(GRACE_S)
            if not self.alive:
                raise UsageError(self.describe_end("ended during its first call")) from None
            name = f"{self.spec.engine.name}:{self.spec.model}"
            raise UsageError(f"{name} is running, but cannot reply: {reason} (log: {self.log})") from None

    def follow(self) -> str:
        """Run this node's rank of a multi-node server until it ends; return why it ended."""
        self._spawn()
        if self._watchdog is not None:
            self._watchdog.wait()
        return self.describe_end("ended")

    def describe_end(self, event: str) -> str:
        """Return a one-line description of how and why the server ended, with the path of its log."""
        with self.log.open("rb") as stream:
            stream.seek(max(self._log_start, self.log.stat().st_size - MAX_LOG_BYTES))
            reason = cause(stream.read().decode(errors="replace"))
        return f"{self.spec.engine.name}:{self.spec.model} {event}: {reason} (log: {self.log})"

    def abort_start(self) -> None:
        """End a `start` that is waiting; safe to call in a signal handler."""
        self._stopping.set()

    def stop(self) -> None:
        """End the server and all of its child processes; may be called repeatedly."""
        self._stopping.set()
        self._end()

    def _end(self) -> None:
        process = self._watchdog
        if process is None:
            return
        if process.stdin is not None:
            with suppress(OSError):
                process.stdin.close()
        with suppress(subprocess.TimeoutExpired):
            process.wait(GRACE_S + 5.0)
        for _ in range(2):  # the process group outlives a watchdog that was killed
            try:
                os.killpg(process.pid, 9)
            except OSError:
                break
        process.wait()


def _environment(engine: Engine) -> dict[str, str]:
    """Return the environment of the server, without secrets of other services and with telemetry disabled."""
    inherited = {name: value for name, value in os.environ.items() if _is_passed_on(name, value)}
    return inherited | {"DO_NOT_TRACK": "1", "PYTHONUNBUFFERED": "1"} | engine.environment


def _is_passed_on(name: str, value: str) -> bool:
    """Return whether a variable contains no secret of another service; proxies are passed with their passwords."""
    words = name_words(name)
    if name in DOWNLOAD_SECRETS:
        return True
    if (
        name.startswith("EVALS_")
        or not SECRET_WORDS.isdisjoint(words)
        or words[-1:] in (["webhook"], ["dsn"])
    ):
        return False
    if any(word.endswith(("password", "apikey", "token")) for word in words):  # PGPASSWORD
        return False
    return "proxy" in words or not url_secrets(value)


def free_port() -> int:
    """Return an unused port of the loopback interface."""
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        return int(probe.getsockname()[1])


def is_free(port: int) -> bool:
    """Return whether a port of the loopback interface is unused."""
    with socket.socket() as probe:
        probe.settimeout(2.0)
        return probe.connect_ex((HOST, port)) != 0


def _is_healthy(url: str) -> bool:
    try:
        fetch(url, timeout_s=5.0)
    except OSError:
        return False
    return True


def served_models(url: str, *, timeout_s: float = 5.0) -> dict[str, int | None]:
    """Return the models of a server with their context in tokens, None if unknown; empty if the server does not respond."""
    try:
        entries = list_models(f"{url}/models", timeout_s=timeout_s)
    except (OSError, ValueError):  # includes all errors of msgspec
        return {}
    return {entry.id: entry.max_model_len for entry in entries}
