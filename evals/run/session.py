"""From a request to finished runs: resolve names, prepare, call, store. Used by command line and library.

Models are run side by side on one event loop, except those that compute on this machine, which take turns, as do entries
that are the same model: a `ModelRun` each, in lanes. All are created and checked, and the first of each lane is prepared,
before any call is made, so that a mistake is reported before anything is spent.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, TypeAlias

from msgspec import Struct, structs

from evals import load, profiles
from evals.errors import EvalsError, UsageError
from evals.plain import plain
from evals.run import judging
from evals.run.budget import Spending
from evals.run.conflicts import check
from evals.run.early_stop import EarlyStop
from evals.run.event_loop import in_thread, run_to_end
from evals.run.model_run import Command, ModelRun, Outcome
from evals.run.progress import Progress
from evals.run.request import RunRequest
from evals.types import Model

if TYPE_CHECKING:
    from evals.suite import Suite

Say: TypeAlias = Callable[[str], None]
"""Show one line to the user."""
Lane: TypeAlias = "list[ModelRun]"
"""Models that are run one after the other."""


class Named(Struct, frozen=True):
    """A model with the name that goes on the card."""

    spec: str
    """As given on the command line, secrets included; for a model object, a name chosen by the caller."""
    model: Model | None = None
    """None: loaded from `spec`."""


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
        self.request = request
        named = [
            suite
            for spec in request.suites
            for suite in load.suite(spec, request.protocol, shots=request.shots)
        ]
        unique = {(suite.id, suite.protocol): suite for suite in (*suites, *named)}
        self.suites = _with_available_prompts(list(unique.values()), say)
        self.models = list(models) or [Named(spec) for spec in request.models]
        self._say, self._quiet, self._early_stop = say, quiet, early_stop
        self._progress = Progress(quiet=quiet)
        self._spending = Spending(
            cost_usd=request.max_cost, tokens=request.max_total_tokens, on_exhausted=self._end
        )
        self._works: list[ModelRun] = []
        self._interrupted = False

    def run(self) -> list[Outcome]:
        """Run all models on a new event loop; after an interrupt, those that have not begun are left out."""
        with self._prepared() as lanes, self._progress:
            return run_to_end(self._run(lanes))

    async def arun(self) -> list[Outcome]:
        """Run all models on the current event loop; blocking work runs in threads."""
        prepared = self._prepared()
        lanes = await in_thread(prepared.__enter__)
        try:
            with self._progress:
                return await self._run(lanes)
        finally:
            prepared.__exit__(None, None, None)

    @contextmanager
    def _prepared(self) -> Iterator[list[Lane]]:
        """Create and check all models, prepare the first of each lane, and close all files in the end."""
        on_cluster = self.request.cluster is not None  # replicas are placed when it is their turn
        models = [named.model or (None if on_cluster else self.model(named.spec)) for named in self.models]
        command = self._command()
        self._works = [
            ModelRun(command, named.spec, model) for named, model in zip(self.models, models, strict=True)
        ]
        _name(self._works)
        for work in self._works:
            if not on_cluster:
                work.refuse_unsuitable()
        lanes = self._lanes()
        try:
            for first, *_ in lanes:
                first.prepare()
            yield lanes
        finally:
            for work in self._works:
                work.close()

    def _command(self) -> Command:
        return Command(
            request=self.request,
            suites=_with_judge(self.request, self.suites),
            spending=self._spending,
            progress=self._progress,
            early_stop=self._early_stop,
            say=self._say,
            create=self.model,
            quiet=self._quiet,
            finishing=asyncio.Lock(),
        )

    def _lanes(self) -> list[Lane]:
        """Return the models by lane, in the order of the request."""
        lanes: dict[str, Lane] = {}
        for work in self._works:
            key = "" if work.takes_turns else work.shown
            lanes.setdefault(key, []).append(work)
        return list(lanes.values())

    async def _run(self, lanes: Sequence[Lane]) -> list[Outcome]:
        """Run the lanes side by side; an error that is not of one model among several ends them all."""
        tasks = [asyncio.create_task(self._run_lane(lane)) for lane in lanes]
        try:
            await asyncio.wait(tasks, return_when=asyncio.FIRST_EXCEPTION)
        except asyncio.CancelledError:
            self._interrupted = True  # a thread that waits for a cluster looks at it
            raise
        finally:
            for task in tasks:
                task.cancel()
            results = await asyncio.gather(*tasks, return_exceptions=True)
        if errors := [result for result in results if isinstance(result, BaseException)]:
            raise next((e for e in errors if not isinstance(e, asyncio.CancelledError)), KeyboardInterrupt())
        outcomes = [work.outcome for work in self._works if work.outcome is not None]
        if len(outcomes) < len(self._works) and not any(outcome.interrupted for outcome in outcomes):
            raise KeyboardInterrupt  # before the first call of those that are left
        return outcomes

    async def _run_lane(self, lane: Lane) -> None:
        for work in lane:
            if self._has_stopped():
                return
            if why := self._spending.exhausted:
                work.outcome = work.left_out(why)
                continue
            try:
                if not work.jobs:
                    await in_thread(work.prepare)
                if self._has_stopped():
                    return
                work.outcome = await work.run()
            except EvalsError as error:
                if len(self._works) == 1:
                    raise
                work.outcome = work.failed(error)
            finally:
                await work.release()

    def _has_stopped(self) -> bool:
        """Return whether the user has interrupted the command, or any of its models."""
        return self._interrupted or any(work.interrupted for work in self._works)

    def interrupt(self) -> None:
        """Do what Ctrl-C does, from another thread: the first time, calls in flight are completed."""
        self._interrupted = True
        for work in self._works:
            work.interrupt()

    def _end(self, why: str) -> None:
        """Start no new calls of any model."""
        for work in self._works:
            if work.runner is not None:
                work.runner.end(why)

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
        if request.cluster == "slurm":
            from evals.run.cluster.slurm import submission

            return submission.connect(
                spec,
                replicas=request.replicas,
                gpus=request.gpus,
                options=options,
                entries=request.slurm,
                results=request.results,
                stopped=self._has_stopped,
            )
        from evals.run.cluster.ray_replicas import connect

        return connect(spec, request.cluster, replicas=request.replicas, gpus=request.gpus, options=options)


def _name(works: Sequence[ModelRun]) -> None:
    """Set what messages call each of several models: its name, or its spec if several have that name."""
    if len(works) == 1:
        return
    counts = Counter(work.model_name for work in works)
    for work in works:
        work.name = plain(work.model_name if counts[work.model_name] == 1 else work.shown)


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
