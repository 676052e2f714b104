"""The Python API: the functions of the command line, for scripts and notebooks.

>>> import evals
>>> runs = evals.evaluate("gpqa", lambda prompt: "ANSWER: A", sample=True, quiet=True)  # doctest: +SKIP
>>> runs.scores()                                                                       # doctest: +SKIP

Errors are those of `evals.errors`, with the messages that the command line prints.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias, TypeVar

import msgspec

from evals import disk, load
from evals.benchmark import Benchmark
from evals.errors import ModelError, StoreError, UsageError
from evals.plain import notice
from evals.records import mirror, store
from evals.records.store import Run
from evals.results import Runs
from evals.run.model_run import Outcome
from evals.run.request import RunRequest, make_request
from evals.run.session import NamedModel, Session
from evals.suite import Suite
from evals.types import Model

if TYPE_CHECKING:
    from evals.report.estimand_names import Estimand
    from evals.verdicts.compare import Comparison
    from evals.verdicts.gate import GateReport
    from evals.verdicts.policy import Policy
    from evals.verdicts.suite_run import SuiteRun

T = TypeVar("T")
COMMAND_OPTIONS = ("detach", "dry_run", "until_decided", "against", "policy")
"""Options of `evals run` that `evaluate` does not have."""

SuiteLike: TypeAlias = "str | Suite | Benchmark"
ModelLike: TypeAlias = str | Model | Callable[..., str | Awaitable[str]]
"""A name as on the command line, a `Model`, or a function of a prompt (or of messages) that returns a reply."""
RunsLike: TypeAlias = Runs | Run | str | Path
"""`Runs`, one run, or a name: an id, a folder, a baseline file."""


def evaluate(
    suites: SuiteLike | Sequence[SuiteLike],
    model: ModelLike | Sequence[ModelLike],
    *,
    quiet: bool = False,
    **options: Any,
) -> Runs:
    """Run suites on models, score the replies, store everything, and return the runs.

    `suites`: names (`gpqa:diamond`), a `Suite` (`Suite.of(rows, ...)` makes one) or a `Benchmark`. `model`: a name, a `Model`,
    or a function of the prompt's text or, if its parameter is called `messages`, of a list of
    `{"role": ..., "content": ...}`; it returns the reply's text and may be async. `options`: those of `evals run`
    (`evals.run.request.RunRequest`), e.g. `limit=200`, `sample=True`, `results="folder"`.

    Works inside a running event loop, as in a notebook. The same call resumes an interrupted run; functions
    are always called again. Several models are run concurrently, under one budget; those that need this machine's GPUs run
    one after the other. Raises UsageError if nothing can be started, ModelError if every call to a model fails (after the
    other models have finished), and KeyboardInterrupt after Ctrl-C, once replies in flight are stored.
    """
    session = _session(suites, model, quiet=quiet, options=options)
    return _completed_runs(_call_outside_loop(session.run, interrupt=session.interrupt))


async def aevaluate(
    suites: SuiteLike | Sequence[SuiteLike],
    model: ModelLike | Sequence[ModelLike],
    *,
    quiet: bool = False,
    **options: Any,
) -> Runs:
    """`evaluate` for use in a running event loop."""
    session = await asyncio.to_thread(_session, suites, model, quiet=quiet, options=options)
    return _completed_runs(await session.arun())


def import_replies(
    replies: str | Path | Mapping[str, str],
    suite: str,
    *,
    model: str,
    protocol: str | None = None,
    data: str | Path | None = None,
    sample: bool = False,
    results: str | Path = "results",
    run: str | None = None,
) -> Runs:
    """Score recorded replies and return their runs.

    `replies`: a JSON Lines file (`{"id": ..., "text": ...}`, see `evals import --help`), or a mapping from sample id to
    text. Items without a reply are missing outcomes, not wrong ones. `run`: the id of the new run. Raises UsageError or
    DataError.
    """
    from tempfile import TemporaryDirectory

    from evals.interop.replies import ImportRequest, read_replies

    with TemporaryDirectory() as folder:
        if isinstance(replies, Mapping):
            path = Path(folder) / "replies.jsonl"
            lines = (msgspec.json.encode({"id": id_, "text": text}) for id_, text in replies.items())
            with disk.naming(path):
                path.write_bytes(b"".join(line + b"\n" for line in lines))
        else:
            path = Path(replies)
            if not path.exists():  # before the data set is loaded
                raise UsageError(f"{path} does not exist")
        request = ImportRequest(
            suite=suite, model=model, protocol=protocol, data=Path(data) if data is not None else None,
            sample=sample, results=Path(results), run=run,
        )  # fmt: skip
        (card,) = _call_outside_loop(partial(read_replies, path, request))
    named = store.find(Path(results), card.run)
    return Runs([run for run in named if run.card.config == card.config])


def runs(results: str | Path = "results") -> Runs:
    """Return the runs in a results folder, at an address (`s3://bucket/path`) or in one run's folder.

    Raises StoreError if there is no such folder.
    """
    folder = mirror.readable_folder(results)
    if not folder.is_dir():
        raise StoreError(f"no results folder at {folder}; `evals run` creates one")
    return Runs(store.runs(folder))


def compare(
    *sides: RunsLike,
    results: str | Path = "results",
    suites: Sequence[str] = (),
    force: bool = False,
    latest: bool = False,
    estimand: Estimand = "items-like-these",
    detail: bool | None = None,
) -> Comparison:
    """Compare runs sample by sample; differences are the second minus the first.

    Raises UsageError for fewer than two sides. Runs that differ in protocol, data or scorer are compared only if
    forced: see `.comparable` and `.why_not`. `estimand`: what intervals and p-values refer to, `items-like-these`,
    `these-items` (with new replies) or `this-run`. `detail`: whether to include all metrics and the headline's groups; by
    default only if two runs are compared.
    """
    from evals.verdicts import noise, suite_runs
    from evals.verdicts.compare import compare as compare_runs

    if len(sides) < 2:
        raise UsageError("name two runs, A and B")
    folder = mirror.readable_folder(results)
    loaded: list[list[SuiteRun]] = []
    for side in sides:
        other_side = {(suite_run.run, suite_run.model) for loaded_side in loaded for suite_run in loaded_side}
        loaded.append(_suite_runs(side, folder, suites, latest=latest, other_side=other_side))
    paired = suite_runs.with_common_ids(*loaded)
    limits = noise.repeatability_limits(folder, paired[0])
    return compare_runs(paired, force=force, detail=detail, estimand=estimand, limits=limits)


def gate(
    candidate: RunsLike,
    *,
    baseline: RunsLike,
    policy: str | Path | Policy,
    results: str | Path = "results",
    latest: bool = False,
) -> GateReport:
    """Judge a candidate against a baseline under a policy (a TOML file): pass, regression, or inconclusive (`cannot tell`)."""
    from msgspec import structs

    from evals.verdicts import alpha_spending, noise, policy_promises, suite_runs
    from evals.verdicts import policy as policies
    from evals.verdicts.gate import gate as gate_runs
    from evals.verdicts.gate import run_names

    gate_policy = policies.read(Path(policy)) if isinstance(policy, str | Path) else policy
    names, folder = [entry.name for entry in gate_policy.suite], mirror.readable_folder(results)
    candidate_runs = _suite_runs(candidate, folder, names, latest=latest)
    baseline_runs = _suite_runs(
        baseline, folder, names, latest=latest, other_side={(run.run, run.model) for run in candidate_runs}
    )
    limits = noise.repeatability_limits(folder, baseline_runs)
    account = alpha_spending.read_account(gate_policy, folder)
    digest = alpha_spending.outcomes_digest((*candidate_runs, *baseline_runs)) if account else ""
    if account:
        alpha_spending.require_unspent_alpha(
            account, candidate=run_names(candidate_runs), baseline=run_names(baseline_runs), digest=digest
        )
    candidates, baselines = suite_runs.with_common_ids(candidate_runs, baseline_runs)
    report = gate_runs(candidates, baselines, alpha_spending.single_gate_policy(gate_policy), limits=limits)
    remarks = policy_promises.promise_remarks(candidate_runs, gate_policy)
    report = structs.replace(report, notes=(*report.notes, *remarks))
    return alpha_spending.record(account, report, digest=digest) if account else report


def run_request(request: RunRequest, *, say: Callable[[str], None]) -> tuple[Runs, bool]:
    """Run the request of a command; return its runs, and whether any model was interrupted or failed."""
    outcomes = Session(request, say=say).run()
    return _stored_runs(outcomes), any(outcome.interrupted or bool(outcome.fault) for outcome in outcomes)


def _session(
    suites: SuiteLike | Sequence[SuiteLike],
    model: ModelLike | Sequence[ModelLike],
    *,
    quiet: bool,
    options: dict[str, Any],
) -> Session:
    suite_list = [suites] if isinstance(suites, str | Suite | Benchmark) else list(suites)
    models = list(model) if isinstance(model, list | tuple) else [model]
    suite_objects = [made for suite in suite_list for made in _suites_of(suite, options)]
    named_models = [_named_model(entry) for entry in models]
    in_memory = [suite for suite in suite_objects if suite.in_memory]
    _check_distinct([(f"{suite.id} ({suite.protocol})", suite) for suite in in_memory], "suites")
    _check_distinct([(entry.name, entry) for entry in models if isinstance(entry, Model)], "models")
    if any(callable(entry) and not isinstance(entry, Model) for entry in models):
        options = {"fresh": True, **options}  # a function's name does not identify its replies
    names = [suite for suite in suite_list if isinstance(suite, str)]
    request = make_request({**options, "suites": names, "models": [named.spec for named in named_models]})
    if command_only := [name for name in COMMAND_OPTIONS if getattr(request, name)]:
        raise UsageError(f"{command_only[0]} is only for the command `evals run`")
    for suite_object in suite_objects:
        load.register(suite_object)
    say: Callable[[str], None] = (lambda line: None) if quiet else notice
    return Session(request, suites=suite_objects, models=named_models, say=say, quiet=quiet)


def _suites_of(suite: SuiteLike, options: Mapping[str, Any]) -> list[Suite]:
    """Return a suite object, or those of a benchmark's default variants; empty for a name, which the request contains."""
    if isinstance(suite, str):
        return []
    if isinstance(suite, Benchmark):
        protocol, shots = options.get("protocol") or "", options.get("shots")
        return [suite.suite(variant, protocol, shots=shots) for variant in suite.resolve(None)]
    if not isinstance(suite, Suite):
        raise UsageError(f"a suite is a name or a Suite (see Suite.of), not {type(suite).__name__}")
    for name in ("protocol", "shots"):
        if options.get(name) not in (None, getattr(suite, name)):
            raise UsageError(f"{name}: the suite {suite.id} is defined with {name} {getattr(suite, name)}")
    return [suite]


def _check_distinct(named: Sequence[tuple[str, object]], kind: str) -> None:
    """Raise UsageError if two objects have the same name, since the runs of one would be taken for those of the other."""
    objects: dict[str, object] = {}
    for name, value in named:
        if objects.setdefault(name, value) is not value:
            raise UsageError(f"two {kind} are named {name!r}: give each another name")


def _named_model(model: Any) -> NamedModel:
    if isinstance(model, str):
        return NamedModel(model)
    if isinstance(model, Model):
        return NamedModel(f"object:{model.name}", model)
    if callable(model):
        function = load.function_model(model)
        return NamedModel(f"function:{function.name}", function)
    raise UsageError(f"a model is a name, a Model or a function, not {type(model).__name__}")


def _call_outside_loop(function: Callable[[], T], *, interrupt: Callable[[], None] | None = None) -> T:
    """Call a function that starts an event loop: directly, or in a thread if a loop is running, as in a notebook.

    Ctrl-C is then passed to the thread through `interrupt`.
    """
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return function()
    with ThreadPoolExecutor(1, thread_name_prefix="evals") as pool:
        future = pool.submit(function)
        while True:
            try:
                return future.result()
            except KeyboardInterrupt:
                if future.done() or interrupt is None:
                    raise
                interrupt()


def _completed_runs(outcomes: Sequence[Outcome]) -> Runs:
    """Return the runs of all models; raises KeyboardInterrupt or ModelError if one was interrupted or failed."""
    if any(outcome.interrupted for outcome in outcomes):
        raise KeyboardInterrupt
    if len(outcomes) == 1 and outcomes[0].total_failure:
        raise ModelError(f"every call fails: {outcomes[0].total_failure}")
    if faults := [f"{outcome.model} failed: {outcome.fault}" for outcome in outcomes if outcome.fault]:
        others = "; the runs of the others are stored" if len(faults) < len(outcomes) else ""
        raise ModelError(f"{'; '.join(faults)}{others}")
    return _stored_runs(outcomes)


def _stored_runs(outcomes: Sequence[Outcome]) -> Runs:
    return Runs([Run(path) for outcome in outcomes for path in outcome.paths])


def _suite_runs(
    side: RunsLike,
    results: Path,
    suites: Sequence[str],
    *,
    latest: bool,
    other_side: Collection[tuple[str, str]] = (),
) -> list[SuiteRun]:
    from evals.verdicts import suite_runs

    if isinstance(side, Runs | Run):
        selected = list(side) if isinstance(side, Runs) else [side]
        return suite_runs.load_runs(selected, suites=suites, latest=latest)
    return suite_runs.load_named_runs(results, str(side), suites=suites, latest=latest, other_side=other_side)
