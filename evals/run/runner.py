"""Run suites on a model and write the records; judge models and batches wait and retry by themselves.

One queue over all suites of a command, longest expected reply first, feeds as many workers as the pace allows. A worker
calls the model, scores the reply and writes the record; slow scorers run in tasks of their own.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence
from itertools import islice
from typing import Protocol

from msgspec import structs

from evals.boundary import foreign_code
from evals.calls.call import json_safe
from evals.calls.pace import MAX_LIMIT, pace_of
from evals.errors import Crash, EvalsError, StoreError
from evals.records.store import Run
from evals.records.writer import Writer
from evals.run.budget import Budget
from evals.run.caller import Caller
from evals.run.describe import put_rules
from evals.run.event_loop import on_interrupt, rare_collection, run_to_end
from evals.run.job import Job
from evals.run.order import Queue, Turn
from evals.run.sampling import reseeded
from evals.sandbox import Pool
from evals.scorers.scoring import Scoring, failure_record
from evals.types import Failure, Model, Prompt, Record, Reply, Sample

HOPELESS = 8
"""Number of failed samples after which a run without any success ends early."""
HOPELESS_SLOW = 3
"""The same once calls have failed for a minute, as each failure may take long."""
BACKLOG = 256
"""Maximum number of replies waiting for a slow scorer; calls pause above it."""


class Watcher(Protocol):
    """Observer of a run, called for every record."""

    def record(self, job: int, record: Record) -> None:
        """A record was written."""
        ...

    def rejudged(self, job: int) -> None:
        """A reply recorded earlier was scored again."""
        ...


class Runner:
    """Runs one command's suites on one model."""

    def __init__(
        self,
        model: Model,
        jobs: Sequence[Job],
        *,
        concurrency: int | None = None,
        budget: Budget | None = None,
        watcher: Watcher | None = None,
        timeout_s: float | None = None,
        queue: Sequence[Turn] | None = None,
        skips: Callable[[int], bool] | None = None,
        say: Callable[[str], None] | None = None,
    ) -> None:
        """`timeout_s`: deadline of a call; None: see `Caller`. `queue`: (job, position, repeat) in calling order; None: longest first.

        `skips`: returns whether a job needs no more samples. `say`: shows the user what is being waited for.
        """
        self.model, self.jobs, self.budget = model, jobs, budget or Budget()
        self.pace = pace_of(model, concurrency)
        self.interrupted, self.ended = False, ""
        """Why the run ended before its queue was empty."""
        self._loop: asyncio.AbstractEventLoop | None = None
        self._watcher, self._skips = watcher, skips
        self._unwritten: set[Writer] = set()
        self._pool = Pool()
        self._scoring = [
            Scoring(job.suite.scorers, self._pool, job.suite.errata, ideal=job.suite.ideal) for job in jobs
        ]
        self._queue = Queue(jobs, queue)
        self._workers: set[asyncio.Task[None]] = set()
        self._judging: set[asyncio.Task[None]] = set()
        self._stop, self._idle = asyncio.Event(), asyncio.Event()
        """`_idle` is set when no task is left; `asyncio.wait` would check every task whenever one ends."""
        self._calls = Caller(
            model, self.pace, timeout_s=timeout_s, stop=self._stop, end=self._end, on_rest=self._fill, say=say
        )
        self._failures, self._last_failure = 0, ""
        self._fault: EvalsError | None = None

    async def run(self) -> None:
        """Process the queue; raises Fatal or StoreError if the run cannot continue."""
        loop = self._loop = asyncio.get_running_loop()
        syncing = loop.create_task(self._sync())
        for scoring in self._scoring:
            scoring.share_judges()
        try:
            with on_interrupt(self._interrupt), rare_collection():
                self._fill()
                self._rejudge()
                if self._workers or self._judging:
                    await self._idle.wait()
        except asyncio.CancelledError:
            self.interrupted = True
            self._end("interrupted")  # before the workers are cancelled, or others would take their place
        finally:
            syncing.cancel()
            busy = self._workers | self._judging
            for task in busy:
                task.cancel()
            await asyncio.gather(syncing, *busy, return_exceptions=True)
            await self._calls.close()
            self._flush()
            for scoring in self._scoring:
                await scoring.close()
            self._pool.close()
        if self._fault is not None:
            raise self._fault

    def interrupt(self) -> None:
        """Do what Ctrl-C does, from another thread."""
        if self._loop is not None:
            self._loop.call_soon_threadsafe(self._interrupt)

    def _interrupt(self) -> None:
        """First time: start no new calls, complete those in flight. Second time: cancel them."""
        if self.interrupted:
            for task in self._workers | self._judging:
                task.cancel()
        self.interrupted = True
        self._end("interrupted")

    def end(self, why: str) -> None:
        """Start no new calls; those in flight are completed."""
        self._end(why)

    def _end(self, why: str) -> None:
        self.ended = self.ended or why
        self._stop.set()

    async def _sync(self) -> None:
        while True:
            await asyncio.sleep(0.25)
            for job in self.jobs:
                if job.writer.needs_sync:
                    try:
                        await asyncio.to_thread(job.writer.sync)
                    except StoreError as error:
                        self._fault = self._fault or error
                        self._end(str(error))

    def _fill(self) -> None:
        """Start workers up to the pace, plus one for each that waits for a retry."""
        while len(self._workers) < min(self._target_workers, len(self._workers) + len(self._queue)):
            worker = asyncio.get_running_loop().create_task(self._work())
            self._workers.add(worker)
            worker.add_done_callback(self._ended)

    @property
    def _target_workers(self) -> int:
        """Return the target number of workers; rate-limited ones are replaced only up to the ceiling of the pace."""
        calls = self._calls
        if not calls.replies:
            return self.pace.limit  # no call has succeeded yet, so none is replaced
        return self.pace.limit + min(calls.resting, MAX_LIMIT) + min(calls.refused, self.pace.ceiling)

    def _ended(self, worker: asyncio.Task[None]) -> None:
        self._workers.discard(worker)
        self._judging.discard(worker)
        error = None if worker.cancelled() else worker.exception()
        if error is not None:
            self._fault = self._fault or (error if isinstance(error, EvalsError) else EvalsError(repr(error)))
            self._end(str(error))
        elif self._queue and not self._stop.is_set():
            self._fill()  # several may have ended at once after the target fell
        if not self._workers and not self._judging:
            self._idle.set()
        if error is not None and not isinstance(error, EvalsError):
            raise error

    async def _work(self) -> None:
        while (
            self._queue and not self._stop.is_set() and len(self._workers) <= (target := self._target_workers)
        ):
            if len(self._workers) < target:
                self._fill()
            turn = self._queue.pop()
            if self._skips is not None and self._skips(turn[0]):
                continue
            await self._run_sample(turn)

    async def _run_sample(self, turn: Turn) -> None:
        """Produce one record: prompt, call, score, write. Slow scoring does not delay the next call."""
        number, position, repeat = turn
        job = self.jobs[number]
        sample = job.samples[position]
        started = time.time()
        outcome: Reply | Failure | None
        try:
            with foreign_code(Crash):
                prompt = job.prompter(sample, repeat)
        except Crash as error:
            prompt, outcome = Prompt(), failure_record("prompt", error)
        else:
            outcome = await self._calls.reply(prompt, reseeded(job.sampling, repeat))
        if outcome is None:
            return  # interrupted before a reply: the sample stays open
        self._book(outcome)
        if isinstance(outcome, Reply):
            self._queue.replied(turn, _tokens(outcome))
        scoring = self._scoring[number]
        scores = (
            scoring.score_light(sample, prompt, outcome)
            if isinstance(outcome, Reply) and scoring.all_light
            else {}
        )
        record = Record(
            sample=sample.id, repeat=repeat, prompt=prompt, outcome=outcome, scores=scores, started=started
        )
        if scoring.all_light or not isinstance(outcome, Reply):
            self._write(number, record)
        else:
            while len(self._judging) >= BACKLOG:
                await asyncio.wait(self._judging, return_when=asyncio.FIRST_COMPLETED)
            task = asyncio.get_running_loop().create_task(self._judge(number, sample, record, outcome))
            self._judging.add(task)
            task.add_done_callback(self._ended)

    async def _judge(self, number: int, sample: Sample, record: Record, reply: Reply) -> None:
        scores = await self._scoring[number].score_all(sample, record.prompt, reply)
        self.budget.book_judge(scores)
        self._write(number, structs.replace(record, scores=scores))
        if why := self.budget.exhausted:
            self._end(why)

    def _rejudge(self) -> None:
        """Start rescoring stale replies of earlier sessions in judged suites."""
        for number, job in enumerate(self.jobs):
            if job.stale and job.suite.judged:
                task = asyncio.get_running_loop().create_task(self._rejudge_job(number))
                self._judging.add(task)
                task.add_done_callback(self._ended)

    async def _rejudge_job(self, number: int) -> None:
        job, scoring, slots = self.jobs[number], self._scoring[number], asyncio.Semaphore(BACKLOG)
        run = Run(job.writer.path)
        samples = {sample.id: sample for sample in run.samples()}
        records = (r for r in run.records() if isinstance(r.outcome, Reply) and r.sample in samples)

        async def one(record: Record, reply: Reply) -> None:
            async with slots:
                if self._stop.is_set():
                    return
                scores = await scoring.score_all(samples[record.sample], record.prompt, reply, record.scores)
                self.budget.book_judge(scores, earlier=record.scores)
                if scores != record.scores:
                    self._append(number, structs.replace(record, scores=scores))
                if self._watcher is not None:
                    self._watcher.rejudged(number)
                if why := self.budget.exhausted:
                    self._end(why)

        while batch := await asyncio.to_thread(lambda: list(islice(records, BACKLOG))):
            async with asyncio.TaskGroup() as group:
                for record in batch:
                    if isinstance(record.outcome, Reply):
                        group.create_task(one(record, record.outcome))
            if self._stop.is_set():
                return
        put_rules(job.writer.card, job.suite)

    def _write(self, number: int, record: Record) -> None:
        self._append(number, record)
        if self._watcher is not None:
            self._watcher.record(number, record)

    def _append(self, number: int, record: Record) -> None:
        writer = self.jobs[number].writer
        try:
            writer.add(record)
        except UnicodeError:  # a scorer's answer with a lone surrogate
            writer.add(json_safe(record))
        except TypeError as error:  # a plug-in returned a value that JSON cannot represent
            record = structs.replace(
                record, prompt=Prompt(), outcome=failure_record("model", error), scores={}
            )
            writer.add(record)
        if not self._unwritten:
            asyncio.get_running_loop().call_soon(self._flush)
        self._unwritten.add(writer)

    def _flush(self) -> None:
        """Flush the writers that got records in this turn of the event loop."""
        while self._unwritten:
            try:
                self._unwritten.pop().flush()
            except StoreError as error:
                self._fault = self._fault or error
                self._end(str(error))

    def _book(self, outcome: Reply | Failure) -> None:
        if isinstance(outcome, Reply):
            self.budget.book(outcome)
            if why := self.budget.exhausted:
                self._end(why)
            return
        self._failures += 1
        self._last_failure = outcome.message
        enough = HOPELESS_SLOW if self._calls.has_failed_for_long else HOPELESS
        if not self._calls.replies and self._failures >= enough:
            self._end(f"every call fails: {self._last_failure}")

    @property
    def hopeless(self) -> str:
        """Return the last failure if no call has ever succeeded, in earlier sessions either; else empty."""
        succeeded = self._calls.replies or any(job.done for job in self.jobs)
        return self._last_failure if self._failures and not succeeded else ""


def _tokens(reply: Reply) -> float:
    """Return the output tokens of a reply; without a count, a guess from its characters."""
    if reply.usage.output is not None:
        return reply.usage.output
    return (len(reply.text) + len(reply.reasoning or "")) / 4


def execute(runner_of: Callable[[], Runner]) -> Runner:
    """Run to the end on a new event loop."""
    return run_to_end(drive(runner_of))


async def drive(runner_of: Callable[[], Runner]) -> Runner:
    """Run to the end on the current event loop, and close the model."""
    runner = runner_of()
    try:
        await runner.run()
    finally:
        await runner.model.close()
    return runner
