"""What the body of a 200 says, whatever its shape: text and reasoning, in one piece or in parts, and counts of tokens."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

REASONING_FIELDS = (
    "reasoning_content",  # DeepSeek, LMDeploy, SGLang, vLLM to 0.10
    "reasoning",  # OpenRouter, vLLM, Groq, Ollama
    "thinking",
    "reasoning_text",
    "thoughts",
    "reasoning_details",  # OpenRouter: a list
    "thinking_blocks",  # LiteLLM: a list
)
"""Where a message keeps its reasoning, in the order in which they are read: the first that holds a text."""
REASONING_PARTS = frozenset(
    {"thinking", "reasoning", "reasoning_content", "thought", "reasoning.text", "reasoning.summary"}
)
"""Types of parts that are reasoning: Mistral, Anthropic, Cohere, OpenRouter."""
_TEXTS = ("text", "thinking", "reasoning", "summary", "refusal", "value", "content")
"""Fields of a part that may hold its text."""
DEEPEST = 8


class Content(NamedTuple):
    """What a content holds; None: nothing of the kind."""

    text: str | None = None
    reasoning: str | None = None
    refusal: str | None = None


def parse_content(content: Any) -> Content:
    """Read a message's content: a text, a part, or a list of both; raises TypeError for anything else.

    >>> parse_content([{"type": "thinking", "thinking": [{"type": "text", "text": "2 and 2"}]}, {"type": "text", "text": "4"}])
    Content(text='4', reasoning='2 and 2', refusal=None)
    """
    if content is None or isinstance(content, str):
        return Content(content)
    if isinstance(content, dict):
        content = [content]
    if not isinstance(content, list):
        raise TypeError(f"content is {type(content).__name__}")
    texts: list[str] = []
    thoughts: list[str] = []
    refusals: list[str] = []
    for part in content:
        kind = part.get("type") if isinstance(part, dict) else "text"
        text = flat(part)
        if text is None:
            continue
        reasons = kind in REASONING_PARTS or (isinstance(part, dict) and part.get("thought") is True)
        (thoughts if reasons else refusals if kind == "refusal" else texts).append(text)
    return Content(
        "".join(texts) if texts or not thoughts + refusals else None,
        "\n".join(thoughts) if thoughts else None,
        "".join(refusals) or None,
    )


def flat(value: Any, depth: int = 0) -> str | None:
    """Return the text of a part, however deep it lies; None: it has none (a picture, a call of a tool)."""
    if isinstance(value, str):
        return value
    if depth > DEEPEST:
        return None
    if isinstance(value, dict):
        candidates = (flat(value[name], depth + 1) for name in _TEXTS if value.get(name) is not None)
        return next((text for text in candidates if text is not None), None)
    if isinstance(value, list):
        texts = [text for item in value if (text := flat(item, depth + 1)) is not None]
        return "".join(texts) if texts else None
    return None


def reasoning(message: Mapping[str, Any]) -> str | None:
    """Return the reasoning that stands beside a message's content; None: there is no such field."""
    candidates = [
        text for name in REASONING_FIELDS if name in message and (text := flat(message[name])) is not None
    ]
    return next((text for text in candidates if text), candidates[0] if candidates else None)


def merged(body: Mapping[str, Any], extra: Mapping[str, Any]) -> dict[str, Any]:
    """Return a request's body with the user's own fields, which win; objects are merged field by field."""
    result = dict(body)
    for field, value in extra.items():
        current = result.get(field)
        result[field] = (
            merged(current, value) if isinstance(current, dict) and isinstance(value, dict) else value
        )
    return result


def fields(value: Any) -> Mapping[str, Any]:
    """Return an object as it is, and no fields for what is none."""
    return value if isinstance(value, dict) else {}


def count(value: Any) -> int | None:
    """Return a count of tokens; None for what no server counts so: text, a fraction, a list, a truth.

    >>> count(12), count(12.0), count("12"), count(2.25), count(True), count(-1)
    (12, 12, None, None, None, None)
    """
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    return value if type(value) is int and value >= 0 else None


def model_name(value: Any) -> str:
    """Return the name that a server gives its model; empty where it gives none."""
    return value if isinstance(value, str) else ""
