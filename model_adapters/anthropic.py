"""Anthropic's API, `anthropic:claude-opus-5-5`: key from ANTHROPIC_API_KEY, custom base URL from ANTHROPIC_BASE_URL.

Requests use `anthropic-version: 2026-10-21`, which does not support a temperature; older models that support one are
called with version 2023-06-01 (platform.claude.com/docs/en/api/versioning). The thinking budget of older models is three
quarters of max tokens; newer models choose their own.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import msgspec

from evals.errors import BadReply, ModelError, UsageError
from evals.model_adapters.common.body import (
    as_object,
    encode_media,
    merge_fields,
    parse_count,
    parse_model_name,
)
from evals.model_adapters.common.faults import Envelope, error_in_200
from evals.model_adapters.common.finish import parse_finish_reason
from evals.model_adapters.common.http import Client, credentials, parse_base_url
from evals.model_adapters.common.http_model import HttpModel, checked_content, decode_response
from evals.model_adapters.common.rules import SAMPLERS, Rule, find_rule, truncate_at_stop
from evals.types import TOOL_CALLS, Part, Prompt, Reply, Sampling, Text, Usage

if TYPE_CHECKING:
    from evals.model_adapters.common.batches import AnthropicBatches

BASE = "https://api.anthropic.com"
PATH = "/v1/messages"
MAX_TOKENS = 32_000
"""Default `max_tokens`; the API requires a value."""
MIN_THINKING_BUDGET = 1024
_UNSUPPORTED = frozenset({"min_p", "seed"})
_THINKING_WITH_BUDGET = {"thinking": {"type": "enabled"}}
_ADAPTIVE_THINKING = {"thinking": {"type": "adaptive", "display": "summarized"}}
_NO_THINKING = {"thinking": {"type": "disabled"}}
_UNSUPPORTED_AND_TOP_P = _UNSUPPORTED | {"top_p"}
"""Of temperature and top_p, only temperature is sent: Claude 4.1 and later reject the two together."""
RULES = (
    Rule(models=r"claude-(instant|2|3-5|3-(opus|sonnet|haiku))", unsupported=_UNSUPPORTED, thinking_off={}),
    Rule(
        models=r"claude-(3-7|(opus|sonnet|haiku)-4(-[015])?(-20\d{6})?$)",
        unsupported=_UNSUPPORTED_AND_TOP_P,
        unsupported_if_reasoning=SAMPLERS,
        thinking_on=_THINKING_WITH_BUDGET,
        thinking_off={},
    ),
    Rule(
        models=r"claude-(opus|sonnet)-4-6",
        unsupported=_UNSUPPORTED_AND_TOP_P,
        unsupported_if_reasoning=SAMPLERS,
        thinking_on=_ADAPTIVE_THINKING,
        thinking_off={},
    ),
    Rule(
        models=r"claude-(opus-5-5|fable|mythos)",
        unsupported=SAMPLERS | _UNSUPPORTED,
        reasons_by_default=True,
        thinking_on=_ADAPTIVE_THINKING,
    ),
    Rule(
        models=r"claude-sonnet-5-5",
        unsupported=SAMPLERS | _UNSUPPORTED,
        reasons_by_default=True,
        thinking_on=_ADAPTIVE_THINKING,
        thinking_off={"thinking": {"type": "between_tools"}},
    ),
    Rule(
        unsupported=SAMPLERS | _UNSUPPORTED,
        reasons_by_default=True,
        thinking_on=_ADAPTIVE_THINKING,
        thinking_off=_NO_THINKING,
    ),
)
"""Sources: platform.claude.com/docs, Thinking and the migration guide of each model."""


class _Response(Envelope):
    content: Any = None
    stop_reason: Any = None
    model: Any = None
    usage: Any = None


_decoder = msgspec.json.Decoder(_Response)


class Claude(HttpModel):
    """A model behind `POST /v1/messages`."""

    required_fields = frozenset({"max_tokens"})

    def __init__(self, name: str, *, base: str, key: str) -> None:
        self.rule = find_rule(RULES, name)
        version = "2026-10-21" if self.rule.unsupported >= SAMPLERS else "2023-06-01"
        url = parse_base_url(base)
        query = f"?{url.query}" if url.query else ""
        headers = {"x-api-key": key, "anthropic-version": version}
        client = Client(url.url.removesuffix("/v1") + query, key=key, headers=headers, version="")
        super().__init__(name, client, path=PATH)

    def remarks(self, sampling: Sampling) -> list[str]:
        """See `HasRemarks`."""
        thinking_budget(self.rule, sampling)  # raises UsageError before the first call
        return self.rule.remarks(self.name, sampling)

    async def body(self, prompt: Prompt, sampling: Sampling) -> dict[str, Any]:
        """Return the body of a request."""
        reasoning_fields = self.rule.thinking_fields(self.name, sampling)
        supported = self.rule.supported(sampling)
        images = await encode_media(prompt, "image")
        request: dict[str, Any] = {"model": self.name, "max_tokens": supported.max_tokens or MAX_TOKENS}
        request |= reasoning_fields
        if budget := thinking_budget(self.rule, sampling):
            request["thinking"] = {**reasoning_fields["thinking"], "budget_tokens": budget}
        if system := [part for m in prompt.messages if m.role == "system" for part in m.parts]:
            request["system"] = _encode_content(system, images)
        request["messages"] = [
            {"role": message.role, "content": _encode_content(message.parts, images)}
            for message in prompt.messages
            if message.role != "system"
        ]
        settings = {name: getattr(supported, name) for name in ("temperature", "top_p", "top_k")}
        request |= {name: value for name, value in settings.items() if value is not None}
        if stops := [stop for stop in supported.stop if stop.strip()]:
            request["stop_sequences"] = stops
        return merge_fields(request, supported.extra)

    def parse_response(self, raw: bytes, sampling: Sampling, *, seconds: float) -> Reply:
        """Parse a 200 response, and apply stop sequences that the API does not support."""
        reply = parse(raw, seconds=seconds, display_url=self.display_url)
        is_sent = "stop" not in {*self.rule.unsupported_settings(sampling), *self.rejected_fields.settings}
        return truncate_at_stop(reply, [stop for stop in sampling.stop if not (is_sent and stop.strip())])

    @property
    def batches(self) -> AnthropicBatches:
        """Return the batch endpoint: half the price, results within 24 hours."""
        from evals.model_adapters.common.batches import AnthropicBatches

        return AnthropicBatches(self)


def thinking_budget(rule: Rule, sampling: Sampling) -> int:
    """Return the thinking budget in tokens; 0: none is sent. Raises UsageError if max tokens is too small."""
    if not sampling.thinking or rule.thinking_on is not _THINKING_WITH_BUDGET:
        return 0
    max_tokens = sampling.max_tokens or MAX_TOKENS
    if max_tokens < 2 * MIN_THINKING_BUDGET:
        raise UsageError(
            f"--thinking needs --max-tokens of at least {2 * MIN_THINKING_BUDGET} for this model, not {max_tokens}"
        )
    return max(MIN_THINKING_BUDGET, 3 * max_tokens // 4)


def _encode_content(
    parts: Sequence[Part], images: Mapping[str, tuple[str, str]]
) -> str | list[dict[str, Any]]:
    if len(parts) == 1 and isinstance(parts[0], Text):
        return parts[0].text
    return [_encode_part(part, images) for part in parts]


def _encode_part(part: Part, images: Mapping[str, tuple[str, str]]) -> dict[str, Any]:
    if isinstance(part, Text):
        return {"type": "text", "text": part.text}
    if part.kind != "image" or part.sha256 not in images:
        raise ModelError(f"this adapter cannot send a {part.kind}")
    mime_type, data = images[part.sha256]
    return {"type": "image", "source": {"type": "base64", "media_type": mime_type, "data": data}}


def parse(raw: bytes, *, seconds: float, display_url: str) -> Reply:
    """Parse a 200 response; raises the error that it reports, or BadReply if it contains no reply."""
    response = decode_response(_decoder, raw, display_url)
    if response.reports_error() or response.content is None:
        raise error_in_200(raw, display_url, description="without content")
    stop, finish = parse_finish_reason(response.stop_reason, display_url)
    content = checked_content(response.content, raw, display_url)
    is_empty = not response.content and response.stop_reason != "stop_sequence"  # which may come first
    if is_empty and stop == "stop" and finish != TOOL_CALLS:
        raise BadReply(f"200 with empty content from {display_url}")
    if content.has_tool_call and not content.text and stop == "stop":
        finish = TOOL_CALLS
    return Reply(
        text=content.text or "",
        reasoning=content.reasoning,
        stop=stop,
        finish=finish,
        usage=_parse_usage(response.usage),
        seconds=seconds,
        model=parse_model_name(response.model),
    )


def _parse_usage(raw_usage: Any) -> Usage:
    usage = as_object(raw_usage)
    uncached = parse_count(usage.get("input_tokens"))
    cached = parse_count(usage.get("cache_read_input_tokens"))
    cache_writes = parse_count(usage.get("cache_creation_input_tokens"))
    return Usage(
        input=None if uncached is None else uncached + (cached or 0) + (cache_writes or 0),
        output=parse_count(usage.get("output_tokens")),
        reasoning=parse_count(as_object(usage.get("output_tokens_details")).get("thinking_tokens")),
        cached=cached,
    )


def model(rest: str) -> Claude:
    """Return the model `anthropic:NAME`; raises UsageError without a key."""
    key, base = credentials("anthropic", rest, base=BASE)
    return Claude(rest, base=base, key=key)
