"""Every adapter that uses HTTP gives the same reply or error for the same response or fault.

A real server on loopback sends them as each vendor documents its protocol (`protocols.py`).
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
    EvalsError,
    Fatal,
    ModelError,
    OutOfQuota,
    RateLimit,
    Rejected,
    ServerFault,
    Timeout,
    UsageError,
)
from evals.prompts import ask
from evals.types import Media, Message, Model, Prompt, Reply, Sampling, Text, Usage
from tests.support import protocols
from tests.support.error_messages import assert_recorded, raises
from tests.support.loopback import Answer, Server
from tests.support.protocols import ADAPTERS, Completion
from tests.support.tables import table

HTML = b"<!DOCTYPE html><html><body>Sign in</body></html>"
KEY = "sk-very-secret-key"
PROMPT = ask("What is 2 + 2?")
LoadModel = Callable[..., Awaitable[Model]]
VENDORS = [name for name in ADAPTERS if name != "server"]


@pytest.fixture
async def load_model(server: Server, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[LoadModel]:
    """Yield a function that returns an adapter's model on the test server."""
    models: list[Model] = []

    async def load_model_of(adapter: str, name: str = "") -> Model:
        row = ADAPTERS[adapter]
        monkeypatch.setenv(row.key, KEY)
        model_name = name or row.name
        if row.base:
            monkeypatch.setenv(row.base, server.base)
        else:
            model_name = f"{server.base}#{model_name}"
        models.append(load.model(f"{adapter}:{model_name}"))
        return models[-1]

    yield load_model_of
    for model in models:
        await model.close()


def test_every_adapter_that_uses_http_is_tested() -> None:
    from evals.model_adapters.common import vendors

    engines = {"vllm", "lmdeploy", "sglang"}  # the server that they start is called like `server:`
    without_http = {"replay", "scripted", "baseline", "hf", "demo", "tokens", "merge", "petl", "timm"}
    assert set(load.adapter_names()) - engines - without_http <= set(ADAPTERS)
    assert set(vendors.VENDORS) <= set(ADAPTERS)


# --- replies ------------------------------------------------------------------------------------------------

USAGE = Usage(input=9, output=4, reasoning=0, cached=0)
REPLIES: dict[str, tuple[Completion, Reply]] = {
    "plain": (Completion(), Reply(text="4", usage=USAGE)),
    "reasoning": (
        Completion(reasoning="2 and 2", output=7, thoughts=5),
        Reply(text="4", reasoning="2 and 2", usage=Usage(input=9, output=7, reasoning=5, cached=0)),
    ),
    "truncated": (
        Completion("The answer", stop="length"),
        Reply(text="The answer", stop="length", usage=USAGE),
    ),
    "truncated while reasoning": (
        Completion("", reasoning="2 and", stop="length"),
        Reply(text="", reasoning="2 and", stop="length", usage=USAGE),
    ),
    "filter": (Completion("I", stop="filter"), Reply(text="I", stop="filter", usage=USAGE)),
    "cached": (
        Completion(input=90, cached=80),
        Reply(text="4", usage=Usage(input=90, output=4, reasoning=0, cached=80)),
    ),
    "unicode": (Completion("四 é \u2028 🜚"), Reply(text="四 é \u2028 🜚", usage=USAGE)),
}


@table("adapter", ADAPTERS)
@table("case", REPLIES)
async def test_a_completion_becomes_the_same_reply_with_every_adapter(
    load_model: LoadModel, server: Server, adapter: str, case: str
) -> None:
    completion, expected = REPLIES[case]
    server.answer = Answer(ADAPTERS[adapter].protocol.completion(completion))
    reply = await (await load_model(adapter)).reply(PROMPT, Sampling())
    assert (reply.text, reply.reasoning, reply.stop) == (expected.text, expected.reasoning, expected.stop)
    assert reply.usage == expected.usage
    assert reply.model == "served"
    assert reply.seconds > 0


@table("adapter", ADAPTERS)
async def test_a_lone_surrogate_at_the_end_is_not_a_fault(
    load_model: LoadModel, server: Server, adapter: str
) -> None:
    raw = json.dumps(ADAPTERS[adapter].protocol.completion(Completion("fine \ud83d", stop="length"))).encode()
    assert b"\\ud83d" in raw
    server.answer = Answer(raw)
    reply = await (await load_model(adapter)).reply(PROMPT, Sampling())
    assert (reply.text, reply.stop) == ("fine \ufffd", "length")


@table("adapter", ADAPTERS)
async def test_a_prompt_that_the_vendor_s_filter_rejects_gives_a_refusal_and_not_a_fault(
    load_model: LoadModel,
    server: Server,
    adapter: str,
) -> None:
    status, body = ADAPTERS[adapter].protocol.filtered
    server.answer = Answer(body, status)
    reply = await (await load_model(adapter)).reply(PROMPT, Sampling())
    assert reply.stop == "filter"
    assert reply.text  # the vendor's explanation, for the user


# --- faults -------------------------------------------------------------------------------------------------


def fault(status: int, kind: str = "api_error") -> Callable[[protocols.Protocol], Answer]:
    return lambda protocol: Answer(protocol.error(status, kind, "as scripted"), status)


def documented_response(field: str) -> Callable[[protocols.Protocol], Answer]:
    """Return the response that a vendor's protocol documents for a kind of fault."""

    def answer(protocol: protocols.Protocol) -> Answer:
        status, body = getattr(protocol, field)
        return Answer(body, status)

    return answer


def long_completion(protocol: protocols.Protocol) -> bytes:
    return json.dumps(protocol.completion(Completion("x" * 5000))).encode()


FAULTS: dict[str, tuple[Callable[[protocols.Protocol], Answer], type[ModelError]]] = {
    "429": (fault(429, "rate_limit_error"), RateLimit),
    "500": (fault(500), ServerFault),
    "502 and HTML": (lambda protocol: Answer(HTML, 502), ServerFault),
    "503": (fault(503), RateLimit),
    "504": (fault(504), Timeout),
    "529": (fault(529, "overloaded_error"), RateLimit),
    "disconnected before the first byte": (lambda protocol: Answer({}, cut=0), Disconnected),
    "disconnected within the body": (
        lambda protocol: Answer(long_completion(protocol), cut=100),
        Disconnected,
    ),
    "truncated JSON": (lambda protocol: Answer(long_completion(protocol)[:100]), BadReply),
    "HTML with 200": (lambda protocol: Answer(HTML), BadReply),
    "200 without a body": (lambda protocol: Answer(b""), BadReply),
    "an empty object": (lambda protocol: Answer({}), BadReply),
    "a response without a reply": (lambda protocol: Answer(protocol.no_reply), BadReply),
    "an error with 200": (lambda protocol: Answer(protocol.error(200, "x", "out of memory")), BadReply),
    "400": (fault(400, "invalid_request_error"), Rejected),
    "403": (fault(403, "permission_error"), Fatal),
    "no such model": (fault(404, "not_found_error"), Fatal),
    "unsupported region": (
        lambda protocol: Answer(
            protocol.error(400, "FAILED_PRECONDITION", "User location is not supported for the API use."), 400
        ),
        Fatal,
    ),
    "wrong key": (documented_response("wrong_key"), Fatal),
    "out of quota": (documented_response("quota"), OutOfQuota),
    "context": (documented_response("overflow"), Context),
}


@table("adapter", ADAPTERS)
@table("case", FAULTS)
async def test_a_fault_becomes_the_same_error_with_every_adapter(
    load_model: LoadModel, server: Server, adapter: str, case: str
) -> None:
    answer, error_type = FAULTS[case]
    protocol = ADAPTERS[adapter].protocol
    server.answer = answer(protocol)
    model = await load_model(adapter)
    with pytest.raises(ModelError) as caught:
        await model.reply(PROMPT, Sampling())
    assert type(caught.value) is error_type
    if adapter in ("openai", "anthropic", "google"):  # the others share the protocol of openai
        assert_recorded(f"{caught.type.__name__}: {caught.value}")
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 1000
    server.answer = Answer(protocol.completion(Completion()))
    assert (await model.reply(PROMPT, Sampling())).text == "4"  # the fault does not affect the next call


@table("adapter", ADAPTERS)
@table("status", [429, 503, 529])
async def test_the_wait_in_retry_after_is_read(
    load_model: LoadModel, server: Server, adapter: str, status: int
) -> None:
    body = ADAPTERS[adapter].protocol.error(status, "x", "slow")
    for header, seconds in (("7", 7.0), ("0.25", 0.25), (None, None), ("soon", None), ("²", None)):
        server.answer = Answer(body, status, {"Retry-After": header} if header else {})
        with pytest.raises(RateLimit) as caught:
            await (await load_model(adapter)).reply(PROMPT, Sampling())
        assert caught.value.retry_after_s == seconds


@pytest.mark.parametrize(
    "phrase", ["insufficient balance", "considered high risk", "api key", "context length"]
)
async def test_phrases_in_a_prompt_that_the_error_repeats_do_not_classify_the_error(
    load_model: LoadModel, server: Server, phrase: str
) -> None:
    message = (
        f"1 validation error: {{'loc': 'body.messages', 'msg': 'no', 'input': '{'word ' * 40} {phrase}'}}"
    )
    server.answer = Answer({"error": {"message": message, "code": 400}}, 400)
    with pytest.raises(Rejected) as caught:
        await (await load_model("server")).reply(PROMPT, Sampling())
    assert type(caught.value) is Rejected


@table("adapter", ADAPTERS)
async def test_a_wait_of_hours_is_treated_as_an_exhausted_quota(
    load_model: LoadModel, server: Server, adapter: str
) -> None:
    server.answer = Answer(ADAPTERS[adapter].protocol.error(429, "x", "slow"), 429, {"Retry-After": "36000"})
    with raises(OutOfQuota):
        await (await load_model(adapter)).reply(PROMPT, Sampling())


@pytest.mark.parametrize("adapter", ADAPTERS)
async def test_a_redirect_is_not_followed(load_model: LoadModel, server: Server, adapter: str) -> None:
    server.answer = Answer(b"", 307, {"Location": f"{server.base}/elsewhere?key={KEY}"})
    with raises(Fatal):
        await (await load_model(adapter)).reply(PROMPT, Sampling())
    assert len(server.calls) == 1


async def test_a_vendor_is_called_through_the_proxy_of_the_environment_unless_no_proxy_excludes_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    request_lines: list[bytes] = []

    async def refuse(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        request_lines.append(await reader.readuntil(b"\r\n"))
        writer.write(b"HTTP/1.1 502 No\r\nContent-Length: 0\r\n\r\n")
        writer.close()

    proxy = await asyncio.start_server(refuse, "127.0.0.1", 0)
    monkeypatch.setenv("https_proxy", f"http://127.0.0.1:{proxy.sockets[0].getsockname()[1]}")
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    for no_proxy, calls in (("", 1), ("api.openai.invalid", 1)):
        monkeypatch.setenv("no_proxy", no_proxy)
        monkeypatch.setenv("OPENAI_BASE_URL", "https://api.openai.invalid/v1")
        model = load.model("openai:o3")
        with pytest.raises(Disconnected):
            await model.reply(PROMPT, Sampling())
        await model.close()
        assert request_lines == [b"CONNECT api.openai.invalid:443 HTTP/1.1\r\n"] * calls
    proxy.close()


async def test_models_that_openai_does_not_host_get_the_same_fields_as_with_a_server(
    load_model: LoadModel, server: Server
) -> None:
    server.answer = Answer(protocols.openai_body(Completion()))
    for name in ("Qwen/Qwen3", "gpt-oss-120b"):
        await (await load_model("openai", name)).reply(
            PROMPT, Sampling(temperature=0.0, top_k=5, thinking=False)
        )
        body = server.calls[-1][2]
        assert (body["temperature"], body["top_k"]) == (0.0, 5)
        assert body["chat_template_kwargs"] == {"enable_thinking": False}


async def test_the_wait_in_google_s_error_body_is_read(load_model: LoadModel, server: Server) -> None:
    body = protocols.google_error(429, "RESOURCE_EXHAUSTED", "slow down", retryDelay="34.07s")
    server.answer = Answer(body, 429)
    with pytest.raises(RateLimit) as caught:
        await (await load_model("google")).reply(PROMPT, Sampling())
    assert caught.value.retry_after_s == 34.07


RESPONSES_WITH_KEY = {
    "401 that repeats the key": Answer({"error": {"message": f"Incorrect API key provided: {KEY}"}}, 401),
    "500 that repeats the header": Answer(f"x-api-key: {KEY}".encode(), 500),
    "200 that repeats the key": Answer(f"no JSON but {KEY}".encode()),
    "200 with an error that repeats the key": Answer({"error": {"message": f"key {KEY} has no quota"}}),
}


@table("adapter", ADAPTERS)
@table("case", RESPONSES_WITH_KEY)
async def test_no_message_contains_the_key(
    load_model: LoadModel, server: Server, adapter: str, case: str
) -> None:
    server.calls.clear()
    server.answer = RESPONSES_WITH_KEY[case]
    model = await load_model(adapter)
    with pytest.raises(ModelError) as caught:
        await model.reply(PROMPT, Sampling())
    assert KEY not in str(caught.value) + repr(caught.value) + repr(model)
    path, headers, _ = server.calls[0]
    assert KEY not in path  # logs would contain the key
    assert any(KEY in value for value in headers.values())


@pytest.mark.parametrize("adapter", VENDORS)
def test_a_missing_key_is_named(adapter: str, monkeypatch: pytest.MonkeyPatch) -> None:
    row = ADAPTERS[adapter]
    monkeypatch.delenv(row.key, raising=False)
    monkeypatch.delenv("GEMINI_API_KEY", raising=False)
    with raises(UsageError):
        load.model(f"{adapter}:{row.name}")


@pytest.mark.parametrize("adapter", VENDORS)
async def test_turns_are_sent_in_order_and_unsupported_media_are_refused(
    load_model: LoadModel, server: Server, adapter: str
) -> None:
    model = await load_model(adapter)
    structure_prompt = Prompt(
        messages=(Message("user", (Text("See"), Media("structure", "chemical/x-cif", "ab"))),)
    )
    with raises(ModelError):
        await model.reply(structure_prompt, Sampling())
    assert server.calls == []
    server.answer = Answer(ADAPTERS[adapter].protocol.completion(Completion()))
    turns = (
        Message("system", (Text("Be brief."),)),
        Message("user", (Text("One"), Text("Two"))),
        Message("assistant", (Text("Yes"),)),
        Message("user", (Text("Three"),)),
    )
    await model.reply(Prompt(messages=turns), Sampling())
    body = json.dumps(server.calls[0][2])
    positions = [body.index(f'"{word}"') for word in ("One", "Two", "Yes", "Three")]
    assert positions == sorted(positions)
    assert '"Be brief."' in body


# --- request fields -----------------------------------------------------------------------------------------

ALL_SETTINGS = Sampling(
    temperature=0.5, top_p=0.9, top_k=40, min_p=0.05, max_tokens=4096, stop=("\n\n", "END"), seed=7
)
SENT: dict[str, tuple[Sampling, dict[str, Any], list[str]]] = {
    "openai:gpt-4.1": (
        ALL_SETTINGS,
        {"temperature": 0.5, "top_p": 0.9, "max_completion_tokens": 4096, "stop": ["\n\n", "END"], "seed": 7},
        ["top_k, min_p not sent: gpt-4.1 does not support them"],
    ),
    "openai:o3": (
        ALL_SETTINGS,
        {"max_completion_tokens": 4096, "seed": 7},
        [
            "temperature, top_p, top_k, min_p not sent: o3 does not support them",
            "stop sequences are applied by the harness: o3 does not support them",
        ],
    ),
    "openai:o4": (
        Sampling(max_tokens=100, extra={"max_completion_tokens": 5000}),
        {"max_completion_tokens": 5000},
        [],
    ),
    "openai:gpt-5.2": (
        Sampling(temperature=0.0, thinking=False),
        {"temperature": 0.0, "reasoning_effort": "none"},
        [],
    ),
    "openai:gpt-6": (
        Sampling(temperature=0.0, thinking=True),
        {"reasoning_effort": "medium"},
        ["temperature not sent: gpt-6 does not support it"],
    ),
    "intern:intern-s1": (
        Sampling(temperature=0.7, max_tokens=100),
        {"temperature": 0.7, "max_tokens": 100, "thinking_mode": True},
        [
            "thinking_mode is sent as true, as for the published numbers",
            "the context is 32,768 tokens, but 65,536 for the published numbers: longer reasoning is truncated",
        ],
    ),
    "intern:intern-s1-pro": (Sampling(thinking=False), {"thinking_mode": False}, []),
    "deepseek:deepseek-v4": (
        Sampling(temperature=0.0, thinking=False),
        {"temperature": 0.0, "thinking": {"type": "disabled"}},
        [],
    ),
    "deepseek:deepseek-reasoner": (
        Sampling(temperature=0.0),
        {},
        ["temperature not sent: deepseek-reasoner does not support it"],
    ),
    "moonshot:kimi-k2.5": (
        Sampling(temperature=0.0, thinking=True),
        {"thinking": {"type": "enabled"}},
        ["temperature not sent: kimi-k2.5 does not support it"],
    ),
    "openrouter:a/b": (
        Sampling(top_k=5, thinking=False),
        {"top_k": 5, "reasoning": {"enabled": False}},
        ["OpenRouter chooses the provider, and drops settings that the provider does not support"],
    ),
    "together:a/b": (Sampling(min_p=0.1, thinking=True), {"min_p": 0.1, "reasoning": {"enabled": True}}, []),
    "xai:grok-4": (
        Sampling(temperature=0.0, stop=("END",)),
        {"temperature": 0.0},
        ["stop sequences are applied by the harness: grok-4 does not support them"],
    ),
    "xai:grok-4.3": (
        Sampling(thinking=False, stop=("END",)),
        {"reasoning_effort": "none", "stop": ["END"]},
        [],
    ),
    "anthropic:claude-haiku-4-5": (
        ALL_SETTINGS,
        {"temperature": 0.5, "top_k": 40, "max_tokens": 4096, "stop_sequences": ["END"]},
        ["top_p, min_p, seed not sent: claude-haiku-4-5 does not support them"],
    ),
    "anthropic:claude-sonnet-4-5-20250929": (
        Sampling(temperature=0.0, max_tokens=8000, thinking=True),
        {"max_tokens": 8000, "thinking": {"type": "enabled", "budget_tokens": 6000}},
        ["temperature not sent: claude-sonnet-4-5-20250929 does not support it"],
    ),
    "anthropic:claude-opus-4-6": (
        Sampling(temperature=0.0, thinking=True),
        {"max_tokens": 32_000, "thinking": {"type": "adaptive", "display": "summarized"}},
        ["temperature not sent: claude-opus-4-6 does not support it"],
    ),
    "anthropic:claude-opus-5-5": (
        Sampling(temperature=0.0, seed=1),
        {"max_tokens": 32_000},
        ["temperature, seed not sent: claude-opus-5-5 does not support them"],
    ),
    "anthropic:claude-sonnet-5-5": (
        Sampling(thinking=False),
        {"max_tokens": 32_000, "thinking": {"type": "between_tools"}},
        [],
    ),
    "google:gemini-2.5-flash": (
        ALL_SETTINGS,
        {
            "generationConfig": {
                "temperature": 0.5,
                "topP": 0.9,
                "topK": 40,
                "maxOutputTokens": 4096,
                "seed": 7,
                "stopSequences": ["\n\n", "END"],
            }
        },
        ["min_p not sent: gemini-2.5-flash does not support it"],
    ),
    "google:gemini-2.5-pro": (
        Sampling(thinking=True),
        {"generationConfig": {"thinkingConfig": {"includeThoughts": True, "thinkingBudget": -1}}},
        [],
    ),
    "google:gemini-3-pro-preview": (
        Sampling(thinking=True),
        {"generationConfig": {"thinkingConfig": {"includeThoughts": True, "thinkingLevel": "high"}}},
        [],
    ),
}


@pytest.mark.parametrize("spec", SENT)
async def test_fields_that_a_model_supports_are_sent_and_the_others_are_noted(
    load_model: LoadModel,
    server: Server,
    spec: str,
) -> None:
    adapter, _, name = spec.partition(":")
    sampling, expected_body, remarks = SENT[spec]
    server.answer = Answer(ADAPTERS[adapter].protocol.completion(Completion()))
    model = await load_model(adapter, name)
    await model.reply(PROMPT, sampling)
    body = server.calls[0][2]
    for field in ("model", "messages", "contents"):
        body.pop(field, None)
    assert body == expected_body
    assert model.remarks(sampling) == remarks


@pytest.mark.parametrize(
    ("spec", "thinking"),
    [
        ("openai:gpt-4.1", True),
        ("openai:o3", False),
        ("deepseek:deepseek-reasoner", False),
        ("xai:grok-4", False),
        ("anthropic:claude-opus-5-5", False),
        ("google:gemini-2.5-pro", False),
        ("google:gemini-2.0-flash", True),
    ],
)
async def test_a_thinking_switch_that_a_model_does_not_support_is_refused(
    load_model: LoadModel, spec: str, thinking: bool
) -> None:
    adapter, _, name = spec.partition(":")
    model = await load_model(adapter, name)
    with raises(UsageError):
        model.remarks(Sampling(thinking=thinking))


async def test_max_tokens_below_the_minimum_for_thinking_are_refused(load_model: LoadModel) -> None:
    model = await load_model("anthropic", "claude-haiku-4-5")
    with raises(UsageError):
        model.remarks(Sampling(thinking=True, max_tokens=512))


@pytest.mark.parametrize("spec", ["openai:o3", "xai:grok-4", "anthropic:claude-haiku-4-5"])
async def test_a_stop_sequence_that_is_not_sent_is_applied_to_the_reply(
    load_model: LoadModel,
    server: Server,
    spec: str,
) -> None:
    adapter, _, name = spec.partition(":")
    server.answer = Answer(
        ADAPTERS[adapter].protocol.completion(Completion("4\n\nQuestion: 3 + 3?", stop="length"))
    )
    reply = await (await load_model(adapter, name)).reply(PROMPT, Sampling(stop=("\n\n",)))
    assert (reply.text, reply.stop) == ("4", "stop")


async def test_a_reply_that_anthropic_ends_at_once_by_a_stop_sequence_is_empty(
    load_model: LoadModel, server: Server
) -> None:
    server.answer = Answer(
        protocols.anthropic_body(Completion()) | {"content": [], "stop_reason": "stop_sequence"}
    )
    reply = await (await load_model("anthropic", "claude-haiku-4-5")).reply(PROMPT, Sampling(stop=("END",)))
    assert (reply.text, reply.stop) == ("", "stop")


async def test_the_version_of_anthropic_s_api_depends_on_the_model(
    load_model: LoadModel, server: Server
) -> None:
    server.answer = Answer(protocols.anthropic_body(Completion()))
    for name, version in (("claude-haiku-4-5", "2023-06-01"), ("claude-opus-5-5", "2026-10-21")):
        await (await load_model("anthropic", name)).reply(PROMPT, Sampling())
        assert server.calls[-1][1]["anthropic-version"] == version


# --- the hosted API of Intern-S1 ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    "answer",
    [
        Answer({"data": [{"id": "intern-s1"}]}),
        Answer({"data": [{"id": "intern-latest"}]}),
        Answer(b"", 401),
        Answer(HTML),
        Answer(b"", 302, {"Location": "/v1/elsewhere"}),
    ],
    ids=["unknown", "no ref_model", "401", "HTML", "moved"],
)
async def test_an_alias_that_cannot_be_resolved_is_refused(
    server: Server,
    monkeypatch: pytest.MonkeyPatch,
    answer: Answer,
) -> None:
    server.answer = answer
    with raises(EvalsError):
        await _intern_model(server, monkeypatch, "intern-latest")
    assert len(server.calls) == 1  # a redirect is not followed, as the key would be sent with it


async def test_an_alias_is_resolved_to_its_model(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    server.answer = Answer({"data": [{"id": "intern-latest", "ref_model": "intern-s1-pro"}]})
    model = await _intern_model(server, monkeypatch, "intern-latest")
    assert model.name == "intern-s1-pro"
    assert "intern-latest was an alias of intern-s1-pro when the run started" in model.remarks(Sampling())
    server.answer = Answer(protocols.openai_body(Completion()))
    await model.reply(PROMPT, Sampling())
    assert server.calls[-1][2]["model"] == "intern-s1-pro"
    await model.close()


async def test_the_rate_limit_of_the_hosted_api_can_be_set_by_the_user(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert (await _intern_model(server, monkeypatch, "intern-s1")).per_minute == 30
    monkeypatch.setenv("INTERN_PER_MINUTE", "120")
    assert (await _intern_model(server, monkeypatch, "intern-s1")).per_minute == 120
    monkeypatch.setenv("INTERN_PER_MINUTE", "many")
    with raises(UsageError):
        await _intern_model(server, monkeypatch, "intern-s1")


async def _intern_model(server: Server, monkeypatch: pytest.MonkeyPatch, name: str) -> Any:
    import asyncio

    monkeypatch.setenv("INTERN_API_KEY", KEY)
    monkeypatch.setenv("INTERN_BASE_URL", server.base)
    return await asyncio.to_thread(load.model, f"intern:{name}")


# --- peculiarities of vendors -------------------------------------------------------------------------------


async def test_xai_s_reasoning_tokens_are_added_to_the_output_tokens(
    load_model: LoadModel, server: Server
) -> None:
    body = protocols.openai_body(Completion())
    body["usage"] = {
        "prompt_tokens": 32,
        "completion_tokens": 9,
        "total_tokens": 135,
        "completion_tokens_details": {"reasoning_tokens": 94},
    }
    server.answer = Answer(body)
    reply = await (await load_model("xai")).reply(PROMPT, Sampling())
    assert reply.usage == Usage(input=32, output=103, reasoning=94)


@pytest.mark.parametrize(
    ("adapter", "usage"),
    [("moonshot", {"cached_tokens": 8}), ("deepseek", {"prompt_cache_hit_tokens": 8})],
)
async def test_cached_tokens_are_read_from_each_vendor_s_field(
    load_model: LoadModel, server: Server, adapter: str, usage: Any
) -> None:
    server.answer = Answer(protocols.openai_body(Completion()) | {"usage": {"prompt_tokens": 9, **usage}})
    assert (await (await load_model(adapter)).reply(PROMPT, Sampling())).usage == Usage(input=9, cached=8)


@pytest.mark.parametrize(
    ("choice", "kind"),
    [
        ({"error": {"code": 429, "message": "upstream is full"}}, RateLimit),
        ({"error": {"message": "odd"}, "finish_reason": "error"}, ServerFault),
        ({"finish_reason": "insufficient_system_resource"}, ServerFault),
    ],
    ids=["a code", "no code", "a finish reason"],
)
async def test_an_error_inside_a_choice_is_raised(
    load_model: LoadModel,
    server: Server,
    choice: Any,
    kind: Any,
) -> None:
    server.answer = Answer({"choices": [{"message": {"content": "The"}, **choice}]})
    with raises(kind):
        await (await load_model("openrouter")).reply(PROMPT, Sampling())


@pytest.mark.parametrize("reason", ["OTHER", "MALFORMED_RESPONSE"])
async def test_a_reply_that_google_aborts_is_a_server_fault(
    load_model: LoadModel, server: Server, reason: str
) -> None:
    body = protocols.google_body(Completion("The"))
    body["candidates"][0]["finishReason"] = reason
    server.answer = Answer(body)
    with raises(ServerFault):
        await (await load_model("google")).reply(PROMPT, Sampling())


async def test_redacted_thinking_and_unknown_blocks_are_not_part_of_the_text(
    load_model: LoadModel, server: Server
) -> None:
    body = protocols.anthropic_body(Completion())
    body["content"] = [
        {"type": "redacted_thinking", "data": "xx"},
        {"type": "text", "text": "4"},
        {"type": "new_kind", "x": 1},
    ]
    server.answer = Answer(body)
    reply = await (await load_model("anthropic")).reply(PROMPT, Sampling())
    assert (reply.text, reply.reasoning) == ("4", None)
