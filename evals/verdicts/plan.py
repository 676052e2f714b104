"""Plan a gate before the candidate is run: power and error rates of a policy on a baseline, and the cost of a run.

The whole policy is simulated on the baseline's own samples: for an unchanged model, for each suite worse by its margin
and by twice its margin, and for all suites worse at once. The noise between runs of one model is taken from a second
run, a repeatability report, the policy (`discordance`) or the baseline's own repeats; otherwise it is assumed.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from math import sqrt

import numpy as np
from msgspec import Struct

from evals.errors import UsageError
from evals.report import statistics as stats
from evals.report.estimand_names import Estimand
from evals.verdicts import plan_advice
from evals.verdicts.budget import CHANGES, POWER, Budget, RunUsage, budget
from evals.verdicts.components import Components, components
from evals.verdicts.formatting import format_size
from evals.verdicts.gate import check_margins
from evals.verdicts.gate_cases import Case, case_of, metric_of, run_of, run_pair
from evals.verdicts.noise import RepeatabilityReport
from evals.verdicts.normal_designs import FixedItemsDesign, NormalDesign, UnknownNoise
from evals.verdicts.planned_suites import PlannedSuite, SuitePlan
from evals.verdicts.policy import Entry, Policy, Pool
from evals.verdicts.simulated_designs import Design, Noise, PValues, estimate_noise
from evals.verdicts.suite_run import SuiteKey, SuiteRun
from evals.verdicts.within_item_noise import within_item_sd

VERDICTS = ("pass", "regression", "cannot tell")


class Scenario(Struct, frozen=True, kw_only=True):
    """Verdicts of the whole policy under assumed losses."""

    name: str
    losses: dict[str, float]
    verdicts: dict[str, float]
    """Verdict -> share of simulations."""


class Plan(Struct, frozen=True, kw_only=True):
    """Result of `evals gate plan`."""

    baseline: str
    decides: bool
    """Whether an unchanged model passes with at least the policy's `power`."""
    why: str
    """Why the gate cannot decide; empty if it can."""
    nearest: tuple[str, ...]
    """Changes that would give the gate enough power: alternatives for each underpowered suite, or pooling these suites."""
    suites: tuple[SuitePlan, ...]
    scenarios: tuple[Scenario, ...]
    simulations: int
    seed: int
    components: tuple[Components, ...] = ()
    """Variance components of each suite, except for whole-run metrics."""
    budgets: tuple[Budget, ...] = ()
    """What it takes to detect a drop: first for the same model, then for another one, the cheapest suite first in each case."""
    notes: tuple[str, ...] = ()


def plan(
    baseline: Sequence[SuiteRun],
    policy: Policy,
    *,
    second_runs: Sequence[SuiteRun] = (),
    runs: Sequence[SuiteRun] = (),
    drop: float | None = None,
    reports: Mapping[SuiteKey, RepeatabilityReport] | None = None,
    simulations: int = 2000,
    seed: int = 0,
) -> Plan:
    """Simulate a gate before the candidate is run.

    `second_runs`: a second run of the baseline's model; `runs`: further runs of the suites, from which variance
    components are estimated; `drop`: the loss that budgets are computed for, by default each suite's margin.
    """
    reports = reports or {}
    if same := {run.identity for run in baseline} & {run.identity for run in second_runs}:
        raise UsageError(f"{min(same)[0]} is the baseline itself: name a second run of its model")
    check_margins(policy, {key: report.limit for key, report in reports.items()}, baseline)
    suites = [
        _prepare_suite(rule, policy, baseline, second_runs, reports) for rule in policy.rules_with_verdict
    ]
    unchanged, at_margin, at_twice_margin = _simulate(suites, simulations, seed)
    scenarios = _scenarios(suites, unchanged, at_margin, at_twice_margin, policy)
    plans = tuple(
        _suite_plan(suite, policy, *p_values)
        for suite, *p_values in zip(suites, unchanged, at_margin, at_twice_margin, strict=True)
    )
    components_by_entry = _components_by_entry(policy, baseline, [*second_runs, *runs], reports)
    all_components = tuple(estimated for _, _, estimated in components_by_entry)
    decides = (pass_share := scenarios[0].verdicts["pass"]) >= policy.power
    return Plan(
        baseline=", ".join(dict.fromkeys(run.run for run in baseline)), decides=decides,
        why="" if decides else plan_advice.why_underpowered(pass_share, policy, plans),
        nearest=() if decides else tuple(plan_advice.sufficient_changes(suites, plans, policy)), suites=plans,
        scenarios=tuple(scenarios), simulations=simulations, seed=seed, components=all_components,
        budgets=tuple(_budgets(components_by_entry, policy, drop)),
        notes=(*plan_advice.plan_notes(suites), *_notes_on_conditions(all_components)),
    )  # fmt: skip


def _prepare_suite(
    rule: Entry | Pool,
    policy: Policy,
    baseline: Sequence[SuiteRun],
    second_runs: Sequence[SuiteRun],
    reports: Mapping[SuiteKey, RepeatabilityReport],
) -> PlannedSuite:
    entries = policy.members(rule) if isinstance(rule, Pool) else (rule,)
    run_pairs, has_second_run = [], []
    for entry in entries:
        paired = run_pair(entry, second_runs, baseline) if second_runs else None
        has_second_run.append(paired is not None)
        if paired is None:
            paired = run_pair(entry, baseline, baseline)
        if paired is None:
            raise UsageError(f"policy: {entry.name}: not in the baseline")
        run_pairs.append((paired[0], paired[1], metric_of(entry, paired[0])))
    estimand = policy.estimand_of(rule)
    case = case_of(rule, run_pairs)
    designs = []
    for index, (entry, is_second_run) in enumerate(zip(entries, has_second_run, strict=True)):
        pairing, report = case.pairings[index], reports.get(run_pairs[index][0].key)
        reported = report.discordance if report else None
        noise = estimate_noise(
            pairing, stated=entry.discordance, from_second_run=is_second_run, reported=reported
        )
        design = _make_design(case, index, noise, from_second_run=is_second_run, estimand=estimand)
        noise_from_repeats = within_item_sd(pairing.a, pairing.metric)
        if estimand == "these-items" and report is None and noise_from_repeats is None:
            design = UnknownNoise(design.error, 0, noise)
        designs.append(design)
    return PlannedSuite(rule, case, tuple(designs), tuple(baseline_run for baseline_run, _, _ in run_pairs))


def _make_design(
    case: Case, index: int, noise: Noise, *, from_second_run: bool, estimand: Estimand
) -> Design | NormalDesign:
    pairing = case.pairings[index]
    if not pairing.rows_of(None):
        raise UsageError(f"policy: {case.rule.label}: nothing was scored in the baseline")
    if estimand != "items-like-these" and pairing.metric.pool != "whole":
        return FixedItemsDesign(Design(pairing, noise), as_observed=estimand == "this-run")
    if pairing.metric.pool == "whole":
        return NormalDesign.of(pairing, from_second_run=from_second_run)
    return Design(pairing, noise)


def _components_by_entry(
    policy: Policy,
    baseline: Sequence[SuiteRun],
    runs: Sequence[SuiteRun],
    reports: Mapping[SuiteKey, RepeatabilityReport],
) -> list[tuple[Entry, SuiteRun, Components]]:
    """Return each entry with its baseline run and the components estimated from it and from `runs`."""
    estimated = []
    for entry in policy.suite:
        baseline_run = run_of(entry, baseline)
        if baseline_run is None:
            continue
        report = reports.get(baseline_run.key)
        stated = (report.discordance or None) if report else entry.discordance
        if (suite_components := components(baseline_run, runs, discordance=stated)) is not None:
            estimated.append((entry, baseline_run, suite_components))
    return estimated


def _budgets(
    components_by_entry: Sequence[tuple[Entry, SuiteRun, Components]], policy: Policy, drop: float | None
) -> list[Budget]:
    budgets = [
        budget(
            suite_components, entry.margin if drop is None else drop, change, alpha=policy.alpha,
            estimand=policy.estimand_of(entry), usage=RunUsage(len(run.outcomes.golds) * run.outcomes.repeats, run.cost_usd, run.seconds),
        )
        for change in CHANGES
        for entry, run, suite_components in components_by_entry
    ]  # fmt: skip
    return sorted(budgets, key=lambda row: (CHANGES.index(row.change), *_cost_key(row)))


def _cost_key(row: Budget) -> tuple[bool, float]:
    """Return a sort key: the cost, or the calls if it is unknown; drops that cannot be detected come last."""
    if row.calls is None:
        return True, row.limit
    return False, float(row.calls) if row.cost_usd is None else row.cost_usd


def _notes_on_conditions(all_components: Sequence[Components]) -> list[str]:
    """Return a note for each suite whose score varies with the prompt's wording or with the judge."""
    return [
        f"{suite.suite}: the score varies by {format_size(sqrt(component.variance), suite.unit)} (standard deviation) with the "
        f"{name}, whatever the number of items: a smaller drop may disappear with another {name}"
        for suite in all_components
        for name, component in (("wording of the prompt", suite.wording), ("judge", suite.judge))
        if component is not None and component.variance > 0
    ]


def _simulate(suites: Sequence[PlannedSuite], count: int, seed: int) -> list[list[PValues]]:
    """Return the p-values of all suites at a loss of 0, 1 and 2 margins."""
    rng = np.random.default_rng(seed)
    return [[suite.simulate(multiple, count=count, rng=rng) for suite in suites] for multiple in (0, 1, 2)]


def _scenarios(
    suites: Sequence[PlannedSuite],
    unchanged: Sequence[PValues],
    at_margin: Sequence[PValues],
    at_twice_margin: Sequence[PValues],
    policy: Policy,
) -> list[Scenario]:
    scenarios = [_apply_policy("unchanged", suites, {}, unchanged, policy)]
    for i, suite in enumerate(suites):
        if suite.rule.tier == "advisory":
            continue
        for multiple, size, p_values in (
            (1, "its margin", at_margin),
            (2, "twice its margin", at_twice_margin),
        ):
            mixed = [p_values[j] if j == i else unchanged[j] for j in range(len(suites))]
            losses = {suite.rule.label: suite.rule.margin * multiple}
            scenarios.append(
                _apply_policy(f"{suite.rule.label} worse by {size}", suites, losses, mixed, policy)
            )
    if len(suites) > 1:
        losses = {suite.rule.label: suite.rule.margin for suite in suites}
        scenarios.append(_apply_policy("all worse by their margins", suites, losses, at_margin, policy))
    return scenarios


def _apply_policy(
    name: str,
    suites: Sequence[PlannedSuite],
    losses: dict[str, float],
    p_values: Sequence[PValues],
    policy: Policy,
) -> Scenario:
    """Return a scenario with the shares of the policy's verdicts over all simulated sets of runs."""
    non_advisory = [i for i, suite in enumerate(suites) if suite.rule.tier != "advisory"]
    critical = [i for i, suite in enumerate(suites) if suite.rule.tier == "critical"]
    smallest_p = np.min([p_values[i].p_regression for i in non_advisory], axis=0)
    # Holm rejects any hypothesis only if it rejects the one with the smallest p-value
    is_worse = smallest_p <= policy.alpha / len(non_advisory)
    passed = np.all([p_values[i].p_pass <= policy.alpha for i in critical], axis=0) if critical else ~is_worse
    shares = (float((passed & ~is_worse).mean()), float(is_worse.mean()), float((~passed & ~is_worse).mean()))
    return Scenario(name=name, losses=losses, verdicts=dict(zip(VERDICTS, shares, strict=True)))


def _suite_plan(
    suite: PlannedSuite, policy: Policy, unchanged: PValues, at_margin: PValues, at_twice_margin: PValues
) -> SuitePlan:
    family_size = max(1, sum(rule.tier != "advisory" for rule in policy.rules_with_verdict))
    alpha = policy.alpha
    adjusted_alpha = alpha / (family_size if suite.rule.tier != "advisory" else 1)
    z_power, error = stats.z_quantile(POWER), suite.error
    tokens: Counter[str] = Counter()
    for run in suite.baselines:
        tokens.update(run.tokens)
    costs = [run.cost_usd for run in suite.baselines if run.cost_usd is not None]
    seconds = [run.seconds for run in suite.baselines if run.seconds is not None]
    noise_estimates = [design.noise for design in suite.designs]
    return SuitePlan(
        suite=suite.rule.label, tier=suite.rule.tier, metric=suite.case.metric.name, unit=suite.case.metric.unit,
        n=sum(len(pairing.rows_of(None)) for pairing in suite.case.pairings), repeats=suite.baselines[0].outcomes.repeats,
        margin=suite.rule.margin, discordance=sum(noise.discordance for noise in noise_estimates) / len(noise_estimates),
        source=", ".join(dict.fromkeys(noise.source for noise in noise_estimates)), error=error,
        estimand=policy.estimand_of(suite.rule),
        regression_mde=suite.rule.margin + (stats.z_quantile(1 - adjusted_alpha) + z_power) * error,
        mde=(stats.z_quantile(1 - alpha) + z_power) * error,
        passes_unchanged=float((unchanged.p_pass <= alpha).mean()),
        passes_at_margin=float((at_margin.p_pass <= alpha).mean()),
        regression_at_twice=float((at_twice_margin.p_regression <= adjusted_alpha).mean()), tokens=dict(tokens),
        cost_usd=sum(costs) if len(costs) == len(suite.baselines) else None,
        seconds=sum(seconds) if len(seconds) == len(suite.baselines) else None,
    )  # fmt: skip
