"""The tasks of the installed lm-evaluation-harness.

Tasks are named `lm-eval:TASK`, `lm-eval:GROUP` or `lm-eval:FILE.yaml`, optionally with a number of few-shot examples
(`:5`). Generative tasks are sent as chat turns, like `lm_eval --apply_chat_template`; log-likelihoods are computed on
plain text, as `lm_eval` does by default. Examples are drawn with lm_eval's seeds for all documents in order, so that
every prompt equals the prompt in a full run of lm_eval. Source: `lm_eval/evaluator.py`, `api/task.py` at v0.4.13.

Local tasks are looked up in the folders of EVALS_LM_EVAL_INCLUDE (separated as in PATH), or passed as a file.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from hashlib import sha256
from pathlib import Path
from typing import Any

import msgspec

from evals.benchmark import Benchmark, Protocol
from evals.boundary import foreign_code
from evals.calls.call import encode_likelihoods
from evals.data import Data
from evals.errors import DataError, UnknownName, UsageError
from evals.report.part_mean import PartMean
from evals.scorers.upstream.code_execution import find_code_execution
from evals.scorers.upstream.lm_eval_task import (
    BINARY_METRICS,
    LIKELIHOOD_TYPES,
    Aggregate,
    LmEvalScorer,
    TaskFile,
    headline_metric,
    import_quietly,
    is_averaged,
    load_task,
    reply_functions,
    sampling_of,
    task_folder,
    version,
)
from evals.suite import Suite
from evals.types import Likelihood, Message, Metric, Prompt, Sample, Sampling, Text

GATED_SETS = frozenset({"Idavidrein/gpqa", "cais/hle"})
PROTOCOL = "lm-eval"
SEED = 1234
"""lm_eval's default seed for few-shot examples."""
_file_by_task: dict[str, Path] = {}
"""Task -> its file, for tasks resolved in this process."""


def resolve_tasks(rest: str) -> list[str]:
    """Return the tasks that the text after `lm-eval:` names; raises UnknownName, or UsageError if it is empty."""
    name, shots = _split_shots(rest)
    if not name:
        raise UsageError(
            "lm-eval: specify a task, a group or a file: lm-eval:gsm8k, lm-eval:mmlu, lm-eval:my.yaml"
        )
    import_quietly()
    if name.endswith((".yaml", ".yml")):
        return [_with_shots(_register_file(Path(name)), shots)]
    if name in _file_by_task or _register_builtin_file(name):
        return [_with_shots(name, shots)]
    return [_with_shots(member, shots) for member in dict.fromkeys(_members(name))]


def _split_shots(rest: str) -> tuple[str, int | None]:
    name, _, shots = rest.rpartition(":")
    return (name, int(shots)) if name and shots.isdecimal() else (rest, None)


def _with_shots(name: str, shots: int | None) -> str:
    return name if shots is None else f"{name}:{shots}"


def _register_file(path: Path) -> str:
    """Register the task that a file defines, and return the task's name."""
    from lm_eval.tasks._index import Kind, TaskIndex

    with foreign_code(lambda why: UsageError(f"lm-eval:{path}: {why}")):
        entry = TaskIndex.entry_from_path(path)
    if entry is None:
        raise UsageError(f"lm-eval:{path}: no such file, or no task in it")
    if entry.kind is Kind.GROUP:
        raise UsageError(
            f"lm-eval:{path} is a group; set EVALS_LM_EVAL_INCLUDE={path.parent} and pass the group's name"
        )
    _file_by_task[entry.name] = path.resolve()
    return str(entry.name)


def _register_builtin_file(name: str) -> bool:
    """Register lm_eval's file of this name (much faster than reading the whole index); return whether there is one."""
    from lm_eval.tasks._index import Kind, TaskIndex

    if os.environ.get("EVALS_LM_EVAL_INCLUDE") or not name.replace("-", "").replace("_", "").isalnum():
        return False
    for path in sorted(task_folder().rglob(f"{name}.yaml")):
        entry = TaskIndex.entry_from_path(path)
        if entry is not None and entry.name == name and entry.kind is not Kind.GROUP:
            _file_by_task[name] = path
            return True
    return False


@cache
def _read_index(include: str, *, defaults: bool) -> Mapping[str, Any]:
    from lm_eval.tasks import TaskManager

    folders = [folder for folder in include.split(os.pathsep) if folder]
    for folder in folders:
        if not Path(folder).is_dir():
            raise UsageError(f"EVALS_LM_EVAL_INCLUDE: {folder} is not a folder")
    manager = TaskManager(include_path=folders or None, include_defaults=defaults)
    index: Mapping[str, Any] = manager.task_index
    return index


def _index_entry(name: str) -> Any:
    """Return a task's index entry; the user's folders are read first, since reading lm_eval's 14,000 tasks takes ten seconds."""
    include = os.environ.get("EVALS_LM_EVAL_INCLUDE", "")
    entry = _read_index(include, defaults=False).get(name) if include else None
    if entry is None:
        index = _read_index(include, defaults=True)
        if (entry := index.get(name)) is None:
            own = "" if include else "a task of your own: set EVALS_LM_EVAL_INCLUDE to its folder"
            raise UnknownName("task of lm-eval", name, index, see="evals lm-eval ls tasks", more=own)
    return entry


def _members(name: str) -> Iterator[str]:
    """Yield the tasks of a group or a tag, or the task itself."""
    from lm_eval.tasks._factory import GROUP_FIELD_NAMES
    from lm_eval.tasks._index import Kind

    entry = _index_entry(name)
    if entry.kind is Kind.TAG:
        yield from sorted(entry.tags)
    elif entry.kind is not Kind.GROUP:
        _file_by_task[name] = entry.yaml_path
        yield name
    else:
        settings = set(entry.cfg) - GROUP_FIELD_NAMES - {"include"}
        for child in entry.cfg.get("task") or ():
            overrides = settings | (set(child) - {"task", "group"} if isinstance(child, dict) else set())
            if overrides:
                raise UsageError(
                    f"lm-eval:{name} overrides {', '.join(sorted(overrides))} of its members, which is not supported; "
                    "specify the tasks themselves"
                )
            yield from _members(child if isinstance(child, str) else child.get("task") or child.get("group"))


def _shot_count(task: Any, requested: int | None, name: str) -> int:
    default = task.config.num_fewshot
    if requested and default == 0:
        raise UsageError(f"lm-eval:{name}: the task is defined to have no few-shot examples")
    return int(default or 0) if requested is None else requested


def _samples(data: Data, task_file: TaskFile, shots: int) -> Iterator[Sample]:
    if data.sample or data.local:
        option = "--sample" if data.sample else "--data"
        raise DataError(f"lm-eval: a task's data are defined by the task; {option} cannot be used")
    task = load_task(task_file)
    task.set_fewshot_seed(SEED)
    is_chat = task.OUTPUT_TYPE not in LIKELIHOOD_TYPES
    for position, doc in enumerate(task.eval_docs):
        context = task.fewshot_context(
            doc,
            num_fewshot=shots,
            apply_chat_template=is_chat,
            fewshot_as_multiturn=True,
            chat_template=_turns_as_json if is_chat else None,
            gen_prefix=task.doc_to_prefix(doc),
        )
        requests = task.construct_requests(
            doc=doc, ctx=context, metadata=(task_file.name, position, 1), apply_chat_template=is_chat
        )
        request_list = requests if isinstance(requests, list) else [requests]
        yield _make_sample(task, str(position), doc, [request.args for request in request_list])


def _turns_as_json(turns: Sequence[Mapping[str, str]], *, add_generation_prompt: bool = True) -> str:
    """Return the turns as JSON; passed to lm_eval in place of a function that renders a chat template."""
    return json.dumps(turns, ensure_ascii=False)


def _make_sample(
    task: Any, sample_id: str, doc: Mapping[str, Any], arguments: Sequence[tuple[Any, ...]]
) -> Sample:
    meta: dict[str, Any] = {"doc": msgspec.to_builtins(doc)}
    if task.OUTPUT_TYPE in LIKELIHOOD_TYPES:
        texts, meta["continuations"] = _group_by_context(arguments)
    else:
        turns = json.loads(arguments[0][0])
        texts, meta["roles"] = [turn["content"] for turn in turns], [turn["role"] for turn in turns]
    choices, target = _gold(task, doc)
    return Sample(
        id=sample_id, question=tuple(map(Text, texts)), target=target or "(empty)", choices=choices, meta=meta
    )


def _group_by_context(arguments: Sequence[tuple[Any, ...]]) -> tuple[list[str], list[list[str]]]:
    """Return the contexts in order and the continuations of each; only consecutive requests share a context."""
    contexts: list[str] = []
    continuations: list[list[str]] = []
    for context, continuation in arguments:
        if not contexts or contexts[-1] != context:
            contexts.append(context)
            continuations.append([])
        continuations[-1].append(continuation)
    return contexts, continuations


def _gold(task: Any, doc: Mapping[str, Any]) -> tuple[tuple[str, ...], str | tuple[str, ...]]:
    """Return the options and gold letters of a multiple-choice document; for others, no options and lm_eval's target."""
    gold = task.doc_to_text(doc) if task.multiple_input else task.doc_to_target(doc)
    if task.OUTPUT_TYPE == "multiple_choice":
        choices = tuple(map(str, task.doc_to_choice(doc)))
        if isinstance(gold, str) and gold in choices:
            gold = choices.index(gold)
        indices = gold if isinstance(gold, list) else [gold]
        if indices and all(isinstance(index, int) and 0 <= index < len(choices) for index in indices):
            letters = tuple(chr(ord("A") + index) for index in indices)
            return choices, letters[0] if len(letters) == 1 else letters
    return (), tuple(map(str, gold)) if isinstance(gold, list) else str(gold)


def _prompt(sample: Sample, repeat: int) -> Prompt:
    """Return the task's prompt, whose few-shot examples were drawn when the data were read."""
    continuations = tuple(map(tuple, sample.meta.get("continuations", ())))
    roles = sample.meta.get("roles") or ["user"] * len(sample.question)
    messages = tuple(Message(role, (part,)) for role, part in zip(roles, sample.question, strict=True))
    return Prompt(messages=messages, continuations=continuations)


def _ideal(sample: Sample, prompt: Prompt) -> str:
    """Return the gold answer, or likelihoods under which it is the most likely, even after normalisation by length."""
    if "continuations" not in sample.meta:
        return sample.targets[0]
    texts = [text for group in sample.meta["continuations"] for text in group]
    golds = set(range(len(texts)))
    if sample.choices:
        golds = {ord(letter) - ord("A") for letter in sample.targets}
    return encode_likelihoods(
        [
            Likelihood(logprob=0.0 if i in golds else -1e3 * len(text.encode()), tokens=1, greedy=i in golds)
            for i, text in enumerate(texts)
        ]
    )


def _refusal_reason(task: Any, name: str) -> str:
    """Return why a task cannot be run; empty if it can."""
    reason = ""
    if getattr(task, "UNSAFE_CODE", False):
        reason = "executes what the model writes"
    elif call := find_code_execution(reply_functions(task)):
        reason = f"may execute what the model writes ({call})"
    elif getattr(task, "MULTIMODAL", False):
        reason = "has images or sound in its prompts, which only our own suites support"
    elif task.OUTPUT_TYPE == "loglikelihood_rolling" or "acc_mutual_info" in task.aggregation():
        reason = "needs the likelihood of a text without context, which servers do not report"
    elif task.config.repeats > 1:
        reason = f"scores {task.config.repeats} replies to each question together"
    return reason and f"lm-eval:{name} {reason}: not supported"


def _metrics(task: Any, task_file: TaskFile) -> tuple[Metric, ...]:
    """Return the task's metrics for each filter; the headline is the task's main metric for its first filter."""
    filters = [ensemble.name for ensemble in task._filters]
    headline = headline_metric(task)
    averaged = {name for name in BINARY_METRICS if is_averaged(task, name)}
    names = sorted(task.aggregation(), key=lambda name: name != headline)
    return tuple(
        Metric(
            name=name if len(filters) == 1 else f"{name},{filter_name}",
            of=PartMean(name) if name in averaged else Aggregate(task_file, name),
            pool="micro" if name in averaged else "whole",
            better="higher" if task.higher_is_better().get(name, True) else "lower",
            unit="fraction" if name in BINARY_METRICS else "",
            bounds=(0.0, 1.0) if name in averaged else None,
            scorer=filter_name,
            headline=name == headline and filter_name == filters[0],
        )
        for filter_name in filters
        for name in names
    )


def _fingerprint(task: Any) -> str:
    """Return a hash of the task's configuration, without the location of its data."""
    left_out = ("dataset_kwargs", "metadata", "num_fewshot")
    config = {key: value for key, value in task.dump_config().items() if key not in left_out}
    return sha256(json.dumps(config, sort_keys=True, default=str).encode()).hexdigest()[:8]


def _suite(variant: str) -> Suite:
    name, requested_shots = _split_shots(variant)
    if name not in _file_by_task:
        resolve_tasks(name)
    task_file = TaskFile(name, str(_file_by_task[name]))
    task = load_task(task_file)
    shots = _shot_count(task, requested_shots, name)
    versions = f"{version()}, task version {task.VERSION}"
    by_likelihood = task.OUTPUT_TYPE in LIKELIHOOD_TYPES
    return Suite(
        name="lm-eval",
        variant=_with_shots(name, requested_shots),
        protocol=PROTOCOL,
        version=f"{task.VERSION}-{_fingerprint(task)}",
        samples=lambda data: _samples(data, task_file, shots),
        prompter=lambda data: _prompt,
        ideal=_ideal,
        why_unsolvable=None
        if headline_metric(task) in BINARY_METRICS
        else lambda sample: f"{headline_metric(task)} has no maximum",
        scorers={
            ensemble.name: LmEvalScorer(task_file, ensemble.name, versions, heavy=not by_likelihood)
            for ensemble in task._filters
        },
        metrics=_metrics(task, task_file),
        sampling=Sampling() if by_likelihood else sampling_of(task.config.generation_kwargs or {}),
        needs=frozenset({"logprobs"} if by_likelihood else ()),
        refuses=_refusal_reason(task, name),
        gated=task.config.dataset_path in GATED_SETS,
        cite=f"lm-evaluation-harness {version()}",
    )


class LmEval(Benchmark, frozen=True, kw_only=True):
    """The tasks of lm_eval, resolved by name."""

    def resolve(self, variant: str | None) -> tuple[str, ...]:
        """Return the tasks that a name selects; raises UnknownName, or UsageError if it is empty."""
        return tuple(resolve_tasks(variant or ""))

    @property
    def protocol_names(self) -> tuple[str, ...]:
        """Return the only protocol, the task's own."""
        return (PROTOCOL,)

    def suite(self, variant: str = "", protocol: str = "", *, shots: int | None = None) -> Suite:
        """Return the suite of one task; `shots`, if given, becomes part of the suite's name."""
        return _suite(variant if shots is None else _with_shots(_split_shots(variant)[0], shots))


def _defined_by_task(variant: str) -> Protocol:
    raise TypeError("the task in lm_eval defines this protocol")


BENCHMARK = LmEval(
    name="lm-eval",
    title="Any task of the installed lm-evaluation-harness: its prompts, filters and metrics; our records and statistics.",
    variants={},
    samples=lambda data, variant: _suite(variant).samples(data),
    protocols={PROTOCOL: _defined_by_task},
)
