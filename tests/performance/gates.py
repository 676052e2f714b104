"""How often a gate passes what it should and what it should not, over sizes of real suites, as a Markdown table.

    nice python -m tests.performance.gates [--simulations 2000]

A model loses exactly its margin (false pass: at most alpha) or nothing (true pass: as `evals gate plan` forecasts from
runs of the baseline, on average over such runs). `items-like-these`: items are drawn anew each time. `these-items`: one
set of items, replies anew; with one reply to each the noise comes from a repeatability report of two earlier runs.
Then whole policies of five suites.
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
from evals.verdicts.within_item_noise import floor_at_one_change
from tests.support.synthetic_runs import side, side_of, suite_run

ALPHA = 0.05
SHAPE = (0.6, 0.4)
"""Beta distribution of items' chances."""
FLIPS = 2 * SHAPE[0] * SHAPE[1] / (sum(SHAPE) * (sum(SHAPE) + 1))
"""Share of items that two runs with one reply each decide differently."""
PLANNED = 2000
"""Simulations behind each forecast."""


class Suite(NamedTuple):
    name: str
    n: int
    groups: int = 0
    """Of a macro mean; 0: a plain mean."""

    def group(self, i: int) -> str:
        return f"g{i % self.groups}" if self.groups else ""

    @property
    def groups_of_items(self) -> list[str] | None:
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
    """One setting, with shares of simulations."""

    name: str
    margin: str
    wrong: float | None
    """Passes at the margin (whole policies: also alarms if every suite is at its margin); None: not of this cell."""
    passed: float | None
    """Passes of an unchanged model."""
    forecast: float | None
    count: int
    spread: float = 0.0
    """Standard error of the forecast's mean over baselines."""

    @property
    def p_wrong(self) -> float:
        """Exact one-sided p-value of "the wrong-pass rate is at most alpha"."""
        from scipy.stats import binom

        return (
            1.0
            if self.wrong is None
            else float(binom.sf(round(self.wrong * self.count) - 1, self.count, ALPHA))
        )

    @property
    def as_forecast(self) -> bool:
        """Whether true passes differ from the forecast by at most 5 points and simulation error."""
        if self.passed is None or self.forecast is None:
            return True
        variance = max(self.forecast * (1 - self.forecast), 0.01) * (1 / self.count + 1 / PLANNED)
        return abs(self.passed - self.forecast) <= 0.05 + 2.5 * sqrt(variance + self.spread**2)

    def __str__(self) -> str:
        shares = ("" if x is None else f"{x:.3f}" for x in (self.wrong, self.passed, self.forecast))
        mark = "" if self.as_forecast else " **not as forecast**"
        return f"| {self.name} | {self.margin} | {' | '.join(shares)}{mark} |"


class Setting(NamedTuple):
    """A suite, its replies and what its verdict is about; draws differences and forecasts."""

    suite: Suite
    repeats: int
    estimand: Estimand

    @property
    def margin(self) -> float:
        return min(0.45, 3.2 * sqrt(FLIPS / self.repeats / self.suite.n))

    @property
    def items(self) -> Any:
        """The one set of items that `these-items` is about."""
        return np.random.default_rng(self.suite.n).beta(*SHAPE, self.suite.n)

    def evidence(self, loss: float, rng: np.random.Generator, fixed: Any) -> Evidence:
        """Draw both runs and weigh their difference as the gate does."""
        these = self.estimand == "these-items"
        chance = fixed if these else rng.beta(*SHAPE, self.suite.n)
        middle = float(fixed.mean()) if these else SHAPE[0] / sum(SHAPE)
        a, b = (rng.binomial(self.repeats, chance * (1 - x / middle)) / self.repeats for x in (0.0, loss))
        groups = self.suite.groups_of_items
        if not these:
            return mean_evidence(b - a, range(self.suite.n), groups=groups, width=1.0)
        weights = item_weights(self.suite.n, groups)
        if self.repeats > 1:
            noise = float(sum(x * (1 - x) / (self.repeats - 1) for x in (a, b)) @ weights**2)
        else:  # as a report states it: discordance of two earlier runs, times the sum of squared weights
            first, second = (rng.binomial(1, chance) for _ in "ab")
            deviation = sqrt(float(np.mean((first - second) ** 2) / 2 * (weights @ weights)))
            noise = variance_from_report(deviation, b - a, weights)
        error = sqrt(floor_at_one_change(noise, weights, accuracy()[0]))
        return MeanDifference(float((b - a) @ weights), error, NORMAL_DF, "within-item noise", 1.0)

    def forecasts(self) -> list[float]:
        """Return the plan's chance that an unchanged model passes, from one run as a baseline, for several such runs."""
        policy = Policy(suite=(self.entry,))
        count = 40 if self.suite.n < 1000 else 3
        return [
            plan([self.baseline(i)], policy, reports=self.reports, simulations=PLANNED)
            .suites[0]
            .passes_unchanged
            for i in range(count)
        ]

    @property
    def reports(self) -> dict[str, RepeatabilityReport]:
        """The repeatability report of a suite with one reply to each item."""
        if self.repeats > 1:
            return {}
        deviation = sqrt(FLIPS / 2 / self.suite.n)
        report = RepeatabilityReport(
            suite=self.suite.name, protocol="strict", data_sha256="0" * 64, model="model-base", repeats=1,
            metric="accuracy", unit="fraction", runs=("a", "b"), values=(0.6, 0.6), deviation=deviation,
            limit=LIMIT_FACTOR * deviation, discordance=FLIPS,
        )  # fmt: skip
        return {self.suite.name: report}

    @property
    def entry(self) -> Entry:
        stated = FLIPS if self.repeats == 1 else None
        return Entry(name=self.suite.name, margin=self.margin, discordance=stated, estimand=self.estimand)

    def baseline(self, seed: int) -> Any:
        rng = np.random.default_rng(seed)
        chance = self.items if self.estimand == "these-items" else rng.beta(*SHAPE, self.suite.n)
        replies = (rng.random((self.suite.n, self.repeats)) < chance[:, None]).astype(float)
        groups = self.suite.groups_of_items
        metrics: tuple[Metric, ...] = repeat_metrics() if self.repeats > 1 else accuracy()
        if self.suite.groups:
            metrics = tuple(metric for metric in accuracy(macro=True) if metric.headline)
        if self.repeats == 1:
            one = side_of(replies[:, 0].tolist(), groups=groups)
        else:
            rows = {f"s{i:05}": row for i, row in enumerate(replies.tolist())}
            one = side(rows, groups=groups, repeats=self.repeats)
        return suite_run("base", one, metrics=metrics, suite=self.suite.name)


def cells(count: int, suites: Sequence[Suite] = SUITES) -> Iterator[Cell]:
    for estimand in ESTIMANDS:
        for suite in suites:
            for repeats in REPEATS:
                yield cell(Setting(suite, repeats, estimand), count)


def cell(setting: Setting, count: int) -> Cell:
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


# --- whole policies ---------------------------------------------------------------------------------------------


class Known:
    """Simulated evidence, each of whose answers is computed once."""

    def __init__(self, evidence: Evidence) -> None:
        self.value, self.test = evidence.value, evidence.test
        self.interval = cache(evidence.interval)
        self.p_above, self.p_below = cache(evidence.p_above), cache(evidence.p_below)
        self.p_equal = cache(evidence.p_equal)


class Drawn(NamedTuple):
    """A case whose evidence was simulated."""

    rule: Entry
    metric: Metric
    found: Known
    estimand: Estimand
    pairings: tuple[Any, ...] = ()
    protocol: str = "strict"
    coverage: tuple[float, float] = (1.0, 1.0)
    excludes_missing: bool = False
    is_noise_known: bool = True

    def evidence(self, missing: Missing) -> Known:
        return self.found


def of_policies(count: int) -> Iterator[Cell]:
    """Simulate a policy of all five suites: unchanged, all at their margins, one suite alone at its margin."""
    for estimand in ESTIMANDS:
        repeats = (4 if estimand == "items-like-these" else 16, 4, 4, 4, 1)
        settings = [Setting(suite, k, estimand) for suite, k in zip(SUITES, repeats, strict=True)]
        policy = Policy(suite=tuple(setting.entry for setting in settings))
        reports = {name: report for setting in settings for name, report in setting.reports.items()}
        shares = verdict_shares(settings, policy, count)
        forecasts = [
            plan([s.baseline(i) for s in settings], policy, reports=reports, simulations=PLANNED)
            .scenarios[0]
            .verdicts["pass"]
            for i in range(5)
        ]
        forecast, spread = float(np.mean(forecasts)), float(np.std(forecasts)) / sqrt(5)
        unchanged, at_margins, *single = shares
        name = f"five suites, {estimand}"
        yield Cell(f"{name}: alarm, unchanged", "", unchanged["regression"], None, None, count)
        yield Cell(f"{name}: unchanged", "", None, unchanged["pass"], forecast, count, spread)
        yield Cell(f"{name}: alarm, all at their margins", "", at_margins["regression"], None, None, count)
        for setting, share in zip(settings, single, strict=True):
            yield Cell(
                f"{name}: {setting.suite.name} alone at its margin", "", share["pass"], None, None, count
            )


def verdict_shares(settings: Sequence[Setting], policy: Policy, count: int) -> list[dict[Verdict, float]]:
    """Return how often the gate says what: unchanged, all suites at their margins, each alone at its margin."""
    rng = np.random.default_rng(len(settings))
    items = [setting.items for setting in settings]
    worse = [set[int](), set(range(len(settings))), *({i} for i in range(len(settings)))]
    counts = [dict.fromkeys(get_args(Verdict), 0) for _ in worse]
    for _ in range(count):
        still, lost = (
            [
                Drawn(s.entry, accuracy()[0], Known(s.evidence(times * s.margin, rng, fixed)), s.estimand)
                for s, fixed in zip(settings, items, strict=True)
            ]
            for times in (0, 1)
        )
        for losers, tally in zip(worse, counts, strict=True):
            cases: list[Any] = [lost[i] if i in losers else still[i] for i in range(len(settings))]
            tally[overall_verdict((suite.tier, suite.verdict) for suite in verdicts(cases, policy, {}))] += 1
    return [{verdict: number / count for verdict, number in tally.items()} for tally in counts]


def too_many(found: Sequence[Cell]) -> list[Cell]:
    """Return the cells whose false passes are significantly above alpha (Holm at .01)."""
    return [row for row, p in zip(found, holm([row.p_wrong for row in found]), strict=True) if p <= 0.01]


def main() -> int:
    """Print the table; exit status 1 if false passes are too many or true ones not as forecast."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--simulations", type=int, default=2000)
    options = parser.parse_args()
    print("| suite (items), replies | margin | false pass | true pass | forecast |\n|---|--:|--:|--:|--:|")
    found = []
    for part in (cells, of_policies):
        for row in part(options.simulations):
            print(row, flush=True)
            found.append(row)
    return int(bool(too_many(found)) or not all(row.as_forecast for row in found))


if __name__ == "__main__":
    sys.exit(main())
