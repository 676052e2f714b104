"""Replies drawn with one seed: an engine's random numbers are the same in each of them, position by position."""

from __future__ import annotations

import numpy as np
import pytest

from evals.challenge.evidence import weigh
from evals.seams import TokenLikelihoods

VOCABULARY, TOKENS, REPLIES = 40, 200, 15
RECORDED_TEMPERATURE = 0.8


def written(seed: int, temperature: float) -> list[TokenLikelihoods]:
    """Replies drawn by inversion in the order of probability, as llama.cpp draws them, each with the same numbers."""
    rng = np.random.default_rng(seed)
    uniform = rng.random(TOKENS)
    likelihoods = []
    for _ in range(REPLIES):
        logits = -np.sort(-rng.normal(scale=2.0, size=(TOKENS, VOCABULARY)), axis=1)
        p, drawn_from = (np.exp(logits / t) for t in (RECORDED_TEMPERATURE, temperature))
        p, drawn_from = p / p.sum(1, keepdims=True), drawn_from / drawn_from.sum(1, keepdims=True)
        own = (drawn_from.cumsum(1) < uniform[:, None]).sum(1).clip(max=VOCABULARY - 1)
        at = np.arange(TOKENS)
        logs = logits - np.log(np.exp(logits).sum(1, keepdims=True))
        above = p.cumsum(1)[at, own] - p[at, own]
        likelihoods.append(
            TokenLikelihoods(
                logs[at, own], own + 1.0, logs[:, 0] - logs[at, own], above.clip(min=0), p[at, own]
            )
        )
    return likelihoods


def alarms(temperature: float, *, one_seed: bool, verdict: str, trials: int) -> int:
    return sum(
        weigh(written(seed, temperature), greedy=False, one_seed=one_seed).verdict == verdict
        for seed in range(trials)
    )


def test_honest_replies_of_one_seed_raise_few_false_alarms():
    """At alpha 0.01, 4 or more in 60 trials have a probability of 0.3 %."""
    assert alarms(RECORDED_TEMPERATURE, one_seed=True, verdict="consistent", trials=60) >= 57


def test_pooled_as_if_they_were_independent_they_raise_many():
    assert alarms(RECORDED_TEMPERATURE, one_seed=False, verdict="consistent", trials=20) <= 17


@pytest.mark.parametrize("temperature", [0.4, 1.6])
def test_another_temperature_is_found_all_the_same(temperature: float):
    assert alarms(temperature, one_seed=True, verdict="different", trials=20) >= 17
