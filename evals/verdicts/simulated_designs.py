"""Simulate paired differences of a suite and apply the gate's tests to them, for planning.

A design holds a suite's structure (groups, clusters, repeats) and the noise between runs of one model. It draws paired
differences at a true loss and returns the p-values of the gate's two claims, many draws at a time.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import sqrt
from typing import TYPE_CHECKING, NamedTuple

from evals.errors import UsageError
from evals.report import statistics as stats
from evals.types import Point
from evals.verdicts.bounded import MAX_CLUSTERS, gaffke
from evals.verdicts.difference import DiscordantCounts
from evals.verdicts.gate_cases import Case
from evals.verdicts.pairs import Pairs, resampled_statistic

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Array = NDArray[np.float64]

ASSUMED_CHANGED_SHARE = 0.15  # of samples between two runs of one model


class Claims(NamedTuple):
    """P-values of both claims in every simulated comparison."""

    p_pass: Array
    p_regression: Array


class Noise(NamedTuple):
    """How much two runs of one model differ, and the source of that estimate."""

    discordance: float
    """Mean square of a sample's difference; for binary scores, the share of changed samples."""
    source: str
    error: float = 0.0  # relative standard error of the discordance; 0 if unknown


class GainDistribution(NamedTuple):
    """Distribution of one sample's difference (candidate minus baseline), in the metric's unit or as a share of its width."""

    values: Array  # in ascending order
    chances: Array


class Design:
    """One suite of a policy. Differences are gains in the metric's unit; `loss` is positive for a loss."""

    def __init__(self, pairs: Pairs, noise: Noise) -> None:
        """`pairs`: the baseline paired with itself, or with a second run of the same model."""
        import numpy as np

        self.pairs, self.noise = pairs, noise
        rows = pairs.rows_of(None)
        macro = pairs.metric.pool == "macro"
        order = sorted(range(len(rows)), key=lambda i: (rows[i].group if macro else "", rows[i].cluster))
        self.rows = [rows[i] for i in order]
        keys = [(row.group if macro else "", row.cluster) for row in self.rows]
        self.starts = np.array([i for i, key in enumerate(keys) if i == 0 or key != keys[i - 1]])
        self.sizes = np.diff([*self.starts, len(keys)])
        groups = [keys[i][0] for i in self.starts]
        self.strata = np.array([i for i, group in enumerate(groups) if i == 0 or group != groups[i - 1]])
        self.clusters = np.diff([*self.strata, len(groups)])
        self.members = np.add.reduceat(self.sizes, self.strata) if len(self.strata) else self.sizes
        self.width = pairs.metric.width
        self.least = pairs.metric.bounds[0] if pairs.metric.bounds else 0.0
        binary = (row.a.value - self.least in (0.0, self.width) for row in self.rows)
        self.shares = self.width is not None and all(binary)
        self.alone = len(self.starts) == len(self.rows)

    @property
    def error(self) -> float:
        """Return the standard error of an unchanged model's difference."""
        weights = 1 / len(self.strata)
        return sqrt(float((weights**2 * self.noise.discordance / self.members).sum()))

    def simulate(self, loss: float, margin: float, *, count: int, rng: np.random.Generator) -> Claims:
        """Draw `count` comparisons at a true loss and test both claims."""
        import numpy as np

        law = self._law(loss)
        if law is not None and self.alone:
            return self._tallied(law, margin, count=count, rng=rng)
        if law is None and self.alone and len(self.rows) >= MAX_CLUSTERS and self.members.min() > 1:
            variance = self.noise.discordance
            means = rng.normal(-loss, np.sqrt(variance / self.members), (count, len(self.members)))
            squares = variance * rng.chisquare(self.members - 1, means.shape)
            return self._claims(means, squares, self.members.astype(float), margin)
        return self._tested(self._sums(loss, law, count=count, rng=rng), margin)

    def _law(self, loss: float) -> GainDistribution | None:
        """Return the distribution of one sample's difference; None if it is taken to be normal."""
        import numpy as np

        repeats = self.pairs.a.repeats
        if self.width is None:
            return None
        if repeats > 1 and self.noise.source == "own repeats":
            return self._repeated(loss)
        if not (self.shares and repeats == 1):
            return None
        flips, fall = min(1.0, self.noise.discordance / self.width**2), min(1.0, loss / self.width)
        up, down = max(0.0, (flips - fall) / 2), max(fall, (flips + fall) / 2)
        return GainDistribution(
            self.width * np.array([-1.0, 0.0, 1.0]), np.array([down, max(0.0, 1 - up - down), up])
        )

    def _repeated(self, loss: float) -> GainDistribution:
        """Return the distribution for repeats drawn from a sample's success rate before and after the loss."""
        repeats, width = self.pairs.a.repeats, self.width or 1.0
        shares = [(row.a.value - self.least) / width for row in self.rows]
        higher = self.pairs.metric.better == "higher"
        if not higher:  # a growing error is a falling share of successes
            shares = [1 - share for share in shares]
        law = repeats_distribution(*fit_beta(shares, repeats), repeats=repeats, loss=loss / width)
        return GainDistribution(width * law.values, law.chances)

    def _tallied(
        self, law: GainDistribution, margin: float, *, count: int, rng: np.random.Generator
    ) -> Claims:
        """Test simulated samples without clusters, for which the counts of each difference are sufficient."""
        import numpy as np

        tallies = rng.multinomial(self.members, law.chances, size=(count, len(self.members))).astype(float)
        macro, width = self.pairs.metric.pool == "macro", self.width or 1.0
        if not macro and self.pairs.a.repeats == 1:
            return tango_p_values(tallies[:, 0, 2], tallies[:, 0, 0], float(self.members[0]), margin / width)
        if len(self.rows) < MAX_CLUSTERS:
            if margin >= width:
                return Claims(np.zeros(count), np.ones(count))
            shares = np.repeat(1 / (self.members * len(self.members)), len(law.values))
            sums, flat = np.tile(law.values, len(self.members)) * shares, tallies.reshape(count, -1)
            return Claims(
                gaffke(sums, shares, -margin, width, tallies=flat),
                gaffke(-sums, shares, margin, width, tallies=flat),
            )
        means = tallies @ law.values / self.members
        squares = np.maximum(0.0, tallies @ law.values**2 - self.members * means**2)
        return self._claims(means, squares, self.members.astype(float), margin)

    def _sums(
        self, loss: float, law: GainDistribution | None, *, count: int, rng: np.random.Generator
    ) -> Array:
        """Draw cluster sums of differences, a row per comparison."""
        import numpy as np

        chunks, step = [], max(1, 4_000_000 // max(1, len(self.rows)))
        for start in range(0, count, step):
            drawn = self._draw(loss, law, (min(step, count - start), len(self.rows)), rng)
            chunks.append(drawn if self.alone else np.add.reduceat(drawn, self.starts, axis=1))
        return np.concatenate(chunks)

    def _draw(
        self, loss: float, law: GainDistribution | None, size: tuple[int, int], rng: np.random.Generator
    ) -> Array:
        """Draw the differences of every sample, a row per comparison."""
        import numpy as np

        if law is not None:
            chosen = np.searchsorted(np.cumsum(law.chances)[:-1], rng.random(size), side="right")
            differences: Array = law.values[chosen]
            return differences
        drawn: Array = rng.normal(-loss, sqrt(self.noise.discordance), size)
        return drawn if self.width is None else np.clip(drawn, -self.width, self.width)

    def _tested(self, sums: Array, margin: float) -> Claims:
        """Apply the gate's own test to cluster sums: Gaffke's for bounded values, else a cluster-robust t."""
        import numpy as np

        if self.width is not None and len(self.starts) < MAX_CLUSTERS:
            each = 1 / (np.repeat(self.members, self.clusters) * len(self.members))
            return self._bounded(sums * each, self.sizes * each, margin)
        totals = np.add.reduceat(sums, self.strata, axis=1)
        means = totals / self.members
        deviations = sums - self.sizes * np.repeat(means, self.clusters, axis=1)
        squares = np.add.reduceat(deviations**2, self.strata, axis=1)
        return self._claims(means, squares, self.clusters.astype(float), margin)

    def _bounded(self, sums: Array, shares: Array, margin: float) -> Claims:
        import numpy as np

        width = self.width or 1.0
        if margin >= width:
            return Claims(np.zeros(len(sums)), np.ones(len(sums)))
        return Claims(_gaffke(sums, shares, -margin, width), _gaffke(-sums, shares, margin, width))

    def _claims(self, means: Array, squares: Array, clusters: Array, margin: float) -> Claims:
        """Turn group means and squared deviations into p-values, as `strata.stratified_error` does."""
        import numpy as np
        from scipy.special import ndtr, stdtr

        free = np.maximum(clusters - 1, 0)
        pooled = squares.sum(axis=1, keepdims=True) / max(1.0, float(free.sum()))
        per_cluster = np.where(free > 0, squares / np.maximum(free, 1), pooled)
        terms = clusters * per_cluster / (self.members * len(self.members)) ** 2
        total = terms.sum(axis=1)
        spread = (terms**2 / np.where(free > 0, free, max(1.0, float(free.sum())))).sum(axis=1)
        df = np.where(spread > 0, total**2 / np.where(spread > 0, spread, 1), float(free.sum()))
        value = means.mean(axis=1)
        with np.errstate(divide="ignore", invalid="ignore"):
            t = (value + margin) / np.sqrt(total)
        p_pass, p_regression = stdtr(df, -t), stdtr(df, t)
        constant = total == 0
        if constant.any():  # no sample differs: as many concordant pairs as clusters
            effective = len(clusters) ** 2 / float((1 / clusters).sum())
            z = DiscordantCounts(0, 0, effective).score(-min(margin / (self.width or 1.0), 0.99))
            p_pass, p_regression = (
                np.where(constant, ndtr(-z), p_pass),
                np.where(constant, ndtr(z), p_regression),
            )
        return Claims(p_pass, p_regression)


CLEAR_P_VALUES = (1e-4, 0.35)  # outside this range, t test p-values of many clusters need no exact test
MANY_CLUSTERS = 300


def _gaffke(sums: Array, shares: Array, margin: float, width: float) -> Array:
    """Return the p-values of the gate's own test for each row; of a t test if it is clear at every level."""
    import numpy as np
    from scipy.special import ndtr

    p_values = np.empty(len(sums))
    unclear = np.ones(len(sums), dtype=bool)
    if len(shares) >= MANY_CLUSTERS:
        excess = sums - margin * shares
        error = excess.std(axis=1) * len(shares) ** 0.5
        with np.errstate(divide="ignore", invalid="ignore"):
            p_values = ndtr(-excess.sum(axis=1) / error)
        unclear = ~((p_values < CLEAR_P_VALUES[0]) | (p_values > CLEAR_P_VALUES[1])) | (error == 0)
    step = max(1, 400_000 // len(shares))
    rows = np.flatnonzero(unclear)
    for start in range(0, len(rows), step):
        batch = rows[start : start + step]
        p_values[batch] = gaffke(
            sums[batch], np.broadcast_to(shares, (len(batch), len(shares))), margin, width
        )
    return p_values


def fit_beta(shares: Sequence[float], repeats: int) -> tuple[float, float]:
    """Return the beta distribution of the samples' success rates, by an analysis of variance of their shares.

    The shares themselves would include the noise of the repeats twice; adding half a success to each would let samples
    that always fail, or always succeed, change.
    """
    import numpy as np

    array = np.asarray(shares)
    mean = min(1 - 1e-3, max(1e-3, float(array.mean())))
    within = float((array * (1 - array)).mean()) * repeats / (repeats - 1)
    between = (float(array.var(ddof=1)) if len(array) > 1 else 0.0) - within / repeats
    size = min(1e3, max(1e-3, within / between)) if between > 0 else 1e3
    return mean * size, (1 - mean) * size


def repeats_distribution(alpha: float, beta: float, *, repeats: int, loss: float) -> GainDistribution:
    """Return the exact law of (after - before) / repeats for a sample whose success rate p is Beta(alpha, beta).

    Before and after are binomial with rates p and p (1 - loss / mean). Their joint probabilities are polynomials in p of
    degree 2 `repeats`, which Gauss-Jacobi quadrature with `repeats` + 1 nodes integrates exactly.
    """
    import numpy as np
    from scipy.special import roots_jacobi
    from scipy.stats import binom

    nodes, weights = roots_jacobi(repeats + 1, beta - 1, alpha - 1)
    chance, kept = (nodes + 1) / 2, max(0.0, 1 - loss * (alpha + beta) / alpha)
    wins = np.arange(repeats + 1)
    before = binom.pmf(wins, repeats, chance[:, None])
    after = binom.pmf(wins, repeats, kept * chance[:, None])
    joint = np.einsum("i,ia,ib->ab", weights / weights.sum(), before, after)
    differences = (wins[None, :] - wins[:, None]).ravel() + repeats
    chances = np.bincount(differences, joint.ravel(), 2 * repeats + 1)
    return GainDistribution(np.arange(-repeats, repeats + 1) / repeats, chances / chances.sum())


def tango_p_values(gains: Array, losses: Array, n: float, margin: float) -> Claims:
    """Return the p-values of Tango's score test for many tables at once; `margin` as a share."""
    import numpy as np
    from scipy.special import ndtr

    share = -margin
    linear = -(2 * n + gains - losses) * share - gains - losses
    discordant = (np.sqrt(np.maximum(0.0, linear**2 - 8 * n * gains * share * (1 + share))) - linear) / (
        2 * n
    )
    variance = n * np.maximum(discordant - share * (1 + share), 1e-12)
    z = (gains - losses - n * share) / np.sqrt(variance)
    return Claims(ndtr(-z), ndtr(z))


def noise_of(case: Case, number: int, *, stated: float | None, again: bool, reported: float | None) -> Noise:
    """Return the noise between runs: from a second run, a repeatability report, the policy, own repeats, or assumed."""
    import numpy as np

    part = case.parts[number]
    rows = part.rows_of(None)
    if again:
        squares = part.differences(rows) ** 2
        return Noise(
            max(float(squares.mean()), 1 / max(1, len(rows)) ** 2), "second run", _relative_error(squares)
        )
    if reported is not None and reported > 0:
        return Noise(reported, "repeatability report")
    if stated is not None:
        return Noise(stated, "policy")
    limits, width, repeats = part.metric.bounds, part.metric.width or 0.0, part.a.repeats
    if limits is not None and repeats > 1 and not part.metric.joint:
        shares = np.array([(row.a.value - limits[0]) / width for row in rows])
        within = shares * (1 - shares) * repeats / (repeats - 1)
        discordance = max(2 * width**2 * float(within.mean()) / repeats, 1e-9)
        return Noise(discordance, "own repeats", _relative_error(within))
    if limits is not None:
        return Noise(ASSUMED_CHANGED_SHARE * width**2, "assumed")
    values = np.array([row.a.value for row in rows])
    return Noise(max(float(values.var()), 1e-12), "assumed")


def _relative_error(values: Array) -> float:
    """Return the standard error of a mean / the mean."""
    mean = float(values.mean())
    return float(values.std()) / mean / len(values) ** 0.5 if mean > 0 else 1.0


class NormalDesign:
    """A difference known only by its standard error: a metric of whole runs, or a pool of suites."""

    def __init__(self, error: float, clusters: int, noise: Noise | None = None) -> None:
        self.error, self.clusters = error, clusters
        self.noise = noise or Noise(error**2 * max(1, clusters), "standard error")

    @classmethod
    def of(cls, pairs: Pairs, *, second: bool) -> NormalDesign:
        """Take the error from a second run, or from the baseline's own estimate (correlation one half)."""
        rows = pairs.rows_of(None)
        clusters = len({row.cluster for row in rows})
        evidence = pairs.evidence() if second else None
        if evidence is not None and (limits := evidence.interval(0.68)) is not None:
            error = max((limits[1] - limits[0]) / 2, 1e-12)
            return cls(error, clusters, Noise(error**2 * clusters, "second run"))
        members: dict[str, list[Point]] = {}
        for point in pairs.a.points:
            members.setdefault(point.cluster, []).append(point)
        statistic = resampled_statistic(pairs.metric, list(members.values()))
        alone = stats.bootstrap(len(members), statistic, seed=0, resamples=200, level=0.68)
        if alone.low is None or alone.high is None:
            raise UsageError(f"{pairs.metric.name}: too few samples to plan with")
        error = max((alone.high - alone.low) / 2, 1e-12)
        return cls(error, clusters, Noise(error**2 * clusters, "assumed"))

    def simulate(self, loss: float, margin: float, *, count: int, rng: np.random.Generator) -> Claims:
        """Draw normal differences with this error."""
        from scipy.special import stdtr

        df = max(1, self.clusters - 1)
        t = (rng.normal(-loss, self.error, count) + margin) / (
            self.error * (rng.chisquare(df, count) / df) ** 0.5
        )
        return Claims(stdtr(df, -t), stdtr(df, t))


class FixedItemsDesign(NormalDesign):
    """A difference on exactly these items: only the models' sampling varies, or nothing if taken as observed."""

    def __init__(self, design: Design, *, seen: bool) -> None:
        super().__init__(design.error, 1_000_000_000, design.noise)
        self.seen, self.df = seen, 0.0
        if design.shares and design.pairs.a.repeats == 1:
            flips = min(0.99, design.noise.discordance / (design.width or 1.0) ** 2)
            self.df = 2 * len(design.rows) * flips / (1 - flips)

    def simulate(self, loss: float, margin: float, *, count: int, rng: np.random.Generator) -> Claims:
        """Draw normal differences; taken as observed, they are compared with the margin directly."""
        import numpy as np
        from scipy.special import ndtr

        drawn = rng.normal(-loss, self.error, count)
        if self.seen:
            return Claims((drawn <= -margin).astype(float), (drawn >= -margin).astype(float))
        wider = np.sqrt(np.maximum(1.0, rng.chisquare(self.df, count) / self.df)) if self.df else 1.0
        z = (drawn + margin) / (max(self.error, 1e-12) * wider)
        return Claims(ndtr(-z), ndtr(z))


class UnknownNoise(NormalDesign):
    """A difference on these items with unknown noise; the gate is inconclusive."""

    def simulate(self, loss: float, margin: float, *, count: int, rng: np.random.Generator) -> Claims:
        """Return p-values of 1."""
        import numpy as np

        return Claims(np.ones(count), np.ones(count))
