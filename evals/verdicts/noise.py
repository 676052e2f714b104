"""Repeatability reports: how much runs of one model differ.

K runs of one model under the same conditions give the repeatability standard deviation s_r of a suite's headline and
the limit r = 2.8 s_r (ISO 5725), within which 95 % of differences between two such runs lie. s_r is computed from the
discordance of single samples, not from the few values of the runs: a limit from two values covers 67 %, not 95 %. A
report is valid for a suite, protocol, model, server, precision and batch policy; it is stored as `results/noise/*.json`.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations
from math import sqrt
from pathlib import Path
from statistics import fmean, stdev

import msgspec
from msgspec import Struct

from evals import disk
from evals.errors import StoreError, UsageError
from evals.report.strata import item_weights
from evals.validation import cause
from evals.verdicts.estimands import LIMIT_FACTOR
from evals.verdicts.pairs import Pairing, merge_joint_samples
from evals.verdicts.suite_run import SuiteKey, SuiteRun, pair

FORMAT = 1
FOLDER = "noise"


class Conditions(Struct, frozen=True, kw_only=True):
    """Conditions under which a report is valid."""

    server: str = ""
    """Engine and version, or the address."""
    precision: str = ""
    batch: str = ""
    """Batch policy, e.g. `up to 256, continuous`."""


class RepeatabilityReport(Struct, frozen=True, kw_only=True):
    """Repeatability of one suite for one model under given conditions."""

    format: int = FORMAT
    suite: str
    protocol: str
    data_sha256: str
    model: str
    repeats: int
    metric: str
    unit: str
    runs: tuple[str, ...]
    values: tuple[float, ...]
    """The headline score of each run, over the samples that are scored in all of them."""
    deviation: float
    """Repeatability standard deviation s_r: from the samples' differences between runs or, for whole-run metrics and if no
    sample differs, from the runs' values (with len(runs) - 1 degrees of freedom)."""
    limit: float
    """Repeatability limit r = 2.8 s_r."""
    discordance: float
    """Mean square of a sample's difference between two runs; for binary scores, the share of changed samples."""
    conditions: Conditions = Conditions()


def measure(runs: Sequence[SuiteRun], *, conditions: Conditions | None = None) -> RepeatabilityReport:
    """Measure the repeatability of a suite from two or more runs of it."""
    if len({run.run for run in runs}) < max(2, len(runs)):
        raise UsageError("measuring noise requires at least two different runs, and each only once")
    first = runs[0]
    if len(repeats := {run.outcomes.repeats for run in runs}) > 1:
        raise UsageError(
            f"{first.suite}: the runs differ in their repeats: {', '.join(map(str, sorted(repeats)))}"
        )
    metric = first.headline
    pairings = [pair(a, b, metric) for a, b in combinations(runs, 2)]
    scored_ids = ({row.id for row in pairing.rows if row.is_scored} for pairing in pairings)
    common_ids = set.intersection(*scored_ids)
    values = [_headline_over(run, sample_ids=common_ids) for run in runs]
    deviation, discordance = stdev(values), 0.0
    if metric.pool != "whole":
        rows = (row for pairing in pairings for row in pairing.rows if row.id in common_ids)
        discordance = fmean((row.b.value - row.a.value) ** 2 for row in rows)
    if discordance:
        deviation = sqrt(discordance / 2 * _sum_of_squared_weights(pairings[0], common_ids))
    return RepeatabilityReport(
        suite=first.suite, protocol=first.protocol, data_sha256=first.data_sha256, model=first.model,
        repeats=first.outcomes.repeats, metric=metric.name, unit=metric.unit, runs=tuple(run.run for run in runs),
        values=tuple(values), deviation=deviation, limit=LIMIT_FACTOR * deviation, discordance=discordance,
        conditions=conditions or Conditions(),
    )  # fmt: skip


def _sum_of_squared_weights(pairing: Pairing, common_ids: set[str]) -> float:
    """Return the sum of squared sample weights in the metric's mean: 1/n, or more for a macro mean."""
    rows = [row for row in pairing.rows if row.id in common_ids]
    weights = item_weights(len(rows), pairing.strata(rows))
    return float(weights @ weights)


def _headline_over(run: SuiteRun, *, sample_ids: set[str]) -> float:
    outcomes = merge_joint_samples(run.outcomes_under(run.headline), run.headline)
    kept = outcomes._replace(
        golds={sample_id: gold for sample_id, gold in outcomes.golds.items() if sample_id in sample_ids}
    )
    scorer = run.headline.scorer or next(iter(run.outcomes_by_scorer))
    restricted_run = msgspec.structs.replace(run, outcomes_by_scorer={scorer: kept})
    value = pair(restricted_run, restricted_run, run.headline).values()[0]
    if value is None:
        raise UsageError(f"{run.suite}: no sample is scored in all runs")
    return value


def write(results: Path, report: RepeatabilityReport) -> Path:
    """Write a report to the results folder, in place of an earlier one for the same suite, protocol, model and precision."""
    name = "-".join(
        "".join(char if char.isalnum() or char in "._" else "-" for char in component)
        for component in (report.suite, report.protocol, report.model, report.conditions.precision)
        if component
    )
    path = results / FOLDER / f"{name}.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    disk.replace(path, msgspec.json.format(msgspec.json.encode(report), indent=1) + b"\n")
    return path


def read_all(results: Path) -> list[RepeatabilityReport]:
    """Read all reports in a results folder; raises StoreError for a broken one."""
    reports = []
    for path in sorted((results / FOLDER).glob("*.json")):
        try:
            report = msgspec.json.decode(disk.read_small(path), type=RepeatabilityReport)
        except (OSError, msgspec.MsgspecError, ValueError, RecursionError) as error:
            raise StoreError(f"{path}: not a repeatability report ({cause(error)})") from error
        if report.format != FORMAT:
            raise StoreError(
                f"{path}: repeatability report of format {report.format}; this version reads format {FORMAT}"
            )
        reports.append(report)
    return reports


def matching_reports(results: Path, suite_runs: Sequence[SuiteRun]) -> dict[SuiteKey, RepeatabilityReport]:
    """Return, by suite and protocol, the report whose data, repeats and model are also those of a run.

    Of several reports, e.g. for different precisions, return the one with the largest limit: a run does not state these conditions.
    """
    by_limit = sorted(read_all(results), key=lambda report: report.limit)
    reports = {(r.suite, r.protocol, r.data_sha256, r.repeats, r.model): r for r in by_limit}
    conditions = {run.key: (*run.key, run.data_sha256, run.outcomes.repeats, run.model) for run in suite_runs}
    return {key: reports[condition] for key, condition in conditions.items() if condition in reports}


def repeatability_limits(results: Path, suite_runs: Sequence[SuiteRun]) -> dict[SuiteKey, float]:
    """Return the repeatability limits in the matching reports; runs without a report are left out."""
    return {key: report.limit for key, report in matching_reports(results, suite_runs).items()}
