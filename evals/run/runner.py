"""Run suites on a model, and write the records.

A queue over all suites of a command, longest expected reply first, feeds as many workers as the concurrency limit allows. A
worker calls the model, scores the reply and writes the record; slow scorers run in separate tasks.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Coroutine, Sequence
from itertools import islice
from typing import Any

from msgspec import structs

from evals.boundary import foreign_code
from evals.calls.call import json_safe
from evals.calls.pace import MAX_LIMIT, pace_of
from evals.errors import Crash, EvalsError, StoreError, UsageError
from evals.records.store import Run
from evals.records.writer import Writer
from evals.run.budget import Budget
from evals.run.caller import Caller
from evals.run.describe import record_rules
from evals.run.event_loop import infrequent_gc, on_interrupt
from evals.run.job import Job
from evals.run.order import PlannedCall, Queue
from evals.run.progress import ModelProgress
from evals.run.sampling import with_repeat_seed
from evals.sandbox import Pool
from evals.scorers.scoring import failure_record
from evals.seams import CURRENT_CALL
from evals.types import Failure, Model, Prompt, Record, Reply, Sample

MAX_FAILURES = 8
"""Number of failed calls after which a run without any reply ends."""
SAMPLE_FAULTS = frozenset({"context", "rejected"})
"""Kinds of failures that may be due to the sample alone, e.g. because it is too long; calls for the longest samples come first."""
MAX_SLOW_FAILURES = 3
"""Limit in place of `MAX_FAILURES` once calls have failed for a minute, since further failures may take as long."""
MAX_UNSCORED = 256
"""Maximum number of replies that wait for a slow scorer; at this number, workers pause."""


class Runner:
    """Runs one command's suites on one model."""

    def __init__(
        self,
        model: Model,
        jobs: Sequence[Job],
        *,
        concurrency: int | None = None,
        budget: Budget | None = None,
        watcher: ModelProgress | None = None,
        timeout_s: float | None = None,
        queue: Sequence[PlannedCall] | None = None,
        should_skip: Callable[[int], bool] | None = None,
        say: Callable[[str], None] | None = None,
    ) -> None:
        """`timeout_s`: deadline of a call; None: see `Caller`. `queue`: a fixed calling order; None: longest expected reply first.

        `should_skip`: called with the index of a job, returns whether it needs no more replies. `say`: notifies the user
        while calls wait for the server.
        """
        self.model, self.jobs, self.budget = model, jobs, budget or Budget()
        self.pace = pace_of(model, concurrency)
        self.interrupted, self.end_reason = False, ""
        """`end_reason`: why the run ends before its queue is empty; else empty."""
        self._loop: asyncio.AbstractEventLoop | None = None
        self._watcher, self._should_skip = watcher, should_skip
        self._unflushed: set[Writer] = set()
        self._pool = Pool()
        self._scoring = [job.suite.scoring(self._pool) for job in jobs]
        self._queue = Queue(jobs, queue)
        self._workers: set[asyncio.Task[None]] = set()
        self._scoring_tasks: set[asyncio.Task[None]] = set()
        self._stop, self._idle = asyncio.Event(), asyncio.Event()
        """`_idle` is set when no task is left; it is faster than `asyncio.wait`, which checks every task whenever one ends."""
        self._caller = Caller(
            model, self.pace,
            timeout_s=timeout_s, stop=self._stop, end=self.end, on_back_off=self._start_workers, say=say,
        )  # fmt: skip
        self._failures, self._last_failure = 0, ""
        self._counted_failures = 0
        """Number of failed calls that suggest that all calls fail."""
        self._fault: EvalsError | None = None

    async def run(self) -> None:
        """Process the queue; raises Fatal or StoreError if the run cannot continue."""
        loop = self._loop = asyncio.get_running_loop()
        sync_task = loop.create_task(self._sync_writers())
        for scoring in self._scoring:
            scoring.share_judges()
        try:
            with on_interrupt(self._interrupt), infrequent_gc():
                if await self._can_score():
                    self._start_workers()
                    self._start_rescoring()
                if self._workers or self._scoring_tasks:
                    await self._idle.wait()
        except asyncio.CancelledError:
            self.interrupted = True
            # before the workers are cancelled, since otherwise new ones would be started
            self.end("interrupted")
        finally:
            sync_task.cancel()
            tasks = self._workers | self._scoring_tasks
            for task in tasks:
                task.cancel()
            await asyncio.gather(sync_task, *tasks, return_exceptions=True)
            await self._caller.close()
            self._flush()
            for scoring in self._scoring:
                await scoring.close()
            self._pool.close()
        if self._fault is not None:
            raise self._fault

    async def _can_score(self) -> bool:
        """Return whether everything that the scorers of all jobs need is installed, if there is anything left to score."""
        if not self._queue and not any(job.is_stale for job in self.jobs):
            return True
        try:
            await asyncio.gather(*(scoring.check() for scoring in self._scoring))
        except UsageError as error:
            self._fault = error
        return self._fault is None

    def interrupt(self) -> None:
        """Do what Ctrl-C does; may be called from another thread."""
        if self._loop is not None:
            self._loop.call_soon_threadsafe(self._interrupt)

    def _interrupt(self) -> None:
        """Start no new calls and complete those in flight; if called again, cancel them."""
        if self.interrupted:
            for task in self._workers | self._scoring_tasks:
                task.cancel()
        self.interrupted = True
        self.end("interrupted")

    def end(self, reason: str) -> None:
        """Start no new calls; those in flight are completed."""
        self.end_reason = self.end_reason or reason
        self._stop.set()

    def _end_at_limit(self) -> None:
        if reason := self.budget.spending.reached_limit:
            self.end(reason)

    async def _sync_writers(self) -> None:
        """Sync the writers that need it, checking every quarter of a second; a failure ends the run."""
        while True:
            await asyncio.sleep(0.25)
            for job in self.jobs:
                if job.writer.needs_sync:
                    try:
                        await asyncio.to_thread(job.writer.sync)
                    except StoreError as error:
                        self._fault = self._fault or error
                        self.end(str(error))

    def _start_workers(self) -> None:
        """Start workers until there are `_target_workers`, if any calls are left in the queue."""
        while self._queue and len(self._workers) < self._target_workers:
            worker = asyncio.get_running_loop().create_task(self._process_queue())
            self._workers.add(worker)
            worker.add_done_callback(self._on_task_done)

    @property
    def _target_workers(self) -> int:
        """Return the target number of workers: the current concurrency limit, plus replacements for waiting workers.

        Workers that wait for a retry are replaced, so that others can use their slots: up to the concurrency ceiling after
        rate limits and timeouts, up to `MAX_LIMIT` after other faults. Before the first reply, none is replaced.
        """
        caller = self._caller
        if not caller.replies:
            return self.pace.limit
        return (
            self.pace.limit + min(caller.backing_off, MAX_LIMIT) + min(caller.rate_limited, self.pace.ceiling)
        )

    def _on_task_done(self, task: asyncio.Task[None]) -> None:
        """Start workers in place of one that has ended; if it raised an error, end the run."""
        self._workers.discard(task)
        self._scoring_tasks.discard(task)
        error = None if task.cancelled() else task.exception()
        if error is not None:
            self._fault = self._fault or (error if isinstance(error, EvalsError) else EvalsError(repr(error)))
            self.end(str(error))
        elif self._queue and not self._stop.is_set():
            self._start_workers()  # too many workers may have ended at once when the target fell
        if not self._workers and not self._scoring_tasks:
            self._idle.set()
        if error is not None and not isinstance(error, EvalsError):
            raise error

    async def _process_queue(self) -> None:
        while (
            self._queue and not self._stop.is_set() and len(self._workers) <= (target := self._target_workers)
        ):
            if len(self._workers) < target:
                self._start_workers()
            has_only_failed = bool(self._failures) and not self._caller.replies
            call = self._queue.pop(shortest=has_only_failed)
            if self._should_skip is not None and self._should_skip(call[0]):
                continue
            await self._run_sample(call, after_failures=has_only_failed)

    async def _run_sample(self, call: PlannedCall, *, after_failures: bool) -> None:
        """Produce one record, and write it. `after_failures`: whether all earlier calls have failed.

        With slow scorers, a separate task scores the reply and writes the record; the worker waits only while
        `MAX_UNSCORED` replies are unscored.
        """
        job_index, position, repeat = call
        job = self.jobs[job_index]
        sample = job.samples[position]
        started = time.time()
        outcome: Reply | Failure | None
        try:
            with foreign_code(Crash):
                prompt = job.prompter(sample, repeat)
        except Crash as error:
            prompt, outcome = Prompt(), failure_record("prompt", error)
        else:
            CURRENT_CALL.set((job.suite.id, sample.id, repeat))
            outcome = await self._caller.reply(prompt, with_repeat_seed(job.sampling, repeat))
        if outcome is None:
            return  # the run ended before there was a reply
        self._count_outcome(outcome, after_failures=after_failures)
        scoring = self._scoring[job_index]
        scores = {}
        if isinstance(outcome, Reply):
            self._queue.add_reply(call, _output_tokens(outcome))
            if scoring.all_light:
                scores = scoring.score_light(sample, prompt, outcome)
        record = Record(
            sample=sample.id, repeat=repeat, prompt=prompt, outcome=outcome, scores=scores, started=started
        )
        if isinstance(outcome, Failure) or scoring.all_light:
            self._write(job_index, record)
            return
        while len(self._scoring_tasks) >= MAX_UNSCORED:
            await asyncio.wait(self._scoring_tasks, return_when=asyncio.FIRST_COMPLETED)
        self._start_scoring(self._score_and_write(job_index, sample, record, outcome))

    def _start_scoring(self, coroutine: Coroutine[Any, Any, None]) -> None:
        task = asyncio.get_running_loop().create_task(coroutine)
        self._scoring_tasks.add(task)
        task.add_done_callback(self._on_task_done)

    async def _score_and_write(self, job_index: int, sample: Sample, record: Record, reply: Reply) -> None:
        scores = await self._scoring[job_index].score_all(sample, record.prompt, reply)
        self.budget.add_judge(scores)
        self._write(job_index, structs.replace(record, scores=scores))
        self._end_at_limit()

    def _start_rescoring(self) -> None:
        """Start rescoring all replies of earlier sessions in stale jobs whose suite uses a judge."""
        for job_index, job in enumerate(self.jobs):
            if job.is_stale and job.suite.judged:
                self._start_scoring(self._rescore_job(job_index))

    async def _rescore_job(self, job_index: int) -> None:
        """Rescore the replies of earlier sessions to one suite, until all are rescored or the run ends."""
        job, scoring, slots = self.jobs[job_index], self._scoring[job_index], asyncio.Semaphore(MAX_UNSCORED)
        run = Run(job.writer.path)
        samples = {sample.id: sample for sample in run.samples()}
        records = (r for r in run.records() if isinstance(r.outcome, Reply) and r.sample in samples)

        async def rescore_reply(record: Record, reply: Reply) -> None:
            async with slots:
                if self._stop.is_set():
                    return
                scores = await scoring.score_all(samples[record.sample], record.prompt, reply, record.scores)
                self.budget.add_judge(scores, earlier=record.scores)
                if scores != record.scores:
                    self._append(job_index, structs.replace(record, scores=scores))
                if self._watcher is not None:
                    self._watcher.count_rescored(job_index)
                self._end_at_limit()

        while batch := await asyncio.to_thread(lambda: list(islice(records, MAX_UNSCORED))):
            async with asyncio.TaskGroup() as group:
                for record in batch:
                    if isinstance(record.outcome, Reply):
                        group.create_task(rescore_reply(record, record.outcome))
            if self._stop.is_set():
                return
        record_rules(job.writer.card, job.suite)

    def _write(self, job_index: int, record: Record) -> None:
        self._append(job_index, record)
        if self._watcher is not None:
            self._watcher.record(job_index, record)

    def _append(self, job_index: int, record: Record) -> None:
        """Add a record to its run; one that JSON cannot represent is changed, or replaced by a failure."""
        writer = self.jobs[job_index].writer
        try:
            writer.add(record)
        except UnicodeError:  # the extracted answer contains a lone surrogate
            writer.add(json_safe(record))
        except TypeError as error:  # a plugin returned a value that JSON cannot represent
            record = structs.replace(
                record, prompt=Prompt(), outcome=failure_record("model", error), scores={}
            )
            writer.add(record)
        if not self._unflushed:
            asyncio.get_running_loop().call_soon(self._flush)
        self._unflushed.add(writer)

    def _flush(self) -> None:
        """Flush the writers that received records in this iteration of the event loop."""
        while self._unflushed:
            try:
                self._unflushed.pop().flush()
            except StoreError as error:
                self._fault = self._fault or error
                self.end(str(error))

    def _count_outcome(self, outcome: Reply | Failure, *, after_failures: bool) -> None:
        """Count a reply or a failure; end the run at a limit, or if every call seems to fail, even for the shortest samples."""
        if isinstance(outcome, Reply):
            self.budget.add(outcome)
            self._end_at_limit()
            return
        self._failures += 1
        self._last_failure = outcome.message
        is_sample_fault = outcome.stage == "prompt" or outcome.kind in SAMPLE_FAULTS
        if is_sample_fault and (not after_failures or any(job.done for job in self.jobs)):
            return
        self._counted_failures += 1
        limit = MAX_SLOW_FAILURES if self._caller.has_exceeded_warm_up else MAX_FAILURES
        if not self._caller.replies and self._counted_failures >= limit:
            self.end(f"every call fails: {self._last_failure}")

    @property
    def total_failure(self) -> str:
        """Return the message of the last failure if no call has succeeded in this or an earlier session; else empty."""
        succeeded = self._caller.replies or any(job.done for job in self.jobs)
        return self._last_failure if self._failures and not succeeded else ""


def _output_tokens(reply: Reply) -> float:
    """Return the output tokens of a reply; without a count, an estimate from its characters."""
    if reply.usage.output is not None:
        return reply.usage.output
    return (len(reply.text) + len(reply.reasoning or "")) / 4


async def drive(create_runner: Callable[[], Runner]) -> Runner:
    """Create a runner and run it to its end, on the current event loop; then close the model."""
    runner = create_runner()
    try:
        await runner.run()
    finally:
        await runner.model.close()
    return runner
