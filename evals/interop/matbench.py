"""Results files of the matbench package (`results.json.gz` on its leaderboard), imported as one run per task.

    {"tasks": {"matbench_steels": {"results": {"fold_0": {"data": {"mbid": prediction}, "scores": {...}}, ...}}}}

A prediction is a number, a label (true or false) or the probability of true, to which the package applies a threshold of
0.5. Unknown tasks and tasks whose data is not available are reported and left out.
"""

from __future__ import annotations

from collections.abc import Mapping
from math import isfinite
from pathlib import Path
from typing import Any

from evals import load
from evals.data import Data
from evals.data.sample_store import SampleStore
from evals.errors import DataError, UsageError
from evals.interop import files
from evals.interop.replies import ImportRequest, RecordedReply, new_card, single_suite, write_run
from evals.interop.values import join_names
from evals.plain import count_of, notice
from evals.records.card import Card
from evals.run.plan import read_samples
from evals.validation import cause

TASK_PREFIX = "matbench_"


def read_results(path: Path, request: ImportRequest) -> list[Card]:
    """Make a run from every task in the file; raises UsageError or DataError."""
    if not request.model:
        raise UsageError("import matbench needs --model")
    suite_name, _, only_task = (request.suite or "matbench").partition(":")
    if suite_name != "matbench":
        raise UsageError(f"import matbench imports runs of matbench, not of {request.suite}")
    tasks = _predictions_by_task(path)
    data = Data(suite="matbench", local=request.data, sample=request.sample)
    cards: list[Card] = []
    for task, predictions in tasks.items():
        name = task.removeprefix(TASK_PREFIX)
        if only_task and name != only_task.replace("-", "_"):
            continue
        if name not in load.benchmark("matbench").variants:
            notice(f"left out: {name} is not a task of matbench v0.1")
            continue
        suite = single_suite(f"matbench:{name}", request.protocol or "official")
        try:
            samples, digest = read_samples(suite, data)
        except DataError as error:
            notice(f"left out: {error}")
            continue
        card = new_card(suite, data, digest, model=request.model, source=path.name, origin="matbench")
        run = f"{request.run}-{name}" if request.run and len(tasks) > 1 and not only_task else request.run
        replies = _replies(predictions, samples, task)
        cards.append(write_run(suite, card, samples, replies, data=data, results=request.results, run=run))
    if not cards:
        raise DataError(
            f"{path}: no data is available for any of its tasks; pass a local mirror with --data DIR"
        )
    return cards


def _predictions_by_task(path: Path) -> dict[str, dict[str, Any]]:
    """Return the predictions of all folds by task and mbid."""
    try:
        tasks = files.read_json(path)["tasks"]
        return {task: _predictions(task, entry["results"]) for task, entry in tasks.items()}
    except (KeyError, TypeError, AttributeError) as error:
        reason = f": {cause(error)}" if isinstance(error, KeyError) else ""
        raise DataError(f"{path}: cannot be read as results of the matbench package{reason}") from None


def _predictions(task: str, folds: Mapping[str, Any]) -> dict[str, Any]:
    predictions: dict[str, Any] = {}
    for fold in folds.values():
        for mbid, prediction in fold["data"].items():
            if mbid in predictions:
                raise DataError(f"{task}: {mbid} is predicted in two folds")
            predictions[mbid] = prediction
    return predictions


def _replies(predictions: Mapping[str, Any], samples: SampleStore, task: str) -> list[RecordedReply]:
    known = set(samples.ids)
    if unknown := [mbid for mbid in predictions if mbid not in known]:
        raise DataError(f"{task}: {count_of(len(unknown), 'mbid')} not in the data: {join_names(unknown)}")
    is_binary = isinstance(samples[0].target, str)
    return [
        RecordedReply(id=mbid, text=_format_reply(value, f"{task}: {mbid}", is_binary=is_binary))
        for mbid, value in predictions.items()
    ]


def _format_reply(value: Any, location: str, *, is_binary: bool) -> str:
    """Return the reply that states a prediction."""
    if isinstance(value, bool) or (is_binary and isinstance(value, str)):
        return f"Answer: {'yes' if str(value).lower() in ('true', 'yes') else 'no'}"
    if not isinstance(value, int | float) or not isfinite(value):
        raise DataError(f"{location}: the prediction {value!r} is neither a number nor a label")
    if not is_binary:
        return f"Answer: {float(value)!r}"
    if not 0 <= value <= 1:
        raise DataError(f"{location}: the probability {value} is not between 0 and 1")
    return f"Probability: {float(value):.17f}\nAnswer: {'yes' if value >= 0.5 else 'no'}"
