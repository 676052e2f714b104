"""The second protocol: how likely a text is as the continuation of another; on what real servers said.

The answers are in `cases/recorded.jsonl` (see `record_servers.py`); what vLLM never says is made by hand here.
"""

from __future__ import annotations

import json
from typing import Any

import pytest
from aiohttp import web

from evals import load
from evals.errors import BadReply, Context, EvalsError, Fatal, Rejected
from evals.types import Likelihood, LogProbs
from tests.support.paths import TESTS

RECORDED = {
    (line["server"], line["case"]): line
    for line in map(json.loads, (TESTS / "cases" / "recorded.jsonl").read_text("utf-8").splitlines())
}
ASKED = ("Two and two make ", ("four", "四"))


async def told(
    answer: Any, *, status: int = 200, prompt: str = ASKED[0], continuations: tuple[str, ...] = ASKED[1]
) -> tuple[tuple[Likelihood, ...], Any]:
    """What the adapter makes of one answer, and what it asked."""
    asked = []

    async def handle(request: web.Request) -> web.Response:
        asked.append((request.path, await request.json()))
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
        return await model.logprobs(prompt, continuations), asked[0]
    finally:
        await model.close()
        await runner.cleanup()


async def test_what_vllm_says_is_summed_over_the_continuations_tokens() -> None:
    recorded = RECORDED["vLLM 0.32.0", "echo"]
    found, (path, body) = await told(recorded["body"])
    assert path == "/v1/completions"
    assert body == recorded["request"]  # the very request that the recording answers
    alone, *whole = (
        choice["logprobs"]["token_logprobs"] for choice in json.loads(recorded["body"])["choices"]
    )
    assert [f.logprob for f in found] == [sum(values[len(alone) :]) for values in whole]
    assert [f.tokens for f in found] == [len(values) - len(alone) for values in whole]
    assert [f.tokens for f in found] == [3, 4]
    assert not any(f.greedy for f in found)


async def test_a_server_that_ignores_echo_is_refused_in_one_line() -> None:
    with pytest.raises(
        Fatal, match=r"does not return likelihoods: it ignores `echo` with `logprobs`"
    ) as caught:
        await told(RECORDED["llama.cpp", "echo"]["body"])
    assert "\n" not in str(caught.value)


async def test_a_text_longer_than_the_context_is_its_own_kind_of_fault() -> None:
    recorded = RECORDED["vLLM 0.32.0", "overflow"]
    with pytest.raises(Context):
        await told(recorded["body"], status=recorded["status"])


def choice(text: str, *tokens: tuple[float | None, float | None], index: int = 0) -> dict[str, Any]:
    """As vLLM says it; `tokens`: (its own, the likeliest)."""
    tops = [None if top is None else {"top": top} for _, top in tokens]
    logprobs = {"token_logprobs": [own for own, _ in tokens], "top_logprobs": tops}
    return {"index": index, "text": text, "logprobs": logprobs}


FIRST = (None, None)
PROMPT = choice("a", FIRST)
ONE = {"prompt": "a", "continuations": ("b",)}


async def test_greedy_is_what_has_nothing_likelier_at_any_token() -> None:
    answer = {
        "choices": [  # in whatever order they come
            choice("a no", FIRST, (-1.0, -1.0), (-1.5, -1.25), index=2),
            choice("a yes", FIRST, (-0.5, -0.5), (-0.25, -0.25), index=1),
            PROMPT,
        ]
    }
    found, _ = await told(answer, prompt="a", continuations=(" yes", " no"))
    assert found == (
        Likelihood(logprob=-0.75, tokens=2, greedy=True),
        Likelihood(logprob=-2.5, tokens=2, greedy=False),
    )


async def test_spaces_at_the_prompts_end_are_the_continuations() -> None:
    _, (_, body) = await told(
        {"choices": [PROMPT, choice("a  b", FIRST, (-1.0, -1.0), index=1)]},
        prompt="a  ",
        continuations=("b",),
    )
    assert body["prompt"] == ["a", "a  b"]


@pytest.mark.parametrize(
    ("answer", "kind", "said"),
    [
        ({"choices": [PROMPT]}, BadReply, "1 reply to 2 prompts"),
        ({"choices": [PROMPT, choice("ab", FIRST, index=1)]}, Rejected, "'b' adds no token"),
        ({"choices": [PROMPT, choice("ab", FIRST, (None, -1.0), index=1)]}, BadReply, "null or NaN"),
        ({"choices": [PROMPT, choice("abc", FIRST, (-1.0, -1.0), index=1)]}, Fatal, "ignores `echo`"),
        ({"choices": [PROMPT, {"index": 1, "text": "ab"}]}, Fatal, "ignores `echo`"),
        ({"choices": [PROMPT, choice("ab", (-1.0, -1.0), index=1)]}, Fatal, "ignores `echo`"),
        ("<html>", BadReply, "200 with HTML"),
        ('{"choices": [', BadReply, "200 with no completion"),
    ],
    ids=["one short", "no token", "null", "more than asked", "none", "an answer", "HTML", "torn"],
)
async def test_an_answer_that_is_none_is_no_likelihood(
    answer: Any, kind: type[EvalsError], said: str
) -> None:
    with pytest.raises(kind, match=said) as caught:
        await told(answer, **ONE)
    assert type(caught.value) is kind


@pytest.mark.parametrize("prompt", ["", "  "])
async def test_the_first_token_of_a_text_has_no_likelihood(prompt: str) -> None:
    with pytest.raises(Rejected, match="need a prompt"):
        await told({}, prompt=prompt, continuations=("b",))
