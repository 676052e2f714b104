"""Export to lm-evaluation-harness: `results_<time>.json` and `samples_<task>_<time>.jsonl` (its loggers, 0.4.13).

A run is a task of its own; the standard error is lm-eval's own (of the sample means, n - 1), the interval and what else
it has no field for stand under `science_evals`. A sample without a score is left out of the samples, since lm-eval has
no such state; `n-samples` says how many were expected.
"""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Sequence
from hashlib import sha256
from math import isclose, sqrt
from pathlib import Path
from typing import Any

import msgspec

from evals.errors import UsageError
from evals.interop.outgoing import Row, Written, as_text, ended, headline, place, rows, utc
from evals.records.card import Card
from evals.records.store import Run, slug
from evals.types import Sampling

encode = msgspec.json.Encoder().encode
FILTER = "none"


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
