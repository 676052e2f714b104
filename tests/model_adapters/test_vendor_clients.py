"""The vendors' own SDKs as a second opinion: they send what we send, and read what we read.

Both talk to the same server on loopback. The SDKs are no part of the product: one costs ten times our CPU per call.
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

pytestmark = pytest.mark.slow  # to import the three takes ten seconds
KEY = "sk-of-a-test"
SAYS = Completion("4", reasoning="2 and 2", input=90, cached=80, output=7, thoughts=5)


@contextlib.asynccontextmanager
async def ours(spec: str, server: Server, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Model]:
    row = ADAPTERS[spec.partition(":")[0]]
    monkeypatch.setenv(row.key, KEY)
    monkeypatch.setenv(row.base, server.base)
    model = load.model(spec)
    yield model
    await model.close()


def picture(form: str = "PNG") -> bytes:
    stream = io.BytesIO()
    Image.new("RGB", (4, 4), "red").save(stream, format=form)
    return stream.getvalue()


@pytest.fixture
def seeing(tmp_path: Any) -> Prompt:
    """A conversation with a picture."""
    image = store_image(tmp_path / "media", picture())
    return Prompt(
        messages=(
            Message("system", (Text("Be brief."),)),
            Message("user", (Text("What is it?"), image)),
            Message("assistant", (Text("A square"),)),
            Message("user", (Text("Of which colour?"),)),
        )
    )


def plain(found: Any) -> Any:
    """Without what only says that nothing was set."""
    if isinstance(found, dict):
        return {k: plain(v) for k, v in found.items() if v is not None}
    return [plain(one) for one in found] if isinstance(found, list) else found


def as_proto_reads_it(found: Any) -> Any:
    """JSON of protocol buffers: either spelling of a name, either alphabet of base64, is the same message."""
    if isinstance(found, dict):
        return {re.sub("_(.)", lambda m: m[1].upper(), k): as_proto_reads_it(v) for k, v in found.items()}
    if isinstance(found, list):
        return [as_proto_reads_it(one) for one in found]
    return found.replace("-", "+").replace("_", "/") if isinstance(found, str) else found


async def test_openai(server: Server, monkeypatch: pytest.MonkeyPatch, seeing: Prompt) -> None:
    openai = pytest.importorskip("openai")
    server.answer = Answer(protocols.openai_body(SAYS))
    sampling = Sampling(temperature=0.5, top_p=0.9, max_tokens=100, stop=("END",), seed=7)
    async with ours("openai:gpt-4.1", server, monkeypatch) as model:
        reply = await model.reply(seeing, sampling)
    sent = server.calls[0][2]
    async with openai.AsyncOpenAI(api_key=KEY, base_url=server.base) as client:
        theirs = await client.chat.completions.create(
            model="gpt-4.1",
            messages=sent["messages"],
            temperature=0.5,
            top_p=0.9,
            max_completion_tokens=100,
            stop=["END"],
            seed=7,
        )
    path, headers, body = server.calls[1]
    assert (server.calls[0][0], sent) == (path, body)
    assert server.calls[0][1]["Authorization"] == headers["Authorization"]
    choice = theirs.choices[0]
    assert (reply.text, reply.model, reply.reasoning) == (
        choice.message.content,
        theirs.model,
        choice.message.reasoning_content,
    )
    details = theirs.usage.completion_tokens_details, theirs.usage.prompt_tokens_details
    assert (reply.usage.input, reply.usage.output, reply.usage.reasoning, reply.usage.cached) == (
        theirs.usage.prompt_tokens,
        theirs.usage.completion_tokens,
        details[0].reasoning_tokens,
        details[1].cached_tokens,
    )
    types = openai.types.chat
    for message in sent["messages"]:  # the shapes that the SDK's own types describe
        name = {"system": "System", "user": "User", "assistant": "Assistant"}[message["role"]]
        assert set(message) <= set(getattr(types, f"ChatCompletion{name}MessageParam").__annotations__)


async def test_anthropic(server: Server, monkeypatch: pytest.MonkeyPatch, seeing: Prompt) -> None:
    anthropic = pytest.importorskip("anthropic")
    server.answer = Answer(protocols.anthropic_body(SAYS))
    async with ours("anthropic:claude-opus-5-5", server, monkeypatch) as model:
        reply = await model.reply(seeing, Sampling(max_tokens=100, stop=("END",), thinking=True))
    path, headers, sent = server.calls[0]
    client = anthropic.AsyncAnthropic(api_key=KEY, base_url=server.base.removesuffix("/v1"))
    async with client:
        theirs = await client.messages.create(
            model="claude-opus-5-5",
            max_tokens=100,
            system="Be brief.",
            messages=sent["messages"],
            stop_sequences=["END"],
            thinking={"type": "adaptive", "display": "summarized"},
        )
    assert path == server.calls[1][0]
    assert sent == server.calls[1][2]
    assert headers["anthropic-version"] == server.calls[1][1]["anthropic-version"]
    block = sent["messages"][0]["content"][1]
    assert set(block) <= set(anthropic.types.ImageBlockParam.__annotations__)
    assert set(block["source"]) <= set(anthropic.types.Base64ImageSourceParam.__annotations__)
    texts = [block.text for block in theirs.content if block.type == "text"]
    thoughts = [block.thinking for block in theirs.content if block.type == "thinking"]
    assert (reply.text, reply.reasoning, reply.model) == ("".join(texts), "".join(thoughts), theirs.model)
    usage = theirs.usage
    assert reply.usage.input == usage.input_tokens + usage.cache_read_input_tokens
    assert (reply.usage.output, reply.usage.cached) == (usage.output_tokens, usage.cache_read_input_tokens)
    assert reply.usage.reasoning == usage.output_tokens_details.thinking_tokens


@pytest.mark.filterwarnings("ignore:Inheritance class:DeprecationWarning")  # theirs, on aiohttp
async def test_google(server: Server, monkeypatch: pytest.MonkeyPatch, seeing: Prompt) -> None:
    genai = pytest.importorskip("google.genai")
    server.answer = Answer(protocols.google_body(SAYS))
    sampling = Sampling(temperature=0.5, top_p=0.9, max_tokens=100, stop=("END",), seed=7, thinking=True)
    async with ours("google:gemini-2.5-flash", server, monkeypatch) as model:
        reply = await model.reply(seeing, sampling)
    path, headers, sent = server.calls[0]
    options = genai.types.HttpOptions(base_url=server.base, api_version="")
    async with genai.Client(api_key=KEY, http_options=options).aio as client:
        theirs = await client.models.generate_content(
            model="gemini-2.5-flash",
            contents=sent["contents"],
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
    body = plain(server.calls[1][2])
    body["systemInstruction"].pop("role", None)  # theirs says that a system instruction is of the user
    assert path.rpartition("/")[2] == server.calls[1][0].rpartition("/")[2]
    assert as_proto_reads_it(sent) == as_proto_reads_it(body)
    assert headers["x-goog-api-key"] == server.calls[1][1]["x-goog-api-key"]
    thoughts = [part.text for part in theirs.candidates[0].content.parts if part.thought]
    assert (reply.text, reply.reasoning, reply.model) == (
        theirs.text,
        "".join(thoughts),
        theirs.model_version,
    )
    usage = theirs.usage_metadata
    assert reply.usage.output == usage.candidates_token_count + usage.thoughts_token_count
    assert (reply.usage.input, reply.usage.reasoning, reply.usage.cached) == (
        usage.prompt_token_count,
        usage.thoughts_token_count,
        usage.cached_content_token_count,
    )


@pytest.mark.parametrize("stop", ["stop", "length", "filter"])
async def test_the_sdks_read_the_hand_made_answers_without_complaint(stop: str) -> None:
    openai, anthropic = pytest.importorskip("openai"), pytest.importorskip("anthropic")
    genai = pytest.importorskip("google.genai")
    says = Completion("4", reasoning="2 and 2", stop=stop)
    openai.types.chat.ChatCompletion.model_validate(protocols.openai_body(says))
    anthropic.types.Message.model_validate(protocols.anthropic_body(says))
    genai.types.GenerateContentResponse.model_validate(protocols.google_body(says))


async def test_google_takes_no_gif_so_it_is_drawn_anew_pixel_by_pixel(
    server: Server, monkeypatch: pytest.MonkeyPatch, tmp_path: Any
) -> None:
    image = store_image(tmp_path / "media", picture("GIF"))
    server.answer = Answer(protocols.google_body(Completion()))
    async with ours("google:gemini-2.5-flash", server, monkeypatch) as model:
        await model.reply(Prompt(messages=(Message("user", (Text("?"), image)),)), Sampling())
    data = server.calls[0][2]["contents"][0]["parts"][1]["inlineData"]
    assert data["mimeType"] == "image/png"
    with (
        Image.open(io.BytesIO(base64.b64decode(data["data"]))) as drawn,
        Image.open(io.BytesIO(picture("GIF"))) as was,
    ):
        assert drawn.convert("RGB").tobytes() == was.convert("RGB").tobytes()
