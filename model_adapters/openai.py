"""Anything that speaks the OpenAI chat protocol: `openai:NAME`; `server.py` shares the client.

The key and the base URL come from OPENAI_API_KEY and OPENAI_BASE_URL, read here alone.
"""

from __future__ import annotations

import asyncio
import json
import os
from typing import TYPE_CHECKING, Any, Literal

import msgspec
from msgspec import Struct

from evals.errors import BadReply, ModelError, UsageError
from evals.extract import split_reasoning
from evals.types import Media, Message, Part, Prompt, Reply, Sampling, Text, Usage
from model_adapters.http import Client, fault_message, not_a_reply

if TYPE_CHECKING:
    from collections.abc import Mapping

PATH = "/chat/completions"
SWITCH = "chat_template_kwargs.enable_thinking"
"""The field of a request that switches reasoning on and off, where servers render a chat template."""


class _Details(Struct):
    reasoning_tokens: int | None = None
    cached_tokens: int | None = None


class _Usage(Struct):
    prompt_tokens: int | None = None
    completion_tokens: int | None = None
    completion_tokens_details: _Details | None = None
    prompt_tokens_details: _Details | None = None


class _Message(Struct):
    content: str | None = None
    reasoning_content: str | None = None
    reasoning: str | None = None
    refusal: str | None = None


class _Choice(Struct):
    message: _Message
    finish_reason: str | None = None


class _Completion(Struct):
    choices: list[_Choice] = []
    usage: _Usage | None = None
    model: str | None = None
    error: Any = None


_COMPLETION = msgspec.json.Decoder(_Completion)
_STOPS: dict[str | None, Literal["stop", "length", "filter"]] = {
    "length": "length",
    "content_filter": "filter",
}


class Chat:
    """A model behind `POST {base}/chat/completions`."""

    accepts: frozenset[str] = frozenset({"image"})
    slots: int | None = None

    def __init__(self, name: str, *, base: str, key: str | None = None, switch: str = SWITCH) -> None:
        """`switch`: field that turns reasoning on and off; dots go into nested objects."""
        self.name = name
        self.switch = switch
        self.client = Client(base, key=key, headers={"Authorization": f"Bearer {key}"} if key else None)

    async def reply(self, prompt: Prompt, sampling: Sampling) -> Reply:
        """Ask once; raises what `errors.py` says of each way to fail."""
        pictures = await data_urls(prompt)
        raw, seconds = await self.client.post(
            PATH, body(self.name, prompt, sampling, pictures, switch=self.switch)
        )
        try:
            return parse(raw, seconds=seconds, where=self.client.shown(PATH))
        except BadReply as error:
            raise BadReply(self.client.without_key(str(error))) from None

    async def close(self) -> None:
        """Close the connections."""
        await self.client.close()


async def data_urls(prompt: Prompt) -> Mapping[str, str]:
    """Read a prompt's media: SHA-256 -> data URL; raises Rejected for one that cannot be sent."""
    media = [part for message in prompt.messages for part in message.parts if isinstance(part, Media)]
    if not media:
        return {}
    from base64 import b64encode

    from evals.media import find, payload

    found = {}
    for one in media:
        if one.kind == "image":
            kind, raw = await payload(one)
        else:
            kind, raw = "time_series/npy", await asyncio.to_thread(find(one).read_bytes)
        found[one.sha256] = f"data:{kind};base64,{b64encode(raw).decode()}"
    return found


def body(
    name: str,
    prompt: Prompt,
    sampling: Sampling,
    pictures: Mapping[str, str] | None = None,
    *,
    switch: str = SWITCH,
) -> dict[str, Any]:
    """Give the request's body; what is not set is left to the server. `pictures`: see `data_urls`."""
    messages = [_message(message, pictures or {}) for message in prompt.messages]
    found: dict[str, Any] = {"model": name, "messages": messages}
    for field in ("temperature", "top_p", "top_k", "min_p", "max_tokens", "seed"):
        if (value := getattr(sampling, field)) is not None:
            found[field] = value
    if sampling.stop:
        found["stop"] = sampling.stop
    if sampling.thinking is not None:
        *outer, last = switch.split(".")
        place = found
        for field in outer:
            place = place.setdefault(field, {})
        place[last] = sampling.thinking
    return found | sampling.extra


def _message(message: Message, pictures: Mapping[str, str]) -> dict[str, Any]:
    parts = message.parts
    if len(parts) == 1 and isinstance(parts[0], Text):
        return {"role": message.role, "content": parts[0].text}
    return {"role": message.role, "content": [_part(part, pictures) for part in parts]}


def _part(part: Part, pictures: Mapping[str, str]) -> dict[str, Any]:
    if isinstance(part, Text):
        return {"type": "text", "text": part.text}
    if part.kind == "structure" or part.sha256 not in pictures:
        raise ModelError(f"this adapter sends no {part.kind}")
    url = {"url": pictures[part.sha256]}
    if (
        part.kind == "time_series"
    ):  # LMDeploy's form (@ 38b20fcc, vl/time_series_utils.py): an .npy, time first
        return {"type": "time_series_url", "time_series_url": {**url, "sampling_rate": part.rate_hz}}
    return {"type": "image_url", "image_url": url}


def _decode(raw: bytes) -> _Completion:
    """Decode a completion; half of an emoji, as servers send where a reply was cut, becomes a question mark."""
    try:
        return _COMPLETION.decode(raw)
    except msgspec.DecodeError:
        if b"\\ud" not in raw.lower():
            raise
        try:
            text = json.dumps(json.loads(raw), ensure_ascii=False)
        except ValueError as error:
            raise msgspec.DecodeError(str(error)) from None
        return _COMPLETION.decode(text.encode("utf-8", "replace"))


def parse(raw: bytes, *, seconds: float, where: str) -> Reply:
    """Read a 200 body; raises BadReply where it is no completion."""
    try:
        found = _decode(raw)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise not_a_reply(raw, error, where) from error
    if not found.choices:
        raise BadReply(f"200 without choices from {where}: {fault_message(raw)}")
    choice = found.choices[0]
    message, stop = choice.message, _STOPS.get(choice.finish_reason, "stop")
    if message.refusal and not message.content:
        return Reply(
            text=message.refusal,
            stop="filter",
            usage=_usage(found.usage),
            seconds=seconds,
            model=found.model or "",
        )
    reasoning = message.reasoning_content if message.reasoning_content is not None else message.reasoning
    if message.content is None and reasoning is None and stop == "stop":
        raise BadReply(f"200 with content null from {where}")
    text, thought, unclosed = split_reasoning(message.content or "")
    return Reply(
        text=text,
        reasoning=thought if reasoning is None else reasoning,
        stop="length" if unclosed else stop,
        usage=_usage(found.usage),
        seconds=seconds,
        model=found.model or "",
    )


def _usage(usage: _Usage | None) -> Usage:
    if usage is None:
        return Usage()
    into, out = usage.prompt_tokens_details, usage.completion_tokens_details
    return Usage(
        input=usage.prompt_tokens,
        output=usage.completion_tokens,
        reasoning=out.reasoning_tokens if out else None,
        cached=into.cached_tokens if into else None,
    )


def model(rest: str) -> Chat:
    """Make `openai:NAME`; raises UsageError without a key."""
    key = os.environ.get("OPENAI_API_KEY")
    if not key:
        raise UsageError(f"openai:{rest} needs a key: set OPENAI_API_KEY")
    return Chat(rest, base=os.environ.get("OPENAI_BASE_URL") or "https://api.openai.com/v1", key=key)
