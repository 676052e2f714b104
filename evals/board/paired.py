"""Paired comparison of two runs of one suite, from the values of their items."""

from __future__ import annotations

from math import nan

from evals.board.items import Items
from evals.board.results import SuiteResult
from evals.verdicts import difference
from evals.verdicts.difference import MeanDifference
from evals.verdicts.evidence import Evidence


def evidence_of(result: SuiteResult, a: Items, b: Items) -> tuple[Evidence, int]:
    """Return the evidence on b minus a, and the number of items scored in both; `result`: the suite result of either run.

    If no item was scored in both, the standard error is NaN.
    """
    import numpy as np

    differences = b.values - a.values
    scored = np.flatnonzero(~np.isnan(differences))
    if not len(scored):
        return MeanDifference(0.0, nan, 1, "no item in common", result.width), 0
    is_unclustered = len(set(a.clusters)) in (1, len(a.clusters))
    clusters = range(len(scored)) if is_unclustered else np.array(a.clusters)[scored].tolist()
    groups = np.array(a.groups)[scored].tolist() if result.macro else None
    evidence = difference.mean_evidence(differences[scored], clusters, groups=groups, width=result.width)
    return evidence, len(scored)
