"""Ranks of the models in a column, from paired comparisons of all pairs of models as in `evals compare`.

Holm's method bounds the probability of any false difference at 5 %. Means are compared in arrays, which is fast enough for
forty models. Other metrics (RMSE, ROC-AUC) are compared by `evals.verdicts`, which is slower and thus limited to a few models.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import lru_cache
from itertools import combinations
from pathlib import Path
from typing import NamedTuple, TypeAlias

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from evals.dashboard.tables.frames import Entry, Stamp, query, stamp
from evals.dashboard.tables.leaderboard import Column, Row
from evals.errors import EvalsError
from evals.records.store import Run
from evals.report.metrics import mean_value
from evals.run.overview import suite_of
from evals.types import Metric
from evals.verdicts import difference, suite_runs
from evals.verdicts.ranks import Rank, ranks
from evals.verdicts.suite_run import pair, values_on_shared_samples

_LabelledRuns: TypeAlias = tuple[tuple[str, Path, Stamp], ...]
"""Label of the row, path and stamp of each run."""
CONFIDENCE_LEVEL = 0.95
MEANS_SQL = (
    "SELECT path, sample, avg(value) AS value FROM records WHERE value IS NOT NULL GROUP BY path, sample"
)
RUNS_PER_QUERY = 8
"""Number of runs read by one query, to limit memory: 83 runs of 12,049 samples take half a gigabyte as text."""
MAX_SLOW_MODELS = 8
"""Maximum number of models for metrics that are not means of samples."""


class ColumnRanks(NamedTuple):
    """Ranks of the models in a column, best first."""

    ranks: tuple[Rank, ...] = ()
    n: tuple[int, int] = (0, 0)
    """Smallest and largest number of samples on which a pair of models was compared."""
    pairs: int = 0
    """Number of compared pairs of models."""
    why_not: str = ""
    """Why the models were not compared; empty if they were."""

    def groups(self) -> list[list[str]]:
        """Return the groups of two or more models that are not significantly different, best first."""
        letters = dict.fromkeys(letter for rank in self.ranks for letter in rank.groups)
        groups = [[rank.model for rank in self.ranks if letter in rank.groups] for letter in letters]
        return [group for group in groups if len(group) > 1]


def rank_models(column: Column, runs: Mapping[Row, Entry]) -> ColumnRanks:
    """Return the ranks of the models in a column; they are cached until a run changes."""
    labelled_runs = tuple((row.label, entry.path, stamp(entry.path)) for row, entry in runs.items())
    if len(labelled_runs) < 2:
        return ColumnRanks(why_not="there is only one model")
    try:
        metric = suite_of(next(iter(runs.values())).card).headline
        if metric.of is mean_value and not metric.scorer:
            return _compare_means(column, metric, labelled_runs)
        if len(labelled_runs) <= MAX_SLOW_MODELS:
            return _compare_metric(column, labelled_runs)
    except EvalsError as error:
        return ColumnRanks(why_not=str(error))
    reason = f"use `evals compare` for {column.metric} of more than {MAX_SLOW_MODELS} models"
    return ColumnRanks(why_not=reason)


@lru_cache(maxsize=64)
def _compare_means(column: Column, metric: Metric, runs: _LabelledRuns) -> ColumnRanks:
    paths = [path for _, path, _ in runs]
    values, clusters, groups = _sample_values(paths)
    is_clustered = len(set(clusters)) < len(clusters)
    is_macro = metric.pool == "macro"
    evidence, sizes = {}, []
    for a, b in combinations(range(len(paths)), 2):
        differences = values[b] - values[a]
        scored = np.flatnonzero(~np.isnan(differences))
        if not len(scored):
            return ColumnRanks(why_not="two of the runs have no sample in common")
        if is_macro and len({groups[i] for i in scored}) < len(set(groups)):
            return ColumnRanks(
                why_not="in one of the groups, two of the runs have no scored sample in common"
            )
        comparison = difference.mean_evidence(
            differences[scored],
            [clusters[i] for i in scored] if is_clustered else range(len(scored)),
            groups=[groups[i] for i in scored] if is_macro else None,
            width=metric.width,
        )
        evidence[a, b] = comparison.value, comparison.p_equal()
        sizes.append(len(scored))
    means = _run_means(values, groups, is_macro=is_macro)
    return _ranks_from_evidence(column, [label for label, *_ in runs], means, evidence, sizes)


def _sample_values(paths: Sequence[Path]) -> tuple[NDArray[np.float64], list[str], list[str]]:
    """Return the values of samples in an array of runs by samples, and the clusters and groups of the samples.

    A value is the mean over a sample's repeats; NaN if it is missing.
    """
    samples = query(paths[0], 'SELECT id, "group", cluster FROM samples')
    index = pd.Series(range(len(samples)), index=samples["id"])
    values = np.full((len(paths), len(samples)), np.nan)
    for start in range(0, len(paths), RUNS_PER_QUERY):
        means = query(paths[start : start + RUNS_PER_QUERY], MEANS_SQL, cache_result=False)
        row_indices = means["path"].map({str(path): i for i, path in enumerate(paths)}).to_numpy()
        column_indices = means["sample"].map(index).to_numpy()
        matched = ~np.isnan(column_indices)
        values[row_indices[matched], column_indices[matched].astype(int)] = means["value"].to_numpy()[matched]
    return values, samples["cluster"].tolist(), samples["group"].tolist()


def _run_means(values: NDArray[np.float64], groups: Sequence[str], *, is_macro: bool) -> list[float]:
    """Return each run's mean over samples or, if `is_macro`, over groups."""
    if not is_macro:
        return [float(np.nanmean(row)) for row in values]
    codes = {name: i for i, name in enumerate(dict.fromkeys(groups))}
    strata = np.array([codes[name] for name in groups])
    means = []
    for row in values:
        values_by_group = [row[(strata == code) & ~np.isnan(row)] for code in codes.values()]
        means.append(float(np.mean([scored.mean() for scored in values_by_group if len(scored)])))
    return means


@lru_cache(maxsize=16)
def _compare_metric(column: Column, runs: _LabelledRuns) -> ColumnRanks:
    loaded_runs = [suite_runs.of_run(Run(path)) for _, path, _ in runs]
    evidence, sizes = {}, []
    for a, b in combinations(range(len(loaded_runs)), 2):
        pairing = pair(loaded_runs[a], loaded_runs[b], loaded_runs[a].headline)
        comparison = pairing.evidence()
        if comparison is None:
            return ColumnRanks(why_not="two of the runs have no sample in common")
        evidence[a, b] = comparison.value, comparison.p_equal()
        sizes.append(len(pairing.rows_of(None)))
    values = values_on_shared_samples(loaded_runs)
    return _ranks_from_evidence(column, [label for label, *_ in runs], values, evidence, sizes)


def _ranks_from_evidence(
    column: Column,
    labels: Sequence[str],
    values: Sequence[float | None],
    evidence: Mapping[tuple[int, int], tuple[float, float]],
    sizes: Sequence[int],
) -> ColumnRanks:
    """Return the ranks implied by the significant differences, adjusted by Holm over all pairs.

    `evidence`: indices of two runs -> difference (second minus first) and p-value; `sizes`: number of samples of each pair.
    """
    adjusted = difference.holm([p for _, p in evidence.values()])
    worse_than: dict[str, set[str]] = {}
    for ((a, b), (value, _)), p in zip(evidence.items(), adjusted, strict=True):
        if p <= 1 - CONFIDENCE_LEVEL and value:
            is_b_better = (value > 0) == (column.better == "higher")
            winner, loser = (labels[b], labels[a]) if is_b_better else (labels[a], labels[b])
            worse_than.setdefault(winner, set()).add(loser)
    names = {label: label for label in labels}
    model_ranks = ranks(
        column.suite, dict(zip(labels, values, strict=True)), names, worse_than, better=column.better
    )
    return ColumnRanks(tuple(model_ranks), (min(sizes), max(sizes)), len(evidence))


def summary(column_ranks: ColumnRanks) -> str:
    """Return a sentence that lists the models that are not significantly different."""
    if column_ranks.why_not:
        return f"Not compared: {column_ranks.why_not}."
    groups = column_ranks.groups()
    if not groups:
        return f"All {len(column_ranks.ranks)} models are significantly different."
    clauses = [f"{_enumerate_names(group)} are not significantly different" for group in groups[:2]]
    suffix = f"; {len(groups) - 2} more such groups are marked by letters" if len(groups) > 2 else ""
    return "; ".join(clauses) + suffix + "."


def _enumerate_names(names: Sequence[str]) -> str:
    parts = list(names) if len(names) <= 6 else [*names[:5], f"{len(names) - 5} more"]
    return f"{', '.join(parts[:-1])} and {parts[-1]}"
