"""OpenAI's API, `openai:gpt-4.1`: key from OPENAI_API_KEY, custom base URL from OPENAI_BASE_URL.

`server.py`, `vendors.py` and `intern.py` use the same client, since many servers implement this API.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from evals.errors import BadReply, Context, ModelError, ServerFault
from evals.extract import split_reasoning
from evals.model_adapters.common.body import (
    as_object,
    calls_tool,
    encode_media,
    extract_reasoning,
    extract_text,
    merge_fields,
    parse_count,
    parse_model_name,
)
from evals.model_adapters.common.faults import Envelope, error_in_200, is_error
from evals.model_adapters.common.finish import parse_finish_reason
from evals.model_adapters.common.http import Client, credentials
from evals.model_adapters.common.http_model import HttpModel, checked_content, decode_response
from evals.model_adapters.common.rules import NOT_IN_OPENAI_API, SAMPLERS, Rule, find_rule, truncate_at_stop
from evals.types import TOOL_CALLS, Message, Part, Prompt, Reply, Sampling, Text, Usage

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from evals.model_adapters.common.batches import OpenAIBatches

BASE = "https://api.openai.com/v1"
PATH = "/chat/completions"
THINKING_FIELD = "chat_template_kwargs.enable_thinking"
"""Request field that switches reasoning on and off on servers that render a chat template."""


class _Choice(Struct):
    message: dict[str, Any] | str | None = None
    delta: dict[str, Any] | None = None
    """Used instead of `message` by servers that merge a stream into one response."""
    text: str | None = None
    """Used by servers that respond to a chat request in the completions format."""
    finish_reason: Any = None
    error: Any = None
    """OpenRouter: the error of the upstream provider."""


class _Completion(Envelope):
    choices: list[_Choice] | None = None
    usage: Any = None
    model: Any = None


_decoder = msgspec.json.Decoder(_Completion)


class Chat(HttpModel):
    """A model behind `POST {base}/chat/completions`."""

    def __init__(self, name: str, *, base: str, key: str | None = None, switch: str = THINKING_FIELD) -> None:
        """`switch`: request field that switches reasoning on and off; dots address nested objects."""
        headers = {"Authorization": f"Bearer {key}"} if key else None
        super().__init__(name, Client(base, key=key, headers=headers), path=PATH)
        self.switch = switch

    async def body(self, prompt: Prompt, sampling: Sampling) -> dict[str, Any]:
        """Return the body of a request."""
        return body(self.name, prompt, sampling, await encode_as_data_urls(prompt), switch=self.switch)

    def parse_response(self, raw: bytes, sampling: Sampling, *, seconds: float) -> Reply:
        """Parse a 200 response; raises the error that it reports."""
        reply = parse(raw, seconds=seconds, display_url=self.display_url)
        if sampling.stop and "stop" in self.rejected_fields.settings:
            reply = truncate_at_stop(reply, sampling.stop)
        return reply if sampling.thinking is not False else restore_misparsed_text(reply)


class Hosted(Chat):
    """A vendor's model, which supports only some settings and has a vendor-specific switch for reasoning."""

    max_tokens_field = "max_tokens"

    def __init__(self, name: str, *, base: str, key: str, rules: Sequence[Rule], note: str = "") -> None:
        super().__init__(name, base=base, key=key)
        self.rule = find_rule(rules, name)
        self._note = note

    def remarks(self, sampling: Sampling) -> list[str]:
        """See `HasRemarks`."""
        return list(filter(None, (*self.rule.remarks(self.name, sampling), self._note)))

    async def body(self, prompt: Prompt, sampling: Sampling) -> dict[str, Any]:
        """Return the body of a request, in the vendor's variant of the API."""
        thinking = self.rule.thinking_fields(self.name, sampling)
        request = await super().body(prompt, replace(self.rule.supported(sampling), thinking=None))
        if (max_tokens := request.pop("max_tokens", None)) is not None:
            request.setdefault(self.max_tokens_field, max_tokens)
        return merge_fields(thinking, request)

    def parse_response(self, raw: bytes, sampling: Sampling, *, seconds: float) -> Reply:
        """Parse a 200 response, and apply stop sequences that the vendor does not support."""
        reply = super().parse_response(raw, sampling, seconds=seconds)
        is_sent = "stop" not in self.rule.unsupported_settings(sampling)
        return reply if is_sent else truncate_at_stop(reply, sampling.stop)


async def encode_as_data_urls(prompt: Prompt) -> Mapping[str, str]:
    """Return a prompt's media as data URLs, by SHA-256; raises Rejected for media that cannot be sent."""
    media = await encode_media(prompt, "image", "time_series")
    return {sha256: f"data:{mime_type};base64,{data}" for sha256, (mime_type, data) in media.items()}


def body(
    name: str,
    prompt: Prompt,
    sampling: Sampling,
    media: Mapping[str, str] | None = None,
    *,
    switch: str = THINKING_FIELD,
) -> dict[str, Any]:
    """Return the body of a request without unset fields. `media`: see `encode_as_data_urls`."""
    messages = [_encode_message(message, media or {}) for message in prompt.messages]
    request: dict[str, Any] = {"model": name, "messages": messages}
    for field in ("temperature", "top_p", "top_k", "min_p", "max_tokens", "seed"):
        if (value := getattr(sampling, field)) is not None:
            request[field] = value
    if sampling.stop:
        request["stop"] = sampling.stop
    if sampling.thinking is not None:
        *outer, last = switch.split(".")
        target = request
        for field in outer:
            target = target.setdefault(field, {})
        target[last] = sampling.thinking
    return merge_fields(request, sampling.extra)


def _encode_message(message: Message, media: Mapping[str, str]) -> dict[str, Any]:
    parts = message.parts
    if len(parts) == 1 and isinstance(parts[0], Text):
        return {"role": message.role, "content": parts[0].text}
    return {"role": message.role, "content": [_encode_part(part, media) for part in parts]}


def _encode_part(part: Part, media: Mapping[str, str]) -> dict[str, Any]:
    if isinstance(part, Text):
        return {"type": "text", "text": part.text}
    if part.kind == "structure" or part.sha256 not in media:
        raise ModelError(f"this adapter cannot send a {part.kind}")
    url = {"url": media[part.sha256]}
    if part.kind == "time_series":
        # LMDeploy's format (@ 38b20fcc, vl/time_series_utils.py): .npy, time first
        return {"type": "time_series_url", "time_series_url": {**url, "sampling_rate": part.rate_hz}}
    return {"type": "image_url", "image_url": url}


def parse(raw: bytes, *, seconds: float, display_url: str) -> Reply:
    """Parse a 200 response; raises the error that it reports, or BadReply if it contains no reply."""
    completion = decode_response(_decoder, raw, display_url)
    if completion.reports_error() or not completion.choices:
        description = "with an error" if completion.choices else "without choices"
        raise error_in_200(raw, display_url, description=description)
    choice = completion.choices[0]
    message, usage = _message_of(choice), _parse_usage(completion.usage)
    for fault in (choice.error, message.get("error")):
        if is_error(fault):
            raise _choice_error(fault, display_url)
    stop, finish = parse_finish_reason(choice.finish_reason, display_url)
    if stop == "length" and usage.output == 0 and not usage.reasoning:  # LMDeploy up to 0.12
        raise Context(
            f"a response without tokens from {display_url}: the prompt ({usage.input} tokens) fills the context"
        )
    content = checked_content(message.get("content"), raw, display_url)
    served_name = parse_model_name(completion.model)
    reply_fields: dict[str, Any] = {"usage": usage, "seconds": seconds, "model": served_name}
    refusal = extract_text(message.get("refusal")) or content.refusal
    if not content.text and stop == "stop" and (content.has_tool_call or calls_tool(message)):
        finish = TOOL_CALLS
    reasoning = content.reasoning if content.reasoning is not None else extract_reasoning(message)
    if refusal and not content.text:
        return Reply(text=refusal, reasoning=reasoning, stop="filter", **reply_fields)
    if content.text is None and reasoning is None and stop == "stop" and finish != TOOL_CALLS:
        raise BadReply(f"200 with content null from {display_url}")
    text, inline_reasoning, unclosed = split_reasoning(content.text or "")
    return Reply(
        text=text,
        reasoning=inline_reasoning if inline_reasoning and not reasoning else reasoning,
        stop="length" if unclosed and stop == "stop" else stop,
        finish=finish,
        **reply_fields,
    )


def restore_misparsed_text(reply: Reply) -> Reply:
    """Restore the text of a reply that a server has misclassified as reasoning although reasoning was off.

    vLLM's `deepseek_r1` parser, with which Intern-S1-Pro is served, splits at `</think>`. With thinking off that tag is in
    the prompt, so the whole reply is returned as reasoning (vLLM 0.32.0, recorded in `tests/cases/recorded.jsonl`).
    """
    if reply.stop != "stop" or reply.text or not reply.reasoning:
        return reply
    return replace(reply, text=reply.reasoning, reasoning=None)


def _message_of(choice: _Choice) -> Mapping[str, Any]:
    if isinstance(choice.message, str):
        return {"content": choice.message}
    return choice.message or choice.delta or {"content": choice.text}


def _choice_error(fault: Any, display_url: str) -> ModelError:
    """Return the error for a fault reported in a choice: according to its code, or a ServerFault if it has none."""
    raw = msgspec.json.encode({"error": fault})
    error = error_in_200(raw, display_url, description="with an incomplete reply")
    return ServerFault(str(error)) if type(error) is BadReply else error


def _parse_usage(raw_usage: Any) -> Usage:
    """Parse token counts; implausible ones become None without invalidating the reply."""
    usage = as_object(raw_usage)
    input_details = as_object(usage.get("prompt_tokens_details"))
    output_details = as_object(usage.get("completion_tokens_details"))
    input_, output = parse_count(usage.get("prompt_tokens")), parse_count(usage.get("completion_tokens"))
    reasoning = parse_count(output_details.get("reasoning_tokens"))
    if reasoning and output is not None and usage.get("total_tokens") == (input_ or 0) + output + reasoning:
        output += reasoning  # xAI does not include reasoning in completion tokens
    # OpenAI, Moonshot, DeepSeek
    cached = (
        input_details.get("cached_tokens"),
        usage.get("cached_tokens"),
        usage.get("prompt_cache_hit_tokens"),
    )
    cached_tokens = next((tokens for value in cached if (tokens := parse_count(value)) is not None), None)
    return Usage(input=input_, output=output, reasoning=reasoning, cached=cached_tokens)


RULES = (
    Rule(
        models=r"gpt-3|gpt-4|chatgpt|gpt-5[.\d]*-chat|ft:gpt-[34]",
        unsupported=NOT_IN_OPENAI_API,
        thinking_off={},
    ),
    Rule(
        models=r"o\d|gpt-5(?!\.)",
        unsupported=SAMPLERS | {"stop"},
        reasons_by_default=True,
        thinking_on={"reasoning_effort": "medium"},
    ),
    # from 5.1 on the effort may be "none", the default of some models; only then are sampling settings accepted
    Rule(
        unsupported=NOT_IN_OPENAI_API,
        unsupported_if_reasoning=SAMPLERS | {"stop"},
        reasons_by_default=True,
        thinking_on={"reasoning_effort": "medium"},
        thinking_off={"reasoning_effort": "none"},
    ),
)
"""developers.openai.com/api/docs: Reasoning models, and parameter compatibility in Using the latest model."""


class OpenAI(Hosted):
    """A model of OpenAI's own API, in which `max_tokens` is named `max_completion_tokens`."""

    max_tokens_field = "max_completion_tokens"

    @property
    def batches(self) -> OpenAIBatches:
        """Return the batch endpoint: half the price, results within 24 hours."""
        from evals.model_adapters.common.batches import OpenAIBatches

        return OpenAIBatches(self)


DEFAULT_RULE = Rule(
    thinking_on={"chat_template_kwargs": {"enable_thinking": True}},
    thinking_off={"chat_template_kwargs": {"enable_thinking": False}},
)
"""Rule for other models behind a custom base URL: all settings are sent, as to a self-hosted server."""


def model(rest: str) -> Hosted:
    """Return the model `openai:NAME`; raises UsageError without a key."""
    key, base = credentials("openai", rest, base=BASE)
    if base != BASE and not re.match(r"gpt-(?!oss)|o\d|chatgpt|ft:", rest):
        return Hosted(rest, base=base, key=key, rules=(DEFAULT_RULE,))
    return OpenAI(rest, base=base, key=key, rules=RULES)
