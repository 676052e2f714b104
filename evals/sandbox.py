"""Run pure functions in worker processes, each call under a deadline that nothing can talk its way out of.

>>> import math
>>> with Pool(1) as pool:
...     pool.call(math.sqrt, 9.0, timeout_s=5.0)
3.0

What a model wrote goes through RDKit, sympy and regular expressions, and some of it makes them loop,
crash or eat all memory. A worker arms the kernel's own timer (SIGALRM, default action: death) around each
call, so that a loop in C ends as surely as one in Python, even when the parent is gone; RLIMIT_AS bounds
its memory. The parent keeps one thread per worker, which sends calls in batches and reads the answers one
by one: when a worker dies, the first call without an answer failed, and the rest goes to its successor.

Pebble 5.2 does most of this and was measured beside it: a quarter of the calls per second (3,300 against 12,600 on two busy
cores), twice the parent's CPU per call, three times as long to the first answer, and a loop in C outlives a parent that dies.
Workers are new interpreters (no fork of a threaded process), started at the first call that needs them.
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
from multiprocessing.connection import Connection
from typing import Any, NamedTuple

from msgspec.structs import replace

from evals import errors
from evals.errors import EvalsError, ScorerError, UsageError
from evals.seams import Warm
from evals.types import Prompt, Reply, Sample, Score

BATCH = 64
"""Most calls in one message to a worker."""
BATCH_S = 0.05
"""A batch holds calls for about this long, by the pace of those before: a slow one delays few others."""
GRACE_S = 60.0
"""For a worker to start or to import what a scorer needs, before the parent gives it up."""
ATTEMPTS = 3
"""Workers that may die one after the other before they have read their calls."""
CALLS = 20_000
"""A worker is replaced after so many calls: a bound on what foreign libraries leak."""


class _Call(NamedTuple):
    function: Callable[..., Any]
    args: tuple[Any, ...]
    timeout_s: float
    future: Future[Any]


class Pool:
    """Worker processes for calls that may hang or crash; used from asyncio and from plain code alike.

    A call that passes its deadline, crashes its worker, runs out of memory or raises fails with
    `ScorerError`; a `UsageError` (an extra is not installed) comes through as it is.
    """

    def __init__(
        self, workers: int | None = None, *, memory_mib: int = 2048, timeout_s: float = 10.0
    ) -> None:
        """`memory_mib` bounds the address space of one worker; `timeout_s` holds for calls without their own."""
        self.workers = workers or _cores()
        self.memory_mib = memory_mib
        self.timeout_s = timeout_s
        self._waiting: deque[_Call] = deque()
        self._changed = threading.Condition()
        self._idle = 0
        self._closed = False
        self._threads: list[threading.Thread] = []
        self._team: list[_Worker] = []
        self._end = weakref.finalize(self, _kill_all, self._team)

    def submit(
        self, function: Callable[..., Any], /, *args: Any, timeout_s: float | None = None
    ) -> Future[Any]:
        """Queue one call of a picklable function; never blocks."""
        call = _Call(function, args, self.timeout_s if timeout_s is None else timeout_s, Future())
        with self._changed:
            if self._closed:
                raise RuntimeError("the pool is closed")
            self._waiting.append(call)
            if self._idle:
                self._changed.notify()
            elif len(self._threads) < self.workers:
                self._hire()
        return call.future

    async def run(self, function: Callable[..., Any], /, *args: Any, timeout_s: float | None = None) -> Any:
        """Call `function(*args)` in a worker; the event loop goes on meanwhile."""
        return await asyncio.wrap_future(self.submit(function, *args, timeout_s=timeout_s))

    def call(self, function: Callable[..., Any], /, *args: Any, timeout_s: float | None = None) -> Any:
        """Call `function(*args)` in a worker and wait."""
        return self.submit(function, *args, timeout_s=timeout_s).result()

    async def score(
        self,
        scorer: Callable[[Sample, Prompt, Reply], Any],
        sample: Sample,
        prompt: Prompt,
        reply: Reply,
        *,
        timeout_s: float | None = None,
    ) -> Score:
        """Judge one reply in a worker. A heavy scorer sees neither the question nor the messages.

        The scorer is a function of a module or a frozen dataclass. Its `warm()`, where it has one, is called
        once per worker and set of options, outside any deadline: the place to import what takes long.
        """
        lean = replace(sample, question=()), replace(prompt, messages=()), replace(reply, reasoning=None)
        score = await self.run(scorer, *lean, timeout_s=timeout_s)
        if not isinstance(score, Score):
            raise ScorerError(f"{scorer!r} gave {type(score).__name__}, not a Score")
        return score

    def pids(self) -> list[int]:
        """Process ids of the workers that live."""
        return [p.pid for worker in self._team if (p := worker.process) is not None and p.poll() is None]

    def close(self) -> None:
        """Kill the workers and wait for them; calls without an answer fail. Safe to repeat."""
        with self._changed:
            self._closed = True
            abandoned = list(self._waiting)
            self._waiting.clear()
            self._changed.notify_all()
        for call in abandoned:
            if call.future.set_running_or_notify_cancel():
                call.future.set_exception(ScorerError("the pool was closed"))
        self._end()
        for thread in self._threads:
            thread.join()

    def __enter__(self) -> Pool:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _hire(self) -> None:
        """Start the thread that keeps one more worker busy; the caller holds the lock."""
        worker = _Worker(self.memory_mib)
        thread = threading.Thread(target=self._feed, args=(worker,), name="timebox", daemon=True)
        self._team.append(worker)
        self._threads.append(thread)
        thread.start()

    def _feed(self, worker: _Worker) -> None:
        while calls := self._take(worker.batch):
            worker.work_off(calls)
            if self._closed:
                return

    def _take(self, most: int) -> deque[_Call]:
        """Wait for calls and take a fair share of them; none: the pool is closed."""
        with self._changed:
            while not self._waiting and not self._closed:
                self._idle += 1
                self._changed.wait()
                self._idle -= 1
            share = min(most, -(-len(self._waiting) // self.workers))
            return deque(self._waiting.popleft() for _ in range(share))


def _cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _kill_all(team: list[_Worker]) -> None:
    for worker in team:
        worker.retire()


class _Worker:
    """One worker process and the line to it; started when first needed and again after each death."""

    def __init__(self, memory_mib: int) -> None:
        self.memory_mib = memory_mib
        self.process: subprocess.Popen[bytes] | None = None
        self.batch = 1
        """How many calls it should be given at once."""
        self._line: Connection | None = None
        self._calls = 0
        self._fate = ""
        self._retired = False
        self._lock = threading.Lock()

    def work_off(self, calls: deque[_Call]) -> None:
        """Get every call an answer or a `ScorerError`."""
        began, count = time.perf_counter(), len(calls)
        left: deque[tuple[bytes, _Call]] = deque()
        for call in calls:
            if call.future.set_running_or_notify_cancel():
                try:
                    left.append((pickle.dumps((call.timeout_s, call.function, call.args)), call))
                except (pickle.PicklingError, TypeError, AttributeError, ValueError, RecursionError) as e:
                    call.future.set_exception(ScorerError(f"cannot be sent to a worker: {e}"))
        attempts = 0
        while left and attempts < ATTEMPTS:
            if self._hand_over(left):
                attempts = 0
                self._answer(left)
            else:
                attempts += 1
        for _, call in left:
            call.future.set_exception(ScorerError(f"no worker could be started: {self._fate}"))
        pace_s = max((time.perf_counter() - began) / count, 1e-6)
        self.batch = max(1, min(BATCH, 4 * self.batch, round(BATCH_S / pace_s)))

    def _hand_over(self, left: deque[tuple[bytes, _Call]]) -> bool:
        """Send a batch to a living worker; false where it dies before it has read it."""
        try:
            line = self._start()
            line.send_bytes(pickle.dumps([blob for blob, _ in left]))
            if line.poll(GRACE_S):
                line.recv_bytes()
                return True
        except (OSError, EOFError):
            pass
        self._fate = _obituary(self._bury(), GRACE_S)
        return False

    def _answer(self, left: deque[tuple[bytes, _Call]]) -> None:
        """Settle calls until all are answered or the worker dies, which is the fault of the first one left."""
        while left:
            call = left[0][1]
            try:
                if self._line is None or not self._line.poll(call.timeout_s + GRACE_S):
                    raise EOFError
                good, value = pickle.loads(self._line.recv_bytes())  # noqa: S301 - from our own worker
            except (OSError, EOFError, pickle.UnpicklingError):
                status = self._bury()
                left.popleft()
                call.future.set_exception(ScorerError(_obituary(status, call.timeout_s)))
                return
            left.popleft()
            self._calls += 1
            if good:
                call.future.set_result(value)
            else:
                call.future.set_exception(_error(*value))

    def _start(self) -> Connection:
        """Return the line to a living worker."""
        with self._lock:
            if self._retired:
                raise EOFError
            if self._line is not None and self.process is not None:
                if self.process.poll() is None and self._calls < CALLS:
                    return self._line
                self._put_down(self.process)
            ours, theirs = socket.socketpair()
            with theirs:
                fd = theirs.fileno()
                self.process = subprocess.Popen(
                    [
                        sys.executable,
                        "-c",
                        f"from evals.sandbox import _serve; _serve({fd}, {self.memory_mib})",
                    ],
                    env=_environment(),
                    pass_fds=(fd,),
                    stdin=subprocess.DEVNULL,
                    stdout=subprocess.DEVNULL,
                    stderr=subprocess.DEVNULL,
                    start_new_session=True,  # Ctrl-C is for the parent
                )
            self._calls = 0
            self._line = Connection(ours.detach())
            return self._line

    def _bury(self) -> int | None:
        """Kill and wait; return the exit status where it had died by itself."""
        with self._lock:
            return None if self.process is None else self._put_down(self.process)

    def _put_down(self, process: subprocess.Popen[bytes]) -> int | None:
        if self._line is not None:
            self._line.close()
            self._line = None
        try:
            status: int | None = process.wait(0.5)
        except subprocess.TimeoutExpired:
            status = None
        _kill_group(process)
        return status

    def retire(self) -> None:
        """Kill the process for good. Its thread sees the line end; the line itself is closed there."""
        with self._lock:
            self._retired = True
            if self.process is not None:
                _kill_group(self.process)


def _kill_group(process: subprocess.Popen[bytes]) -> None:
    """Kill a worker and what it started: it leads a process group of its own."""
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def _environment() -> dict[str, str]:
    """Return the environment of a worker: our module path, one thread for each numeric library, and no secrets."""
    secret = ("KEY", "TOKEN", "SECRET", "PASSWORD")
    kept = {k: v for k, v in os.environ.items() if not any(word in k.upper() for word in secret)}
    path = os.pathsep.join(os.path.abspath(entry) for entry in sys.path)  # noqa: PTH100 - '' means here
    threads = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")
    return kept | threads | {"PYTHONPATH": path, "PYTHONSAFEPATH": "1", "MALLOC_ARENA_MAX": "2"}


def _obituary(status: int | None, timeout_s: float) -> str:
    if status in (-signal.SIGALRM, None):
        return f"passed its deadline of {timeout_s:g} s"
    if status < 0:
        return f"the worker was killed by {signal.Signals(-status).name}"
    return f"the worker exited with status {status}"


def _error(kind: str, message: str) -> EvalsError:
    known = getattr(errors, kind, None)
    usage = isinstance(known, type) and issubclass(known, UsageError)
    if usage:
        return UsageError(message)
    return ScorerError(message if kind == "ScorerError" else f"{kind}: {message}")


def _serve(fd: int, memory_mib: int) -> None:
    """Be a worker: read batches from the line until it ends."""
    import resource

    limit = memory_mib << 20
    resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    warmed: set[str] = set()
    with Connection(fd) as line:
        try:
            while True:
                blobs = pickle.loads(line.recv_bytes())  # noqa: S301 - from our own parent
                line.send_bytes(b"")
                for blob in blobs:
                    line.send_bytes(_compute(blob, warmed))
        except (EOFError, OSError):
            return


def _compute(blob: bytes, warmed: set[str]) -> bytes:
    """Make one call under the kernel's timer; whatever it raises becomes the call's answer."""
    try:
        timeout_s, function, args = pickle.loads(blob)  # noqa: S301 - from our own parent
        if isinstance(function, Warm) and (name := repr(function)) not in warmed:
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
    except Exception as e:  # noqa: BLE001 - the boundary around plug-ins: the parent records it
        text = (str(e).splitlines() or [""])[0][:300]
        return pickle.dumps((False, (type(e).__name__, text)))
