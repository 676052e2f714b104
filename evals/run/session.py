"""From a request to finished runs: resolve names, prepare, call, store. Used by command line and library.

Models run one after the other, but all are created first, so that a faulty one is reported before any call is made.
For each, `ModelRun` prepares all suites, passes them to a `Runner` as one queue, and completes the cards.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

from msgspec import Struct, structs

from evals import load, profiles
from evals.errors import Fatal, UsageError
from evals.records import promise
from evals.records.store import BATCHES
from evals.run import batch, judging
from evals.run.budget import Budget
from evals.run.early_stop import EarlyStop, StoppingRule, StoppingWatcher
from evals.run.job import Job, Options
from evals.run.options import budget_of, plan_options
from evals.run.plan import mismatch, prepare
from evals.run.progress import Progress
from evals.run.request import RunRequest, check
from evals.run.request_extras import add_to
from evals.run.rescore import finish, rescore
from evals.run.runner import Runner, drive, execute
from evals.run.sampling import resolved
from evals.seams import Batching, Launched, Remarking, engine_of, notes_of
from evals.types import Model, Sampling

if TYPE_CHECKING:
    from evals.records.card import Card, Finding
    from evals.run.batch import CollectedBatches
    from evals.run.health import Health
    from evals.suite import Suite

Say: TypeAlias = Callable[[str], None]
"""Show one line to the user."""


class Named(Struct, frozen=True):
    """A model with the name that goes on the card."""

    spec: str
    """As given on the command line, secrets included; for a model object, a name chosen by the caller."""
    model: Model | None = None
    """None: loaded from `spec`."""


class Outcome(Struct, frozen=True, kw_only=True):
    """Results of one model's runs."""

    cards: list[Card]
    paths: list[Path]
    interrupted: bool
    hopeless: str
    """The error if every call failed, else empty."""
    unhealthy: bool = False
    """Whether --strict-health is set and a health check fails."""


class Session:
    """Execution of one request. `suites` and `models` may be objects; by default they are loaded by the request's names."""

    def __init__(
        self,
        request: RunRequest,
        *,
        suites: Sequence[Suite] = (),
        models: Sequence[Named] = (),
        say: Say,
        quiet: bool = False,
        early_stop: EarlyStop | None = None,
    ) -> None:
        if models and not request.models:
            request = structs.replace(request, models=[model.spec for model in models])
        check(request)
        self.request, self.say, self.quiet, self.early_stop = request, say, quiet, early_stop
        named = [
            suite
            for spec in request.suites
            for suite in load.suite(spec, request.protocol, shots=request.shots)
        ]
        unique = {(suite.id, suite.protocol): suite for suite in (*suites, *named)}
        self.suites = _with_available_prompts(list(unique.values()), say)
        self.models = list(models) or [Named(spec) for spec in request.models]
        self.runner: Runner | None = None
        """Runner of the model in progress."""

    def works(self) -> Iterator[ModelRun]:
        """Yield a `ModelRun` per model; all models are created first, except on a cluster, where they are placed in turn."""
        models = [
            named.model or (None if self.request.cluster else self.model(named.spec)) for named in self.models
        ]
        for named, model in zip(self.models, models, strict=True):
            yield ModelRun(self, named.spec, model or self.model(named.spec))

    def run(self) -> list[Outcome]:
        """Run all models on new event loops; stops after an interrupt."""
        outcomes = []
        for work in self.works():
            with work.open():
                try:
                    runner = execute(work.runner)
                except Fatal:
                    work.close_partial()
                    raise
                outcomes.append(work.finish(runner))
            if outcomes[-1].interrupted:
                break
        return outcomes

    async def arun(self) -> list[Outcome]:
        """Run all models on the current event loop; blocking work runs in threads."""
        outcomes = []
        for work in self.works():
            opened = work.open()
            await asyncio.to_thread(opened.__enter__)
            try:
                try:
                    runner = await drive(work.runner)
                except Fatal:
                    await asyncio.to_thread(work.close_partial)
                    raise
                outcomes.append(await asyncio.to_thread(work.finish, runner))
            finally:
                opened.__exit__(None, None, None)
            if outcomes[-1].interrupted:
                break
        return outcomes

    def interrupt(self) -> None:
        """Do what Ctrl-C does, from another thread: the first time, calls in flight are completed."""
        if self.runner is not None:
            self.runner.interrupt()

    def model(self, spec: str) -> Model:
        """Create the model in this process, or its replicas on a cluster."""
        request = self.request
        options = {
            "data": request.data,
            "sample": request.sample,
            "trust_remote_code": request.trust_remote_code,
            "gpu_check": not request.no_gpu_check,
        }
        if not request.cluster:
            return load.model(spec, results=request.results, **options)
        from evals.run.cluster.ray_replicas import connect

        return connect(spec, request.cluster, replicas=request.replicas, gpus=request.gpus, options=options)


class ModelRun:
    """Execution of one model: all suites of the request in one queue."""

    def __init__(self, session: Session, spec: str, model: Model) -> None:
        self.session = session
        self.request, self.say, self.quiet = session.request, session.say, session.quiet
        self.spec = spec
        self.model = add_to(
            model,
            header=self.request.header,
            extra=self.request.extra_body,
            name=load.without_secrets(spec),
        )
        self.budget = budget_of(self.request, spec)
        self.suites = _with_judge(self.request, session.suites)
        self.early_stop = session.early_stop
        self.promise = promise.read(self.request.promise) if self.request.promise else None
        self.jobs: list[Job] = []
        self._stopping: StoppingRule | None = None
        self._gathered: CollectedBatches | None = None

    @contextmanager
    def open(self) -> Iterator[None]:
        """Prepare every suite, show progress while the block runs, and close all files."""
        self.jobs = self._prepare()
        try:
            self._begin()
            with self.progress:
                yield
        finally:
            for job in self.jobs:
                job.samples.close()
                job.writer.close()

    def _prepare(self) -> list[Job]:
        """Prepare every suite; raises UsageError for a model that lacks a modality a suite needs."""
        _require_folder(self.request, self.suites)
        if self.request.batch and not isinstance(self.model, Batching):
            raise UsageError(f"--batch: {self.spec} has no batch endpoint; openai: and anthropic: have one")
        profile = profiles.find(self.spec)
        engine = engine_of(self.model)
        options = structs.replace(plan_options(self.request, profile), engine=engine)
        remarks = [_remarks(self.model, resolved(suite, options)[0]) for suite in self.suites]
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
        for job in jobs:
            for line in (*job.notes, *job.writer.warnings, *_warnings(job)):
                self.say(f"{job.suite.id}: {line}")
        return jobs

    def _job(self, suite: Suite, options: Options) -> Job:
        shown = load.without_secrets(self.spec)
        if why := mismatch(suite, self.model.accepts, shown):
            raise UsageError(why)
        job = prepare(suite, options, model=self.model.name, spec=shown, takes=self.model.accepts)
        if self.promise is not None:
            job.writer.card.promise = self.promise
            job.writer.write_card()
        return job

    def _begin(self) -> None:
        """Rescore stale replies, set up early stopping and progress, and submit batches."""
        for job in self.jobs:
            if job.stale and not job.suite.judged:
                rescore(job.writer, job.suite)
        if isinstance(self.model, Launched):
            self.model.log_to(self.jobs[0].writer.path)
        if self.early_stop is not None:
            self._stopping = self.early_stop.begin(self.jobs, seed=self.request.seed)
        self.progress = Progress(
            self.jobs,
            spent=self._spent,
            quiet=self.quiet,
            more=self._stopping.facts if self._stopping else None,
            alarm=self._alarm,
        )
        if self.request.batch:
            from evals.run.batching import collect_batches

            self._gathered = collect_batches(
                self.model, self.jobs, say=(lambda _: None) if self.quiet else self.say, warn=self.say
            )

    def _alarm(self, number: int, finding: Finding) -> None:
        """Put the health findings on the card, and end the run with --strict-health."""
        writer = self.jobs[number].writer
        writer.card.health = self.progress.tallies[number].health.findings
        writer.write_card()
        if self.request.strict_health and self.session.runner is not None:
            self.session.runner.end(f"--strict-health: {self.jobs[number].suite.id}: {finding.message}")

    def _spent(self) -> str:
        return f"{self.budget.spent_usd:.4f} USD" if self.budget.price else ""

    def runner(self) -> Runner:
        """Return a new runner; called on its event loop."""
        stopping, gathered = self._stopping, self._gathered
        queue = gathered.queue(self.jobs) if gathered else stopping.queue() if stopping else None
        runner = Runner(
            gathered or self.model,
            self.jobs,
            concurrency=self.request.concurrency,
            budget=self.budget,
            watcher=StoppingWatcher(stopping, self.progress) if stopping else self.progress,
            timeout_s=self.request.timeout,
            queue=queue,
            skips=stopping.skips if stopping else None,
            say=self.progress.say,
        )
        if stopping is not None:
            stopping.attach(runner)
        self.session.runner = runner
        return runner

    def finish(self, runner: Runner) -> Outcome:
        """Finalize the runs, compute their figures, write their cards, and report failures."""
        if self._gathered is not None:
            if not runner.interrupted:
                for job in self.jobs:
                    job.writer.sync()
                self._gathered.log_collected()
            runner.interrupted = runner.interrupted or self._gathered.waiting > 0
        caller = self._gathered or self.model
        for job, tally in zip(self.jobs, self.progress.tallies, strict=True):
            job.notes += [*(self._stopping.notes if self._stopping else []), *notes_of(caller)]
            _close(job, runner, self.budget, health=tally.health)
        self._report_failures(runner)
        return Outcome(
            cards=[job.writer.card for job in self.jobs],
            paths=[job.writer.path for job in self.jobs],
            interrupted=runner.interrupted,
            hopeless=runner.hopeless,
            unhealthy=self.request.strict_health and any(job.writer.card.health for job in self.jobs),
        )

    def close_partial(self) -> None:
        """Write the cards of runs that have records, after a fatal error."""
        runner = self.session.runner
        for job, tally in zip(self.jobs, self.progress.tallies, strict=True):
            if runner is not None and tally.done:
                _close(job, runner, self.budget, health=tally.health)

    def _report_failures(self, runner: Runner) -> None:
        if runner.hopeless and not runner.interrupted:
            self.say(f"evals: every call fails: {runner.hopeless}")
            return
        for tally in self.progress.tallies:
            for line in tally.causes():
                self.say(line)
        if runner.ended and not runner.interrupted:
            self.say(f"ended early: {runner.ended}")


def _with_available_prompts(suites: Sequence[Suite], say: Say) -> list[Suite]:
    """Replace upstream prompts that are unavailable by reworded ones, under the protocol marked as reworded."""
    usable = [load.with_available_prompts(suite) for suite in suites]
    why: dict[str, list[str]] = {}
    for suite, reworded in zip(suites, usable, strict=True):
        if suite.upstream is not None and reworded is not suite:
            line = f"{suite.upstream.fault()}; using reworded prompts ({reworded.protocol}), never ranked with {suite.protocol}"
            why.setdefault(line, []).append(suite.id)
    for line, names in why.items():
        say(f"{', '.join(names)}: {line}")
    return usable


def _with_judge(request: RunRequest, suites: Sequence[Suite]) -> Sequence[Suite]:
    """Return the suites with the judge attached; raises UsageError for suites that cannot be run."""
    refusing = next((suite.refuses for suite in suites if suite.refuses), "")
    if refusing:
        raise UsageError(refusing)
    if not request.judge and not any(suite.judged for suite in suites):
        return suites
    return judging.with_judge(
        suites,
        request.judge,
        name=load.without_secrets(request.judge or ""),
        price=profiles.read_price(request.judge_price),
        wait=False,
    )


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
