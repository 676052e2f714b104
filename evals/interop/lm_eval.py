"""lm-evaluation-harness: `results_<time>.json` and `samples_<task>_<time>.jsonl` (its loggers, 0.4.0 to 0.4.13).

Every file of samples is a task; tasks of one suite become one run. The first filter of a file is theirs. Before 0.4.3 a
folder holds `results.json` and `<model_args>_<task>.jsonl`, one JSON array each; the Open LLM Leaderboard wrote
`samples_*.json`. What lm-eval wrote before 0.4.0 has no samples of any suite of ours.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import msgspec

from evals.errors import DataError
from evals.interop.files import below, document, objects
from evals.interop.foreign import Item, Source
from evals.interop.values import BROKEN, count, number
from evals.types import Sampling, Usage

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
    results = cache(_results)  # the tasks of a run share one
    found = [_source(file, name, told) for file in _files(path) for name, told in _named(file, results)]
    if not found:
        raise DataError(f"{path}: no samples_*.jsonl there; lm-eval writes them with --log_samples")
    return found


def _files(path: Path) -> list[Path]:
    """Give what may be files of samples: one by itself, those of a folder, or those beside a results file."""
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
    """Give the task of a file and the results that belong to it; nothing for what is no file of samples."""
    stem = path.name.partition(".json")[0]
    if path.name.startswith("samples_"):
        name, _, stamp = stem.removeprefix("samples_").rpartition("_")
        yield name or stamp, results(path.with_name(f"results_{stamp}.json"))
        return
    told = results(path.with_name(OLDER))
    configs = told.get("configs")
    names = [name for name in configs if stem.endswith(f"_{name}")] if isinstance(configs, dict) else []
    if names or not told:
        yield max(names, key=len, default=stem), told


def _source(path: Path, task: str, results: Mapping[str, Any]) -> Source:
    configs = results.get("configs")
    config = configs.get(task) if isinstance(configs, dict) else None
    config = config if isinstance(config, dict) else {}
    known = _known(results, config)
    return Source(
        format=FORMAT,
        tasks=(task,),
        model=_model(results) or path.parent.name,
        items=lambda: _items(path, known),
        sampling=_sampling(config),
        started=number(results.get("date")) or 0.0,
        stated=dict(_stated(task, results)),
    )


def _model(results: Mapping[str, Any]) -> str:
    """Name the model; versions before 0.4.3 have it among the arguments alone."""
    asked = results.get("config")
    given = str(asked.get("model_args") or "") if isinstance(asked, dict) else ""
    args = dict(pair.partition("=")[::2] for pair in given.split(","))
    return str(results.get("model_name") or args.get("pretrained") or args.get("model") or "")


def _stated(task: str, results: Mapping[str, Any]) -> Iterator[tuple[str, float]]:
    """Give the scores of a task, and of the groups that it is part of."""
    parts = results.get("group_subtasks")
    groups = [g for g, tasks in parts.items() if task in tasks] if isinstance(parts, dict) else []
    for name in (task, *groups):
        for told in (results.get("results"), results.get("groups")):
            scores = told.get(name) if isinstance(told, dict) else None
            for metric, value in scores.items() if isinstance(scores, dict) else ():
                score = number(value)
                if "," in metric and "_stderr" not in metric and score is not None:
                    yield f"{name} {metric}", score


class Known(NamedTuple):
    """What the results tell of how to read the samples."""

    served: bool
    """Asked over a network, where a failed call leaves an empty reply."""
    first: frozenset[str]
    """Filters that score the first reply alone."""


def _known(results: Mapping[str, Any], config: Mapping[str, Any]) -> Known:
    asked = results.get("config")
    asked = asked if isinstance(asked, dict) else {}
    served = "base_url" in str(asked.get("model_args")) or "completions" in str(asked.get("model"))
    filters = config.get("filter_list")
    if not isinstance(filters, list):
        return Known(served, frozenset({FILTER} if config else ()))
    taking = [
        one["name"]
        for one in filters
        if isinstance(one, dict)
        and isinstance(one.get("filter"), list)
        and isinstance(one.get("name"), str)
        and {"function": "take_first"} in one["filter"]
    ]
    return Known(served, frozenset(taking))


def _sampling(config: Mapping[str, Any]) -> Sampling:
    """Give the settings of a task; unknown where it has none, as tasks of likelihoods."""
    given = config.get("generation_kwargs")
    given = given if isinstance(given, dict) else {}
    stop = given.get("until") or ()
    return Sampling(
        temperature=number(given.get("temperature")),
        top_p=number(given.get("top_p")),
        top_k=count(given.get("top_k")),
        max_tokens=count(given.get("max_gen_toks", given.get("max_tokens"))),
        stop=(stop,) if isinstance(stop, str) else tuple(map(str, stop)) if isinstance(stop, list) else (),
        seed=count(given.get("seed")),
    )


def _results(path: Path) -> dict[str, Any]:
    found = document(path) if path.is_file() else {}
    if not isinstance(found, dict):
        raise DataError(f"{path}: no results of lm-eval")
    return found


def _items(path: Path, known: Known) -> Iterator[Item]:
    first: Any = None
    for place, (row, where) in enumerate(objects(path)):
        first = row.get("filter") if place == 0 else first
        if row.get("filter") == first:  # every filter has a line of its own for the same reply
            try:
                yield from _replies(row, where, known)
            except BROKEN as error:
                raise DataError(
                    f"{path}: {where}: not a sample of lm-eval ({type(error).__name__}: {error})"
                ) from None


def _replies(row: Mapping[str, Any], where: str, known: Known) -> Iterator[Item]:
    doc = row["doc"] if isinstance(row["doc"], dict) else {}
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
            question=next((doc[name] for name in QUESTION if isinstance(doc.get(name), str)), ""),
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
    """Give the text that was sent: `arg_0`, or the first of a pair; chats are joined turn by turn."""
    first = argument["arg_0"] if isinstance(argument, dict) else argument[0]
    if isinstance(first, list) and len(first) == 1 and isinstance(first[0], str):  # a rendered chat
        first = first[0]
    if isinstance(first, str) and first.startswith("[{"):
        first = msgspec.json.decode(first)
    if isinstance(first, list):
        return "\n\n".join(str(turn.get("content", "")) for turn in first if isinstance(turn, dict))
    return str(first)


def _texts(resps: Any) -> list[str]:
    """Give the replies; of likelihoods the letter of the likeliest option, which is what the model chose."""
    if resps and all(len(one) == 1 and isinstance(one[0], list | tuple) for one in resps):
        likelihoods = [float(one[0][0]) for one in resps]
        return [f"ANSWER: {chr(ord('A') + likelihoods.index(max(likelihoods)))}"]
    inner = resps[0] if resps and isinstance(resps[0], list) else resps
    return [str(text) for text in inner]


def _answer(filtered: Any, repeat: int) -> str:
    if not isinstance(filtered, list) or not filtered:
        return ""
    one = filtered[repeat] if repeat < len(filtered) else filtered[0]
    one = one[0] if isinstance(one, list) and one else one
    return one if isinstance(one, str) else ""
