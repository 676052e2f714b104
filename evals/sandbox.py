"""Run pure functions in worker processes, each call with a deadline that the kernel enforces.

>>> import math
>>> with Pool(1) as pool:
...     pool.call(math.sqrt, 9.0, timeout_s=5.0)
3.0

Model output is parsed by RDKit, sympy and regular expressions, and some of it makes them loop, crash or exhaust memory.
A worker sets a kernel timer for each call (SIGALRM, whose default action ends the process). The timer also ends loops in
C, even if the parent has died. RLIMIT_AS limits the worker's memory. The parent runs one thread per worker, which sends calls
in batches and receives results one by one. If a worker dies, the first call without a result fails, and the others are sent
to a new worker. Workers are started on demand, as new interpreters, since a threaded process must not be forked.

Pebble 5.2 does most of this, but on the same machine it reaches a quarter of the calls per second (3,300 instead of 12,600
on two busy cores) with twice the parent's CPU per call, and loops in C outlive a dead parent.
"""

from __future__ import annotations

import asyncio
import os
import pickle
import signal
import socket
import subprocess
import sys
import threading
import time
import weakref
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future
from contextlib import suppress
from math import ceil
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, NamedTuple

from msgspec.structs import replace

from evals import errors
from evals.boundary import foreign_code
from evals.errors import EvalsError, ScorerError, UsageError
from evals.seams import SupportsWarmUp
from evals.types import Prompt, Reply, Sample, Score

MAX_BATCH = 64
"""Maximum number of calls in one message to a worker."""
BATCH_TARGET_S = 0.05
"""Target duration of a batch, estimated from earlier calls, so that a slow call delays few others."""
GRACE_S = 60.0
"""Time allowed to a worker for starting, and for imports of a scorer, before the parent kills it."""
MAX_ATTEMPTS = 3
"""Maximum number of attempts to send calls to a worker, if workers die before they have received them."""
MAX_CALLS = 20_000
"""Number of calls after which a worker is replaced, to limit the effect of memory leaks in libraries."""


class _Call(NamedTuple):
    function: Callable[..., Any]
    args: tuple[Any, ...]
    timeout_s: float
    future: Future[Any]


class Pool:
    """Worker processes for calls that may hang or crash; usable from asyncio and from synchronous code.

    A call that exceeds its deadline, crashes its worker, runs out of memory or raises an exception
    fails with `ScorerError`; only a `UsageError`, e.g. for an extra that is not installed, remains one.
    """

    def __init__(
        self, workers: int | None = None, *, memory_mib: int = 2048, timeout_s: float = 10.0
    ) -> None:
        """`memory_mib`: limit of a worker's address space. `timeout_s`: default deadline of a call."""
        self._max_workers = workers or _core_count()
        self.memory_mib = memory_mib
        self.timeout_s = timeout_s
        self._queue: deque[_Call] = deque()
        self._condition = threading.Condition()
        self._idle_threads = 0
        self._closed = False
        self._threads: list[threading.Thread] = []
        self._workers: list[_Worker] = []
        self._finalizer = weakref.finalize(self, _kill_all, self._workers)

    def submit(
        self, function: Callable[..., Any], /, *args: Any, timeout_s: float | None = None
    ) -> Future[Any]:
        """Queue one call of a picklable function; never blocks."""
        call = _Call(function, args, self.timeout_s if timeout_s is None else timeout_s, Future())
        with self._condition:
            if self._closed:
                raise RuntimeError("the pool is closed")
            self._queue.append(call)
            if self._idle_threads:
                self._condition.notify()
            elif len(self._threads) < self._max_workers:
                self._add_worker()
        return call.future

    async def run(self, function: Callable[..., Any], /, *args: Any, timeout_s: float | None = None) -> Any:
        """Call a function in a worker without blocking the event loop."""
        return await asyncio.wrap_future(self.submit(function, *args, timeout_s=timeout_s))

    def call(self, function: Callable[..., Any], /, *args: Any, timeout_s: float | None = None) -> Any:
        """Call a function in a worker and wait for the result."""
        return self.submit(function, *args, timeout_s=timeout_s).result()

    async def score(
        self, scorer: Callable[[Sample, Prompt, Reply], Any], sample: Sample, prompt: Prompt, reply: Reply
    ) -> Score:
        """Score one reply in a worker; the scorer gets neither the question, nor the messages, nor the reasoning.

        The scorer is a module-level function or a frozen dataclass. Its method `warm()`, if it has one, does slow
        imports; `warm()` does not count against the deadline, and a worker calls it once for all scorers that have the same `repr`.
        """
        reduced = replace(sample, question=()), replace(prompt, messages=()), replace(reply, reasoning=None)
        score = await self.run(scorer, *reduced)
        if not isinstance(score, Score):
            raise ScorerError(f"{scorer!r} returned {type(score).__name__}, not a Score")
        return score

    def pids(self) -> list[int]:
        """Return the ids of the worker processes that are alive."""
        return [p.pid for worker in self._workers if (p := worker.process) is not None and p.poll() is None]

    def close(self) -> None:
        """Kill the workers and wait until they have ended; pending calls fail. May be called repeatedly."""
        with self._condition:
            self._closed = True
            unprocessed = list(self._queue)
            self._queue.clear()
            self._condition.notify_all()
        for call in unprocessed:
            if call.future.set_running_or_notify_cancel():
                call.future.set_exception(ScorerError("the pool was closed"))
        self._finalizer()
        for thread in self._threads:
            thread.join()

    def __enter__(self) -> Pool:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _add_worker(self) -> None:
        """Add a worker and start its thread; the caller holds the lock."""
        worker = _Worker(self.memory_mib)
        thread = threading.Thread(target=self._feed_worker, args=(worker,), name="sandbox", daemon=True)
        self._workers.append(worker)
        self._threads.append(thread)
        thread.start()

    def _feed_worker(self, worker: _Worker) -> None:
        while calls := self._take_calls(worker.batch_size):
            worker.process_calls(calls)
            if self._closed:
                return

    def _take_calls(self, limit: int) -> deque[_Call]:
        """Wait for calls and return one worker's share of them, at most `limit`; empty if the pool is closed."""
        with self._condition:
            while not self._queue and not self._closed:
                self._idle_threads += 1
                self._condition.wait()
                self._idle_threads -= 1
            share = min(limit, ceil(len(self._queue) / self._max_workers))
            return deque(self._queue.popleft() for _ in range(share))


def _core_count() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _kill_all(workers: list[_Worker]) -> None:
    for worker in workers:
        worker.retire()


class _Worker:
    """One worker process and the connection to it; started on first use and again after it dies."""

    def __init__(self, memory_mib: int) -> None:
        self.memory_mib = memory_mib
        self.process: subprocess.Popen[bytes] | None = None
        self.batch_size = 1
        """Maximum number of calls in the next batch."""
        self._connection: Connection | None = None
        self._completed_calls = 0
        self._last_failure = ""
        self._retired = False
        self._lock = threading.Lock()

    def process_calls(self, calls: deque[_Call]) -> None:
        """Complete every call with its result or a `ScorerError`."""
        started, count = time.perf_counter(), len(calls)
        pending: deque[tuple[bytes, _Call]] = deque()
        for call in calls:
            if call.future.set_running_or_notify_cancel():
                try:
                    pending.append((pickle.dumps((call.timeout_s, call.function, call.args)), call))
                except (pickle.PicklingError, TypeError, AttributeError, ValueError, RecursionError) as e:
                    call.future.set_exception(ScorerError(f"cannot be sent to a worker: {e}"))
        attempts = 0
        while pending and attempts < MAX_ATTEMPTS:
            if self._send(pending):
                attempts = 0
                self._receive_results(pending)
            else:
                attempts += 1
        for _, call in pending:
            call.future.set_exception(ScorerError(f"no worker could be started: {self._last_failure}"))
        seconds_per_call = max((time.perf_counter() - started) / count, 1e-6)
        target_size = round(BATCH_TARGET_S / seconds_per_call)
        self.batch_size = max(1, min(MAX_BATCH, 4 * self.batch_size, target_size))

    def _send(self, pending: deque[tuple[bytes, _Call]]) -> bool:
        """Send a batch to the worker; return False if the worker dies or hangs before it has read the batch."""
        try:
            connection = self._start()
            connection.send_bytes(pickle.dumps([encoded for encoded, _ in pending]))
            if connection.poll(GRACE_S):
                connection.recv_bytes()
                return True
        except (OSError, EOFError):
            pass
        self._last_failure = _exit_reason(self._kill_and_wait(), GRACE_S)
        return False

    def _receive_results(self, pending: deque[tuple[bytes, _Call]]) -> None:
        """Complete calls until none is left or the worker dies, in which case the first pending call fails."""
        while pending:
            call = pending[0][1]
            try:
                if self._connection is None or not self._connection.poll(call.timeout_s + GRACE_S):
                    raise EOFError
                succeeded, value = _unpickle(self._connection.recv_bytes())
            except (OSError, EOFError, pickle.UnpicklingError):
                status = self._kill_and_wait()
                pending.popleft()
                call.future.set_exception(ScorerError(_exit_reason(status, call.timeout_s)))
                return
            pending.popleft()
            self._completed_calls += 1
            if succeeded:
                call.future.set_result(value)
            else:
                call.future.set_exception(_received_error(*value))

    def _start(self) -> Connection:
        """Return the connection to the running process; start one if needed."""
        with self._lock:
            if self._retired:
                raise EOFError
            if self._connection is not None and self.process is not None:
                if self.process.poll() is None and self._completed_calls < MAX_CALLS:
                    return self._connection
                self._stop_process(self.process)
            parent_end, worker_end = socket.socketpair()
            with worker_end:
                fd = worker_end.fileno()
                self.process = subprocess.Popen(
                    [
                        sys.executable,
                        "-c",
                        f"from evals.sandbox import _serve; _serve({fd}, {self.memory_mib})",
                    ],
                    env=_worker_environment(),
                    pass_fds=(fd,),
                    stdin=subprocess.DEVNULL,
                    stdout=subprocess.DEVNULL,
                    stderr=subprocess.DEVNULL,
                    start_new_session=True,  # Ctrl-C is for the parent
                )
            self._completed_calls = 0
            self._connection = Connection(parent_end.detach())
            return self._connection

    def _kill_and_wait(self) -> int | None:
        """Kill the process and wait for it; return its exit status if it ended by itself, at the latest after half a second."""
        with self._lock:
            return None if self.process is None else self._stop_process(self.process)

    def _stop_process(self, process: subprocess.Popen[bytes]) -> int | None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None
        try:
            status: int | None = process.wait(0.5)
        except subprocess.TimeoutExpired:
            status = None
        _kill_group(process)
        return status

    def retire(self) -> None:
        """Kill the process and never start another; the worker's thread notices the end of the connection and closes it."""
        with self._lock:
            self._retired = True
            if self.process is not None:
                _kill_group(self.process)


def _kill_group(process: subprocess.Popen[bytes]) -> None:
    """Kill the process group of a worker, which includes the processes that it started."""
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def _worker_environment() -> dict[str, str]:
    """Return a worker's environment: this process's module path, one thread per numeric library, no variables named like secrets."""
    secret_words = ("KEY", "TOKEN", "SECRET", "PASSWORD")
    inherited = {k: v for k, v in os.environ.items() if not any(word in k.upper() for word in secret_words)}
    path = os.pathsep.join(str(Path(entry).absolute()) for entry in sys.path)
    threads = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")
    return inherited | threads | {"PYTHONPATH": path, "PYTHONSAFEPATH": "1", "MALLOC_ARENA_MAX": "2"}


def _exit_reason(status: int | None, timeout_s: float) -> str:
    if status in (-signal.SIGALRM, None):
        return f"exceeded its deadline of {round(timeout_s, 2):g} s"
    if status < 0:
        return f"the worker was killed by {signal.Signals(-status).name}"
    return f"the worker exited with status {status}"


def _received_error(kind: str, message: str) -> EvalsError:
    """Return the error for an exception in a worker, given its type's name and its message."""
    error_type = getattr(errors, kind, None)
    if isinstance(error_type, type) and issubclass(error_type, UsageError):
        return UsageError(message)
    return ScorerError(message if kind == "ScorerError" else f"{kind}: {message}")


def _unpickle(message: bytes) -> Any:
    """Decode a message between a worker and its parent, which run the same code."""
    return pickle.loads(message)  # noqa: S301 - only bytes from this process or its workers


def _serve(fd: int, memory_mib: int) -> None:
    """Run the main loop of a worker: process batches until the connection is closed."""
    import resource

    limit = memory_mib << 20
    resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    warmed: set[str] = set()
    with Connection(fd) as connection:
        try:
            while True:
                encoded_calls = _unpickle(connection.recv_bytes())
                connection.send_bytes(b"")  # acknowledges the batch
                for encoded in encoded_calls:
                    connection.send_bytes(_run_call(encoded, warmed))
        except (EOFError, OSError):
            return


class _ForeignError(EvalsError):
    """Wraps an exception that is not one of `evals.errors`; `__cause__` holds the exception."""


def _run_call(encoded: bytes, warmed: set[str]) -> bytes:
    """Run one call under the kernel's timer; return its result or error, pickled."""
    try:
        with foreign_code(_ForeignError, passing=(EvalsError, MemoryError)):
            timeout_s, function, args = _unpickle(encoded)
            if isinstance(function, SupportsWarmUp) and (name := repr(function)) not in warmed:
                warmed.add(name)
                function.warm()
            signal.setitimer(signal.ITIMER_REAL, timeout_s)
            try:
                value = function(*args)
            finally:
                signal.setitimer(signal.ITIMER_REAL, 0)
            return pickle.dumps((True, value))
    except MemoryError:
        return pickle.dumps((False, ("ScorerError", "ran out of memory")))
    except EvalsError as error:
        cause = error.__cause__ if isinstance(error, _ForeignError) and error.__cause__ else error
        text = (str(cause).splitlines() or [""])[0][:300]
        return pickle.dumps((False, (type(cause).__name__, text)))
