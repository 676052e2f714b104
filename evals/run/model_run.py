"""One model of a request: prepare its suites, call it through a `Runner`, and complete the cards."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from typing import TYPE_CHECKING

from msgspec import Struct, structs

from evals import load, profiles
from evals.errors import EvalsError, Fatal, UsageError
from evals.records import promise
from evals.records.store import BATCHES
from evals.run import batch
from evals.run.batching import BatchWait
from evals.run.budget import Budget, Spending
from evals.run.early_stop import EarlyStop, StoppingRule, StoppingWatcher
from evals.run.event_loop import in_thread
from evals.run.fit import mismatch
from evals.run.job import Job, Options
from evals.run.options import budget_of, plan_options
from evals.run.plan import prepare
from evals.run.progress import ModelProgress, Progress
from evals.run.request import RunRequest
from evals.run.request_extras import add_to
from evals.run.rescore import finish, rescore
from evals.run.runner import Runner, drive
from evals.run.sampling import resolved
from evals.seams import Batching, Launched, Remarking, engine_of, is_local, notes_of
from evals.suite import Suite
from evals.types import Model, Sampling

if TYPE_CHECKING:
    from pathlib import Path

    from evals.records.card import Card, Finding
    from evals.run.batch import CollectedBatches
    from evals.run.health import Health


class Outcome(Struct, frozen=True, kw_only=True):
    """Results of one model's runs."""

    model: str
    """Its name, or its spec without secrets if several models have that name."""
    cards: list[Card]
    paths: list[Path]
    interrupted: bool = False
    hopeless: str = ""
    """The error if every call failed, else empty."""
    failed: str = ""
    """The error that ended the runs of this model, while those of others went on; else empty."""
    left_out: str = ""
    """Why no call was made: the budget was spent before it was the model's turn; else empty."""
    unhealthy: bool = False
    """Whether --strict-health is set and a health check fails."""

    @property
    def fault(self) -> str:
        """Return why the model could not be run; empty if it could, at least in part."""
        return self.failed or self.hopeless


class Command(Struct, frozen=True, kw_only=True):
    """What the models of a request share."""

    request: RunRequest
    suites: Sequence[Suite]
    """With the judge."""
    spending: Spending
    progress: Progress
    early_stop: EarlyStop | None
    say: Callable[[str], None]
    """Show one line to the user."""
    create: Callable[[str], Model]
    """Create the model of a spec; raises UsageError."""
    quiet: bool
    finishing: asyncio.Lock
    """Held while figures are computed: several models at once would only take the memory of all of them."""

    def tell(self, line: str) -> None:
        """Show a line to the user, above the bars if there are any."""
        if self.progress.draws_bars:
            self.progress.say(line)
        else:
            self.say(line)


class ModelRun:
    """Execution of one model: all suites of the request in one queue."""

    name = ""
    """What messages call the model; empty: it is the only one, and they do not name it."""
    model: Model
    rows: ModelProgress
    _created = False

    def __init__(self, command: Command, spec: str, model: Model | None) -> None:
        """`model`: None if it is to be created when it is its turn."""
        self.command, self.spec = command, spec
        self.request, self.suites = command.request, command.suites
        if model is not None:
            self._adopt(model)
        self.budget = budget_of(self.request, spec, command.spending)
        self.promise = promise.read(self.request.promise) if self.request.promise else None
        self.jobs: list[Job] = []
        self.runner: Runner | None = None
        self.outcome: Outcome | None = None
        self._stopping: StoppingRule | None = None
        self._waiting: BatchWait | None = None
        self._gathered: CollectedBatches | None = None

    def _adopt(self, model: Model) -> None:
        request = self.request
        self.model = add_to(model, header=request.header, extra=request.extra_body, name=self.shown)
        self._created = True

    @property
    def takes_turns(self) -> bool:
        """Return whether the model takes turns with others; replicas on a cluster are placed on what is free."""
        request = self.request
        return request.one_model_at_a_time or request.cluster is not None or is_local(self.model)

    @property
    def shown(self) -> str:
        """Return the spec without secrets."""
        return load.without_secrets(self.spec)

    @property
    def model_name(self) -> str:
        """Return the model's name; its spec if it has not been created yet."""
        return self.model.name if self._created else self.shown

    def say(self, line: str) -> None:
        """Show a line to the user, with the model's name if there are several."""
        self.command.tell(f"{self.name}: {line}" if self.name else line)

    def refuse_unsuitable(self) -> list[list[str]]:
        """Return the remarks for each suite's card; raises UsageError if the model cannot be asked the suites."""
        _require_folder(self.request, self.suites)
        if self.request.batch and not isinstance(self.model, Batching):
            raise UsageError(f"--batch: {self.spec} has no batch endpoint; openai: and anthropic: have one")
        options = self._options()
        for suite in self.suites:
            if why := mismatch(suite, self.model, self.shown):
                raise UsageError(why)
        return [_remarks(self.model, resolved(suite, options)[0]) for suite in self.suites]

    def _options(self) -> Options:
        profile = profiles.find(self.spec)
        return structs.replace(plan_options(self.request, profile), engine=engine_of(self.model))

    def prepare(self) -> None:
        """Open every suite's run, and score stale replies again; blocks."""
        if not self._created:
            self._adopt(self.command.create(self.spec))
        remarks, options = self.refuse_unsuitable(), self._options()
        jobs: list[Job] = []
        with ExitStack() as undo:
            for suite, notes in zip(self.suites, remarks, strict=True):
                jobs.append(self._job(suite, options))
                jobs[-1].notes += notes
                jobs[-1].notes += [
                    f"header sent: {header.partition('=')[0]}" for header in self.request.header
                ]
                undo.callback(jobs[-1].writer.close)
                _refuse_pending_batch(self.request, jobs[-1])
            undo.pop_all()
        self.jobs = jobs
        for job in jobs:
            for line in (*job.notes, *job.writer.warnings, *_warnings(job)):
                self.say(f"{job.suite.id}: {line}")
        self._begin()

    def _job(self, suite: Suite, options: Options) -> Job:
        job = prepare(suite, options, model=self.model.name, spec=self.shown, takes=self.model.accepts)
        if self.promise is not None:
            job.writer.card.promise = self.promise
            job.writer.write_card()
        return job

    def _begin(self) -> None:
        """Rescore stale replies, and set up early stopping and progress."""
        for job in self.jobs:
            if job.stale and not job.suite.judged:
                rescore(job.writer, job.suite)
        if isinstance(self.model, Launched):
            self.model.log_to(self.jobs[0].writer.path)
        if self.command.early_stop is not None:
            self._stopping = self.command.early_stop.begin(self.jobs, seed=self.request.seed)
        self.rows = ModelProgress(
            self.command.progress,
            self.jobs,
            model=self.name,
            spent=self._spent,
            more=self._stopping.facts if self._stopping else None,
            alarm=self._alarm,
        )

    def _alarm(self, number: int, finding: Finding) -> None:
        """Put the health findings on the card, and end the model's runs with --strict-health."""
        writer = self.jobs[number].writer
        writer.card.health = self.rows.tallies[number].health.findings
        writer.write_card()
        if self.request.strict_health and self.runner is not None:
            self.runner.end(f"--strict-health: {self.jobs[number].suite.id}: {finding.message}")

    def _spent(self) -> str:
        return f"{self.budget.spent_usd:.4f} USD" if self.budget.price else ""

    async def run(self) -> Outcome:
        """Call the model for every open sample; writes the cards of runs with records if it fails."""
        self.command.progress.add(self.rows)
        try:
            if self.request.batch:
                self._waiting = BatchWait(
                    say=(lambda _: None) if self.command.quiet else self.say, warn=self.say
                )
                self._gathered = await self._waiting.collect(self.model, self.jobs)
            runner = await drive(self._runner)
        except Fatal:
            await in_thread(self.close_partial)
            raise
        async with self.command.finishing:
            return await in_thread(lambda: self.finish(runner))

    @property
    def interrupted(self) -> bool:
        """Return whether the user has interrupted the calls, or the wait for batches."""
        by_user = self._waiting is not None and self._waiting.interrupted
        return by_user or (self.runner is not None and self.runner.interrupted)

    def interrupt(self) -> None:
        """Do what Ctrl-C does, from another thread."""
        if self.runner is not None:
            self.runner.interrupt()
        elif self._waiting is not None:
            self._waiting.interrupt_from_thread()

    def _runner(self) -> Runner:
        """Return a new runner; called on its event loop."""
        stopping, gathered = self._stopping, self._gathered
        queue = gathered.queue(self.jobs) if gathered else stopping.queue() if stopping else None
        self.runner = Runner(
            gathered or self.model,
            self.jobs,
            concurrency=self.request.concurrency,
            budget=self.budget,
            watcher=StoppingWatcher(stopping, self.rows) if stopping else self.rows,
            timeout_s=self.request.timeout,
            queue=queue,
            skips=stopping.skips if stopping else None,
            say=self.say,
        )
        if stopping is not None:
            stopping.attach(self.runner)
        return self.runner

    def finish(self, runner: Runner) -> Outcome:
        """Finalize the runs, compute their figures, write their cards, and report failures."""
        if self._gathered is not None:
            if not runner.interrupted:
                for job in self.jobs:
                    job.writer.sync()
                self._gathered.log_collected()
            runner.interrupted = runner.interrupted or self._gathered.waiting > 0
        caller = self._gathered or self.model
        for job, tally in zip(self.jobs, self.rows.tallies, strict=True):
            job.notes += [*(self._stopping.notes if self._stopping else []), *notes_of(caller)]
            _close(job, runner, self.budget, health=tally.health)
        self._report_failures(runner)
        return structs.replace(
            self._outcome(),
            interrupted=runner.interrupted,
            hopeless=runner.hopeless,
            unhealthy=self.request.strict_health and any(job.writer.card.health for job in self.jobs),
        )

    def failed(self, error: EvalsError) -> Outcome:
        """Report an error that ends the runs of this model only, and return the outcome: runs that have records."""
        self.say(f"{error}; the other models are not affected")
        return structs.replace(self._outcome(finished=True), failed=str(error))

    def left_out(self, why: str) -> Outcome:
        """Report that the budget is spent, and return an outcome without runs."""
        self.say(f"not run: {why}")
        return structs.replace(self._outcome(finished=True), left_out=why)

    def _outcome(self, *, finished: bool = False) -> Outcome:
        """Return the outcome of all runs, or of those that are finished."""
        jobs = [job for job in self.jobs if not finished or job.writer.card.finished is not None]
        return Outcome(
            model=self.name or self.model_name,
            cards=[job.writer.card for job in jobs],
            paths=[job.writer.path for job in jobs],
        )

    def close_partial(self) -> None:
        """Write the cards of runs that have records, after a fatal error."""
        for job, tally in zip(self.jobs, self.rows.tallies, strict=True):
            if self.runner is not None and tally.done:
                _close(job, self.runner, self.budget, health=tally.health)

    async def release(self) -> None:
        """Close all files, and a model that was never called."""
        self.close()
        if self._created and self.runner is None:
            await self.model.close()

    def close(self) -> None:
        """Close all files; runs without any record are removed."""
        jobs, self.jobs = self.jobs, []
        for job in jobs:
            job.samples.close()
            job.writer.close()

    def _report_failures(self, runner: Runner) -> None:
        if runner.hopeless and not runner.interrupted:
            name = f"{self.name}: " if self.name else ""
            self.command.tell(f"evals: {name}every call fails: {runner.hopeless}")
            return
        for tally in self.rows.tallies:
            for line in tally.causes():
                self.command.tell(line)
        if runner.ended and not runner.interrupted:
            self.say(f"ended early: {runner.ended}")


def _require_folder(request: RunRequest, suites: Sequence[Suite]) -> None:
    if request.data is not None and request.data.is_file() and len(suites) > 1:
        raise UsageError(
            f"--data {request.data} is one file, but there are {len(suites)} suites: name a folder"
        )


def _remarks(model: Model, sampling: Sampling) -> list[str]:
    """Return a hosted model's remarks for the card; it may raise UsageError for sampling parameters it does not support."""
    return list(model.remarks(sampling)) if isinstance(model, Remarking) else []


def _refuse_pending_batch(request: RunRequest, job: Job) -> None:
    """Raise UsageError if a batch of the run is pending and --batch is not given."""
    if not request.batch and (pending := batch.waiting(job.writer.path)):
        job.writer.card.status = "interrupted"
        job.writer.write_card()
        raise UsageError(
            f"{job.writer.card.run} waits for batch {pending[0].id or pending[0].label}: add --batch to collect it, or "
            f"abandon it by deleting {job.writer.path / BATCHES}"
        )


def _warnings(job: Job) -> list[str]:
    warnings = []
    if job.repeats > 1 and job.sampling.temperature == 0.0:
        warnings.append(
            f"warning: {job.repeats} repeats at temperature 0 will be identical; set --temperature"
        )
    if job.reused:
        warnings.append(job.reused)
    elif job.done:
        done = f"{len(job.done)} of {len(job.samples) * job.repeats}"
        warnings.append(f"resuming {job.writer.card.run}: {done} are done")
    return warnings


def _close(job: Job, runner: Runner, budget: Budget, *, health: Health) -> None:
    """Finalize the run, compute its figures, and write its card."""
    card = job.writer.card
    job.writer.finalize()
    card.notes = (*job.notes, *health.endings.notes())
    card.health = health.findings
    finish(job.writer, job.suite)
    card.status = "interrupted" if runner.interrupted else "finished" if card.coverage == 1.0 else "partial"
    card.finished = time.time()
    card.batch_tokens = batch.tokens(job.writer.path)
    if budget.price:
        card.price, card.price_date = budget.price.figures, str(budget.price.date)
        card.cost_usd = budget.price.cost(card.tokens, card.batch_tokens)
    job.writer.write_card()
