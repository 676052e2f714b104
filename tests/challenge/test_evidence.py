"""The tests of a challenge on simulated next-token probabilities, where the writer is known."""

from __future__ import annotations

import numpy as np
import pytest

from evals.challenge.evidence import CLOSE, SAME, cumulative_log_wealth, factors_by_reply, features_of, weigh
from evals.errors import UsageError
from evals.seams import TokenLikelihoods

WORDS = 40
LENGTH = 24


def reply(rng, *, length=LENGTH, temperature=1.0, noise=0.0, edited=0.0, greedy=False, top_p=1.0):
    """A reply of a writer with its own temperature and noisy logits, with its likelihoods under the model itself.

    A share of its tokens is replaced by any word.
    """
    logits = -np.sort(-3 * rng.normal(size=(length, WORDS)), axis=1)
    p = np.exp(logits - logits.max(axis=1, keepdims=True))
    p /= p.sum(axis=1, keepdims=True)
    logprob = np.log(p)
    p = np.where(p.cumsum(axis=1) - p < top_p, p, 0.0)
    p /= p.sum(axis=1, keepdims=True)
    own = logits / temperature + noise * rng.normal(size=logits.shape)
    own = np.where(p > 0, own, -np.inf)
    drawn = own - (0.0 if greedy else np.log(-np.log(rng.random(own.shape))))  # Gumbel's trick
    token = drawn.argmax(axis=1)
    token = np.where(rng.random(length) < edited, rng.integers(0, WORDS, length), token)
    at = np.arange(length)
    above = p.cumsum(axis=1) - p
    return TokenLikelihoods(
        logprob[at, token],
        token + 1.0,
        logprob[:, 0] - logprob[at, token],
        np.clip(above[at, token], 0.0, 1.0),
        p[at, token],
    )


def replies(seed, number=30, **how):
    rng = np.random.default_rng(seed)
    return [reply(rng, **how) for _ in range(number)]


def factors(likelihoods, near, *, greedy=False):
    return factors_by_reply(
        [features_of(tokens, greedy=greedy) for tokens in likelihoods], near, greedy=greedy
    )


def alarms(near, runs=2000, number=12):
    """How many runs of an honest writer reach 1/alpha at any reply."""
    rng = np.random.default_rng(20)
    pool = factors([reply(rng) for _ in range(600)], near)
    chosen = np.stack([rng.choice(600, number, replace=False) for _ in range(runs)])
    return int((cumulative_log_wealth(pool[chosen]).max(axis=1) >= np.log(100)).sum())


def test_an_honest_run_is_consistent_and_rarely_called_anything_else_whenever_one_stops():
    assert weigh(replies(1), greedy=False).verdict == "consistent"
    assert alarms(SAME) <= 30  # of 2,000 at .01: 20 expected at most, and 30 with chance .99
    assert alarms(CLOSE) <= 2


def test_the_expected_wealth_is_at_most_one_at_the_edge_of_the_neighbourhood():
    """Tokens whose tails have exactly the largest mean that the neighbourhood allows: wealth has expectation 1."""
    rng = np.random.default_rng(3)
    share = SAME.max_share_beyond(0.03)
    logs = []
    for _ in range(4000):
        gap = np.where(rng.random(20) < share, 0.05, 0.0)
        ones = np.ones(20)
        tokens = TokenLikelihoods(-ones, ones, gap, 0 * ones, ones)
        logs.append(factors([tokens], SAME, greedy=True)[0, 0])
    assert np.exp(logs).mean(axis=0)[:5] == pytest.approx(
        1.0, abs=0.05
    )  # the longest odds pay too seldom to see


@pytest.mark.parametrize(
    "how",
    [
        {"temperature": 1.5},
        {"temperature": 0.6},
        {"noise": 3.0},
        {"edited": 0.06},
        {"top_p": 0.9, "edited": 0.03},
        {"greedy": True},
    ],
    ids=str,
)
def test_what_another_writer_drew_is_found_and_more_replies_tell_more(how):
    logs = np.stack([cumulative_log_wealth(factors(replies(seed, 60, **how), CLOSE)) for seed in range(10)])
    found = (np.maximum.accumulate(logs, axis=1) >= np.log(100)).mean(axis=0)
    assert found[-1] == 1
    assert (np.diff(found) >= 0).all()
    assert logs[:, 59].mean() > logs[:, 19].mean() > logs[:, 4].mean()


def test_a_slightly_noisy_engine_is_close_at_most():
    for noise in (0.02, 0.1):
        assert {weigh(replies(s, noise=noise), greedy=False).verdict for s in range(5)} <= {
            "consistent",
            "close",
        }
        greedy = {weigh(replies(s, noise=noise, greedy=True), greedy=True).verdict for s in range(5)}
        assert greedy <= {"consistent", "close"}


def test_greedy_replies():
    own = weigh(replies(1, greedy=True), greedy=True)
    assert (own.verdict, own.first_choices, own.e_value < 1) == ("consistent", 1.0, True)
    assert weigh(replies(1, greedy=True, edited=0.05), greedy=True).verdict == "different"
    assert weigh(replies(1, greedy=True, noise=1.0), greedy=True).verdict == "different"
    assert weigh(replies(1), greedy=True).verdict == "different"


def test_the_order_of_replies_changes_when_it_is_decided_and_not_the_last_wealth():
    found = replies(5, temperature=1.4)
    each = factors(found, CLOSE)
    assert cumulative_log_wealth(each)[-1] == pytest.approx(cumulative_log_wealth(each[::-1])[-1])
    assert weigh(found, greedy=False) == weigh(found, greedy=False)
    assert weigh(found, greedy=False).verdict == weigh(found[::-1], greedy=False).verdict == "different"


def test_bounds_of_a_backend_that_returns_few_tokens_never_add_evidence():
    for how in ({"temperature": 1.5}, {"temperature": 0.6}, {}):
        exact = replies(6, **how)
        loose = [
            r._replace(
                above=0.9 * r.above,
                mass=0.9 * r.mass,
                above_upper=np.minimum(1, r.above + 0.02),
                mass_upper=np.minimum(1, r.mass + 0.02),
            )
            for r in exact
        ]
        assert (factors(loose, CLOSE) <= factors(exact, CLOSE) + 1e-9).all()


def nothing():
    return TokenLikelihoods(*(np.empty(0) for _ in range(5)))


def test_no_tokens_one_reply_and_certain_tokens():
    assert weigh([], greedy=False).verdict == weigh([nothing()], greedy=True).verdict == "untestable"
    one = np.ones(1)
    certain = TokenLikelihoods(0 * one, one, 0 * one, 0 * one, one)
    for greedy in (True, False):
        alone = weigh([certain], greedy=greedy)
        assert (alone.verdict, alone.tokens, alone.first_choices) == ("consistent", 1, 1.0)
        assert (
            weigh([certain] * 500, greedy=greedy).verdict == "consistent"
        )  # U is uniform, whatever was drawn
    assert weigh([nothing(), certain], greedy=True).replies == 2


def test_tokens_that_the_sampling_excludes():
    one = np.ones(1)
    excluded = TokenLikelihoods(-9 * one, 80 * one, 8 * one, one, 0 * one)
    certain = TokenLikelihoods(0 * one, one, 0 * one, 0 * one, one)
    assert weigh([excluded] * 4, greedy=False).verdict == "different"
    assert weigh([certain] * 400 + [excluded], greedy=False).verdict != "different"


@pytest.mark.parametrize(
    ("field", "value", "words"),
    [
        ("mass", np.nan, "not a number"),
        ("mass", 1.5, "not a probability"),
        ("above", -0.5, "not a probability"),
        ("gap", -1.0, "gap of a token is below 0"),
        ("rank", np.nan, "rank of a token is not a number"),
    ],
)
def test_invalid_likelihoods_are_refused_in_one_line(field, value, words):
    bad = replies(1, 1)[0]
    values = getattr(bad, field).copy()
    values[3] = value
    with pytest.raises(UsageError, match=words):
        weigh([bad._replace(**{field: values})], greedy=False)
    with pytest.raises(UsageError, match="24 tokens, but its gap"):
        weigh([bad._replace(gap=bad.gap[:3])], greedy=True)


@pytest.mark.parametrize("alpha", [0, 1, float("nan")])
def test_alpha_lies_between_0_and_1(alpha):
    with pytest.raises(UsageError, match="alpha"):
        weigh(replies(1, 1), greedy=False, alpha=alpha)
