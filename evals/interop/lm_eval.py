"""lm-evaluation-harness (0.4.3 to 0.4.13): `results_<time>.json` and `samples_<task>_<time>.jsonl`.

Every file of samples is a task; tasks of one suite become one run. Scores are those of a file's first filter. The Open
LLM Leaderboard writes `samples_*.json`, one JSON array each.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from functools import cache, partial
from pathlib import Path
from typing import Any, NamedTuple

import msgspec

from evals.errors import DataError
from evals.interop.files import below, objects, optional
from evals.interop.foreign import Item, Source, items
from evals.interop.values import choice_reply, first_text, listing, mapping, number, scores, settings, turns
from evals.types import Usage

FILTER = "none"
FORMAT = "lm-eval"
EMPTY = "nothing: lm-eval keeps a failed call and an empty reply alike"
QUESTION = ("question", "Question", "problem", "Problem", "query", "input", "prompt")
"""Names of the field with the question, the most specific first."""
OPTIONS = ("options", "choices", "endings")
NAMES = ("id", "question_id", "doc_id", "pid", "index", "uuid", "Record ID")


def read(path: Path) -> list[Source]:
    """Read a folder of results, a results file or a file of samples; raises DataError."""
    results = cache(lambda file: optional(file, "results of lm-eval"))  # shared by the tasks of a run
    sources = [_source(file, *_task(file, results)) for file in _files(path)]
    if not sources:
        raise DataError(f"{path}: no samples_*.jsonl there; lm-eval writes them with --log_samples")
    return sources


def _files(path: Path) -> list[Path]:
    """Return the files of samples: the path itself, those of a folder, or those of a results file."""
    if path.is_file() and not path.name.startswith("results"):
        return [path]
    folder = path if path.is_dir() else path.parent
    stamp = path.stem.removeprefix("results_") if path.is_file() else ""
    return sorted(file for file in below(folder, "**/samples_*.json*") if stamp in file.name)


def _task(path: Path, results: Callable[[Path], dict[str, Any]]) -> tuple[str, dict[str, Any]]:
    """Return the task of a file of samples and the results of its run."""
    name, _, stamp = path.name.partition(".json")[0].removeprefix("samples_").rpartition("_")
    return name or stamp, results(path.with_name(f"results_{stamp}.json"))


def _source(path: Path, task: str, results: Mapping[str, Any]) -> Source:
    config = mapping(mapping(results.get("configs")).get(task))
    sampling = mapping(config.get("generation_kwargs"))
    limit = "max_gen_toks" if "max_gen_toks" in sampling else "max_tokens"
    return Source(
        format=FORMAT,
        tasks=(task,),
        model=str(results.get("model_name") or path.parent.name),
        items=lambda: items(
            path, _rows(path), partial(_replies, facts=_facts(results, config)), "sample of lm-eval"
        ),
        sampling=settings(sampling, max_tokens=limit, stop="until"),
        started=number(results.get("date")) or 0.0,
        stated=dict(_stated(task, results)),
    )


def _stated(task: str, results: Mapping[str, Any]) -> Iterator[tuple[str, float]]:
    """Yield the scores of a task and of its groups."""
    groups = [g for g, tasks in mapping(results.get("group_subtasks")).items() if task in tasks]
    for name in (task, *groups):
        for table in (results.get("results"), results.get("groups")):
            for metric, score in scores(mapping(table).get(name)).items():
                if "," in metric and "_stderr" not in metric:
                    yield f"{name} {metric}", score


class Facts(NamedTuple):
    """Facts of the results file that decide how samples are read."""

    served: bool
    """Whether the model was called over a network: then a failed call leaves an empty reply."""
    take_first: frozenset[str]
    """Filters that score only the first reply."""


def _facts(results: Mapping[str, Any], config: Mapping[str, Any]) -> Facts:
    run = mapping(results.get("config"))
    served = "base_url" in str(run.get("model_args")) or "completions" in str(run.get("model"))
    filters = config.get("filter_list")
    if not isinstance(filters, list):
        return Facts(served, frozenset({FILTER} if config else ()))
    step = {"function": "take_first"}
    names = (entry.get("name") for entry in map(mapping, filters) if step in listing(entry.get("filter")))
    return Facts(served, frozenset(name for name in names if isinstance(name, str)))


def _rows(path: Path) -> Iterator[tuple[dict[str, Any], str]]:
    """Yield the rows of the first filter; every filter has its own line for the same reply."""
    rows = objects(path)
    if (first := next(rows, None)) is not None:
        yield first
        yield from (row for row in rows if row[0].get("filter") == first[0].get("filter"))


def _replies(row: Mapping[str, Any], where: str, *, facts: Facts) -> Iterator[Item]:
    doc = mapping(row["doc"])
    arguments = list(row["arguments"].values()) if isinstance(row["arguments"], dict) else row["arguments"]
    prompt = _prompt(arguments[0]) if arguments else ""
    options = next((tuple(map(str, doc[n])) for n in OPTIONS if isinstance(doc.get(n), list)), ())
    metrics = [name for name in row.get("metrics") or () if isinstance(row.get(name), int | float)]
    own = row.get("science_evals") or []
    texts = _texts(row["resps"])
    for repeat, text in enumerate(texts):
        scored = len(texts) == 1 or (repeat == 0 and row.get("filter") in facts.take_first)
        empty = not text and facts.served and not own
        extra = own[repeat] if repeat < len(own) and isinstance(own[repeat], dict) else {}
        yield Item(
            where=where,
            id=next((str(doc[name]) for name in NAMES if isinstance(doc.get(name), str | int)), ""),
            question=first_text(doc, QUESTION), prompt=prompt, options=options if "order" not in extra else (),
            text=None if empty else text, failure=EMPTY if empty else "", reasoning=extra.get("reasoning"),
            stop=extra.get("stop"), usage=msgspec.convert(extra.get("usage") or {}, Usage),
            seconds=number(extra.get("seconds")) or 0.0,
            order=tuple(extra["order"]) if extra.get("order") else None,
            repeat=extra.get("repeat", repeat if len(texts) > 1 else None),
            score=number(row[metrics[0]]) if metrics and scored else None,
            answer=_answer(row.get("filtered_resps"), repeat),
        )  # fmt: skip


def _prompt(argument: Any) -> str:
    """Return the prompt: `arg_0`, or the first of a pair; the turns of a chat are joined."""
    first = argument["arg_0"] if isinstance(argument, dict) else argument[0]
    if isinstance(first, list) and len(first) == 1 and isinstance(first[0], str):  # a rendered chat
        first = first[0]
    if isinstance(first, str) and first.startswith("[{"):
        first = msgspec.json.decode(first)
    return turns(first) if isinstance(first, list) else str(first)


def _texts(resps: Any) -> list[str]:
    """Return the replies; of options by likelihood, the letter of the likeliest one."""
    if resps and all(len(resp) == 1 and isinstance(resp[0], list | tuple) for resp in resps):
        likelihoods = [float(resp[0][0]) for resp in resps]
        return [choice_reply(likelihoods.index(max(likelihoods)))]
    inner = resps[0] if resps and isinstance(resps[0], list) else resps
    return [str(text) for text in inner]


def _answer(filtered: Any, repeat: int) -> str:
    if not isinstance(filtered, list) or not filtered:
        return ""
    answer = filtered[repeat] if repeat < len(filtered) else filtered[0]
    answer = answer[0] if isinstance(answer, list) and answer else answer
    return answer if isinstance(answer, str) else ""
