"""The tasks of the installed lm-evaluation-harness.

`lm-eval:TASK`, `lm-eval:GROUP`, `lm-eval:FILE.yaml`, optionally with a number of few-shot examples (`:5`). Generative
tasks are sent as chat turns, like `lm_eval --apply_chat_template`; log-likelihoods are computed on plain text, like
`lm_eval` does. Examples are drawn with lm_eval's seeds over all documents in order, so that every prompt equals that of
a full run of lm_eval. Source: `lm_eval/evaluator.py`, `api/task.py` at v0.4.13.

Local tasks are found in the folders of EVALS_LM_EVAL_INCLUDE (separated as in PATH), or passed as a file.
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
from evals.scorers.upstream.code_execution import find_code_execution
from evals.scorers.upstream.lm_eval_task import (
    BINARY_METRICS,
    LIKELIHOOD_TYPES,
    Aggregate,
    Harness,
    Part,
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
SEED = 1234  # of few-shot draws: lm_eval's default
_files: dict[str, Path] = {}
"""Name -> file, for tasks given as files in this process."""


def find(rest: str) -> list[str]:
    """Resolve the text after the colon to tasks; raises UnknownName, or UsageError if it is empty."""
    name, shots = _split(rest)
    if not name:
        raise UsageError(
            "lm-eval: name a task, a group or a file: lm-eval:gsm8k, lm-eval:mmlu, lm-eval:my.yaml"
        )
    import_quietly()
    if name.endswith((".yaml", ".yml")):
        return [_join(_file(Path(name)), shots)]
    if name in _files or _near(name):
        return [_join(name, shots)]
    return [_join(member, shots) for member in dict.fromkeys(_members(name))]


def _split(rest: str) -> tuple[str, int | None]:
    name, _, shots = rest.rpartition(":")
    return (name, int(shots)) if name and shots.isdecimal() else (rest, None)


def _join(name: str, shots: int | None) -> str:
    return name if shots is None else f"{name}:{shots}"


def _file(path: Path) -> str:
    """Register the task of a file and return its name."""
    from lm_eval.tasks._index import Kind, TaskIndex

    with foreign_code(lambda why: UsageError(f"lm-eval:{path}: {why}")):
        entry = TaskIndex.entry_from_path(path)
    if entry is None:
        raise UsageError(f"lm-eval:{path}: no such file, or no task in it")
    if entry.kind is Kind.GROUP:
        raise UsageError(f"lm-eval:{path} is a group; set EVALS_LM_EVAL_INCLUDE={path.parent} and name it")
    _files[entry.name] = path.resolve()
    return str(entry.name)


def _near(name: str) -> bool:
    """Return whether lm_eval has a file with the name of the task."""
    from lm_eval.tasks._index import Kind, TaskIndex

    if os.environ.get("EVALS_LM_EVAL_INCLUDE") or not name.replace("-", "").replace("_", "").isalnum():
        return False
    for path in sorted(task_folder().rglob(f"{name}.yaml")):
        entry = TaskIndex.entry_from_path(path)
        if entry is not None and entry.name == name and entry.kind is not Kind.GROUP:
            _files[name] = path
            return True
    return False


def _index() -> Mapping[str, Any]:
    """Read the files of all tasks, the user's folders last."""
    return _read(os.environ.get("EVALS_LM_EVAL_INCLUDE", ""), defaults=True)


@cache
def _read(include: str, *, defaults: bool) -> Mapping[str, Any]:
    from lm_eval.tasks import TaskManager

    folders = [folder for folder in include.split(os.pathsep) if folder]
    for folder in folders:
        if not Path(folder).is_dir():
            raise UsageError(f"EVALS_LM_EVAL_INCLUDE: {folder} is no folder")
    manager = TaskManager(include_path=folders or None, include_defaults=defaults)
    index: Mapping[str, Any] = manager.task_index
    return index


def _entry(name: str) -> Any:
    """Return a task's entry; the user's own first, since reading all 14,000 of lm_eval takes ten seconds."""
    include = os.environ.get("EVALS_LM_EVAL_INCLUDE", "")
    entry = _read(include, defaults=False).get(name) if include else None
    if entry is None:
        entry = _index().get(name)
    if entry is None:
        raise UnknownName("task of lm-eval", name, _index())
    return entry


def _members(name: str) -> Iterator[str]:
    """Return the tasks of a group or a tag, or the task itself."""
    from lm_eval.tasks._factory import GROUP_FIELD_NAMES
    from lm_eval.tasks._index import Kind

    entry = _entry(name)
    if entry.kind is Kind.TAG:
        yield from sorted(entry.tags)
    elif entry.kind is not Kind.GROUP:
        _files[name] = entry.yaml_path
        yield name
    else:
        given = set(entry.cfg) - GROUP_FIELD_NAMES - {"include"}
        for child in entry.cfg.get("task") or ():
            changed = given | (set(child) - {"task", "group"} if isinstance(child, dict) else set())
            if changed:
                raise UsageError(
                    f"lm-eval:{name} sets {', '.join(sorted(changed))} for its members, and is no sum of tasks; "
                    "name the tasks themselves"
                )
            yield from _members(child if isinstance(child, str) else child.get("task") or child.get("group"))


def _place(name: str) -> TaskFile:
    if name not in _files:
        find(name)
    return TaskFile(name, str(_files[name]))


def _shots(task: Any, asked: int | None, name: str) -> int:
    own = task.config.num_fewshot
    if asked is not None and own == 0 and asked:
        raise UsageError(f"lm-eval:{name}: the task itself is defined to have no examples")
    return int(own or 0) if asked is None else asked


def _samples(data: Data, place: TaskFile, shots: int) -> Iterator[Sample]:
    if data.sample or data.local:
        option = "--sample" if data.sample else "--data"
        raise DataError(f"lm-eval: a task says itself where its data lie; {option} cannot be used with it")
    task = load_task(place)
    task.set_fewshot_seed(SEED)
    chat = task.OUTPUT_TYPE not in LIKELIHOOD_TYPES
    for position, doc in enumerate(task.eval_docs):
        context = task.fewshot_context(
            doc,
            num_fewshot=shots,
            apply_chat_template=chat,
            fewshot_as_multiturn=True,
            chat_template=_as_turns if chat else None,
            gen_prefix=task.doc_to_prefix(doc),
        )
        made = task.construct_requests(
            doc=doc, ctx=context, metadata=(place.name, position, 1), apply_chat_template=chat
        )
        asked = made if isinstance(made, list) else [made]
        yield _sample(task, str(position), doc, [one.args for one in asked])


def _as_turns(turns: Sequence[Mapping[str, str]], *, add_generation_prompt: bool = True) -> str:
    """Return the turns themselves in place of a rendered chat template."""
    return json.dumps(turns, ensure_ascii=False)


def _sample(task: Any, name: str, doc: Mapping[str, Any], asked: Sequence[tuple[Any, ...]]) -> Sample:
    meta: dict[str, Any] = {"doc": msgspec.to_builtins(doc)}
    if task.OUTPUT_TYPE in LIKELIHOOD_TYPES:
        texts, meta["continuations"] = _grouped(asked)
    else:
        turns = json.loads(asked[0][0])
        texts, meta["roles"] = [turn["content"] for turn in turns], [turn["role"] for turn in turns]
    choices, target = _gold(task, doc)
    return Sample(
        id=name, question=tuple(map(Text, texts)), target=target or "(empty)", choices=choices, meta=meta
    )


def _grouped(asked: Sequence[tuple[Any, ...]]) -> tuple[list[str], list[list[str]]]:
    """Group continuations by context, in order."""
    contexts: list[str] = []
    wanted: list[list[str]] = []
    for context, continuation in asked:
        if not contexts or contexts[-1] != context:
            contexts.append(context)
            wanted.append([])
        wanted[-1].append(continuation)
    return contexts, wanted


def _gold(task: Any, doc: Mapping[str, Any]) -> tuple[tuple[str, ...], str | tuple[str, ...]]:
    """Return options and gold letters, or no options and lm_eval's target."""
    gold = task.doc_to_text(doc) if task.multiple_input else task.doc_to_target(doc)
    if task.OUTPUT_TYPE == "multiple_choice":
        choices = tuple(map(str, task.doc_to_choice(doc)))
        if isinstance(gold, str) and gold in choices:
            gold = choices.index(gold)
        right = gold if isinstance(gold, list) else [gold]
        if right and all(isinstance(one, int) and 0 <= one < len(choices) for one in right):
            letters = tuple(chr(ord("A") + one) for one in right)
            return choices, letters[0] if len(letters) == 1 else letters
    return (), tuple(map(str, gold)) if isinstance(gold, list) else str(gold)


def _ask(sample: Sample, repeat: int) -> Prompt:
    """Return the task's prompt; its random choices were made when the data were read."""
    continuations = tuple(map(tuple, sample.meta.get("continuations", ())))
    roles = sample.meta.get("roles") or ["user"] * len(sample.question)
    messages = tuple(Message(role, (part,)) for role, part in zip(roles, sample.question, strict=True))
    return Prompt(messages=messages, continuations=continuations)


def _ideal(sample: Sample, prompt: Prompt) -> str:
    """Return the gold answer, or likelihoods by which it is the most likely, whatever its length."""
    if "continuations" not in sample.meta:
        return sample.target[0] if isinstance(sample.target, tuple) else str(sample.target)
    texts = [text for some in sample.meta["continuations"] for text in some]
    letters = sample.target if isinstance(sample.target, tuple) else (str(sample.target),)
    right = {ord(letter) - ord("A") for letter in letters} if sample.choices else set(range(len(texts)))
    return encode_likelihoods(
        [
            Likelihood(logprob=0.0 if i in right else -1e3 * len(text.encode()), tokens=1, greedy=i in right)
            for i, text in enumerate(texts)
        ]
    )


def _refusal(task: Any, name: str) -> str:
    """Return why a task cannot be run; empty if it can."""
    reason = ""
    if getattr(task, "UNSAFE_CODE", False):
        reason = "executes what the model writes"
    elif call := find_code_execution(reply_functions(task)):
        reason = f"may execute what the model writes ({call})"
    elif getattr(task, "MULTIMODAL", False):
        reason = "asks with images or sound; see our own suites for these"
    elif task.OUTPUT_TYPE == "loglikelihood_rolling" or "acc_mutual_info" in task.aggregation():
        reason = "needs the likelihood of a text with nothing before it, which servers do not tell"
    elif task.config.repeats > 1:
        reason = f"judges {task.config.repeats} replies to each question together"
    return reason and f"lm-eval:{name} {reason}: not run here"


def _metrics(task: Any, place: TaskFile) -> tuple[Metric, ...]:
    """Return the task's metrics for each filter; the main one of the first filter is the headline."""
    filters = [ensemble.name for ensemble in task._filters]
    first = headline_metric(task)
    names = sorted(task.aggregation(), key=lambda name: name != first)
    return tuple(
        Metric(
            name=name if len(filters) == 1 else f"{name},{one}",
            of=Part(name) if name in BINARY_METRICS and is_averaged(task, name) else Aggregate(place, name),
            pool="micro" if name in BINARY_METRICS and is_averaged(task, name) else "whole",
            better="higher" if task.higher_is_better().get(name, True) else "lower",
            unit="fraction" if name in BINARY_METRICS else "",
            bounds=(0.0, 1.0) if name in BINARY_METRICS and is_averaged(task, name) else None,
            scorer=one,
            headline=name == first and one == filters[0],
        )
        for one in filters
        for name in names
    )


def _fingerprint(task: Any) -> str:
    """Return a hash of the task's configuration, without the location of its data."""
    config = {
        k: v for k, v in task.dump_config().items() if k not in ("dataset_kwargs", "metadata", "num_fewshot")
    }
    return sha256(json.dumps(config, sort_keys=True, default=str).encode()).hexdigest()[:8]


def _suite(variant: str) -> Suite:
    name, asked = _split(variant)
    place = _place(name)
    task = load_task(place)
    shots = _shots(task, asked, name)
    versions = f"{version()}, task version {task.VERSION}"
    paired = task.OUTPUT_TYPE in LIKELIHOOD_TYPES
    metrics = _metrics(task, place)
    return Suite(
        name="lm-eval",
        variant=_join(name, asked),
        protocol=PROTOCOL,
        version=f"{task.VERSION}-{_fingerprint(task)}",
        samples=lambda data: _samples(data, place, shots),
        prompter=lambda data: _ask,
        ideal=_ideal,
        unwinnable=None
        if headline_metric(task) in BINARY_METRICS
        else lambda sample: f"{headline_metric(task)} has no full marks",
        scorers={one.name: Harness(place, one.name, versions, heavy=not paired) for one in task._filters},
        metrics=metrics,
        sampling=Sampling() if paired else sampling_of(task.config.generation_kwargs or {}),
        needs=frozenset({"logprobs"} if paired else ()),
        refuses=_refusal(task, name),
        gated=task.config.dataset_path in GATED_SETS,
        cite=f"lm-evaluation-harness {version()}",
    )


class LmEval(Benchmark, frozen=True, kw_only=True):
    """The tasks of lm_eval, resolved by name."""

    def resolve(self, variant: str | None) -> tuple[str, ...]:
        """Return the tasks that a name stands for; raises UnknownName, or UsageError if it names none."""
        return tuple(find(variant or ""))

    @property
    def protocol_names(self) -> tuple[str, ...]:
        """Return the one protocol: the task's own."""
        return (PROTOCOL,)

    def suite(self, variant: str = "", protocol: str = "", *, shots: int | None = None) -> Suite:
        """Return the suite of one task; `shots` becomes part of its name."""
        return _suite(variant if shots is None else _join(_split(variant)[0], shots))


def _defined_by_task(variant: str) -> Protocol:
    raise TypeError("lm_eval's task defines this protocol")


BENCHMARK = LmEval(
    name="lm-eval",
    title="Any task of the installed lm-evaluation-harness: its prompts, filters and metrics; our records and statistics.",
    variants={},
    samples=lambda data, variant: _suite(variant).samples(data),
    protocols={PROTOCOL: _defined_by_task},
)
