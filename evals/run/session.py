"""Execute a request: resolve its names, prepare the runs, call the models and store the results.

Models run concurrently on one event loop, each in a `ModelRun`. Models in the same lane run one after the other: those that
compute on this machine, repeated entries of one model, and with --cluster or --one-model-at-a-time all models. Before the
first call, all models are created and checked (with --cluster, each when its turn comes), and the first of each lane is
prepared, so that mistakes are reported before money is spent.
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
from evals.run.conflicts import check_conflicts
from evals.run.early_stop import EarlyStop
from evals.run.event_loop import in_thread, run_on_new_loop
from evals.run.model_run import ModelRun, Outcome, RunContext
from evals.run.progress import Progress
from evals.run.request import RunRequest
from evals.types import Model

if TYPE_CHECKING:
    from evals.suite import Suite

Say: TypeAlias = Callable[[str], None]
"""Show one line to the user."""
Lane: TypeAlias = "list[ModelRun]"
"""Models that run one after the other."""


class NamedModel(Struct, frozen=True):
    """A model, and its name on cards."""

    spec: str
    """As given on the command line, which may include secrets; for a model object, a name chosen by the caller."""
    model: Model | None = None
    """None: the model is created from `spec`."""


class Session:
    """Execution of one request. `suites` are run in addition to the request's; `models` replace the request's models."""

    def __init__(
        self,
        request: RunRequest,
        *,
        suites: Sequence[Suite] = (),
        models: Sequence[NamedModel] = (),
        say: Say,
        quiet: bool = False,
        early_stop: EarlyStop | None = None,
    ) -> None:
        if models and not request.models:
            request = structs.replace(request, models=[model.spec for model in models])
        check_conflicts(request)
        self.request = request
        loaded = [
            suite
            for spec in request.suites
            for suite in load.suite(spec, request.protocol, shots=request.shots)
        ]
        unique = {(suite.id, suite.protocol): suite for suite in (*suites, *loaded)}
        self.suites = _with_available_prompts(list(unique.values()), say)
        self.models = list(models) or [NamedModel(spec) for spec in request.models]
        self._say, self._quiet, self._early_stop = say, quiet, early_stop
        self._progress = Progress(quiet=quiet)
        self.spending = Spending(
            cost_usd=request.max_cost, tokens=request.max_total_tokens, on_exhausted=self._end_calls
        )
        """The limits on cost and tokens, and what this session has spent so far, judges included."""
        self._model_runs: list[ModelRun] = []
        self._interrupted = False

    def run(self) -> list[Outcome]:
        """Run all models on a new event loop; after an interrupt, no further model is started."""
        with self._prepared() as lanes, self._progress:
            return run_on_new_loop(self._run(lanes))

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
        """Create and check all models (not yet on a cluster), prepare the first of each lane, and close all files on exit."""
        on_cluster = self.request.cluster is not None  # replicas are created when the model's lane reaches it
        models = [
            entry.model or (None if on_cluster else self.create_model(entry.spec)) for entry in self.models
        ]
        context = RunContext(
            request=self.request,
            suites=_with_judge(self.request, self.suites),
            spending=self.spending,
            progress=self._progress,
            early_stop=self._early_stop,
            say=self._say,
            create_model=self.create_model,
            quiet=self._quiet,
            finish_lock=asyncio.Lock(),
        )
        self._model_runs = [
            ModelRun(context, entry.spec, model) for entry, model in zip(self.models, models, strict=True)
        ]
        _set_names(self._model_runs)
        for model_run in self._model_runs:
            if not on_cluster:
                model_run.check_suites()
        lanes = self._lanes()
        try:
            for first, *_ in lanes:
                first.prepare()
            yield lanes
        finally:
            for model_run in self._model_runs:
                model_run.close()

    def _lanes(self) -> list[Lane]:
        """Return the lanes, with the models in the order of the request."""
        lanes: dict[str, Lane] = {}
        for model_run in self._model_runs:
            key = "" if model_run.is_sequential else model_run.display_spec
            lanes.setdefault(key, []).append(model_run)
        return list(lanes.values())

    async def _run(self, lanes: Sequence[Lane]) -> list[Outcome]:
        """Run the lanes concurrently; an error that `_run_lane` raises ends all of them."""
        tasks = [asyncio.create_task(self._run_lane(lane)) for lane in lanes]
        try:
            await asyncio.wait(tasks, return_when=asyncio.FIRST_EXCEPTION)
        except asyncio.CancelledError:
            self._interrupted = True  # polled by a thread that waits for a cluster
            raise
        finally:
            for task in tasks:
                task.cancel()
            results = await asyncio.gather(*tasks, return_exceptions=True)
        if errors := [result for result in results if isinstance(result, BaseException)]:
            raise next((e for e in errors if not isinstance(e, asyncio.CancelledError)), KeyboardInterrupt())
        outcomes = [model_run.outcome for model_run in self._model_runs if model_run.outcome is not None]
        if len(outcomes) < len(self._model_runs) and not any(outcome.interrupted for outcome in outcomes):
            raise KeyboardInterrupt  # before the first call of the remaining models
        return outcomes

    async def _run_lane(self, lane: Lane) -> None:
        """Run models one after the other, and set their outcomes; an error is raised only if there is a single model."""
        for model_run in lane:
            if self._was_interrupted():
                return
            if reason := self.spending.reached_limit:
                model_run.outcome = model_run.report_skipped(reason)
                continue
            try:
                if not model_run.jobs:
                    await in_thread(model_run.prepare)
                if self._was_interrupted():
                    return
                model_run.outcome = await model_run.run()
            except EvalsError as error:
                if len(self._model_runs) == 1:
                    raise
                model_run.outcome = model_run.report_failure(error)
            finally:
                await model_run.release()

    def _was_interrupted(self) -> bool:
        """Return whether the user has interrupted the command, or any of its models."""
        return self._interrupted or any(model_run.interrupted for model_run in self._model_runs)

    def interrupt(self) -> None:
        """Do what Ctrl-C does; may be called from another thread. The first time, calls in flight are completed."""
        self._interrupted = True
        for model_run in self._model_runs:
            model_run.interrupt()

    def _end_calls(self, reason: str) -> None:
        """Start no new calls to any model."""
        for model_run in self._model_runs:
            if model_run.runner is not None:
                model_run.runner.end(reason)

    def create_model(self, spec: str) -> Model:
        """Create the model for a spec, in this process or as replicas on a cluster; raises UsageError."""
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
                stopped=self._was_interrupted,
            )
        from evals.run.cluster.ray_replicas import connect

        return connect(spec, request.cluster, replicas=request.replicas, gpus=request.gpus, options=options)


def _set_names(model_runs: Sequence[ModelRun]) -> None:
    """If there are several models, set the name of each in messages: the model's name or, if several have it, the spec."""
    if len(model_runs) == 1:
        return
    counts = Counter(model_run.model_name for model_run in model_runs)
    for model_run in model_runs:
        model_run.name = plain(
            model_run.model_name if counts[model_run.model_name] == 1 else model_run.display_spec
        )


def _with_available_prompts(suites: Sequence[Suite], say: Say) -> list[Suite]:
    """Return the suites; one whose upstream prompts are not available gets reworded prompts, and a protocol marked as such."""
    available = [load.with_available_prompts(suite) for suite in suites]
    suites_by_line: dict[str, list[str]] = {}
    for suite, reworded in zip(suites, available, strict=True):
        if suite.upstream is not None and reworded is not suite:
            line = f"{suite.upstream.fault()}; using reworded prompts ({reworded.protocol}), never ranked with {suite.protocol}"
            suites_by_line.setdefault(line, []).append(suite.id)
    for line, names in suites_by_line.items():
        say(f"{', '.join(names)}: {line}")
    return available


def _with_judge(request: RunRequest, suites: Sequence[Suite]) -> Sequence[Suite]:
    """Return the suites with the judge attached; raises UsageError for suites that cannot be run."""
    for suite in suites:
        if suite.refuses:  # the reason why it cannot be run
            raise UsageError(suite.refuses)
    if not request.judge and not any(suite.judged for suite in suites):
        return suites
    return judging.with_judge(
        suites,
        request.judge,
        name=load.without_secrets(request.judge or ""),
        price=profiles.parse_price(request.judge_price, option="--judge-price"),
        allow_missing=False,
    )
