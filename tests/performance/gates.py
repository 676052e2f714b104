"""How often a gate passes what it should and what it should not, over sizes of real suites, as a Markdown table.

    python tests/performance/gates.py [--simulations 2000]

A model loses exactly its margin (wrong pass: at most alpha) or nothing (true pass: as `evals gate plan` forecasts from
a baseline's run). `items-like-these`: items are drawn anew each time. `these-items`: one set of items, replies anew.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from math import sqrt
from typing import Any, NamedTuple

import numpy as np

from evals.report.metrics import accuracy, repeated
from evals.report.strata import item_weights
from evals.verdicts.difference import Evidence, Shift, of_mean
from evals.verdicts.estimands import MANY, Estimand
from evals.verdicts.plan import plan
from evals.verdicts.policy import Entry, Policy
from evals.verdicts.within import floored
from tests.support.made import contestant, listed, side

ALPHA = 0.05
SHAPE = (0.6, 0.4)
"""Beta distribution of items' chances."""


class Suite(NamedTuple):
    name: str
    n: int
    groups: int = 0
    """Of a macro mean; 0: a plain mean."""


SUITES = (
    Suite("AIME", 30),
    Suite("GPQA", 198),
    Suite("ChemBench", 2786),
    Suite("SmolInstruct", 7000, 14),
    Suite("MMLU-Pro", 12032),
)


class Cell(NamedTuple):
    """One setting, with shares of simulations."""

    name: str
    margin: float
    wrong: float
    passed: float
    forecast: float
    count: int

    @property
    def p_wrong(self) -> float:
        """Exact one-sided p-value of "the wrong-pass rate is at most alpha"."""
        from scipy.stats import binom

        return float(binom.sf(round(self.wrong * self.count) - 1, self.count, ALPHA))

    @property
    def as_forecast(self) -> bool:
        """Whether true passes differ from the forecast by at most 5 points and simulation error."""
        error = sqrt(max(self.forecast * (1 - self.forecast), 0.01) * (1 / self.count + 1 / 2000))
        return abs(self.passed - self.forecast) <= 0.05 + 2.5 * error


def cells(count: int) -> Iterator[Cell]:
    for estimand in ("items-like-these", "these-items"):
        for suite in SUITES:
            for repeats in (1, 4, 16):
                if estimand == "these-items" and repeats == 1:
                    continue  # one reply shows no noise: the gate is inconclusive
                yield cell(suite, repeats, estimand, count)


def cell(suite: Suite, repeats: int, estimand: Estimand, count: int) -> Cell:
    rng = np.random.default_rng(suite.n + repeats)
    fixed = rng.beta(*SHAPE, suite.n)
    flips = 2 * SHAPE[0] * SHAPE[1] / (sum(SHAPE) * (sum(SHAPE) + 1))
    margin = min(0.45, 3.2 * sqrt(flips / repeats / suite.n))
    groups = (np.arange(suite.n) % suite.groups).tolist() if suite.groups else None

    def share(loss: float) -> float:
        passed = 0
        for _ in range(count):
            chance = fixed if estimand == "these-items" else rng.beta(*SHAPE, suite.n)
            middle = float(fixed.mean()) if estimand == "these-items" else SHAPE[0] / sum(SHAPE)
            a = rng.binomial(repeats, chance)
            b = rng.binomial(repeats, chance * (1 - loss / middle))
            passed += _evidence(a, b, repeats, groups, estimand).p_above(-margin) <= ALPHA
        return passed / count

    forecast = _forecast(suite, repeats, estimand, margin, flips, fixed)
    name = f"{suite.name} ({suite.n:,}), {repeats} repeat{'s' if repeats > 1 else ''}, {estimand}"
    return Cell(name, margin, share(margin), share(0.0), forecast, count)


def _evidence(a: Any, b: Any, repeats: int, groups: Any, estimand: Estimand) -> Evidence:
    d = (b - a) / repeats
    if estimand == "items-like-these":
        return of_mean(d, range(len(d)), groups=groups, width=1.0)
    weights = item_weights(len(d), groups)
    within = sum(x / repeats * (1 - x / repeats) / (repeats - 1) for x in (a, b))
    error = sqrt(floored(float(within @ weights**2), weights, accuracy()[0]))
    return Shift(float(d @ weights), error, MANY, "within-item noise", 1.0)


def _forecast(
    suite: Suite, repeats: int, estimand: Estimand, margin: float, flips: float, fixed: Any
) -> float:
    """Return the plan's chance that an unchanged model passes, from one run as a baseline."""
    rng = np.random.default_rng(suite.n)
    replies = (rng.random((suite.n, repeats)) < fixed[:, None]).astype(float)
    groups = [f"g{i % suite.groups}" for i in range(suite.n)] if suite.groups else None
    metrics = repeated() if repeats > 1 else accuracy()
    if suite.groups:
        metrics = tuple(metric for metric in accuracy(macro=True) if metric.headline)
    if repeats == 1:
        one = listed(replies[:, 0].tolist(), groups=groups)
    else:
        one = side(
            {f"s{i:05}": row for i, row in enumerate(replies.tolist())}, groups=groups, repeats=repeats
        )
    base = contestant("base", one, metrics=metrics)
    stated = flips if repeats == 1 else None
    entry = Entry(name="toy", margin=margin, discordance=stated, estimand=estimand)
    return plan([base], Policy(suite=(entry,))).suites[0].passes_unchanged


def main() -> int:
    """Print the table; exit status 1 if wrong passes are too many (Holm at .01) or true ones not as forecast."""
    from evals.verdicts.difference import holm

    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--simulations", type=int, default=2000)
    options = parser.parse_args()
    print("| | margin | wrong pass | true pass | forecast |\n|---|--:|--:|--:|--:|")
    found = []
    for row in cells(options.simulations):
        mark = "" if row.as_forecast else " **not as forecast**"
        print(
            f"| {row.name} | {100 * row.margin:.2f} pp | {row.wrong:.3f} | {row.passed:.3f} | {row.forecast:.3f}{mark} |",
            flush=True,
        )
        found.append(row)
    too_many = min(holm([row.p_wrong for row in found])) <= 0.01
    return int(too_many or not all(row.as_forecast for row in found))


if __name__ == "__main__":
    raise SystemExit(main())
