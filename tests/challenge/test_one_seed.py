"""Replies sampled with the same seed: an engine uses the same random number at the same position of each reply."""

from __future__ import annotations

import numpy as np
import pytest

from evals.challenge.evidence import weigh
from evals.seams import TokenLikelihoods

VOCABULARY, TOKENS, REPLIES = 40, 200, 15
RECORDED_TEMPERATURE = 0.8


def replies_of_one_seed(seed: int, temperature: float) -> list[TokenLikelihoods]:
    """Return likelihoods of replies sampled by inversion of the CDF, as in llama.cpp, with the same random numbers in each reply."""
    rng = np.random.default_rng(seed)
    uniform = rng.random(TOKENS)
    likelihoods = []
    for _ in range(REPLIES):
        logits = -np.sort(-rng.normal(scale=2.0, size=(TOKENS, VOCABULARY)), axis=1)
        p, sampled_p = (np.exp(logits / t) for t in (RECORDED_TEMPERATURE, temperature))
        p, sampled_p = p / p.sum(1, keepdims=True), sampled_p / sampled_p.sum(1, keepdims=True)
        token = (sampled_p.cumsum(1) < uniform[:, None]).sum(1).clip(max=VOCABULARY - 1)
        positions = np.arange(TOKENS)
        logprobs = logits - np.log(np.exp(logits).sum(1, keepdims=True))
        above = p.cumsum(1)[positions, token] - p[positions, token]
        likelihoods.append(
            TokenLikelihoods(
                logprobs[positions, token],
                token + 1.0,
                logprobs[:, 0] - logprobs[positions, token],
                above.clip(min=0),
                p[positions, token],
            )
        )
    return likelihoods


def verdict_count(temperature: float, *, one_seed: bool, verdict: str, trials: int) -> int:
    """Return in how many trials the verdict is `verdict`."""
    return sum(
        weigh(replies_of_one_seed(seed, temperature), greedy=False, one_seed=one_seed).verdict == verdict
        for seed in range(trials)
    )


@pytest.mark.slow
def test_false_alarms_are_rare_for_replies_of_one_seed():
    """At alpha 0.01, 4 or more false alarms in 60 trials have a probability of 0.3 %."""
    assert verdict_count(RECORDED_TEMPERATURE, one_seed=True, verdict="consistent", trials=60) >= 57


def test_false_alarms_are_frequent_if_replies_of_one_seed_are_treated_as_independent():
    assert verdict_count(RECORDED_TEMPERATURE, one_seed=False, verdict="consistent", trials=20) <= 17


@pytest.mark.parametrize("temperature", [0.4, 1.6])
def test_another_temperature_is_detected_for_replies_of_one_seed(temperature: float):
    assert verdict_count(temperature, one_seed=True, verdict="different", trials=20) >= 17
