"""Evidence that the claimed model did not write the replies: betting e-processes on features of their tokens.

A token sampled from the claimed model has the probability integral transform U = above + V mass. `mass` is the probability
that the model assigns to the token, `above` the total of all tokens ranked before it, and V is uniform on (0, 1), so that
P(U > 1 - x) = x. V is not simulated: a feature g, between 0 and 1, is the probability over V of {U > 1 - x}, given the token.
If the claimed model wrote the replies, the mean of g is at most a known m. A bet on a mean of a > m multiplies the wealth by

    1 + (a - m) (g - m) / (m (1 - m)),

the likelihood ratio of a Bernoulli variable if g is 0 or 1. The expectation of this factor is at most 1 under every
distribution with E g <= m. Hence the probability that the wealth, averaged over features and values of a, ever exceeds
1/alpha is at most alpha, however many replies there are (Ville; Shafer, *Testing by betting*, JRSS A 2021; Waudby-Smith and Ramdas,
*Estimating means of bounded random variables by betting*, JRSS B 2024).

The null hypothesis is a neighbourhood of the claimed model, not a point (`Neighbourhood`): engines round differently, and a
reply's text may be tokenised differently from how it was sampled.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import exp
from typing import NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray
from scipy.special import logsumexp

from evals.challenge.outcome import Verdict
from evals.errors import UsageError
from evals.seams import TokenLikelihoods

Floats: TypeAlias = NDArray[np.float64]
UPPER_TAILS = (0.5, 0.2, 0.05, 0.01, 0.001, 0.0001)
"""Values of x for the tails {U > 1 - x}: tokens less likely than they should be, including those that the sampling excludes."""
LOWER_TAILS = (0.5, 0.2, 0.05)
"""Values of x for the tails {U < x}: tokens likelier than they should be, as at a lower temperature."""
RARE_TAIL = 0.05
"""Half of the initial wealth is bet on upper tails of at most this probability, which reveal a few edited sentences."""
GREEDY_GAPS = (0.03, 0.1, 0.3, 1.0, 3.0)
"""For greedy replies: a feature is 1 if the token's log-probability is more than this below the first choice's, else 0."""
ODDS_RATIOS = (1.1, 1.25, 1.6, 2.5, 5.0, 12.0, 40.0)
"""Odds of a divided by the odds of m, for each bet."""
MAX_LOG_WEALTH = 700.0
"""Greater values would overflow when exponentiated."""


class Neighbourhood(NamedTuple):
    """Writers that count as the claimed model: bounds that hold on average over the tokens of their replies.

    With probability `contamination`, a token is arbitrary. Otherwise TV(P, Q) <= distance and Q <= ratio P, where P is the
    claimed model's distribution of the next token under the recorded sampling, and Q is the writer's. Hence the mean of a
    tail of probability x is at most contamination + min(x + distance, ratio x). A greedy writer chooses a token whose gap
    exceeds d with a probability of at most contamination + flip_rate exp(-d / scale).
    """

    distance: float
    ratio: float
    contamination: float
    flip_rate: float
    scale: float
    """In units of log-probability."""

    def max_tail_mean(self, x: float) -> float:
        """Return the largest mean of a tail whose probability is x under the claimed model."""
        return min(self.contamination + min(x + self.distance, self.ratio * x), 0.99)

    def max_share_beyond(self, gap: float) -> float:
        """Return the largest share of greedy tokens whose gap exceeds `gap`."""
        return self.contamination + self.flip_rate * exp(-gap / self.scale)


SAME = Neighbourhood(distance=0.002, ratio=1.05, contamination=0.001, flip_rate=0.002, scale=0.03)
"""Float32 rounding, and a few texts that are tokenised differently: a writer beyond it is not `consistent`."""
CLOSE = Neighbourhood(distance=0.04, ratio=2.0, contamination=0.002, flip_rate=0.06, scale=0.2)
"""Different numerics or 8-bit quantisation of the same weights: a writer beyond it is `different`."""


class Evidence(NamedTuple):
    """The evidence that replies provide about the claimed model."""

    verdict: Verdict
    p_value: float | None
    """Against `CLOSE`, valid at any stopping time; None if there are no tokens."""
    e_value: float | None
    """Largest wealth reached against `CLOSE`."""
    same_e_value: float | None
    """Largest wealth reached against `SAME`."""
    first_choices: float | None
    """Share of tokens that are the claimed model's first choice."""
    replies: int
    tokens: int


def weigh(
    likelihoods: Sequence[TokenLikelihoods], *, greedy: bool, alpha: float = 0.01, one_seed: bool = False
) -> Evidence:
    """Return the evidence from randomly chosen replies, in the given order; raises UsageError for invalid likelihoods.

    `one_seed`: all replies were sampled with the same seed, as in a run of this harness. An engine then samples the n-th
    token of each reply with the same random numbers, so the replies are dependent, whereas the positions within a reply are
    not: features at one position are averaged over replies, which is valid under any dependence between replies, and the
    factors of the positions are multiplied.
    """
    if not 0 < alpha < 1:
        raise UsageError(f"alpha must lie between 0 and 1, got {alpha:g}")
    nonempty = [tokens for tokens in likelihoods if len(tokens.logprob)]
    token_count = sum(len(tokens.logprob) for tokens in nonempty)
    if not token_count:
        return Evidence("untestable", None, None, None, None, len(likelihoods), 0)
    log_factors = log_factors_by_position if one_seed and not greedy else log_factors_by_reply
    features = [features_of(tokens, greedy=greedy) for tokens in nonempty]
    close, same = (
        cumulative_log_wealth(log_factors(features, null, greedy=greedy)) for null in (CLOSE, SAME)
    )
    threshold = -np.log(alpha)
    verdict: Verdict = (
        "different" if close.max() >= threshold else "close" if same.max() >= threshold else "consistent"
    )
    first_choices = sum(int((np.asarray(tokens.rank) == 1).sum()) for tokens in nonempty)
    e_value, same_e_value = (
        float(np.exp(min(MAX_LOG_WEALTH, log_wealth.max()))) for log_wealth in (close, same)
    )
    return Evidence(
        verdict=verdict,
        p_value=min(1.0, 1 / e_value),
        e_value=e_value,
        same_e_value=same_e_value,
        first_choices=first_choices / token_count,
        replies=len(likelihoods),
        tokens=token_count,
    )


def log_factors_by_reply(features: Sequence[Floats], null: Neighbourhood, *, greedy: bool) -> Floats:
    """Return the log factor of each reply by feature and odds, shape (replies, F, A)."""
    return np.stack([log_gains(tokens, null, greedy=greedy).sum(axis=2) for tokens in features])


def log_factors_by_position(features: Sequence[Floats], null: Neighbourhood, *, greedy: bool) -> Floats:
    """Return the log factor of each position by feature and odds, shape (positions, F, A), from mean features over replies."""
    longest = max(tokens.shape[1] for tokens in features)
    total = sum(np.pad(tokens, ((0, 0), (0, longest - tokens.shape[1]))) for tokens in features)
    replies = sum(np.arange(longest) < tokens.shape[1] for tokens in features)
    return np.moveaxis(log_gains(np.asarray(total) / replies, null, greedy=greedy), 2, 0)


def cumulative_log_wealth(log_factors: Floats) -> Floats:
    """Return the log wealth after each step, shape (..., steps), given the log factors of the steps, shape (..., steps, F, A)."""
    log_wealth = np.cumsum(log_factors, axis=-3)
    by_feature = logsumexp(log_wealth, axis=-1) - np.log(log_wealth.shape[-1])
    return np.asarray(logsumexp(by_feature + np.log(_feature_weights(log_wealth.shape[-2])), axis=-1))


def features_of(likelihoods: TokenLikelihoods, *, greedy: bool) -> Floats:
    """Return the features of a reply's tokens, shape (F, tokens); raises UsageError for invalid likelihoods."""
    _check_likelihoods(likelihoods)
    if greedy:
        return np.stack([np.asarray(likelihoods.gap) > gap for gap in GREEDY_GAPS]).astype(float)
    upper = [_upper_tail(likelihoods, x) for x in UPPER_TAILS]
    lower = [_lower_tail(likelihoods, x) for x in LOWER_TAILS]
    return np.stack(upper + lower)


def log_gains(features: Floats, null: Neighbourhood, *, greedy: bool) -> Floats:
    """Return the log factor of each token by feature and odds, shape (F, A, tokens)."""
    bounds = np.array(
        [null.max_share_beyond(gap) for gap in GREEDY_GAPS]
        if greedy
        else [null.max_tail_mean(x) for x in (*UPPER_TAILS, *LOWER_TAILS)]
    )
    odds = bounds[:, None] / (1 - bounds[:, None]) * np.array(ODDS_RATIOS)
    stakes = (odds / (1 + odds) - bounds[:, None]) / (bounds * (1 - bounds))[:, None]
    gains = stakes[:, :, None] * (features - bounds[:, None])[:, None, :]
    return np.asarray(np.log1p(gains))


def _check_likelihoods(likelihoods: TokenLikelihoods) -> None:
    """Raise UsageError unless the arrays have the same length and valid values."""
    names = ("logprob", "rank", "gap", "above", "mass", "above_upper", "mass_upper")
    arrays = {name: np.asarray(value) for name in names if (value := getattr(likelihoods, name)) is not None}
    for name, values in arrays.items():
        if values.shape != (len(likelihoods.logprob),):
            raise UsageError(
                f"a reply has {len(likelihoods.logprob)} tokens, but `{name}` has shape {values.shape}"
            )
        if np.isnan(values).any():
            raise UsageError(f"`{name}` of a token is not a number")
        if name.startswith(("above", "mass")) and not ((values >= -1e-6) & (values <= 1 + 1e-6)).all():
            raise UsageError(f"`{name}` of a token is not a probability")
    if (arrays["gap"] < 0).any():
        raise UsageError("`gap` of a token is below 0")


def _feature_weights(feature_count: int) -> Floats:
    """Return the share of the initial wealth that is bet on each feature."""
    if feature_count == len(GREEDY_GAPS):
        return np.full(feature_count, 1 / feature_count)
    rare = np.array([x <= RARE_TAIL for x in UPPER_TAILS] + [False] * len(LOWER_TAILS))
    return np.asarray(np.where(rare, 0.5 / rare.sum(), 0.5 / (~rare).sum()))


def _upper_tail(likelihoods: TokenLikelihoods, x: float) -> Floats:
    """Return the probability over V of {U > 1 - x} for each token; if `above` and `mass` are bounds, a lower bound."""
    above, mass = np.asarray(likelihoods.above), np.asarray(likelihoods.mass)
    probability = np.clip((above + mass - (1 - x)) / np.where(mass > 0, mass, 1.0), 0.0, 1.0)
    return np.where(mass > 0, probability, (above > 1 - x).astype(float))


def _lower_tail(likelihoods: TokenLikelihoods, x: float) -> Floats:
    """Return the probability over V of {U < x} for each token; if `above` and `mass` are bounds, a lower bound."""
    above = np.asarray(likelihoods.above if likelihoods.above_upper is None else likelihoods.above_upper)
    mass = np.asarray(likelihoods.mass if likelihoods.mass_upper is None else likelihoods.mass_upper)
    probability = np.clip((x - above) / np.where(mass > 0, mass, 1.0), 0.0, 1.0)
    return np.where(mass > 0, probability, (above < x).astype(float))
