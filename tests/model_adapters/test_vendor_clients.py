"""The adapters send the same requests as the vendors' own SDKs, and read the same values from the responses.

Both call the same server on loopback. The product does not use the SDKs: one of them takes ten times our CPU time per call.
"""

from __future__ import annotations

import base64
import contextlib
import io
import re
from collections.abc import AsyncIterator
from typing import Any

import pytest
from PIL import Image

from evals import load
from evals.data.media import store_image
from evals.types import Message, Model, Prompt, Sampling, Text
from tests.support import protocols
from tests.support.loopback import Answer, Server
from tests.support.protocols import ADAPTERS, Completion

pytestmark = pytest.mark.slow  # importing the three SDKs takes ten seconds
KEY = "sk-of-a-test"
COMPLETION = Completion("4", reasoning="2 and 2", input=90, cached=80, output=7, thoughts=5)


@contextlib.asynccontextmanager
async def our_model(spec: str, server: Server, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Model]:
    """Yield an adapter's model on the test server."""
    row = ADAPTERS[spec.partition(":")[0]]
    monkeypatch.setenv(row.key, KEY)
    monkeypatch.setenv(row.base, server.base)
    model = load.model(spec)
    yield model
    await model.close()


def picture(image_format: str = "PNG") -> bytes:
    stream = io.BytesIO()
    Image.new("RGB", (4, 4), "red").save(stream, format=image_format)
    return stream.getvalue()


@pytest.fixture
def image_prompt(tmp_path: Any) -> Prompt:
    """Return a conversation with a picture."""
    image = store_image(tmp_path / "media", picture())
    return Prompt(
        messages=(
            Message("system", (Text("Be brief."),)),
            Message("user", (Text("What is it?"), image)),
            Message("assistant", (Text("A square"),)),
            Message("user", (Text("Of which colour?"),)),
        )
    )


def without_nulls(value: Any) -> Any:
    """Return a JSON value without the fields that are null, which means that they are not set."""
    if isinstance(value, dict):
        return {name: without_nulls(field) for name, field in value.items() if field is not None}
    return [without_nulls(item) for item in value] if isinstance(value, list) else value


def normalise_protobuf_json(value: Any) -> Any:
    """Return the JSON of a protocol buffer with names in camel case and base64 in the standard alphabet.

    Names in snake case and the URL-safe alphabet denote the same message.
    """
    if isinstance(value, dict):
        return {
            re.sub("_(.)", lambda match: match[1].upper(), name): normalise_protobuf_json(field)
            for name, field in value.items()
        }
    if isinstance(value, list):
        return [normalise_protobuf_json(item) for item in value]
    return value.replace("-", "+").replace("_", "/") if isinstance(value, str) else value


async def test_requests_and_replies_equal_those_of_openai_s_sdk(
    server: Server, monkeypatch: pytest.MonkeyPatch, image_prompt: Prompt
) -> None:
    openai = pytest.importorskip("openai")
    server.answer = Answer(protocols.openai_body(COMPLETION))
    sampling = Sampling(temperature=0.5, top_p=0.9, max_tokens=100, stop=("END",), seed=7)
    async with our_model("openai:gpt-4.1", server, monkeypatch) as model:
        reply = await model.reply(image_prompt, sampling)
    our_body = server.calls[0][2]
    async with openai.AsyncOpenAI(api_key=KEY, base_url=server.base) as client:
        sdk_reply = await client.chat.completions.create(
            model="gpt-4.1",
            messages=our_body["messages"],
            temperature=0.5,
            top_p=0.9,
            max_completion_tokens=100,
            stop=["END"],
            seed=7,
        )
    path, headers, sdk_body = server.calls[1]
    assert (server.calls[0][0], our_body) == (path, sdk_body)
    assert server.calls[0][1]["Authorization"] == headers["Authorization"]
    choice = sdk_reply.choices[0]
    assert (reply.text, reply.model, reply.reasoning) == (
        choice.message.content,
        sdk_reply.model,
        choice.message.reasoning_content,
    )
    details = sdk_reply.usage.completion_tokens_details, sdk_reply.usage.prompt_tokens_details
    assert (reply.usage.input, reply.usage.output, reply.usage.reasoning, reply.usage.cached) == (
        sdk_reply.usage.prompt_tokens,
        sdk_reply.usage.completion_tokens,
        details[0].reasoning_tokens,
        details[1].cached_tokens,
    )
    types = openai.types.chat
    for message in our_body["messages"]:  # fields that the SDK's own types have
        name = {"system": "System", "user": "User", "assistant": "Assistant"}[message["role"]]
        assert set(message) <= set(getattr(types, f"ChatCompletion{name}MessageParam").__annotations__)


async def test_requests_and_replies_equal_those_of_anthropic_s_sdk(
    server: Server, monkeypatch: pytest.MonkeyPatch, image_prompt: Prompt
) -> None:
    anthropic = pytest.importorskip("anthropic")
    server.answer = Answer(protocols.anthropic_body(COMPLETION))
    async with our_model("anthropic:claude-opus-5-5", server, monkeypatch) as model:
        reply = await model.reply(image_prompt, Sampling(max_tokens=100, stop=("END",), thinking=True))
    path, headers, our_body = server.calls[0]
    client = anthropic.AsyncAnthropic(api_key=KEY, base_url=server.base.removesuffix("/v1"))
    async with client:
        sdk_reply = await client.messages.create(
            model="claude-opus-5-5",
            max_tokens=100,
            system="Be brief.",
            messages=our_body["messages"],
            stop_sequences=["END"],
            thinking={"type": "adaptive", "display": "summarized"},
        )
    assert path == server.calls[1][0]
    assert our_body == server.calls[1][2]
    assert headers["anthropic-version"] == server.calls[1][1]["anthropic-version"]
    block = our_body["messages"][0]["content"][1]
    assert set(block) <= set(anthropic.types.ImageBlockParam.__annotations__)
    assert set(block["source"]) <= set(anthropic.types.Base64ImageSourceParam.__annotations__)
    texts = [block.text for block in sdk_reply.content if block.type == "text"]
    thoughts = [block.thinking for block in sdk_reply.content if block.type == "thinking"]
    assert (reply.text, reply.reasoning, reply.model) == ("".join(texts), "".join(thoughts), sdk_reply.model)
    usage = sdk_reply.usage
    assert reply.usage.input == usage.input_tokens + usage.cache_read_input_tokens
    assert (reply.usage.output, reply.usage.cached) == (usage.output_tokens, usage.cache_read_input_tokens)
    assert reply.usage.reasoning == usage.output_tokens_details.thinking_tokens


# Google's SDK subclasses a class of aiohttp
@pytest.mark.filterwarnings("ignore:Inheritance class:DeprecationWarning")
async def test_requests_and_replies_equal_those_of_google_s_sdk(
    server: Server, monkeypatch: pytest.MonkeyPatch, image_prompt: Prompt
) -> None:
    genai = pytest.importorskip("google.genai")
    server.answer = Answer(protocols.google_body(COMPLETION))
    sampling = Sampling(temperature=0.5, top_p=0.9, max_tokens=100, stop=("END",), seed=7, thinking=True)
    async with our_model("google:gemini-2.5-flash", server, monkeypatch) as model:
        reply = await model.reply(image_prompt, sampling)
    path, headers, our_body = server.calls[0]
    options = genai.types.HttpOptions(base_url=server.base, api_version="")
    async with genai.Client(api_key=KEY, http_options=options).aio as client:
        sdk_reply = await client.models.generate_content(
            model="gemini-2.5-flash",
            contents=our_body["contents"],
            config=genai.types.GenerateContentConfig(
                system_instruction="Be brief.",
                temperature=0.5,
                top_p=0.9,
                max_output_tokens=100,
                stop_sequences=["END"],
                seed=7,
                thinking_config=genai.types.ThinkingConfig(include_thoughts=True, thinking_budget=-1),
            ),
        )
    sdk_body = without_nulls(server.calls[1][2])
    sdk_body["systemInstruction"].pop("role", None)  # the SDK gives the system instruction the role user
    assert path.rpartition("/")[2] == server.calls[1][0].rpartition("/")[2]
    assert normalise_protobuf_json(our_body) == normalise_protobuf_json(sdk_body)
    assert headers["x-goog-api-key"] == server.calls[1][1]["x-goog-api-key"]
    thoughts = [part.text for part in sdk_reply.candidates[0].content.parts if part.thought]
    assert (reply.text, reply.reasoning, reply.model) == (
        sdk_reply.text,
        "".join(thoughts),
        sdk_reply.model_version,
    )
    usage = sdk_reply.usage_metadata
    assert reply.usage.output == usage.candidates_token_count + usage.thoughts_token_count
    assert (reply.usage.input, reply.usage.reasoning, reply.usage.cached) == (
        usage.prompt_token_count,
        usage.thoughts_token_count,
        usage.cached_content_token_count,
    )


@pytest.mark.parametrize("stop", ["stop", "length", "filter"])
async def test_the_sdks_accept_the_responses_of_the_fake_vendors(stop: str) -> None:
    openai, anthropic = pytest.importorskip("openai"), pytest.importorskip("anthropic")
    genai = pytest.importorskip("google.genai")
    completion = Completion("4", reasoning="2 and 2", stop=stop)
    openai.types.chat.ChatCompletion.model_validate(protocols.openai_body(completion))
    anthropic.types.Message.model_validate(protocols.anthropic_body(completion))
    genai.types.GenerateContentResponse.model_validate(protocols.google_body(completion))


async def test_a_gif_is_converted_to_a_png_of_the_same_pixels_for_google(
    server: Server, monkeypatch: pytest.MonkeyPatch, tmp_path: Any
) -> None:
    image = store_image(tmp_path / "media", picture("GIF"))
    server.answer = Answer(protocols.google_body(Completion()))
    async with our_model("google:gemini-2.5-flash", server, monkeypatch) as model:
        await model.reply(Prompt(messages=(Message("user", (Text("?"), image)),)), Sampling())
    data = server.calls[0][2]["contents"][0]["parts"][1]["inlineData"]
    assert data["mimeType"] == "image/png"
    with (
        Image.open(io.BytesIO(base64.b64decode(data["data"]))) as converted,
        Image.open(io.BytesIO(picture("GIF"))) as original,
    ):
        assert converted.convert("RGB").tobytes() == original.convert("RGB").tobytes()
