"""Batch endpoints: the open samples of a run are submitted at half the price and answered within a day.

Every submission is logged beside the run (`batches.jsonl`), before it is sent and again with the vendor's id. A
command that is stopped or killed in between is resumed by repeating it, and no sample is submitted twice. The runner
then processes the results like replies of a model that answers at once.
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
from evals.data.series import inline_text_media
from evals.errors import Crash, Expired, Fatal, ModelError, Rejected, StoreError, Transient
from evals.records.store import BATCHES
from evals.run.job import Job
from evals.run.order import order
from evals.run.sampling import reseeded
from evals.seams import Batches, notes_of
from evals.types import Model, Prompt, Reply, Sampling

POLL_S, POLL_MOST_S = 10.0, 120.0
DEADLINE_S = 1800.0
"""Deadline for polling a batch and fetching its results."""
MOST_BYTES = 1 << 30
"""Size limit of a run's batch log."""
TRIES = 6
"""Attempts to submit a batch; before each retry the vendor is asked whether the batch exists."""
_encode = msgspec.json.Encoder().encode


class Sent(Struct):
    """A submitted batch as logged in `batches.jsonl`."""

    label: str
    at: float
    """Seconds since the epoch, just before submission."""
    samples: list[tuple[str, int, str]]
    """(sample, repeat, request key) of each request."""
    id: str = ""
    never: list[str] = []
    """Ids of batches that were mistaken for this one."""
    left_out: dict[str, str] = {}
    """Fields that were omitted or renamed because the vendor rejected them."""
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
    """Read the batch log of a run; a half-written last line is ignored, as nothing was sent after it."""
    batches: dict[str, Sent] = {}
    for line in _log(run).splitlines():
        try:
            change = msgspec.json.decode(line, type=_Change)
        except msgspec.MsgspecError:
            continue
        batch = batches.setdefault(change.label, Sent(change.label, change.at, change.samples))
        batch.id, batch.closed = change.id or batch.id, change.closed or batch.closed
        batch.tokens, batch.left_out = change.tokens or batch.tokens, change.left_out or batch.left_out
        if change.never:
            batch.never, batch.id = [*batch.never, change.never], ""
    return list(batches.values())


def _log(run: Path) -> bytes:
    """Read the batch log of a run, empty if there is none; raises StoreError if it is not a file of bounded size."""
    try:
        return disk.read_small(run / BATCHES, MOST_BYTES)
    except FileNotFoundError:
        return b""
    except OSError as error:
        raise StoreError(f"{run / BATCHES}: cannot be read: {error.strerror}") from None


def waiting(run: Path) -> list[Sent]:
    """Return the batches of a run that have not been collected yet."""
    return [batch for batch in sent(run) if not batch.closed]


def tokens(run: Path) -> dict[str, int]:
    """Return the tokens of a run that were billed at batch price, by kind."""
    total = Counter[str]()
    for batch in sent(run):
        total.update(batch.tokens)
    return dict(total)


def _note(run: Path, change: _Change) -> None:
    path = run / BATCHES
    torn = (log := _log(run)) != b"" and not log.endswith(b"\n")
    try:
        with os.fdopen(disk.create(path, append=True), "ab") as stream:
            stream.write((b"\n" if torn else b"") + _encode(change) + b"\n")
            stream.flush()
            os.fsync(stream.fileno())
    except OSError as error:
        raise StoreError(f"cannot note a batch in {path}: {error.strerror}") from None


class _Request(NamedTuple):
    """The request for one open sample and repeat."""

    sample: str
    repeat: int
    prompt: Prompt
    sampling: Sampling
    key: str


def key_of(prompt: Prompt, sampling: Sampling) -> str:
    """Return a hash that identifies a prompt with its sampling parameters."""
    return sha256(_encode((prompt.messages, sampling))).hexdigest()[:16]


class CollectedBatches:
    """A model that replies from collected batch results."""

    accepts: frozenset[str]
    slots: int | None = None

    def __init__(self, model: Model) -> None:
        self.model, self.name, self.accepts = model, model.name, model.accepts
        self.waiting = 0
        """Number of batches still in progress."""
        self.faults: list[str] = []
        self._results: dict[str, deque[Reply | Exception]] = defaultdict(deque)
        self._collected: list[tuple[Path, _Change]] = []

    @property
    def notes(self) -> list[str]:
        """Return notes on the requests for the run's card."""
        return list(notes_of(self.model))

    def take(self, run: Path, batch: Sent, results: Mapping[str, Reply | Exception]) -> None:
        """Store the results of a batch."""
        used = Counter[str]()
        for number, (_, _, key) in enumerate(batch.samples):
            result = results.get(f"{batch.label}-{number}") or Expired(
                "the batch ended without a result for this"
            )
            self._results[key].append(result)
            if isinstance(result, Reply):
                used.update({k: n for k in ("input", "output", "cached") if (n := getattr(result.usage, k))})
        self._collected.append((run, _Change(batch.label, closed="collected", tokens=dict(used))))

    def fail(self, key: str, error: ModelError) -> None:
        """Store the error of a request that could not be built."""
        self._results[key].append(error)

    def queue(self, jobs: Sequence[Job]) -> list[tuple[int, int, int]]:
        """Return (job, position, repeat) of samples with a result, replies first: consecutive failures would end the run."""
        unused = {key: deque(results) for key, results in self._results.items()}
        ranked: list[tuple[bool, tuple[int, int, int]]] = []
        for number, job in enumerate(jobs):
            for (position, repeat), request in _open(job):
                if request is None or unused.get(request.key):
                    failed = request is None or not isinstance(unused[request.key].popleft(), Reply)
                    ranked.append((failed, (number, position, repeat)))
        return [place for _, place in sorted(ranked)]

    async def reply(self, prompt: Prompt, sampling: Sampling) -> Reply:
        """Return the stored reply; raises the stored error, which is not retried."""
        await asyncio.sleep(0)  # yield to the event loop, so that Ctrl-C is handled
        result = self._results[key_of(prompt, sampling)].popleft()
        if isinstance(result, Reply):
            return result
        raise result if isinstance(result, Rejected | Expired) else ModelError(str(result))

    async def close(self) -> None:
        """Close the model's connections."""
        await self.model.close()

    def log_collected(self) -> None:
        """Log the collected batches as stored on disk."""
        for run, change in self._collected:
            _note(run, change)


def _open(job: Job) -> Iterator[tuple[tuple[int, int], _Request | None]]:
    """Yield the open samples of a job with their requests; None if the prompt raises, which the runner records."""
    for _, position, repeat in order([job]):
        sample = job.samples[position]
        sampling = reseeded(job.sampling, repeat)
        try:
            with foreign_code(Crash):
                prompt = inline_text_media(job.prompter(sample, repeat))
        except Crash:
            yield (position, repeat), None
        else:
            yield (position, repeat), _Request(sample.id, repeat, prompt, sampling, key_of(prompt, sampling))


class _BatchCollector:
    """Submits batches, waits for them and collects their results."""

    def __init__(
        self, model: Model, batches: Batches, say: Callable[[str], None], stop: asyncio.Event
    ) -> None:
        self.gathered = CollectedBatches(model)
        self._batches = batches
        self._say, self._stop = say, stop
        self._active: list[tuple[Job, Sent]] = []
        self._done: dict[str, int] = {}

    async def job(self, job: Job) -> None:
        """Resume the pending batches of a run and submit its other open samples."""
        run = job.writer.path
        requests = {(a.sample, a.repeat): a for _, a in _open(job) if a is not None}
        for batch in sent(run):
            self._batches.left_out.update(batch.left_out)
        for batch in waiting(run):
            if any(a.key != key for s, r, key in batch.samples if (a := requests.get((s, r)))):
                raise StoreError(
                    f"{run.name}: batch {batch.id or batch.label} was sent with other prompts than those of this version: "
                    f"collect it with the version that sent it, or abandon it by deleting {run / BATCHES}"
                )
            if await self._exists(run, batch):
                self._active.append((job, batch))
                for sample, repeat, _ in batch.samples:
                    requests.pop((sample, repeat), None)
        await self._submit(job, list(requests.values()))

    async def _exists(self, run: Path, batch: Sent) -> bool:
        """Return whether a logged batch exists at the vendor; looks up an id that was not logged before a kill."""
        if batch.id:
            return True
        batch_id = await self._batches.find(
            batch.label, since=batch.at, many=len(batch.samples), never=batch.never
        )
        if batch_id is None:
            _note(run, _Change(batch.label, closed="never submitted"))
            return False
        batch.id = batch_id
        _note(run, _Change(batch.label, id=batch_id))
        return True

    async def _submit(self, job: Job, requests: Sequence[_Request]) -> None:
        label = secrets.token_hex(8)
        lines: list[bytes] = []
        requests_in_batch: list[_Request] = []
        size = 0
        for request in requests:
            if self._stop.is_set():
                break
            try:
                line = await self._batches.line(f"{label}-{len(lines)}", request.prompt, request.sampling)
            except ModelError as error:
                self.gathered.fail(request.key, error)
                continue
            if lines and (len(lines) >= self._batches.most or size + len(line) > self._batches.most_bytes):
                await self._start(job, label, lines, requests_in_batch)
                label, lines, requests_in_batch, size = secrets.token_hex(8), [], [], 0
                line = await self._batches.line(f"{label}-0", request.prompt, request.sampling)
            lines.append(line)
            requests_in_batch.append(request)
            size += len(line)
        if lines and not self._stop.is_set():
            await self._start(job, label, lines, requests_in_batch)

    async def _start(
        self, job: Job, label: str, lines: Sequence[bytes], requests: Sequence[_Request]
    ) -> None:
        """Log the batch, submit it, and log its id; after a transient error, look it up before submitting again."""
        run, at = job.writer.path, time.time()
        batch = Sent(label, at, [(a.sample, a.repeat, a.key) for a in requests])
        _note(run, _Change(label, at=at, samples=batch.samples, left_out=dict(self._batches.left_out)))
        for attempt in range(1, TRIES + 1):
            try:
                if attempt > 1:
                    batch.id = await self._batches.find(label, since=at, many=len(lines), never=()) or ""
                batch.id = batch.id or await self._batches.start(label, lines)
                break
            except Transient as error:
                if attempt == TRIES or self._stop.is_set():
                    raise
                await asyncio.sleep(wait_s(attempt, error))
        _note(run, _Change(label, id=batch.id))
        self._active.append((job, batch))
        self._say(
            f"{job.suite.id}: batch {batch.id} of {len(lines)} submitted; you may interrupt, and collect it later"
        )

    async def wait(self) -> None:
        """Collect batches as they end, until all have or the user stops."""
        pause_s = POLL_S
        while self._active:
            for place in list(self._active):
                try:
                    async with asyncio.timeout(DEADLINE_S):
                        if await self._collect(*place):
                            self._active.remove(place)
                except (Transient, TimeoutError) as error:
                    self._say(f"batch {place[1].id}: {error or 'no answer'}; will be polled again")
            if not self._active or self._stop.is_set():
                break
            try:
                async with asyncio.timeout(pause_s):
                    await self._stop.wait()
            except TimeoutError:
                pause_s = min(1.5 * pause_s, POLL_MOST_S)
        self.gathered.waiting = len(self._active)

    async def _collect(self, job: Job, batch: Sent) -> bool:
        state = await self._batches.state(batch.id)
        run = job.writer.path
        if state.fault:
            _note(run, _Change(batch.label, closed=f"rejected: {state.fault}"))
            self.gathered.faults.append(f"batch {batch.id} was rejected: {state.fault}")
            return True
        if not state.ended:
            if state.done > self._done.get(batch.id, 0):
                self._say(f"{job.suite.id}: batch {batch.id}: {state.done} of {len(batch.samples)}")
                self._done[batch.id] = state.done
            return False
        results = await self._batches.results(batch.id, job.sampling)
        if results and not any(name.startswith(f"{batch.label}-") for name in results):
            await self._forget_foreign_batch(job, batch)
            return True
        if await self._resubmitted_without_field(job, batch, results):
            return True
        self.gathered.take(run, batch, results)
        self._say(f"{job.suite.id}: batch {batch.id} collected, {len(results)} of {len(batch.samples)}")
        return True

    async def _resubmitted_without_field(
        self, job: Job, batch: Sent, results: Mapping[str, Reply | Exception]
    ) -> bool:
        """Resubmit a batch in which every request was rejected for a field that the error names; return whether it was."""
        refusals = [result for result in results.values() if isinstance(result, Rejected)]
        if not refusals or len(refusals) < len(results):
            return False
        error = refusals[0]
        keys = {(sample, repeat) for sample, repeat, _ in batch.samples}
        requests = [a for _, a in _open(job) if a and (a.sample, a.repeat) in keys]
        if not requests or not await self._batches.learn(error, requests[0].prompt, requests[0].sampling):
            return False
        _note(job.writer.path, _Change(batch.label, closed=f"rejected: {error}"))
        self._say(
            f"{job.suite.id}: batch {batch.id} was rejected ({error}): submitted again without the field"
        )
        await self._submit(job, requests)
        return True

    async def _forget_foreign_batch(self, job: Job, batch: Sent) -> None:
        """Drop an id that belongs to another batch; look up the right one, or submit the samples again."""
        _note(job.writer.path, _Change(batch.label, never=batch.id))
        batch.never, batch.id = [*batch.never, batch.id], ""
        if await self._exists(job.writer.path, batch):
            self._active.append((job, batch))
            return
        lost = {(sample, repeat) for sample, repeat, _ in batch.samples}
        await self._submit(job, [a for _, a in _open(job) if a and (a.sample, a.repeat) in lost])


async def gather(
    model: Model,
    batches: Batches,
    jobs: Sequence[Job],
    *,
    say: Callable[[str], None],
    stop: asyncio.Event,
) -> CollectedBatches:
    """Submit all open samples and wait for the results or `stop`; raises Fatal if every batch was rejected."""
    gatherer = _BatchCollector(model, batches, say, stop)
    for job in jobs:
        await gatherer.job(job)
    await gatherer.wait()
    gathered = gatherer.gathered
    if gathered.faults and not gathered.queue(jobs) and not gathered.waiting:
        raise Fatal(gathered.faults[0])
    return gathered
