"""Google's Gemini API, `google:gemini-2.5-pro`: key from GOOGLE_API_KEY or GEMINI_API_KEY, base URL from GOOGLE_BASE_URL."""

from __future__ import annotations

import asyncio
from base64 import b64decode, b64encode
from collections.abc import Mapping
from functools import partial
from typing import Any
from urllib.parse import quote

import msgspec
from msgspec import Struct

from evals.errors import BadReply, ModelError
from evals.model_adapters.common.body import (
    as_object,
    encode_media,
    merge_fields,
    parse_count,
    parse_model_name,
)
from evals.model_adapters.common.faults import Envelope, error_in_200
from evals.model_adapters.common.finish import parse_finish_reason
from evals.model_adapters.common.http import Client, credentials
from evals.model_adapters.common.http_model import HttpModel, checked_content, decode_response
from evals.model_adapters.common.rules import Rule, find_rule, truncate_at_stop
from evals.types import TOOL_CALLS, Part, Prompt, Reply, Sampling, Text, Usage

BASE = "https://generativelanguage.googleapis.com/v1beta"
MAX_STOPS = 5


def _thinking_config(**config: Any) -> dict[str, Any]:
    return {"thinkingConfig": {"includeThoughts": True, **config}}


_rule = partial(Rule, unsupported=frozenset({"min_p"}))
_reasoning_rule = partial(_rule, reasons_by_default=True, thinking_on=_thinking_config(thinkingBudget=-1))
RULES = (
    _rule(models=r"gemini-(1|2\.0)|gemma", thinking_off={}),
    _reasoning_rule(models=r"gemini-2\.5-pro"),
    _reasoning_rule(models=r"gemini-2\.5", thinking_off={"thinkingConfig": {"thinkingBudget": 0}}),
    _reasoning_rule(thinking_on=_thinking_config(thinkingLevel="high")),
)
"""ai.google.dev/gemini-api/docs/thinking: Gemini 3 introduced thinking levels; its thinking cannot be switched off."""


class _Candidate(Struct, rename="camel"):
    content: Any = None
    finish_reason: Any = None
    finish_message: Any = None


class _Response(Envelope, rename="camel"):
    candidates: list[_Candidate] | None = None
    prompt_feedback: Any = None
    usage_metadata: Any = None
    model_version: Any = None


_decoder = msgspec.json.Decoder(_Response)
_FIELD_OF_SETTING = {
    "temperature": "temperature",
    "top_p": "topP",
    "top_k": "topK",
    "max_tokens": "maxOutputTokens",
    "seed": "seed",
}


class Gemini(HttpModel):
    """A model behind `POST /models/NAME:generateContent`."""

    def __init__(self, name: str, *, base: str, key: str) -> None:
        client = Client(base, key=key, headers={"x-goog-api-key": key}, version="/v1beta")
        super().__init__(name, client, path=f"/models/{quote(name, safe='')}:generateContent")
        self.rule = find_rule(RULES, name)

    def remarks(self, sampling: Sampling) -> list[str]:
        """See `HasRemarks`."""
        return self.rule.remarks(self.name, sampling)

    def parse_response(self, raw: bytes, sampling: Sampling, *, seconds: float) -> Reply:
        """Parse a 200 response, and apply stop sequences that the API does not support."""
        reply = parse(raw, seconds=seconds, display_url=self.display_url)
        return truncate_at_stop(
            reply, sampling.stop[0 if "stop" in self.rejected_fields.settings else MAX_STOPS :]
        )

    async def body(self, prompt: Prompt, sampling: Sampling) -> dict[str, Any]:
        """Return the body of a request."""
        images = {
            sha256: await _convert_gif(*image)
            for sha256, image in (await encode_media(prompt, "image")).items()
        }
        supported = self.rule.supported(sampling)
        settings = {field: getattr(supported, name) for name, field in _FIELD_OF_SETTING.items()}
        config = {field: value for field, value in settings.items() if value is not None}
        config |= self.rule.thinking_fields(self.name, sampling)
        if supported.stop:
            config["stopSequences"] = supported.stop[:MAX_STOPS]
        request: dict[str, Any] = {
            "contents": [
                {
                    "role": "model" if message.role == "assistant" else "user",
                    "parts": [_encode_part(part, images) for part in message.parts],
                }
                for message in prompt.messages
                if message.role != "system"
            ]
        }
        if system := [part for m in prompt.messages if m.role == "system" for part in m.parts]:
            request["systemInstruction"] = {"parts": [_encode_part(part, images) for part in system]}
        if config:
            request["generationConfig"] = config
        return merge_fields(request, supported.extra)


async def _convert_gif(mime_type: str, data: str) -> tuple[str, str]:
    """Return an image's MIME type and base64 data; a GIF is converted to PNG, since the API does not accept GIFs."""
    if mime_type != "image/gif":
        return mime_type, data
    from evals.data.media import convert_to_png, inspect_image
    from evals.labels import AsPng

    raw = b64decode(data)
    _, width, height, _ = inspect_image(raw)
    png = await asyncio.to_thread(convert_to_png, raw, AsPng(width, height))
    return "image/png", b64encode(png).decode()


def _encode_part(part: Part, images: Mapping[str, tuple[str, str]]) -> dict[str, Any]:
    if isinstance(part, Text):
        return {"text": part.text}
    if part.kind != "image" or part.sha256 not in images:
        raise ModelError(f"this adapter cannot send a {part.kind}")
    mime_type, data = images[part.sha256]
    return {"inlineData": {"mimeType": mime_type, "data": data}}


def parse(raw: bytes, *, seconds: float, display_url: str) -> Reply:
    """Parse a 200 response; raises the error that it reports, or BadReply if it contains no reply."""
    response = decode_response(_decoder, raw, display_url)
    if response.reports_error():
        raise error_in_200(raw, display_url, description="with an error")
    reply_fields: dict[str, Any] = {"usage": _parse_usage(response.usage_metadata), "seconds": seconds}
    reply_fields["model"] = parse_model_name(response.model_version)
    if not response.candidates:
        if reason := as_object(response.prompt_feedback).get("blockReason"):
            return Reply(text=f"prompt blocked: {reason}", stop="filter", **reply_fields)
        raise error_in_200(raw, display_url, description="without candidates")
    candidate = response.candidates[0]
    stop, finish = parse_finish_reason(
        candidate.finish_reason, display_url, detail=str(candidate.finish_message or "")[:200]
    )
    content = candidate.content
    parts = (content.get("parts") if isinstance(content, dict) else content) or []
    if stop == "stop" and not parts and finish != TOOL_CALLS:
        raise BadReply(f"200 without parts from {display_url}")
    parsed = checked_content(parts, raw, display_url)
    if parsed.has_tool_call and not parsed.text and stop == "stop":
        finish = TOOL_CALLS
    return Reply(text=parsed.text or "", reasoning=parsed.reasoning, stop=stop, finish=finish, **reply_fields)


def _parse_usage(raw_usage: Any) -> Usage:
    usage = as_object(raw_usage)
    answer = parse_count(usage.get("candidatesTokenCount"))
    thoughts = parse_count(usage.get("thoughtsTokenCount"))
    return Usage(
        input=parse_count(usage.get("promptTokenCount")),
        output=None if answer is None and thoughts is None else (answer or 0) + (thoughts or 0),
        reasoning=thoughts,
        cached=parse_count(usage.get("cachedContentTokenCount")),
    )


def model(rest: str) -> Gemini:
    """Return the model `google:NAME`; raises UsageError without a key."""
    key, base = credentials("google", rest, base=BASE, key_variables=("GOOGLE_API_KEY", "GEMINI_API_KEY"))
    return Gemini(rest.removeprefix("models/"), base=base, key=key)
