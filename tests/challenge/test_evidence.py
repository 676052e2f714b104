"""The statistical test of a challenge on simulated replies whose writer, the claimed model or another, is known."""

from __future__ import annotations

import numpy as np
import pytest

from evals.challenge.evidence import (
    CLOSE,
    SAME,
    cumulative_log_wealth,
    features_of,
    log_factors_by_reply,
    weigh,
)
from evals.errors import UsageError
from evals.seams import TokenLikelihoods
from tests.support.error_messages import raises

VOCABULARY = 40
LENGTH = 24


def reply(rng, *, length=LENGTH, temperature=1.0, noise=0.0, edited=0.0, greedy=False, top_p=1.0):
    """Return the likelihoods, under the claimed model, of a simulated reply.

    The writer samples at `temperature` (or greedily) from the claimed model's logits with normal `noise`; `edited` is the
    share of tokens that are then replaced by random ones. The claimed model decodes at temperature 1 with `top_p`.
    """
    logits = -np.sort(-3 * rng.normal(size=(length, VOCABULARY)), axis=1)
    p = np.exp(logits - logits.max(axis=1, keepdims=True))
    p /= p.sum(axis=1, keepdims=True)
    logprob = np.log(p)
    p = np.where(p.cumsum(axis=1) - p < top_p, p, 0.0)
    p /= p.sum(axis=1, keepdims=True)
    writer_logits = logits / temperature + noise * rng.normal(size=logits.shape)
    writer_logits = np.where(p > 0, writer_logits, -np.inf)
    # the Gumbel-max trick
    perturbed_logits = writer_logits - (0.0 if greedy else np.log(-np.log(rng.random(writer_logits.shape))))
    token = perturbed_logits.argmax(axis=1)
    token = np.where(rng.random(length) < edited, rng.integers(0, VOCABULARY, length), token)
    positions = np.arange(length)
    above = p.cumsum(axis=1) - p
    return TokenLikelihoods(
        logprob[positions, token],
        token + 1.0,
        logprob[:, 0] - logprob[positions, token],
        np.clip(above[positions, token], 0.0, 1.0),
        p[positions, token],
    )


def replies(seed, count=30, **options):
    rng = np.random.default_rng(seed)
    return [reply(rng, **options) for _ in range(count)]


def factors(likelihoods, neighbourhood, *, greedy=False):
    return log_factors_by_reply(
        [features_of(tokens, greedy=greedy) for tokens in likelihoods], neighbourhood, greedy=greedy
    )


def false_alarm_count(neighbourhood, runs=2000, reply_count=12):
    """Return the number of runs of the claimed model whose wealth reaches 1/alpha after any number of replies."""
    rng = np.random.default_rng(20)
    pool = factors([reply(rng) for _ in range(600)], neighbourhood)
    samples = np.stack([rng.choice(600, reply_count, replace=False) for _ in range(runs)])
    return int((cumulative_log_wealth(pool[samples]).max(axis=1) >= np.log(100)).sum())


def test_replies_of_the_claimed_model_are_consistent_and_false_alarms_are_rare_at_any_stopping_time():
    assert weigh(replies(1), greedy=False).verdict == "consistent"
    # at alpha 0.01, at most 20 of 2,000 are expected, and at most 30 with probability 0.99
    assert false_alarm_count(SAME) <= 30
    assert false_alarm_count(CLOSE) <= 2


def test_the_expected_wealth_is_one_at_the_boundary_of_the_neighbourhood():
    """Tokens whose tails have exactly the largest mean that the neighbourhood allows: wealth has expectation 1."""
    rng = np.random.default_rng(3)
    share = SAME.max_share_beyond(0.03)
    log_wealths = []
    for _ in range(4000):
        gap = np.where(rng.random(20) < share, 0.05, 0.0)
        ones = np.ones(20)
        tokens = TokenLikelihoods(-ones, ones, gap, 0 * ones, ones)
        log_wealths.append(factors([tokens], SAME, greedy=True)[0, 0])
    # bets at the longest odds win too rarely for their mean to be estimated
    assert np.exp(log_wealths).mean(axis=0)[:5] == pytest.approx(1.0, abs=0.05)


@pytest.mark.parametrize(
    "options",
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
def test_replies_of_another_writer_are_detected_and_the_evidence_grows_with_their_number(options):
    log_wealths = np.stack(
        [cumulative_log_wealth(factors(replies(seed, 60, **options), CLOSE)) for seed in range(10)]
    )
    detection_rate = (np.maximum.accumulate(log_wealths, axis=1) >= np.log(100)).mean(axis=0)
    assert detection_rate[-1] == 1
    assert (np.diff(detection_rate) >= 0).all()
    assert log_wealths[:, 59].mean() > log_wealths[:, 19].mean() > log_wealths[:, 4].mean()


def test_slightly_noisy_logits_are_consistent_or_close():
    for noise in (0.02, 0.1):
        assert {weigh(replies(seed, noise=noise), greedy=False).verdict for seed in range(5)} <= {
            "consistent",
            "close",
        }
        greedy_verdicts = {
            weigh(replies(seed, noise=noise, greedy=True), greedy=True).verdict for seed in range(5)
        }
        assert greedy_verdicts <= {"consistent", "close"}


def test_greedy_replies_of_the_claimed_model_are_consistent_and_those_of_others_different():
    evidence = weigh(replies(1, greedy=True), greedy=True)
    assert (evidence.verdict, evidence.first_choices, evidence.e_value < 1) == ("consistent", 1.0, True)
    assert weigh(replies(1, greedy=True, edited=0.05), greedy=True).verdict == "different"
    assert weigh(replies(1, greedy=True, noise=1.0), greedy=True).verdict == "different"
    assert weigh(replies(1), greedy=True).verdict == "different"


def test_the_order_of_replies_changes_neither_the_final_wealth_nor_the_verdict():
    likelihoods = replies(5, temperature=1.4)
    reply_factors = factors(likelihoods, CLOSE)
    assert cumulative_log_wealth(reply_factors)[-1] == pytest.approx(
        cumulative_log_wealth(reply_factors[::-1])[-1]
    )
    assert weigh(likelihoods, greedy=False) == weigh(likelihoods, greedy=False)
    assert (
        weigh(likelihoods, greedy=False).verdict
        == weigh(likelihoods[::-1], greedy=False).verdict
        == "different"
    )


def test_bounds_never_give_more_evidence_than_exact_likelihoods():
    for options in ({"temperature": 1.5}, {"temperature": 0.6}, {}):
        exact = replies(6, **options)
        bounds = [
            tokens._replace(
                above=0.9 * tokens.above,
                mass=0.9 * tokens.mass,
                above_upper=np.minimum(1, tokens.above + 0.02),
                mass_upper=np.minimum(1, tokens.mass + 0.02),
            )
            for tokens in exact
        ]
        assert (factors(bounds, CLOSE) <= factors(exact, CLOSE) + 1e-9).all()


def no_tokens():
    return TokenLikelihoods(*(np.empty(0) for _ in range(5)))


def test_replies_without_tokens_are_untestable_and_tokens_of_probability_one_consistent():
    assert weigh([], greedy=False).verdict == weigh([no_tokens()], greedy=True).verdict == "untestable"
    ones = np.ones(1)
    certain = TokenLikelihoods(0 * ones, ones, 0 * ones, 0 * ones, ones)
    for greedy in (True, False):
        single = weigh([certain], greedy=greedy)
        assert (single.verdict, single.tokens, single.first_choices) == ("consistent", 1, 1.0)
        # V alone decides U, so U is uniform
        assert weigh([certain] * 500, greedy=greedy).verdict == "consistent"
    assert weigh([no_tokens(), certain], greedy=True).replies == 2


def test_replies_made_of_excluded_tokens_are_different_but_one_such_token_is_not_enough():
    ones = np.ones(1)
    excluded = TokenLikelihoods(-9 * ones, 80 * ones, 8 * ones, ones, 0 * ones)
    certain = TokenLikelihoods(0 * ones, ones, 0 * ones, 0 * ones, ones)
    assert weigh([excluded] * 4, greedy=False).verdict == "different"
    assert weigh([certain] * 400 + [excluded], greedy=False).verdict != "different"


@pytest.mark.parametrize(
    ("field", "value"),
    [("mass", np.nan), ("mass", 1.5), ("above", -0.5), ("gap", -1.0), ("rank", np.nan)],
)
def test_invalid_likelihoods_are_refused_in_one_line(field, value):
    likelihoods = replies(1, 1)[0]
    values = getattr(likelihoods, field).copy()
    values[3] = value
    with raises(UsageError):
        weigh([likelihoods._replace(**{field: values})], greedy=False)


def test_likelihoods_of_different_lengths_are_refused():
    likelihoods = replies(1, 1)[0]
    with raises(UsageError):
        weigh([likelihoods._replace(gap=likelihoods.gap[:3])], greedy=True)


@pytest.mark.parametrize("alpha", [0, 1, float("nan")])
def test_an_alpha_that_is_not_between_0_and_1_is_refused(alpha):
    with raises(UsageError):
        weigh(replies(1, 1), greedy=False, alpha=alpha)
