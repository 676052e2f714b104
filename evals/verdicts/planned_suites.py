"""The suites of a plan: how they are simulated, and the resulting power and cost."""

from __future__ import annotations

from math import sqrt
from typing import NamedTuple

import numpy as np
from msgspec import Struct

from evals.report.estimand_names import Estimand
from evals.verdicts.gate_cases import Case
from evals.verdicts.normal_designs import NormalDesign, UnknownNoise
from evals.verdicts.policy import Entry, Pool, Tier
from evals.verdicts.simulated_designs import Design, PValues
from evals.verdicts.suite_run import SuiteRun


class SuitePlan(Struct, frozen=True, kw_only=True, rename={"regression_mde": "finds", "mde": "detects"}):
    """Power and cost of the gate on one suite (or pool)."""

    suite: str
    tier: Tier
    metric: str
    unit: str
    n: int
    """Number of samples."""
    repeats: int
    margin: float
    discordance: float
    """Mean square of a sample's difference between two runs of one model."""
    source: str
    """Source of the discordance."""
    estimand: Estimand
    error: float
    """Standard error of an unchanged model's difference."""
    regression_mde: float
    """Smallest drop that is called a regression with 80 % power, at alpha divided by the number of suites tested (Holm)."""
    mde: float
    """Minimum detectable effect: smallest drop that differs significantly from zero with 80 % power (one-sided alpha)."""
    passes_unchanged: float
    """Probability that this suite passes with an unchanged model."""
    passes_at_margin: float
    """Probability that the suite passes although its loss equals the margin (false-pass rate): at most alpha."""
    regression_at_twice: float
    """Probability that the suite is called a regression if its loss is twice the margin."""
    tokens: dict[str, int]
    """Expected tokens by kind, taken from the baseline run, as are cost and time."""
    cost_usd: float | None
    seconds: float | None


class PlannedSuite(NamedTuple):
    """A suite or pool of the policy, ready to be simulated."""

    rule: Entry | Pool
    case: Case
    designs: tuple[Design | NormalDesign, ...]
    baselines: tuple[SuiteRun, ...]

    @property
    def error(self) -> float:
        """Return the standard error of an unchanged model's difference."""
        return sqrt(sum(design.error**2 for design in self.designs)) / len(self.designs)

    def simulate(self, multiple: float, *, count: int, rng: np.random.Generator) -> PValues:
        """Simulate comparisons at a loss of `multiple` times the margin and return their p-values."""
        return self._design.simulate(multiple * self.rule.margin, self.rule.margin, count=count, rng=rng)

    def simulate_unchanged(self, margin: float, *, count: int, rng: np.random.Generator) -> PValues:
        """Simulate comparisons of an unchanged model under another margin and return their p-values."""
        return self._design.simulate(0.0, margin, count=count, rng=rng)

    @property
    def _design(self) -> Design | NormalDesign:
        return self.designs[0] if len(self.designs) == 1 else self._pooled_design()

    def _pooled_design(self) -> NormalDesign:
        """Return the design of a pool, whose difference is assumed to be normal; the noise of one suite may be unknown."""
        for design in self.designs:
            if isinstance(design, UnknownNoise):
                return design
        clusters = sum(
            design.clusters if isinstance(design, NormalDesign) else len(design.rows)
            for design in self.designs
        )
        first = self.designs[0]
        as_observed = isinstance(first, NormalDesign) and first.as_observed
        return NormalDesign(self.error, clusters, as_observed=as_observed)
