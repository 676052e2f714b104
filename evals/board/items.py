"""Values of items, for the pairwise comparisons on a board's pages: `results/ENTRY.parquet`.

Its rows are the items of each suite in the order of their ids, which are not stored: two results of a suite with the same
`items_sha256` have the same items in the same order.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from hashlib import sha256
from math import isnan, nan
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from evals import disk
from evals.board.results import FOLDER, SuiteResult
from evals.errors import UsageError
from evals.records.files import CompactRecord, Gold
from evals.report.estimates import points
from evals.suite import Suite
from evals.validation import cause
from evals.verdicts.difference import MeanDifference, mean_evidence
from evals.verdicts.evidence import Evidence
from evals.verdicts.pairs import Outcomes, reduce_run


class Items(NamedTuple):
    """The items of a run under its headline metric."""

    sha256: str
    """Hash of the ids; empty, like `values`, if the metric is not a mean over items."""
    values: NDArray[np.float64]
    """Each item's mean over its repeats, in the metric's unit; NaN if no repeat was scored."""
    groups: list[str]
    clusters: list[str]
    """Hashes of the items' clusters."""
    macro: bool = False
    """Whether the metric is the unweighted mean over groups."""
    width: float | None = None
    """Largest minus smallest possible value of an item; None if values are unbounded."""


def measure(suite: Suite, records: Iterable[CompactRecord], golds: Mapping[str, Gold], repeats: int) -> Items:
    """Return the items of a run, each reduced to its value under the suite's headline metric."""
    metric = next(metric for metric in suite.metrics_for(golds) if metric.headline)
    if metric.pool == "whole":
        return Items("", np.zeros(0), [], [])
    scorer = metric.scorer or next(iter(suite.scorers))
    reduced_run = reduce_run(Outcomes(points(records, golds, scorer), golds, repeats), metric)
    ids = sorted(reduced_run.outcomes.golds)
    values = [reduced_run.values[id_].value if id_ in reduced_run.values else np.nan for id_ in ids]
    golds_in_order = [reduced_run.outcomes.golds[id_] for id_ in ids]
    return Items(
        sha256("\n".join(ids).encode()).hexdigest(),
        np.array(values, dtype=np.float64),
        [gold.group for gold in golds_in_order],
        [sha256(gold.cluster.encode()).hexdigest()[:12] for gold in golds_in_order],
        metric.pool == "macro",
        metric.width,
    )


def write(folder: Path, entry: str, runs: Mapping[tuple[str, str], Items]) -> None:
    """Write the items of an entry's runs; `runs`: suite and protocol -> items."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    columns: dict[str, list[Any]] = {name: [] for name in ("suite", "protocol", "group", "cluster", "value")}
    for (suite, protocol), items in runs.items():
        count = len(items.values)
        columns["suite"] += [suite] * count
        columns["protocol"] += [protocol] * count
        columns["group"] += items.groups
        columns["cluster"] += items.clusters if len(set(items.clusters)) < count else [""] * count
        columns["value"] += [None if isnan(value) else value for value in items.values.tolist()]
    path = folder / FOLDER / f"{entry}.parquet"
    path.parent.mkdir(parents=True, exist_ok=True)
    with disk.naming(path):
        pq.write_table(pa.table(columns), path, compression="zstd", compression_level=9)


def read(folder: Path, entry: str) -> dict[tuple[str, str], Items]:
    """Return the items of an entry by suite and protocol, without the hashes of their ids; raises UsageError."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    path = folder / FOLDER / f"{entry}.parquet"
    try:
        table = pq.read_table(path)
    except (OSError, pa.ArrowException) as error:
        raise UsageError(f"{path}: {cause(error)}") from None
    labels = list(zip(table["suite"].to_pylist(), table["protocol"].to_pylist(), strict=True))
    values = table["value"].to_numpy(zero_copy_only=False).astype(np.float64)
    groups, clusters = table["group"].to_pylist(), table["cluster"].to_pylist()
    starts = {label: labels.index(label) for label in dict.fromkeys(labels)}
    ends = [*list(starts.values())[1:], len(labels)]
    return {
        label: Items("", values[start:end], groups[start:end], clusters[start:end])
        for (label, start), end in zip(starts.items(), ends, strict=True)
    }


def evidence_of(result: SuiteResult, a: Items, b: Items) -> tuple[Evidence, int]:
    """Return the evidence on b minus a, and the number of items scored in both; `result`: the suite result of either run.

    If no item was scored in both, the standard error is NaN.
    """
    differences = b.values - a.values
    scored = np.flatnonzero(~np.isnan(differences))
    if not len(scored):
        return MeanDifference(0.0, nan, 1, "no item in common", result.width), 0
    is_unclustered = len(set(a.clusters)) in (1, len(a.clusters))
    clusters = range(len(scored)) if is_unclustered else np.array(a.clusters)[scored].tolist()
    groups = np.array(a.groups)[scored].tolist() if result.macro else None
    evidence = mean_evidence(differences[scored], clusters, groups=groups, width=result.width)
    return evidence, len(scored)
