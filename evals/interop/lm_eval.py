"""lm-evaluation-harness (0.4.3 to 0.4.13): `results_<time>.json` and `samples_<task>_<time>.jsonl`.

Every samples file contains one task; the tasks of one suite become one run. If a task has several filters (rules that extract the
answer), the scores are those of the first one. The Open LLM Leaderboard writes `samples_*.json`, each a JSON array.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from functools import cache, partial
from pathlib import Path
from typing import Any, Literal

import msgspec
from msgspec import Struct

from evals.errors import DataError
from evals.interop.files import glob_visible, read_objects, read_optional
from evals.interop.foreign import Item, Source, read_items
from evals.interop.replies import Seconds
from evals.interop.values import (
    as_dict,
    as_list,
    choice_reply,
    join_turns,
    number,
    numeric_fields,
    read_sampling,
)
from evals.types import Usage

DEFAULT_FILTER = "none"
"""Name of the filter of a task that declares none; it takes the first reply."""
EMPTY_REPLY = "empty: lm-eval does not distinguish a failed call from an empty reply"
WITHHELD_REPLY = "withheld: an export of a gated suite contains no replies; `evals bundle` can be verified"
QUESTION_FIELDS = ("question", "Question", "problem", "Problem", "query", "input", "prompt")
"""Names that the field with the question may have, most specific first."""
OPTION_FIELDS = ("options", "choices", "endings")
"""Names that the field with the options may have."""
ID_FIELDS = ("id", "question_id", "doc_id", "pid", "index", "uuid", "Record ID")
"""Names that the field with the id may have."""


def read(path: Path) -> list[Source]:
    """Read a folder of results, a results file or a samples file; raises DataError."""
    read_results = cache(lambda file: read_optional(file, "lm-eval results"))  # shared by the tasks of a run
    sources = [_source(file, read_results) for file in _samples_files(path)]
    if not sources:
        raise DataError(f"{path}: no samples_*.jsonl found; lm-eval writes them with --log_samples")
    return sources


def _samples_files(path: Path) -> list[Path]:
    """Return the samples files: the path itself, those of a folder, or those of a results file."""
    if path.is_file() and not path.name.startswith("results"):
        return [path]
    folder = path if path.is_dir() else path.parent
    timestamp = path.stem.removeprefix("results_") if path.is_file() else ""
    return sorted(file for file in glob_visible(folder, "**/samples_*.json*") if timestamp in file.name)


def _source(path: Path, read_results: Callable[[Path], dict[str, Any]]) -> Source:
    name, _, timestamp = path.name.partition(".json")[0].removeprefix("samples_").rpartition("_")
    task, results = name or timestamp, read_results(path.with_name(f"results_{timestamp}.json"))
    config = as_dict(as_dict(results.get("configs")).get(task))
    sampling = as_dict(config.get("generation_kwargs"))
    read_row = partial(
        _items, is_remote=_is_remote(results), first_reply_filters=_first_reply_filters(config)
    )
    max_tokens_field = "max_gen_toks" if "max_gen_toks" in sampling else "max_tokens"
    return Source(
        tasks=(task,),
        model=str(results.get("model_name") or path.parent.name),
        items=lambda: read_items(path, _rows(path), read_row, "an lm-eval sample"),
        sampling=read_sampling(sampling, max_tokens=max_tokens_field, stop="until"),
        started=number(results.get("date")) or 0.0,
        stated_scores=dict(_stated_scores(task, results)),
    )


def _stated_scores(task: str, results: Mapping[str, Any]) -> Iterator[tuple[str, float]]:
    """Yield the scores of a task and of its groups."""
    groups = [group for group, tasks in as_dict(results.get("group_subtasks")).items() if task in tasks]
    for name in (task, *groups):
        for table in (results.get("results"), results.get("groups")):
            for metric, score in numeric_fields(as_dict(table).get(name)).items():
                if "," in metric and "_stderr" not in metric:
                    yield f"{name} {metric}", score


def _is_remote(results: Mapping[str, Any]) -> bool:
    """Return whether the model was called over a network; a failed call then leaves an empty reply."""
    run = as_dict(results.get("config"))
    return "base_url" in str(run.get("model_args")) or "completions" in str(run.get("model"))


def _first_reply_filters(config: Mapping[str, Any]) -> list[Any]:
    """Return the names of the filters that score only the first reply to a sample."""
    filters = config.get("filter_list")
    if not isinstance(filters, list):
        return [DEFAULT_FILTER] if config else []
    take_first = {"function": "take_first"}
    return [f.get("name") for f in map(as_dict, filters) if take_first in as_list(f.get("filter"))]


def _rows(path: Path) -> Iterator[tuple[dict[str, Any], str]]:
    """Yield the rows of the first filter; a reply has one line per filter."""
    rows = read_objects(path)
    if (first := next(rows, None)) is not None:
        yield first
        yield from (row for row in rows if row[0].get("filter") == first[0].get("filter"))


class OurRecord(Struct, frozen=True):
    """What `lm_eval_export.py` writes about a reply, under `science_evals`."""

    repeat: int | None = None
    stop: Literal["stop", "length", "filter"] | None = None
    reasoning: str | None = None
    usage: Usage = Usage()
    seconds: Seconds = 0.0
    order: tuple[int, ...] | None = None


def _items(
    row: Mapping[str, Any], location: str, *, is_remote: bool, first_reply_filters: list[Any]
) -> Iterator[Item]:
    doc = as_dict(row["doc"])
    arguments = list(row["arguments"].values()) if isinstance(row["arguments"], dict) else row["arguments"]
    prompt = _prompt(arguments[0]) if arguments else ""
    options = next((tuple(map(str, doc[n])) for n in OPTION_FIELDS if isinstance(doc.get(n), list)), ())
    metrics = [name for name in row.get("metrics") or () if isinstance(row.get(name), int | float)]
    our_records = msgspec.convert(row.get("science_evals") or [], list[OurRecord])
    texts = _reply_texts(row["resps"])
    for repeat, text in enumerate(texts):
        is_scored = len(texts) == 1 or (repeat == 0 and row.get("filter") in first_reply_filters)
        failure = ""
        if not text and our_records and not prompt:
            failure = WITHHELD_REPLY
        elif not text and is_remote and not our_records:
            failure = EMPTY_REPLY
        is_ours = repeat < len(our_records)
        ours = our_records[repeat] if is_ours else OurRecord(repeat=repeat if len(texts) > 1 else None)
        yield Item(
            location=location,
            id=next((str(doc[name]) for name in ID_FIELDS if isinstance(doc.get(name), str | int)), ""),
            question=next((doc[name] for name in QUESTION_FIELDS if isinstance(doc.get(name), str)), ""),
            prompt=prompt,
            options=() if is_ours else options,
            text=None if failure else text, failure=failure, reasoning=ours.reasoning,
            stop=ours.stop, usage=ours.usage, seconds=ours.seconds, order=ours.order, repeat=ours.repeat,
            score=number(row[metrics[0]]) if metrics and is_scored else None,
            answer=_extracted_answer(row.get("filtered_resps"), repeat),
        )  # fmt: skip


def _prompt(argument: Any) -> str:
    """Return the prompt: `arg_0`, or the first of the arguments; the turns of a chat are joined."""
    first = argument["arg_0"] if isinstance(argument, dict) else argument[0]
    if isinstance(first, list) and len(first) == 1 and isinstance(first[0], str):  # a rendered chat
        first = first[0]
    if isinstance(first, str) and first.startswith("[{"):
        first = msgspec.json.decode(first)
    return join_turns(first) if isinstance(first, list) else str(first)


def _reply_texts(resps: Any) -> list[str]:
    """Return the replies; if options were scored by likelihood, the letter of the likeliest one."""
    if resps and all(len(resp) == 1 and isinstance(resp[0], list | tuple) for resp in resps):
        likelihoods = [float(resp[0][0]) for resp in resps]
        return [choice_reply(likelihoods.index(max(likelihoods)))]
    return [str(text) for text in (resps[0] if resps and isinstance(resps[0], list) else resps)]


def _extracted_answer(filtered: Any, repeat: int) -> str:
    if not isinstance(filtered, list) or not filtered:
        return ""
    answer = filtered[repeat] if repeat < len(filtered) else filtered[0]
    answer = answer[0] if isinstance(answer, list) and answer else answer
    return answer if isinstance(answer, str) else ""
