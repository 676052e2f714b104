"""Readings from a server that returns the likeliest tokens of each position only: `above` and `mass` are bounded.

The tokens that were not sent share the remaining probability, and none has more than the least likely one sent. The sum of
p ** (1 / T) over them is then largest and smallest if they are as equal, or as unequal, as that allows.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence
from itertools import accumulate
from typing import NamedTuple

from evals.seams import Decoding, TokenReading


class Position(NamedTuple):
    """What a server says of one token."""

    logprob: float
    rank: int
    top: Sequence[float]
    """Log-probabilities of the likeliest tokens."""


class _Range(NamedTuple):
    low: float
    high: float


class _Kept(NamedTuple):
    """Which of the likeliest tokens a decoding can draw."""

    surely: int
    """The first so many can be drawn."""
    possibly: int
    """No further ones can be, except tokens that were not sent."""
    others: _Range
    """Total weight of the tokens that were not sent and can be drawn."""


def reading(
    positions: Sequence[Position], decoding: Decoding, vocabulary: int, recorded: int | None
) -> TokenReading:
    """Return the reading of a reply; `vocabulary`: an upper bound of the number of tokens."""
    import numpy as np

    table = np.array([_row(p, decoding, vocabulary) for p in positions], dtype=np.float64).reshape(-1, 7).T
    logprob, rank, gap, above, mass, above_upper, mass_upper = table
    return TokenReading(logprob, rank, gap, above, mass, above_upper, mass_upper, recorded)


def _row(position: Position, decoding: Decoding, vocabulary: int) -> tuple[float, ...]:
    logprob, rank, top = position.logprob, position.rank, sorted(position.top, reverse=True)
    known = (logprob, float(rank), max(top[0] - logprob, 0.0))
    if decoding.temperature == 0:
        first = float(rank == 1)
        return (*known, 1 - first, first, 1 - first, first)
    above, mass = _bounds(logprob, rank, top, decoding, vocabulary)
    return (*known, above.low, mass.low, above.high, mass.high)


def _bounds(
    logprob: float, rank: int, top: Sequence[float], decoding: Decoding, vocabulary: int
) -> tuple[_Range, _Range]:
    """Return the bounds of `above` and `mass`."""
    power = 1 / decoding.temperature
    weights = [_exp((value - top[0]) * power) for value in top]
    rest = _rest(top, power, vocabulary)
    kept = _kept(top, weights, rest, decoding)
    total = _Range(
        sum(weights[: kept.surely]) + kept.others.low, sum(weights[: kept.possibly]) + kept.others.high
    )
    if rank > kept.possibly and not kept.others.high:
        return _Range(1.0, 1.0), _Range(0.0, 0.0)
    own = _exp((logprob - top[0]) * power)
    between = max(0, rank - 1 - len(top))  # tokens ranked before it that were not sent
    before = sum(weights[: rank - 1])
    above = _Range((before + between * own) / total.high, (before + between * weights[-1]) / total.low)
    mass = _Range(own / total.high, own / total.low)
    if rank > kept.surely:  # it may be excluded
        return _Range(min(above.low, 1.0), 1.0), _Range(0.0, min(mass.high, 1.0))
    return _Range(min(above.low, 1.0), min(above.high, 1.0)), _Range(min(mass.low, 1.0), min(mass.high, 1.0))


def _exp(value: float) -> float:
    from math import exp

    return exp(max(value, -700.0))


def _rest(top: Sequence[float], power: float, vocabulary: int) -> _Range:
    """Return the total weight of the tokens that were not sent, in units of the first choice's."""
    first = _exp(top[0])
    remaining = max(1 - sum(_exp(value) for value in top), 0.0) / first
    many = vocabulary - len(top)
    if many <= 0 or remaining <= 0:
        return _Range(0.0, 0.0)
    unequal = remaining * _exp(top[-1] - top[0]) ** (power - 1)
    equal = many * (remaining / many) ** power
    return _Range(min(unequal, equal), max(unequal, equal))


def _kept(top: Sequence[float], weights: Sequence[float], rest: _Range, decoding: Decoding) -> _Kept:
    surely = possibly = len(top)
    judged = [_exp(value - top[0]) for value in top] if decoding.temperature_last else weights
    others = _rest(top, 1.0, 1 << 30) if decoding.temperature_last else rest
    cut = False
    if decoding.top_k:
        cut = True
        if decoding.top_k <= len(top):
            surely = possibly = decoding.top_k
            others = _Range(0.0, 0.0)
    if decoding.top_p < 1:
        cut = True
        before = [0.0, *accumulate(judged[:possibly])]
        low, high = (bisect_left(before, decoding.top_p * (before[-1] + w)) for w in others)
        surely, possibly = min(surely, low), min(possibly, high)
        others = others if high > len(judged) else _Range(0.0, 0.0)
    if decoding.min_p:
        cut = True
        above = sum(value >= decoding.min_p for value in judged)
        surely, possibly = min(surely, above), min(possibly, above)
        others = others if above == len(top) else _Range(0.0, 0.0)
    if not cut:
        return _Kept(surely, possibly, rest)
    return _Kept(surely, possibly, _Range(0.0, rest.high if others.high else 0.0))
