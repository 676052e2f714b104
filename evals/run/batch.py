"""Replies at half the price: the open samples of a run go to a vendor's batch endpoint and come back within a day.

A note of what was sent lies beside the run (`batches.jsonl`), written before anything is sent and again with the
vendor's id: whoever is stopped, killed or switched off meanwhile collects it with the same command, and nothing is
asked twice. What came back is then worked off by the runner, like replies of a model that answers at once.
"""

from __future__ import annotations

import asyncio
import os
import secrets
import time
from collections import Counter, defaultdict, deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from hashlib import sha256
from pathlib import Path
from typing import NamedTuple

import msgspec
from msgspec import Struct

from evals import disk
from evals.boundary import foreign_code
from evals.calls.backoff import wait_s
from evals.data.series import told
from evals.errors import Crash, Expired, Fatal, ModelError, Rejected, StoreError, Transient
from evals.records.store import BATCHES
from evals.run.job import Job
from evals.run.order import order
from evals.run.sampling import reseeded
from evals.seams import Batches, notes_of
from evals.types import Model, Prompt, Reply, Sampling

POLL_S, POLL_MOST_S = 10.0, 120.0
DEADLINE_S = 1800.0
"""To ask how far a batch is, and to fetch it."""
TRIES = 6
"""To hand a batch in; every time it is looked for first."""
_encode = msgspec.json.Encoder().encode


class Sent(Struct):
    """A batch as noted."""

    label: str
    at: float
    """Seconds since the epoch, before it was handed in."""
    samples: list[tuple[str, int, str]]
    """(sample, repeat, key of what was asked)."""
    id: str = ""
    never: list[str] = []
    """Ids that were taken for its own and are not."""
    left_out: dict[str, str] = {}
    """Fields that were not sent, or sent under another name, since the vendor refused them."""
    closed: str = ""
    """`collected`, or why there is nothing to collect."""
    tokens: dict[str, int] = {}


class _Change(Struct, omit_defaults=True):
    label: str
    at: float = 0.0
    samples: list[tuple[str, int, str]] = []
    id: str = ""
    never: str = ""
    left_out: dict[str, str] = {}
    closed: str = ""
    tokens: dict[str, int] = {}


def sent(run: Path) -> list[Sent]:
    """Read the notes of a run; a line that a kill left half written was never acted upon."""
    found: dict[str, Sent] = {}
    path = run / BATCHES
    for line in path.read_bytes().splitlines() if path.exists() else ():
        try:
            change = msgspec.json.decode(line, type=_Change)
        except msgspec.MsgspecError:
            continue
        one = found.setdefault(change.label, Sent(change.label, change.at, change.samples))
        one.id, one.closed = change.id or one.id, change.closed or one.closed
        one.tokens, one.left_out = change.tokens or one.tokens, change.left_out or one.left_out
        if change.never:
            one.never, one.id = [*one.never, change.never], ""
    return list(found.values())


def waiting(run: Path) -> list[Sent]:
    """Return the batches of a run that nobody has collected yet."""
    return [one for one in sent(run) if not one.closed]


def tokens(run: Path) -> dict[str, int]:
    """Sum the tokens of a run that were billed at batch price."""
    total = Counter[str]()
    for one in sent(run):
        total.update(one.tokens)
    return dict(total)


def _note(run: Path, change: _Change) -> None:
    path = run / BATCHES
    torn = path.exists() and not path.read_bytes().endswith(b"\n")
    try:
        with os.fdopen(disk.create(path, append=True), "ab") as stream:
            stream.write((b"\n" if torn else b"") + _encode(change) + b"\n")
            stream.flush()
            os.fsync(stream.fileno())
    except OSError as error:
        raise StoreError(f"cannot note a batch in {path}: {error.strerror}") from None


class _Asked(NamedTuple):
    """One open sample-repeat."""

    sample: str
    repeat: int
    prompt: Prompt
    sampling: Sampling
    key: str


def key_of(prompt: Prompt, sampling: Sampling) -> str:
    """Name what is asked, and how."""
    return sha256(_encode((prompt.messages, sampling))).hexdigest()[:16]


class Gathered:
    """A model that answers from what batches brought."""

    accepts: frozenset[str]
    slots: int | None = None

    def __init__(self, model: Model) -> None:
        self.model, self.name, self.accepts = model, model.name, model.accepts
        self.waiting = 0
        """Batches that still run."""
        self.faults: list[str] = []
        self._results: dict[str, deque[Reply | Exception]] = defaultdict(deque)
        self._collected: list[tuple[Path, _Change]] = []

    @property
    def notes(self) -> list[str]:
        """Say what a run's card must say of the requests."""
        return list(notes_of(self.model))

    def take(self, run: Path, one: Sent, results: Mapping[str, Reply | Exception]) -> None:
        """Take over what a batch brought."""
        used = Counter[str]()
        for number, (_, _, key) in enumerate(one.samples):
            found = results.get(f"{one.label}-{number}") or Expired(
                "the batch ended without a result for this"
            )
            self._results[key].append(found)
            if isinstance(found, Reply):
                used.update({k: n for k in ("input", "output", "cached") if (n := getattr(found.usage, k))})
        self._collected.append((run, _Change(one.label, closed="collected", tokens=dict(used))))

    def fail(self, key: str, error: ModelError) -> None:
        """Take over why something could not even be worded."""
        self._results[key].append(error)

    def queue(self, jobs: Sequence[Job]) -> list[tuple[int, int, int]]:
        """Return what can be worked off, replies before failures: a run of failures ends a run."""
        left = {key: deque(found) for key, found in self._results.items()}
        found: list[tuple[bool, tuple[int, int, int]]] = []
        for number, job in enumerate(jobs):
            for (position, repeat), asked in _open(job):
                if asked is None or left.get(asked.key):
                    failed = asked is None or not isinstance(left[asked.key].popleft(), Reply)
                    found.append((failed, (number, position, repeat)))
        return [place for _, place in sorted(found)]

    async def reply(self, prompt: Prompt, sampling: Sampling) -> Reply:
        """Return the reply that came; raises what came in its place, once and for all."""
        await asyncio.sleep(0)  # a model that never waits would keep Ctrl-C waiting
        found = self._results[key_of(prompt, sampling)].popleft()
        if isinstance(found, Reply):
            return found
        raise found if isinstance(found, Rejected | Expired) else ModelError(str(found))

    async def close(self) -> None:
        """Close the model's connections."""
        await self.model.close()

    def settle(self) -> None:
        """Note that what was collected is on disk."""
        for run, change in self._collected:
            _note(run, change)


def _open(job: Job) -> Iterator[tuple[tuple[int, int], _Asked | None]]:
    """Walk what a job has open; None where its prompt cannot be made, which the runner finds out again."""
    for _, position, repeat in order([job]):
        sample = job.spool[position]
        sampling = reseeded(job.sampling, repeat)
        try:
            with foreign_code(Crash):
                prompt = told(job.prompter(sample, repeat))
        except Crash:  # which the runner records
            yield (position, repeat), None
        else:
            yield (position, repeat), _Asked(sample.id, repeat, prompt, sampling, key_of(prompt, sampling))


class _Gatherer:
    """Hands in, waits, collects."""

    def __init__(
        self, model: Model, batches: Batches, say: Callable[[str], None], stop: asyncio.Event
    ) -> None:
        self.gathered = Gathered(model)
        self._batches = batches
        self._say, self._stop = say, stop
        self._active: list[tuple[Job, Sent]] = []
        self._done: dict[str, int] = {}

    async def job(self, job: Job) -> None:
        """Take up what waits of a run and hand in the rest."""
        run = job.writer.path
        asked = {(a.sample, a.repeat): a for _, a in _open(job) if a is not None}
        for one in sent(run):
            self._batches.left_out.update(one.left_out)
        for one in waiting(run):
            if any(a.key != key for s, r, key in one.samples if (a := asked.get((s, r)))):
                raise StoreError(
                    f"{run.name}: batch {one.id or one.label} asked with other words than this version would: "
                    f"collect it with the version that sent it, or give it up by deleting {run / BATCHES}"
                )
            if await self._found(run, one):
                self._active.append((job, one))
                for sample, repeat, _ in one.samples:
                    asked.pop((sample, repeat), None)
        await self._hand_in(job, list(asked.values()))

    async def _found(self, run: Path, one: Sent) -> bool:
        """Whether a noted batch exists; finds the id that a kill kept from being noted."""
        if one.id:
            return True
        found = await self._batches.find(one.label, since=one.at, many=len(one.samples), never=one.never)
        if found is None:
            _note(run, _Change(one.label, closed="never handed in"))
            return False
        one.id = found
        _note(run, _Change(one.label, id=found))
        return True

    async def _hand_in(self, job: Job, asked: Sequence[_Asked]) -> None:
        label = secrets.token_hex(8)
        lines: list[bytes] = []
        inside: list[_Asked] = []
        size = 0
        for one in asked:
            if self._stop.is_set():
                break
            try:
                line = await self._batches.line(f"{label}-{len(lines)}", one.prompt, one.sampling)
            except ModelError as error:
                self.gathered.fail(one.key, error)
                continue
            if lines and (len(lines) >= self._batches.most or size + len(line) > self._batches.most_bytes):
                await self._start(job, label, lines, inside)
                label, lines, inside, size = secrets.token_hex(8), [], [], 0
                line = await self._batches.line(f"{label}-0", one.prompt, one.sampling)
            lines.append(line)
            inside.append(one)
            size += len(line)
        if lines and not self._stop.is_set():
            await self._start(job, label, lines, inside)

    async def _start(self, job: Job, label: str, lines: Sequence[bytes], asked: Sequence[_Asked]) -> None:
        """Note, hand in, note the id; a fault in between is answered by looking before trying again."""
        run, at = job.writer.path, time.time()
        one = Sent(label, at, [(a.sample, a.repeat, a.key) for a in asked])
        _note(run, _Change(label, at=at, samples=one.samples, left_out=dict(self._batches.left_out)))
        for attempt in range(1, TRIES + 1):
            try:
                if attempt > 1:
                    one.id = await self._batches.find(label, since=at, many=len(lines), never=()) or ""
                one.id = one.id or await self._batches.start(label, lines)
                break
            except Transient as error:
                if attempt == TRIES or self._stop.is_set():
                    raise
                await asyncio.sleep(wait_s(attempt, error))
        _note(run, _Change(label, id=one.id))
        self._active.append((job, one))
        self._say(
            f"{job.suite.id}: batch {one.id} of {len(lines)} handed in; it may be stopped and collected later"
        )

    async def wait(self) -> None:
        """Collect what ends, until all has or the user stops."""
        pause_s = POLL_S
        while self._active:
            for place in list(self._active):
                try:
                    async with asyncio.timeout(DEADLINE_S):
                        if await self._collected(*place):
                            self._active.remove(place)
                except (Transient, TimeoutError) as error:
                    self._say(f"batch {place[1].id}: {error or 'no answer'}; asked again later")
            if not self._active or self._stop.is_set():
                break
            try:
                async with asyncio.timeout(pause_s):
                    await self._stop.wait()
            except TimeoutError:
                pause_s = min(1.5 * pause_s, POLL_MOST_S)
        self.gathered.waiting = len(self._active)

    async def _collected(self, job: Job, one: Sent) -> bool:
        state = await self._batches.state(one.id)
        run = job.writer.path
        if state.fault:
            _note(run, _Change(one.label, closed=f"refused: {state.fault}"))
            self.gathered.faults.append(f"batch {one.id} was refused: {state.fault}")
            return True
        if not state.ended:
            if state.done > self._done.get(one.id, 0):
                self._say(f"{job.suite.id}: batch {one.id}: {state.done} of {len(one.samples)}")
                self._done[one.id] = state.done
            return False
        results = await self._batches.results(one.id, job.sampling)
        if results and not any(name.startswith(f"{one.label}-") for name in results):
            await self._anothers(job, one)
            return True
        if await self._learned(job, one, results):
            return True
        self.gathered.take(run, one, results)
        self._say(f"{job.suite.id}: batch {one.id} collected, {len(results)} of {len(one.samples)}")
        return True

    async def _learned(self, job: Job, one: Sent, results: Mapping[str, Reply | Exception]) -> bool:
        """Whether a batch was refused as a whole for a field that the refusal names: it is handed in again without it."""
        refusals = [found for found in results.values() if isinstance(found, Rejected)]
        if not refusals or len(refusals) < len(results):
            return False
        error = refusals[0]
        wanted = {(sample, repeat) for sample, repeat, _ in one.samples}
        asked = [a for _, a in _open(job) if a and (a.sample, a.repeat) in wanted]
        if not asked or not await self._batches.learn(error, asked[0].prompt, asked[0].sampling):
            return False
        _note(job.writer.path, _Change(one.label, closed=f"refused: {error}"))
        self._say(f"{job.suite.id}: batch {one.id} was refused ({error}): handed in again without the field")
        await self._hand_in(job, asked)
        return True

    async def _anothers(self, job: Job, one: Sent) -> None:
        """What was taken for our batch is not: look on, else hand its samples in again."""
        _note(job.writer.path, _Change(one.label, never=one.id))
        one.never, one.id = [*one.never, one.id], ""
        if await self._found(job.writer.path, one):
            self._active.append((job, one))
            return
        lost = {(sample, repeat) for sample, repeat, _ in one.samples}
        await self._hand_in(job, [a for _, a in _open(job) if a and (a.sample, a.repeat) in lost])


async def gather(
    model: Model,
    batches: Batches,
    jobs: Sequence[Job],
    *,
    say: Callable[[str], None],
    stop: asyncio.Event,
) -> Gathered:
    """Hand in what is open, and wait until all of it is back or `stop`; raises Fatal where all was refused."""
    gatherer = _Gatherer(model, batches, say, stop)
    for job in jobs:
        await gatherer.job(job)
    await gatherer.wait()
    gathered = gatherer.gathered
    if gathered.faults and not gathered.queue(jobs) and not gathered.waiting:
        raise Fatal(gathered.faults[0])
    return gathered
