"""Export to lm-evaluation-harness (0.4.13): `results_<time>.json` and `samples_<task>_<time>.jsonl`.

A run is one task. The standard error is computed as lm-eval does (of the sample means, n - 1); the interval and other
facts without a field in the format are under `science_evals`. lm-eval's format has no samples without a score, so those
are left out; `n-samples` states how many were expected.
"""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Mapping, Sequence
from hashlib import sha256
from math import isclose, sqrt
from pathlib import Path
from statistics import fmean, stdev
from typing import Any

import msgspec

from evals.interop import outgoing
from evals.interop.outgoing import ExportedFiles, Row, require_ended, rows, target_text, utc_text
from evals.records.card import Card
from evals.records.store import Run, slug
from evals.types import Sampling

encode = msgspec.json.Encoder().encode
FILTER = "none"
"""Name of the filter (rule that extracts the answer) that lm-eval reports if a task declares none."""


def write(runs: Sequence[Run], out: Path) -> ExportedFiles:
    """Write a results file for every model and a samples file for every run."""
    by_model: dict[str, list[tuple[Run, Card]]] = defaultdict(list)
    for run, card in require_ended(runs):
        by_model[card.model].append((run, card))
    files: list[Path] = []
    lost = ["failures and unscored samples are counted, not listed", "bounds and verdict counts are left out"]
    for model, pairs in by_model.items():
        folder = out / slug(model).replace("/", "__")
        timestamp = time.strftime("%Y-%m-%dT%H-%M-%S", time.gmtime(max(card.started for _, card in pairs)))
        cards = [card for _, card in pairs]
        tasks = {_task(card, cards): (run, card) for run, card in pairs}
        document = _document(model, tasks)
        for task, (run, card) in tasks.items():
            lines, document["task_hashes"][task] = _sample_lines(run, card)
            document["n-samples"][task]["effective"] = len(lines)
            files.append(outgoing.write(folder / f"samples_{task}_{timestamp}.jsonl", lines))
            if card.gated:
                lost.append(
                    f"{card.config.suite} is gated: no prompts, no replies, answers as labels or hashes"
                )
        results = msgspec.json.format(encode(document), indent=2)
        files.append(outgoing.write(folder / f"results_{timestamp}.json", [results]))
    return ExportedFiles(files=files, lost=lost)


def _task(card: Card, cards: Sequence[Card]) -> str:
    """Return a run's task name: suite and protocol, and the run's id if two runs would otherwise share the name."""
    suite, protocol = card.config.suite, card.config.protocol
    name = f"{suite.replace(':', '_').replace('-', '_')}_{protocol.replace('-', '_')}"
    same_name = [c for c in cards if (c.config.suite, c.config.protocol) == (suite, protocol)]
    return f"{name}_{card.run}" if len(same_name) > 1 else name


def _document(model: str, tasks: Mapping[str, tuple[Run, Card]]) -> dict[str, Any]:
    cards = {task: card for task, (_, card) in tasks.items()}
    newest = max(cards.values(), key=lambda card: card.started)
    return {
        "results": {task: _scores(run, card, task) for task, (run, card) in tasks.items()},
        "groups": {},
        "group_subtasks": {task: [] for task in cards},
        "configs": {task: _config(card, task) for task, card in cards.items()},
        "versions": {task: card.config.version for task, card in cards.items()},
        "n-shot": {},
        "higher_is_better": {
            task: {e.metric: e.better == "higher" for e in card.estimates if not e.group}
            for task, card in cards.items()
        },
        "n-samples": {
            task: {"original": card.expected // card.config.repeats} for task, card in cards.items()
        },
        "config": {"model": newest.config.model, "model_args": "", "limit": newest.config.limit},
        "git_hash": newest.commit or None,
        "date": newest.started,
        "lm_eval_version": None,
        "task_hashes": {},
        "model_source": "science-evals",
        "model_name": model,
        "model_name_sanitized": slug(model),
        "total_evaluation_time_seconds": str(
            sum((c.finished or c.started) - c.started for c in cards.values())
        ),
    }


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
            "started": utc_text(card.started),
            "judge": card.config.judge,
        },
    }


def _settings(sampling: Sampling) -> dict[str, Any]:
    """Return the sampling settings that are set, under lm-eval's names."""
    settings = {name: getattr(sampling, name) for name in ("temperature", "top_p", "top_k", "seed")}
    settings |= {"until": list(sampling.stop) or None, "max_gen_toks": sampling.max_tokens}
    return {name: value for name, value in settings.items() if value is not None}


def _scores(run: Run, card: Card, task: str) -> dict[str, Any]:
    scores: dict[str, Any] = {"alias": task, "sample_len": card.expected // card.config.repeats}
    headline = card.headline
    for e in card.estimates:
        if not e.group and e.value is not None:
            is_headline = headline is not None and e.metric == headline.metric
            stderr = _stderr(run, card, e.value) if is_headline else None
            scores[f"{e.metric},{FILTER}"] = e.value
            scores[f"{e.metric}_stderr,{FILTER}"] = "N/A" if stderr is None else stderr
    if headline is not None:
        scores["science_evals"] = {
            "metric": headline.metric,
            "low": headline.low,
            "high": headline.high,
            "method": headline.method,
            "coverage": card.coverage,
        }
    return scores


def _stderr(run: Run, card: Card, value: float) -> float | None:
    """Return the standard error of the sample means, as lm-eval computes it.

    Return None if there are fewer than two, or if `value` is not their mean but a mean of groups or an error metric.
    """
    repeats_by_sample = _scored_by_sample(run, card).values()
    means = [fmean(row.scored[2] for row in repeats if row.scored) for repeats in repeats_by_sample]
    if len(means) < 2 or not isclose(fmean(means), value, rel_tol=1e-9, abs_tol=1e-12):
        return None
    return stdev(means) / sqrt(len(means))


def _scored_by_sample(run: Run, card: Card) -> dict[str, list[Row]]:
    by_sample: dict[str, list[Row]] = defaultdict(list)
    for row in rows(run, gated=card.gated):
        if row.scored:
            by_sample[row.sample.id].append(row)
    return by_sample


def _sample_lines(run: Run, card: Card) -> tuple[list[bytes], str]:
    """Return a run's samples as JSON lines (a line has all repeats of a sample), and a hash over the hashes in them."""
    metric = card.headline.metric if card.headline else "score"
    task_hash, lines = sha256(), []
    for doc_id, repeats in enumerate(_scored_by_sample(run, card).values()):
        line = _sample_line(doc_id, sorted(repeats, key=lambda row: row.repeat), metric)
        task_hash.update("".join(line[f"{name}_hash"] for name in ("doc", "prompt", "target")).encode())
        lines.append(encode(line) + b"\n")
    return lines, task_hash.hexdigest()


def _sample_line(doc_id: int, repeats: Sequence[Row], metric: str) -> dict[str, Any]:
    first = repeats[0]
    scored = [(row, *row.scored) for row in repeats if row.scored]
    doc = {"id": first.sample.id, "group": first.sample.group, "choices": list(first.sample.choices)}
    target = target_text(first.sample.target)
    return {
        "doc_id": doc_id,
        "doc": doc,
        "target": target,
        "arguments": {"gen_args_0": {"arg_0": first.prompt, "arg_1": {}}},
        "resps": [[reply.text for _, reply, _, _ in scored]],
        "filtered_resps": [score.answer if score.answer is not None else "" for _, _, score, _ in scored],
        "filter": FILTER,
        "metrics": [metric],
        "doc_hash": sha256(encode(doc)).hexdigest(),
        "prompt_hash": first.prompt_sha256,
        "target_hash": sha256(target.encode()).hexdigest(),
        metric: sum(value for *_, value in scored) / len(scored),
        "science_evals": [
            {
                "repeat": row.repeat,
                "verdict": score.verdict,
                "stop": reply.stop,
                "reasoning": reply.reasoning,
                "usage": reply.usage,
                "seconds": reply.seconds,
                "order": row.order,
            }
            for row, reply, score, _ in scored
        ],
    }
