"""Build request bodies, and parse text, reasoning and token counts from responses, in any server's format."""

from __future__ import annotations

import asyncio
import json
import re
from base64 import b64encode
from collections.abc import Mapping
from typing import Any, NamedTuple

from evals.types import Media, Prompt

REASONING_FIELDS = (
    "reasoning_content",  # DeepSeek, LMDeploy, SGLang, vLLM to 0.10
    "reasoning",  # OpenRouter, vLLM, Groq, Ollama
    "thinking",
    "reasoning_text",
    "thoughts",
    "reasoning_details",  # OpenRouter: a list
    "thinking_blocks",  # LiteLLM: a list
)
"""Fields of a message that may contain its reasoning; the first with text is used, else one with a similar name."""
_REASONING_NAME = re.compile(r"think|thought|reasoning(?!_?(?:effort|tokens|time|id))", re.IGNORECASE)
"""Names of reasoning fields, and types of reasoning parts (Mistral, Anthropic, Cohere, OpenRouter)."""
_TOOL_CALL_NAME = re.compile(r"^(?:tool|function|mcp)_?(?:use|calls?)$", re.IGNORECASE)
"""Names of tool-call fields, and types of tool-call parts."""
_TOOL_RESULT_TYPE = re.compile(r"tool_result$")
"""Types of parts with the result of a tool that the vendor has called (Anthropic), which is not the model's text."""
_TEXT_FIELDS = ("text", "thinking", "reasoning", "think", "thought", "summary", "refusal", "value", "content")
"""Fields of a part that may contain its text."""
MAX_DEPTH = 8


class Content(NamedTuple):
    """The parsed content of a message; text, reasoning and refusal are None if the message has none."""

    text: str | None = None
    reasoning: str | None = None
    refusal: str | None = None
    has_tool_call: bool = False


def parse_content(content: Any) -> Content:
    """Parse a message's content: None, a string, a part, or a list of parts and strings; raises TypeError for anything else.

    An object that is not a part is taken for a JSON reply that the server has parsed; its JSON becomes the text.

    >>> parse_content([{"type": "thinking", "thinking": [{"type": "text", "text": "2 and 2"}]}, {"type": "text", "text": "4"}])
    Content(text='4', reasoning='2 and 2', refusal=None, has_tool_call=False)
    >>> parse_content({"answer": "B"}).text
    '{"answer": "B"}'
    """
    if content is None or isinstance(content, str):
        return Content(content)
    if isinstance(content, dict) and "type" not in content and extract_text(content) is None:
        return Content(json.dumps(content, ensure_ascii=False))
    if isinstance(content, dict):
        content = [content]
    if not isinstance(content, list):
        raise TypeError("its content is neither text nor a list of parts")
    texts: list[str] = []
    thoughts: list[str] = []
    refusals: list[str] = []
    for part in content:
        kind = str(part.get("type") or "") if isinstance(part, dict) else "text"
        if calls_tool(part) or _TOOL_RESULT_TYPE.search(kind):
            continue
        text = extract_text(part)
        if text is None:
            continue
        is_reasoning = bool(_REASONING_NAME.search(kind)) or (
            isinstance(part, dict) and part.get("thought") is True
        )
        (thoughts if is_reasoning else refusals if kind == "refusal" else texts).append(text)
    return Content(
        "".join(texts) if texts or not thoughts + refusals else None,
        "\n".join(thoughts) if thoughts else None,
        "".join(refusals) or None,
        any(map(calls_tool, content)),
    )


def calls_tool(message: Any) -> bool:
    """Return whether a message or a part is, or contains, a tool call.

    >>> calls_tool({"tool_calls": [{}]}), calls_tool({"type": "tool_use"}), calls_tool({"function_call": None})
    (True, True, False)
    """
    names = (
        [message.get("type"), *(name for name, value in message.items() if value)]
        if isinstance(message, dict)
        else []
    )
    return any(_TOOL_CALL_NAME.search(str(name)) for name in names)


def extract_text(value: Any, depth: int = 0) -> str | None:
    """Return the text of a part or a list of parts, nested up to `MAX_DEPTH` levels deep; None if there is none (an image)."""
    if isinstance(value, str):
        return value
    if depth > MAX_DEPTH:
        return None
    if isinstance(value, dict):
        candidates = (
            extract_text(value[name], depth + 1) for name in _TEXT_FIELDS if value.get(name) is not None
        )
        return next((text for text in candidates if text is not None), None)
    if isinstance(value, list):
        texts = [text for element in value if (text := extract_text(element, depth + 1)) is not None]
        return "".join(texts) if texts else None
    return None


def extract_reasoning(message: Mapping[str, Any]) -> str | None:
    """Return the reasoning in a separate field of a message; None if there is no such field."""
    others = sorted(name for name in message if name not in REASONING_FIELDS and _REASONING_NAME.search(name))
    candidates = [
        text
        for name in (*REASONING_FIELDS, *others)
        if name in message and (text := extract_text(message[name])) is not None
    ]
    return next((text for text in candidates if text), candidates[0] if candidates else None)


async def encode_media(prompt: Prompt, *kinds: str) -> dict[str, tuple[str, str]]:
    """Return a prompt's media of these kinds as (MIME type, base64), by SHA-256; raises Rejected if one cannot be sent."""
    encoded = {}
    for part in (part for message in prompt.messages for part in message.parts):
        if isinstance(part, Media) and part.kind in kinds:
            from evals.data.media import payload, stored_path

            if part.kind == "image":
                mime_type, raw = await payload(part)
            else:
                mime_type, raw = "time_series/npy", await asyncio.to_thread(stored_path(part).read_bytes)
            encoded[part.sha256] = (mime_type, b64encode(raw).decode())
    return encoded


def merge_fields(body: Mapping[str, Any], extra: Mapping[str, Any]) -> dict[str, Any]:
    """Return a request's body with the user's extra fields, which take precedence; objects are merged recursively."""
    merged = dict(body)
    for field, value in extra.items():
        current = merged.get(field)
        merged[field] = (
            merge_fields(current, value) if isinstance(current, dict) and isinstance(value, dict) else value
        )
    return merged


def as_object(value: Any) -> Mapping[str, Any]:
    """Return a JSON object unchanged, and an empty mapping for any other value."""
    return value if isinstance(value, dict) else {}


def parse_count(value: Any) -> int | None:
    """Return a token count; None if the value is not a non-negative integer.

    >>> parse_count(12), parse_count(12.0), parse_count("12"), parse_count(2.25), parse_count(True), parse_count(-1)
    (12, 12, None, None, None, None)
    """
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    return value if type(value) is int and value >= 0 else None


def parse_model_name(value: Any) -> str:
    """Return the model name reported by a server; empty if there is none."""
    return value if isinstance(value, str) else ""
