"""Run one model of a request: prepare its suites, call the model through a `Runner`, and complete the cards."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING

from msgspec import Struct, structs

from evals import load, profiles
from evals.errors import EvalsError, Fatal, UsageError
from evals.labels import STOPPED_EARLY_NOTE
from evals.records import promise
from evals.records.store import BATCHES
from evals.run import batch_log
from evals.run.batching import BatchWait
from evals.run.budget import Budget, Spending
from evals.run.compatibility import incompatibility_reason
from evals.run.early_stop import EarlyStop, StoppingRule
from evals.run.event_loop import in_thread
from evals.run.health import Health
from evals.run.job import Job, Options
from evals.run.options import budget_of, plan_options
from evals.run.plan import begin, prepare
from evals.run.progress import ModelProgress, Progress
from evals.run.request import RunRequest
from evals.run.request_extras import with_headers
from evals.run.rescore import rescore, store_final_metrics
from evals.run.runner import Runner, drive
from evals.run.sampling import resolve_sampling
from evals.sandbox import Pool
from evals.seams import HasBatchEndpoint, HasLaunchedServer, HasRemarks, is_local, notes_of
from evals.suite import Suite
from evals.types import Model

if TYPE_CHECKING:
    from evals.records.card import Card, Finding
    from evals.run.batch import BatchReplies


class Outcome(Struct, frozen=True, kw_only=True):
    """Results of one model's runs."""

    model: str
    """Name of the model, or its spec without secrets if several models have that name."""
    cards: list[Card]
    paths: list[Path]
    interrupted: bool = False
    total_failure: str = ""
    """The error of the calls if every call failed; else empty."""
    failed: str = ""
    """The error that ended the runs of this model, but not of the others; else empty."""
    skip_reason: str = ""
    """Why no call was made, e.g. because the budget was already spent; else empty."""
    unhealthy: bool = False
    """Whether there is a health finding and --strict-health is set."""

    @property
    def fault(self) -> str:
        """Return the error that ended the runs of this model, or with which every call failed; else empty."""
        return self.failed or self.total_failure


class RunContext(Struct, frozen=True, kw_only=True):
    """What all models of a request share."""

    request: RunRequest
    suites: Sequence[Suite]
    """With the judge attached."""
    spending: Spending
    progress: Progress
    early_stop: EarlyStop | None
    say: Callable[[str], None]
    """Show one line to the user."""
    create_model: Callable[[str], Model]
    """Create the model for a spec; raises UsageError."""
    quiet: bool
    finish_lock: asyncio.Lock
    """Held while metrics are computed, so that only one model at a time uses memory for them."""

    def print_line(self, line: str) -> None:
        """Show a line to the user, above the progress bars if there are any."""
        if self.progress.draws_bars:
            self.progress.say(line)
        else:
            self.say(line)


class ModelRun:
    """The runs of one model: all suites of the request, in one queue."""

    name = ""
    """Name of the model in messages; empty if it is the only one."""
    model: Model
    progress: ModelProgress
    _is_created = False

    def __init__(self, context: RunContext, spec: str, model: Model | None) -> None:
        """`model`: None if it is to be created when its runs begin."""
        self.context, self.spec = context, spec
        self.request, self.suites = context.request, context.suites
        if model is not None:
            self._set_model(model)
        self.budget = budget_of(self.request, spec, context.spending)
        self.promise = promise.read(self.request.promise) if self.request.promise else None
        self.jobs: list[Job] = []
        self.runner: Runner | None = None
        self.outcome: Outcome | None = None
        self._stopping_rule: StoppingRule | None = None
        self._batch_wait: BatchWait | None = None
        self._batch_replies: BatchReplies | None = None

    def _set_model(self, model: Model) -> None:
        request = self.request
        self.model = with_headers(
            model, header=request.header, extra_body=request.extra_body, name=self.display_spec
        )
        self._is_created = True

    @property
    def is_sequential(self) -> bool:
        """Return whether the model takes turns with others in one lane, e.g. because they compute on this machine."""
        request = self.request
        return request.one_model_at_a_time or request.cluster is not None or is_local(self.model)

    @property
    def display_spec(self) -> str:
        """Return the model's spec without secrets."""
        return load.without_secrets(self.spec)

    @property
    def model_name(self) -> str:
        """Return the model's name; its spec if it has not been created yet."""
        return self.model.name if self._is_created else self.display_spec

    def say(self, line: str) -> None:
        """Show a line to the user, with the model's name if there are several."""
        self.context.print_line(f"{self.name}: {line}" if self.name else line)

    def check_suites(self) -> list[list[str]]:
        """Return the model's notes for each suite's card; raises UsageError if it cannot run a suite as requested."""
        _check_data_path(self.request, self.suites)
        if self.request.batch and not isinstance(self.model, HasBatchEndpoint):
            raise UsageError(f"--batch: {self.spec} has no batch endpoint; openai: and anthropic: have one")
        options = plan_options(self.request, self.spec, self.model)
        for suite in self.suites:
            if reason := incompatibility_reason(suite, self.model, self.display_spec):
                raise UsageError(reason)
        if not isinstance(self.model, HasRemarks):
            return [[] for _ in self.suites]
        return [list(self.model.remarks(resolve_sampling(suite, options)[0])) for suite in self.suites]

    def prepare(self) -> None:
        """Open the run of every suite, and get ready for the first call (see `_set_up`); blocks."""
        if not self._is_created:
            self._set_model(self.context.create_model(self.spec))
        notes_by_suite, options = self.check_suites(), plan_options(self.request, self.spec, self.model)
        jobs: list[Job] = []
        with ExitStack() as cleanup:
            for suite, notes in zip(self.suites, notes_by_suite, strict=True):
                job = self._prepare_job(suite, options)
                job.notes += [*notes, *(f"header sent: {h.partition('=')[0]}" for h in self.request.header)]
                jobs.append(job)
                cleanup.callback(job.writer.close)
                _check_pending_batches(self.request, job)
            cleanup.pop_all()
        self.jobs = jobs
        for job in jobs:
            begin(job)
        for job in jobs:
            for line in (*job.notes, *job.writer.warnings, *_start_messages(job)):
                self.say(f"{job.suite.id}: {line}")
        self._set_up()

    def _prepare_job(self, suite: Suite, options: Options) -> Job:
        job = prepare(
            suite, options, model=self.model.name, spec=self.display_spec, accepts=self.model.accepts
        )
        if self.promise is not None:
            job.writer.card.promise = self.promise
        return job

    def _set_up(self) -> None:
        """Rescore runs with stale scores, unless a judge is needed, and set up early stopping and the progress display."""
        for job in self.jobs:
            if job.is_stale and not job.suite.judged:
                rescore(job.writer, job.suite)
        if isinstance(self.model, HasLaunchedServer):
            self.model.log_to(self.jobs[0].writer.path)
        if self.context.early_stop is not None:
            self._stopping_rule = self.context.early_stop.begin(self.jobs, seed=self.request.seed)
        self.progress = ModelProgress(
            self.context.progress,
            self.jobs,
            model=self.name,
            spent=self._spent_text,
            extra=self._stopping_rule.details if self._stopping_rule else None,
            on_record=self._stopping_rule.record if self._stopping_rule else None,
            on_finding=self._on_finding,
        )

    def _on_finding(self, job_index: int, finding: Finding) -> None:
        """Store a job's health findings on its card, and end all runs of the model if --strict-health is set."""
        writer = self.jobs[job_index].writer
        writer.card.health = self.progress.tallies[job_index].health.findings
        writer.write_card()
        if self.request.strict_health and self.runner is not None:
            self.runner.end(f"--strict-health: {self.jobs[job_index].suite.id}: {finding.message}")

    def _spent_text(self) -> str:
        return f"{self.budget.spent_usd:.4f} USD" if self.budget.price else ""

    async def run(self) -> Outcome:
        """Call the model for every sample without a reply; on a fatal error, write the cards of runs with new records."""
        self.context.progress.add(self.progress)
        try:
            if self.request.batch:
                await self._check_scorers()  # the runner checks them only once the batches have ended
                self._batch_wait = BatchWait(
                    say=(lambda _: None) if self.context.quiet else self.say, warn=self.say
                )
                self._batch_replies = await self._batch_wait.collect(self.model, self.jobs)
            runner = await drive(self._create_runner)
        except Fatal:
            await in_thread(self.finalize_partial)
            raise
        async with self.context.finish_lock:
            return await in_thread(lambda: self.finish(runner))

    async def _check_scorers(self) -> None:
        with Pool(1) as pool:
            for job in self.jobs:
                await job.suite.scoring(pool).check()

    @property
    def interrupted(self) -> bool:
        """Return whether the user has interrupted the calls, or the wait for batches."""
        steps = (self._batch_wait, self.runner)
        return any(step is not None and step.interrupted for step in steps)

    def interrupt(self) -> None:
        """Do what Ctrl-C does; may be called from another thread."""
        if self.runner is not None:
            self.runner.interrupt()
        elif self._batch_wait is not None:
            self._batch_wait.interrupt_from_thread()

    def _create_runner(self) -> Runner:
        """Return a new runner; to be called on the runner's event loop."""
        rule, batch_replies = self._stopping_rule, self._batch_replies
        queue = None
        if batch_replies is not None:
            queue = batch_replies.queue(self.jobs)
        elif rule is not None:
            queue = rule.queue()
        self.runner = Runner(
            batch_replies or self.model,
            self.jobs,
            concurrency=self.request.concurrency,
            budget=self.budget,
            watcher=self.progress,
            timeout_s=self.request.timeout,
            queue=queue,
            should_skip=rule.should_skip if rule else None,
            say=self.say,
        )
        if rule is not None:
            rule.attach(self.runner)
        return self.runner

    def finish(self, runner: Runner) -> Outcome:
        """Finalize the runs, compute their metrics, write their cards, and report failures."""
        if self._batch_replies is not None:
            if not runner.interrupted:
                for job in self.jobs:
                    job.writer.sync()
                self._batch_replies.log_collected()
            runner.interrupted = runner.interrupted or self._batch_replies.pending > 0
        model = self._batch_replies or self.model
        for job, tally in zip(self.jobs, self.progress.tallies, strict=True):
            job.notes += [*(self._stopping_rule.notes if self._stopping_rule else []), *notes_of(model)]
            _finalize(job, self.budget, health=tally.health, interrupted=runner.interrupted)
        self._report_failures(runner)
        return structs.replace(
            self._outcome(),
            interrupted=runner.interrupted,
            total_failure=runner.total_failure,
            unhealthy=self.request.strict_health and any(job.writer.card.health for job in self.jobs),
        )

    def report_failure(self, error: EvalsError) -> Outcome:
        """Report an error that ends the runs of this model only; return the outcome, with the runs that are finished."""
        self.say(f"{error}; the other models are not affected")
        return structs.replace(self._outcome(finished=True), failed=str(error))

    def report_skipped(self, reason: str) -> Outcome:
        """Report why no call is made, and return the outcome."""
        self.say(f"not run: {reason}")
        return structs.replace(self._outcome(finished=True), skip_reason=reason)

    def _outcome(self, *, finished: bool = False) -> Outcome:
        """Return the outcome of all runs; `finished`: only of those that are finished."""
        jobs = [job for job in self.jobs if not finished or job.writer.card.finished is not None]
        return Outcome(
            model=self.name or self.model_name,
            cards=[job.writer.card for job in jobs],
            paths=[job.writer.path for job in jobs],
        )

    def finalize_partial(self) -> None:
        """Finalize the runs that have records; for use after a fatal error."""
        interrupted = (
            self.runner is None or self.runner.interrupted
        )  # without a runner, a batch may be pending
        for job, tally in zip(self.jobs, self.progress.tallies, strict=True):
            if tally.done or job.done:
                _finalize(job, self.budget, health=tally.health, interrupted=interrupted)

    async def release(self) -> None:
        """Close all files, and also the model if there is no runner that closes it."""
        self.close()
        if self._is_created and self.runner is None:
            await self.model.close()

    def close(self) -> None:
        """Close all files; runs with neither records nor batches are removed."""
        jobs, self.jobs = self.jobs, []
        for job in jobs:
            job.samples.close()
            job.writer.close()

    def _report_failures(self, runner: Runner) -> None:
        self.context.progress.flush()  # so that the failures are the last lines
        if runner.total_failure and not runner.interrupted:
            prefix = f"evals: {self.name}: " if self.name else "evals: "
            self.context.print_line(f"{prefix}every call fails: {runner.total_failure}")
            return
        for tally in self.progress.tallies:
            for line in tally.failure_lines():
                self.context.print_line(line)
        if runner.end_reason and not runner.interrupted:
            self.say(f"ended early: {runner.end_reason}")


def _check_data_path(request: RunRequest, suites: Sequence[Suite]) -> None:
    if request.data is not None and request.data.is_file() and len(suites) > 1:
        raise UsageError(
            f"--data {request.data} is one file, but there are {len(suites)} suites: pass a folder"
        )


def _check_pending_batches(request: RunRequest, job: Job) -> None:
    """Raise UsageError if a batch of the run is pending and --batch is not given."""
    if not request.batch and (pending := batch_log.pending_batches(job.writer.path)):
        raise UsageError(
            f"batch {pending[0].id or pending[0].label} of {job.writer.card.run} is pending: add --batch to collect it, "
            f"or abandon it by deleting {job.writer.path / BATCHES}"
        )


def _start_messages(job: Job) -> Iterator[str]:
    """Yield a warning if all repeats will be identical, and a message if the run is reused or resumed."""
    if job.repeats > 1 and job.sampling.temperature == 0.0:
        yield f"warning: {job.repeats} repeats at temperature 0 will be identical; set --temperature"
    if job.reuse_message:
        yield job.reuse_message
    elif job.done:
        count = len(job.samples) * job.repeats
        yield f"resuming {job.writer.card.run}: {len(job.done)} of {count} replies exist"


def _finalize(job: Job, budget: Budget, *, health: Health, interrupted: bool) -> None:
    """Finalize a job's run, compute its metrics, and write its card; a reused run keeps its end time."""
    card = job.writer.card
    job.writer.finalize()
    is_reused = card.status != "running"
    if not is_reused:
        card.notes = health.notes_of_all_sessions(card.notes, job.notes)
        card.health, card.finished = health.findings, time.time()
    store_final_metrics(job.writer, job.suite)
    card.notes = tuple(note for note in card.notes if note != STOPPED_EARLY_NOTE or card.coverage < 1.0)
    is_complete = card.coverage == 1.0 and not (job.is_stale and interrupted)
    card.status = "finished" if is_complete else "interrupted" if interrupted else "partial"
    card.batch_tokens = batch_log.batch_tokens(job.writer.path)
    if budget.price:
        card.price, card.price_date = budget.price.figures, str(budget.price.date)
    if card.price:  # of this or an earlier session
        price = profiles.Price(**card.price, date=date.min)
        card.cost_usd = price.cost(card.tokens, card.batch_tokens) if card.tokens else None  # unknown, not 0
    job.writer.write_card()
