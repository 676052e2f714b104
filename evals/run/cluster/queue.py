"""Replicas of one model behind a single `reply`; the runner's queue, pace, retries and records are unchanged.

A question goes to the replica with the fewest open questions; questions sent at the same moment share one message
(a lease). If a replica is lost, or silent for longer than its lease, its open questions fail with Disconnected and the
runner retries them on other replicas. Late answers are discarded, so each record is written once, by the driver.
A `Link` connects to a replica: over Ray (`ray_replicas.py`), or within this process (tests, measurements).
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Sequence
from contextlib import suppress
from heapq import heapify, heappop, heappush, heapreplace
from itertools import count
from typing import Protocol

import msgspec
from msgspec import Struct

from evals import errors
from evals.calls.pace import MAX_LIMIT
from evals.data.media import stored_path
from evals.errors import Disconnected, Gone, ModelError, RateLimit, UsageError
from evals.labels import Refused, sending
from evals.plain import notice
from evals.types import Media, Prompt, Reply, Sampling

POLL_S = 5.0
"""Maximum interval between a replica's messages; answers are sent at once."""
LEASE_S = 30.0
"""Silence after which a replica's questions are given to others."""
SHUTDOWN_S = 10.0
"""Time for replicas to shut down cleanly."""


class Question(Struct, frozen=True, array_like=True):
    """A question to a replica."""

    number: int
    prompt: Prompt
    sampling: Sampling
    images: dict[str, bytes] = {}
    """SHA-256 -> stored bytes; a node need not share a disk with the driver."""


class Work(Struct, frozen=True, array_like=True):
    """One message to a replica."""

    questions: list[Question]
    dropped: list[int]
    """Numbers of cancelled questions."""


class Fault(Struct, frozen=True, tag="fault"):
    """An adapter's error, serialized for the driver."""

    kind: str
    """Class name in `errors.py`."""
    message: str
    retry_after_s: float | None = None
    unreachable: bool = False

    @classmethod
    def of(cls, error: Exception) -> Fault:
        """Serialize an error; foreign exceptions become ModelError."""
        if not isinstance(error, ModelError | UsageError):
            return cls("ModelError", f"{type(error).__name__}: {error}")
        after = error.retry_after_s if isinstance(error, RateLimit) else None
        unreachable = isinstance(error, Disconnected) and error.unreachable
        return cls(type(error).__name__, str(error), after, unreachable)

    def error(self) -> Exception:
        """Return the deserialized error."""
        if self.kind == "RateLimit":
            return RateLimit(self.message, retry_after_s=self.retry_after_s)
        if self.kind == "Disconnected":
            return Disconnected(self.message, unreachable=self.unreachable)
        error_class = getattr(errors, self.kind, ModelError)
        error: Exception = error_class(self.message)
        return error


class Answer(Struct, frozen=True, array_like=True):
    """The reply or error for a question."""

    number: int
    outcome: Reply | Fault
    notes: tuple[str, ...] = ()
    """New notes of the replica's model for the card, e.g. on a field that its server rejects."""


class Facts(Struct, frozen=True, kw_only=True):
    """Description of a replica."""

    name: str = ""
    accepts: frozenset[str] = frozenset()
    slots: int | None = None
    where: str = ""
    """Name of its node."""
    version: str = ""
    """Version of this package on the node."""
    notes: tuple[str, ...] = ()
    fault: str = ""
    """Why it cannot run, in one line; empty if it can."""


class Lost(Exception):
    """A replica cannot be reached; its link may reconnect."""


class Link(Protocol):
    """Connection to one replica."""

    async def start(self) -> Facts:
        """Wait until the replica is ready, initially and after a loss; raises UsageError if it never will be."""
        ...

    def give(self, work: bytes) -> None:
        """Send an encoded `Work` without waiting."""
        ...

    async def take(self) -> bytes:
        """Wait for answers, at most `POLL_S`; returns an encoded list of `Answer`. Raises Lost."""
        ...

    async def close(self) -> None:
        """Stop the replica."""
        ...


_encode = msgspec.msgpack.Encoder().encode
_answers = msgspec.msgpack.Decoder(list[Answer]).decode


class Replica:
    """The driver's side of one replica: its open questions."""

    def __init__(self, number: int, link: Link) -> None:
        self.number, self.link = number, link
        self.up = False
        self.leased: dict[int, asyncio.Future[Reply]] = {}
        self.notes: list[str] = []
        """Notes of its model, received with answers."""
        self._questions: list[Question] = []
        self._dropped: list[int] = []

    def ask(self, question: Question) -> asyncio.Future[Reply]:
        """Add a question to the next message, which is sent at the end of this turn of the event loop."""
        loop = asyncio.get_running_loop()
        future: asyncio.Future[Reply] = loop.create_future()
        self.leased[question.number] = future
        if not self._questions and not self._dropped:
            loop.call_soon(self._send)
        self._questions.append(question)
        return future

    def drop(self, number: int) -> None:
        """Withdraw a cancelled question."""
        if self.leased.pop(number, None) is not None and self.up:
            if not self._questions and not self._dropped:
                asyncio.get_running_loop().call_soon(self._send)
            self._dropped.append(number)

    def _send(self) -> None:
        if self.up:
            self.link.give(_encode(Work(self._questions, self._dropped)))
        self._questions, self._dropped = [], []

    def deliver(self, raw: bytes) -> None:
        """Resolve the futures of answered questions; raises Gone if the replica's server is gone."""
        gone = None
        for answer in _answers(raw):
            self.notes += answer.notes
            future, outcome = self.leased.pop(answer.number, None), answer.outcome
            if future is None or future.done():
                continue  # late: the question was given to another replica
            if isinstance(outcome, Reply):
                future.set_result(outcome)
            elif isinstance(error := outcome.error(), Gone):
                gone = error
                future.set_exception(Disconnected(str(error)))
            else:
                future.set_exception(error)
        if gone is not None:
            raise gone

    def revoke(self, why: str) -> int:
        """Fail all open questions with Disconnected, so that they are retried elsewhere; returns their number."""
        self.up = False
        leased, self.leased = self.leased, {}
        for future in leased.values():
            if not future.done():
                future.set_exception(Disconnected(why))
        return len(leased)


class Cluster:
    """A model that sends each question to the least loaded replica."""

    def __init__(self, links: Sequence[Link], facts: Facts, *, lease_s: float = LEASE_S) -> None:
        """`facts`: of one replica, taken to hold for all; replicas are started by the first `ready`."""
        self.name, self.accepts = facts.name, facts.accepts
        self.slots: int | None = len(links) * (facts.slots or MAX_LIMIT)
        self._notes: list[str] = list(facts.notes)
        self._replicas = [Replica(number, link) for number, link in enumerate(links, 1)]
        self._lease_s = lease_s
        self._numbers = count()
        self._least: list[tuple[int, int]] = []
        """Heap of (open questions, replica index); stale entries are discarded when popped."""
        self._tasks: list[asyncio.Task[None]] = []
        self._changed = asyncio.Event()
        self._up = 0
        self._why = ""
        """Why a replica was lost permanently."""
        self._ever = False

    @property
    def notes(self) -> list[str]:
        """Return notes for the card: on the cluster, its servers, and the fields they rejected."""
        return list(dict.fromkeys([*self._notes, *(note for r in self._replicas for note in r.notes)]))

    def ready(self) -> Awaitable[None] | None:
        """Return None if a replica is ready, else an awaitable until one is; it raises UsageError, or Gone in mid-run."""
        if not self._tasks:
            self._tasks = [asyncio.create_task(self._serve(replica)) for replica in self._replicas]
        return None if self._up else self._until_up()

    async def _until_up(self) -> None:
        while not self._up:
            if all(task.done() for task in self._tasks):
                raise Gone(f"no replica is left: {self._why}") if self._ever else UsageError(self._why)
            self._changed.clear()
            await self._changed.wait()

    async def reply(self, prompt: Prompt, sampling: Sampling) -> Reply:
        """Ask the least loaded replica; raises the adapter's errors, and Disconnected if the replica is lost."""
        images = _images(prompt)
        replica = self._choose()
        number = next(self._numbers)
        future = replica.ask(Question(number, prompt, sampling, images))
        try:
            return await future
        except asyncio.CancelledError:
            replica.drop(number)
            self._note(replica)
            raise

    def _choose(self) -> Replica:
        """Return the replica with the fewest open questions, and count one more for it."""
        while self._least:
            questions, index = self._least[0]
            replica = self._replicas[index]
            if replica.up and len(replica.leased) == questions:
                heapreplace(self._least, (questions + 1, index))
                return replica
            heappop(self._least)
        raise Disconnected("no replica is up")

    def _note(self, replica: Replica) -> None:
        if not replica.up:
            return
        heappush(self._least, (len(replica.leased), replica.number - 1))
        if len(self._least) > 64 + 8 * len(self._replicas):
            self._least = [(len(r.leased), r.number - 1) for r in self._replicas if r.up]
            heapify(self._least)

    async def _serve(self, replica: Replica) -> None:
        """Serve one replica, reconnecting after losses, until it is lost permanently."""
        try:
            while True:
                facts = await replica.link.start()
                self._on_ready(replica, facts)
                try:
                    await self._listen(replica)
                except Lost as error:
                    self._on_lost(replica, str(error))
        except (UsageError, Gone) as error:
            if replica.up:
                self._on_lost(replica, str(error))
            self._why = str(error)
            if self._ever:
                self._say(f"replica {replica.number} will not come back: {error}")
            await asyncio.gather(replica.link.close(), return_exceptions=True)  # frees its GPUs
        finally:
            # waiters check the tasks once this one is done
            asyncio.get_running_loop().call_soon(self._changed.set)

    async def _listen(self, replica: Replica) -> None:
        """Deliver a replica's answers; one deadline is rescheduled on each message, which avoids a timer per message."""
        loop = asyncio.get_running_loop()
        try:
            async with asyncio.timeout(self._lease_s) as lease:
                while True:
                    replica.deliver(await replica.link.take())
                    self._note(replica)
                    renewed = loop.time() + self._lease_s
                    if renewed - (lease.when() or 0.0) > self._lease_s / 2:
                        lease.reschedule(renewed)
        except TimeoutError:
            raise Lost(f"silent for {self._lease_s / 2:g} s or more") from None

    def _on_ready(self, replica: Replica, facts: Facts) -> None:
        if not self._ever:  # notes of the first replica's server stand for all
            self._notes += [note for note in facts.notes if note not in self._notes]
        replica.up, self._ever = True, True
        self._up += 1
        self._note(replica)
        self._changed.set()
        if len(self._replicas) <= 16:  # no line each for large clusters
            self._say(
                f"replica {replica.number} on {facts.where} is ready ({self._up} of {len(self._replicas)})"
            )

    def _on_lost(self, replica: Replica, why: str) -> None:
        self._up -= 1
        returned = replica.revoke(f"replica {replica.number} was lost: {why}")
        line = f"replica {replica.number} was lost ({why}); {returned} samples go to others"
        self._notes.append(f"cluster: {line}")
        self._say(line)

    def _say(self, line: str) -> None:
        notice(f"cluster: {line}")

    async def close(self) -> None:
        """Stop all replicas."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        with suppress(TimeoutError):
            async with asyncio.timeout(SHUTDOWN_S):
                await asyncio.gather(*(r.link.close() for r in self._replicas), return_exceptions=True)


def _images(prompt: Prompt) -> dict[str, bytes]:
    images = {}
    for message in prompt.messages:
        for part in message.parts:
            if isinstance(part, Media) and not isinstance(sending(part.sent), Refused):
                images[part.sha256] = stored_path(part).read_bytes()
    return images
