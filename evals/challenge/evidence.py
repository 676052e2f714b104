"""Evidence that replies were not written by the model that read them (the reader): betting e-processes on token features.

A feature g of a token lies between 0 and 1, and the reader bounds its mean: a token sampled from the reader has the
probability integral transform U = above + V mass, where `above` is the probability of all tokens ranked before it, `mass`
its own, and V is uniform on (0, 1); so P(U > 1 - x) = x. V is not simulated: g is the probability of {U > 1 - x} over V,
given the token. A bet on a mean a > m against a mean of at most m multiplies the wealth by

    1 + (a - m) (g - m) / (m (1 - m)),

the likelihood ratio of a Bernoulli variable if g is 0 or 1. Its expectation is at most 1 under every distribution with
E g <= m, so the wealth, averaged over features and values of a, exceeds 1/alpha with a probability of at most alpha, at
any number of replies (Ville; Shafer, *Testing by betting*, JRSS A 2021; Waudby-Smith and Ramdas, *Estimating means of
bounded random variables by betting*, JRSS B 2024).

The null hypothesis is a neighbourhood of the reader, not a point (`Neighbourhood`): engines round differently, and a
reply's text may be tokenised differently from how it was sampled.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple, TypeAlias

from evals.challenge.outcome import Verdict
from evals.errors import UsageError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from evals.seams import TokenReading

    Floats: TypeAlias = NDArray[np.float64]

UPPER = (0.5, 0.2, 0.05, 0.01, 0.001, 0.0001)
"""Tails {U > 1 - x}: tokens less likely than they should be, including those that the sampling excludes."""
LOWER = (0.5, 0.2, 0.05)
"""Tails {U < x}: tokens likelier than they should be, as at a lower temperature."""
RARE = 0.05
"""Tails of at most this probability share half of the initial wealth: they reveal a few edited sentences."""
GAPS = (0.03, 0.1, 0.3, 1.0, 3.0)
"""For greedy replies: tokens whose log-probability is further below the first choice's than this."""
ODDS = (1.1, 1.25, 1.6, 2.5, 5.0, 12.0, 40.0)
"""Each bet is on a mean whose odds are those of the bound times one of these."""


class Neighbourhood(NamedTuple):
    """Writers that cannot be distinguished from the reader: bounds that hold on average over the tokens of their replies.

    With probability `stray` a token is arbitrary. Otherwise, with P the reader's distribution of the next token under the
    recorded sampling and Q the writer's, TV(P, Q) <= distance and Q <= ratio P. So the mean of a tail of probability x is at
    most stray + min(x + distance, ratio x). A greedy writer takes a token whose gap exceeds d with a probability of at most
    stray + flips exp(-d / scale).
    """

    distance: float
    ratio: float
    stray: float
    flips: float
    scale: float
    """In units of log-probability."""

    def tail(self, x: float) -> float:
        """Return the largest mean of a tail whose probability is x."""
        return min(self.stray + min(x + self.distance, self.ratio * x), 0.99)

    def beyond(self, gap: float) -> float:
        """Return the largest share of greedy tokens beyond a gap."""
        from math import exp

        return self.stray + self.flips * exp(-gap / self.scale)


SAME = Neighbourhood(distance=0.002, ratio=1.05, stray=0.001, flips=0.002, scale=0.03)
"""Float32 rounding, and a few texts that are tokenised differently: a writer beyond it is not `consistent`."""
CLOSE = Neighbourhood(distance=0.04, ratio=2.0, stray=0.002, flips=0.06, scale=0.2)
"""Different numerics or 8-bit quantisation of the same weights: a writer beyond it is `different`."""


class Evidence(NamedTuple):
    """The evidence that replies provide about the model that read them."""

    verdict: Verdict
    p_value: float | None
    """Against `CLOSE`, valid at any stopping time; None: no token was read."""
    e_value: float | None
    """Largest wealth so far against `CLOSE`."""
    same_e_value: float | None
    """Largest wealth so far against `SAME`."""
    first_choices: float | None
    """Share of tokens that were the reader's first choice."""
    replies: int
    tokens: int
    decided: int | None
    """Number of replies after which the verdict was `different`; None for another verdict."""


def weigh(
    readings: Sequence[TokenReading], *, greedy: bool, alpha: float = 0.01, one_seed: bool = False
) -> Evidence:
    """Return the evidence from randomly chosen replies, in the given order; raises UsageError for invalid readings.

    `one_seed`: all replies were sampled with the same seed, as in a run of this harness. An engine then samples the n-th
    token of each with the same random numbers, so replies are dependent, but the positions within them are not: features
    at one position are averaged over replies, which is valid under any dependence between them, and the factors of the
    positions are multiplied.
    """
    import numpy as np

    if not 0 < alpha < 1:
        raise UsageError(f"alpha must lie between 0 and 1, got {alpha:g}")
    nonempty = [reading for reading in readings if len(reading.logprob)]
    tokens = sum(len(reading.logprob) for reading in nonempty)
    if not tokens:
        return Evidence("untestable", None, None, None, None, len(readings), 0, None)
    per_position = one_seed and not greedy
    factors = factors_by_position if per_position else factors_by_reply
    features = [features_of(reading, greedy=greedy) for reading in nonempty]
    close, same = (cumulative_log_wealth(factors(features, null, greedy=greedy)) for null in (CLOSE, SAME))
    threshold = -np.log(alpha)
    rejects = bool(close.max() >= threshold)
    decided = (len(readings) if per_position else int(np.argmax(close >= threshold)) + 1) if rejects else None
    verdict: Verdict = "different" if rejects else "close" if same.max() >= threshold else "consistent"
    firsts = sum(int((np.asarray(reading.rank) == 1).sum()) for reading in nonempty)
    e_value, same_e_value = (float(np.exp(min(700.0, log_wealth.max()))) for log_wealth in (close, same))
    return Evidence(
        verdict, min(1.0, 1 / e_value), e_value, same_e_value, firsts / tokens, len(readings), tokens, decided
    )


def factors_by_reply(features: Sequence[Floats], null: Neighbourhood, *, greedy: bool) -> Floats:
    """Return the log factor of each reply by feature and odds, shape (R, F, A)."""
    import numpy as np

    return np.stack([log_gains(tokens, null, greedy=greedy).sum(axis=2) for tokens in features])


def factors_by_position(features: Sequence[Floats], null: Neighbourhood, *, greedy: bool) -> Floats:
    """Return the log factor of each position by feature and odds, shape (T, F, A), from mean features over replies."""
    import numpy as np

    longest = max(tokens.shape[1] for tokens in features)
    total = sum(np.pad(tokens, ((0, 0), (0, longest - tokens.shape[1]))) for tokens in features)
    replies = sum(np.arange(longest) < tokens.shape[1] for tokens in features)
    return np.moveaxis(log_gains(np.asarray(total) / replies, null, greedy=greedy), 2, 0)


def cumulative_log_wealth(factors: Floats) -> Floats:
    """Return the log wealth after each step, shape (..., R), from the log factors of the steps, shape (..., R, F, A)."""
    import numpy as np
    from scipy.special import logsumexp

    log_wealth = np.cumsum(factors, axis=-3)
    by_feature = logsumexp(log_wealth, axis=-1) - np.log(log_wealth.shape[-1])
    return np.asarray(logsumexp(by_feature + np.log(_weights(log_wealth.shape[-2])), axis=-1))


def features_of(reading: TokenReading, *, greedy: bool) -> Floats:
    """Return the features of a reply's tokens, shape (F, tokens); raises UsageError for an invalid reading."""
    import numpy as np

    _check(reading)
    if greedy:
        return np.stack([np.asarray(reading.gap) > gap for gap in GAPS]).astype(float)
    return np.stack([*(_upper(reading, x) for x in UPPER), *(_lower(reading, x) for x in LOWER)])


def log_gains(features: Floats, null: Neighbourhood, *, greedy: bool) -> Floats:
    """Return the log factor of each token by feature and odds, shape (F, A, tokens)."""
    import numpy as np

    tails = [null.beyond(gap) for gap in GAPS] if greedy else [null.tail(x) for x in (*UPPER, *LOWER)]
    bounds = np.array(tails)
    odds = bounds[:, None] / (1 - bounds[:, None]) * np.array(ODDS)
    stakes = (odds / (1 + odds) - bounds[:, None]) / (bounds * (1 - bounds))[:, None]
    gains = stakes[:, :, None] * (features - bounds[:, None])[:, None, :]
    return np.asarray(np.log1p(gains))


def _check(reading: TokenReading) -> None:
    """Raise UsageError unless a reading's arrays have the same length and valid values."""
    import numpy as np

    names = ("logprob", "rank", "gap", "above", "mass", "above_upper", "mass_upper")
    arrays = {name: np.asarray(value) for name in names if (value := getattr(reading, name)) is not None}
    for name, values in arrays.items():
        if values.shape != (len(reading.logprob),):
            raise UsageError(
                f"a reading has {len(reading.logprob)} tokens, but its {name} has shape {values.shape}"
            )
        if np.isnan(values).any():
            raise UsageError(f"a reading has a {name} that is not a number")
        if name.startswith(("above", "mass")) and not ((values >= -1e-6) & (values <= 1 + 1e-6)).all():
            raise UsageError(f"a reading has a {name} that is not a probability")
    if (arrays["gap"] < 0).any():
        raise UsageError("a reading has a gap below 0")


def _weights(features: int) -> Floats:
    import numpy as np

    if features == len(GAPS):
        return np.full(features, 1 / features)
    rare = np.array([*(x <= RARE for x in UPPER), *(False for _ in LOWER)])
    return np.asarray(np.where(rare, 0.5 / rare.sum(), 0.5 / (~rare).sum()))


def _upper(reading: TokenReading, x: float) -> Floats:
    """Return the probability over V of U > 1 - x for each token; its minimum if `above` and `mass` are bounds."""
    import numpy as np

    above, mass = np.asarray(reading.above), np.asarray(reading.mass)
    probability = np.clip((above + mass - (1 - x)) / np.where(mass > 0, mass, 1.0), 0.0, 1.0)
    return np.where(mass > 0, probability, (above > 1 - x).astype(float))


def _lower(reading: TokenReading, x: float) -> Floats:
    """Return the probability over V of U < x for each token; its minimum if `above` and `mass` are bounds."""
    import numpy as np

    above = np.asarray(reading.above if reading.above_upper is None else reading.above_upper)
    mass = np.asarray(reading.mass if reading.mass_upper is None else reading.mass_upper)
    probability = np.clip((x - above) / np.where(mass > 0, mass, 1.0), 0.0, 1.0)
    return np.where(mass > 0, probability, (above < x).astype(float))
