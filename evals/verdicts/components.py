"""Estimate the variance components of a score: items, single replies, prompt wording, judge, and model.

Each component names the runs that it was estimated from, or is marked as stated or assumed. Variances are in the metric's squared
unit. A run contributes to a component according to how it differs from the baseline:

| model | protocol | judge | component |
|---|---|---|---|
| same | same | same | within an item |
| same | other | any | prompt wording |
| same | same | other | judge |
| other | same | any | difference between models |
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from itertools import combinations
from math import isnan
from typing import NamedTuple, TypeAlias

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from evals.report import statistics as stats
from evals.report.strata import item_weights
from evals.types import Metric
from evals.verdicts.pairs import merge_joint_samples, reduce_samples
from evals.verdicts.suite_run import SuiteRun
from evals.verdicts.within_item_noise import largest_variance, within_item_variances

Floats: TypeAlias = NDArray[np.float64]

ASSUMED_WITHIN = 0.075
"""Variance of one reply within an item, as a share of the squared range: 15 % of binary items change between two runs."""
ASSUMED_CORRELATION = 0.3
"""Correlation of items' values between two models. On MMLU-Pro, between Llama-3.1-8B, Mistral-7B and gemini-1.5-flash: .29
to .37, with 32 to 44 % discordant items."""


class Component(Struct, frozen=True, kw_only=True):
    """One source of variance."""

    variance: float
    source: str
    """Runs that the component was estimated from, `stated` (in a policy or report), or `assumed`."""


class Components(Struct, frozen=True, kw_only=True):
    """Sources of variance of one suite's metric."""

    suite: str
    metric: str
    unit: str
    n: int
    """Number of items."""
    repeats: int
    value: float
    """The baseline's mean over items."""
    range: float | None
    """Largest minus smallest possible value of an item; None: unbounded."""
    between: Component
    """Variance over items of their expected values."""
    within: Component
    """Variance of a single reply's value within an item."""
    models: Component
    """Variance over items of the expected difference between the baseline's model and another one."""
    wording: Component | None
    """Variance of the score over wordings of the prompt, excluding the noise of items and replies; None: fewer than two wordings or shared items."""
    judge: Component | None
    """Variance of the score over judges; None: fewer than two judges or shared items."""
    design: float
    """Design effect: variance of the mean / its variance with as many independent items of equal weight."""

    @property
    def discordance(self) -> float:
        """Return the mean squared difference of an item between two runs of the baseline's model with one reply each."""
        return 2 * self.within.variance

    @property
    def discordance_of_models(self) -> float:
        """Return the variance over items of the difference between two models with one reply each."""
        return self.models.variance + 2 * self.within.variance


class _RunValues(NamedTuple):
    """A run's headline values."""

    suite_run: SuiteRun
    values: Mapping[str, float]
    within: float | None
    """Variance of one reply within an item, from this run's own repeats."""

    @property
    def repeats(self) -> int:
        return self.suite_run.outcomes.repeats


def components(
    baseline: SuiteRun, runs: Sequence[SuiteRun] = (), *, discordance: float | None = None
) -> Components | None:
    """Estimate a suite's components from runs on its data; None for a whole-run metric or fewer than two scored items.

    `discordance`: the mean squared difference of an item between two runs of the model, each with the baseline's number of
    repeats; used if it cannot be estimated from the runs.
    """
    metric = baseline.headline
    if metric.pool == "whole":
        return None
    base = _run_values(baseline)
    key = (baseline.suite, baseline.data_sha256)
    other_runs = {run.identity: run for run in runs if (run.suite, run.data_sha256) == key}
    other_runs.pop(baseline.identity, None)  # a run does not differ from itself
    others = [_run_values(run) for run in other_runs.values()]
    same_model_runs = [other for other in others if _have_same_model(base, other)]
    values = np.array(list(base.values.values()))
    if len(values) < 2:
        return None
    width, variance = metric.width, float(values.var(ddof=1))
    within_component = _within_variance(base, others, discordance, fallback=_assumed_within(values, metric))
    between = max(0.0, variance - within_component.variance / base.repeats)
    return Components(
        suite=baseline.suite, metric=metric.name, unit=metric.unit, n=len(values), repeats=base.repeats,
        value=float(values.mean()), range=width, between=Component(variance=between, source=baseline.run),
        within=within_component, models=_model_variance(base, others, within_component, between),
        wording=_score_variance(base, [other for other in same_model_runs if _has_other_wording(base, other)]),
        judge=_score_variance(base, [other for other in same_model_runs if _differ_only_in_judge(base, other)]),
        design=_design_effect(base),
    )  # fmt: skip


def _assumed_within(values: Floats, metric: Metric) -> float:
    """Return the variance of a reply within an item if it is unknown; without bounds, that of the items' values."""
    if metric.bounds is None or not metric.width:
        return float(values.var(ddof=1))
    shares = (values - metric.bounds[0]) / metric.width
    return min(ASSUMED_WITHIN, largest_variance(shares)) * metric.width**2


def _run_values(suite_run: SuiteRun) -> _RunValues:
    metric = suite_run.headline
    outcomes = merge_joint_samples(suite_run.outcomes_under(metric), metric)
    sample_values = reduce_samples(outcomes, metric, outcomes.golds)
    variances = within_item_variances(outcomes, metric)
    within_variance = None
    if variances:
        within_variance = sum(variances.values()) / len(variances) * outcomes.repeats
    scored = {
        sample_id: sample.value for sample_id, sample in sample_values.items() if not isnan(sample.value)
    }
    return _RunValues(suite_run, scored, within_variance)


def _have_same_model(a: _RunValues, b: _RunValues) -> bool:
    return a.suite_run.model == b.suite_run.model


def _have_same_protocol(a: _RunValues, b: _RunValues) -> bool:
    """Return whether two runs had the same prompts and are scored by the same rules."""
    runs = a.suite_run, b.suite_run
    return len({run.protocol for run in runs}) == len({run.prompted for run in runs}) == 1


def _has_other_wording(base: _RunValues, other: _RunValues) -> bool:
    """Return whether a run had other prompts than the baseline; a copy scored under another protocol adds no wording."""
    sent = base.suite_run.prompted or base.suite_run.protocol
    return not other.suite_run.prompted and other.suite_run.protocol != sent


def _differ_only_in_judge(a: _RunValues, b: _RunValues) -> bool:
    return _have_same_model(a, b) and _have_same_protocol(a, b) and a.suite_run.judge != b.suite_run.judge


def _within_variance(
    base: _RunValues, others: Sequence[_RunValues], stated: float | None, *, fallback: float
) -> Component:
    """Return the within-item variance: pooled over repeats and pairs of runs (weighted by items), else stated or assumed."""
    repetitions = [
        run
        for run in others
        if _have_same_model(base, run)
        and _have_same_protocol(base, run)
        and not _differ_only_in_judge(base, run)
    ]
    runs = [run for run in (base, *repetitions) if run.within is not None]
    estimates = [(run.within or 0.0, len(run.values), run.suite_run.run) for run in runs]
    for run in repetitions:
        if len(differences := _differences(base, run)):
            noise_factor = 1 / base.repeats + 1 / run.repeats
            variance = float(np.mean(differences**2)) / noise_factor
            estimates.append((variance, len(differences), run.suite_run.run))
    if estimates:
        total = sum(n for _, n, _ in estimates)
        variance = sum(value * n for value, n, _ in estimates) / total
        return Component(variance=variance, source=_distinct_names(name for _, _, name in estimates))
    if stated is not None:
        return Component(variance=stated * base.repeats / 2, source="stated")
    return Component(variance=fallback, source="assumed")


def _model_variance(
    base: _RunValues, others: Sequence[_RunValues], within: Component, between: float
) -> Component:
    estimates = []
    for other in others:
        if _have_same_model(base, other) or not _have_same_protocol(base, other):
            continue
        differences = _differences(base, other)
        if len(differences) > 1:
            noise = within.variance / base.repeats + (other.within or within.variance) / other.repeats
            estimates.append((max(0.0, float(differences.var(ddof=1)) - noise), other.suite_run.run))
    if estimates:
        variance = sum(value for value, _ in estimates) / len(estimates)
        return Component(variance=variance, source=_distinct_names(name for _, name in estimates))
    reply_variance = between + within.variance
    assumed = max(0.0, 2 * reply_variance * (1 - ASSUMED_CORRELATION) - 2 * within.variance)
    return Component(variance=assumed, source="assumed")


def _score_variance(base: _RunValues, others: Sequence[_RunValues]) -> Component | None:
    """Return the variance of the score between conditions, minus the noise of items and replies."""
    conditions = [base, *others]
    shared_ids = set.intersection(*(set(run.values) for run in conditions))
    if not others or len(shared_ids) < 2:
        return None
    rows = np.array([[run.values[sample_id] for sample_id in sorted(shared_ids)] for run in conditions])
    noise = np.mean([(a - b).var(ddof=1) / 2 for a, b in combinations(rows, 2)]) / len(shared_ids)
    variance = max(0.0, float(rows.mean(axis=1).var(ddof=1) - noise))
    return Component(variance=variance, source=_distinct_names(run.suite_run.run for run in conditions))


def _differences(a: _RunValues, b: _RunValues) -> Floats:
    return np.array(
        [b.values[sample_id] - value for sample_id, value in a.values.items() if sample_id in b.values]
    )


def _design_effect(base: _RunValues) -> float:
    """Return the design effect of the baseline's weights and clusters."""
    metric = base.suite_run.headline
    golds = merge_joint_samples(base.suite_run.outcomes_under(metric), metric).golds
    sample_ids = list(base.values)
    groups = [golds[sample_id].group for sample_id in sample_ids] if metric.pool == "macro" else None
    weights = item_weights(len(sample_ids), groups)
    weight_effect = float(weights @ weights) * len(sample_ids)
    values = np.array([base.values[sample_id] for sample_id in sample_ids])
    clusters = [golds[sample_id].cluster for sample_id in sample_ids]
    unclustered = stats.standard_error(values, range(len(sample_ids)))
    if len(set(clusters)) == len(sample_ids) or not unclustered > 0:
        return weight_effect
    clustered = stats.standard_error(values, clusters)
    return weight_effect * max(1.0, (clustered / unclustered) ** 2)


def _distinct_names(names: Iterable[str]) -> str:
    return ", ".join(dict.fromkeys(names))
