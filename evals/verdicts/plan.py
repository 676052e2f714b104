"""Power of a policy on a baseline, before anything is run: what it finds, how often it errs, what a run costs.

The whole policy is simulated on the baseline's own samples: an unchanged model, each suite worse by its margin and
by twice its margin, all of them at once. How much a model differs from itself comes from a second run, from a
repeatability report, from the policy (`discordance`), from the baseline's own repeats, or else it is assumed.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import ceil, floor, log10, sqrt
from typing import TYPE_CHECKING, NamedTuple

from msgspec import Struct

from evals.errors import UsageError
from evals.report import statistics as stats
from evals.verdicts.budget import CHANGES, Budget, Used, budget
from evals.verdicts.cases import Case, case_of, couple, metric_of, run_of
from evals.verdicts.components import Components, components
from evals.verdicts.contestant import Contestant
from evals.verdicts.designs import Claims, Design, Noise, OnTheseItems, Whole, noise_of
from evals.verdicts.estimands import Estimand
from evals.verdicts.gate import check_noise
from evals.verdicts.noise import Certificate
from evals.verdicts.policy import Entry, Policy, Pool, Tier
from evals.verdicts.wording import amount

if TYPE_CHECKING:
    import numpy as np

ROUGH = 0.1
"""Relative standard error of the noise from which a plan says so: avg@4 on 30 questions has .15, its forecasts +-6 points."""
VERDICTS = ("pass", "regression", "cannot tell")


class SuitePlan(Struct, frozen=True, kw_only=True):
    """What the gate will be able to say of one suite (or pool)."""

    suite: str
    tier: Tier
    metric: str
    unit: str
    n: int
    """Samples."""
    repeats: int
    margin: float
    discordance: float
    """Mean square of a sample's difference between two runs of one model."""
    source: str
    """Where that is known from."""
    error: float
    """Standard error of the difference of an unchanged model."""
    finds: float
    """Smallest drop that is called a regression with 80 % power, in this policy's family."""
    detects: float
    """Smallest drop that differs from none with 80 % power (one-sided alpha)."""
    passes_unchanged: float
    """Chance that this suite passes with an unchanged model."""
    passes_at_margin: float
    """Chance that it passes with a loss of its margin: at most alpha."""
    regression_at_twice: float
    """Chance that it is called a regression with a loss of twice its margin."""
    tokens: dict[str, int]
    """As the baseline used them."""
    cost_usd: float | None
    seconds: float | None


class Scenario(Struct, frozen=True, kw_only=True):
    """What the whole policy says if this is how things are."""

    name: str
    losses: dict[str, float]
    verdicts: dict[str, float]
    """Verdict -> share of simulations."""


class Plan(Struct, frozen=True, kw_only=True):
    """What `evals gate plan` says."""

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
    """Sources of variance of each suite; none of statistics of whole runs."""
    budgets: tuple[Budget, ...] = ()
    """What it takes to see a drop, cheapest suite first; with another model's run after those of the same model."""
    notes: tuple[str, ...] = ()


class _Suite(NamedTuple):
    rule: Entry | Pool
    case: Case
    designs: tuple[Design | Whole, ...]
    baselines: tuple[Contestant, ...]

    @property
    def name(self) -> str:
        return self.rule.name if isinstance(self.rule, Entry) else f"pool {self.rule.name}"

    @property
    def error(self) -> float:
        """Standard error of an unchanged model's difference."""
        return sqrt(sum(design.error**2 for design in self.designs)) / len(self.designs)

    def claims(self, loss: float, margin: float, *, count: int, rng: np.random.Generator) -> Claims:
        """Simulate both claims; a pool's parts are drawn one by one and put together as normal."""
        if len(self.designs) == 1:
            return self.designs[0].simulate(loss, margin, count=count, rng=rng)
        return Whole(self.error, sum(len(d.rows) for d in self.designs if isinstance(d, Design))).simulate(
            loss, margin, count=count, rng=rng
        )


def plan(
    baseline: Sequence[Contestant],
    policy: Policy,
    *,
    again: Sequence[Contestant] = (),
    runs: Sequence[Contestant] = (),
    drop: float | None = None,
    certificates: Mapping[str, Certificate] | None = None,
    simulations: int = 2000,
    seed: int = 0,
) -> Plan:
    """Simulate a gate before its runs exist.

    `again`: a second run of the baseline's model; `runs`: any further runs of the suites, which tell how large the
    components of variance are; `drop`: the loss that budgets are made for, default: each suite's margin.
    """
    import numpy as np

    known = certificates or {}
    check_noise(policy, {suite: one.limit for suite, one in known.items()}, baseline)
    suites = [_suite(rule, policy, baseline, again, known) for rule in policy.judged]
    rng = np.random.default_rng(seed)
    still = [s.claims(0.0, s.rule.margin, count=simulations, rng=rng) for s in suites]
    at = [s.claims(s.rule.margin, s.rule.margin, count=simulations, rng=rng) for s in suites]
    twice = [s.claims(2 * s.rule.margin, s.rule.margin, count=simulations, rng=rng) for s in suites]
    scenarios = _scenarios(suites, still, at, twice, policy)
    plans = tuple(_plan_of(s, policy, *p) for s, *p in zip(suites, still, at, twice, strict=True))
    passes = scenarios[0].verdicts["pass"]
    parts = _components(policy, baseline, [*again, *runs], known)
    decides = passes >= policy.power
    return Plan(
        baseline=", ".join(dict.fromkeys(c.run for c in baseline)),
        decides=decides,
        why="" if decides else _why(passes, policy, plans),
        nearest=() if decides else tuple(_nearest(suites, plans, policy)),
        suites=plans,
        scenarios=tuple(scenarios),
        simulations=simulations,
        seed=seed,
        components=tuple(component for _, component in parts),
        budgets=tuple(_budgets(parts, policy, baseline, drop)),
        notes=(*_notes(suites), *_wording_notes([component for _, component in parts])),
    )


def _suite(
    rule: Entry | Pool,
    policy: Policy,
    baseline: Sequence[Contestant],
    again: Sequence[Contestant],
    known: Mapping[str, Certificate],
) -> _Suite:
    entries = policy.members(rule) if isinstance(rule, Pool) else (rule,)
    couples, seconds = [], []
    for entry in entries:
        pair = couple(entry, again, baseline) if again else None
        seconds.append(pair is not None)
        if pair is None:
            pair = couple(entry, baseline, baseline)
        if pair is None:
            raise UsageError(f"policy: {entry.name}: not in the baseline")
        couples.append((pair[0], pair[1], metric_of(entry, pair[0])))
    estimand = policy.estimand_of(rule)
    case = case_of(rule, couples)
    designs = []
    for number, (entry, second) in enumerate(zip(entries, seconds, strict=True)):
        certificate = known.get(couples[number][0].suite)
        noise = noise_of(
            case,
            number,
            stated=entry.discordance,
            again=second,
            certified=certificate.discordance if certificate else None,
        )
        designs.append(_design(case, number, noise, second=second, estimand=estimand))
    return _Suite(rule, case, tuple(designs), tuple(c[0] for c in couples))


def _design(case: Case, number: int, noise: Noise, *, second: bool, estimand: Estimand) -> Design | Whole:
    part = case.parts[number]
    if not part.rows_of(None):
        raise UsageError(f"policy: {case.rule.name}: nothing was scored in the baseline")
    if estimand != "items-like-these" and part.metric.pool != "whole":
        return OnTheseItems(Design(part, noise), seen=estimand == "this-run")
    if part.metric.pool == "whole":
        return Whole.of(part, second=second)
    return Design(part, noise)


def _components(
    policy: Policy,
    baseline: Sequence[Contestant],
    runs: Sequence[Contestant],
    known: Mapping[str, Certificate],
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
    baseline: Sequence[Contestant],
    drop: float | None,
) -> list[Budget]:
    used = {c.suite: Used(len(c.side.golds) * c.side.repeats, c.cost_usd, c.seconds) for c in baseline}
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
    return sorted(rows, key=lambda row: (CHANGES.index(row.change), *_price(row)))


def _price(row: Budget) -> tuple[bool, float]:
    """Sort by cost, by calls if a cost is not known; last what no number of replies shows."""
    if row.calls is None:
        return True, row.limit
    return False, float(row.calls) if row.cost_usd is None else row.cost_usd


def _wording_notes(parts: Sequence[Components]) -> list[str]:
    return [
        f"{components_.suite}: the score moves by {amount(sqrt(component.variance), components_.unit, signed=True).lstrip('+')} (standard "
        f"deviation) with the {name}, whatever the number of items: a smaller drop holds for this {name} alone"
        for components_ in parts
        for name, component in (("wording of the prompt", components_.wording), ("judge", components_.judge))
        if component is not None and component.variance > 0
    ]


def _scenarios(
    suites: Sequence[_Suite],
    still: Sequence[Claims],
    at: Sequence[Claims],
    twice: Sequence[Claims],
    policy: Policy,
) -> list[Scenario]:
    scenarios = [_scenario("unchanged", suites, {}, still, policy)]
    for i, suite in enumerate(suites):
        if suite.rule.tier == "advisory":
            continue
        for words, claims, times in (("its margin", at, 1), ("twice its margin", twice, 2)):
            mixed = [claims[j] if j == i else still[j] for j in range(len(suites))]
            losses = {suite.name: times * suite.rule.margin}
            scenarios.append(_scenario(f"{suite.name} worse by {words}", suites, losses, mixed, policy))
    if len(suites) > 1:
        losses = {s.name: s.rule.margin for s in suites}
        scenarios.append(_scenario("all worse by their margins", suites, losses, at, policy))
    return scenarios


def _scenario(
    name: str, suites: Sequence[_Suite], losses: dict[str, float], claims: Sequence[Claims], policy: Policy
) -> Scenario:
    """Apply the policy to every simulated set of runs: Holm over the alarms, all critical suites to pass."""
    import numpy as np

    counted = [i for i, s in enumerate(suites) if s.rule.tier != "advisory"]
    critical = [i for i, s in enumerate(suites) if s.rule.tier == "critical"]
    least = np.min([claims[i].p_regression for i in counted], axis=0)
    alarm = least <= policy.alpha / len(counted)  # Holm rejects something exactly if it rejects its smallest
    passed = np.all([claims[i].p_pass <= policy.alpha for i in critical], axis=0) if critical else ~alarm
    shares = (float((passed & ~alarm).mean()), float(alarm.mean()), float((~passed & ~alarm).mean()))
    return Scenario(name=name, losses=losses, verdicts=dict(zip(VERDICTS, shares, strict=True)))


def _plan_of(suite: _Suite, policy: Policy, still: Claims, at: Claims, twice: Claims) -> SuitePlan:
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
        suite=suite.name,
        tier=suite.rule.tier,
        metric=suite.case.metric.name,
        unit=suite.case.metric.unit,
        n=sum(len(part.rows_of(None)) for part in suite.case.parts),
        repeats=suite.baselines[0].side.repeats,
        margin=suite.rule.margin,
        discordance=sum(n.discordance for n in noises) / len(noises),
        source=", ".join(dict.fromkeys(n.source for n in noises)),
        error=error,
        finds=suite.rule.margin + (stats.z_quantile(1 - strict) + power) * error,
        detects=(stats.z_quantile(1 - alpha) + power) * error,
        passes_unchanged=float((still.p_pass <= alpha).mean()),
        passes_at_margin=float((at.p_pass <= alpha).mean()),
        regression_at_twice=float((twice.p_regression <= strict).mean()),
        tokens=tokens,
        cost_usd=sum(costs) if len(costs) == len(suite.baselines) else None,
        seconds=sum(times) if len(times) == len(suite.baselines) else None,
    )


def _why(passes: float, policy: Policy, plans: Sequence[SuitePlan]) -> str:
    critical = [one for one in plans if one.tier == "critical"]
    weak = sorted(critical, key=lambda one: one.passes_unchanged)[:3]
    names = ", ".join(f"{one.suite} ({100 * one.passes_unchanged:.0f} %)" for one in weak)
    return (
        f"an unchanged model passes in {100 * passes:.0f} % of simulations, {100 * policy.power:g} % are wanted; "
        f"least likely to pass: {names}"
    )


def _nearest(suites: Sequence[_Suite], plans: Sequence[SuitePlan], policy: Policy) -> list[str]:
    """Return by how much each underpowered critical suite would have to change."""
    critical = [(s, p) for s, p in zip(suites, plans, strict=True) if p.tier == "critical"]
    wanted = policy.power ** (1 / max(1, len(critical)))
    need = stats.z_quantile(1 - policy.alpha) + stats.z_quantile(wanted)
    lines, weak = [], []
    for suite, one in critical:
        if one.passes_unchanged >= wanted:
            continue
        weak.append(suite)
        margin = _round_up(max(need * one.error, one.margin) * 1.02)
        line = f"{one.suite}: margin = {margin:g}"
        if not any(isinstance(d, Whole) for d in suite.designs):
            repeats = ceil(one.repeats * (need * one.error / one.margin) ** 2)
            line += f", or {repeats} repeats in both runs in place of {one.repeats} (with sampling on)"
        lines.append(f'{line}, or tier = "supporting"')
    poolable = [s for s in weak if isinstance(s.rule, Entry) and isinstance(s.designs[0], Design)]
    units = {(s.case.metric.unit, s.case.metric.better) for s in poolable}
    if len(poolable) > 1 and len(units) == 1:
        together = sqrt(sum(s.error**2 for s in poolable)) / len(poolable)
        alone = policy.power ** (1 / max(1, len(critical) - len(poolable) + 1))
        margin = _round_up((stats.z_quantile(1 - policy.alpha) + stats.z_quantile(alone)) * together * 1.02)
        lines.append(
            f"or judge {', '.join(s.name for s in poolable)} together: [[pool]] with margin = {margin:g}"
        )
    return lines


def _round_up(value: float) -> float:
    """Round up to two digits."""
    step = 10.0 ** (floor(log10(value)) - 1)
    return float(f"{ceil(value / step - 1e-9) * step:.6g}")


def _notes(suites: Sequence[_Suite]) -> list[str]:
    notes = []
    guessed = [s.name for s in suites if any(d.noise.source == "assumed" for d in s.designs)]
    if guessed:
        notes.append(
            f"assumed, not measured, how much the model differs from itself: {', '.join(guessed)}; "
            "run it again and give --again RUN, or use `evals gate noise`, or set `discordance` in the policy"
        )
    rough = {s.name: max(d.noise.error for d in s.designs) for s in suites}
    notes += [
        f"{name}: how much the model differs from itself is known to +-{100 * error:.0f} % only, so its chances are rough"
        for name, error in rough.items()
        if error > ROUGH
    ]
    if any(isinstance(d, Design) and not d.alone for s in suites for d in s.designs):
        notes.append("flips within a cluster are taken to be independent of each other")
    return notes
