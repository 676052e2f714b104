"""Baselines without a language model: `baseline:mean`, `baseline:majority`, `baseline:magpie-rf`, `baseline:copy`.

The first three run the tasks of `matbench` whose input is a composition: a prediction comes from a fit to the other folds of
the task's table, which `--data` or `--sample` provides. `magpie-rf` is a random forest of 500 trees on the Magpie features
of the composition (Ward et al. 2016), like `rf` on Matbench's leaderboard. `copy` runs any suite; it replies with the last
tagged text or the last line of the question, which yields the score of repeating the input.
"""

from __future__ import annotations

import asyncio
import re
from collections import Counter
from collections.abc import Callable, Sequence
from functools import lru_cache
from pathlib import Path
from statistics import fmean
from typing import Any, NamedTuple

from evals.data import Data, Split
from evals.errors import Fatal, UnknownName, UsageError, install_command, require_packages
from evals.prompts import plain_text
from evals.types import Prompt, Reply, Sampling, Usage

OPTIONS = ("data", "sample")
TREES = 500


class Table(NamedTuple):
    """A Matbench task."""

    name: str
    column: str
    """Column of the targets."""
    phrase: str
    """Text that occurs only in the questions of this task."""


TABLES = (
    Table("steels", "yield strength", "yield strength"),
    Table("expt_gap", "gap expt", "experimental band gap"),
    Table("expt_is_metal", "is_metal", "a metal (no band gap)"),
    Table("glass", "gfa", "metallic glass"),
)
_COMPOSITION = re.compile(r"^Composition: (\S+)", re.MULTILINE)
_TAGGED_TEXT = re.compile(r"<([A-Z_]+)>[^<]*</\1>")


class Row(NamedTuple):
    """One material."""

    composition: str
    fold: int
    target: float
    """In classification, 1 for yes and 0 for no."""


Predictor = Callable[[Sequence[Row], Sequence[Row]], list[float]]
"""(training rows, test rows) -> predictions; in classification, the probability of yes."""


class FittedBaseline:
    """Replies to matbench with the predictions of a model that is fitted for each fold."""

    accepts: frozenset[str] = frozenset()

    def __init__(self, name: str, predictor: Predictor, source: Data) -> None:
        self.name = name
        self._predictor = predictor
        self._source = source
        self._answers: dict[tuple[str, str], str] = {}
        self._tables: dict[str, list[Row]] = {}
        self._lock = asyncio.Lock()

    async def reply(self, prompt: Prompt, sampling: Sampling) -> Reply:
        """Return the prediction for one question; the first question of each fold fits the model. Raises Fatal."""
        text = plain_text([part for message in prompt.messages for part in message.parts])
        table = next((table for table in TABLES if table.phrase in text), None)
        composition = _COMPOSITION.search(text)
        if table is None or composition is None:
            tasks = ", ".join(table.name for table in TABLES)
            raise Fatal(f"baseline:{self.name} can only run these tasks of matbench: {tasks}")
        async with self._lock:
            if (table.name, composition[1]) not in self._answers:
                await asyncio.to_thread(self._fit_fold, table, composition[1])
        return Reply(
            text=self._answers[table.name, composition[1]], usage=Usage(input=0, output=0), model=self.name
        )

    def _fit_fold(self, table: Table, composition: str) -> None:
        if table.name not in self._tables:
            self._tables[table.name] = _read_rows(self._source, table)
        rows = self._tables[table.name]
        fold = next((row.fold for row in rows if row.composition == composition), None)
        if fold is None:
            raise Fatal(f"baseline:{self.name}: {composition} is not in the table of {table.name}")
        test_rows = [row for row in rows if row.fold == fold]
        training_rows = [row for row in rows if row.fold != fold]
        if not training_rows:
            raise Fatal(f"baseline:{self.name}: the table of {table.name} has no other fold to train on")
        is_binary = {row.target for row in rows} <= {0.0, 1.0} and table.name in ("expt_is_metal", "glass")
        for row, value in zip(test_rows, self._predictor(training_rows, test_rows), strict=True):
            self._answers[table.name, row.composition] = _format_answer(value, is_binary=is_binary)

    async def close(self) -> None:
        """Release the predictions."""
        self._answers.clear()


def _format_answer(value: float, *, is_binary: bool) -> str:
    if not is_binary:
        return f"Answer: {float(value)!r}"
    return f"Probability: {value:.6f}\nAnswer: {'yes' if value >= 0.5 else 'no'}"


def _read_rows(source: Data, table: Table) -> list[Row]:
    split = Split(hub=f"matbench_{table.name}", stems=(f"matbench_{table.name}", table.name))
    rows = source.rows(split, required=("composition", "fold", table.column))
    return [Row(str(row["composition"]), int(row["fold"]), float(row[table.column])) for row in rows]


def mean(training_rows: Sequence[Row], test_rows: Sequence[Row]) -> list[float]:
    """Predict the mean of the training targets; in classification, the fraction of yes."""
    return [fmean(row.target for row in training_rows)] * len(test_rows)


def majority(training_rows: Sequence[Row], test_rows: Sequence[Row]) -> list[float]:
    """Predict the most frequent training target; among ties, the smallest."""
    counts = Counter(row.target for row in training_rows)
    return [min(counts, key=lambda target: (-counts[target], target))] * len(test_rows)


def magpie_rf(training_rows: Sequence[Row], test_rows: Sequence[Row]) -> list[float]:
    """Predict with a random forest on the Magpie features that at least 99 % of the training rows have; missing values become the training mean."""
    import numpy as np
    from sklearn.ensemble import RandomForestClassifier, RandomForestRegressor

    train_features = np.array([features(row.composition) for row in training_rows])
    test_features = np.array([features(row.composition) for row in test_rows])
    usable = np.isnan(train_features).mean(axis=0) <= 0.01
    column_means = np.nanmean(train_features[:, usable], axis=0)
    train_features, test_features = (
        np.where(np.isnan(x[:, usable]), column_means, x[:, usable]) for x in (train_features, test_features)
    )
    targets = np.array([row.target for row in training_rows])
    if not set(targets) <= {0.0, 1.0}:
        forest = RandomForestRegressor(TREES, random_state=0, n_jobs=-1).fit(train_features, targets)
        return [float(value) for value in forest.predict(test_features)]
    forest = RandomForestClassifier(TREES, random_state=0, n_jobs=-1)
    probabilities = forest.fit(train_features, targets.astype(int)).predict_proba(test_features)
    return [float(p) for p in probabilities[:, list(forest.classes_).index(1)]]


@lru_cache(1)
def _featurizer() -> Any:
    from matminer.featurizers.composition import ElementProperty

    return ElementProperty.from_preset("magpie", impute_nan=False)


@lru_cache(16_384)
def features(composition: str) -> tuple[float, ...]:
    """Return the 132 Magpie features of a composition."""
    import warnings

    from pymatgen.core.composition import Composition

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # pymatgen warns about noble gases, which have no electronegativity
        return tuple(float(value) for value in _featurizer().featurize(Composition(composition)))


class CopyBaseline:
    """Replies with the last tagged text of the question, else with its last line."""

    accepts: frozenset[str] = frozenset({"image", "time_series", "structure"})
    name = "copy"

    async def reply(self, prompt: Prompt, sampling: Sampling) -> Reply:
        """Return the tagged text or last line of the question."""
        text = plain_text([part for message in prompt.messages for part in message.parts])
        tagged = [match[0] for match in _TAGGED_TEXT.finditer(text)]
        answer = tagged[-1] if tagged else text.strip().rpartition("\n")[2]
        return Reply(text=answer, usage=Usage(input=0, output=0), model=self.name)

    async def close(self) -> None:
        """Nothing to release."""


PREDICTORS: dict[str, Predictor] = {"mean": mean, "majority": majority, "magpie-rf": magpie_rf}


def model(rest: str, *, data: Path | None = None, sample: bool = False) -> FittedBaseline | CopyBaseline:
    """Return the model `baseline:NAME`; raises UsageError if the name is unknown, or an extra or the data are missing."""
    if rest == "copy":
        return CopyBaseline()
    if rest not in PREDICTORS:
        raise UnknownName("baseline", rest, [*PREDICTORS, "copy"])
    if data is None and not sample:
        raise UsageError(f"baseline:{rest} is fitted to matbench's tables: add --data DIR or --sample")
    if rest == "magpie-rf":
        require_packages(
            "baseline:magpie-rf", "matminer", "sklearn", "pymatgen", command=install_command("materials")
        )
    return FittedBaseline(rest, PREDICTORS[rest], Data(suite="matbench", local=data, sample=sample))
