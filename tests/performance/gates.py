"""Simulates how often a gate passes rightly and wrongly, for suites of real sizes, and prints a Markdown table.

    nice python -m tests.performance.gates [--simulations 2000]

A model loses exactly the margin (a pass is false; at most alpha of the simulations may pass) or nothing (a pass is true;
their share should be what `evals gate plan` forecasts, on average over runs of the baseline). For `items-like-these`, each
simulation draws new items. For `these-items`, there is one set of items and only the replies are drawn anew; with one reply
per item, the noise comes from a repeatability report of two earlier runs. The last rows are policies of five suites.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator, Sequence
from functools import cache
from math import sqrt
from typing import Any, NamedTuple, get_args

import numpy as np

from evals.report.estimand_names import Estimand
from evals.report.metrics import accuracy, repeat_metrics
from evals.report.strata import item_weights
from evals.types import Metric
from evals.verdicts.difference import Evidence, MeanDifference, holm, mean_evidence
from evals.verdicts.estimands import LIMIT_FACTOR, NORMAL_DF, variance_from_report
from evals.verdicts.gate import Verdict, overall_verdict, verdicts
from evals.verdicts.noise import RepeatabilityReport
from evals.verdicts.pairs import Missing
from evals.verdicts.plan import plan
from evals.verdicts.policy import Entry, Policy
from evals.verdicts.suite_run import SuiteKey
from evals.verdicts.within_item_noise import floor_at_one_change
from tests.support.synthetic_runs import outcomes, outcomes_of, suite_run

ALPHA = 0.05
SHAPE = (0.6, 0.4)
"""Parameters of the beta distribution of the items' probabilities of a right answer."""
DISCORDANCE = 2 * SHAPE[0] * SHAPE[1] / (sum(SHAPE) * (sum(SHAPE) + 1))
"""Expected share of items with different verdicts in two runs with one reply per item."""
FORECAST_SIMULATIONS = 2000
"""Number of simulations of each forecast."""


class Suite(NamedTuple):
    """A suite of n items."""

    name: str
    n: int
    groups: int = 0
    """Number of groups of a macro mean; 0 for a plain mean."""

    def group(self, i: int) -> str:
        """Return the group of item i; empty if there are none."""
        return f"g{i % self.groups}" if self.groups else ""

    @property
    def groups_of_items(self) -> list[str] | None:
        """Return the group of each item, or None for a plain mean."""
        return [self.group(i) for i in range(self.n)] if self.groups else None


SUITES = (
    Suite("AIME", 30),
    Suite("GPQA", 198),
    Suite("ChemBench", 2786),
    Suite("SmolInstruct", 7000, 14),
    Suite("MMLU-Pro", 12032),
)
REPEATS = (1, 4, 16)
ESTIMANDS: tuple[Estimand, ...] = ("items-like-these", "these-items")


class Cell(NamedTuple):
    """Shares of the simulations of one setting: a row of the table."""

    name: str
    margin: str
    wrong: float | None
    """Share of false passes (of policies also: of false regressions), which may be at most alpha; None if not simulated."""
    passed: float | None
    """Share of simulations in which an unchanged model passes; None if not simulated."""
    forecast: float | None
    """What the plan forecasts for `passed`."""
    count: int
    """Number of simulations."""
    spread: float = 0.0
    """Standard error of the mean forecast over baselines."""

    @property
    def p_wrong(self) -> float:
        """Exact one-sided p-value of "the false-pass rate is at most alpha"."""
        from scipy.stats import binom

        return (
            1.0
            if self.wrong is None
            else float(binom.sf(round(self.wrong * self.count) - 1, self.count, ALPHA))
        )

    @property
    def matches_forecast(self) -> bool:
        """Whether true passes differ from the forecast by at most 5 points plus the simulation error."""
        if self.passed is None or self.forecast is None:
            return True
        variance = max(self.forecast * (1 - self.forecast), 0.01) * (
            1 / self.count + 1 / FORECAST_SIMULATIONS
        )
        return abs(self.passed - self.forecast) <= 0.05 + 2.5 * sqrt(variance + self.spread**2)

    def __str__(self) -> str:
        shares = ("" if x is None else f"{x:.3f}" for x in (self.wrong, self.passed, self.forecast))
        mark = "" if self.matches_forecast else " **not as forecast**"
        return f"| {self.name} | {self.margin} | {' | '.join(shares)}{mark} |"


class Setting(NamedTuple):
    """A suite, the number of replies per item and the estimand; simulates differences and computes forecasts."""

    suite: Suite
    repeats: int
    estimand: Estimand

    @property
    def margin(self) -> float:
        """Return 3.2 standard errors of the difference between two runs on the same items, at most .45."""
        return min(0.45, 3.2 * sqrt(DISCORDANCE / self.repeats / self.suite.n))

    @property
    def items(self) -> Any:
        """Return the probabilities of the one set of items that `these-items` uses."""
        return np.random.default_rng(self.suite.n).beta(*SHAPE, self.suite.n)

    def evidence(self, loss: float, rng: np.random.Generator, fixed: Any) -> Evidence:
        """Draw both runs and return the evidence on their difference, as the gate computes it."""
        is_fixed = self.estimand == "these-items"
        probability = fixed if is_fixed else rng.beta(*SHAPE, self.suite.n)
        mean = float(fixed.mean()) if is_fixed else SHAPE[0] / sum(SHAPE)
        a, b = (rng.binomial(self.repeats, probability * (1 - x / mean)) / self.repeats for x in (0.0, loss))
        groups = self.suite.groups_of_items
        if not is_fixed:
            return mean_evidence(b - a, range(self.suite.n), groups=groups, width=1.0)
        weights = item_weights(self.suite.n, groups)
        if self.repeats > 1:
            noise = float(sum(x * (1 - x) / (self.repeats - 1) for x in (a, b)) @ weights**2)
        else:  # as in a repeatability report: discordance of two earlier runs, times the sum of squared weights
            earlier, later = (rng.binomial(1, probability) for _ in "ab")
            deviation = sqrt(float(np.mean((earlier - later) ** 2) / 2 * (weights @ weights)))
            noise = variance_from_report(deviation, b - a, weights)
        error = sqrt(floor_at_one_change(noise, weights, 1.0))
        return MeanDifference(float((b - a) @ weights), error, NORMAL_DF, "within-item noise", 1.0)

    def forecasts(self) -> list[float]:
        """Return the forecast true-pass rate from one baseline run, for several such runs."""
        policy = Policy(suite=(self.entry,))
        count = 40 if self.suite.n < 1000 else 3
        return [
            plan([self.baseline(i)], policy, reports=self.reports, simulations=FORECAST_SIMULATIONS)
            .suites[0]
            .passes_unchanged
            for i in range(count)
        ]

    @property
    def reports(self) -> dict[SuiteKey, RepeatabilityReport]:
        """Return the repeatability report by suite and protocol, if there is one reply per item."""
        if self.repeats > 1:
            return {}
        deviation = sqrt(DISCORDANCE / 2 / self.suite.n)
        report = RepeatabilityReport(
            suite=self.suite.name, protocol="strict", data_sha256="0" * 64, model="model-base", repeats=1,
            metric="accuracy", unit="fraction", runs=("a", "b"), values=(0.6, 0.6), deviation=deviation,
            limit=LIMIT_FACTOR * deviation, discordance=DISCORDANCE,
        )  # fmt: skip
        return {(report.suite, report.protocol): report}

    @property
    def entry(self) -> Entry:
        """Return the entry of the suite in a policy."""
        discordance = DISCORDANCE if self.repeats == 1 else None
        return Entry(
            name=self.suite.name, margin=self.margin, discordance=discordance, estimand=self.estimand
        )

    def baseline(self, seed: int) -> Any:
        """Return a simulated run of the baseline."""
        rng = np.random.default_rng(seed)
        probability = self.items if self.estimand == "these-items" else rng.beta(*SHAPE, self.suite.n)
        replies = (rng.random((self.suite.n, self.repeats)) < probability[:, None]).astype(float)
        groups = self.suite.groups_of_items
        metrics: tuple[Metric, ...] = repeat_metrics() if self.repeats > 1 else accuracy()
        if self.suite.groups:
            metrics = tuple(metric for metric in accuracy(macro=True) if metric.headline)
        if self.repeats == 1:
            run = outcomes_of(replies[:, 0].tolist(), groups=groups)
        else:
            rows = {f"s{i:05}": row for i, row in enumerate(replies.tolist())}
            run = outcomes(rows, groups=groups, repeats=self.repeats)
        return suite_run("base", run, metrics=metrics, suite=self.suite.name)


def suite_cells(count: int, suites: Sequence[Suite] = SUITES) -> Iterator[Cell]:
    """Simulate each suite by itself, for all estimands and numbers of repeats."""
    for estimand in ESTIMANDS:
        for suite in suites:
            for repeats in REPEATS:
                yield suite_cell(Setting(suite, repeats, estimand), count)


def suite_cell(setting: Setting, count: int) -> Cell:
    """Simulate one suite by itself."""
    rng = np.random.default_rng(setting.suite.n + setting.repeats)
    fixed, margin = setting.items, setting.margin
    wrong, passed = (
        sum(setting.evidence(loss, rng, fixed).p_above(-margin) <= ALPHA for _ in range(count)) / count
        for loss in (margin, 0.0)
    )
    forecasts = setting.forecasts()
    spread = float(np.std(forecasts)) / sqrt(len(forecasts))
    name = f"{setting.suite.name} ({setting.suite.n:,}), {setting.repeats}, {setting.estimand}"
    return Cell(name, f"{100 * margin:.2f} pp", wrong, passed, float(np.mean(forecasts)), count, spread)


# --- whole policies -----------------------------------------------------------------------------------------


class CachedEvidence:
    """Simulated evidence whose intervals and p-values are computed only once."""

    def __init__(self, evidence: Evidence) -> None:
        self.value, self.test = evidence.value, evidence.test
        self.interval = cache(evidence.interval)
        self.p_above, self.p_below = cache(evidence.p_above), cache(evidence.p_below)
        self.p_equal = cache(evidence.p_equal)


class SimulatedCase(NamedTuple):
    """A case of a policy with simulated evidence."""

    rule: Entry
    metric: Metric
    simulated: CachedEvidence
    estimand: Estimand
    pairings: tuple[Any, ...] = ()
    protocol: str = "strict"
    coverage: tuple[float, float] = (1.0, 1.0)
    excludes_missing: bool = False
    is_noise_known: bool = True

    def evidence(self, missing: Missing) -> CachedEvidence:
        return self.simulated


def policy_cells(count: int) -> Iterator[Cell]:
    """Simulate a policy of five suites: unchanged, all losing their margins, or only one of them."""
    for estimand in ESTIMANDS:
        repeats = (4 if estimand == "items-like-these" else 16, 4, 4, 4, 1)
        settings = [Setting(suite, k, estimand) for suite, k in zip(SUITES, repeats, strict=True)]
        policy = Policy(suite=tuple(setting.entry for setting in settings))
        reports = {key: report for setting in settings for key, report in setting.reports.items()}
        shares = verdict_shares(settings, policy, count)
        forecasts = [
            plan([s.baseline(i) for s in settings], policy, reports=reports, simulations=FORECAST_SIMULATIONS)
            .scenarios[0]
            .verdicts["pass"]
            for i in range(5)
        ]
        forecast, spread = float(np.mean(forecasts)), float(np.std(forecasts)) / sqrt(5)
        unchanged, at_margins, *single = shares
        name = f"five suites, {estimand}"
        yield Cell(f"{name}: regression, unchanged", "", unchanged["regression"], None, None, count)
        yield Cell(f"{name}: unchanged", "", None, unchanged["pass"], forecast, count, spread)
        yield Cell(
            f"{name}: regression, all at their margins", "", at_margins["regression"], None, None, count
        )
        for setting, share in zip(settings, single, strict=True):
            yield Cell(
                f"{name}: {setting.suite.name} alone at its margin", "", share["pass"], None, None, count
            )


def verdict_shares(settings: Sequence[Setting], policy: Policy, count: int) -> list[dict[Verdict, float]]:
    """Return the shares of verdicts for an unchanged model, losses in all suites, and a loss in each one alone."""
    rng = np.random.default_rng(len(settings))
    items = [setting.items for setting in settings]
    losers_by_case = [set[int](), set(range(len(settings))), *({i} for i in range(len(settings)))]
    counts = [dict.fromkeys(get_args(Verdict), 0) for _ in losers_by_case]
    for _ in range(count):
        unchanged, degraded = (
            [
                SimulatedCase(
                    s.entry,
                    accuracy()[0],
                    CachedEvidence(s.evidence(times * s.margin, rng, fixed)),
                    s.estimand,
                )
                for s, fixed in zip(settings, items, strict=True)
            ]
            for times in (0, 1)
        )
        for losers, tally in zip(losers_by_case, counts, strict=True):
            cases: list[Any] = [degraded[i] if i in losers else unchanged[i] for i in range(len(settings))]
            tally[overall_verdict((suite.tier, suite.verdict) for suite in verdicts(cases, policy, {}))] += 1
    return [{verdict: number / count for verdict, number in tally.items()} for tally in counts]


def excess_false_passes(cells: Sequence[Cell]) -> list[Cell]:
    """Return the cells whose rate of false passes is significantly above alpha (Holm at .01)."""
    return [cell for cell, p in zip(cells, holm([cell.p_wrong for cell in cells]), strict=True) if p <= 0.01]


def main() -> int:
    """Print the table; return 1 if false passes are too frequent or true passes not as forecast."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--simulations", type=int, default=2000)
    options = parser.parse_args()
    print("| suite (items), replies | margin | false pass | true pass | forecast |\n|---|--:|--:|--:|--:|")
    rows = []
    for simulate in (suite_cells, policy_cells):
        for row in simulate(options.simulations):
            print(row, flush=True)
            rows.append(row)
    return int(bool(excess_false_passes(rows)) or not all(row.matches_forecast for row in rows))


if __name__ == "__main__":
    sys.exit(main())
