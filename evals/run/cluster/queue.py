"""Replicas of one model as a single model, whose calls the runner queues, paces, retries and records as for any other model.

A request goes to the replica with the fewest pending requests; requests made at the same moment share one message. If a
replica is lost, or silent for too long (`LEASE_S`), its pending requests fail with Disconnected, and the runner retries them
on other replicas. Late responses are discarded, so that each record is written once.
A `ReplicaLink` connects to a replica: over Ray (`ray_replicas.py`), Slurm (`slurm/link.py`), or within this process (tests).
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Sequence
from contextlib import suppress
from heapq import heapify, heappop, heappush, heapreplace
from importlib.metadata import version
from itertools import count
from typing import Protocol

import msgspec
from msgspec import Struct

from evals import errors
from evals.boundary import foreign_code
from evals.calls.pace import MAX_LIMIT
from evals.data.media import stored_path
from evals.errors import Crash, Disconnected, EvalsError, Gone, ModelError, RateLimit, UsageError
from evals.labels import Refused, parse_sent
from evals.plain import notice
from evals.types import Media, Prompt, Reply, Sampling

POLL_S = 5.0
"""Maximum time between two messages from a replica, which may contain no responses."""
LEASE_S = 30.0
"""A replica that sends nothing for this time is considered lost. To spare timers, the deadline is extended only once half of
this time has passed, so that a replica may be considered lost after half of it."""
SHUTDOWN_S = 10.0
"""Time allowed for replicas to shut down cleanly."""


class ReplicaRequest(Struct, frozen=True, array_like=True):
    """A request to a replica."""

    number: int
    prompt: Prompt
    sampling: Sampling
    images: dict[str, bytes] = {}
    """SHA-256 of an image -> its stored bytes, since the node may not share a disk with the driver."""


class RequestBatch(Struct, frozen=True, array_like=True):
    """One message to a replica."""

    requests: list[ReplicaRequest]
    cancelled: list[int]
    """Numbers of cancelled requests."""


class RemoteError(Struct, frozen=True, tag="fault"):
    """An error of the replica's model, serialized for the driver."""

    kind: str
    """Class name in `errors.py`."""
    message: str
    retry_after_s: float | None = None
    unreachable: bool = False

    @classmethod
    def of(cls, error: Exception) -> RemoteError:
        """Serialize an error; one that is neither a ModelError nor a UsageError becomes a ModelError."""
        if not isinstance(error, ModelError | UsageError):
            return cls("ModelError", f"{type(error).__name__}: {error}")
        retry_after_s = error.retry_after_s if isinstance(error, RateLimit) else None
        unreachable = isinstance(error, Disconnected) and error.unreachable
        return cls(type(error).__name__, str(error), retry_after_s, unreachable)

    def to_exception(self) -> Exception:
        """Return the deserialized error."""
        if self.kind == "RateLimit":
            return RateLimit(self.message, retry_after_s=self.retry_after_s)
        if self.kind == "Disconnected":
            return Disconnected(self.message, unreachable=self.unreachable)
        exception: Exception = getattr(errors, self.kind, ModelError)(self.message)
        return exception


class ReplicaResponse(Struct, frozen=True, array_like=True):
    """The reply or error for a request."""

    number: int
    outcome: Reply | RemoteError
    notes: tuple[str, ...] = ()
    """New notes of the replica's model, for the card."""


class ReplicaInfo(Struct, frozen=True, kw_only=True):
    """Description of a replica."""

    name: str = ""
    accepts: frozenset[str] = frozenset()
    slots: int | None = None
    node: str = ""
    """Name of the node."""
    version: str = ""
    """Version of this package on the node."""
    notes: tuple[str, ...] = ()
    fault: str = ""
    """Why the replica cannot run, in one line; empty if it can."""


def require_same_version(info: ReplicaInfo) -> None:
    """Raise UsageError if a replica runs another version of this package than the driver."""
    if info.version != (own_version := version("science-evals")):
        raise UsageError(
            f"science-evals {info.version} on {info.node}, {own_version} here: install the same version"
        )


class ReplicaLost(Exception):
    """A replica cannot be reached any more; its link may reconnect."""


class ReplicaLink(Protocol):
    """Connection to one replica."""

    async def start(self) -> ReplicaInfo:
        """Wait until the replica is ready, initially and after each loss; raises UsageError if it cannot be started."""

    def send(self, raw: bytes) -> None:
        """Send an encoded `RequestBatch` without waiting."""

    async def receive(self) -> bytes:
        """Wait for responses, at most `POLL_S`, and return an encoded list of `ReplicaResponse`; raises ReplicaLost."""

    async def close(self) -> None:
        """Stop the replica."""


_encode = msgspec.msgpack.Encoder().encode
_decode_responses = msgspec.msgpack.Decoder(list[ReplicaResponse]).decode


class Replica:
    """The driver's side of one replica, with the pending requests."""

    def __init__(self, number: int, link: ReplicaLink) -> None:
        self.number, self.link = number, link
        self.is_up = False
        self.pending: dict[int, asyncio.Future[Reply]] = {}
        self.notes: list[str] = []
        """Notes of the replica's model that were received with responses."""
        self._unsent_requests: list[ReplicaRequest] = []
        self._unsent_cancellations: list[int] = []

    def submit(self, request: ReplicaRequest) -> asyncio.Future[Reply]:
        """Add a request to the next message, which is sent in the next iteration of the event loop."""
        future: asyncio.Future[Reply] = asyncio.get_running_loop().create_future()
        self.pending[request.number] = future
        self._schedule_send()
        self._unsent_requests.append(request)
        return future

    def cancel(self, number: int) -> None:
        """Cancel a request."""
        if self.pending.pop(number, None) is not None and self.is_up:
            self._schedule_send()
            self._unsent_cancellations.append(number)

    def _schedule_send(self) -> None:
        """Call `_send` in the next iteration of the event loop, unless that is scheduled already."""
        if not self._unsent_requests and not self._unsent_cancellations:
            asyncio.get_running_loop().call_soon(self._send)

    def _send(self) -> None:
        if self.is_up:
            self.link.send(_encode(RequestBatch(self._unsent_requests, self._unsent_cancellations)))
        self._unsent_requests, self._unsent_cancellations = [], []

    def resolve(self, raw: bytes) -> None:
        """Complete pending requests from an encoded list of responses; raises Gone if the replica's server is gone."""
        gone_error: Gone | None = None
        for response in _decode_responses(raw):
            self.notes += response.notes
            future, outcome = self.pending.pop(response.number, None), response.outcome
            if future is None or future.done():
                continue  # late: the request was retried on another replica
            if isinstance(outcome, Reply):
                future.set_result(outcome)
            elif isinstance(error := outcome.to_exception(), Gone):
                gone_error = error
                future.set_exception(Disconnected(str(error)))
            else:
                future.set_exception(error)
        if gone_error is not None:
            raise gone_error

    def fail_pending(self, reason: str) -> int:
        """Fail all pending requests with Disconnected, so that they are retried elsewhere; return their number."""
        self.is_up = False
        pending, self.pending = self.pending, {}
        for future in pending.values():
            if not future.done():
                future.set_exception(Disconnected(reason))
        return len(pending)


class Cluster:
    """A model that sends each request to the least loaded replica."""

    def __init__(self, links: Sequence[ReplicaLink], info: ReplicaInfo, *, lease_s: float = LEASE_S) -> None:
        """`info`: description of one replica, assumed to apply to all. The first call of `ready` starts the replicas."""
        self.name, self.accepts = info.name, info.accepts
        self.slots: int | None = len(links) * (info.slots or MAX_LIMIT)
        self._notes: list[str] = list(info.notes)
        self._replicas = [Replica(number, link) for number, link in enumerate(links, 1)]
        self._lease_s = lease_s
        self._request_numbers = count()
        self._load_heap: list[tuple[int, int]] = []
        """Heap of (number of pending requests, replica index); outdated entries are discarded when they are popped."""
        self._tasks: list[asyncio.Task[None]] = []
        self._state_changed = asyncio.Event()
        self._ready_count = 0
        self._loss_reason = ""
        """Why a replica was last lost permanently."""
        self._has_been_up = False

    @property
    def notes(self) -> list[str]:
        """Return notes for the card, e.g. on the cluster, and on request fields that the servers rejected."""
        return list(dict.fromkeys([*self._notes, *(note for r in self._replicas for note in r.notes)]))

    def ready(self) -> Awaitable[None] | None:
        """See `HasStartup`; the awaitable waits until a replica is ready."""
        if not self._tasks:
            self._tasks = [asyncio.create_task(self._serve(replica)) for replica in self._replicas]
        return None if self._ready_count else self._wait_for_replica()

    async def _wait_for_replica(self) -> None:
        while not self._ready_count:
            if all(task.done() for task in self._tasks):
                reason = self._loss_reason
                raise Gone(f"no replica is left: {reason}") if self._has_been_up else UsageError(reason)
            self._state_changed.clear()
            await self._state_changed.wait()

    async def reply(self, prompt: Prompt, sampling: Sampling) -> Reply:
        """Call the least loaded replica; raises the errors of its model, and Disconnected if the replica is lost."""
        images = _read_images(prompt)
        replica = self._least_loaded()
        number = next(self._request_numbers)
        future = replica.submit(ReplicaRequest(number, prompt, sampling, images))
        try:
            return await future
        except asyncio.CancelledError:
            replica.cancel(number)
            self._update_load(replica)
            raise

    def _least_loaded(self) -> Replica:
        """Return the replica with the fewest pending requests, and count one more request for it."""
        while self._load_heap:
            requests, index = self._load_heap[0]
            replica = self._replicas[index]
            if replica.is_up and len(replica.pending) == requests:
                heapreplace(self._load_heap, (requests + 1, index))
                return replica
            heappop(self._load_heap)
        raise Disconnected("no replica is up")

    def _update_load(self, replica: Replica) -> None:
        """Enter a replica's current load in the heap; if most entries have become outdated, rebuild the heap."""
        if not replica.is_up:
            return
        heappush(self._load_heap, (len(replica.pending), replica.number - 1))
        if len(self._load_heap) > 64 + 8 * len(self._replicas):
            self._load_heap = [(len(r.pending), r.number - 1) for r in self._replicas if r.is_up]
            heapify(self._load_heap)

    async def _serve(self, replica: Replica) -> None:
        """Keep one replica connected and process its responses, reconnecting after losses, until it is lost permanently."""
        try:
            while True:
                with foreign_code(Crash):  # e.g. Ray's client loses its cluster
                    info = await replica.link.start()
                require_same_version(info)
                self._on_ready(replica, info)
                try:
                    with foreign_code(Crash, passing=(EvalsError, ReplicaLost)):
                        await self._listen(replica)
                except ReplicaLost as error:
                    self._on_lost(replica, str(error))
        except (UsageError, Gone, Crash) as error:
            if replica.is_up:
                self._on_lost(replica, str(error))
            self._loss_reason = str(error)
            if self._has_been_up:
                notice(f"cluster: replica {replica.number} will not come back: {error}")
            await asyncio.gather(replica.link.close(), return_exceptions=True)  # frees its GPUs
        finally:
            # only once this task is done, since waiters check whether all tasks are done
            asyncio.get_running_loop().call_soon(self._state_changed.set)

    async def _listen(self, replica: Replica) -> None:
        """Process a replica's responses; one deadline is rescheduled for all messages, since a timer for each would be slow."""
        loop = asyncio.get_running_loop()
        try:
            async with asyncio.timeout(self._lease_s) as lease:
                while True:
                    replica.resolve(await replica.link.receive())
                    self._update_load(replica)
                    new_deadline = loop.time() + self._lease_s
                    if new_deadline - (lease.when() or 0.0) > self._lease_s / 2:
                        lease.reschedule(new_deadline)
        except TimeoutError:
            raise ReplicaLost(f"silent for {self._lease_s / 2:g} s or more") from None

    def _on_ready(self, replica: Replica, info: ReplicaInfo) -> None:
        if not self._has_been_up:  # the notes of the first replica's server apply to all
            self._notes += [note for note in info.notes if note not in self._notes]
        replica.is_up, self._has_been_up = True, True
        self._ready_count += 1
        self._update_load(replica)
        self._state_changed.set()
        if len(self._replicas) <= 16:  # too many lines for larger clusters
            ready = f"{self._ready_count} of {len(self._replicas)}"
            notice(f"cluster: replica {replica.number} on {info.node} is ready ({ready})")

    def _on_lost(self, replica: Replica, reason: str) -> None:
        self._ready_count -= 1
        failed = replica.fail_pending(f"replica {replica.number} was lost: {reason}")
        note = f"cluster: replica {replica.number} was lost ({reason}); pending requests sent to others: {failed}"
        self._notes.append(note)
        notice(note)

    async def close(self) -> None:
        """Stop all replicas."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        with suppress(TimeoutError):
            async with asyncio.timeout(SHUTDOWN_S):
                await asyncio.gather(*(r.link.close() for r in self._replicas), return_exceptions=True)


def _read_images(prompt: Prompt) -> dict[str, bytes]:
    images = {}
    for message in prompt.messages:
        for part in message.parts:
            if isinstance(part, Media) and not isinstance(parse_sent(part.sent), Refused):
                images[part.sha256] = stored_path(part).read_bytes()
    return images
