"""lm-evaluation-harness: `results_<time>.json` and `samples_<task>_<time>.jsonl` (its loggers, 0.4.13).

In: every `samples_*.jsonl` is a task; tasks of one suite become one run. The first filter of a file is theirs.

Out: a run is a task of its own; the standard error is lm-eval's own (of the sample means, n - 1), the interval and
what else it has no field for stand under `science_evals`. A sample without a score is left out of the samples, since
lm-eval has no such state; `n-samples` says how many were expected.
"""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from hashlib import sha256
from math import isclose, sqrt
from pathlib import Path
from typing import Any, NamedTuple

import msgspec

from evals.card import Card
from evals.errors import DataError, UsageError
from evals.interop.files import whole
from evals.interop.foreign import Item, Source
from evals.interop.outgoing import Row, Written, as_text, ended, headline, place, rows, utc
from evals.interop.values import BROKEN, count, number
from evals.store import Run, slug
from evals.types import Sampling, Usage

encode = msgspec.json.Encoder().encode
FILTER = "none"
FORMAT = "lm-eval"
NOTHING = "nothing: lm-eval keeps a failed call and an empty reply alike"
QUESTION = ("question", "Question", "problem", "Problem", "query", "input", "prompt")
"""Names of a document's field with the question, the likeliest first."""
OPTIONS = ("options", "choices", "endings")
NAMES = ("id", "question_id", "doc_id", "pid", "index", "uuid", "Record ID")


def found_in(path: Path) -> list[Path]:
    """Give the files of samples in a folder, or beside a results file."""
    if path.is_file() and path.name.startswith("samples_"):
        return [path]
    folder = path if path.is_dir() else path.parent
    stamp = path.stem.removeprefix("results_") if path.is_file() else ""
    return sorted(one for one in folder.rglob("samples_*.jsonl") if stamp in one.name)


def read(path: Path) -> list[Source]:
    """Read a folder of results, a results file or a file of samples; raises DataError in one line."""
    files = found_in(path)
    if not files:
        raise DataError(f"{path}: no samples_*.jsonl there; lm-eval writes them with --log_samples")
    return [_source(one) for one in files]


def _source(path: Path) -> Source:
    task, _, stamp = path.stem.removeprefix("samples_").rpartition("_")
    results = _results(path.parent / f"results_{stamp}.json")
    stated = results.get("results", {}).get(task, {})
    configs = results.get("configs")
    config = configs.get(task) if isinstance(configs, dict) else None
    config = config if isinstance(config, dict) else {}
    known = _known(results, config)
    return Source(
        format=FORMAT,
        tasks=(task or stamp,),
        model=str(results.get("model_name") or path.parent.name),
        items=lambda: _items(path, known),
        sampling=_sampling(config),
        started=number(results.get("date")) or 0.0,
        stated={
            f"{task} {name}": value
            for name, told in (stated.items() if isinstance(stated, dict) else ())
            if "," in name and "_stderr" not in name and (value := number(told)) is not None
        },
    )


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
    if not path.is_file():
        return {}
    try:
        found = msgspec.json.decode(whole(path))
    except BROKEN as error:
        raise DataError(f"{path}: {error}") from None
    if not isinstance(found, dict) or not isinstance(found.get("results", {}), dict):
        raise DataError(f"{path}: no results of lm-eval")
    return found


def _items(path: Path, known: Known) -> Iterator[Item]:
    decode = msgspec.json.Decoder(dict[str, Any]).decode
    first: Any = None
    try:
        with path.open("rb") as stream:
            for place, line in enumerate(stream, 1):
                if not line.strip():
                    continue
                row = decode(line)
                first = row.get("filter") if place == 1 else first
                if row.get("filter") == first:  # every filter has a line of its own for the same reply
                    yield from _replies(row, f"{path.name}, line {place}", known)
    except BROKEN as error:
        raise DataError(
            f"{path}, line {place}: not a sample of lm-eval ({type(error).__name__}: {error})"
        ) from None
    except OSError as error:
        raise DataError(f"{path}: {error.strerror or error}") from None


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


def write(runs: Sequence[Run], out: Path) -> Written:
    """Write the results of every model, and a file of samples for every run."""
    by_model: dict[str, list[tuple[Run, Card]]] = defaultdict(list)
    for run, card in ended(runs):
        by_model[card.model].append((run, card))
    files: list[Path] = []
    lost = ["failures and unscored samples are counted, not listed", "worst and best case, verdict counts"]
    for model, found in by_model.items():
        folder = out / slug(model).replace("/", "__")
        stamp = time.strftime("%Y-%m-%dT%H-%M-%S", time.gmtime(max(card.started for _, card in found)))
        document = _document(model, found)
        for run, card in found:
            path = place(folder / f"samples_{_task(card, found)}_{stamp}.jsonl")
            hashes = _samples(run, card, path)
            document["task_hashes"][_task(card, found)] = hashes
            files.append(path)
            if card.gated:
                lost.append(
                    f"{card.config.suite} is gated: no prompts, no replies, answers as labels or hashes"
                )
        path = folder / f"results_{stamp}.json"
        _put(path, [msgspec.json.format(encode(document), indent=2)])
        files.append(path)
    return Written(files=files, lost=lost)


def _put(path: Path, chunks: list[bytes]) -> None:
    try:
        with path.open("wb") as stream:
            stream.writelines(chunks)
    except OSError as error:
        raise UsageError(f"cannot write {path}: {error.strerror}") from None


def _task(card: Card, found: Sequence[tuple[Run, Card]]) -> str:
    """Name a run's task; with its protocol, and with its run where two would share the name."""
    name = f"{card.config.suite.replace(':', '_').replace('-', '_')}_{card.config.protocol.replace('-', '_')}"
    alike = [
        c
        for _, c in found
        if (c.config.suite, c.config.protocol) == (card.config.suite, card.config.protocol)
    ]
    return f"{name}_{card.run}" if len(alike) > 1 else name


def _document(model: str, found: list[tuple[Run, Card]]) -> dict[str, Any]:
    tasks = {_task(card, found): card for _, card in found}
    last = max((card for _, card in found), key=lambda card: card.started)
    return {
        "results": {task: _scores(run, card, task) for (run, card), task in zip(found, tasks, strict=True)},
        "groups": {},
        "group_subtasks": {task: [] for task in tasks},
        "configs": {task: _config(card, task) for task, card in tasks.items()},
        "versions": {task: card.config.version for task, card in tasks.items()},
        "n-shot": {},
        "higher_is_better": {
            task: {e.metric: e.better == "higher" for e in card.estimates if not e.group}
            for task, card in tasks.items()
        },
        "n-samples": {
            task: {"original": card.expected // card.config.repeats, "effective": _scored(card)}
            for task, card in tasks.items()
        },
        "config": {"model": last.config.model, "model_args": "", "limit": last.config.limit},
        "git_hash": last.commit or None,
        "date": last.started,
        "lm_eval_version": None,
        "task_hashes": {},
        "model_source": "science-evals",
        "model_name": model,
        "model_name_sanitized": slug(model),
        "total_evaluation_time_seconds": f"{sum((c.finished or c.started) - c.started for _, c in found)}",
    }


def _scored(card: Card) -> int:
    head = headline(card)
    return head.n if head else 0


def _config(card: Card, task: str) -> dict[str, Any]:
    return {
        "task": task,
        "dataset_path": card.config.suite,
        "output_type": "generate_until",
        "repeats": card.config.repeats,
        "generation_kwargs": _settings(card.config.sampling),
        "metadata": {
            "version": card.config.version,
            "protocol": card.config.protocol,
            "data_sha256": card.config.data_sha256,
            "started": utc(card.started),
            "judge": card.config.judge,
        },
    }


def _settings(sampling: Sampling) -> dict[str, Any]:
    """Give what was set under lm-eval's names; what was left to the server is left out."""
    given = {
        "until": list(sampling.stop) or None,
        "temperature": sampling.temperature,
        "top_p": sampling.top_p,
        "top_k": sampling.top_k,
        "max_gen_toks": sampling.max_tokens,
        "seed": sampling.seed,
    }
    return {name: value for name, value in given.items() if value is not None}


def _scores(run: Run, card: Card, task: str) -> dict[str, Any]:
    found: dict[str, Any] = {"alias": task, "sample_len": card.expected // card.config.repeats}
    head = headline(card)
    for e in card.estimates:
        if not e.group and e.value is not None:
            found[f"{e.metric},{FILTER}"] = e.value
            own = head is not None and e.metric == head.metric
            error = _stderr(run, card, e.value) if own else None
            found[f"{e.metric}_stderr,{FILTER}"] = "N/A" if error is None else error
    if head is not None:
        found["science_evals"] = {
            "metric": head.metric,
            "low": head.low,
            "high": head.high,
            "method": head.method,
            "coverage": card.coverage,
        }
    return found


def _stderr(run: Run, card: Card, value: float) -> float | None:
    """Give the standard error of the sample means, as lm-eval takes it.

    None for fewer than two, and where `value` is not their mean: a mean of groups or an error metric has another.
    """
    sums: dict[str, list[float]] = defaultdict(list)
    for row in rows(run, gated=card.gated):
        if row.score is not None and row.score.value is not None:
            sums[row.sample.id].append(row.score.value)
    means = [sum(values) / len(values) for values in sums.values()]
    if len(means) < 2:
        return None
    centre = sum(means) / len(means)
    if not isclose(centre, value, rel_tol=1e-9, abs_tol=1e-12):
        return None
    return sqrt(sum((one - centre) ** 2 for one in means) / (len(means) - 1) / len(means))


def _samples(run: Run, card: Card, path: Path) -> str:
    """Write a run's samples, repeats together; gives the hash over their hashes."""
    head = headline(card)
    metric = head.metric if head else "score"
    by_sample: dict[str, list[Row]] = defaultdict(list)
    for row in rows(run, gated=card.gated):
        if row.reply is not None and row.score is not None and row.score.value is not None:
            by_sample[row.sample.id].append(row)
    total, lines = sha256(), []
    for doc_id, some in enumerate(by_sample.values()):
        line = _sample(doc_id, sorted(some, key=lambda row: row.repeat), metric)
        total.update("".join(line[f"{name}_hash"] for name in ("doc", "prompt", "target")).encode())
        lines.append(encode(line) + b"\n")
    _put(path, lines)
    return total.hexdigest()


def _sample(number: int, some: Sequence[Row], metric: str) -> dict[str, Any]:
    first = some[0]
    scores = [row.score for row in some if row.score is not None]
    values = [score.value or 0.0 for score in scores]
    doc = {"id": first.sample.id, "group": first.sample.group, "choices": list(first.sample.choices)}
    target = as_text(first.sample.target)
    return {
        "doc_id": number,
        "doc": doc,
        "target": target,
        "arguments": {"gen_args_0": {"arg_0": first.prompt, "arg_1": {}}},
        "resps": [[row.reply.text for row in some if row.reply is not None]],
        "filtered_resps": [score.answer if score.answer is not None else "" for score in scores],
        "filter": FILTER,
        "metrics": [metric],
        "doc_hash": sha256(encode(doc)).hexdigest(),
        "prompt_hash": first.prompt_sha256,
        "target_hash": sha256(target.encode()).hexdigest(),
        metric: sum(values) / len(values),
        "science_evals": [
            {
                "repeat": row.repeat,
                "verdict": row.score.verdict,
                "stop": row.reply.stop,
                "reasoning": row.reply.reasoning,
                "usage": row.reply.usage,
                "seconds": row.reply.seconds,
                "order": row.order,
            }
            for row in some
            if row.score is not None and row.reply is not None
        ],
    }
