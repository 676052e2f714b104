"""Log-likelihoods of continuations (the protocol `LogProbs`), from recorded responses of real servers.

The recordings are in `cases/recorded.jsonl` (see `record_servers.py`); responses that vLLM does not give are written here.
"""

from __future__ import annotations

import json
from typing import Any

import pytest
from aiohttp import web

from evals import load
from evals.errors import BadReply, Context, EvalsError, Fatal, Rejected
from evals.types import Likelihood, LogProbs
from tests.support.error_messages import raises
from tests.support.paths import TESTS

RECORDED = {
    (line["server"], line["case"]): line
    for line in map(json.loads, (TESTS / "cases" / "recorded.jsonl").read_text("utf-8").splitlines())
}
PROMPT = "Two and two make "
CONTINUATIONS = ("four", "四")


async def call_logprobs(
    answer: Any,
    *,
    status: int = 200,
    prompt: str = PROMPT,
    continuations: tuple[str, ...] = CONTINUATIONS,
) -> tuple[tuple[Likelihood, ...], Any]:
    """Return the likelihoods that the adapter computes from one response, and its first request."""
    requests = []

    async def handle(request: web.Request) -> web.Response:
        requests.append((request.path, await request.json()))
        return web.Response(text=answer if isinstance(answer, str) else json.dumps(answer), status=status)

    app = web.Application()
    app.router.add_post("/{path:.*}", handle)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    host, port = runner.addresses[0][:2]
    model = load.model(f"server:http://{host}:{port}/v1#tiny")
    assert isinstance(model, LogProbs)
    assert "logprobs" in model.accepts
    try:
        return await model.logprobs(prompt, continuations), requests[0]
    finally:
        await model.close()
        await runner.cleanup()


async def test_log_likelihoods_from_vllm_are_summed_over_the_tokens_of_each_continuation() -> None:
    recorded = RECORDED["vLLM 0.32.0", "echo"]
    likelihoods, (path, body) = await call_logprobs(recorded["body"])
    assert path == "/v1/completions"
    assert body == recorded["request"]  # the request whose response was recorded
    prompt_values, *full_values = (
        choice["logprobs"]["token_logprobs"] for choice in json.loads(recorded["body"])["choices"]
    )
    assert [likelihood.logprob for likelihood in likelihoods] == [
        sum(values[len(prompt_values) :]) for values in full_values
    ]
    assert [likelihood.tokens for likelihood in likelihoods] == [
        len(values) - len(prompt_values) for values in full_values
    ]
    assert [likelihood.tokens for likelihood in likelihoods] == [3, 4]
    assert not any(likelihood.greedy for likelihood in likelihoods)


async def test_a_server_that_ignores_echo_is_refused_in_one_line() -> None:
    with raises(Fatal):
        await call_logprobs(RECORDED["llama.cpp", "echo"]["body"])


async def test_a_text_that_exceeds_the_context_raises_its_own_error() -> None:
    recorded = RECORDED["vLLM 0.32.0", "overflow"]
    with raises(Context):
        await call_logprobs(recorded["body"], status=recorded["status"])


def choice(text: str, *tokens: tuple[float | None, float | None], index: int = 0) -> dict[str, Any]:
    """Return a choice in vLLM's format; `tokens`: log-likelihoods of each token and of the likeliest one at its position."""
    tops = [None if top is None else {"top": top} for _, top in tokens]
    logprobs = {"token_logprobs": [logprob for logprob, _ in tokens], "top_logprobs": tops}
    return {"index": index, "text": text, "logprobs": logprobs}


FIRST_TOKEN = (None, None)
PROMPT_CHOICE = choice("a", FIRST_TOKEN)
ARGUMENTS = {"prompt": "a", "continuations": ("b",)}


async def test_a_continuation_is_greedy_if_each_of_its_tokens_is_the_likeliest() -> None:
    answer = {
        "choices": [  # in any order
            choice("a no", FIRST_TOKEN, (-1.0, -1.0), (-1.5, -1.25), index=2),
            choice("a yes", FIRST_TOKEN, (-0.5, -0.5), (-0.25, -0.25), index=1),
            PROMPT_CHOICE,
        ]
    }
    likelihoods, _ = await call_logprobs(answer, prompt="a", continuations=(" yes", " no"))
    assert likelihoods == (
        Likelihood(logprob=-0.75, tokens=2, greedy=True),
        Likelihood(logprob=-2.5, tokens=2, greedy=False),
    )


async def test_spaces_at_the_end_of_the_prompt_are_moved_to_the_continuation() -> None:
    _, (_, body) = await call_logprobs(
        {"choices": [PROMPT_CHOICE, choice("a  b", FIRST_TOKEN, (-1.0, -1.0), index=1)]},
        prompt="a  ",
        continuations=("b",),
    )
    assert body["prompt"] == ["a", "a  b"]


@pytest.mark.parametrize(
    ("answer", "error_type"),
    [
        ({"choices": [PROMPT_CHOICE]}, BadReply),
        ({"choices": [PROMPT_CHOICE, choice("ab", FIRST_TOKEN, index=1)]}, Rejected),
        ({"choices": [PROMPT_CHOICE, choice("ab", FIRST_TOKEN, (None, -1.0), index=1)]}, BadReply),
        ({"choices": [PROMPT_CHOICE, choice("abc", FIRST_TOKEN, (-1.0, -1.0), index=1)]}, Fatal),
        ({"choices": [PROMPT_CHOICE, {"index": 1, "text": "ab"}]}, Fatal),
        ({"choices": [PROMPT_CHOICE, choice("ab", (-1.0, -1.0), index=1)]}, Fatal),
        ("<html>", BadReply),
        ('{"choices": [', BadReply),
    ],
    ids=[
        "one choice missing",
        "no token",
        "null",
        "generated text",
        "no logprobs",
        "no echo",
        "HTML",
        "truncated",
    ],
)
async def test_an_invalid_response_raises_an_error(answer: Any, error_type: type[EvalsError]) -> None:
    with raises(error_type) as caught:
        await call_logprobs(answer, **ARGUMENTS)
    assert type(caught.value) is error_type


@pytest.mark.parametrize("prompt", ["", "  "], ids=["empty", "spaces"])
async def test_an_empty_prompt_is_refused_as_the_first_token_has_no_likelihood(prompt: str) -> None:
    with raises(Rejected):
        await call_logprobs({}, prompt=prompt, continuations=("b",))
