"""Models of a column that are not significantly different: all pairs compared sample by sample, as in `evals compare`.

Holm bounds the probability of any false difference at 5 %. Means are compared in arrays, for forty models at once;
other metrics (RMSE, ROC-AUC) by `evals.verdicts`, run by run and for a few models only, since that is slower.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import lru_cache
from itertools import combinations
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from evals.dashboard.tables.frames import Entry, Stamp, query, stamp
from evals.dashboard.tables.leaderboard import Column, Row
from evals.report.metrics import mean_value
from evals.run.overview import suite_of
from evals.types import Metric
from evals.verdicts import difference, suite_runs
from evals.verdicts.ranks import Rank, ranks
from evals.verdicts.suite_run import pair

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

LEVEL = 0.95
MEANS = "SELECT path, sample, avg(value) AS value FROM records WHERE value IS NOT NULL GROUP BY path, sample"
TOGETHER = 8
"""Runs whose values are read by one query: all of 83 runs of 12,049 samples take half a gigabyte as text."""
FEW = 8
"""Maximum number of models if the metric is not a mean of samples."""


class Ties(NamedTuple):
    """Ranks of the models of one column, the best first."""

    places: tuple[Rank, ...]
    n: tuple[int, int]
    """Samples in the pair with the fewest, and in the one with the most."""
    pairs: int
    why_not: str = ""
    """Why they could not be compared; empty if they were."""

    def groups(self) -> list[list[str]]:
        """Return the groups, of two and more, of models that are not significantly different, the best first."""
        letters = dict.fromkeys(letter for place in self.places for letter in place.groups)
        groups = [[place.model for place in self.places if letter in place.groups] for letter in letters]
        return [group for group in groups if len(group) > 1]


def ties(column: Column, runs: Mapping[Row, Entry]) -> Ties:
    """Compare the runs of a column; cached until one of them changes."""
    labelled = tuple((row.label, entry.path, stamp(entry.path)) for row, entry in runs.items())
    first = next(iter(runs.values()), None)
    if first is None or len(labelled) < 2:
        return Ties((), (0, 0), 0, "there is one model only")
    metric = suite_of(first.card).headline
    if metric.of is mean_value and not metric.scorer:
        return _by_arrays(column, metric, labelled)
    if len(labelled) > FEW:
        return Ties(
            (), (0, 0), 0, f"{column.metric} of more than {FEW} models is compared by `evals compare`"
        )
    return _by_runs(column, metric, labelled)


@lru_cache(maxsize=64)
def _by_arrays(column: Column, metric: Metric, labelled: tuple[tuple[str, Path, Stamp], ...]) -> Ties:
    import numpy as np

    paths = [path for _, path, _ in labelled]
    values, clusters, groups = _values(paths)
    alone = len(set(clusters)) == len(clusters)
    macro = metric.pool == "macro"
    width = metric.width
    shifts = {}
    for a, b in combinations(range(len(paths)), 2):
        differences = values[b] - values[a]
        scored = ~np.isnan(differences)
        if not scored.any():
            return Ties((), (0, 0), 0, "two of the runs have no sample in common")
        chosen = np.flatnonzero(scored)
        if macro and len({groups[i] for i in chosen}) < len(set(groups)):
            return Ties((), (0, 0), 0, "two of the runs have no scored sample of some group in common")
        shifts[a, b] = difference.mean_evidence(
            differences[chosen],
            range(len(chosen)) if alone else [clusters[i] for i in chosen],
            groups=[groups[i] for i in chosen] if macro else None,
            width=width,
        )
    sizes = [int((~np.isnan(values[b] - values[a])).sum()) for a, b in shifts]
    evidence = {pair_: (shift.value, shift.p_equal()) for pair_, shift in shifts.items()}
    return _placed(
        column, [label for label, *_ in labelled], _means(values, groups, macro=macro), evidence, sizes
    )


def _values(paths: Sequence[Path]) -> tuple[NDArray[np.float64], list[str], list[str]]:
    """Return each sample's value in each run (mean over repeats; NaN if missing), its cluster and its group."""
    import numpy as np
    import pandas as pd

    samples = query(paths[0], 'SELECT id, "group", cluster FROM samples')
    place = pd.Series(range(len(samples)), index=samples["id"])
    values = np.full((len(paths), len(samples)), np.nan)
    for start in range(0, len(paths), TOGETHER):
        means = query(paths[start : start + TOGETHER], MEANS, keep=False)
        row = means["path"].map({str(path): i for i, path in enumerate(paths)}).to_numpy()
        column = means["sample"].map(place).to_numpy()
        known = ~np.isnan(column)
        values[row[known], column[known].astype(int)] = means["value"].to_numpy()[known]
    return values, samples["cluster"].tolist(), samples["group"].tolist()


def _means(values: NDArray[np.float64], groups: Sequence[str], *, macro: bool) -> list[float]:
    import numpy as np

    if not macro:
        return [float(np.nanmean(row)) for row in values]
    codes = {name: i for i, name in enumerate(dict.fromkeys(groups))}
    strata = np.array([codes[name] for name in groups])
    means = []
    for row in values:
        parts = [row[(strata == code) & ~np.isnan(row)] for code in codes.values()]
        means.append(float(np.mean([part.mean() for part in parts if len(part)])))
    return means


@lru_cache(maxsize=16)
def _by_runs(column: Column, metric: Metric, labelled: tuple[tuple[str, Path, Stamp], ...]) -> Ties:
    from evals.records.store import Run

    sides = [suite_runs.of_run(Run(path)) for _, path, _ in labelled]
    evidence, sizes = {}, []
    values: list[float] = [0.0] * len(sides)
    for a, b in combinations(range(len(sides)), 2):
        pairs = pair(sides[a], sides[b], sides[a].headline)
        shift = pairs.evidence()
        if shift is None:
            return Ties((), (0, 0), 0, "two of the runs have no sample in common")
        evidence[a, b] = shift.value, shift.p_equal()
        values[a], values[b] = (value or 0.0 for value in pairs.values())
        sizes.append(len(pairs.rows_of(None)))
    return _placed(column, [label for label, *_ in labelled], values, evidence, sizes)


def _placed(
    column: Column,
    labels: Sequence[str],
    values: Sequence[float],
    evidence: Mapping[tuple[int, int], tuple[float, float]],
    sizes: Sequence[int],
) -> Ties:
    """Rank models by the differences that are significant, Holm-adjusted over all pairs."""
    adjusted = difference.holm([p for _, p in evidence.values()])
    worse_than: dict[str, set[str]] = {}
    for ((a, b), (value, _)), p in zip(evidence.items(), adjusted, strict=True):
        if p <= 1 - LEVEL and value:
            b_better = (value > 0) == (column.better == "higher")
            winner, loser = (labels[b], labels[a]) if b_better else (labels[a], labels[b])
            worse_than.setdefault(winner, set()).add(loser)
    names = {label: label for label in labels}
    places = ranks(
        column.suite, dict(zip(labels, values, strict=True)), names, worse_than, better=column.better
    )
    return Ties(tuple(places), (min(sizes), max(sizes)), len(evidence))


def sentence(compared: Ties) -> str:
    """Return in words which models are not significantly different."""
    if compared.why_not:
        return f"Not compared: {compared.why_not}."
    groups = compared.groups()
    if not groups:
        return f"All {len(compared.places)} models are significantly different."
    listed = [f"{_listed(group)} are not significantly different" for group in groups[:2]]
    more = f"; letters mark {len(groups) - 2} more such groups" if len(groups) > 2 else ""
    return "; ".join(listed) + more + "."


def _listed(names: Sequence[str]) -> str:
    shown = list(names) if len(names) <= 6 else [*names[:5], f"{len(names) - 5} more"]
    return f"{', '.join(shown[:-1])} and {shown[-1]}"
