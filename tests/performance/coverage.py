"""Simulates the coverage of the intervals that the package computes, and prints it as a Markdown table.

    python tests/performance/coverage.py [--simulations 2000] [--only means|macro|whole|gate]

The true values are known: the probabilities of a right answer come from a beta distribution, and the repeats of an item and
the items of a cluster have the same probability. Fewer simulations run in CI and `make nightly`
(tests/report/test_coverage.py).
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np

from evals.report import statistics as stats
from evals.report.strata import stratified_mean
from evals.scorers.labels import balanced_accuracy, mcc, roc_auc
from evals.scorers.number import mae_answered, rmse
from evals.types import Point
from evals.verdicts.difference import mean_evidence

SPREAD = 0.3
"""Intra-cluster correlation: the spread of the probabilities."""


class Cell(NamedTuple):
    """Results of one setting."""

    name: str
    coverage: float
    """Of the simulations with an interval."""
    share_without: float
    """Share of the simulations without an interval."""
    width: float
    required: float
    """Lowest acceptable coverage."""
    intervals: int
    """Number of simulations with an interval."""

    @property
    def is_covered(self) -> bool:
        """Whether coverage is not significantly below what is required (three standard errors)."""
        slack = 3 * (self.required * (1 - self.required) / max(1, self.intervals)) ** 0.5
        return self.share_without > 0.95 or self.coverage + slack >= self.required


def draw_probabilities(rng: np.random.Generator, p: float, size: int) -> Any:
    """Draw probabilities with mean p from a beta distribution."""
    scale = 1 / SPREAD - 1
    return rng.beta(p * scale, (1 - p) * scale, size)


def cluster_sizes(kind: str, n: int) -> list[int]:
    """Return the sizes of the clusters of n items."""
    if kind == "dominating":
        return [n // 2] + [1] * (n - n // 2)
    size = 1 if kind == "none" else min(5, max(2, n // 6))
    return [size] * (n // size) + ([n % size] if n % size else [])


def summarise(name: str, results: list[tuple[stats.Interval, float]], required: float) -> Cell:
    """Count how many of the intervals contain the true value that they come with."""
    complete = [(i.low, i.high, truth) for i, truth in results if i.low is not None and i.high is not None]
    covered = sum(low - 1e-12 <= truth <= high + 1e-12 for low, high, truth in complete)
    width = float(np.mean([high - low for low, high, _ in complete])) if complete else float("nan")
    count = len(complete)
    return Cell(name, covered / max(1, count), 1 - count / len(results), width, required, count)


def means(count: int) -> Iterator[Cell]:
    """Yield the coverage of means of items, by n, p, repeats and clusters."""
    for kind in ("none", "equal", "dominating"):
        for repeats in (1, 4, 16):
            for n in (5, 12, 30, 198, 1000):
                sizes = cluster_sizes(kind, n)
                clusters = np.repeat(np.arange(len(sizes)), sizes).tolist()
                for p in (0.5, 0.9, 0.97, 0.99):
                    rng = np.random.default_rng(int(1000 * p) + n + repeats)
                    results = []
                    for _ in range(count if n < 1000 else max(200, count // 2)):
                        probability = np.repeat(draw_probabilities(rng, p, len(sizes)), sizes)
                        values = rng.binomial(repeats, probability) / repeats
                        if kind == "none" and repeats == 1:
                            results.append((stats.proportion(float(values.sum()), n), p))
                        else:
                            results.append((stats.clustered_mean(values, clusters, bounds=(0.0, 1.0)), p))
                    yield summarise(
                        f"{kind}, {repeats} repeats, n {n}, p {p}", results, 0.93 if n >= 30 else 0.90
                    )


def macro(count: int) -> Iterator[Cell]:
    """Yield the coverage of means over 14 groups, which have from one item to a sixth of all."""
    for kind in ("none", "equal", "dominating"):
        for repeats in (1, 16):
            for n in (30, 198, 1000):
                shares = np.arange(1, 15) ** 1.5
                members = np.maximum(1, (n * shares / shares.sum()).astype(int))
                members[-1] += n - members.sum()
                for p in (0.5, 0.9, 0.97, 0.99):
                    rng = np.random.default_rng(int(1000 * p) + n + repeats)
                    sizes = [
                        cluster_sizes(kind if m > 9 and (kind != "dominating" or g == 13) else "none", m)
                        for g, m in enumerate(members)
                    ]
                    flat = [size for group_sizes in sizes for size in group_sizes]
                    clusters = np.repeat(np.arange(len(flat)), flat).tolist()
                    groups = np.repeat(np.arange(14), members).tolist()
                    results = []
                    for _ in range(max(100, count // (4 if n < 1000 else 8))):
                        probability = np.repeat(draw_probabilities(rng, p, len(flat)), flat)
                        values = rng.binomial(repeats, probability) / repeats
                        results.append(
                            (stratified_mean(values, groups, clusters=clusters, bounds=(0.0, 1.0)), p)
                        )
                    yield summarise(f"macro, {kind}, {repeats} repeats, n {n}, p {p}", results, 0.93)


def label_point(i: int, positive: bool, predicted: bool, score: float) -> Point:
    """Return the point of a binary item with this label, prediction and score."""
    return Point(
        str(i),
        0,
        "",
        str(i),
        "right" if positive == predicted else "wrong",
        float(positive == predicted),
        "yes" if predicted else "no",
        "yes" if positive else "no",
        2,
        {"score": score},
    )


def error_point(i: int, value: float) -> Point:
    """Return the point of a numeric item with this error."""
    return Point(str(i), 0, "", str(i), "graded", value, "1", 0.0, 0, {})


def interval_of(statistic: Any, points: list[Point]) -> stats.Interval:
    """Return the interval of a statistic, by its own method or else by the bootstrap."""
    clusters = [[point] for point in points]
    interval: stats.Interval | None = statistic.interval(clusters)
    if interval is not None:
        return interval
    return stats.bootstrap(len(clusters), statistic.over(clusters), seed=0, resamples=600)


def whole(count: int) -> Iterator[Cell]:
    """Yield the coverage of statistics of whole runs, with 5 % positives or log-normal errors."""
    for n in (30, 198, 1000):
        rng = np.random.default_rng(n)
        simulations = max(100, count // 8)
        truth = {"balanced accuracy": 0.875, "MCC": 0.0, "ROC-AUC": 0.0}
        positive = rng.random(400_000) < 0.05
        rng.normal(size=400_000)  # unused, but keeps the random stream that the published table comes from
        predicted = np.where(positive, rng.random(400_000) < 0.8, rng.random(400_000) < 0.05)
        truth["MCC"] = float(np.corrcoef(positive, predicted)[0, 1])
        from scipy.stats import norm

        truth["ROC-AUC"] = float(norm.cdf(1.8 / 2**0.5))
        results: dict[str, list[tuple[stats.Interval, float]]] = {name: [] for name in truth}
        for _ in range(simulations):
            positive = rng.random(n) < 0.05
            predicted = np.where(positive, rng.random(n) < 0.8, rng.random(n) < 0.05)
            scores = rng.normal(size=n) + 1.8 * positive
            points = [
                label_point(i, bool(y), bool(y_hat), float(score))
                for i, (y, y_hat, score) in enumerate(zip(positive, predicted, scores, strict=True))
            ]
            for (name, value), statistic in zip(
                truth.items(), (balanced_accuracy, mcc, roc_auc), strict=True
            ):
                try:
                    results[name].append((interval_of(statistic, points), value))
                except ValueError:
                    results[name].append((stats.Interval(float("nan"), None, None, "one class"), value))
        for name, rows in results.items():
            yield summarise(f"{name}, n {n}, 5 % positives", rows, 0.92)
        for sigma in (0.5, 1.0):
            errors: dict[str, list[tuple[stats.Interval, float]]] = {"MAE": [], "RMSE": []}
            for _ in range(simulations):
                points = [error_point(i, float(v)) for i, v in enumerate(rng.lognormal(0, sigma, n))]
                errors["MAE"].append((interval_of(mae_answered, points), float(np.exp(sigma**2 / 2))))
                errors["RMSE"].append((interval_of(rmse, points), float(np.exp(sigma**2))))
            for name, rows in errors.items():
                yield summarise(f"{name}, n {n}, lognormal {sigma}", rows, 0.92)


def gate(count: int) -> Iterator[tuple[str, float]]:
    """Yield the rate of false passes for a loss at the margin that lies entirely in a tenth of the items."""
    for n in (30, 198, 900):
        for repeats in (1, 4, 16):
            rng = np.random.default_rng(n + repeats)
            passes = 0
            for _ in range(count):
                baseline = rng.beta(2, 1, n)
                degraded = np.where(rng.random(n) < 0.1, 0.0, baseline)
                d = (rng.binomial(repeats, degraded) - rng.binomial(repeats, baseline)) / repeats
                passes += mean_evidence(d, range(n), width=1.0).p_above(-0.1 * 2 / 3) <= 0.05
            yield f"n {n}, {repeats} repeats", passes / count


def main() -> int:
    """Print the tables; return 1 if coverage is too low or false passes are too frequent."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--simulations", type=int, default=2000)
    parser.add_argument("--only", choices=["means", "macro", "whole", "gate"])
    options = parser.parse_args()
    failures = 0
    for name, cells in (("means", means), ("macro", macro), ("whole", whole)):
        if options.only in (None, name):
            print(f"\n| {name} | coverage | no interval | width | required |\n|---|--:|--:|--:|--:|")
            for cell in cells(options.simulations):
                failures += not cell.is_covered
                mark = "" if cell.is_covered else " **below**"
                print(
                    f"| {cell.name} | {cell.coverage:.3f}{mark} | {cell.share_without:.2f} | {cell.width:.3f} | {cell.required} |",
                    flush=True,
                )
    if options.only in (None, "gate"):
        print("\n| gate, loss at the margin | false pass |\n|---|--:|")
        for name, share in gate(options.simulations):
            print(f"| {name} | {share:.3f} |", flush=True)
            failures += share > 0.05 + 3 * (0.05 * 0.95 / options.simulations) ** 0.5
    return int(failures > 0)


if __name__ == "__main__":
    raise SystemExit(main())
