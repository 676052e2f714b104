"""Results files of the matbench package (`results.json.gz` of its leaderboard): one run of `matbench` per task.

    {"tasks": {"matbench_steels": {"results": {"fold_0": {"data": {"mbid": prediction}, "scores": {...}}, ...}}}}

A prediction is a number, a label (true or false) or the probability of true, which the package thresholds at 0.5.
Unknown tasks, and tasks whose data is not available, are reported and left out.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from math import isfinite
from pathlib import Path
from typing import Any

from evals import load
from evals.data import Data
from evals.data.sample_store import SampleStore
from evals.errors import DataError, UsageError
from evals.interop import files
from evals.interop.replies import ImportRequest, Line, new_card, single_suite, write_run
from evals.records.card import Card
from evals.run.plan import read_samples
from evals.suite import Suite

PREFIX = "matbench_"
LISTED = 5


def read_results(path: Path, request: ImportRequest) -> list[Card]:
    """Make a run of every task in the file; raises UsageError or DataError."""
    if not request.model:
        raise UsageError("import matbench needs --model")
    name, _, only = (request.suite or "matbench").partition(":")
    if name != "matbench":
        raise UsageError(f"import matbench makes runs of matbench, not of {request.suite}")
    tasks = _tasks(path)
    data = Data(suite="matbench", local=request.data, sample=request.sample)
    cards: list[Card] = []
    for task, predictions in tasks.items():
        name = task.removeprefix(PREFIX)
        if only and name != only.replace("-", "_"):
            continue
        suite = _suite(name, request.protocol or "official")
        if suite is None or (read_data := _read(suite, data)) is None:
            continue
        samples, digest = read_data
        card = new_card(suite, data, digest, model=request.model, source=path.name, origin="matbench")
        run = f"{request.run}-{name}" if request.run and len(tasks) > 1 and not only else request.run
        cards.append(
            write_run(
                suite,
                card,
                samples,
                _lines(predictions, samples, task),
                data=data,
                results=request.results,
                run=run,
            )
        )
    if not cards:
        raise DataError(f"{path}: no task in it whose data is at hand; give a local mirror with --data DIR")
    return cards


def _tasks(path: Path) -> dict[str, dict[str, Any]]:
    """Read the predictions of each task: mbid -> prediction, over all folds."""
    try:
        document = files.document(path)
        return {task: _predictions(task, entry["results"]) for task, entry in document["tasks"].items()}
    except (KeyError, TypeError, AttributeError) as error:
        raise DataError(
            f"{path}: no results file of the matbench package ({error!r} is not as expected)"
        ) from None


def _predictions(task: str, folds: Mapping[str, Any]) -> dict[str, Any]:
    predictions: dict[str, Any] = {}
    for fold in folds.values():
        for mbid, prediction in fold["data"].items():
            if mbid in predictions:
                raise DataError(f"{task}: {mbid} is predicted in two folds")
            predictions[mbid] = prediction
    return predictions


def _warn(message: object) -> None:
    sys.stderr.write(f"left out: {message}\n")


def _suite(name: str, protocol: str) -> Suite | None:
    module = load.benchmark("matbench")
    if name not in module.variants:
        _warn(f"{name} is no task of matbench v0.1")
        return None
    return single_suite(f"matbench:{name}", protocol)


def _read(suite: Suite, source: Data) -> tuple[SampleStore, str] | None:
    """Read a task's samples; warns and returns None if its data is not available."""
    try:
        return read_samples(suite, source)
    except DataError as error:
        _warn(error)
        return None


def _lines(predictions: Mapping[str, Any], samples: SampleStore, task: str) -> list[Line]:
    known = set(samples.ids)
    if unknown := [mbid for mbid in predictions if mbid not in known]:
        more = f" and {len(unknown) - LISTED} more" if len(unknown) > LISTED else ""
        raise DataError(
            f"{task}: {len(unknown)} mbid(s) that the data lacks: {', '.join(unknown[:LISTED])}{more}"
        )
    binary = isinstance(samples[0].target, str)
    return [
        Line(id=mbid, text=_reply(value, f"{task}: {mbid}", binary=binary))
        for mbid, value in predictions.items()
    ]


def _reply(value: Any, where: str, *, binary: bool) -> str:
    """Return the reply that states a prediction."""
    if isinstance(value, bool) or (binary and isinstance(value, str)):
        return f"Answer: {'yes' if str(value).lower() in ('true', 'yes') else 'no'}"
    if not isinstance(value, int | float) or not isfinite(value):
        raise DataError(f"{where} is predicted as {value!r}, which is no number and no label")
    if not binary:
        return f"Answer: {float(value)!r}"
    if not 0 <= value <= 1:
        raise DataError(f"{where}: the score {value} of a label is not from 0 to 1")
    return f"Probability: {float(value):.17f}\nAnswer: {'yes' if value >= 0.5 else 'no'}"
