"""Google's Gemini API, `google:gemini-2.5-pro`: key from GOOGLE_API_KEY or GEMINI_API_KEY, base URL from GOOGLE_BASE_URL."""

from __future__ import annotations

import asyncio
from base64 import b64decode, b64encode
from collections.abc import Mapping
from typing import Any
from urllib.parse import quote

import msgspec
from msgspec import Struct

from evals.errors import BadReply, ModelError
from evals.model_adapters.common.body import count, fields, merged, model_name, parse_content
from evals.model_adapters.common.faults import Envelope, error_in_200, not_a_reply
from evals.model_adapters.common.finish import ending
from evals.model_adapters.common.http import Client, credentials
from evals.model_adapters.common.http_model import HttpModel, answer_of
from evals.model_adapters.common.pictures import encoded
from evals.model_adapters.common.rules import (
    Rule,
    remarks,
    rule_for,
    supported_sampling,
    thinking_fields,
    truncate_at_stop,
)
from evals.types import TOOL_CALLS, Part, Prompt, Reply, Sampling, Text, Usage

BASE = "https://generativelanguage.googleapis.com/v1beta"
MOST_STOPS = 5
_NEVER = frozenset({"min_p"})


def _thinking(**fields: Any) -> dict[str, Any]:
    return {"thinkingConfig": {"includeThoughts": True, **fields}}


RULES = (
    Rule(models=r"gemini-(1|2\.0)|gemma", refuses=_NEVER, off={}),
    Rule(models=r"gemini-2\.5-pro", refuses=_NEVER, reasons=True, on=_thinking(thinkingBudget=-1)),
    Rule(
        models=r"gemini-2\.5",
        refuses=_NEVER,
        reasons=True,
        on=_thinking(thinkingBudget=-1),
        off={"thinkingConfig": {"thinkingBudget": 0}},
    ),
    Rule(refuses=_NEVER, reasons=True, on=_thinking(thinkingLevel="high")),
)
"""ai.google.dev/gemini-api/docs/thinking: from Gemini 3 on there are thinking levels, and thinking cannot be switched off."""


class _Candidate(Struct, rename="camel"):
    content: Any = None
    finish_reason: Any = None
    finish_message: Any = None


class _Answer(Envelope, rename="camel"):
    candidates: list[_Candidate] | None = None
    prompt_feedback: Any = None
    usage_metadata: Any = None
    model_version: Any = None


_ANSWER = msgspec.json.Decoder(_Answer)
_FIELDS = {
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
        self.rule = rule_for(RULES, name)

    def remarks(self, sampling: Sampling) -> list[str]:
        """Return the remarks for the run's card; raises UsageError for a setting that the model does not support."""
        return remarks(self.rule, self.name, sampling)

    def read(self, raw: bytes, sampling: Sampling, *, seconds: float) -> Reply:
        """Parse the body of a 200 response; apply stop sequences that the API does not support."""
        reply = parse(raw, seconds=seconds, where=self.where)
        return truncate_at_stop(reply, sampling.stop[0 if "stop" in self.refusals.settings else MOST_STOPS :])

    async def body(self, prompt: Prompt, sampling: Sampling) -> dict[str, Any]:
        """Return the request's body."""
        pictures = {
            sha: await _sendable(*picture) for sha, picture in (await encoded(prompt, "image")).items()
        }
        sent = supported_sampling(self.rule, sampling)
        config = {
            field: value for name, field in _FIELDS.items() if (value := getattr(sent, name)) is not None
        } | dict(thinking_fields(self.rule, self.name, thinking=sampling.thinking))
        if sent.stop:
            config["stopSequences"] = sent.stop[:MOST_STOPS]
        request: dict[str, Any] = {
            "contents": [
                {
                    "role": "model" if message.role == "assistant" else "user",
                    "parts": [_part(part, pictures) for part in message.parts],
                }
                for message in prompt.messages
                if message.role != "system"
            ]
        }
        if system := [part for m in prompt.messages if m.role == "system" for part in m.parts]:
            request["systemInstruction"] = {"parts": [_part(part, pictures) for part in system]}
        if config:
            request["generationConfig"] = config
        return merged(request, sent.extra)


async def _sendable(kind: str, data: str) -> tuple[str, str]:
    """Convert a GIF to PNG, since the API does not accept GIF; other formats are returned unchanged."""
    if kind != "image/gif":
        return kind, data
    from evals.data.media import inspect_image, redraw_as_png
    from evals.labels import Redrawn

    raw = b64decode(data)
    _, width, height, _ = inspect_image(raw)
    png = await asyncio.to_thread(redraw_as_png, raw, Redrawn(width, height))
    return "image/png", b64encode(png).decode()


def _part(part: Part, pictures: Mapping[str, tuple[str, str]]) -> dict[str, Any]:
    if isinstance(part, Text):
        return {"text": part.text}
    if part.kind != "image" or part.sha256 not in pictures:
        raise ModelError(f"this adapter cannot send a {part.kind}")
    kind, data = pictures[part.sha256]
    return {"inlineData": {"mimeType": kind, "data": data}}


def parse(raw: bytes, *, seconds: float, where: str) -> Reply:
    """Parse the body of a 200 response; raises BadReply if it is not a reply, or the error that it reports."""
    answer = answer_of(_ANSWER, raw, where)
    if answer.reports_error():
        raise error_in_200(raw, where, "with an error")
    common: dict[str, Any] = {"usage": _usage(answer.usage_metadata), "seconds": seconds}
    common["model"] = model_name(answer.model_version)
    if not answer.candidates:
        if reason := fields(answer.prompt_feedback).get("blockReason"):
            return Reply(text=f"prompt blocked: {reason}", stop="filter", **common)
        raise error_in_200(raw, where, "without candidates")
    candidate = answer.candidates[0]
    stop, finish = ending(candidate.finish_reason, where, detail=str(candidate.finish_message or "")[:200])
    parts = candidate.content
    if isinstance(parts, dict):
        parts = parts.get("parts")
    parts = parts or []
    if stop == "stop" and not parts and finish != TOOL_CALLS:
        raise BadReply(f"200 without parts from {where}")
    try:
        content = parse_content(parts)
    except TypeError as error:
        raise not_a_reply(raw, error, where) from None
    if content.tools and not content.text and stop == "stop":
        finish = TOOL_CALLS
    return Reply(text=content.text or "", reasoning=content.reasoning, stop=stop, finish=finish, **common)


def _usage(raw_usage: Any) -> Usage:
    usage = fields(raw_usage)
    answer, thoughts = count(usage.get("candidatesTokenCount")), count(usage.get("thoughtsTokenCount"))
    return Usage(
        input=count(usage.get("promptTokenCount")),
        output=None if answer is None and thoughts is None else (answer or 0) + (thoughts or 0),
        reasoning=thoughts,
        cached=count(usage.get("cachedContentTokenCount")),
    )


def model(rest: str) -> Gemini:
    """Return the model `google:NAME`; raises UsageError without a key."""
    key, base = credentials("google", rest, base=BASE, keys=("GOOGLE_API_KEY", "GEMINI_API_KEY"))
    return Gemini(rest.removeprefix("models/"), base=base, key=key)
