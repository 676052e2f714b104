"""The same replies and errors in each vendor's documented protocol.

These are written by hand, as no vendor can be reached from CI; `test_vendor_clients.py` checks that the vendors' own SDKs
accept them. Recorded responses of OpenAI-compatible servers are in `cases/recorded.jsonl`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

Body = dict[str, Any]


class Completion(NamedTuple):
    """A model's reply, independent of the protocol."""

    text: str = "4"
    reasoning: str | None = None
    stop: str = "stop"
    """stop, length, filter."""
    input: int = 9
    cached: int = 0
    output: int = 4
    """Output tokens, including those of the reasoning."""
    thoughts: int = 0


class Protocol(NamedTuple):
    """Responses in a vendor's protocol."""

    path: str
    completion: Callable[[Completion], Body]
    error: Callable[[int, str, str], Body]
    """(status, kind of fault, message)."""
    no_reply: Body
    """A response with status 200 but no reply."""
    quota: tuple[int, Body]
    wrong_key: tuple[int, Body]
    overflow: tuple[int, Body]
    filtered: tuple[int, Body]
    """The response to a prompt that the vendor's filter rejects."""


def openai_body(completion: Completion) -> Body:
    message: Body = {"role": "assistant", "content": completion.text, "refusal": None}
    if completion.reasoning is not None:
        message["reasoning_content"] = completion.reasoning
    finish = {"stop": "stop", "length": "length", "filter": "content_filter"}[completion.stop]
    return {
        "id": "chatcmpl-1",
        "object": "chat.completion",
        "created": 1795600000,
        "model": "served",
        "choices": [{"index": 0, "message": message, "finish_reason": finish, "logprobs": None}],
        "usage": {
            "prompt_tokens": completion.input,
            "completion_tokens": completion.output,
            "total_tokens": completion.input + completion.output,
            "prompt_tokens_details": {"cached_tokens": completion.cached},
            "completion_tokens_details": {"reasoning_tokens": completion.thoughts},
        },
    }


def openai_error(status: int, kind: str, message: str) -> Body:
    return {"error": {"message": message, "type": kind, "param": None, "code": None}}


OPENAI = Protocol(
    path="/chat/completions",
    completion=openai_body,
    error=openai_error,
    no_reply={"id": "c", "object": "chat.completion", "created": 1, "model": "served", "choices": []},
    quota=(
        429,
        {
            "error": {
                "message": "You exceeded your current quota, please check your plan and billing details.",
                "type": "insufficient_quota",
                "param": None,
                "code": "insufficient_quota",
            }
        },
    ),
    wrong_key=(
        401,
        {
            "error": {
                "message": "Incorrect API key provided.",
                "type": "x",
                "param": None,
                "code": "invalid_api_key",
            }
        },
    ),
    overflow=(
        400,
        {
            "error": {
                "message": "Your input exceeds what this model takes.",
                "type": "invalid_request_error",
                "param": "messages",
                "code": "context_length_exceeded",
            }
        },
    ),
    filtered=(
        400,
        {
            "error": {
                "message": "Invalid prompt: your prompt was flagged as potentially violating our usage policy.",
                "type": "invalid_request_error",
                "param": None,
                "code": "invalid_prompt",
            }
        },
    ),
)
"""OpenAI's error messages; other vendors replace some of them below."""
DEEPSEEK = OPENAI._replace(
    quota=(402, openai_error(402, "unknown_error", "Insufficient Balance")),
    overflow=(
        400,
        openai_error(400, "invalid_request_error", "This model's maximum context length is 131072 tokens."),
    ),
    filtered=(400, openai_error(400, "invalid_request_error", "Content Exists Risk")),
)
MOONSHOT = OPENAI._replace(
    quota=(
        429,
        openai_error(429, "exceeded_current_quota_error", "Your account is suspended, check your plan"),
    ),
    overflow=(
        400,
        openai_error(400, "invalid_request_error", "Your request exceeded model token limit: 262144"),
    ),
    filtered=(
        400,
        openai_error(400, "content_filter", "The request was rejected because it was considered high risk"),
    ),
)
XAI = OPENAI._replace(
    quota=(429, {"code": "resource-exhausted", "error": "Your team has used all available credits."}),
    wrong_key=(400, {"code": "invalid-argument", "error": "Incorrect API key provided: xa***ey."}),
    overflow=(
        400,
        {
            "code": "invalid-argument",
            "error": "This model's maximum prompt length is 131072, the request contains more",
        },
    ),
    filtered=(
        403,
        {
            "code": "permission-denied",
            "error": "Content violates usage guidelines. Failed check: SAFETY_CHECK_TYPE_BIO",
        },
    ),
)
OPENROUTER = OPENAI._replace(
    quota=(402, {"error": {"code": 402, "message": "Insufficient credits. Add more to go on."}}),
)


def anthropic_body(completion: Completion) -> Body:
    thinking = (
        []
        if completion.reasoning is None
        else [{"type": "thinking", "thinking": completion.reasoning, "signature": "s"}]
    )
    return {
        "id": "msg_1",
        "type": "message",
        "role": "assistant",
        "model": "served",
        "content": [*thinking, {"type": "text", "text": completion.text, "citations": None}],
        "stop_reason": {"stop": "end_turn", "length": "max_tokens", "filter": "refusal"}[completion.stop],
        "stop_sequence": None,
        "usage": {
            "input_tokens": completion.input - completion.cached,
            "cache_read_input_tokens": completion.cached,
            "cache_creation_input_tokens": 0,
            "output_tokens": completion.output,
            "output_tokens_details": {"thinking_tokens": completion.thoughts},
        },
    }


def anthropic_error(status: int, kind: str, message: str) -> Body:
    return {"type": "error", "error": {"type": kind, "message": message}, "request_id": "req_1"}


ANTHROPIC = Protocol(
    path="/v1/messages",
    completion=anthropic_body,
    error=anthropic_error,
    no_reply=anthropic_body(Completion()) | {"content": []},
    quota=(
        400,
        anthropic_error(
            400, "invalid_request_error", "Your credit balance is too low to access the Anthropic API."
        ),
    ),
    wrong_key=(401, anthropic_error(401, "authentication_error", "invalid x-api-key")),
    overflow=(
        400,
        anthropic_error(400, "invalid_request_error", "prompt is too long: 208310 tokens > 200000 maximum"),
    ),
    filtered=(
        400,
        anthropic_error(400, "invalid_request_error", "Output blocked by content filtering policy"),
    ),
)


def google_body(completion: Completion) -> Body:
    thoughts = [] if completion.reasoning is None else [{"text": completion.reasoning, "thought": True}]
    return {
        "candidates": [
            {
                "content": {"role": "model", "parts": [*thoughts, {"text": completion.text}]},
                "finishReason": {"stop": "STOP", "length": "MAX_TOKENS", "filter": "SAFETY"}[completion.stop],
                "index": 0,
            }
        ],
        "usageMetadata": {
            "promptTokenCount": completion.input,
            "candidatesTokenCount": completion.output - completion.thoughts,
            "thoughtsTokenCount": completion.thoughts,
            "cachedContentTokenCount": completion.cached,
            "totalTokenCount": completion.input + completion.output,
        },
        "modelVersion": "served",
    }


def google_error(status: int, kind: str, message: str, **detail: Any) -> Body:
    return {
        "error": {"code": status, "message": message, "status": kind, "details": [detail] if detail else []}
    }


GOOGLE = Protocol(
    path=":generateContent",
    completion=google_body,
    error=google_error,
    no_reply={"candidates": [{"finishReason": "STOP", "index": 0}], "modelVersion": "served"},
    quota=(
        429,
        google_error(
            429,
            "RESOURCE_EXHAUSTED",
            "You exceeded your current quota.",
            violations=[{"quotaId": "GenerateRequestsPerDayPerProjectPerModel-FreeTier"}],
        ),
    ),
    wrong_key=(
        400,
        google_error(
            400,
            "INVALID_ARGUMENT",
            "API key not valid. Please pass a valid API key.",
            reason="API_KEY_INVALID",
        ),
    ),
    overflow=(
        400,
        google_error(
            400,
            "INVALID_ARGUMENT",
            "The input token count (1200000) exceeds the maximum number of tokens allowed",
        ),
    ),
    filtered=(200, {"promptFeedback": {"blockReason": "PROHIBITED_CONTENT"}, "modelVersion": "served"}),
)


class Adapter(NamedTuple):
    """An adapter in the table of tests."""

    protocol: Protocol
    name: str
    key: str
    """Environment variable with its key."""
    base: str = ""
    """Environment variable with its address; empty: the address is part of the name."""


ADAPTERS = {
    "server": Adapter(OPENAI, "some/model", "EVALS_SERVER_KEY"),
    "openai": Adapter(OPENAI, "gpt-4.1", "OPENAI_API_KEY", "OPENAI_BASE_URL"),
    "intern": Adapter(OPENAI, "intern-s1", "INTERN_API_KEY", "INTERN_BASE_URL"),
    "deepseek": Adapter(DEEPSEEK, "deepseek-chat", "DEEPSEEK_API_KEY", "DEEPSEEK_BASE_URL"),
    "moonshot": Adapter(MOONSHOT, "kimi-k2.5", "MOONSHOT_API_KEY", "MOONSHOT_BASE_URL"),
    "openrouter": Adapter(OPENROUTER, "qwen/qwen3-235b", "OPENROUTER_API_KEY", "OPENROUTER_BASE_URL"),
    "together": Adapter(OPENAI, "Qwen/Qwen3-235B", "TOGETHER_API_KEY", "TOGETHER_BASE_URL"),
    "xai": Adapter(XAI, "grok-4", "XAI_API_KEY", "XAI_BASE_URL"),
    "anthropic": Adapter(ANTHROPIC, "claude-haiku-4-5", "ANTHROPIC_API_KEY", "ANTHROPIC_BASE_URL"),
    "google": Adapter(GOOGLE, "gemini-2.5-flash", "GOOGLE_API_KEY", "GOOGLE_BASE_URL"),
}
