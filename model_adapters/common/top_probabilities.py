"""Token likelihoods from a server that returns only the likeliest tokens at each position: `above` and `mass` are bounds.

The weight of a token with probability p is p ** (1 / T), relative to that of the likeliest token. The tokens that are not
returned share the remaining probability, and none is more likely than the least likely token returned. Their total weight is
bounded by two extremes: probabilities as equal, and as unequal, as possible.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence
from itertools import accumulate
from math import exp
from typing import NamedTuple

from evals.seams import Decoding, TokenLikelihoods

MIN_EXPONENT = -700.0
"""Smaller exponents are raised to this one: below -745, `exp` returns 0, and weights are divided by its results."""


class Position(NamedTuple):
    """The probabilities that a server returns for one token of a reply."""

    logprob: float
    rank: int
    top: Sequence[float]
    """Log-probabilities of the likeliest tokens."""


class _Range(NamedTuple):
    low: float
    high: float


class _KeptTokens(NamedTuple):
    """Which tokens of a position can still be sampled after top-k, top-p and min-p."""

    certain: int
    """Number of returned tokens that are certainly kept; these are the likeliest."""
    possible: int
    """Number of returned tokens that may be kept."""
    others: _Range
    """Total weight of the tokens that are not returned but kept."""


def make_likelihoods(
    positions: Sequence[Position], decoding: Decoding, vocabulary: int, recorded: int | None
) -> TokenLikelihoods:
    """Return the likelihoods of a reply; `vocabulary`: upper bound on its size; `recorded`: recorded number of tokens."""
    import numpy as np

    table = (
        np.array([_statistics(p, decoding, vocabulary) for p in positions], dtype=np.float64).reshape(-1, 7).T
    )
    logprob, rank, gap, above, mass, above_upper, mass_upper = table
    return TokenLikelihoods(logprob, rank, gap, above, mass, above_upper, mass_upper, recorded)


def _statistics(position: Position, decoding: Decoding, vocabulary: int) -> tuple[float, ...]:
    """Return logprob, rank and gap, then the lower and the upper bounds of above and mass."""
    logprob, rank, top = position.logprob, position.rank, sorted(position.top, reverse=True)
    exact = (logprob, float(rank), max(top[0] - logprob, 0.0))
    if decoding.temperature == 0:
        is_first = float(rank == 1)
        return (*exact, 1 - is_first, is_first, 1 - is_first, is_first)
    above, mass = _bounds(logprob, rank, top, decoding, vocabulary)
    return (*exact, above.low, mass.low, above.high, mass.high)


def _bounds(
    logprob: float, rank: int, top: Sequence[float], decoding: Decoding, vocabulary: int
) -> tuple[_Range, _Range]:
    """Return the bounds of `above` and `mass`; see `TokenLikelihoods`."""
    power = 1 / decoding.temperature
    weights = [_clamped_exp((value - top[0]) * power) for value in top]
    rest = _weight_of_others(top, power, vocabulary)
    kept = _kept_tokens(top, weights, rest, decoding)
    total = _Range(
        sum(weights[: kept.certain]) + kept.others.low,
        sum(weights[: kept.possible]) + kept.others.high,
    )
    if rank > kept.possible and not kept.others.high:
        return _Range(1.0, 1.0), _Range(0.0, 0.0)
    token_weight = _clamped_exp((logprob - top[0]) * power)
    tokens_between = max(0, rank - 1 - len(top))  # ranked before it, but not returned
    weight_before = sum(weights[: rank - 1])
    above_low = min((weight_before + tokens_between * token_weight) / total.high, 1.0)
    above_high = min((weight_before + tokens_between * weights[-1]) / total.low, 1.0)
    mass_low, mass_high = min(token_weight / total.high, 1.0), min(token_weight / total.low, 1.0)
    if rank > kept.certain:  # the token may be excluded
        above_high, mass_low = 1.0, 0.0
    return _Range(above_low, above_high), _Range(mass_low, mass_high)


def _clamped_exp(value: float) -> float:
    return exp(max(value, MIN_EXPONENT))


def _weight_of_others(top: Sequence[float], power: float, vocabulary: int) -> _Range:
    """Return the total weight of the tokens that are not returned."""
    first = _clamped_exp(top[0])
    remaining = max(1 - sum(_clamped_exp(value) for value in top), 0.0) / first
    count = vocabulary - len(top)
    if count <= 0 or remaining <= 0:
        return _Range(0.0, 0.0)
    unequal = remaining * _clamped_exp(top[-1] - top[0]) ** (power - 1)
    equal = count * (remaining / count) ** power
    return _Range(min(unequal, equal), max(unequal, equal))


def _kept_tokens(
    top: Sequence[float], weights: Sequence[float], rest: _Range, decoding: Decoding
) -> _KeptTokens:
    certain = possible = len(top)
    relative = [_clamped_exp(value - top[0]) for value in top] if decoding.temperature_last else weights
    others = rest
    if decoding.temperature_last:
        # at power 1, the size of the vocabulary does not matter
        others = _weight_of_others(top, 1.0, 1 << 30)
    if decoding.top_k and decoding.top_k <= len(top):
        certain = possible = decoding.top_k
        others = _Range(0.0, 0.0)
    if decoding.top_p < 1:
        weights_before = [0.0, *accumulate(relative[:possible])]
        low, high = (
            bisect_left(weights_before, decoding.top_p * (weights_before[-1] + weight)) for weight in others
        )
        certain, possible = min(certain, low), min(possible, high)
        others = others if high > len(relative) else _Range(0.0, 0.0)
    if decoding.min_p:
        likely = sum(value >= decoding.min_p for value in relative)
        certain, possible = min(certain, likely), min(possible, likely)
        others = others if likely == len(top) else _Range(0.0, 0.0)
    if not decoding.truncates:
        return _KeptTokens(certain, possible, rest)
    return _KeptTokens(certain, possible, _Range(0.0, rest.high if others.high else 0.0))
