"""Results files of the matbench package (`results.json.gz` of its leaderboard) -> runs of `matbench`, one per task.

    {"tasks": {"matbench_steels": {"results": {"fold_0": {"data": {"mbid": prediction}, "scores": {...}}, ...}}}}

A prediction is a number, a label (true or false) or a score of the label true; the package makes labels of scores
at 0.5. Tasks whose data is not at hand are named and left out, and so are tasks that are none of matbench's.
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
from evals.interop.replies import Line, Wanted, new_card, one_suite, write_run
from evals.records.card import Card
from evals.run.plan import read
from evals.suite import Suite

PREFIX = "matbench_"
LISTED = 5


def read_results(path: Path, wanted: Wanted) -> list[Card]:
    """Make a run of every task in the file; raises UsageError or DataError in one line."""
    if not wanted.model:
        raise UsageError("import matbench needs --model")
    name, _, only = (wanted.suite or "matbench").partition(":")
    if name != "matbench":
        raise UsageError(f"import matbench makes runs of matbench, not of {wanted.suite}")
    tasks = _tasks(path)
    data = Data(suite="matbench", local=wanted.data, sample=wanted.sample)
    done: list[Card] = []
    for task, predictions in tasks.items():
        name = task.removeprefix(PREFIX)
        if only and name != only.replace("-", "_"):
            continue
        suite = _suite(name, wanted.protocol or "official")
        if suite is None or (read := _read(suite, data)) is None:
            continue
        samples, digest = read
        card = new_card(suite, data, digest, model=wanted.model, source=path.name, origin="matbench")
        run = f"{wanted.run}-{name}" if wanted.run and len(tasks) > 1 and not only else wanted.run
        done.append(
            write_run(
                suite, card, samples, _lines(predictions, samples, task), results=wanted.results, run=run
            )
        )
    if not done:
        raise DataError(f"{path}: no task in it whose data is at hand; give a local mirror with --data DIR")
    return done


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


def _say(message: str) -> None:
    sys.stderr.write(f"{message}\n")


def _suite(name: str, protocol: str) -> Suite | None:
    module = load.benchmark("matbench")
    if name not in module.variants:
        _say(f"left out: {name} is no task of matbench v0.1")
        return None
    return one_suite(f"matbench:{name}", protocol)


def _read(suite: Suite, source: Data) -> tuple[SampleStore, str] | None:
    """Read a task's samples; None where its data is not at hand, which is said."""
    try:
        return read(suite, source)
    except DataError as error:
        _say(f"left out: {error}")
        return None


def _lines(predictions: Mapping[str, Any], samples: SampleStore, task: str) -> list[Line]:
    known = set(samples.ids)
    strangers = [mbid for mbid in predictions if mbid not in known]
    if strangers:
        more = f" and {len(strangers) - LISTED} more" if len(strangers) > LISTED else ""
        raise DataError(
            f"{task}: {len(strangers)} mbid(s) that the data lacks: {', '.join(strangers[:LISTED])}{more}"
        )
    binary = isinstance(samples[0].target, str)
    return [
        Line(id=mbid, text=_reply(value, f"{task}: {mbid}", binary=binary))
        for mbid, value in predictions.items()
    ]


def _reply(value: Any, where: str, *, binary: bool) -> str:
    """Write a prediction as the reply that says so."""
    if isinstance(value, bool) or (binary and isinstance(value, str)):
        return f"Answer: {'yes' if str(value).lower() in ('true', 'yes') else 'no'}"
    if not isinstance(value, int | float) or not isfinite(value):
        raise DataError(f"{where} is predicted as {value!r}, which is no number and no label")
    if not binary:
        return f"Answer: {float(value)!r}"
    if not 0 <= value <= 1:
        raise DataError(f"{where}: the score {value} of a label is not from 0 to 1")
    return f"Probability: {float(value):.17f}\nAnswer: {'yes' if value >= 0.5 else 'no'}"
