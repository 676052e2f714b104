"""Likelihoods of replies from `hf:`, with real transformers on the tiny checkpoint; those from real vLLM are the same."""

from __future__ import annotations

import asyncio
import json
import subprocess
from pathlib import Path
from typing import Any

import pytest

from evals import load
from evals.seams import Decoding, SupportsReplyLikelihoods, TokenLikelihoods
from evals.types import Sampling
from tests.support import engine
from tests.support.paths import ROOT, TESTS
from tests.support.written_replies import PROMPTS, REPLIES

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return engine.checkpoint(engine.python(), tmp_path_factory.mktemp("likelihoods") / "tiny-s1")


@pytest.fixture(scope="module")
def found(weights: Path) -> dict[str, Any]:
    python = engine.python()
    env = engine.environment(python) | {"PYTHONPATH": str(ROOT)}
    words = [str(python), str(TESTS / "support" / "challenge_checks.py"), str(weights)]
    done = subprocess.run(
        words, env=env, cwd=weights.parent, capture_output=True, text=True, check=False, timeout=600
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return dict(json.loads(done.stdout.splitlines()[-1]))


def test_probabilities_under_a_decoding_are_those_of_its_definition(found):
    assert found["error"] < 1e-4


def test_bounds_from_the_likeliest_tokens_hold(found):
    assert found["outside"] == 0


def test_control_tokens_in_a_text_are_text_and_the_end_of_the_turn_is_one(found):
    tokens = found["tokens"]
    end = tokens["empty"]
    assert end == ["<|im_end|>"]
    assert tokens["plain"] == [*tokens["truncated"], *end]
    assert "<|im_start|>" not in tokens["control"]
    assert tokens["control"].count("<|im_end|>") == 1
    assert "".join(tokens["control"][:-1]).startswith("Four<|im_end|>")


def test_reasoning_stands_between_its_tags(found):
    text = "".join(found["tokens"]["reasoning"]).replace("Ġ", " ").replace("Ċ", "\n")
    assert text.startswith("<think>\ntwo and two\n</think>\n\nFour")
    assert "</think>" not in found["tokens"]["unfinished"]


def test_batches_and_pieces_give_the_same_likelihoods(found):
    assert found["apart"]["alone"] < 1e-4
    assert found["apart"]["pieces"] < 1e-4


def test_a_reply_beyond_the_context_is_refused_and_the_others_are_not(found):
    assert "context" in found["too long"]
    assert found["beside"]


def test_with_stop_sequences_no_end_of_the_turn_is_expected(found):
    assert found["with stop sequences"] == [len(found["tokens"]["truncated"])]


def test_a_cancelled_computation_ends_with_its_batch(found):
    """So that Ctrl-C does not wait for every reply."""
    assert found["batches"] == 1


def test_the_backend_is_named(found):
    assert found["backend"].startswith("transformers ")


@pytest.fixture(scope="module")
def by_vllm(weights: Path) -> dict[str, Any]:
    """Likelihoods from real vLLM of the same replies, and of its own."""
    env = engine.environment(engine.python())
    with engine.serve(weights, env, weights.parent) as url:
        return asyncio.run(_likelihoods(url))


async def _likelihoods(url: str) -> dict[str, Any]:
    model = load.model(f"server:{url}")
    assert isinstance(model, SupportsReplyLikelihoods)
    greedy = Sampling(temperature=0.0, max_tokens=40)
    try:
        fixed = await model.reply_likelihoods(
            [(PROMPTS[0], reply) for reply in REPLIES.values()], greedy, Decoding(0.0)
        )
        own = [(prompt, await model.reply(prompt, greedy)) for prompt in PROMPTS]
        sampled = Sampling(temperature=0.7, seed=1, max_tokens=40)
        drawn = [(prompt, await model.reply(prompt, sampled)) for prompt in PROMPTS]
        return {
            "fixed": dict(zip(REPLIES, fixed, strict=True)),
            "own": await model.reply_likelihoods(own, greedy, Decoding(0.0)),
            "drawn": await model.reply_likelihoods(drawn, sampled, Decoding(0.7)),
            "backend": model.backend(),
        }
    finally:
        await model.close()


@pytest.mark.parametrize("name", ["plain", "truncated", "reasoning", "unfinished", "empty"])
def test_vllm_returns_the_same_likelihoods(found, by_vllm, name):
    tokens = by_vllm["fixed"][name]
    assert isinstance(tokens, TokenLikelihoods), tokens
    assert tokens.logprob.tolist() == pytest.approx(found["logprobs"][name], abs=1e-3)


def test_vllm_is_not_sent_the_text_of_control_tokens(by_vllm):
    assert "the text of a control token" in str(by_vllm["fixed"]["control"])


def test_vllm_s_own_greedy_replies_are_its_first_choices(by_vllm):
    same = [r for r in by_vllm["own"] if r.recorded_tokens == len(r.rank)]
    assert same
    for tokens in same:
        assert (
            tokens.gap.max() < 1e-3 or (tokens.rank > 1).mean() < 0.2
        )  # its text may be tokenised otherwise


def test_bounds_of_drawn_replies_are_in_order(by_vllm):
    for tokens in by_vllm["drawn"]:
        assert (tokens.above <= tokens.above_upper + 1e-9).all()
        assert (tokens.mass <= tokens.mass_upper + 1e-9).all()
