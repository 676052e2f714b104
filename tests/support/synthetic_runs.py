"""Synthetic runs for the tests of compare, gate, plan and sequential gates."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from msgspec import structs

from evals.records.files import Gold
from evals.report.metrics import accuracy, at_repeats
from evals.types import Metric, Point
from evals.verdicts.pairs import Outcomes
from evals.verdicts.suite_run import SuiteRun


def point(
    id_: str, value: float | None, *, repeat: int = 0, group: str = "", cluster: str = "", verdict: str = ""
) -> Point:
    verdict = verdict or ("right" if value == 1 else "wrong")
    return Point(id_, repeat, group, cluster or id_, verdict, value, "A" if value else "B", "A", 4, {})


def outcomes(
    values: Mapping[str, Any],
    *,
    groups: Sequence[str] | None = None,
    clusters: Sequence[str] | None = None,
    repeats: int = 1,
) -> Outcomes:
    """Return a run's outcomes; `values`: id -> value, list of values (repeats), or None (missing)."""
    golds, points = {}, []
    for i, (name, value) in enumerate(values.items()):
        group = groups[i] if groups else ""
        cluster = clusters[i] if clusters else name
        golds[name] = Gold(group, cluster, "A", 4)
        for repeat, score in enumerate(value if isinstance(value, list) else [value]):
            if score is not None:
                points.append(point(name, score, repeat=repeat, group=group, cluster=cluster))
    return Outcomes(points, golds, repeats)


def suite_run(
    run: str, run_outcomes: Outcomes, *, metrics: Sequence[Metric] = (), suite: str = "toy", **changes: Any
) -> SuiteRun:
    default = SuiteRun(
        run=run,
        model=f"model-{run}",
        suite=suite,
        protocol="strict",
        version="1",
        data_sha256="0" * 64,
        scorers={"choice": "Choice@1"},
        metrics=at_repeats(metrics or accuracy(), run_outcomes.repeats),
        outcomes_by_scorer={"choice": run_outcomes},
    )
    return structs.replace(default, **changes)


def binary(right: int, n: int, **options: Any) -> Outcomes:
    """Return the outcomes of `n` samples of which the first `right` are right."""
    return outcomes({f"s{i:05}": float(i < right) for i in range(n)}, **options)


def outcomes_of(values: Sequence[Any], **options: Any) -> Outcomes:
    """Return outcomes with these values, in order of the samples' ids."""
    return outcomes({f"s{i:05}": value for i, value in enumerate(values)}, **options)
