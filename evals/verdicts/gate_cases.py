"""Gate cases: each is a rule of the policy with the samples of both runs, paired under the rule's metric."""

from __future__ import annotations

from collections.abc import Sequence
from math import sqrt
from typing import NamedTuple, TypeAlias

import numpy as np
from msgspec import structs

from evals.errors import UsageError
from evals.plain import suggestion
from evals.report.estimand_names import Estimand
from evals.types import Metric
from evals.verdicts import difference
from evals.verdicts.difference import MeanDifference
from evals.verdicts.estimands import NORMAL_DF, ObservedDifference, evidence_of, noise_error
from evals.verdicts.evidence import Evidence
from evals.verdicts.pairs import Missing, Pairing
from evals.verdicts.policy import Entry, Pool
from evals.verdicts.suite_run import SuiteRun, incomparability_reasons, normalise_suite_name, pair


class Case(NamedTuple):
    """A suite (or pool) with the paired samples from which its verdict follows."""

    rule: Entry | Pool
    metric: Metric
    pairings: tuple[Pairing, ...]
    """One for a suite, several for a pool."""
    protocol: str
    estimand: Estimand = "items-like-these"
    limits: tuple[float | None, ...] = ()
    """Repeatability limit of each suite; None: unknown."""

    def evidence(self, missing: Missing) -> Evidence | None:
        """Return the evidence on the difference; None if the estimand cannot be estimated."""
        limits = self.limits or (None,) * len(self.pairings)
        if len(self.pairings) == 1:
            return evidence_of(self.pairings[0], self.estimand, missing=missing, limit=limits[0])
        pooled = pooled_evidence(self.pairings, missing)
        if pooled is None or self.estimand == "items-like-these":
            return pooled
        if self.estimand == "this-run":
            return ObservedDifference(pooled.value)
        errors = [
            noise_error(pairing, limit=limit) for pairing, limit in zip(self.pairings, limits, strict=True)
        ]
        known_errors = [error for error in errors if error is not None]
        if len(known_errors) < len(errors):
            return None
        pooled_error = sqrt(sum(error * error for error in known_errors)) / len(known_errors)
        return MeanDifference(pooled.value, pooled_error, NORMAL_DF, "within-item noise")

    @property
    def is_noise_known(self) -> bool:
        """Return whether the within-item noise is known, or not needed for the estimand."""
        return self.estimand != "these-items" or self.evidence("exclude") is not None

    @property
    def coverage(self) -> tuple[float, float]:
        """Return the lowest coverage of the candidate and of the baseline over all suites."""
        candidate = min(pairing.coverage_b for pairing in self.pairings)
        return candidate, min(pairing.coverage_a for pairing in self.pairings)

    @property
    def excludes_missing(self) -> bool:
        """Return whether the policy excludes missing outcomes, which it cannot for a pool."""
        return isinstance(self.rule, Entry) and self.rule.missing == "tolerate"


RunPair: TypeAlias = tuple[SuiteRun, SuiteRun, Metric]
"""Baseline, candidate, and the metric that the policy names."""


def run_pair(entry: Entry, candidate: Sequence[SuiteRun], baseline: Sequence[SuiteRun]) -> RunPair | None:
    """Return both runs of a suite; None if the candidate has none.

    Raises UsageError if the baseline has none, or if the runs do not match each other or the policy.
    """
    a, b = run_of(entry, baseline), run_of(entry, candidate)
    if a is None:
        available = ", ".join(run.suite for run in baseline)
        raise UsageError(f"policy: {entry.name}: not in the baseline, which has {available or 'nothing'}")
    if b is None:
        return None
    if reasons := incomparability_reasons(a, b):
        raise UsageError(f"baseline and candidate cannot be compared: {'; '.join(reasons)}")
    if entry.protocol and entry.protocol != a.protocol:
        raise UsageError(
            f"policy: {entry.name}: requires protocol {entry.protocol}, but the runs use {a.protocol}"
        )
    return a, b, metric_of(entry, b)


def run_of(entry: Entry, suite_runs: Sequence[SuiteRun]) -> SuiteRun | None:
    """Return the run of an entry's suite; the entry may leave out the variant. Raises UsageError if several runs match."""
    suite_name = normalise_suite_name(entry.name)
    exact = [run for run in suite_runs if normalise_suite_name(run.suite) == suite_name]
    matches = exact or [
        run for run in suite_runs if normalise_suite_name(run.suite).partition(":")[0] == suite_name
    ]
    if len(matches) > 1 and entry.protocol:
        matches = [run for run in matches if run.protocol == entry.protocol] or matches
    if len(matches) > 1:
        raise UsageError(
            f"policy: {entry.name} matches several runs: {', '.join(run.suite for run in matches)}"
        )
    return matches[0] if matches else None


def metric_of(entry: Entry, suite_run: SuiteRun) -> Metric:
    """Return the metric that an entry names; raises a UsageError that suggests a similar name."""
    if not entry.metric:
        return suite_run.headline
    name = entry.metric.replace("@k", f"@{suite_run.outcomes.repeats}")
    for metric in suite_run.metrics:
        if metric.name == name:
            return metric
    known = suggestion(name, (metric.name for metric in suite_run.metrics))
    raise UsageError(f"policy: {entry.name}: no metric {entry.metric!r}; {known}")


def case_of(
    rule: Entry | Pool,
    run_pairs: Sequence[RunPair],
    *,
    estimand: Estimand = "items-like-these",
    limits: tuple[float | None, ...] = (),
) -> Case:
    """Pair the samples of a suite, or of all suites of a pool."""
    pairings = tuple(
        pair(with_largest_errors_imputed(a, metric), with_largest_errors_imputed(b, metric), metric)
        for a, b, metric in run_pairs
    )
    metric = pairings[0].metric
    for pairing in pairings[1:]:
        if (pairing.metric.better, pairing.metric.unit) != (metric.better, metric.unit):
            raise UsageError(f"policy: pool {rule.name}: its suites' metrics differ in unit or direction")
    if len(pairings) > 1 and any(pairing.metric.pool == "whole" for pairing in pairings):
        raise UsageError(
            f"policy: pool {rule.name}: {metric.name} is not a mean over samples and cannot be pooled"
        )
    return Case(rule, metric, pairings, run_pairs[0][0].protocol, estimand, limits)


def with_largest_errors_imputed(suite_run: SuiteRun, metric: Metric) -> SuiteRun:
    """Return a run in which replies without an answer have the largest possible error, if the metric would exclude them.

    An RMSE over the answered items alone would reward a model for not answering hard ones. Scorers state the largest error as
    `error_worst` (the range of the training targets).
    """
    if metric.better == "higher" or metric.bounds is not None:
        return suite_run
    outcomes = suite_run.outcomes_under(metric)
    if not any(point.value is None and "error_worst" in point.parts for point in outcomes.points):
        return suite_run
    points = [
        structs.replace(point, value=point.parts["error_worst"])
        if point.value is None and "error_worst" in point.parts
        else point
        for point in outcomes.points
    ]
    scorer = metric.scorer or next(iter(suite_run.outcomes_by_scorer))
    return structs.replace(
        suite_run,
        outcomes_by_scorer={**suite_run.outcomes_by_scorer, scorer: outcomes._replace(points=points)},
    )


def pooled_evidence(pairings: Sequence[Pairing], missing: Missing) -> Evidence | None:
    """Return the evidence on the mean of the suites' differences, with samples weighted as in their own suite."""
    values, clusters, groups = [], [], []
    weights: dict[tuple[int, str], float] = {}
    for suite_index, pairing in enumerate(pairings):
        rows = pairing.rows_of(None, missing)
        if pairing.is_undefined(rows):
            return None
        strata = [(suite_index, row.group if pairing.metric.pool == "macro" else "") for row in rows]
        weights.update(dict.fromkeys(strata, 1 / len(set(strata))))
        values.append(pairing.differences(rows, missing))
        clusters += [(suite_index, row.cluster) for row in rows]
        groups += strata
    differences = np.concatenate(values)
    if np.isnan(differences).any():
        return None
    return difference.mean_evidence(
        differences, clusters, groups=groups, weights=weights, width=pairings[0].metric.width
    )
