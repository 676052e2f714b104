"""Suggest changes to a policy without enough power, and list the assumptions of a plan."""

from __future__ import annotations

from collections.abc import Sequence
from math import ceil, floor, log10, sqrt

from evals.report import statistics as stats
from evals.verdicts.planned_suites import PlannedSuite, SuitePlan
from evals.verdicts.policy import Entry, Policy
from evals.verdicts.simulated_designs import Design, NormalDesign, UnknownNoise

ROUGH_ERROR = 0.1
"""Relative standard error of the noise from which a plan says so: avg@4 on 30 questions has .15, its forecasts +-6 points."""


def why_undecided(passes: float, policy: Policy, plans: Sequence[SuitePlan]) -> str:
    """Return why a policy cannot decide."""
    critical = [suite for suite in plans if suite.tier == "critical"]
    weak = sorted(critical, key=lambda suite: suite.passes_unchanged)[:3]
    names = ", ".join(f"{suite.suite} ({100 * suite.passes_unchanged:.0f} %)" for suite in weak)
    return (
        f"an unchanged model passes in {100 * passes:.0f} % of simulations, {100 * policy.power:g} % are wanted; "
        f"least likely to pass: {names}"
    )


def sufficient_changes(
    suites: Sequence[PlannedSuite], plans: Sequence[SuitePlan], policy: Policy
) -> list[str]:
    """Return the changes of each underpowered critical suite that would give the policy enough power."""
    critical = [(s, p) for s, p in zip(suites, plans, strict=True) if p.tier == "critical"]
    wanted = policy.power ** (1 / max(1, len(critical)))
    need = stats.z_quantile(1 - policy.alpha) + stats.z_quantile(wanted)
    lines, weak = [], []
    for suite, planned in critical:
        if planned.passes_unchanged >= wanted:
            continue
        if any(isinstance(design, UnknownNoise) for design in suite.designs):
            lines.append(
                f"{planned.suite}: these-items needs repeats, or a repeatability report (`evals gate noise`), "
                'or estimand = "items-like-these"'
            )
            continue
        weak.append(suite)
        margin = _round_up(max(need * planned.error, planned.margin) * 1.02)
        line = f"{planned.suite}: margin = {margin:g}"
        if not any(isinstance(d, NormalDesign) for d in suite.designs):
            repeats = ceil(planned.repeats * (need * planned.error / planned.margin) ** 2)
            line += f", or {repeats} repeats in both runs in place of {planned.repeats} (with sampling on)"
        lines.append(f'{line}, or tier = "supporting"')
    poolable = [s for s in weak if isinstance(s.rule, Entry) and isinstance(s.designs[0], Design)]
    units = {(s.case.metric.unit, s.case.metric.better) for s in poolable}
    if len(poolable) > 1 and len(units) == 1:
        together = sqrt(sum(s.error**2 for s in poolable)) / len(poolable)
        alone = policy.power ** (1 / max(1, len(critical) - len(poolable) + 1))
        margin = _round_up((stats.z_quantile(1 - policy.alpha) + stats.z_quantile(alone)) * together * 1.02)
        lines.append(
            f"or judge {', '.join(s.rule.label for s in poolable)} together: [[pool]] with margin = {margin:g}"
        )
    return lines


def _round_up(value: float) -> float:
    """Round up to two significant digits."""
    step = 10.0 ** (floor(log10(value)) - 1)
    return float(f"{ceil(value / step - 1e-9) * step:.6g}")


def plan_notes(suites: Sequence[PlannedSuite]) -> list[str]:
    """Return notes on assumed or imprecise inputs of a plan."""
    lines = []
    assumed = [s.rule.label for s in suites if any(d.noise.source == "assumed" for d in s.designs)]
    if assumed:
        lines.append(
            f"assumed, not measured, how much the model differs from itself: {', '.join(assumed)}; "
            "run it again and give --again RUN, or use `evals gate noise`, or set `discordance` in the policy"
        )
    rough = {s.rule.label: max(d.noise.error for d in s.designs) for s in suites}
    lines += [
        f"{name}: how much the model differs from itself is known to +-{100 * error:.0f} % only, so its chances are rough"
        for name, error in rough.items()
        if error > ROUGH_ERROR
    ]
    if any(isinstance(d, Design) and not d.alone for s in suites for d in s.designs):
        lines.append("changes within a cluster are taken to be independent of each other")
    return lines
