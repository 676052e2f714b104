"""Simulate paired differences of a suite and apply the gate's tests to them, for planning.

A design combines a suite's structure (groups, clusters, repeats) with the noise between runs of one model. It simulates
many comparisons at a given true loss and returns the p-values of the gate's two tests in each.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import sqrt
from typing import NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

from evals.verdicts.bounded import MAX_CLUSTERS, gaffke
from evals.verdicts.difference import DiscordantCounts
from evals.verdicts.pairs import Pairing
from evals.verdicts.within_item_noise import largest_variance

Array: TypeAlias = NDArray[np.float64]

MAX_DRAWS = 4_000_000
"""Maximum number of simulated differences that are drawn at once."""
MAX_EXACT_TERMS = 400_000
"""Maximum number of terms in all rows that are tested exactly at once."""
ASSUMED_CHANGED_SHARE = 0.15
"""Share of samples whose score is assumed to change between two runs of one model."""


class PValues(NamedTuple):
    """P-values of the gate's two tests, for a pass and for a regression, in each simulated comparison."""

    p_pass: Array
    p_regression: Array


class Noise(NamedTuple):
    """How much two runs of one model differ, and the source of that estimate."""

    discordance: float
    """Mean square of a sample's difference; for binary scores, the share of changed samples."""
    source: str
    error: float = 0.0
    """Relative standard error of the discordance; 0 if unknown."""


class GainDistribution(NamedTuple):
    """Distribution of one sample's gain (positive: the candidate is better), in the metric's unit or as a share of its width."""

    values: Array
    """In ascending order."""
    probabilities: Array


class Design:
    """The design of one suite. Differences are gains in the metric's unit, so their expected value is minus the `loss`."""

    def __init__(self, pairing: Pairing, noise: Noise) -> None:
        """`pairing`: the baseline paired with itself, or with a second run of the same model."""
        self.pairing, self.noise = pairing, noise
        rows = pairing.rows_of(None)
        is_macro = pairing.metric.pool == "macro"
        order = sorted(range(len(rows)), key=lambda i: (rows[i].group if is_macro else "", rows[i].cluster))
        self.rows = [rows[i] for i in order]
        keys = [(row.group if is_macro else "", row.cluster) for row in self.rows]
        self.cluster_starts = np.array([i for i, key in enumerate(keys) if i == 0 or key != keys[i - 1]])
        self.cluster_sizes = np.diff([*self.cluster_starts, len(keys)])
        groups = [keys[i][0] for i in self.cluster_starts]
        self.stratum_starts = np.array(
            [i for i, group in enumerate(groups) if i == 0 or group != groups[i - 1]]
        )
        self.stratum_clusters = np.diff([*self.stratum_starts, len(groups)])
        self.stratum_sizes = (
            np.add.reduceat(self.cluster_sizes, self.stratum_starts)
            if len(self.stratum_starts)
            else self.cluster_sizes
        )
        self.width = pairing.metric.width
        self.lowest_value = pairing.metric.bounds[0] if pairing.metric.bounds else 0.0
        at_bounds = (row.a.value - self.lowest_value in (0.0, self.width) for row in self.rows)
        self.is_binary = self.width is not None and all(at_bounds)
        self.is_unclustered = len(self.cluster_starts) == len(self.rows)

    @property
    def clusters(self) -> int:
        """Return the number of clusters."""
        return len(self.cluster_starts)

    @property
    def error(self) -> float:
        """Return the standard error of an unchanged model's difference."""
        weight = 1 / len(self.stratum_starts)
        return sqrt(float((weight**2 * self.noise.discordance / self.stratum_sizes).sum()))

    def simulate(self, loss: float, margin: float, *, count: int, rng: np.random.Generator) -> PValues:
        """Draw `count` comparisons at a true loss and return the p-values of each."""
        distribution = self._distribution(loss)
        if distribution is not None and self.is_unclustered:
            return self._simulate_counts(distribution, margin, count=count, rng=rng)
        has_large_strata = len(self.rows) >= MAX_CLUSTERS and self.stratum_sizes.min() > 1
        if distribution is None and self.is_unclustered and has_large_strata:
            variance = self.noise.discordance
            means = rng.normal(
                -loss, np.sqrt(variance / self.stratum_sizes), (count, len(self.stratum_sizes))
            )
            squares = variance * rng.chisquare(self.stratum_sizes - 1, means.shape)
            return self._test_means(means, squares, self.stratum_sizes.astype(float), margin)
        return self._test_sums(self._draw_cluster_sums(loss, distribution, count=count, rng=rng), margin)

    def _distribution(self, loss: float) -> GainDistribution | None:
        """Return the distribution of one sample's difference; None if it is assumed normal."""
        repeats = self.pairing.a.repeats
        if self.width is None:
            return None
        if repeats > 1 and self.noise.source == "own repeats":
            return self._repeats_distribution(loss)
        if not (self.is_binary and repeats == 1):
            return None
        changed_share = min(1.0, self.noise.discordance / self.width**2)
        relative_loss = min(1.0, loss / self.width)
        p_gain = max(0.0, (changed_share - relative_loss) / 2)
        p_loss = max(relative_loss, (changed_share + relative_loss) / 2)
        return GainDistribution(
            self.width * np.array([-1.0, 0.0, 1.0]), np.array([p_loss, max(0.0, 1 - p_gain - p_loss), p_gain])
        )

    def _repeats_distribution(self, loss: float) -> GainDistribution:
        """Return the distribution for repeats drawn from a sample's success rate before and after the loss."""
        repeats, width = self.pairing.a.repeats, self.width or 1.0
        shares = [(row.a.value - self.lowest_value) / width for row in self.rows]
        if self.pairing.metric.better == "lower":  # a larger error is a smaller share of successes
            shares = [1 - share for share in shares]
        distribution = repeats_distribution(*fit_beta(shares, repeats), repeats=repeats, loss=loss / width)
        return GainDistribution(width * distribution.values, distribution.probabilities)

    def _simulate_counts(
        self, distribution: GainDistribution, margin: float, *, count: int, rng: np.random.Generator
    ) -> PValues:
        """Simulate and test unclustered samples, for which the counts of the possible differences are a sufficient statistic."""
        counts = rng.multinomial(
            self.stratum_sizes, distribution.probabilities, size=(count, len(self.stratum_sizes))
        ).astype(float)
        is_macro, width = self.pairing.metric.pool == "macro", self.width or 1.0
        if not is_macro and self.pairing.a.repeats == 1:
            return tango_p_values(
                counts[:, 0, 2], counts[:, 0, 0], float(self.stratum_sizes[0]), margin / width
            )
        if len(self.rows) < MAX_CLUSTERS:
            if margin >= width:
                return PValues(np.zeros(count), np.ones(count))
            shares = np.repeat(1 / (self.stratum_sizes * len(self.stratum_sizes)), len(distribution.values))
            sums = np.tile(distribution.values, len(self.stratum_sizes)) * shares
            flat_counts = counts.reshape(count, -1)
            return PValues(
                gaffke(sums, shares, -margin, width, counts=flat_counts),
                gaffke(-sums, shares, margin, width, counts=flat_counts),
            )
        means = counts @ distribution.values / self.stratum_sizes
        squares = np.maximum(0.0, counts @ distribution.values**2 - self.stratum_sizes * means**2)
        return self._test_means(means, squares, self.stratum_sizes.astype(float), margin)

    def _draw_cluster_sums(
        self, loss: float, distribution: GainDistribution | None, *, count: int, rng: np.random.Generator
    ) -> Array:
        """Draw the sum of differences in each cluster, a row per comparison."""
        chunks, chunk_size = [], max(1, MAX_DRAWS // max(1, len(self.rows)))
        for start in range(0, count, chunk_size):
            shape = (min(chunk_size, count - start), len(self.rows))
            differences = self._draw_differences(loss, distribution, shape, rng)
            if not self.is_unclustered:
                differences = np.add.reduceat(differences, self.cluster_starts, axis=1)
            chunks.append(differences)
        return np.concatenate(chunks)

    def _draw_differences(
        self,
        loss: float,
        distribution: GainDistribution | None,
        shape: tuple[int, int],
        rng: np.random.Generator,
    ) -> Array:
        """Draw the difference of each sample, a row per comparison."""
        if distribution is not None:
            indices = np.searchsorted(
                np.cumsum(distribution.probabilities)[:-1], rng.random(shape), side="right"
            )
            differences: Array = distribution.values[indices]
            return differences
        normal_draws: Array = rng.normal(-loss, sqrt(self.noise.discordance), shape)
        return normal_draws if self.width is None else np.clip(normal_draws, -self.width, self.width)

    def _test_sums(self, sums: Array, margin: float) -> PValues:
        """Apply the gate's own test to cluster sums: Gaffke's for bounded values, else a cluster-robust t."""
        if self.width is not None and len(self.cluster_starts) < MAX_CLUSTERS:
            item_weight = 1 / (np.repeat(self.stratum_sizes, self.stratum_clusters) * len(self.stratum_sizes))
            return self._test_bounded(sums * item_weight, self.cluster_sizes * item_weight, margin)
        totals = np.add.reduceat(sums, self.stratum_starts, axis=1)
        means = totals / self.stratum_sizes
        deviations = sums - self.cluster_sizes * np.repeat(means, self.stratum_clusters, axis=1)
        squares = np.add.reduceat(deviations**2, self.stratum_starts, axis=1)
        return self._test_means(means, squares, self.stratum_clusters.astype(float), margin)

    def _test_bounded(self, sums: Array, shares: Array, margin: float) -> PValues:
        width = self.width or 1.0
        if margin >= width:
            return PValues(np.zeros(len(sums)), np.ones(len(sums)))
        return PValues(
            _gaffke_unless_clear(sums, shares, -margin, width),
            _gaffke_unless_clear(-sums, shares, margin, width),
        )

    def _test_means(self, means: Array, squares: Array, clusters: Array, margin: float) -> PValues:
        """Test the mean of the group means, with the standard error of `strata.stratified_mean_and_error`."""
        from scipy.special import ndtr, stdtr

        stratum_df = np.maximum(clusters - 1, 0)
        pooled = squares.sum(axis=1, keepdims=True) / max(1.0, float(stratum_df.sum()))
        per_cluster = np.where(stratum_df > 0, squares / np.maximum(stratum_df, 1), pooled)
        terms = clusters * per_cluster / (self.stratum_sizes * len(self.stratum_sizes)) ** 2
        variance = terms.sum(axis=1)
        term_df = np.where(stratum_df > 0, stratum_df, max(1.0, float(stratum_df.sum())))
        df_denominator = (terms**2 / term_df).sum(axis=1)
        positive = df_denominator > 0
        df = np.where(positive, variance**2 / np.where(positive, df_denominator, 1), float(stratum_df.sum()))
        value = means.mean(axis=1)
        with np.errstate(divide="ignore", invalid="ignore"):
            t = (value + margin) / np.sqrt(variance)
        p_pass, p_regression = stdtr(df, -t), stdtr(df, t)
        is_constant = variance == 0
        if is_constant.any():  # no sample differs: each cluster counts as a concordant pair
            effective = len(clusters) ** 2 / float((1 / clusters).sum())
            z = DiscordantCounts(0, 0, effective).score(-min(margin / (self.width or 1.0), 0.99))
            p_pass = np.where(is_constant, ndtr(-z), p_pass)
            p_regression = np.where(is_constant, ndtr(z), p_regression)
        return PValues(p_pass, p_regression)


CLEAR_P_VALUES = (1e-4, 0.35)
"""P-values of the normal approximation (for many clusters) outside this range need no exact test."""
MANY_CLUSTERS = 300


def _gaffke_unless_clear(sums: Array, shares: Array, margin: float, width: float) -> Array:
    """Return a p-value per row: Gaffke's or, for many clusters, the normal approximation if that is clear at every usual level."""
    from scipy.special import ndtr

    p_values = np.empty(len(sums))
    needs_exact = np.ones(len(sums), dtype=bool)
    if len(shares) >= MANY_CLUSTERS:
        excess = sums - margin * shares
        standard_error = excess.std(axis=1) * len(shares) ** 0.5
        with np.errstate(divide="ignore", invalid="ignore"):
            p_values = ndtr(-excess.sum(axis=1) / standard_error)
        needs_exact = ~((p_values < CLEAR_P_VALUES[0]) | (p_values > CLEAR_P_VALUES[1])) | (
            standard_error == 0
        )
    chunk_size = max(1, MAX_EXACT_TERMS // len(shares))
    exact_rows = np.flatnonzero(needs_exact)
    for start in range(0, len(exact_rows), chunk_size):
        chunk = exact_rows[start : start + chunk_size]
        weights = np.broadcast_to(shares, (len(chunk), len(shares)))
        p_values[chunk] = gaffke(sums[chunk], weights, margin, width)
    return p_values


def fit_beta(shares: Sequence[float], repeats: int) -> tuple[float, float]:
    """Return the parameters of the beta distribution of success rates, by an analysis of variance of the samples' shares.

    Taking the shares themselves as rates would count the noise of the repeats twice; smoothing them by half a success
    would add noise to samples that always fail or always succeed.
    """
    values = np.asarray(shares)
    mean = min(1 - 1e-3, max(1e-3, float(values.mean())))
    within_variance = float((values * (1 - values)).mean()) * repeats / (repeats - 1)
    between_variance = (float(values.var(ddof=1)) if len(values) > 1 else 0.0) - within_variance / repeats
    concentration = min(1e3, max(1e-3, within_variance / between_variance)) if between_variance > 0 else 1e3
    return mean * concentration, (1 - mean) * concentration


def repeats_distribution(alpha: float, beta: float, *, repeats: int, loss: float) -> GainDistribution:
    """Return the exact distribution of (after - before) / repeats for a sample whose success rate p is Beta(alpha, beta).

    Before and after are binomial with rates p and p (1 - loss / mean). Their joint probabilities are polynomials in p of
    degree 2 `repeats`, which Gauss-Jacobi quadrature with `repeats` + 1 nodes integrates exactly.
    """
    from scipy.special import roots_jacobi
    from scipy.stats import binom

    nodes, weights = roots_jacobi(repeats + 1, beta - 1, alpha - 1)
    success_rate, retained = (nodes + 1) / 2, max(0.0, 1 - loss * (alpha + beta) / alpha)
    successes = np.arange(repeats + 1)
    before = binom.pmf(successes, repeats, success_rate[:, None])
    after = binom.pmf(successes, repeats, retained * success_rate[:, None])
    joint = np.einsum("i,ia,ib->ab", weights / weights.sum(), before, after)
    differences = (successes[None, :] - successes[:, None]).ravel() + repeats
    probabilities = np.bincount(differences, joint.ravel(), 2 * repeats + 1)
    return GainDistribution(np.arange(-repeats, repeats + 1) / repeats, probabilities / probabilities.sum())


def tango_p_values(gains: Array, losses: Array, n: float, margin: float) -> PValues:
    """Return the p-values of Tango's score test for many tables at once; `margin` is a difference of proportions."""
    from scipy.special import ndtr

    delta = -margin
    linear = -(2 * n + gains - losses) * delta - gains - losses
    root = np.sqrt(np.maximum(0.0, linear**2 - 8 * n * gains * delta * (1 + delta)))
    discordant = (root - linear) / (2 * n)
    variance = n * np.maximum(discordant - delta * (1 + delta), 1e-12)
    z = (gains - losses - n * delta) / np.sqrt(variance)
    return PValues(ndtr(-z), ndtr(z))


def estimate_noise(
    pairing: Pairing, *, stated: float | None, from_second_run: bool, reported: float | None
) -> Noise:
    """Return the noise between runs: from a second run, a report, the policy, own repeats or, without these, assumed."""
    rows = pairing.rows_of(None)
    if from_second_run:
        squares = pairing.differences(rows) ** 2
        return Noise(
            max(float(squares.mean()), 1 / max(1, len(rows)) ** 2), "second run", _relative_error(squares)
        )
    if reported is not None and reported > 0:
        return Noise(reported, "repeatability report")
    if stated is not None:
        return Noise(stated, "policy")
    bounds, width, repeats = pairing.metric.bounds, pairing.metric.width or 0.0, pairing.a.repeats
    if bounds is not None and repeats > 1 and not pairing.metric.joint:
        shares = np.array([(row.a.value - bounds[0]) / width for row in rows])
        within_variances = shares * (1 - shares) * repeats / (repeats - 1)
        discordance = max(2 * width**2 * float(within_variances.mean()) / repeats, 1e-9)
        return Noise(discordance, "own repeats", _relative_error(within_variances))
    values = np.array([row.a.value for row in rows])
    if bounds is not None:
        largest = 2 * largest_variance((values - bounds[0]) / width) if width else 0.0
        return Noise(min(ASSUMED_CHANGED_SHARE, largest) * width**2, "assumed")
    return Noise(max(float(values.var()), 1e-12), "assumed")


def _relative_error(values: Array) -> float:
    """Return the standard error of the mean divided by the mean."""
    mean = float(values.mean())
    return float(values.std()) / mean / len(values) ** 0.5 if mean > 0 else 1.0
