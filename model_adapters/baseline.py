"""Baselines without a language model: `baseline:mean`, `baseline:majority`, `baseline:magpie-rf`, `baseline:copy`.

The first three answer `matbench`: they are fitted to the training part of the fold in which a material is tested, from
the tables given by `--data` or `--sample`. `magpie-rf` is a random forest of 500 trees on the Magpie features of the
composition (Ward et al. 2016), like `rf` on Matbench's leaderboard. `copy` answers any suite with the last tagged text or
the last line of the question: the score of repeating the input.
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
from evals.errors import Fatal, UnknownName, UsageError, install
from evals.prompts import plain_text
from evals.types import Prompt, Reply, Sampling, Usage

OPTIONS = ("data", "sample")
TREES = 500


class Table(NamedTuple):
    """A Matbench task."""

    name: str
    column: str
    phrase: str
    """Text that only the questions of this task contain."""


TABLES = (
    Table("steels", "yield strength", "yield strength"),
    Table("expt_gap", "gap expt", "experimental band gap"),
    Table("expt_is_metal", "is_metal", "a metal (no band gap)"),
    Table("glass", "gfa", "metallic glass"),
)
_COMPOSITION = re.compile(r"^Composition: (\S+)", re.MULTILINE)
_TAGGED = re.compile(r"<([A-Z_]+)>(.*?)</\1>", re.DOTALL)


class Row(NamedTuple):
    """One material."""

    composition: str
    fold: int
    target: float
    """For classes: 1 for yes, 0 for no."""


Learner = Callable[[Sequence[Row], Sequence[Row]], list[float]]
"""(training rows, rows to predict) -> predictions; for classes: the probability of yes."""


class Learned:
    """Answers matbench with a learner's predictions, fitted fold by fold."""

    accepts: frozenset[str] = frozenset()

    def __init__(self, name: str, learner: Learner, source: Data) -> None:
        self.name = name
        self._learner = learner
        self._source = source
        self._answers: dict[tuple[str, str], str] = {}
        self._tables: dict[str, list[Row]] = {}
        self._lock = asyncio.Lock()

    async def reply(self, prompt: Prompt, sampling: Sampling) -> Reply:
        """Answer one question; the first of each fold fits the learner."""
        text = plain_text([part for message in prompt.messages for part in message.parts])
        table = next((table for table in TABLES if table.phrase in text), None)
        composition = _COMPOSITION.search(text)
        if table is None or composition is None:
            raise Fatal(f"baseline:{self.name} answers only matbench's {', '.join(t.name for t in TABLES)}")
        async with self._lock:
            if (table.name, composition[1]) not in self._answers:
                await asyncio.to_thread(self._learn, table, composition[1])
        return Reply(
            text=self._answers[table.name, composition[1]], usage=Usage(input=0, output=0), model=self.name
        )

    def _learn(self, table: Table, composition: str) -> None:
        if table.name not in self._tables:
            self._tables[table.name] = _rows(self._source, table)
        rows = self._tables[table.name]
        fold = next((row.fold for row in rows if row.composition == composition), None)
        if fold is None:
            raise Fatal(f"baseline:{self.name}: {composition} is not in the table of {table.name}")
        tested = [row for row in rows if row.fold == fold]
        training = [row for row in rows if row.fold != fold]
        if not training:
            raise Fatal(f"baseline:{self.name}: the table of {table.name} has no other fold to train on")
        binary = {row.target for row in rows} <= {0.0, 1.0} and table.name in ("expt_is_metal", "glass")
        for row, value in zip(tested, self._learner(training, tested), strict=True):
            self._answers[table.name, row.composition] = _answer(value, binary=binary)

    async def close(self) -> None:
        """Release the predictions."""
        self._answers.clear()


def _answer(value: float, *, binary: bool) -> str:
    if not binary:
        return f"Answer: {float(value)!r}"
    return f"Probability: {value:.6f}\nAnswer: {'yes' if value >= 0.5 else 'no'}"


def _rows(source: Data, table: Table) -> list[Row]:
    split = Split(hub=f"matbench_{table.name}", stems=(f"matbench_{table.name}", table.name))
    rows = source.rows(split, required=("composition", "fold", table.column))
    return [Row(str(row["composition"]), int(row["fold"]), float(row[table.column])) for row in rows]


def mean(training: Sequence[Row], tested: Sequence[Row]) -> list[float]:
    """Predict the mean of the training targets; for classes, the share of yes."""
    return [fmean(row.target for row in training)] * len(tested)


def majority(training: Sequence[Row], tested: Sequence[Row]) -> list[float]:
    """Predict the most frequent training target, the smallest of several."""
    counts = Counter(row.target for row in training)
    most = max(counts.values())
    return [min(target for target, count in counts.items() if count == most)] * len(tested)


def magpie_rf(training: Sequence[Row], tested: Sequence[Row]) -> list[float]:
    """Predict with a random forest on Magpie features; unknown features are replaced by the column's mean."""
    import numpy as np
    from sklearn.ensemble import RandomForestClassifier, RandomForestRegressor

    train_features = np.array([features(row.composition) for row in training])
    test_features = np.array([features(row.composition) for row in tested])
    usable = np.isnan(train_features).mean(axis=0) <= 0.01
    column_means = np.nanmean(train_features[:, usable], axis=0)
    train_features, test_features = (
        np.where(np.isnan(x[:, usable]), column_means, x[:, usable]) for x in (train_features, test_features)
    )
    targets = np.array([row.target for row in training])
    if set(targets) <= {0.0, 1.0}:
        forest = RandomForestClassifier(TREES, random_state=0, n_jobs=-1).fit(
            train_features, targets.astype(int)
        )
        return [float(p) for p in forest.predict_proba(test_features)[:, list(forest.classes_).index(1)]]
    regressor = RandomForestRegressor(TREES, random_state=0, n_jobs=-1).fit(train_features, targets)
    return [float(value) for value in regressor.predict(test_features)]


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


class Copy:
    """Answers with the last tagged text of the question, else with its last line."""

    accepts: frozenset[str] = frozenset({"image", "time_series", "structure"})
    name = "copy"

    async def reply(self, prompt: Prompt, sampling: Sampling) -> Reply:
        """Return text of the question."""
        text = plain_text([part for message in prompt.messages for part in message.parts])
        tagged = _TAGGED.findall(text)
        answer = (
            f"<{tagged[-1][0]}>{tagged[-1][1]}</{tagged[-1][0]}>"
            if tagged
            else text.strip().rpartition("\n")[2]
        )
        return Reply(text=answer, usage=Usage(input=0, output=0), model=self.name)

    async def close(self) -> None:
        """Nothing to release."""


LEARNERS: dict[str, Learner] = {"mean": mean, "majority": majority, "magpie-rf": magpie_rf}


def model(rest: str, *, data: Path | None = None, sample: bool = False) -> Learned | Copy:
    """Return the model `baseline:NAME`; raises UsageError if the name is unknown, or an extra or the data are missing."""
    if rest == "copy":
        return Copy()
    if rest not in LEARNERS:
        raise UnknownName("baseline", rest, [*LEARNERS, "copy"])
    if data is None and not sample:
        raise UsageError(f"baseline:{rest} is fitted to matbench's tables: add --data DIR or --sample")
    if rest == "magpie-rf":
        _require("matminer", "sklearn", "pymatgen")
    return Learned(rest, LEARNERS[rest], Data(suite="matbench", local=data, sample=sample))


def _require(*packages: str) -> None:
    from importlib.util import find_spec

    if missing := [name for name in packages if find_spec(name) is None]:
        raise UsageError(f"baseline:magpie-rf needs {', '.join(missing)}: {install('materials')}")
