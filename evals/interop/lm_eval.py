"""lm-evaluation-harness: `results_<time>.json` and `samples_<task>_<time>.jsonl` (its loggers, 0.4.0 to 0.4.13).

Every file of samples is a task; tasks of one suite become one run. The first filter of a file is theirs. Before 0.4.3 a
folder holds `results.json` and `<model_args>_<task>.jsonl`, one JSON array each; the Open LLM Leaderboard wrote
`samples_*.json`. What lm-eval wrote before 0.4.0 has no samples of any suite of ours.
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
from evals.interop.values import first_text, lettered, listing, mapping, number, scores, settings
from evals.types import Usage

FILTER = "none"
FORMAT = "lm-eval"
NOTHING = "nothing: lm-eval keeps a failed call and an empty reply alike"
QUESTION = ("question", "Question", "problem", "Problem", "query", "input", "prompt")
"""Names of a document's field with the question, the likeliest first."""
OPTIONS = ("options", "choices", "endings")
NAMES = ("id", "question_id", "doc_id", "pid", "index", "uuid", "Record ID")
OLDER = "results.json"
"""Name of the results before 0.4.3."""


def read(path: Path) -> list[Source]:
    """Read a folder of results, a results file or a file of samples; raises DataError in one line."""
    results = cache(lambda file: optional(file, "results of lm-eval"))  # the tasks of a run share one
    sources = [_source(file, name, result) for file in _files(path) for name, result in _named(file, results)]
    if not sources:
        raise DataError(f"{path}: no samples_*.jsonl there; lm-eval writes them with --log_samples")
    return sources


def _files(path: Path) -> list[Path]:
    """Return what may be files of samples: one by itself, those of a folder, or those beside a results file."""
    if path.is_file() and not path.name.startswith("results"):
        return [path]
    folder = path if path.is_dir() else path.parent
    stamp = path.stem.removeprefix("results_") if path.is_file() and path.name != OLDER else ""
    older = (
        []
        if stamp
        else [file for one in below(folder, f"**/{OLDER}") for file in below(one.parent, "*.jsonl")]
    )
    return sorted({*(file for file in below(folder, "**/samples_*.json*") if stamp in file.name), *older})


def _named(path: Path, results: Callable[[Path], dict[str, Any]]) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield the task of a file and the results that belong to it; nothing for what is no file of samples."""
    stem = path.name.partition(".json")[0]
    if path.name.startswith("samples_"):
        name, _, stamp = stem.removeprefix("samples_").rpartition("_")
        yield name or stamp, results(path.with_name(f"results_{stamp}.json"))
        return
    result = results(path.with_name(OLDER))
    names = [name for name in mapping(result.get("configs")) if stem.endswith(f"_{name}")]
    if names or not result:
        yield max(names, key=len, default=stem), result


def _source(path: Path, task: str, results: Mapping[str, Any]) -> Source:
    config = mapping(mapping(results.get("configs")).get(task))
    given = mapping(config.get("generation_kwargs"))
    known = _known(results, config)
    limit = "max_gen_toks" if "max_gen_toks" in given else "max_tokens"
    return Source(
        format=FORMAT,
        tasks=(task,),
        model=_model(results) or path.parent.name,
        items=lambda: items(path, _rows(path), partial(_replies, known=known), "sample of lm-eval"),
        sampling=settings(given, max_tokens=limit, stop="until"),
        started=number(results.get("date")) or 0.0,
        stated=dict(_stated(task, results)),
    )


def _model(results: Mapping[str, Any]) -> str:
    """Name the model; versions before 0.4.3 have it among the arguments alone."""
    given = str(mapping(results.get("config")).get("model_args") or "")
    args = dict(pair.partition("=")[::2] for pair in given.split(","))
    return str(results.get("model_name") or args.get("pretrained") or args.get("model") or "")


def _stated(task: str, results: Mapping[str, Any]) -> Iterator[tuple[str, float]]:
    """Yield the scores of a task, and of the groups that it is part of."""
    groups = [g for g, tasks in mapping(results.get("group_subtasks")).items() if task in tasks]
    for name in (task, *groups):
        for table in (results.get("results"), results.get("groups")):
            for metric, score in scores(mapping(table).get(name)).items():
                if "," in metric and "_stderr" not in metric:
                    yield f"{name} {metric}", score


class Known(NamedTuple):
    """What the results tell of how to read the samples."""

    served: bool
    """Asked over a network, where a failed call leaves an empty reply."""
    first: frozenset[str]
    """Filters that score the first reply alone."""


def _known(results: Mapping[str, Any], config: Mapping[str, Any]) -> Known:
    asked = mapping(results.get("config"))
    served = "base_url" in str(asked.get("model_args")) or "completions" in str(asked.get("model"))
    filters = config.get("filter_list")
    if not isinstance(filters, list):
        return Known(served, frozenset({FILTER} if config else ()))
    first = {"function": "take_first"}
    names = (one.get("name") for one in map(mapping, filters) if first in listing(one.get("filter")))
    return Known(served, frozenset(name for name in names if isinstance(name, str)))


def _rows(path: Path) -> Iterator[tuple[dict[str, Any], str]]:
    """Yield the rows of the first filter: each has a line of its own for the same reply."""
    first: Any = None
    for place, (row, where) in enumerate(objects(path)):
        first = row.get("filter") if place == 0 else first
        if row.get("filter") == first:
            yield row, where


def _replies(row: Mapping[str, Any], where: str, *, known: Known) -> Iterator[Item]:
    doc = mapping(row["doc"])
    arguments = list(row["arguments"].values()) if isinstance(row["arguments"], dict) else row["arguments"]
    prompt = _prompt(arguments[0]) if arguments else ""
    options = next((tuple(map(str, doc[n])) for n in OPTIONS if isinstance(doc.get(n), list)), ())
    metrics = [name for name in row.get("metrics") or () if isinstance(row.get(name), int | float)]
    own = row.get("science_evals") or []
    texts = _texts(row["resps"])
    for repeat, text in enumerate(texts):
        judged = len(texts) == 1 or (repeat == 0 and row.get("filter") in known.first)
        nothing = not text and known.served and not own
        kept = own[repeat] if repeat < len(own) and isinstance(own[repeat], dict) else {}
        yield Item(
            where=where,
            id=next((str(doc[name]) for name in NAMES if isinstance(doc.get(name), str | int)), ""),
            question=first_text(doc, QUESTION),
            prompt=prompt,
            options=options if "order" not in kept else (),
            text=None if nothing else text,
            failure=NOTHING if nothing else "",
            reasoning=kept.get("reasoning"),
            stop=kept.get("stop"),
            usage=msgspec.convert(kept.get("usage") or {}, Usage),
            seconds=number(kept.get("seconds")) or 0.0,
            order=tuple(kept["order"]) if kept.get("order") else None,
            repeat=kept.get("repeat", repeat if len(texts) > 1 else None),
            score=number(row[metrics[0]]) if metrics and judged else None,
            answer=_answer(row.get("filtered_resps"), repeat),
        )


def _prompt(argument: Any) -> str:
    """Return the text that was sent: `arg_0`, or the first of a pair; chats are joined turn by turn."""
    first = argument["arg_0"] if isinstance(argument, dict) else argument[0]
    if isinstance(first, list) and len(first) == 1 and isinstance(first[0], str):  # a rendered chat
        first = first[0]
    if isinstance(first, str) and first.startswith("[{"):
        first = msgspec.json.decode(first)
    if isinstance(first, list):
        return "\n\n".join(str(turn.get("content", "")) for turn in first if isinstance(turn, dict))
    return str(first)


def _texts(resps: Any) -> list[str]:
    """Return the replies; of likelihoods the letter of the likeliest option, which is what the model chose."""
    if resps and all(len(one) == 1 and isinstance(one[0], list | tuple) for one in resps):
        likelihoods = [float(one[0][0]) for one in resps]
        return [lettered(likelihoods.index(max(likelihoods)))]
    inner = resps[0] if resps and isinstance(resps[0], list) else resps
    return [str(text) for text in inner]


def _answer(filtered: Any, repeat: int) -> str:
    if not isinstance(filtered, list) or not filtered:
        return ""
    one = filtered[repeat] if repeat < len(filtered) else filtered[0]
    one = one[0] if isinstance(one, list) and one else one
    return one if isinstance(one, str) else ""
