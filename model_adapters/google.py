"""Google's Gemini API: `google:gemini-2.5-pro`, key GOOGLE_API_KEY or GEMINI_API_KEY, another address GOOGLE_BASE_URL."""

from __future__ import annotations

import asyncio
from base64 import b64decode, b64encode
from collections.abc import Mapping
from typing import Any, Literal
from urllib.parse import quote

import msgspec
from msgspec import Struct, field

from evals.errors import BadReply, Filtered, ModelError, ServerFault
from evals.model_adapters.common.http import Client, credentials, decoded, fault_message, not_a_reply
from evals.model_adapters.common.pictures import encoded
from evals.model_adapters.common.rules import Rule, cut, remarks, rule_for, settled, telling
from evals.types import Part, Prompt, Reply, Sampling, Text, Usage

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
"""ai.google.dev/gemini-api/docs/thinking: from Gemini 3 on there are levels, of which none is off."""


class _Part(Struct):
    text: str | None = None
    thought: bool | None = None


class _Content(Struct):
    parts: list[_Part] | None = None


class _Candidate(Struct, rename="camel"):
    content: _Content | None = None
    finish_reason: str | None = None
    finish_message: str | None = None


class _Feedback(Struct, rename="camel"):
    block_reason: str | None = None


class _Usage(Struct, rename="camel"):
    prompt_token_count: int | None = None
    candidates_token_count: int | None = None
    thoughts_token_count: int | None = None
    cached_content_token_count: int | None = None


class _Answer(Struct, rename="camel"):
    candidates: list[_Candidate] = field(default_factory=list)
    prompt_feedback: _Feedback | None = None
    usage_metadata: _Usage | None = None
    model_version: str | None = None


_ANSWER = msgspec.json.Decoder(_Answer)
_FILTERS = (
    "SAFETY",
    "RECITATION",
    "BLOCKLIST",
    "PROHIBITED_CONTENT",
    "SPII",
    "LANGUAGE",
    "IMAGE_SAFETY",
    "ESCALATION",
    "MODEL_ARMOR",
)
_STOPS: dict[str | None, Literal["stop", "length", "filter"]] = {
    "MAX_TOKENS": "length",
    **dict.fromkeys(_FILTERS, "filter"),
}
_FIELDS = {
    "temperature": "temperature",
    "top_p": "topP",
    "top_k": "topK",
    "max_tokens": "maxOutputTokens",
    "seed": "seed",
}


class Gemini:
    """A model behind `POST /models/NAME:generateContent`."""

    accepts = frozenset({"image"})
    slots: int | None = None

    def __init__(self, name: str, *, base: str, key: str) -> None:
        self.name = name
        self.rule = rule_for(RULES, name)
        self._path = f"/models/{quote(name, safe='')}:generateContent"
        self.client = Client(base, key=key, headers={"x-goog-api-key": key})

    def remarks(self, sampling: Sampling) -> list[str]:
        """Say what a run's card must say of it; raises UsageError for a wish that the model cannot meet."""
        return remarks(self.rule, self.name, sampling)

    async def reply(self, prompt: Prompt, sampling: Sampling) -> Reply:
        """Ask once; raises what `errors.py` says of each way to fail."""
        try:
            raw, seconds = await self.client.post(self._path, await self.body(prompt, sampling))
        except Filtered as error:
            return Reply(text=str(error), stop="filter", model=self.name)
        where = self.client.shown(self._path)
        try:
            found = parse(raw, seconds=seconds, where=where)
        except ModelError as error:
            raise type(error)(self.client.without_key(str(error))) from None
        return cut(found, sampling.stop[MOST_STOPS:])

    async def body(self, prompt: Prompt, sampling: Sampling) -> dict[str, Any]:
        """Give the request's body."""
        pictures = {sha: await _sendable(*one) for sha, one in (await encoded(prompt, "image")).items()}
        sent = settled(self.rule, sampling)
        config = {
            to: value for name, to in _FIELDS.items() if (value := getattr(sent, name)) is not None
        } | dict(telling(self.rule, self.name, sampling.thinking))
        if sent.stop:
            config["stopSequences"] = sent.stop[:MOST_STOPS]
        found: dict[str, Any] = {
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
            found["systemInstruction"] = {"parts": [_part(part, pictures) for part in system]}
        if config:
            found["generationConfig"] = config
        return found | sent.extra

    async def close(self) -> None:
        """Close the connections."""
        await self.client.close()


async def _sendable(kind: str, data: str) -> tuple[str, str]:
    """Draw a GIF anew as PNG, pixel by pixel: the API takes none."""
    if kind != "image/gif":
        return kind, data
    from evals.data.media import look, redraw

    raw = b64decode(data)
    _, width, height, _ = look(raw)
    drawn = await asyncio.to_thread(redraw, raw, f"png {width}x{height}")
    return "image/png", b64encode(drawn).decode()


def _part(part: Part, pictures: Mapping[str, tuple[str, str]]) -> dict[str, Any]:
    if isinstance(part, Text):
        return {"text": part.text}
    if part.kind != "image" or part.sha256 not in pictures:
        raise ModelError(f"this adapter sends no {part.kind}")
    kind, data = pictures[part.sha256]
    return {"inlineData": {"mimeType": kind, "data": data}}


def parse(raw: bytes, *, seconds: float, where: str) -> Reply:
    """Read a 200 body; raises BadReply where it is no answer, ServerFault where the model broke off."""
    try:
        found = decoded(_ANSWER, raw)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise not_a_reply(raw, error, where) from error
    usage, served = _usage(found.usage_metadata), found.model_version or ""
    if not found.candidates:
        if found.prompt_feedback and (why := found.prompt_feedback.block_reason):
            text = f"prompt blocked: {why}"
            return Reply(text=text, stop="filter", usage=usage, seconds=seconds, model=served)
        raise BadReply(f"200 without candidates from {where}: {fault_message(raw)}")
    candidate = found.candidates[0]
    parts = (candidate.content.parts if candidate.content else None) or []
    stop = _STOPS.get(candidate.finish_reason, "stop")
    if stop == "stop" and candidate.finish_reason not in (None, "STOP"):
        raise ServerFault(
            f"the reply broke off: {candidate.finish_reason} {candidate.finish_message or ''} ({where})"
        )
    if stop == "stop" and not parts:
        raise BadReply(f"200 without parts from {where}")
    thoughts = [part.text for part in parts if part.thought and part.text]
    return Reply(
        text="".join(part.text for part in parts if part.text and not part.thought),
        reasoning="\n".join(thoughts) if thoughts else None,
        stop=stop,
        usage=usage,
        seconds=seconds,
        model=served,
    )


def _usage(usage: _Usage | None) -> Usage:
    if usage is None:
        return Usage()
    answer, thoughts = usage.candidates_token_count, usage.thoughts_token_count
    return Usage(
        input=usage.prompt_token_count,
        output=None if answer is None and thoughts is None else (answer or 0) + (thoughts or 0),
        reasoning=thoughts,
        cached=usage.cached_content_token_count,
    )


def model(rest: str) -> Gemini:
    """Make `google:NAME`; raises UsageError without a key."""
    key, base = credentials("google", rest, base=BASE, keys=("GOOGLE_API_KEY", "GEMINI_API_KEY"))
    return Gemini(rest.removeprefix("models/"), base=base, key=key)
