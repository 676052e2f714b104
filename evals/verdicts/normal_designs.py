"""Designs that simulate comparisons with a normally distributed difference, for planning."""

from __future__ import annotations

import numpy as np

from evals.errors import UsageError
from evals.report import statistics as stats
from evals.report.metrics import resampled_statistic
from evals.types import Point
from evals.verdicts.estimands import NORMAL_DF
from evals.verdicts.pairs import Pairing
from evals.verdicts.simulated_designs import Design, Noise, PValues

ONE_SE_LEVEL = 0.68
"""Level of an interval that extends one standard error to each side."""


class NormalDesign:
    """A difference with a known standard error (`error`) and nothing else known, for a whole-run metric or a pool of suites.

    `as_observed`: whether the gate compares the observed difference with the margin, without allowing for its variation.
    """

    def __init__(
        self, error: float, clusters: int, noise: Noise | None = None, *, as_observed: bool = False
    ) -> None:
        self.error, self.clusters, self.as_observed = error, clusters, as_observed
        self.noise = noise or Noise(error**2 * max(1, clusters), "standard error")

    @classmethod
    def of(cls, pairing: Pairing, *, from_second_run: bool) -> NormalDesign:
        """Estimate the standard error from a second run, or from the baseline alone, assuming a correlation of 0.5 between runs."""
        rows = pairing.rows_of(None)
        clusters = len({row.cluster for row in rows})
        evidence = pairing.evidence() if from_second_run else None
        low, high = (evidence.interval(ONE_SE_LEVEL) if evidence else None) or (0.0, 0.0)
        if high > low:  # equal runs do not prove zero noise
            error = (high - low) / 2
            return cls(error, clusters, Noise(error**2 * clusters, "second run"))
        by_cluster: dict[str, list[Point]] = {}
        for point in pairing.a.points:
            by_cluster.setdefault(point.cluster, []).append(point)
        statistic = resampled_statistic(pairing.metric, list(by_cluster.values()))
        single_run = stats.bootstrap(len(by_cluster), statistic, seed=0, resamples=200, level=ONE_SE_LEVEL)
        if single_run.low is None or single_run.high is None:
            raise UsageError(f"{pairing.metric.name}: too few samples to plan with")
        error = max((single_run.high - single_run.low) / 2, 1e-12)
        return cls(error, clusters, Noise(error**2 * clusters, "assumed"))

    def simulate(self, loss: float, margin: float, *, count: int, rng: np.random.Generator) -> PValues:
        """Draw `count` normal differences at a true loss and return the p-values of t tests; if `as_observed`, 0 or 1."""
        from scipy.special import stdtr

        differences = rng.normal(-loss, self.error, count)
        if self.as_observed:
            return PValues((differences <= -margin).astype(float), (differences >= -margin).astype(float))
        df = max(1, self.clusters - 1)
        t = (differences + margin) / (self.error * (rng.chisquare(df, count) / df) ** 0.5)
        return PValues(stdtr(df, -t), stdtr(df, t))


class FixedItemsDesign(NormalDesign):
    """A difference on exactly these items, which varies only with the replies."""

    def __init__(self, design: Design, *, as_observed: bool) -> None:
        super().__init__(design.error, int(NORMAL_DF), design.noise, as_observed=as_observed)
        self.df = 0.0  # the noise is known exactly
        if design.is_binary and design.pairing.a.repeats == 1:
            # chi-squared degrees of freedom that match the relative variance of an estimated share, (1 - share) / (n share)
            changed_share = min(0.99, design.noise.discordance / (design.width or 1.0) ** 2)
            self.df = 2 * len(design.rows) * changed_share / (1 - changed_share)

    def simulate(self, loss: float, margin: float, *, count: int, rng: np.random.Generator) -> PValues:
        """Draw `count` normal differences at a true loss and return their p-values; if `as_observed`, 0 or 1 by the margin."""
        from scipy.special import ndtr

        if self.as_observed:
            return super().simulate(loss, margin, count=count, rng=rng)
        differences = rng.normal(-loss, self.error, count)
        scale = np.sqrt(np.maximum(1.0, rng.chisquare(self.df, count) / self.df)) if self.df else 1.0
        z = (differences + margin) / (max(self.error, 1e-12) * scale)
        return PValues(ndtr(-z), ndtr(z))


class UnknownNoise(NormalDesign):
    """A difference on exactly these items with unknown noise, so that the gate is inconclusive."""

    def simulate(self, loss: float, margin: float, *, count: int, rng: np.random.Generator) -> PValues:
        """Return p-values of 1, so that neither test rejects."""
        return PValues(np.ones(count), np.ones(count))
