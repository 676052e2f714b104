"""Responses in OpenAI's protocol become the same replies and errors with `openai:` and `server:`.

A real server on loopback sends the responses below.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import pytest

from evals import load
from evals.errors import (
    BadReply,
    Context,
    Disconnected,
    Fatal,
    ModelError,
    RateLimit,
    Rejected,
    ServerFault,
    Timeout,
    UnknownName,
    UsageError,
)
from evals.prompts import ask
from evals.types import Media, Message, Model, Prompt, Reply, Sampling, Text, Usage
from tests.support.error_messages import raises
from tests.support.loopback import Answer, Server
from tests.support.tables import table

KEY = "sk-very-secret-key"
PROMPT = ask("What is 2 + 2?")


LoadModel = Callable[..., Awaitable[Model]]
ADAPTERS = ("openai", "server")


@pytest.fixture(params=ADAPTERS)  # other vendors' protocols: test_hosted.py
async def load_model(
    request: pytest.FixtureRequest, server: Server, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[LoadModel]:
    """Yield a function that returns a model of each adapter in turn on the test server."""
    models: list[Model] = []

    async def load_model_of(base: str | None = None, *, name: str = "some/model") -> Model:
        url = base or server.base
        if request.param == "openai":
            monkeypatch.setenv("OPENAI_API_KEY", KEY)
            monkeypatch.setenv("OPENAI_BASE_URL", url)
            models.append(load.model(f"openai:{name}"))
        else:
            monkeypatch.setenv("EVALS_SERVER_KEY", KEY)
            monkeypatch.setenv("OPENAI_API_KEY", "sk-of-the-vendor")
            models.append(load.model(f"server:{url}#{name}"))
        return models[-1]

    yield load_model_of
    for model in models:
        await model.close()


def completion(content: str | None = "4", *, finish: str | None = "stop", **message: Any) -> dict[str, Any]:
    choice = {
        "index": 0,
        "message": {"role": "assistant", "content": content, **message},
        "finish_reason": finish,
    }
    return {"id": "c1", "object": "chat.completion", "model": "served", "choices": [choice]}


REPLIES: dict[str, tuple[Any, Reply]] = {
    "plain": (completion(), Reply(text="4")),
    "empty": (completion(""), Reply(text="")),
    "reasoning_content": (completion(reasoning_content="2 and 2"), Reply(text="4", reasoning="2 and 2")),
    "reasoning": (completion(reasoning="2 and 2"), Reply(text="4", reasoning="2 and 2")),
    "reasoning_content null, reasoning not": (
        completion(reasoning_content=None, reasoning="2 and 2"),
        Reply(text="4", reasoning="2 and 2"),
    ),
    "closed think tag": (completion("<think>2 and 2</think>\n\n4"), Reply(text="4", reasoning="2 and 2")),
    "think without the opening tag": (completion("2 and 2</think>4"), Reply(text="4", reasoning="2 and 2")),
    "unclosed think tag": (completion("<think>2 and"), Reply(text="", reasoning="2 and", stop="length")),
    "closed think tag, and an empty field for reasoning": (
        completion("<think>2 and 2</think>4", reasoning_content=""),
        Reply(text="4", reasoning="2 and 2"),
    ),
    "filtered behind an opening think tag": (
        completion("<think>2 and", finish="content_filter"),
        Reply(text="", reasoning="2 and", stop="filter"),
    ),
    "unclosed think tag at the token limit": (
        completion("<think>2 and", finish="length"),
        Reply(text="", reasoning="2 and", stop="length"),
    ),
    "truncated while reasoning, content null": (
        completion(None, finish="length", reasoning_content="2 and"),
        Reply(text="", reasoning="2 and", stop="length"),
    ),
    "truncated, content null": (completion(None, finish="length"), Reply(text="", stop="length")),
    "truncated": (completion("The answer", finish="length"), Reply(text="The answer", stop="length")),
    "filter": (completion("", finish="content_filter"), Reply(text="", stop="filter")),
    "filter, content null": (completion(None, finish="content_filter"), Reply(text="", stop="filter")),
    "refusal": (completion(None, refusal="I cannot."), Reply(text="I cannot.", stop="filter")),
    "refusal after reasoning": (
        completion(None, refusal="I cannot.", reasoning_content="2 and 2"),
        Reply(text="I cannot.", reasoning="2 and 2", stop="filter"),
    ),
    "refusal null": (completion(refusal=None), Reply(text="4")),
    "another finish_reason": (completion(finish="eos"), Reply(text="4")),
    "no finish_reason": (completion(finish=None), Reply(text="4")),
    "usage": (
        completion() | {"usage": {"prompt_tokens": 9, "completion_tokens": 4, "total_tokens": 13}},
        Reply(text="4", usage=Usage(input=9, output=4)),
    ),
    "usage with details": (
        completion()
        | {
            "usage": {
                "prompt_tokens": 9,
                "completion_tokens": 4,
                "completion_tokens_details": {"reasoning_tokens": 3, "audio_tokens": 0},
                "prompt_tokens_details": {"cached_tokens": 8},
            }
        },
        Reply(text="4", usage=Usage(input=9, output=4, reasoning=3, cached=8)),
    ),
    "truncated while reasoning, which is counted separately (xAI)": (
        completion("", finish="length")
        | {
            "usage": {
                "prompt_tokens": 9,
                "completion_tokens": 0,
                "total_tokens": 21,
                "completion_tokens_details": {"reasoning_tokens": 12},
            }
        },
        Reply(text="", stop="length", usage=Usage(input=9, output=12, reasoning=12)),
    ),
    "usage null": (completion() | {"usage": None}, Reply(text="4")),
    "details null": (
        completion() | {"usage": {"prompt_tokens": 9, "completion_tokens_details": None}},
        Reply(text="4", usage=Usage(input=9)),
    ),
    "unknown fields": (completion(tool_calls=[], audio=None) | {"x": {"y": 1}}, Reply(text="4")),
    "unicode": (completion("四 é \u2028 🜚"), Reply(text="四 é \u2028 🜚")),
}


@table("case", REPLIES)
async def test_a_completion_becomes_a_reply(load_model: LoadModel, server: Server, case: str) -> None:
    body, expected = REPLIES[case]
    server.answer = Answer(body)
    reply = await (await load_model()).reply(PROMPT, Sampling())
    assert reply.seconds > 0
    assert reply.model == "served"
    assert (reply.text, reply.reasoning, reply.stop, reply.usage) == (
        expected.text,
        expected.reasoning,
        expected.stop,
        expected.usage,
    )


@pytest.mark.parametrize(
    ("thinking", "finish", "text", "reasoning"),
    [
        (False, "stop", "4", None),  # the whole answer, which the server's parser took for reasoning
        (False, "length", "", "4"),  # it may have been truncated while reasoning
        (None, "stop", "", "4"),
        (True, "stop", "", "4"),
    ],
)
async def test_reasoning_without_an_answer_is_the_answer_if_thinking_is_off_and_the_reply_is_complete(
    load_model: LoadModel,
    server: Server,
    thinking: bool | None,
    finish: str,
    text: str,
    reasoning: str | None,
) -> None:
    server.answer = Answer(completion(None, finish=finish, reasoning="4"))
    reply = await (await load_model()).reply(PROMPT, Sampling(thinking=thinking))
    assert (reply.text, reply.reasoning, reply.stop) == (text, reasoning, finish)


def fault(message: str) -> dict[str, Any]:
    return {"error": {"message": message, "type": "some_error", "code": None}}


HTML = b"<!DOCTYPE html><html><body>Sign in</body></html>"
LONG_BODY = json.dumps(completion("x" * 5000)).encode()
ERRORS: dict[str, tuple[Answer, type[ModelError]]] = {
    "429": (Answer(fault("slow down"), 429), RateLimit),
    "429 and HTML": (Answer(HTML, 429), RateLimit),
    "429 and no body": (Answer(b"", 429), RateLimit),
    "429 and Latin-1": (Answer('{"error": "à bientôt"}'.encode("latin-1"), 429), RateLimit),
    "500": (Answer(fault("boom"), 500), ServerFault),
    "502": (Answer(HTML, 502), ServerFault),
    "503": (Answer(fault("loading"), 503), RateLimit),
    "504": (Answer(b"", 504), Timeout),
    "408": (Answer(b"", 408), Timeout),
    "disconnected before the first byte": (Answer({}, cut=0), Disconnected),
    "disconnected within the body": (Answer(LONG_BODY, cut=100), Disconnected),
    "truncated JSON": (Answer(LONG_BODY[:100]), BadReply),
    "HTML with 200": (Answer(HTML), BadReply),
    "200 without a body": (Answer(b""), BadReply),
    "an error body with 200": (Answer(fault("out of memory")), BadReply),
    "200 with a string as error": (Answer({"error": "out of memory"}), BadReply),
    "no choices": (Answer({"choices": []}), BadReply),
    "content null": (Answer(completion(None)), BadReply),
    "truncated before the first token (LMDeploy)": (
        Answer(completion("", finish="length") | {"usage": {"prompt_tokens": 9000, "completion_tokens": 0}}),
        Context,
    ),
    "content is a number": (Answer(completion(4)), BadReply),
    "a list instead of an object": (Answer(b"[]"), BadReply),
    "invalid UTF-8": (Answer(b'{"choices": [{"message": {"content": "\xff"}}]}'), BadReply),
    "NaN": (Answer(b'{"choices": NaN}'), BadReply),
    "401": (Answer(fault("bad key"), 401), Fatal),
    "403": (Answer(fault("not you"), 403), Fatal),
    "404": (Answer(fault("no such model"), 404), Fatal),
    "404 of another server": (Answer(b"404 page not found", 404), Fatal),
    "405": (Answer(b"", 405), Fatal),
    "400": (Answer(fault("no field min_p"), 400), Rejected),
    "422 of FastAPI": (Answer({"detail": [{"msg": "field required"}]}, 422), Rejected),
    "400 context": (Answer(fault("This model's maximum context length is 4096 tokens"), 400), Context),
    "413": (Answer(fault("prompt is too long"), 413), Context),
    "400 of vLLM": (Answer({"object": "error", "message": "bad body", "code": 400}, 400), Rejected),
}


@table("case", ERRORS)
async def test_a_fault_becomes_an_error(load_model: LoadModel, server: Server, case: str) -> None:
    answer, error_type = ERRORS[case]
    server.answer = answer
    model = await load_model()
    with raises(ModelError) as caught:
        await model.reply(PROMPT, Sampling())
    assert type(caught.value) is error_type
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 1000
    server.answer = Answer(completion())
    assert (await model.reply(PROMPT, Sampling())).text == "4"  # the fault does not affect the next call


@table("status", [429, 503])
@table(
    ("header", "seconds"),
    [
        ("7", 7.0),
        ("0.25", 0.25),
        ("0", 0.0),
        (None, None),
        ("soon", None),
        ("Wed, 21 Oct 2026 07:28:00 GMT", 0.0),
    ],
)
async def test_the_wait_in_retry_after_is_read(
    load_model: LoadModel, server: Server, status: int, header: str | None, seconds: float | None
) -> None:
    server.answer = Answer(fault("slow"), status, {"Retry-After": header} if header else {})
    with pytest.raises(RateLimit) as caught:
        await (await load_model()).reply(PROMPT, Sampling())
    assert caught.value.retry_after_s == seconds


async def test_a_port_without_a_server_is_unreachable(load_model: LoadModel) -> None:
    with raises(Disconnected) as caught:
        await (await load_model("http://127.0.0.1:9/v1")).reply(PROMPT, Sampling())
    assert caught.value.unreachable


async def test_a_host_that_does_not_exist_is_unreachable(load_model: LoadModel) -> None:
    with pytest.raises(Disconnected) as caught:
        await (await load_model("http://no-such-host.invalid/v1")).reply(PROMPT, Sampling())
    assert caught.value.unreachable


# --- requests -----------------------------------------------------------------------------------------------


async def test_the_request_contains_only_fields_that_were_set(load_model: LoadModel, server: Server) -> None:
    server.answer = Answer(completion())
    model = await load_model()
    await model.reply(PROMPT, Sampling())
    path, headers, body = server.calls[0]
    assert path == "/v1/chat/completions"
    assert headers["Authorization"] == f"Bearer {KEY}"
    assert body == {"model": "some/model", "messages": [{"role": "user", "content": "What is 2 + 2?"}]}


async def test_every_setting_has_its_field(load_model: LoadModel, server: Server) -> None:
    server.answer = Answer(completion())
    sampling = Sampling(
        temperature=0.0,
        top_p=0.9,
        top_k=40,
        min_p=0.05,
        max_tokens=64,
        stop=("\n\n",),
        seed=0,
        thinking=False,
        extra={"reasoning_effort": "low"},
    )
    await (await load_model()).reply(PROMPT, sampling)
    body = server.calls[0][2]
    del body["model"], body["messages"]
    assert body == {
        "temperature": 0.0,
        "top_p": 0.9,
        "top_k": 40,
        "min_p": 0.05,
        "max_tokens": 64,
        "stop": ["\n\n"],
        "seed": 0,
        "chat_template_kwargs": {"enable_thinking": False},
        "reasoning_effort": "low",
    }


async def test_a_conversation_is_sent_turn_by_turn(load_model: LoadModel, server: Server) -> None:
    server.answer = Answer(completion())
    turns = (
        Message("system", (Text("Be brief."),)),
        Message("user", (Text("One"), Text("Two"))),
        Message("assistant", (Text("Yes"),)),
    )
    await (await load_model()).reply(Prompt(messages=turns), Sampling())
    assert server.calls[0][2]["messages"] == [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": [{"type": "text", "text": "One"}, {"type": "text", "text": "Two"}]},
        {"role": "assistant", "content": "Yes"},
    ]


async def test_unsupported_media_are_refused_without_a_call(load_model: LoadModel, server: Server) -> None:
    time_series_prompt = Prompt(
        messages=(Message("user", (Text("See"), Media("time_series", "audio/wav", "ab"))),)
    )
    with pytest.raises(ModelError):
        await (await load_model()).reply(time_series_prompt, Sampling())
    assert server.calls == []


# --- secrets ------------------------------------------------------------------------------------------------

RESPONSES_WITH_KEY = {
    "401 that repeats the key": Answer(fault(f"Incorrect API key provided: {KEY}"), 401),
    "500 that repeats the header": Answer(f"Authorization: Bearer {KEY}".encode(), 500),
    "200 that repeats the key": Answer(f"no JSON but {KEY}".encode()),
    "200 with an error that repeats the key": Answer(fault(f"key {KEY} has no quota")),
}


@pytest.mark.parametrize("case", RESPONSES_WITH_KEY)
async def test_no_message_contains_the_key(load_model: LoadModel, server: Server, case: str) -> None:
    server.answer = RESPONSES_WITH_KEY[case]
    with raises(ModelError) as caught:
        await (await load_model()).reply(PROMPT, Sampling())
    error: BaseException | None = caught.value
    assert KEY not in str(error)
    assert KEY not in repr(error)


@pytest.mark.parametrize(
    "answer",
    [Answer(b"", 500), Answer(HTML), Answer({}, cut=0), Answer(b"", 404)],
    ids=["500", "HTML", "disconnected", "404"],
)
async def test_no_message_contains_the_user_and_password_of_a_url(
    server: Server, answer: Answer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("EVALS_SERVER_KEY", raising=False)
    server.answer = answer
    model = load.model(f"server:{server.base.replace('://', '://anna:geheim@')}#m")
    with raises(ModelError) as caught:
        await model.reply(PROMPT, Sampling())
    assert "geheim" not in str(caught.value)
    assert "anna" not in str(caught.value)
    assert "geheim" not in model.name
    assert server.calls[0][1]["Authorization"].startswith("Basic ")  # the server does get them
    await model.close()


async def test_no_message_contains_the_user_and_password_of_an_unreachable_url() -> None:
    model = load.model("server:http://anna:geheim@127.0.0.1:9/v1#m")
    with raises(Disconnected) as caught:
        await model.reply(PROMPT, Sampling())
    assert "geheim" not in str(caught.value)
    await model.close()


async def test_openai_s_key_is_not_sent_to_other_servers(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    monkeypatch.delenv("EVALS_SERVER_KEY", raising=False)
    server.answer = Answer(completion())
    model = load.model(f"server:{server.base}#m")
    await model.reply(PROMPT, Sampling())
    assert "Authorization" not in server.calls[0][1]
    await model.close()


# --- names of models ----------------------------------------------------------------------------------------


def test_a_missing_key_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    with raises(UsageError):
        load.model("openai:gpt-4.1")


@pytest.mark.parametrize("rest", ["localhost:8000/v1#m", "ftp://host/v1#m", "http:///v1#m", "#m"])
def test_an_invalid_address_is_refused(rest: str) -> None:
    with raises(UsageError):
        load.model(f"server:{rest}")


@pytest.mark.parametrize(
    "spec",
    [
        "opnai:x",
        "smollm",
        "openai:",
        "server",
    ],
)
def test_an_unknown_or_missing_name_is_refused_with_a_hint(spec: str) -> None:
    with raises((UnknownName, UsageError)):
        load.model(spec)


@pytest.mark.parametrize(
    "names",
    [["a", "b"], []],
    ids=["several", "none"],
)
async def test_a_server_of_several_models_or_none_needs_a_name(server: Server, names: list[str]) -> None:
    server.answer = Answer({"data": [{"id": name} for name in names]})
    with raises(UsageError):
        await asyncio.to_thread(load.model, f"server:{server.base}")


async def test_a_server_of_one_model_needs_no_name(server: Server) -> None:
    server.answer = Answer({"data": [{"id": "the-one", "object": "model"}]})
    assert (await asyncio.to_thread(load.model, f"server:{server.base}")).name == "the-one"
    assert server.calls[0][0] == "/v1/models"


@pytest.mark.parametrize(
    "answer", [Answer(HTML), Answer(b"", 500), Answer({"data": 1})], ids=["HTML", "500", "not a list"]
)
async def test_a_server_that_cannot_list_its_models_needs_a_name(server: Server, answer: Answer) -> None:
    server.answer = answer
    with raises(UsageError):
        await asyncio.to_thread(load.model, f"server:{server.base.replace('://', '://anna:geheim@')}")


def test_a_lone_surrogate_at_the_end_of_a_truncated_reply_is_not_a_fault() -> None:
    # servers that truncate between the two halves of a UTF-16 pair send the escape of a lone surrogate
    from evals.model_adapters.openai import parse

    raw = b'{"choices":[{"message":{"content":"fine \\ud83d"},"finish_reason":"length"}]}'
    reply = parse(raw, seconds=0.0, display_url="here")
    assert (reply.text, reply.stop) == ("fine \ufffd", "length")
