"""Suggest changes to an underpowered policy, and list the assumptions of a plan."""

from __future__ import annotations

from collections.abc import Sequence
from math import ceil, floor, log10, sqrt

import numpy as np

from evals.report import statistics as stats
from evals.verdicts.gate_cases import pooled_evidence
from evals.verdicts.normal_designs import NormalDesign, UnknownNoise
from evals.verdicts.pairs import Pairing
from evals.verdicts.planned_suites import PlannedSuite, SuitePlan
from evals.verdicts.policy import Entry, Policy
from evals.verdicts.simulated_designs import Design

MARGIN_FACTOR = 1.02
"""Factor by which a suggested margin exceeds the one computed by the normal approximation."""
MARGIN_STEP, MAX_MARGIN_STEPS = 1.05, 80
"""Factor by which a margin that proves too small in simulations is increased, and how often."""
SIMULATIONS = 1000
"""Number of comparisons that are simulated to check a suggested margin."""
ROUGH_ERROR = 0.1
"""Relative standard error of the noise above which the plan mentions it (avg@4 on 30 questions: 0.15)."""


def why_underpowered(pass_share: float, policy: Policy, plans: Sequence[SuitePlan]) -> str:
    """Return why the power of a policy is too low, with the suites that are least likely to pass."""
    critical = [suite for suite in plans if suite.tier == "critical"]
    weakest = sorted(critical, key=lambda suite: suite.passes_unchanged)[:3]
    names = ", ".join(f"{suite.suite} ({100 * suite.passes_unchanged:.0f} %)" for suite in weakest)
    return (
        f"an unchanged model passes in {100 * pass_share:.0f} % of simulations, but {100 * policy.power:g} % are required; "
        f"least likely to pass: {names}"
    )


def sufficient_changes(
    suites: Sequence[PlannedSuite], plans: Sequence[SuitePlan], policy: Policy
) -> list[str]:
    """Return alternatives for each underpowered critical suite, and a pool of such suites, that would give enough power."""
    critical = [(suite, plan) for suite, plan in zip(suites, plans, strict=True) if plan.tier == "critical"]
    target_power = policy.power ** (1 / max(1, len(critical)))
    z_total = stats.z_quantile(1 - policy.alpha) + stats.z_quantile(target_power)
    lines, underpowered = [], []
    for suite, plan in critical:
        if plan.passes_unchanged >= target_power:
            continue
        if any(isinstance(design, UnknownNoise) for design in suite.designs):
            lines.append(
                f"{plan.suite}: these-items needs repeats or a repeatability report (`evals gate noise`); "
                'or set estimand = "items-like-these"'
            )
            continue
        underpowered.append(suite)
        margin = _sufficient_margin(suite, max(z_total * plan.error, plan.margin), policy.alpha, target_power)
        line = f"{plan.suite}: margin = {margin:g}"
        if _could_pass_without_noise(suite, policy.alpha):
            repeats = ceil(plan.repeats * (z_total * plan.error / plan.margin) ** 2)
            if repeats > plan.repeats:  # else the items are too few, not the replies
                line += (
                    f", or {repeats} repeats in both runs instead of {plan.repeats} (with sampling enabled)"
                )
        lines.append(f'{line}, or tier = "supporting"')
    lines += _pool_of(underpowered, policy, rules=len(critical))
    return lines


def _pool_of(underpowered: Sequence[PlannedSuite], policy: Policy, *, rules: int) -> list[str]:
    """Return the pool of the underpowered suites that would give enough power, if they can be pooled; `rules`: critical ones."""
    poolable = [s for s in underpowered if isinstance(s.rule, Entry) and isinstance(s.designs[0], Design)]
    if len(poolable) < 2 or len({(s.case.metric.unit, s.case.metric.better) for s in poolable}) > 1:
        return []
    error = sqrt(sum(suite.error**2 for suite in poolable)) / len(poolable)
    power = policy.power ** (1 / max(1, rules - len(poolable) + 1))
    margin = (stats.z_quantile(1 - policy.alpha) + stats.z_quantile(power)) * error
    baselines = [suite.case.pairings[0] for suite in poolable]
    unchanged = pooled_evidence([Pairing(p.a, p.a, p.metric) for p in baselines], "exclude")
    if unchanged is not None and (limits := unchanged.interval(1 - 2 * policy.alpha)) is not None:
        margin = max(margin, *map(abs, limits))  # smaller ones cannot be excluded even if no sample changes
    names = ", ".join(suite.rule.label for suite in poolable)
    return [f"or judge {names} together: [[pool]] with margin = {_round_up(margin * MARGIN_FACTOR):g}"]


def _sufficient_margin(suite: PlannedSuite, smallest: float, alpha: float, target_power: float) -> float:
    """Return a margin within which an unchanged model passes often enough, according to simulations.

    `smallest` is that of the normal approximation, which few items with hardly any noise do not reach: with n items that
    all agree, the test cannot exclude a loss of less than about 3 / n.
    """
    margin = _round_up(smallest * MARGIN_FACTOR)
    for _ in range(MAX_MARGIN_STEPS):
        p_values = suite.simulate_unchanged(margin, count=SIMULATIONS, rng=np.random.default_rng(0))
        if float((p_values.p_pass <= alpha).mean()) >= target_power:
            break
        margin = _round_up(margin * MARGIN_STEP)
    return margin


def _could_pass_without_noise(suite: PlannedSuite, alpha: float) -> bool:
    """Return whether more repeats can help: Gaffke's p-value of n equal outcomes is (1 - margin / width)^n."""
    if any(isinstance(design, NormalDesign) for design in suite.designs):
        return False
    width = suite.case.metric.width
    clusters = sum(design.clusters for design in suite.designs)
    return width is None or max(0.0, 1 - suite.rule.margin / width) ** clusters <= alpha


def _round_up(value: float) -> float:
    """Round up to two significant digits."""
    step = 10.0 ** (floor(log10(value)) - 1)
    return float(f"{ceil(value / step - 1e-9) * step:.6g}")


def plan_notes(suites: Sequence[PlannedSuite]) -> list[str]:
    """Return notes on assumed or imprecise inputs of a plan."""
    lines = []
    noise_by_label = {suite.rule.label: [design.noise for design in suite.designs] for suite in suites}
    if assumed := [
        name
        for name, estimates in noise_by_label.items()
        if any(noise.source == "assumed" for noise in estimates)
    ]:
        lines.append(
            f"the noise between runs is assumed, not measured: {', '.join(assumed)}; run the model again and add "
            "--again RUN, or use `evals gate noise`, or set `discordance` in the policy"
        )
    lines += [
        f"{name}: the estimated noise between runs has a relative standard error of {100 * error:.0f} %, so the probabilities are approximate"
        for name, estimates in noise_by_label.items()
        if (error := max(noise.error for noise in estimates)) > ROUGH_ERROR
    ]
    designs = (design for suite in suites for design in suite.designs)
    if any(isinstance(design, Design) and not design.is_unclustered for design in designs):
        lines.append("changes within a cluster are assumed to be independent")
    return lines
