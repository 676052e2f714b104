"""Likelihoods of replies from `hf:` with real transformers on the tiny checkpoint, and the same from real vLLM."""

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
def results(weights: Path) -> dict[str, Any]:
    """Return the results of `challenge_checks.py`."""
    python = engine.python()
    env = engine.environment(python) | {"PYTHONPATH": str(ROOT)}
    command = [str(python), str(TESTS / "support" / "challenge_checks.py"), str(weights)]
    completed = subprocess.run(
        command, env=env, cwd=weights.parent, capture_output=True, text=True, check=False, timeout=600
    )
    assert completed.returncode == 0, completed.stderr[-3000:]
    return dict(json.loads(completed.stdout.splitlines()[-1]))


def test_likelihoods_under_a_decoding_equal_those_computed_by_definition(results):
    assert results["error"] < 1e-4


def test_bounds_from_the_likeliest_tokens_contain_the_exact_likelihoods(results):
    assert results["outside"] == 0


def test_control_tokens_in_a_text_are_read_as_text_and_only_the_end_of_the_turn_is_a_control_token(results):
    tokens = results["tokens"]
    end = tokens["empty"]
    assert end == ["<|im_end|>"]
    assert tokens["plain"] == [*tokens["truncated"], *end]
    assert "<|im_start|>" not in tokens["control"]
    assert tokens["control"].count("<|im_end|>") == 1
    assert "".join(tokens["control"][:-1]).startswith("Four<|im_end|>")


def test_reasoning_is_placed_between_its_tags(results):
    text = "".join(results["tokens"]["reasoning"]).replace("Ġ", " ").replace("Ċ", "\n")
    assert text.startswith("<think>\ntwo and two\n</think>\n\nFour")
    assert "</think>" not in results["tokens"]["unfinished"]


def test_likelihoods_do_not_depend_on_how_replies_are_batched_or_divided(results):
    assert results["max_difference"]["alone"] < 1e-4
    assert results["max_difference"]["pieces"] < 1e-4


def test_a_reply_that_exceeds_the_context_is_refused_and_the_others_are_not(results):
    assert "context" in results["too long"]
    assert results["other reply"]


def test_with_stop_sequences_the_end_of_the_turn_is_not_expected(results):
    assert results["with stop sequences"] == [len(results["tokens"]["truncated"])]


def test_a_cancelled_computation_ends_after_the_current_batch(results):
    """Otherwise Ctrl-C would wait for every reply."""
    assert results["batches"] == 1


def test_the_backend_is_named(results):
    assert results["backend"].startswith("transformers ")


@pytest.fixture(scope="module")
def by_vllm(weights: Path) -> dict[str, Any]:
    """Return likelihoods from real vLLM: of the written replies, and of its own greedy and sampled ones."""
    env = engine.environment(engine.python())
    with engine.serve(weights, env, weights.parent) as url:
        return asyncio.run(_likelihoods(url))


async def _likelihoods(url: str) -> dict[str, Any]:
    model = load.model(f"server:{url}")
    assert isinstance(model, SupportsReplyLikelihoods)
    greedy = Sampling(temperature=0.0, max_tokens=40)
    try:
        written = await model.reply_likelihoods(
            [(PROMPTS[0], reply) for reply in REPLIES.values()], greedy, Decoding(0.0)
        )
        greedy_exchanges = [(prompt, await model.reply(prompt, greedy)) for prompt in PROMPTS]
        sampling = Sampling(temperature=0.7, seed=1, max_tokens=40)
        sampled_exchanges = [(prompt, await model.reply(prompt, sampling)) for prompt in PROMPTS]
        return {
            "written": dict(zip(REPLIES, written, strict=True)),
            "greedy": await model.reply_likelihoods(greedy_exchanges, greedy, Decoding(0.0)),
            "sampled": await model.reply_likelihoods(sampled_exchanges, sampling, Decoding(0.7)),
            "backend": model.backend(),
        }
    finally:
        await model.close()


@pytest.mark.parametrize("name", ["plain", "truncated", "reasoning", "unfinished", "empty"])
def test_vllm_returns_the_same_likelihoods(results, by_vllm, name):
    tokens = by_vllm["written"][name]
    assert isinstance(tokens, TokenLikelihoods), tokens
    assert tokens.logprob.tolist() == pytest.approx(results["logprobs"][name], abs=1e-3)


def test_a_reply_with_the_text_of_a_control_token_is_refused_with_vllm(by_vllm):
    assert "the text of a control token" in str(by_vllm["written"]["control"])


def test_vllm_s_own_greedy_replies_are_its_first_choices(by_vllm):
    same_length = [tokens for tokens in by_vllm["greedy"] if tokens.recorded_tokens == len(tokens.rank)]
    assert same_length
    for tokens in same_length:
        # a text may be tokenised differently even if the number of tokens is the same
        assert tokens.gap.max() < 1e-3 or (tokens.rank > 1).mean() < 0.2


def test_lower_bounds_of_sampled_replies_do_not_exceed_upper_bounds(by_vllm):
    for tokens in by_vllm["sampled"]:
        assert (tokens.above <= tokens.above_upper + 1e-9).all()
        assert (tokens.mass <= tokens.mass_upper + 1e-9).all()
