"""Score replies with the filters and metrics of a task of lm-evaluation-harness, one sample at a time.

Source: `lm_eval/evaluator.py`, `api/task.py` (`process_results`), `api/filter.py` at v0.4.13. What lm_eval computes for a
document is stored in the score: in `parts`, by metric, the values that lm_eval averages; in `answer`, as JSON, the inputs of
its other aggregations (BLEU, perplexity, F1). Generated text is scored in a worker process, because a task's regular
expressions and parsers are not designed for hostile text.
"""

from __future__ import annotations

import logging
import os
import random
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cache, partial
from importlib.util import find_spec
from math import isfinite
from pathlib import Path
from typing import Any

import msgspec
from msgspec import Struct

from evals.boundary import foreign_code
from evals.calls.call import decode_likelihoods
from evals.errors import DataError, ScorerError, UsageError, install_command
from evals.scorers.outcomes import unanswered_verdict
from evals.types import Point, Prompt, Reply, Sample, Sampling, Score, Verdict

LIKELIHOOD_TYPES = ("multiple_choice", "loglikelihood")
"""Output types that are scored by log-likelihoods."""
BINARY_METRICS = ("acc", "acc_norm", "acc_bytes", "exact_match")
"""Metrics that are 0 or 1 for each sample."""
FAST_METRICS = ("perplexity", "word_perplexity", "byte_perplexity", "bits_per_byte", "brier_score")
"""Metrics that are cheap to aggregate."""
MAX_STOPS = 4
"""Maximum number of stop sequences that lm_eval sends to a chat server."""
NO_ANSWER = ("[invalid]", "")
"""Outputs of a filter that finds no answer."""


class TaskFile(Struct, frozen=True):
    """The name of a task and the location of its definition."""

    name: str
    path: str
    """Path of the YAML file."""


@cache
def load_task(task_file: TaskFile) -> Any:
    """Return a task, loaded with its data; raises a one-line DataError if that fails."""
    import_quietly()
    from lm_eval.tasks import TaskManager

    with (
        foreign_code(lambda why: DataError(f"lm-eval:{task_file.name} cannot be loaded: {why[:300]}")),
        _seeded_generators(),
    ):
        tasks = TaskManager(include_defaults=False).load(task_file.path)["tasks"]
        return tasks.get(task_file.name) or next(iter(tasks.values()))


@contextmanager
def _seeded_generators() -> Iterator[None]:
    """Seed the global generators as lm_eval does, since some tasks shuffle while loading; restore their states afterwards."""
    import numpy as np

    state, numpy_state = random.getstate(), np.random.get_state()  # noqa: NPY002 - lm_eval draws from it
    random.seed(0)
    np.random.seed(1234)  # noqa: NPY002 - likewise
    try:
        yield
    finally:
        random.setstate(state)
        np.random.set_state(numpy_state)  # noqa: NPY002 - likewise


def import_quietly() -> None:
    """Import lm_eval without its progress bars and warnings; raises UsageError if it is not installed."""
    if find_spec("lm_eval") is None:
        raise UsageError(f"lm-eval tasks need `{install_command('lm-eval')}`")
    import datasets

    datasets.disable_progress_bars()
    for name in ("lm_eval", "datasets"):
        logging.getLogger(name).setLevel(logging.ERROR)


class LmEvalScorer(Struct, frozen=True):
    """Scores a reply with lm_eval and one of the task's filters."""

    task_file: TaskFile
    filter: str
    """Name of the filter; `none` if the task defines no filter."""
    versions: str
    """Versions of lm_eval and of the task."""
    heavy: bool
    """Whether generated text is scored, which requires a worker, rather than log-likelihoods."""

    def __repr__(self) -> str:
        return f"lm_eval {self.versions}: {self.task_file.name}, filter {self.filter}"

    def warm(self) -> None:
        """Load the task in a worker, offline, since its data are already cached."""
        os.environ["HF_HUB_OFFLINE"] = "1"
        load_task(self.task_file)

    def __call__(self, sample: Sample, prompt: Prompt, reply: Reply) -> Score:
        """Score one reply; raises ScorerError if lm_eval fails."""
        task = load_task(self.task_file)
        responses = _model_output(task, reply)
        filtered = apply_filter(task, self.filter, sample.meta["doc"], responses)
        results = task.process_results(sample.meta["doc"], filtered)
        return _score(task, results, reply, filtered)


def _model_output(task: Any, reply: Reply) -> list[Any]:
    """Return a reply in the form that lm_eval's models return."""
    if task.OUTPUT_TYPE not in LIKELIHOOD_TYPES:
        return [reply.text]
    try:
        return [(likelihood.logprob, likelihood.greedy) for likelihood in decode_likelihoods(reply.text)]
    except (msgspec.MsgspecError, UnicodeError) as error:
        raise ScorerError(f"the reply contains no likelihoods: {error}") from None


def apply_filter(task: Any, name: str, doc: Mapping[str, Any], answers: Sequence[Any]) -> list[Any]:
    """Apply a task's filter to the answers for one document, as lm_eval's `evaluate` does for all documents at once."""
    from lm_eval.api.instance import Instance

    instances = [
        Instance(request_type=task.OUTPUT_TYPE, doc=dict(doc), arguments=(), idx=index, resps=[answer])
        for index, answer in enumerate(answers)
    ]
    next(ensemble for ensemble in task._filters if ensemble.name == name).apply(instances)
    return [instance.filtered_resps[name] for instance in instances]


def sampling_of(settings: Mapping[str, Any]) -> Sampling:
    """Translate generation settings as lm_eval's chat models do (`models/openai_completions.py`)."""
    remaining = dict(settings)
    remaining.pop("do_sample", None)
    max_tokens = remaining.pop("max_gen_toks", 256)
    until = remaining.pop("until", None) or []
    stops = [until] if isinstance(until, str) else until
    return Sampling(
        max_tokens=remaining.pop("max_tokens", max_tokens),
        temperature=remaining.pop("temperature", 0.0),
        stop=tuple(stop for stop in stops if stop)[:MAX_STOPS],
        extra=remaining,
    )


def reply_functions(task: Any) -> list[Callable[..., Any]]:
    """Return the functions of a task, its metrics and its filters that process a reply, except lm_eval's own."""
    methods = (task.config.process_results, type(task).process_results, type(task).aggregation)
    task_functions = [method for method in methods if callable(method)]
    metrics = [value for value in task._metric_fn_list.values() if callable(value)]
    filters = [function for ensemble in task._filters for function in ensemble.filters]
    filter_settings = [
        (function.func, function.keywords)
        if isinstance(function, partial)
        else (type(function), vars(function))
        for function in filters
    ]
    callbacks = [value for _, settings in filter_settings for value in settings.values() if callable(value)]
    apply_methods = [kind.apply for kind, _ in filter_settings if hasattr(kind, "apply")]
    own_modules = ("lm_eval.api", "lm_eval.filters", "lm_eval.utils")
    return [
        function
        for function in (*task_functions, *metrics, *callbacks, *apply_methods)
        if not (getattr(function, "__module__", "") or "").startswith(own_modules)
    ]


def is_averaged(task: Any, metric: str) -> bool:
    """Return whether lm_eval aggregates a metric by the plain mean over documents."""
    from lm_eval.api.metrics import mean

    return task.aggregation().get(metric) is mean


def headline_metric(task: Any) -> str:
    """Return the headline metric of a task: its first binary metric that lm_eval averages, else its first metric."""
    names: list[str] = list(task.aggregation())
    return next((name for name in names if name in BINARY_METRICS and is_averaged(task, name)), names[0])


def _score(task: Any, results: Mapping[str, Any], reply: Reply, filtered: Sequence[Any]) -> Score:
    items = {name: _to_json(value) for name, value in results.items() if name in task.aggregation()}
    parts = {
        name: float(value)
        for name, value in items.items()
        if is_averaged(task, name) and _is_finite_number(value)
    }
    remaining = {name: value for name, value in items.items() if not is_averaged(task, name)}
    headline = headline_metric(task)
    value = parts.get(headline)
    answer = (
        filtered[0] if task.OUTPUT_TYPE not in LIKELIHOOD_TYPES and isinstance(filtered[0], str) else None
    )
    unanswered = answer in NO_ANSWER and not value
    if remaining:
        answer = msgspec.json.encode(remaining).decode()
    return Score(
        value=value,
        verdict=_verdict(value if headline in BINARY_METRICS else None, reply, unanswered=unanswered),
        answer=None if unanswered and not remaining else answer,
        parts=parts,
    )


def _verdict(value: float | None, reply: Reply, *, unanswered: bool) -> Verdict:
    if unanswered:
        return unanswered_verdict(reply)
    return "right" if value == 1.0 else "wrong" if value == 0.0 else "graded"


def _is_finite_number(value: Any) -> bool:
    return isinstance(value, int | float) and isfinite(value)


def _to_json(value: Any) -> Any:
    """Convert a metric's result to JSON values: numpy numbers and arrays, tuples, sets."""
    if hasattr(value, "tolist"):
        return value.tolist()
    if isinstance(value, Mapping):
        return {str(key): _to_json(item) for key, item in value.items()}
    if isinstance(value, tuple | list | set | frozenset):
        return [_to_json(item) for item in value]
    return value


class Aggregate(Struct, frozen=True):
    """One of lm_eval's aggregations over all documents, in the order of the data."""

    task_file: TaskFile
    metric: str

    @property
    def resamples(self) -> int | None:
        """Return how many bootstrap resamples a slow aggregation gets (lm_eval uses 100); None, the default, for a fast one."""
        is_fast = self.metric in FAST_METRICS or is_averaged(load_task(self.task_file), self.metric)
        return None if is_fast else 200

    def __call__(self, points: Sequence[Point]) -> float:
        """Return the aggregate; raises ValueError if there are no items, or the result is not a finite number."""
        return self._reduce(
            [item for point in sorted(points, key=_data_position) for item in self._items(point)]
        )

    def over(self, clusters: Sequence[Sequence[Point]]) -> Callable[[Iterable[int]], float]:
        """Return a function from the indices of resampled clusters to the aggregate."""
        ordered = sorted(clusters, key=lambda points: _data_position(points[0]))
        items = [[item for point in points for item in self._items(point)] for points in ordered]
        return lambda indices: self._reduce([item for index in indices for item in items[index]])

    def _items(self, point: Point) -> list[Any]:
        if is_averaged(load_task(self.task_file), self.metric):
            return [point.parts[self.metric]] if self.metric in point.parts else []
        recorded = msgspec.json.decode(point.answer) if point.answer else {}
        return [recorded[self.metric]] if self.metric in recorded else []

    def _reduce(self, items: list[Any]) -> float:
        if not items:
            raise ValueError(f"no reply has a value of {self.metric}")
        value = _to_json(load_task(self.task_file).aggregation()[self.metric](items))
        if not _is_finite_number(value):
            raise ValueError(f"lm_eval's {self.metric} is {value!r}")
        return float(value)


def _data_position(point: Point) -> int:
    return int(point.id)


def version() -> str:
    """Return the version of the installed lm_eval."""
    from importlib.metadata import version

    return version("lm_eval")


def task_folder() -> Path:
    """Return the folder of lm_eval's own tasks."""
    spec = find_spec("lm_eval")
    if spec is None or spec.origin is None:
        raise UsageError(f"lm-eval tasks need `{install_command('lm-eval')}`")
    return Path(spec.origin).parent / "tasks"
