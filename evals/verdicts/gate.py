"""A candidate against its baseline under a policy: pass, regression, or cannot tell.

Each suite is a test of non-inferiority on paired samples. *Regression* is claimed where the loss is shown to
exceed the margin (Holm over critical and supporting suites); *pass* where every critical suite is shown to lose
less than the margin, each at one-sided alpha, which needs no correction (intersection-union); all else is
*cannot tell*. Missing outcomes enter each claim at what speaks against it, unless the policy tolerates them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Literal, NamedTuple, TypeAlias

from msgspec import Struct

from evals.errors import UsageError
from evals.report import frames
from evals.verdicts import difference, wording
from evals.verdicts.cases import Case, case_of, couple, metric_of, plain, run_of
from evals.verdicts.compare import changes
from evals.verdicts.contestant import Contestant
from evals.verdicts.difference import Evidence
from evals.verdicts.estimands import Estimand
from evals.verdicts.pairs import Flip
from evals.verdicts.policy import Entry, Policy, Pool, Tier

if TYPE_CHECKING:
    import pandas as pd

Verdict: TypeAlias = Literal["pass", "regression", "cannot tell"]
EXIT = {"pass": 0, "regression": 1, "cannot tell": 3}


class SuiteVerdict(Struct, frozen=True, kw_only=True):
    """What the gate says of one suite (or pool); differences are candidate minus baseline."""

    suite: str
    protocol: str
    tier: Tier
    metric: str
    verdict: Verdict
    reasons: tuple[str, ...]
    value_baseline: float | None
    value_candidate: float | None
    difference: float | None
    """Over what both runs scored, in the metric's own unit."""
    low: float | None
    """Two-sided 1 - 2 alpha, and beyond it what the missing outcomes could still do."""
    high: float | None
    margin: float
    better: Literal["higher", "lower"]
    unit: str
    n: int
    """Samples that both runs scored."""
    coverage: float
    """Of the candidate."""
    coverage_baseline: float
    p_pass: float | None
    """One-sided p-value against "the loss is at least the margin"."""
    p_regression: float | None
    """One-sided p-value against "the loss is at most the margin", adjusted by Holm."""
    estimand: Estimand = "items-like-these"
    """What the loss is about: items-like-these, these-items or this-run."""
    method: str = ""
    """Test behind verdict and interval."""
    alarm: str = ""
    """A gain that is hard to believe: extraction or data may be broken."""
    noise: float | None = None
    """Repeatability limit (95 % of differences between two runs of one model lie within), if it is known."""


class GateReport(Struct, frozen=True, kw_only=True):
    """What `evals gate` says. `format` changes when a field changes its meaning."""

    format: int = 1
    verdict: Verdict
    suites: tuple[SuiteVerdict, ...]
    candidate: str
    baseline: str
    alpha: float
    level: float
    """Of the intervals, two-sided."""
    alarms: tuple[str, ...] = ()
    flips: tuple[Flip, ...] = ()
    notes: tuple[str, ...] = ()
    sequential: bool = False
    """Stopped early: point estimates are biased and not to be quoted."""

    def __repr__(self) -> str:
        """Return the verdict, and a line per suite with its reasons."""
        lines = [f"{shown(self.verdict)}: candidate {self.candidate}, baseline {self.baseline}"]
        lines += [f"{s.suite} {s.metric}: {shown(s.verdict)}: {'; '.join(s.reasons)}" for s in self.suites]
        return "\n".join(lines)

    def to_frame(self) -> pd.DataFrame:
        """Return a row per suite, columns as in `SuiteVerdict`; needs pandas (extra `notebook`)."""
        return frames.frame(self.suites)

    def _repr_html_(self) -> str:
        """Return verdict and suites as a table, for notebooks."""
        columns = (
            "suite",
            "tier",
            "metric",
            "baseline",
            "candidate",
            "difference",
            "low",
            "high",
            "margin",
            "verdict",
        )
        rows = [
            (
                s.suite,
                s.tier,
                s.metric,
                s.value_baseline,
                s.value_candidate,
                s.difference,
                s.low,
                s.high,
                s.margin,
                shown(s.verdict),
            )
            for s in self.suites
        ]
        title = f"{shown(self.verdict)}: candidate {self.candidate}, baseline {self.baseline}"
        return frames.html(columns, rows, caption=title)


def shown(verdict: Verdict) -> str:
    """Return the displayed form of a verdict; in JSON the third one stays `cannot tell`."""
    return "inconclusive" if verdict == "cannot tell" else verdict


def gate(
    candidate: Sequence[Contestant],
    baseline: Sequence[Contestant],
    policy: Policy,
    *,
    noise: Mapping[str, float] | None = None,
) -> GateReport:
    """Judge a candidate; raises UsageError if runs or policy do not fit each other."""
    check_noise(policy, noise or {}, baseline)
    cases, absent, notes, flips = [], [], [], list[Flip]()
    for rule in policy.judged:
        entries = policy.members(rule) if isinstance(rule, Pool) else (rule,)
        couples = [couple(entry, candidate, baseline) for entry in entries]
        present = [couple for couple in couples if couple is not None]
        if len(present) < len(couples):
            absent.append(
                _not_run(rule, [e.name for e, c in zip(entries, couples, strict=True) if c is None])
            )
            continue
        limits = tuple(limit_of(entry, noise or {}, baseline) for entry in entries)
        case = case_of(rule, present, estimand=policy.estimand_of(rule), limits=limits)
        cases.append(case)
        notes += [
            f"{b.suite}: {parts.unshared} samples are expected by one of the runs only, left out"
            for (_, b, _), parts in zip(present, case.parts, strict=True)
            if parts.unshared
        ]
        flips += [flip for a, b, metric in present for flip in changes(a, b, metric)]
    judged = [*verdicts(cases, policy, noise or {}, baseline), *absent]
    return GateReport(
        verdict=overall(judged),
        suites=tuple(judged),
        candidate=run_names(candidate),
        baseline=run_names(baseline),
        alpha=policy.alpha,
        level=1 - 2 * policy.alpha,
        alarms=tuple(f"{suite.suite}: {suite.alarm}" for suite in judged if suite.alarm),
        flips=tuple(flips),
        notes=tuple(notes),
    )


def run_names(side: Sequence[Contestant]) -> str:
    """Return the names of the runs of one side, each once."""
    return ", ".join(dict.fromkeys(contestant.run for contestant in side))


def check_noise(policy: Policy, noise: Mapping[str, float], baseline: Sequence[Contestant]) -> None:
    """Refuse margins below what two runs of one model differ by; raises UsageError.

    A limit is of a suite's headline: an entry finds it under its bare name too, and is not held against it if it
    judges another metric.
    """
    for entry in policy.suite:
        if (
            (limit := limit_of(entry, noise, baseline)) is not None
            and entry.margin < limit
            and not entry.pool
        ):
            raise UsageError(
                f"policy: {entry.name}: margin {entry.margin:g} is below the repeatability limit {limit:.3g} that was "
                f"measured with `evals gate noise`; widen it, or raise the repeats and measure again"
            )


def limit_of(entry: Entry, noise: Mapping[str, float], baseline: Sequence[Contestant]) -> float | None:
    """Return the repeatability limit that an entry's margin is held against; None if there is none."""
    limits = {plain(name): limit for name, limit in noise.items()}
    run = run_of(entry, baseline)
    if run is None:
        return None
    if metric_of(entry, run).name != run.headline.name:
        return None
    return limits.get(plain(run.suite), limits.get(plain(entry.name)))


def overall(judged: Sequence[SuiteVerdict]) -> Verdict:
    """Combine the verdicts of the suites; advisory ones do not count."""
    if any(one.verdict == "regression" and one.tier != "advisory" for one in judged):
        return "regression"
    if any(one.verdict != "pass" and one.tier == "critical" for one in judged):
        return "cannot tell"
    return "pass"


class _Claims(NamedTuple):
    """The evidence for each claim, and the p-values that it gives."""

    seen: Evidence | None
    worst: Evidence | None
    best: Evidence | None
    p_pass: float | None
    p_regression: float | None


def _claims(case: Case) -> _Claims:
    seen = case.evidence("leave")
    alike = case.tolerant or all(part.complete for part in case.parts)
    worst = seen if alike else case.evidence("worst")
    best = seen if alike else case.evidence("best")
    higher, margin = case.metric.better == "higher", case.rule.margin
    p_pass = p_regression = None
    if worst is not None:
        p_pass = worst.p_above(-margin) if higher else worst.p_below(margin)
    if best is not None:
        p_regression = best.p_below(-margin) if higher else best.p_above(margin)
    return _Claims(seen, worst, best, p_pass, p_regression)


def verdicts(
    cases: Sequence[Case],
    policy: Policy,
    noise: Mapping[str, float],
    baseline: Sequence[Contestant] = (),
) -> list[SuiteVerdict]:
    """Judge every case; the claims of regression are adjusted over critical and supporting ones."""
    claims = [_claims(case) for case in cases]
    family = [i for i, case in enumerate(cases) if case.rule.tier != "advisory"]
    raw = [1.0 if (p := claims[i].p_regression) is None else p for i in family]
    adjusted = dict(zip(family, difference.holm(raw), strict=True))
    return [
        _verdict(
            case,
            claim,
            adjusted.get(i, claim.p_regression),
            policy,
            limit_of(case.rule, noise, baseline) if isinstance(case.rule, Entry) else None,
        )
        for i, (case, claim) in enumerate(zip(cases, claims, strict=True))
    ]


def _verdict(
    case: Case, claims: _Claims, p_regression: float | None, policy: Policy, noise: float | None
) -> SuiteVerdict:
    alarm, stops = _alarm(case, claims, policy.alpha)
    verdict, reasons = _judge(case, claims, p_regression, policy)
    if verdict == "pass" and stops:
        verdict, reasons = "cannot tell", [alarm]
    values = case.parts[0].values() if len(case.parts) == 1 else (None, None)
    low, high = _limits(case, claims, 1 - 2 * policy.alpha)
    candidate, baseline = case.coverage
    return SuiteVerdict(
        suite=case.rule.name if isinstance(case.rule, Entry) else f"pool {case.rule.name}",
        protocol=case.protocol,
        tier=case.rule.tier,
        metric=case.metric.name,
        verdict=verdict,
        reasons=tuple(reasons),
        value_baseline=values[0],
        value_candidate=values[1],
        difference=claims.seen.value if claims.seen else None,
        low=low,
        high=high,
        margin=case.rule.margin,
        better=case.metric.better,
        unit=case.metric.unit,
        n=sum(len(part.rows_of(None)) for part in case.parts),
        coverage=candidate,
        coverage_baseline=baseline,
        p_pass=claims.p_pass,
        p_regression=p_regression,
        estimand=case.estimand,
        method=claims.seen.test if claims.seen else "",
        alarm=alarm,
        noise=noise,
    )


def _judge(
    case: Case, claims: _Claims, p_regression: float | None, policy: Policy
) -> tuple[Verdict, list[str]]:
    margin = f"{case.rule.margin:g}"
    if p_regression is not None and p_regression <= policy.alpha:
        return "regression", [f"the loss is shown to exceed {margin} ({wording.p_equals(p_regression)})"]
    reasons = [
        f"coverage of the {side} is {share:.4f}, below the floor {policy.coverage:g}"
        for side, share in zip(("candidate", "baseline"), case.coverage, strict=True)
        if share < policy.coverage
    ]
    if not case.noise_is_known:
        reasons.append(
            "these-items needs the noise within items: repeats in both runs, or a repeatability report (`evals gate noise`)"
        )
    elif claims.seen is None:
        reasons.append("no sample was scored in both runs")
    elif claims.p_pass is None:
        reasons.append(
            f"outcomes are missing and {case.metric.name} has no worst case: repeat them, or tolerate"
        )
    elif claims.p_pass > policy.alpha:
        reasons.append(_undecided(case, claims, policy.alpha))
    if reasons:
        return "cannot tell", reasons
    return "pass", [f"the loss is shown to be less than {margin} ({wording.p_equals(claims.p_pass)})"]


def _undecided(case: Case, claims: _Claims, alpha: float) -> str:
    higher, margin = case.metric.better == "higher", case.rule.margin
    if claims.worst is not claims.seen and claims.seen is not None:
        p = claims.seen.p_above(-margin) if higher else claims.seen.p_below(margin)
        if p <= alpha:
            return f"would pass without the missing outcomes, not with them at their worst ({wording.p_equals(claims.p_pass)})"
    return f"a loss of {margin:g} cannot be excluded ({wording.p_equals(claims.p_pass)})"


def _limits(case: Case, claims: _Claims, level: float) -> tuple[float | None, float | None]:
    """Interval that holds whatever the missing outcomes are."""
    lower, upper = (
        (claims.worst, claims.best) if case.metric.better == "higher" else (claims.best, claims.worst)
    )
    first = lower.interval(level) if lower else None
    second = first if upper is lower else upper.interval(level) if upper else None
    return (first[0] if first else None), (second[1] if second else None)


def _alarm(case: Case, claims: _Claims, alpha: float) -> tuple[str, bool]:
    """Return a warning if a gain is implausibly large, and whether it prevents a pass."""
    most = case.rule.plausible
    bound = 3 * case.rule.margin if most is None else most
    if claims.worst is None:
        return "", False
    p = claims.worst.p_above(bound) if case.metric.better == "higher" else claims.worst.p_below(-bound)
    if p > alpha:
        return "", False
    return (
        f"better by more than {bound:g} ({wording.p_equals(p)}): look at the extraction before believing it",
        (most is not None),
    )


def _not_run(rule: Entry | Pool, names: Sequence[str]) -> SuiteVerdict:
    return SuiteVerdict(
        suite=rule.name if isinstance(rule, Entry) else f"pool {rule.name}",
        protocol=rule.protocol if isinstance(rule, Entry) else "",
        tier=rule.tier,
        metric="",
        verdict="cannot tell",
        reasons=(f"the candidate has no run of {', '.join(names)}",),
        value_baseline=None,
        value_candidate=None,
        difference=None,
        low=None,
        high=None,
        margin=rule.margin,
        better="higher",
        unit="",
        n=0,
        coverage=0.0,
        coverage_baseline=0.0,
        p_pass=None,
        p_regression=None,
    )
