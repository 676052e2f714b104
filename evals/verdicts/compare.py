"""Paired comparison of runs: differences with intervals, changed samples, ranks.

Runs are comparable if the suite and its version, protocol, data, judge and scorers are the same; `why_not` lists the differences.
Tests are adjusted for multiplicity: Holm over the headlines of all suites and all pairs of runs, Benjamini-Hochberg over
the groups of all suites. The adjusted intervals exclude 0 if and only if the adjusted test rejects.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import chain, combinations
from typing import TYPE_CHECKING, Literal, NamedTuple, TypeAlias

from msgspec import Struct, structs

from evals.report import frames
from evals.report.estimand_names import Estimand
from evals.types import Metric
from evals.verdicts import difference
from evals.verdicts.estimands import evidence_of
from evals.verdicts.evidence import Evidence
from evals.verdicts.flips import Flip, changed_outcomes, count_verdict_changes
from evals.verdicts.formatting import format_p
from evals.verdicts.pairs import Pairing, ReducedRun, reduce_run
from evals.verdicts.ranks import Rank, ranks
from evals.verdicts.suite_run import (
    SuiteKey,
    SuiteRun,
    incomparability_reasons,
    values_on_shared_samples,
)

if TYPE_CHECKING:
    import pandas as pd

LEVEL = 0.95
FEW_CLUSTERS = 10
"""Number of clusters below which an interval is marked as rough."""


class Row(Struct, frozen=True, kw_only=True):
    """B minus A for one suite, metric and group, in the metric's own unit; null: unknown."""

    a: str
    b: str
    model_a: str
    model_b: str
    suite: str
    protocol: str
    metric: str
    group: str
    """Empty for the whole suite."""
    value_a: float | None
    """Over the samples scored in both runs."""
    value_b: float | None
    difference: float | None
    low: float | None
    """95 % interval of the difference."""
    high: float | None
    p: float | None
    """Two-sided."""
    p_adjusted: float | None = None
    adjustment: Literal["holm", "benjamini-hochberg", ""] = ""
    low_adjusted: float | None = None
    high_adjusted: float | None = None
    test: str
    n: int
    """Number of samples (not sample-repeats) scored in both runs."""
    repeats_a: int = 1
    repeats_b: int = 1
    clusters: int = 0
    """Number of clusters; fewer than `n` if several samples share a passage or an image."""
    wins: int | None
    """Number of samples on which B is better."""
    losses: int | None
    ties: int | None
    better: Literal["higher", "lower"]
    unit: str
    headline: bool
    coverage_a: float
    coverage_b: float
    estimand: Estimand = "items-like-these"
    """Estimand of interval and p-value, which are null if the runs cannot estimate it."""
    worst: float | None
    """Difference with missing outcomes counted against B and for A."""
    best: float | None

    @property
    def adjusted_interval(self) -> tuple[float | None, float | None]:
        """Return the adjusted interval if there is one, else the unadjusted one."""
        return (self.low, self.high) if self.low_adjusted is None else (self.low_adjusted, self.high_adjusted)


class RowWithEvidence(NamedTuple):
    """A row with its evidence, from which intervals at other levels are computed."""

    row: Row
    evidence: Evidence | None


class Cost(Struct, frozen=True, kw_only=True):
    """Tokens and cost of a run."""

    run: str
    model: str
    suite: str
    coverage: float
    tokens: dict[str, int]
    cost_usd: float | None


class Comparison(Struct, frozen=True, kw_only=True):
    """Result of `evals compare`."""

    pairs: tuple[Row, ...]
    comparable: bool
    why_not: tuple[str, ...]
    flips: tuple[Flip, ...] = ()
    ladders: dict[str, dict[str, int]] = {}
    """Suite -> change of verdict (`right -> unanswered`) -> count."""
    runs: tuple[Cost, ...] = ()
    ranks: tuple[Rank, ...] = ()
    noise: dict[str, float] = {}
    """Suite -> repeatability limit of its headline, if there is a repeatability report."""
    notes: tuple[str, ...] = ()

    def __repr__(self) -> str:
        """Return a line per suite with the difference, its interval and the adjusted p-value."""
        rows = [row for row in self.pairs if row.headline and not row.group]
        lines = [f"not comparable: {line}" for line in self.why_not]
        lines += [
            f"{r.suite} {r.metric}: {r.model_b} - {r.model_a} = {_format_difference(r)} (n {r.n})"
            for r in rows
        ]
        return "\n".join(lines)

    def to_frame(self) -> pd.DataFrame:
        """Return a row per suite, metric and group, columns as in `Row`; needs pandas (extra `notebook`)."""
        return frames.from_structs(self.pairs)

    def _repr_html_(self) -> str:
        columns = (
            "suite", "metric", "A", "B", "value A", "value B", "B - A", "low", "high", "p (adjusted)", "n", "estimand", "test",
        )  # fmt: skip
        rows = [
            (r.suite, r.metric, r.model_a, r.model_b, r.value_a, r.value_b, r.difference, *r.adjusted_interval, r.p_adjusted, r.n,
             r.estimand, r.test)
            for r in self.pairs
            if not r.group
        ]  # fmt: skip
        caption = "; ".join(f"not comparable: {line}" for line in self.why_not)
        return frames.html_table(columns, rows, caption=caption)


def _format_difference(row: Row) -> str:
    low, high = row.adjusted_interval
    if row.difference is None or low is None or high is None:
        return "-"
    p = "" if row.p_adjusted is None else f", p (adjusted) {format_p(row.p_adjusted)}"
    return f"{row.difference:+.4g} [{low:+.4g}, {high:+.4g}]{p}"


def compare(
    runs: Sequence[Sequence[SuiteRun]],
    *,
    force: bool = False,
    detail: bool | None = None,
    estimand: Estimand = "items-like-these",
    limits: Mapping[SuiteKey, float] | None = None,
) -> Comparison:
    """Compare runs, each given as the `SuiteRun` of every suite; two are called A and B, three or more are also ranked.

    A suite is compared under the first protocol of A that all runs have. `detail`: compare every metric and the headline's
    groups instead of the headline only; by default for two runs. `limits`: used for `these-items` if the runs have no repeats.
    """
    limits = limits or {}
    detail = len(runs) == 2 if detail is None else detail
    by_suite = _runs_by_suite(runs)
    reasons = [] if by_suite else ["the runs have no suite in common"]
    for first, *others in by_suite.values():
        reasons += dict.fromkeys(line for other in others for line in incomparability_reasons(first, other))
    noise = {suite: limits[first.key] for suite, (first, *_) in by_suite.items() if first.key in limits}
    if reasons and not force:
        return Comparison(pairs=(), comparable=False, why_not=tuple(reasons), noise=noise)
    notes, compared, flips_by_suite = list[str](), list[RowWithEvidence](), dict[str, list[Flip]]()
    for suite, suite_runs in by_suite.items():
        cache: ReducedRuns = {}
        for a, b in combinations(suite_runs, 2):
            compared += _compare_suite(
                a, b, detail=detail, notes=notes, estimand=estimand, limit=limits.get(a.key), cache=cache
            )
        if len(suite_runs) == 2:
            flips_by_suite[suite] = changed_samples(suite_runs[0], suite_runs[1], suite_runs[0].headline)
    rows = adjust_for_multiplicity(compared)
    return Comparison(
        pairs=tuple(rows), comparable=not reasons, why_not=tuple(reasons),
        flips=tuple(flip for flips in flips_by_suite.values() for flip in flips),
        ladders={suite: count_verdict_changes(flips) for suite, flips in flips_by_suite.items()},
        runs=tuple(_run_cost(suite_run) for suite_runs in zip(*by_suite.values(), strict=True) for suite_run in suite_runs),
        ranks=tuple(_rank_suites(rows, by_suite)) if len(runs) > 2 else (), noise=noise,
        notes=(*_restriction_notes(by_suite), *_protocol_notes(runs, by_suite), *dict.fromkeys(notes)),
    )  # fmt: skip


def _runs_by_suite(runs: Sequence[Sequence[SuiteRun]]) -> dict[str, list[SuiteRun]]:
    """Return the runs of each common suite, under the first protocol of A that all have, or else under the first of each run."""
    by_suite = {}
    for suite in dict.fromkeys(suite_run.suite for suite_run in runs[0]):
        candidates = [[suite_run for suite_run in run if suite_run.suite == suite] for run in runs]
        if not all(candidates):
            continue
        shared = set.intersection(*({run.protocol for run in group} for group in candidates))
        protocol = next((run.protocol for run in candidates[0] if run.protocol in shared), None)
        by_suite[suite] = [
            next((run for run in group if run.protocol == protocol), group[0]) for group in candidates
        ]
    return by_suite


def _protocol_notes(
    runs: Sequence[Sequence[SuiteRun]], by_suite: Mapping[str, Sequence[SuiteRun]]
) -> list[str]:
    """Return a line for each suite that was also run under protocols that are not compared."""
    notes = []
    for suite, compared in by_suite.items():
        protocols = dict.fromkeys(run.protocol for run in chain(*runs) if run.suite == suite)
        others = [name for name in protocols if name not in {run.protocol for run in compared}]
        if others:
            notes.append(
                f"{suite}: left out runs under {', '.join(others)}; a suite is compared under one protocol"
            )
    return notes


def _restriction_notes(by_suite: Mapping[str, Sequence[SuiteRun]]) -> list[str]:
    """Return a line for each restriction: its suites, and their runs unless it applies to all of them."""
    suites_by_restriction: dict[str, list[str]] = {}
    for suite, suite_runs in by_suite.items():
        for restriction in dict.fromkeys(
            restriction for run in suite_runs for restriction in run.restrictions
        ):
            names = [f"{run.model}, {run.run}" for run in suite_runs if restriction in run.restrictions]
            affected = f" ({'; '.join(names)})" if len(names) < len(suite_runs) else ""
            suites_by_restriction.setdefault(restriction, []).append(f"{suite}{affected}")
    return [f"{restriction}: {', '.join(suites)}" for restriction, suites in suites_by_restriction.items()]


def changed_samples(a: SuiteRun, b: SuiteRun, metric: Metric) -> list[Flip]:
    """Return the samples whose verdict changed, by original ids if known, and without answers if the suite is gated."""
    original_ids = {**(a.original_ids or {}), **(b.original_ids or {})}
    hidden_answers = {"answer_a": None, "answer_b": None} if a.gated or b.gated else {}
    return [
        structs.replace(flip, suite=b.suite, id=original_ids.get(flip.id, flip.id), **hidden_answers)
        for flip in changed_outcomes(a.outcomes_under(metric), b.outcomes_under(metric), better=metric.better)
    ]


def _run_cost(run: SuiteRun) -> Cost:
    return Cost(
        run=run.run, model=run.model, suite=run.suite, coverage=run.outcomes.coverage, tokens=dict(run.tokens), cost_usd=run.cost_usd,
    )  # fmt: skip


ReducedRuns: TypeAlias = dict[tuple[int, str], ReducedRun]
"""(identity of a run, metric) -> the run's samples reduced under the metric; a cache for all pairs of runs of one suite.

The id of a run is not enough: imported runs of several models may share one, and a baseline file has the id of its run.
"""


def _compare_suite(
    a: SuiteRun,
    b: SuiteRun,
    *,
    detail: bool,
    notes: list[str],
    estimand: Estimand,
    limit: float | None,
    cache: ReducedRuns,
) -> list[RowWithEvidence]:
    """Compare two runs of one suite, with `detail` by every shared metric and by the headline's groups; append to `notes`."""
    names_a, names_b = ({metric.name for metric in run.metrics} for run in (a, b))
    shared = [metric for metric in a.metrics if metric.name in names_b]
    unshared = sorted(names_a ^ names_b)
    if unshared and detail:
        notes.append(f"{a.suite}: left out metrics that only one of the runs has: {', '.join(unshared)}")
    if a.headline.name != b.headline.name:
        shared = [a.headline, *(metric for metric in shared if metric.name != a.headline.name)]
        notes.append(f"{a.suite}: {a.headline.name} of A is compared with {b.headline.name} of B")
    if a.identity == b.identity:
        notes.append(f"{a.suite}: {a.run} is compared with itself")
    compared = []
    for metric in sorted(shared if detail else [a.headline], key=lambda metric: not metric.headline):
        pairing = Pairing(_cached_reduction(a, metric, cache), _cached_reduction(b, metric, cache), metric)
        if pairing.unshared_count:
            notes.append(pairing.note_on_unshared(a.suite))
        whole_suite = compare_metric(a, b, pairing, estimand=estimand, limit=limit)
        row = whole_suite.row
        if metric.headline and row.clusters < min(FEW_CLUSTERS, row.n):
            clusters = "one cluster" if row.clusters == 1 else f"{row.clusters} clusters"
            notes.append(f"{a.suite}: {row.n} samples in only {clusters}: the interval is rough")
        compared.append(whole_suite)
        groups = sorted({row.group for row in pairing.rows})
        if metric.headline and detail and len(groups) > 1:
            compared += [compare_metric(a, b, pairing, group=group, estimand=estimand) for group in groups]
    return compared


def _cached_reduction(run: SuiteRun, metric: Metric, cache: ReducedRuns) -> ReducedRun:
    key = (id(run), metric.name)
    if key not in cache:
        cache[key] = reduce_run(run.outcomes_under(metric), metric)
    return cache[key]


def compare_metric(
    a: SuiteRun,
    b: SuiteRun,
    pairing: Pairing,
    *,
    group: str = "",
    estimand: Estimand = "items-like-these",
    limit: float | None = None,
) -> RowWithEvidence:
    """Compare two runs by one metric, within one group if given."""
    group_filter = group or None
    observed = pairing.evidence(group=group_filter)
    evidence = observed
    if estimand != "items-like-these":
        evidence = evidence_of(pairing, estimand, group=group_filter, limit=limit)
    low, high = (evidence.interval(LEVEL) if evidence else None) or (None, None)
    estimable = evidence if low is not None else None
    unknown_noise = "within-item noise unknown (needs repeats in both runs, or a repeatability report)"
    test = evidence.test if evidence else unknown_noise if observed else "nothing paired"
    value_a, value_b = pairing.values(group_filter)
    value = observed.value if observed else None
    worst, best = (value, value) if observed and pairing.is_complete else pairing.bounds(group_filter)
    wins, losses, ties = pairing.tally(group_filter) or (None, None, None)
    rows, metric = pairing.rows_of(group_filter), pairing.metric
    row = Row(
        a=a.run, b=b.run, model_a=a.model, model_b=b.model, suite=a.suite, protocol=a.protocol, metric=metric.name,
        group=group, value_a=value_a, value_b=value_b, difference=value, low=low, high=high,
        p=estimable.p_equal() if estimable else None, test=test, estimand=estimand, n=len(rows), repeats_a=pairing.a.repeats,
        repeats_b=pairing.b.repeats, clusters=len({row.cluster for row in rows}), wins=wins, losses=losses, ties=ties,
        better=metric.better, unit=metric.unit, headline=metric.headline and not group, coverage_a=pairing.coverage_a,
        coverage_b=pairing.coverage_b, worst=worst, best=best,
    )  # fmt: skip
    return RowWithEvidence(row, estimable)


def adjust_for_multiplicity(compared: Sequence[RowWithEvidence]) -> list[Row]:
    """Return the rows with adjusted p-values and intervals: headlines form one family of tests, groups another."""
    rows = [row for row, _ in compared]
    headlines = [i for i, (row, evidence) in enumerate(compared) if evidence and row.headline]
    groups = [i for i, (row, evidence) in enumerate(compared) if evidence and row.group]
    p_values = [rows[i].p or 0.0 for i in headlines]
    levels = difference.holm_levels(p_values, LEVEL)
    for i, p, level in zip(headlines, difference.holm(p_values), levels, strict=True):
        rows[i] = _with_adjustment(compared[i], p, level, "holm")
    p_values = [rows[i].p or 0.0 for i in groups]
    level = difference.fcr_level(p_values, LEVEL)
    for i, p in zip(groups, difference.benjamini_hochberg(p_values), strict=True):
        rows[i] = _with_adjustment(compared[i], p, level, "benjamini-hochberg")
    return rows


def _with_adjustment(
    compared: RowWithEvidence, p: float, level: float, method: Literal["holm", "benjamini-hochberg"]
) -> Row:
    low, high = (compared.evidence.interval(level) if compared.evidence else None) or (None, None)
    return structs.replace(
        compared.row, p_adjusted=p, adjustment=method, low_adjusted=low, high_adjusted=high
    )


def _rank_suites(rows: Sequence[Row], by_suite: Mapping[str, Sequence[SuiteRun]]) -> list[Rank]:
    """Rank the runs of each suite, with rank intervals from the significant differences (Holm over all pairs)."""
    return [
        rank
        for suite, suite_runs in by_suite.items()
        for rank in _rank_suite(suite_runs, [row for row in rows if row.headline and row.suite == suite])
    ]


def _rank_suite(suite_runs: Sequence[SuiteRun], rows: Sequence[Row]) -> list[Rank]:
    """Rank the runs of a suite; `rows`: the headline rows of all pairs. Positions stand for runs, whose ids may be equal."""
    names = [str(i) for i in range(len(suite_runs))]
    worse_than: dict[str, set[str]] = {}
    for (a, b), row in zip(combinations(names, 2), rows, strict=True):
        if row.p_adjusted is not None and row.p_adjusted <= 1 - LEVEL and row.difference:
            winner, loser = (b, a) if (row.difference > 0) == (row.better == "higher") else (a, b)
            worse_than.setdefault(winner, set()).add(loser)
    values = dict(zip(names, values_on_shared_samples(suite_runs), strict=True))
    models = {name: run.model for name, run in zip(names, suite_runs, strict=True)}
    run_ranks = ranks(suite_runs[0].suite, values, models, worse_than, better=rows[0].better)
    return [structs.replace(rank, run=suite_runs[int(rank.run)].run) for rank in run_ranks]
