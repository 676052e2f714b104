"""Compare a candidate with its baseline under a policy: pass, regression, or inconclusive (`cannot tell` in JSON).

Each suite gets a paired non-inferiority test. *Regression*: the loss of a suite significantly exceeds its margin (Holm
over critical and supporting suites). *Pass*: every critical suite has the minimum coverage and is non-inferior within its
margin, each at one-sided alpha, which needs no correction (intersection-union test). Otherwise the gate is inconclusive.
For each claim, missing outcomes take the value least favourable to it, unless the policy excludes them.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Literal, NamedTuple, TypeAlias

from msgspec import Struct

from evals.errors import UsageError
from evals.report import frames
from evals.report.estimand_names import Estimand
from evals.verdicts import difference, formatting
from evals.verdicts.compare import changed_samples
from evals.verdicts.evidence import Evidence
from evals.verdicts.flips import Flip
from evals.verdicts.gate_cases import Case, RunPair, case_of, metric_of, run_of, run_pair
from evals.verdicts.pairs import Pairing
from evals.verdicts.policy import Entry, Policy, Pool, Tier
from evals.verdicts.suite_run import SuiteKey, SuiteRun

if TYPE_CHECKING:
    import pandas as pd

Verdict: TypeAlias = Literal["pass", "regression", "cannot tell"]
EXIT_STATUS = {"pass": 0, "regression": 1, "cannot tell": 3}


class SuiteVerdict(Struct, frozen=True, kw_only=True):
    """The verdict on one suite (or pool); differences are candidate minus baseline."""

    suite: str
    protocol: str
    tier: Tier
    metric: str
    verdict: Verdict
    reasons: tuple[str, ...]
    value_baseline: float | None
    value_candidate: float | None
    difference: float | None
    """In the metric's own unit, over the samples scored in both runs; if sequential, over all processed samples.

    A sequential gate counts a missing outcome as the middle of the metric's bounds.
    """
    low: float | None
    """Two-sided limits at level 1 - 2 alpha, which hold for any values of missing outcomes that the policy does not exclude."""
    high: float | None
    margin: float
    better: Literal["higher", "lower"]
    unit: str
    n: int
    """Number of samples scored in both runs, or processed by a sequential gate."""
    coverage: float
    """Coverage of the candidate."""
    coverage_baseline: float
    p_pass: float | None
    """One-sided p-value against "the loss is at least the margin"."""
    p_regression: float | None
    """One-sided p-value against "the loss is at most the margin"; adjusted (Holm; if sequential, Bonferroni) unless advisory."""
    estimand: Estimand = "items-like-these"
    """Estimand of the loss: items-like-these, these-items or this-run."""
    method: str = ""
    """Test used for verdict and interval."""
    alarm: str = ""
    """Warning of an implausibly large gain: extraction or data may be broken."""
    noise: float | None = None
    """Repeatability limit, if known: 95 % of differences between two runs of one model lie within it."""


class GateReport(Struct, frozen=True, kw_only=True):
    """Result of `evals gate`. `format` is incremented when the meaning of a field changes."""

    format: int = 1
    verdict: Verdict
    suites: tuple[SuiteVerdict, ...]
    candidate: str
    baseline: str
    alpha: float
    level: float
    """Two-sided confidence level of the intervals."""
    alarms: tuple[str, ...] = ()
    flips: tuple[Flip, ...] = ()
    notes: tuple[str, ...] = ()
    sequential: bool = False
    """Whether the gate was sequential: if it stopped the run early, the point estimates are biased."""

    def __repr__(self) -> str:
        """Return the verdict and a line per suite with its reasons."""
        lines = [f"{displayed_verdict(self.verdict)}: candidate {self.candidate}, baseline {self.baseline}"]
        lines += [
            f"{suite.suite} {suite.metric}: {displayed_verdict(suite.verdict)}: {'; '.join(suite.reasons)}"
            for suite in self.suites
        ]
        return "\n".join(lines)

    def to_frame(self) -> pd.DataFrame:
        """Return a row per suite, columns as in `SuiteVerdict`; needs pandas (extra `notebook`)."""
        return frames.from_structs(self.suites)

    def _repr_html_(self) -> str:
        columns = (
            "suite", "tier", "metric", "baseline", "candidate", "difference", "low", "high", "margin", "verdict",
        )  # fmt: skip
        rows = [
            (s.suite, s.tier, s.metric, s.value_baseline, s.value_candidate, s.difference, s.low, s.high, s.margin,
             displayed_verdict(s.verdict))
            for s in self.suites
        ]  # fmt: skip
        title = f"{displayed_verdict(self.verdict)}: candidate {self.candidate}, baseline {self.baseline}"
        return frames.html_table(columns, rows, caption=title)


def displayed_verdict(verdict: str) -> str:
    """Return the displayed form of a verdict: `cannot tell`, as in JSON, is shown as `inconclusive`."""
    return "inconclusive" if verdict == "cannot tell" else verdict


def gate(
    candidate: Sequence[SuiteRun],
    baseline: Sequence[SuiteRun],
    policy: Policy,
    *,
    limits: Mapping[SuiteKey, float] | None = None,
) -> GateReport:
    """Return the gate's report on a candidate; raises UsageError if runs and policy do not match.

    `limits`: (suite, protocol) -> repeatability limit.
    """
    limits = limits or {}
    check_margins(policy, limits, baseline)
    cases, verdicts_without_run, notes, flips = [], [], list[str](), list[Flip]()
    for rule in policy.rules_with_verdict:
        entries = policy.members(rule) if isinstance(rule, Pool) else (rule,)
        run_pairs = [run_pair(entry, candidate, baseline) for entry in entries]
        complete_pairs = [pair for pair in run_pairs if pair is not None]
        if len(complete_pairs) < len(run_pairs):
            names = [entry.name for entry, pair in zip(entries, run_pairs, strict=True) if pair is None]
            verdicts_without_run.append(_verdict_without_run(rule, names))
            continue
        entry_limits = tuple(repeatability_limit(entry, limits, baseline) for entry in entries)
        case = case_of(rule, complete_pairs, estimand=policy.estimand_of(rule), limits=entry_limits)
        cases.append(case)
        notes += _pair_notes(complete_pairs, case.pairings)
        flips += [flip for a, b, metric in complete_pairs for flip in changed_samples(a, b, metric)]
    judged = [*verdicts(cases, policy, limits, baseline), *verdicts_without_run]
    return GateReport(
        verdict=overall_verdict((suite.tier, suite.verdict) for suite in judged), suites=tuple(judged), candidate=run_names(candidate),
        baseline=run_names(baseline), alpha=policy.alpha, level=1 - 2 * policy.alpha,
        alarms=tuple(f"{suite.suite}: {suite.alarm}" for suite in judged if suite.alarm), flips=tuple(flips),
        notes=tuple(notes),
    )  # fmt: skip


def _pair_notes(pairs: Sequence[RunPair], pairings: Sequence[Pairing]) -> Iterator[str]:
    for (baseline, candidate, _), pairing in zip(pairs, pairings, strict=True):
        if candidate.identity == baseline.identity:
            yield (
                f"{baseline.suite}: candidate and baseline are the same run, so the verdict says nothing about a change; "
                "if other weights are served under this name, run it with --fresh"
            )
        if pairing.unshared_count:
            yield pairing.note_on_unshared(baseline.suite)


def run_names(suite_runs: Sequence[SuiteRun]) -> str:
    """Return the distinct run names, separated by commas."""
    return ", ".join(dict.fromkeys(suite_run.run for suite_run in suite_runs))


def check_margins(policy: Policy, limits: Mapping[SuiteKey, float], baseline: Sequence[SuiteRun]) -> None:
    """Raise UsageError if the margin of a suite outside pools is below the repeatability limit of its headline."""
    for entry in policy.suite:
        limit = repeatability_limit(entry, limits, baseline)
        if limit is not None and entry.margin < limit and not entry.pool:
            raise UsageError(
                f"policy: {entry.name}: margin {entry.margin:g} is below the repeatability limit {limit:.3g} that was "
                f"measured with `evals gate noise`; increase the margin, or use more repeats and measure again"
            )


def repeatability_limit(
    entry: Entry, limits: Mapping[SuiteKey, float], baseline: Sequence[SuiteRun]
) -> float | None:
    """Return the repeatability limit for an entry; None if it is unknown, or if the entry's metric is not the headline."""
    run = run_of(entry, baseline)
    if run is None or metric_of(entry, run).name != run.headline.name:
        return None
    return limits.get(run.key)


def overall_verdict(judged: Iterable[tuple[Tier, Verdict]]) -> Verdict:
    """Combine the verdicts on suites by their tiers; advisory suites do not count."""
    by_suite = list(judged)
    if any(verdict == "regression" and tier != "advisory" for tier, verdict in by_suite):
        return "regression"
    if any(verdict != "pass" and tier == "critical" for tier, verdict in by_suite):
        return "cannot tell"
    return "pass"


class _Claims(NamedTuple):
    """Evidence and p-values for the two claims that a gate can make about a case: a pass and a regression."""

    observed: Evidence | None
    """Without missing outcomes."""
    worst: Evidence | None
    """With missing outcomes counted against the candidate, to test the claim of a pass."""
    best: Evidence | None
    """With missing outcomes counted in the candidate's favour, to test the claim of a regression."""
    p_pass: float | None
    p_regression: float | None


def _test_claims(case: Case) -> _Claims:
    observed = case.evidence("exclude")
    nothing_imputed = case.excludes_missing or all(pairing.is_complete for pairing in case.pairings)
    worst = observed if nothing_imputed else case.evidence("worst")
    best = observed if nothing_imputed else case.evidence("best")
    p_pass = None if worst is None else p_loss_below(worst, case)
    p_regression = None
    if best is not None:
        margin = case.rule.margin
        p_regression = best.p_below(-margin) if case.metric.better == "higher" else best.p_above(margin)
    return _Claims(observed, worst, best, p_pass, p_regression)


def p_loss_below(evidence: Evidence, case: Case) -> float:
    """Return the one-sided p-value against "the loss is at least the margin"."""
    margin = case.rule.margin
    return evidence.p_above(-margin) if case.metric.better == "higher" else evidence.p_below(margin)


def verdicts(
    cases: Sequence[Case], policy: Policy, limits: Mapping[SuiteKey, float], baseline: Sequence[SuiteRun] = ()
) -> list[SuiteVerdict]:
    """Judge every case; regression p-values are Holm-adjusted over critical and supporting cases."""
    claims_by_case = [_test_claims(case) for case in cases]
    adjusted_indices = [i for i, case in enumerate(cases) if case.rule.tier != "advisory"]
    p_values = [1.0 if (p := claims_by_case[i].p_regression) is None else p for i in adjusted_indices]
    adjusted = dict(zip(adjusted_indices, difference.holm(p_values), strict=True))
    judged = []
    for i, (case, claims) in enumerate(zip(cases, claims_by_case, strict=True)):
        limit = repeatability_limit(case.rule, limits, baseline) if isinstance(case.rule, Entry) else None
        judged.append(_judge_case(case, claims, adjusted.get(i, claims.p_regression), policy, limit))
    return judged


def _judge_case(
    case: Case, claims: _Claims, p_regression: float | None, policy: Policy, limit: float | None
) -> SuiteVerdict:
    alarm, prevents_pass = _gain_alarm(case, claims, policy.alpha)
    verdict, reasons = _verdict_and_reasons(case, claims, p_regression, policy)
    if verdict == "pass" and prevents_pass:
        verdict, reasons = "cannot tell", [alarm]
    values = case.pairings[0].values() if len(case.pairings) == 1 else (None, None)
    low, high = _interval_with_missing(case, claims, 1 - 2 * policy.alpha)
    candidate, baseline = case.coverage
    return SuiteVerdict(
        suite=case.rule.label,
        protocol=case.protocol, tier=case.rule.tier, metric=case.metric.name, verdict=verdict,
        reasons=tuple(reasons), value_baseline=values[0], value_candidate=values[1],
        difference=claims.observed.value if claims.observed else None, low=low, high=high,
        margin=case.rule.margin, better=case.metric.better, unit=case.metric.unit,
        n=sum(len(pairing.rows_of(None)) for pairing in case.pairings), coverage=candidate, coverage_baseline=baseline,
        p_pass=claims.p_pass, p_regression=p_regression, estimand=case.estimand,
        method=claims.observed.test if claims.observed else "", alarm=alarm, noise=limit,
    )  # fmt: skip


def _verdict_and_reasons(
    case: Case, claims: _Claims, p_regression: float | None, policy: Policy
) -> tuple[Verdict, list[str]]:
    margin = formatting.format_size(case.rule.margin, case.metric.unit)
    if p_regression is not None and p_regression <= policy.alpha:
        return "regression", [
            f"the loss significantly exceeds {margin} ({formatting.format_p_with_name(p_regression)})"
        ]
    reasons = [
        f"coverage of the {role} is {100 * share:.2f} %, below the minimum of {100 * policy.coverage:g} %"
        for role, share in zip(("candidate", "baseline"), case.coverage, strict=True)
        if share < policy.coverage
    ]
    if not case.is_noise_known and all(pairing.rows_of(None) for pairing in case.pairings):
        reasons.append(
            "these-items needs within-item noise: repeats in both runs, or a repeatability report (`evals gate noise`)"
        )
    elif claims.observed is None:
        reasons.append("no sample was scored in both runs")
    elif claims.p_pass is None:
        reasons.append(
            f'outcomes are missing and {case.metric.name} has no worst value: rerun the samples, or set missing = "tolerate"'
        )
    elif claims.p_pass > policy.alpha:
        reasons.append(_undecided_reason(case, claims, policy.alpha))
    if reasons:
        return "cannot tell", reasons
    return "pass", [f"non-inferior within {margin} ({formatting.format_p_with_name(claims.p_pass)})"]


def _undecided_reason(case: Case, claims: _Claims, alpha: float) -> str:
    observed = claims.observed
    if observed is not None and observed is not claims.worst and p_loss_below(observed, case) <= alpha:
        return f"passes if missing outcomes are excluded, but not if they are counted at their worst value ({formatting.format_p_with_name(claims.p_pass)})"
    loss = formatting.format_size(case.rule.margin, case.metric.unit)
    return f"a loss of {loss} cannot be excluded ({formatting.format_p_with_name(claims.p_pass)})"


def _interval_with_missing(case: Case, claims: _Claims, level: float) -> tuple[float | None, float | None]:
    """Return an interval that is valid for any values of missing outcomes that the policy does not exclude."""
    lower, upper = (
        (claims.worst, claims.best) if case.metric.better == "higher" else (claims.best, claims.worst)
    )
    intervals = [evidence.interval(level) if evidence else None for evidence in (lower, upper)]
    return (intervals[0][0] if intervals[0] else None), (intervals[1][1] if intervals[1] else None)


def _gain_alarm(case: Case, claims: _Claims, alpha: float) -> tuple[str, bool]:
    """Return a warning if a gain is implausibly large, and whether it prevents a pass."""
    largest_gain = case.rule.plausible
    limit = 3 * case.rule.margin if largest_gain is None else largest_gain
    if claims.worst is None:
        return "", False
    p = claims.worst.p_above(limit) if case.metric.better == "higher" else claims.worst.p_below(-limit)
    if p > alpha:
        return "", False
    return (
        f"better by more than {formatting.format_size(limit, case.metric.unit)} ({formatting.format_p_with_name(p)}): check the answer extraction first",
        largest_gain is not None,
    )


def _verdict_without_run(rule: Entry | Pool, names: Sequence[str]) -> SuiteVerdict:
    return SuiteVerdict(
        suite=rule.label,
        protocol=rule.protocol if isinstance(rule, Entry) else "", tier=rule.tier, metric="",
        verdict="cannot tell", reasons=(f"the candidate has no run of {', '.join(names)}",),
        value_baseline=None, value_candidate=None, difference=None, low=None, high=None, margin=rule.margin,
        better="higher", unit="", n=0, coverage=0.0, coverage_baseline=0.0, p_pass=None, p_regression=None,
    )  # fmt: skip
