"""How often intervals hold what they promise: simulated coverage of what the package computes, as a Markdown table.

    python tests/performance/coverage.py [--simulations 2000] [--only means|macro|whole|gate]

Truths are known here: chances of items come from a beta distribution, repeats and clusters share one chance. A tenth of
the simulations runs in CI (tests/report/test_coverage.py), the full number in `make nightly`.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np

from evals.report import statistics as stats
from evals.report.strata import stratified_mean
from evals.scorers.labels import balanced_accuracy, mcc, roc_auc
from evals.scorers.number import mae, rmse
from evals.types import Point
from evals.verdicts.difference import mean_evidence

SPREAD = 0.3
"""Intra-cluster correlation of chances."""


class Cell(NamedTuple):
    """One setting."""

    name: str
    coverage: float
    """Of the intervals that were given."""
    none: float
    """Share without an interval."""
    width: float
    wanted: float
    given: int
    """Simulations with an interval."""

    @property
    def holds(self) -> bool:
        """Whether coverage is not significantly below what is wanted (three standard errors)."""
        slack = 3 * (self.wanted * (1 - self.wanted) / max(1, self.given)) ** 0.5
        return self.none > 0.95 or self.coverage + slack >= self.wanted


def chances(rng: np.random.Generator, p: float, size: int) -> Any:
    scale = 1 / SPREAD - 1
    return rng.beta(p * scale, (1 - p) * scale, size)


def shape(kind: str, n: int) -> list[int]:
    """Sizes of clusters."""
    if kind == "dominating":
        return [n // 2] + [1] * (n - n // 2)
    size = 1 if kind == "none" else min(5, max(2, n // 6))
    return [size] * (n // size) + ([n % size] if n % size else [])


def tally(name: str, found: list[tuple[stats.Interval, float]], wanted: float) -> Cell:
    given = [(i.low, i.high, truth) for i, truth in found if i.low is not None and i.high is not None]
    inside = sum(low - 1e-12 <= truth <= high + 1e-12 for low, high, truth in given)
    width = float(np.mean([high - low for low, high, _ in given])) if given else float("nan")
    return Cell(name, inside / max(1, len(given)), 1 - len(given) / len(found), width, wanted, len(given))


def means(count: int) -> Iterator[Cell]:
    """Means of items over n, p, repeats and clusters."""
    for kind in ("none", "equal", "dominating"):
        for repeats in (1, 4, 16):
            for n in (5, 12, 30, 198, 1000):
                sizes = shape(kind, n)
                clusters = np.repeat(np.arange(len(sizes)), sizes).tolist()
                for p in (0.5, 0.9, 0.97, 0.99):
                    rng = np.random.default_rng(int(1000 * p) + n + repeats)
                    found = []
                    for _ in range(count if n < 1000 else max(200, count // 2)):
                        chance = np.repeat(chances(rng, p, len(sizes)), sizes)
                        values = rng.binomial(repeats, chance) / repeats
                        if kind == "none" and repeats == 1:
                            found.append((stats.proportion(float(values.sum()), n), p))
                        else:
                            found.append((stats.clustered_mean(values, clusters, bounds=(0.0, 1.0)), p))
                    yield tally(f"{kind}, {repeats} repeats, n {n}, p {p}", found, 0.93 if n >= 30 else 0.90)


def macro(count: int) -> Iterator[Cell]:
    """Means of 14 group means, groups of 1 to a sixth of all items."""
    for kind in ("none", "equal", "dominating"):
        for repeats in (1, 16):
            for n in (30, 198, 1000):
                shares = np.arange(1, 15) ** 1.5
                members = np.maximum(1, (n * shares / shares.sum()).astype(int))
                members[-1] += n - members.sum()
                for p in (0.5, 0.9, 0.97, 0.99):
                    rng = np.random.default_rng(int(1000 * p) + n + repeats)
                    sizes = [
                        shape(kind if m > 9 and (kind != "dominating" or g == 13) else "none", m)
                        for g, m in enumerate(members)
                    ]
                    flat = [size for some in sizes for size in some]
                    clusters = np.repeat(np.arange(len(flat)), flat).tolist()
                    groups = np.repeat(np.arange(14), members).tolist()
                    found = []
                    for _ in range(max(100, count // (4 if n < 1000 else 8))):
                        chance = np.repeat(chances(rng, p, len(flat)), flat)
                        values = rng.binomial(repeats, chance) / repeats
                        found.append(
                            (stratified_mean(values, groups, clusters=clusters, bounds=(0.0, 1.0)), p)
                        )
                    yield tally(f"macro, {kind}, {repeats} repeats, n {n}, p {p}", found, 0.93)


def label(i: int, positive: bool, said: bool, score: float) -> Point:
    return Point(
        str(i),
        0,
        "",
        str(i),
        "right" if positive == said else "wrong",
        float(positive == said),
        "yes" if said else "no",
        "yes" if positive else "no",
        2,
        {"score": score},
    )


def error(i: int, value: float) -> Point:
    return Point(str(i), 0, "", str(i), "graded", value, "1", 0.0, 0, {})


def reduced(of: Any, points: list[Point]) -> stats.Interval:
    clusters = [[point] for point in points]
    own = of.interval(clusters)
    return (
        own if own is not None else stats.bootstrap(len(clusters), of.over(clusters), seed=0, resamples=600)
    )


def whole(count: int) -> Iterator[Cell]:
    """Statistics of whole runs: 5 % positives; lognormal errors."""
    for n in (30, 198, 1000):
        rng = np.random.default_rng(n)
        many = max(100, count // 8)
        truth = {"balanced accuracy": 0.875, "MCC": 0.0, "ROC-AUC": 0.0}
        positive, told = rng.random(400_000) < 0.05, rng.normal(size=400_000)
        said = np.where(positive, rng.random(400_000) < 0.8, rng.random(400_000) < 0.05)
        truth["MCC"] = float(np.corrcoef(positive, said)[0, 1])
        from scipy.stats import norm

        truth["ROC-AUC"] = float(norm.cdf(1.8 / 2**0.5))
        found: dict[str, list[tuple[stats.Interval, float]]] = {name: [] for name in truth}
        for _ in range(many):
            positive = rng.random(n) < 0.05
            said = np.where(positive, rng.random(n) < 0.8, rng.random(n) < 0.05)
            told = rng.normal(size=n) + 1.8 * positive
            points = [
                label(i, bool(y), bool(s), float(t))
                for i, (y, s, t) in enumerate(zip(positive, said, told, strict=True))
            ]
            for (name, value), of in zip(truth.items(), (balanced_accuracy, mcc, roc_auc), strict=True):
                try:
                    found[name].append((reduced(of, points), value))
                except ValueError:
                    found[name].append((stats.Interval(float("nan"), None, None, "one class"), value))
        for name, rows in found.items():
            yield tally(f"{name}, n {n}, 5 % positives", rows, 0.92)
        for sigma in (0.5, 1.0):
            errors: dict[str, list[tuple[stats.Interval, float]]] = {"MAE": [], "RMSE": []}
            for _ in range(many):
                points = [error(i, float(v)) for i, v in enumerate(rng.lognormal(0, sigma, n))]
                errors["MAE"].append((reduced(mae, points), float(np.exp(sigma**2 / 2))))
                errors["RMSE"].append((reduced(rmse, points), float(np.exp(sigma**2))))
            for name, rows in errors.items():
                yield tally(f"{name}, n {n}, lognormal {sigma}", rows, 0.92)


def gate(count: int) -> Iterator[tuple[str, float]]:
    """False passes of a loss at the margin, all of it on every tenth item."""
    for n in (30, 198, 900):
        for repeats in (1, 4, 16):
            rng = np.random.default_rng(n + repeats)
            wrong = 0
            for _ in range(count):
                chance = rng.beta(2, 1, n)
                lost = np.where(rng.random(n) < 0.1, 0.0, chance)
                d = (rng.binomial(repeats, lost) - rng.binomial(repeats, chance)) / repeats
                wrong += mean_evidence(d, range(n), width=1.0).p_above(-0.1 * 2 / 3) <= 0.05
            yield f"n {n}, {repeats} repeats", wrong / count


def main() -> int:
    """Print the tables; exit status 1 if a cell does not hold."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--simulations", type=int, default=2000)
    parser.add_argument("--only", choices=["means", "macro", "whole", "gate"])
    options = parser.parse_args()
    bad = 0
    for name, cells in (("means", means), ("macro", macro), ("whole", whole)):
        if options.only in (None, name):
            print(f"\n| {name} | coverage | no interval | width | wanted |\n|---|--:|--:|--:|--:|")
            for cell in cells(options.simulations):
                bad += not cell.holds
                mark = "" if cell.holds else " **below**"
                print(
                    f"| {cell.name} | {cell.coverage:.3f}{mark} | {cell.none:.2f} | {cell.width:.3f} | {cell.wanted} |",
                    flush=True,
                )
    if options.only in (None, "gate"):
        print("\n| gate, loss at the margin | false pass |\n|---|--:|")
        for name, share in gate(options.simulations):
            print(f"| {name} | {share:.3f} |", flush=True)
            bad += share > 0.05 + 3 * (0.05 * 0.95 / options.simulations) ** 0.5
    return int(bad > 0)


if __name__ == "__main__":
    raise SystemExit(main())
