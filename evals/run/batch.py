"""Batch endpoints: requests without a reply are submitted in batches, at half the price, and answered within a day.

Every batch is logged in the run's folder (`batches.jsonl`), once before it is submitted and again with the vendor's id. To
resume a command that was stopped or killed in between, repeat it: no request is submitted twice. The runner processes the
results like replies to direct calls.
"""

from __future__ import annotations

import asyncio
import secrets
import time
from collections import Counter, defaultdict, deque
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from hashlib import sha256
from pathlib import Path
from typing import NamedTuple, TypeVar

import msgspec

from evals.boundary import foreign_code
from evals.calls.backoff import wait_s
from evals.data.series import inline_text_media
from evals.errors import (
    Crash,
    Expired,
    Fatal,
    Gone,
    ModelError,
    OutOfQuota,
    Rejected,
    StoreError,
    Timeout,
    Transient,
)
from evals.records.store import BATCHES
from evals.run.batch_log import LoggedBatch, LoggedChange, append, pending_batches, read_batches
from evals.run.job import Job
from evals.run.order import PlannedCall, calling_order
from evals.run.sampling import with_repeat_seed
from evals.seams import BatchEndpoint, notes_of
from evals.types import Model, Prompt, Reply, Sampling

POLL_S, MAX_POLL_S = 10.0, 120.0
"""Initial and maximum pause between two polls of the pending batches."""
DEADLINE_S = 1800.0
"""Deadline for submitting or finding a batch, and for polling it and fetching its results if it has ended."""
MAX_ATTEMPTS = 6
"""Maximum number of attempts to submit a batch; before each retry, the vendor is asked whether it has the batch already."""
_encode = msgspec.json.Encoder().encode
T = TypeVar("T")


class _Request(NamedTuple):
    """A request that has no reply yet."""

    sample: str
    repeat: int
    prompt: Prompt
    sampling: Sampling
    key: str
    """See `request_key`."""


def request_key(prompt: Prompt, sampling: Sampling) -> str:
    """Return a hash that identifies a request: its prompt and its sampling parameters."""
    return sha256(_encode((prompt.messages, sampling))).hexdigest()[:16]


class BatchReplies:
    """Stands in for a model, and replies with the results of the model's batches."""

    accepts: frozenset[str]
    slots: int | None = None

    def __init__(self, model: Model) -> None:
        self.model, self.name, self.accepts = model, model.name, model.accepts
        self.pending = 0
        """Number of batches in progress."""
        self.faults: list[str] = []
        """A message for each batch that was rejected as a whole."""
        self._results: dict[str, deque[Reply | Exception]] = defaultdict(deque)
        self._answered: set[tuple[Path, str, int]] = set()
        """(run, sample, repeat) of the requests in `_results`: other requests with the same key may still be pending."""
        self._collected: list[tuple[Path, LoggedChange]] = []
        self._undelivered = 0
        """Number of queued replies that `reply` has not returned yet."""

    @property
    def notes(self) -> list[str]:
        """Return the model's notes for the run's card, e.g. on request fields that were omitted."""
        return list(notes_of(self.model))

    def add_results(self, run: Path, batch: LoggedBatch, results: Mapping[str, Reply | Exception]) -> None:
        """Store the results of a batch, and an `Expired` error for each of its requests that has no result."""
        tokens = Counter[str]()
        for index, (sample, repeat, key) in enumerate(batch.samples):
            missing = Expired("the batch ended without a result for this request")
            result = results.get(f"{batch.label}-{index}", missing)
            self._answered.add((run, sample, repeat))
            self._results[key].append(result)
            if isinstance(result, Reply):
                tokens.update(
                    {kind: n for kind in ("input", "output", "cached") if (n := getattr(result.usage, kind))}
                )
        self._collected.append((run, LoggedChange(batch.label, closed="collected", tokens=dict(tokens))))

    def add_error(self, run: Path, request: _Request, error: ModelError) -> None:
        """Store the error of a request that could not be built."""
        self._answered.add((run, request.sample, request.repeat))
        self._results[request.key].append(error)

    def queue(self, jobs: Sequence[Job]) -> list[PlannedCall]:
        """Return the calls whose outcome is known; replies come before errors, since a run ends if its first calls all fail."""
        unused = {key: deque(results) for key, results in self._results.items()}
        ranked: list[tuple[bool, PlannedCall]] = []
        for job_index, job in enumerate(jobs):
            for position, repeat, request in _unanswered_requests(job):
                if request is None or (job.writer.path, request.sample, request.repeat) in self._answered:
                    has_failed = request is None or not isinstance(unused[request.key].popleft(), Reply)
                    ranked.append((has_failed, (job_index, position, repeat)))
        self._undelivered = sum(not has_failed for has_failed, _ in ranked)
        return [call for _, call in sorted(ranked)]

    async def reply(self, prompt: Prompt, sampling: Sampling) -> Reply:
        """Return the stored reply to a prompt; raises the stored error, in a class that the runner does not retry."""
        await asyncio.sleep(0)  # yield to the event loop, so that Ctrl-C is handled
        result = self._results[request_key(prompt, sampling)].popleft()
        if isinstance(result, Reply):
            self._undelivered -= 1
            return result
        raise result if isinstance(result, Rejected | Expired) else ModelError(str(result))

    async def close(self) -> None:
        """Close the model's connections."""
        await self.model.close()

    def log_collected(self) -> None:
        """Log that the batches have been collected; to be called once their replies are on disk.

        If the run ended early, so that not all replies were recorded, the next command collects the batches again.
        """
        for run, change in self._collected if not self._undelivered else ():
            append(run, change)


def _unanswered_requests(job: Job) -> Iterator[tuple[int, int, _Request | None]]:
    """Yield (position, repeat, request) for each missing reply; the request is None if its prompt cannot be built."""
    for _, position, repeat in calling_order([job]):
        sample = job.samples[position]
        sampling = with_repeat_seed(job.sampling, repeat)
        try:
            with foreign_code(Crash):
                prompt = inline_text_media(job.prompter(sample, repeat))
        except Crash:
            yield position, repeat, None
        else:
            key = request_key(prompt, sampling)
            yield position, repeat, _Request(sample.id, repeat, prompt, sampling, key)


def _requests_of_batch(job: Job, batch: LoggedBatch) -> list[_Request]:
    """Return those requests of a batch that have no reply yet."""
    keys = {(sample, repeat) for sample, repeat, _ in batch.samples}
    requests = (request for *_, request in _unanswered_requests(job) if request)
    return [request for request in requests if (request.sample, request.repeat) in keys]


async def _within_deadline(call: Awaitable[T]) -> T:
    """Await a call to the vendor; raises Timeout after `DEADLINE_S`."""
    try:
        async with asyncio.timeout(DEADLINE_S):
            return await call
    except TimeoutError:
        raise Timeout(f"no response within {DEADLINE_S:.0f} s") from None


class _BatchCollector:
    """Submits batches, waits for them and collects their results."""

    def __init__(
        self, model: Model, batches: BatchEndpoint, say: Callable[[str], None], stop: asyncio.Event
    ) -> None:
        self.replies = BatchReplies(model)
        self._batches = batches
        self._say, self._stop = say, stop
        self._active: list[tuple[Job, LoggedBatch]] = []
        self._last_reported: dict[str, int] = {}
        """Batch id -> number of completed requests when last reported to the user."""

    async def add_job(self, job: Job) -> None:
        """Resume the pending batches of a run, and submit its other requests that have no reply."""
        run = job.writer.path
        requests = {(r.sample, r.repeat): r for *_, r in _unanswered_requests(job) if r}
        for batch in read_batches(run):
            self._batches.left_out.update(batch.left_out)
        for batch in pending_batches(run):
            unanswered = ((requests.get((sample, repeat)), key) for sample, repeat, key in batch.samples)
            if any(request is not None and request.key != key for request, key in unanswered):
                raise StoreError(
                    f"{run.name}: batch {batch.id or batch.label} was submitted with prompts that differ from those of this "
                    f"version: collect it with the version that submitted it, or abandon it by deleting {run / BATCHES}"
                )
            if await self._was_submitted(run, batch):
                self._active.append((job, batch))
                for sample, repeat, _ in batch.samples:
                    requests.pop((sample, repeat), None)
        await self._submit_requests(job, list(requests.values()))

    async def _was_submitted(self, run: Path, batch: LoggedBatch) -> bool:
        """Return whether a logged batch was submitted; if its id was not logged, ask the vendor and log the answer."""
        if batch.id:
            return True
        batch_id = await self._find(batch)
        if batch_id is None:
            append(run, LoggedChange(batch.label, closed="never submitted"))
            return False
        batch.id = batch_id
        append(run, LoggedChange(batch.label, id=batch_id))
        return True

    async def _find(self, batch: LoggedBatch) -> str | None:
        """Return the id under which the vendor has a batch; None if it does not have it."""
        excluded = [*batch.never, *(active.id for _, active in self._active)]
        return await _within_deadline(
            self._batches.find(batch.label, since=batch.at, requests=len(batch.samples), excluded=excluded)
        )

    async def _submit_requests(self, job: Job, requests: Sequence[_Request]) -> None:
        """Submit requests in as few batches as the vendor's limits allow; one that cannot be encoded gets an error as its result."""
        label = secrets.token_hex(8)
        lines: list[bytes] = []
        requests_in_batch: list[_Request] = []
        size = 0
        for request in requests:
            if self._stop.is_set():
                break
            try:
                line = await self._batches.encode_request(
                    f"{label}-{len(lines)}", request.prompt, request.sampling
                )
            except ModelError as error:
                self.replies.add_error(job.writer.path, request, error)
                continue
            if lines and (
                len(lines) >= self._batches.max_requests or size + len(line) > self._batches.max_bytes
            ):
                await self._submit_batch(job, label, lines, requests_in_batch)
                label, lines, requests_in_batch, size = secrets.token_hex(8), [], [], 0
                # again, since the line contains the label of its batch
                line = await self._batches.encode_request(f"{label}-0", request.prompt, request.sampling)
            lines.append(line)
            requests_in_batch.append(request)
            size += len(line)
        if lines and not self._stop.is_set():
            await self._submit_batch(job, label, lines, requests_in_batch)

    async def _submit_batch(
        self, job: Job, label: str, lines: Sequence[bytes], requests: Sequence[_Request]
    ) -> None:
        """Log a batch, submit it, and log its id; after a transient error, look the batch up before submitting it again."""
        run, at = job.writer.path, time.time()
        batch = LoggedBatch(
            label, at, [(request.sample, request.repeat, request.key) for request in requests]
        )
        append(run, LoggedChange(label, at=at, samples=batch.samples, left_out=dict(self._batches.left_out)))
        for attempt in range(1, MAX_ATTEMPTS + 1):
            try:
                batch.id = (await self._find(batch) or "") if attempt > 1 else ""
                batch.id = batch.id or await _within_deadline(self._batches.start(label, lines))
                break
            except Transient as error:
                if attempt == MAX_ATTEMPTS or self._stop.is_set():
                    raise
                await asyncio.sleep(wait_s(attempt, error))
        append(run, LoggedChange(label, id=batch.id))
        self._active.append((job, batch))
        self._say(
            f"{job.suite.id}: submitted batch {batch.id} (requests: {len(lines)}); you may interrupt this command and repeat it later"
        )

    async def wait(self) -> None:
        """Collect batches as they end, until all have ended or the user interrupts the wait."""
        pause_s = POLL_S
        while self._active:
            for job, batch in list(self._active):
                try:
                    if await _within_deadline(self._collect_if_ended(job, batch)):
                        self._active.remove((job, batch))
                except Transient as error:
                    self._say(f"batch {batch.id}: {error}; it will be polled again")
                except Fatal as error:
                    if isinstance(error, Gone | OutOfQuota):
                        raise
                    raise Fatal(
                        f"batch {batch.id}: {error}; use the key that submitted it or, if its results are no longer kept, "
                        f"abandon it by deleting {job.writer.path / BATCHES}"
                    ) from error
            if not self._active or self._stop.is_set():
                break
            try:
                async with asyncio.timeout(pause_s):
                    await self._stop.wait()
            except TimeoutError:
                pause_s = min(1.5 * pause_s, MAX_POLL_S)
        self.replies.pending = len(self._active)

    async def _collect_if_ended(self, job: Job, batch: LoggedBatch) -> bool:
        """Poll a batch, and store its results if it has ended; return whether it has, or has been replaced by another batch."""
        state = await self._batches.state(batch.id)
        run = job.writer.path
        if state.fault:
            append(run, LoggedChange(batch.label, closed=f"rejected: {state.fault}"))
            self.replies.faults.append(f"batch {batch.id} was rejected: {state.fault}")
            return True
        if not state.ended:
            if state.done > self._last_reported.get(batch.id, 0):
                self._say(
                    f"{job.suite.id}: batch {batch.id}: {state.done} of {len(batch.samples)} requests done"
                )
                self._last_reported[batch.id] = state.done
            return False
        results = await self._batches.results(batch.id, job.sampling)
        if results and not any(name.startswith(f"{batch.label}-") for name in results):
            await self._replace_wrong_id(job, batch)
            return True
        if await self._resubmit_without_field(job, batch, results):
            return True
        self.replies.add_results(run, batch, results)
        self._say(
            f"{job.suite.id}: collected batch {batch.id}: results for {len(results)} of {len(batch.samples)} requests"
        )
        return True

    async def _resubmit_without_field(
        self, job: Job, batch: LoggedBatch, results: Mapping[str, Reply | Exception]
    ) -> bool:
        """Submit the requests of a batch again, without a field, if all were rejected because of that field; return whether they were."""
        rejections = [result for result in results.values() if isinstance(result, Rejected)]
        if not rejections or len(rejections) < len(results):
            return False
        error, requests = rejections[0], _requests_of_batch(job, batch)
        if not requests or not await self._batches.omit_rejected_field(
            error, requests[0].prompt, requests[0].sampling
        ):
            return False
        append(job.writer.path, LoggedChange(batch.label, closed=f"rejected: {error}"))
        self._say(
            f"{job.suite.id}: batch {batch.id} was rejected ({error}) and is submitted again without the field"
        )
        await self._submit_requests(job, requests)
        return True

    async def _replace_wrong_id(self, job: Job, batch: LoggedBatch) -> None:
        """Drop an id that belongs to another batch; look up the right id, or submit the requests again."""
        append(job.writer.path, LoggedChange(batch.label, never=batch.id))
        batch.never, batch.id = [*batch.never, batch.id], ""
        if await self._was_submitted(job.writer.path, batch):
            self._active.append((job, batch))
            return
        await self._submit_requests(job, _requests_of_batch(job, batch))


async def collect_batches(
    model: Model,
    batches: BatchEndpoint,
    jobs: Sequence[Job],
    *,
    say: Callable[[str], None],
    stop: asyncio.Event,
) -> BatchReplies:
    """Submit all requests without a reply, and wait for the results or `stop`; raises Fatal if every batch was rejected."""
    collector = _BatchCollector(model, batches, say, stop)
    for job in jobs:
        await collector.add_job(job)
    await collector.wait()
    replies = collector.replies
    if replies.faults and not replies.queue(jobs) and not replies.pending:
        raise Fatal(replies.faults[0])
    return replies
