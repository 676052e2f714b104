"""Evidence that replies were not written by the model that read them: betting e-processes on features of their tokens.

A feature g of a token lies between 0 and 1, and the model read bounds its mean: for a token drawn from the model, with
U = above + V mass its probability integral transform (V uniform), P(U > 1 - x) = x. V is not drawn: g is the probability
of {U > 1 - x} over V, given the token. Whoever bets on a mean a > m against a mean of at most m multiplies the wealth by

    1 + (a - m) (g - m) / (m (1 - m)),

the likelihood ratio of a Bernoulli variable where g is 0 or 1. Its expectation is at most 1 under every distribution with
E g <= m, so the wealth, averaged over features and values of a, exceeds 1/alpha with a probability of at most alpha, after
however many replies (Ville; Shafer, *Testing by betting*, JRSS A 2021; Waudby-Smith and Ramdas, *Estimating means of
bounded random variables by betting*, JRSS B 2024).

The null hypothesis is a neighbourhood of the model read, not a point (`Neighbourhood`): engines round differently, and a
text may be split into other tokens than the ones drawn.
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
"""Tails {U > 1 - x}: tokens less likely than they should be, those that the sampling excludes among them."""
LOWER = (0.5, 0.2, 0.05)
"""Tails {U < x}: tokens likelier than they should be, as at a lower temperature."""
RARE = 0.05
"""Tails up to this one share half of the initial wealth: they tell a few edited sentences."""
GAPS = (0.03, 0.1, 0.3, 1.0, 3.0)
"""Greedy replies: tokens whose log-probability is further below the first choice's than this."""
ODDS = (1.1, 1.25, 1.6, 2.5, 5.0, 12.0, 40.0)
"""Bets are on a mean with the odds of the bounded one times this."""


class Neighbourhood(NamedTuple):
    """Writers that count as the model read: bounds that hold on average over the tokens of its replies.

    With probability `stray` a token is anything. Otherwise, with P the model's distribution of the next token under the
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
"""Rounding of float32, and few texts that are tokenised otherwise: beyond it a model is not `consistent`."""
CLOSE = Neighbourhood(distance=0.04, ratio=2.0, stray=0.002, flips=0.06, scale=0.2)
"""Other numerics or quantisation to 8 bits of the same weights: beyond it a model is `different`."""


class Evidence(NamedTuple):
    """What the replies tell about the model that read them."""

    verdict: Verdict
    p_value: float | None
    """Against `CLOSE`, valid whenever the reading stops; None: no token was read."""
    e_value: float | None
    """The largest wealth so far against `CLOSE`."""
    same_e_value: float | None
    """The same against `SAME`."""
    first_choices: float | None
    """Share of tokens that were the model's first choice."""
    replies: int
    tokens: int
    decided: int | None
    """Number of replies after which it was `different`."""


def weigh(
    readings: Sequence[TokenReading], *, greedy: bool, alpha: float = 0.01, one_seed: bool = False
) -> Evidence:
    """Return the evidence of replies in the order given, chosen at random before; raises UsageError for bad readings.

    `one_seed`: all replies were drawn with the same seed, as those of a run of this harness are. An engine then draws the
    n-th token of each with the same random numbers, so that replies are dependent, but not the positions within them: the
    bets of one position are averaged over replies, which is valid under every dependence between these, and positions are
    multiplied.
    """
    import numpy as np

    if not 0 < alpha < 1:
        raise UsageError(f"alpha must lie between 0 and 1, got {alpha:g}")
    read = [reading for reading in readings if len(reading.logprob)]
    tokens = sum(len(reading.logprob) for reading in read)
    if not tokens:
        return Evidence("untestable", None, None, None, None, len(readings), 0, None)
    positions = one_seed and not greedy
    steps = by_position if positions else by_reply
    features = [features_of(reading, greedy=greedy) for reading in read]
    near, same = (wealth(steps(features, neighbours, greedy=greedy)) for neighbours in (CLOSE, SAME))
    bar = -np.log(alpha)
    exceeds = bool(near.max() >= bar)
    decided = (len(readings) if positions else int(np.argmax(near >= bar)) + 1) if exceeds else None
    verdict: Verdict = "different" if exceeds else "close" if same.max() >= bar else "consistent"
    firsts = sum(int((np.asarray(reading.rank) == 1).sum()) for reading in read)
    e_value, same_e_value = (float(np.exp(min(700.0, log.max()))) for log in (near, same))
    return Evidence(
        verdict,
        min(1.0, 1 / e_value),
        e_value,
        same_e_value,
        firsts / tokens,
        len(readings),
        tokens,
        decided,
    )


def by_reply(features: Sequence[Floats], near: Neighbourhood, *, greedy: bool) -> Floats:
    """Return the logarithm (R, F, A) of the factor of each reply, by feature and odds."""
    import numpy as np

    return np.stack([log_gains(each, near, greedy=greedy).sum(axis=2) for each in features])


def by_position(features: Sequence[Floats], near: Neighbourhood, *, greedy: bool) -> Floats:
    """Return the logarithm (T, F, A) of the factor of each position: that of its mean features over replies."""
    import numpy as np

    longest = max(each.shape[1] for each in features)
    total = sum(np.pad(each, ((0, 0), (0, longest - each.shape[1]))) for each in features)
    many = sum(np.arange(longest) < each.shape[1] for each in features)
    return np.moveaxis(log_gains(np.asarray(total) / many, near, greedy=greedy), 2, 0)


def wealth(factors: Floats) -> Floats:
    """Return the logarithm of the wealth (..., R) after each step, from the logarithms of their factors (..., R, F, A)."""
    import numpy as np
    from scipy.special import logsumexp

    reached = np.cumsum(factors, axis=-3)
    by_feature = logsumexp(reached, axis=-1) - np.log(reached.shape[-1])
    return np.asarray(logsumexp(by_feature + np.log(_weights(reached.shape[-2])), axis=-1))


def features_of(reading: TokenReading, *, greedy: bool) -> Floats:
    """Return the features (F, tokens) of a reply; raises UsageError."""
    import numpy as np

    checked(reading)
    if greedy:
        return np.stack([np.asarray(reading.gap) > gap for gap in GAPS]).astype(float)
    return np.stack([*(_upper(reading, x) for x in UPPER), *(_lower(reading, x) for x in LOWER)])


def log_gains(features: Floats, near: Neighbourhood, *, greedy: bool) -> Floats:
    """Return the logarithm (F, A, tokens) of the factor of each token, by feature and odds."""
    import numpy as np

    tails = [near.beyond(gap) for gap in GAPS] if greedy else [near.tail(x) for x in (*UPPER, *LOWER)]
    bounds = np.array(tails)
    odds = bounds[:, None] / (1 - bounds[:, None]) * np.array(ODDS)
    wins = (odds / (1 + odds) - bounds[:, None]) / (bounds * (1 - bounds))[:, None]
    gains = wins[:, :, None] * (features - bounds[:, None])[:, None, :]
    return np.asarray(np.log1p(gains))


def checked(reading: TokenReading) -> None:
    """Raise UsageError unless a reading's arrays have one length and hold what they should."""
    import numpy as np

    names = ("logprob", "rank", "gap", "above", "mass", "above_upper", "mass_upper")
    arrays = {name: np.asarray(value) for name in names if (value := getattr(reading, name)) is not None}
    for name, values in arrays.items():
        if values.shape != (len(reading.logprob),):
            raise UsageError(f"a reading has {len(reading.logprob)} tokens, and its {name} {values.shape}")
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
    """Return the probability of U > 1 - x by token, over V; with bounds of `above` and `mass` the smallest."""
    import numpy as np

    above, mass = np.asarray(reading.above), np.asarray(reading.mass)
    inside = np.clip((above + mass - (1 - x)) / np.where(mass > 0, mass, 1.0), 0.0, 1.0)
    return np.where(mass > 0, inside, (above > 1 - x).astype(float))


def _lower(reading: TokenReading, x: float) -> Floats:
    """Return the probability of U < x by token, over V; with bounds of `above` and `mass` the smallest."""
    import numpy as np

    above = np.asarray(reading.above if reading.above_upper is None else reading.above_upper)
    mass = np.asarray(reading.mass if reading.mass_upper is None else reading.mass_upper)
    inside = np.clip((x - above) / np.where(mass > 0, mass, 1.0), 0.0, 1.0)
    return np.where(mass > 0, inside, (above < x).astype(float))
