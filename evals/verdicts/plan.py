"""Plan a gate before its runs: power and error rates of a policy on a baseline, and the cost of a run.

The whole policy is simulated on the baseline's own samples: an unchanged model, each suite worse by its margin and
by twice its margin, all of them at once. How much a model differs from itself comes from a second run, from a
repeatability report, from the policy (`discordance`), from the baseline's own repeats, or else it is assumed.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import sqrt

from msgspec import Struct

from evals.errors import UsageError
from evals.report import statistics as stats
from evals.report.estimand_names import Estimand
from evals.verdicts import plan_advice
from evals.verdicts.budget import CHANGES, Budget, RunUsage, budget
from evals.verdicts.components import Components, components
from evals.verdicts.formatting import format_size
from evals.verdicts.gate import check_noise
from evals.verdicts.gate_cases import Case, case_of, metric_of, run_of, run_pair
from evals.verdicts.noise import RepeatabilityReport
from evals.verdicts.planned_suites import PlannedSuite, SuitePlan
from evals.verdicts.policy import Entry, Policy, Pool
from evals.verdicts.simulated_designs import (
    Claims,
    Design,
    FixedItemsDesign,
    Noise,
    NormalDesign,
    UnknownNoise,
    noise_of,
)
from evals.verdicts.suite_run import SuiteRun
from evals.verdicts.within_item_noise import within_item_error

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
    """Whether an unchanged model passes often enough (the policy's `power`)."""
    why: str
    """Why it cannot decide."""
    nearest: tuple[str, ...]
    """Changes each of which alone would make the gate decide."""
    suites: tuple[SuitePlan, ...]
    scenarios: tuple[Scenario, ...]
    simulations: int
    seed: int
    components: tuple[Components, ...] = ()
    """Variance components of each suite, except for statistics of whole runs."""
    budgets: tuple[Budget, ...] = ()
    """What it takes to detect a drop: for the same model, then for another model, the cheapest suite first."""
    notes: tuple[str, ...] = ()


def plan(
    baseline: Sequence[SuiteRun],
    policy: Policy,
    *,
    again: Sequence[SuiteRun] = (),
    runs: Sequence[SuiteRun] = (),
    drop: float | None = None,
    reports: Mapping[str, RepeatabilityReport] | None = None,
    simulations: int = 2000,
    seed: int = 0,
) -> Plan:
    """Simulate a gate before its runs exist.

    `again`: a second run of the baseline's model; `runs`: further runs of the suites, from which variance components are
    estimated; `drop`: the loss that budgets are computed for, default: each suite's margin.
    """
    import numpy as np

    known = reports or {}
    check_noise(policy, {suite: report.limit for suite, report in known.items()}, baseline)
    suites = [_planned_suite(rule, policy, baseline, again, known) for rule in policy.judged]
    rng = np.random.default_rng(seed)
    unchanged = [s.claims(0.0, s.rule.margin, count=simulations, rng=rng) for s in suites]
    at = [s.claims(s.rule.margin, s.rule.margin, count=simulations, rng=rng) for s in suites]
    twice = [s.claims(2 * s.rule.margin, s.rule.margin, count=simulations, rng=rng) for s in suites]
    scenarios = _scenarios(suites, unchanged, at, twice, policy)
    plans = tuple(_plan_of(s, policy, *p) for s, *p in zip(suites, unchanged, at, twice, strict=True))
    passes = scenarios[0].verdicts["pass"]
    parts = _components(policy, baseline, [*again, *runs], known)
    decides = passes >= policy.power
    return Plan(
        baseline=", ".join(dict.fromkeys(c.run for c in baseline)), decides=decides,
        why="" if decides else plan_advice.why_undecided(passes, policy, plans),
        nearest=() if decides else tuple(plan_advice.sufficient_changes(suites, plans, policy)), suites=plans,
        scenarios=tuple(scenarios), simulations=simulations, seed=seed,
        components=tuple(component for _, component in parts),
        budgets=tuple(_budgets(parts, policy, baseline, drop)),
        notes=(*plan_advice.plan_notes(suites), *_wording_notes([component for _, component in parts])),
    )  # fmt: skip


def _planned_suite(
    rule: Entry | Pool,
    policy: Policy,
    baseline: Sequence[SuiteRun],
    again: Sequence[SuiteRun],
    known: Mapping[str, RepeatabilityReport],
) -> PlannedSuite:
    entries = policy.members(rule) if isinstance(rule, Pool) else (rule,)
    run_pairs, seconds = [], []
    for entry in entries:
        pair = run_pair(entry, again, baseline) if again else None
        seconds.append(pair is not None)
        if pair is None:
            pair = run_pair(entry, baseline, baseline)
        if pair is None:
            raise UsageError(f"policy: {entry.name}: not in the baseline")
        run_pairs.append((pair[0], pair[1], metric_of(entry, pair[0])))
    estimand = policy.estimand_of(rule)
    case = case_of(rule, run_pairs)
    designs = []
    for number, (entry, second) in enumerate(zip(entries, seconds, strict=True)):
        report = known.get(run_pairs[number][0].suite)
        noise = noise_of(
            case,
            number,
            stated=entry.discordance,
            again=second,
            reported=report.discordance if report else None,
        )
        part = case.parts[number]
        design = _design(case, number, noise, second=second, estimand=estimand)
        if estimand == "these-items" and report is None and within_item_error(part.a, part.metric) is None:
            design = UnknownNoise(design.error, 0, noise)
        designs.append(design)
    return PlannedSuite(rule, case, tuple(designs), tuple(c[0] for c in run_pairs))


def _design(
    case: Case, number: int, noise: Noise, *, second: bool, estimand: Estimand
) -> Design | NormalDesign:
    part = case.parts[number]
    if not part.rows_of(None):
        raise UsageError(f"policy: {case.rule.label}: nothing was scored in the baseline")
    if estimand != "items-like-these" and part.metric.pool != "whole":
        return FixedItemsDesign(Design(part, noise), seen=estimand == "this-run")
    if part.metric.pool == "whole":
        return NormalDesign.of(part, second=second)
    return Design(part, noise)


def _components(
    policy: Policy,
    baseline: Sequence[SuiteRun],
    runs: Sequence[SuiteRun],
    known: Mapping[str, RepeatabilityReport],
) -> list[tuple[Entry, Components]]:
    pairs = []
    for entry in policy.suite:
        base = run_of(entry, baseline)
        if base is None:
            continue
        report = known.get(base.suite)
        stated = (report.discordance or None) if report else entry.discordance
        if (parts := components(base, runs, discordance=stated)) is not None:
            pairs.append((entry, parts))
    return pairs


def _budgets(
    parts: Sequence[tuple[Entry, Components]],
    policy: Policy,
    baseline: Sequence[SuiteRun],
    drop: float | None,
) -> list[Budget]:
    used = {c.suite: RunUsage(len(c.side.golds) * c.side.repeats, c.cost_usd, c.seconds) for c in baseline}
    rows = [
        budget(
            component,
            entry.margin if drop is None else drop,
            change,
            alpha=policy.alpha,
            estimand=policy.estimand_of(entry),
            used=used[component.suite],
        )
        for change in CHANGES
        for entry, component in parts
    ]
    return sorted(rows, key=lambda row: (CHANGES.index(row.change), *_cost_key(row)))


def _cost_key(row: Budget) -> tuple[bool, float]:
    """Return the sort key: by cost, or by calls if the cost is unknown; drops that cannot be detected come last."""
    if row.calls is None:
        return True, row.limit
    return False, float(row.calls) if row.cost_usd is None else row.cost_usd


def _wording_notes(parts: Sequence[Components]) -> list[str]:
    return [
        f"{part.suite}: the score moves by {format_size(sqrt(component.variance), part.unit)} (standard deviation) with the "
        f"{name}, whatever the number of items: a smaller drop holds for this {name} alone"
        for part in parts
        for name, component in (("wording of the prompt", part.wording), ("judge", part.judge))
        if component is not None and component.variance > 0
    ]


def _scenarios(
    suites: Sequence[PlannedSuite],
    unchanged: Sequence[Claims],
    at: Sequence[Claims],
    twice: Sequence[Claims],
    policy: Policy,
) -> list[Scenario]:
    scenarios = [_scenario("unchanged", suites, {}, unchanged, policy)]
    for i, suite in enumerate(suites):
        if suite.rule.tier == "advisory":
            continue
        for words, claims, times in (("its margin", at, 1), ("twice its margin", twice, 2)):
            mixed = [claims[j] if j == i else unchanged[j] for j in range(len(suites))]
            losses = {suite.rule.label: times * suite.rule.margin}
            scenarios.append(_scenario(f"{suite.rule.label} worse by {words}", suites, losses, mixed, policy))
    if len(suites) > 1:
        losses = {s.rule.label: s.rule.margin for s in suites}
        scenarios.append(_scenario("all worse by their margins", suites, losses, at, policy))
    return scenarios


def _scenario(
    name: str,
    suites: Sequence[PlannedSuite],
    losses: dict[str, float],
    claims: Sequence[Claims],
    policy: Policy,
) -> Scenario:
    """Apply the policy to every simulated set of runs."""
    import numpy as np

    counted = [i for i, s in enumerate(suites) if s.rule.tier != "advisory"]
    critical = [i for i, s in enumerate(suites) if s.rule.tier == "critical"]
    smallest = np.min([claims[i].p_regression for i in counted], axis=0)
    alarm = smallest <= policy.alpha / len(counted)  # Holm rejects anything only if it rejects the smallest p
    passed = np.all([claims[i].p_pass <= policy.alpha for i in critical], axis=0) if critical else ~alarm
    shares = (float((passed & ~alarm).mean()), float(alarm.mean()), float((~passed & ~alarm).mean()))
    return Scenario(name=name, losses=losses, verdicts=dict(zip(VERDICTS, shares, strict=True)))


def _plan_of(suite: PlannedSuite, policy: Policy, unchanged: Claims, at: Claims, twice: Claims) -> SuitePlan:
    family = max(1, sum(rule.tier != "advisory" for rule in policy.judged))
    alpha = policy.alpha
    strict = alpha / (family if suite.rule.tier != "advisory" else 1)
    power, error = stats.z_quantile(0.8), suite.error
    tokens: dict[str, int] = {}
    for c in suite.baselines:
        for kind, used in c.tokens.items():
            tokens[kind] = tokens.get(kind, 0) + used
    costs = [c.cost_usd for c in suite.baselines if c.cost_usd is not None]
    times = [c.seconds for c in suite.baselines if c.seconds is not None]
    noises = [d.noise for d in suite.designs]
    return SuitePlan(
        suite=suite.rule.label, tier=suite.rule.tier, metric=suite.case.metric.name, unit=suite.case.metric.unit,
        n=sum(len(part.rows_of(None)) for part in suite.case.parts), repeats=suite.baselines[0].side.repeats,
        margin=suite.rule.margin, discordance=sum(n.discordance for n in noises) / len(noises),
        source=", ".join(dict.fromkeys(n.source for n in noises)), error=error,
        estimand=policy.estimand_of(suite.rule),
        finds=suite.rule.margin + (stats.z_quantile(1 - strict) + power) * error,
        detects=(stats.z_quantile(1 - alpha) + power) * error,
        passes_unchanged=float((unchanged.p_pass <= alpha).mean()),
        passes_at_margin=float((at.p_pass <= alpha).mean()),
        regression_at_twice=float((twice.p_regression <= strict).mean()), tokens=tokens,
        cost_usd=sum(costs) if len(costs) == len(suite.baselines) else None,
        seconds=sum(times) if len(times) == len(suite.baselines) else None,
    )  # fmt: skip
