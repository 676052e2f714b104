"""Anthropic's API, `anthropic:claude-opus-5-5`: key from ANTHROPIC_API_KEY, custom base URL from ANTHROPIC_BASE_URL.

Requests use `anthropic-version: 2026-10-21`, which no longer supports a temperature; older models that do are called
with version 2023-06-01 (platform.claude.com/docs/en/api/versioning). Older models get a thinking budget of three
quarters of max tokens; newer ones decide for themselves.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import msgspec

from evals.errors import BadReply, ModelError, UsageError
from evals.model_adapters.common.body import count, fields, merged, model_name, parse_content
from evals.model_adapters.common.faults import Envelope, error_in_200, not_a_reply
from evals.model_adapters.common.finish import ending
from evals.model_adapters.common.http import Client, base_of, credentials
from evals.model_adapters.common.http_model import HttpModel, answer_of
from evals.model_adapters.common.pictures import encoded
from evals.model_adapters.common.rules import (
    SAMPLERS,
    Rule,
    remarks,
    rule_for,
    supported_sampling,
    thinking_fields,
    truncate_at_stop,
    unsupported_settings,
)
from evals.types import TOOL_CALLS, Part, Prompt, Reply, Sampling, Text, Usage

if TYPE_CHECKING:
    from evals.model_adapters.common.batches import AnthropicBatches

BASE = "https://api.anthropic.com"
PATH = "/v1/messages"
MAX_TOKENS = 32_000
"""Default limit of a reply; the API requires one."""
LEAST_BUDGET = 1024
_NEVER = frozenset({"min_p", "seed"})
_BUDGET = {"thinking": {"type": "enabled"}}
_ADAPTIVE = {"thinking": {"type": "adaptive", "display": "summarized"}}
_DISABLED = {"thinking": {"type": "disabled"}}
_OLD = _NEVER | {"top_p"}
"""From 4.1 on, temperature and top_p cannot be set together."""
RULES = (
    Rule(models=r"claude-(instant|2|3-5|3-(opus|sonnet|haiku))", refuses=_NEVER, off={}),
    Rule(
        models=r"claude-(3-7|(opus|sonnet|haiku)-4(-[015])?(-20\d{6})?$)",
        refuses=_OLD,
        reasoning=SAMPLERS,
        on=_BUDGET,
        off={},
    ),
    Rule(models=r"claude-(opus|sonnet)-4-6", refuses=_OLD, reasoning=SAMPLERS, on=_ADAPTIVE, off={}),
    Rule(models=r"claude-(opus-5-5|fable|mythos)", refuses=SAMPLERS | _NEVER, reasons=True, on=_ADAPTIVE),
    Rule(
        models=r"claude-sonnet-5-5",
        refuses=SAMPLERS | _NEVER,
        reasons=True,
        on=_ADAPTIVE,
        off={"thinking": {"type": "between_tools"}},
    ),
    Rule(refuses=SAMPLERS | _NEVER, reasons=True, on=_ADAPTIVE, off=_DISABLED),
)
"""platform.claude.com/docs: Thinking, and the migration guides of each model."""


class _Answer(Envelope):
    content: Any = None
    stop_reason: Any = None
    model: Any = None
    usage: Any = None


_ANSWER = msgspec.json.Decoder(_Answer)


class Claude(HttpModel):
    """A model behind `POST /v1/messages`."""

    wants = frozenset({"max_tokens"})

    def __init__(self, name: str, *, base: str, key: str) -> None:
        self.rule = rule_for(RULES, name)
        version = "2026-10-21" if self.rule.refuses >= SAMPLERS else "2023-06-01"
        url = base_of(base)
        query = f"?{url.query}" if url.query else ""
        headers = {"x-api-key": key, "anthropic-version": version}
        client = Client(url.url.removesuffix("/v1") + query, key=key, headers=headers, version="")
        super().__init__(name, client, path=PATH)

    def remarks(self, sampling: Sampling) -> list[str]:
        """Return the remarks for the run's card; raises UsageError for a setting that the model does not support."""
        budget(self.rule, sampling)
        return remarks(self.rule, self.name, sampling)

    async def body(self, prompt: Prompt, sampling: Sampling) -> dict[str, Any]:
        """Return the request's body."""
        reasoning_fields = thinking_fields(self.rule, self.name, thinking=sampling.thinking)
        sent = supported_sampling(self.rule, sampling)
        pictures = await encoded(prompt, "image")
        request: dict[str, Any] = {
            "model": self.name,
            "max_tokens": sent.max_tokens or MAX_TOKENS,
            **reasoning_fields,
        }
        if tokens := budget(self.rule, sampling):
            request["thinking"] = {**reasoning_fields["thinking"], "budget_tokens": tokens}
        if system := [part for m in prompt.messages if m.role == "system" for part in m.parts]:
            request["system"] = _content(system, pictures)
        request["messages"] = [
            {"role": message.role, "content": _content(message.parts, pictures)}
            for message in prompt.messages
            if message.role != "system"
        ]
        settings = {name: getattr(sent, name) for name in ("temperature", "top_p", "top_k")}
        request |= {name: value for name, value in settings.items() if value is not None}
        if stops := [stop for stop in sent.stop if stop.strip()]:
            request["stop_sequences"] = stops
        return merged(request, sent.extra)

    def read(self, raw: bytes, sampling: Sampling, *, seconds: float) -> Reply:
        """Parse the body of a 200 response; apply stop sequences that the API does not support."""
        reply = parse(raw, seconds=seconds, where=self.where)
        if "stop" in {*unsupported_settings(self.rule, sampling), *self.refusals.settings}:
            return truncate_at_stop(reply, sampling.stop)
        return truncate_at_stop(reply, [stop for stop in sampling.stop if not stop.strip()])

    @property
    def batches(self) -> AnthropicBatches:
        """Return the batch endpoint: half the price, results within 24 hours."""
        from evals.model_adapters.common.batches import AnthropicBatches

        return AnthropicBatches(self)


def budget(rule: Rule, sampling: Sampling) -> int:
    """Return the thinking budget in tokens; 0: the model decides. Raises UsageError if max tokens is too small."""
    if not sampling.thinking or rule.on is not _BUDGET:
        return 0
    max_tokens = sampling.max_tokens or MAX_TOKENS
    if max_tokens < 2 * LEAST_BUDGET:
        raise UsageError(
            f"--thinking needs --max-tokens of {2 * LEAST_BUDGET} or more here, not {max_tokens}"
        )
    return max(LEAST_BUDGET, 3 * max_tokens // 4)


def _content(parts: Sequence[Part], pictures: Mapping[str, tuple[str, str]]) -> str | list[dict[str, Any]]:
    if len(parts) == 1 and isinstance(parts[0], Text):
        return parts[0].text
    return [_part(part, pictures) for part in parts]


def _part(part: Part, pictures: Mapping[str, tuple[str, str]]) -> dict[str, Any]:
    if isinstance(part, Text):
        return {"type": "text", "text": part.text}
    if part.kind != "image" or part.sha256 not in pictures:
        raise ModelError(f"this adapter cannot send a {part.kind}")
    kind, data = pictures[part.sha256]
    return {"type": "image", "source": {"type": "base64", "media_type": kind, "data": data}}


def parse(raw: bytes, *, seconds: float, where: str) -> Reply:
    """Parse the body of a 200 response; raises BadReply if it is not a message, or the error that it reports."""
    answer = answer_of(_ANSWER, raw, where)
    if answer.reports_error() or answer.content is None:
        raise error_in_200(raw, where, "without content")
    stop, finish = ending(answer.stop_reason, where)
    try:
        content = parse_content(answer.content)
    except TypeError as error:
        raise not_a_reply(raw, error, where) from None
    if not answer.content and stop == "stop" and finish != TOOL_CALLS:
        raise BadReply(f"200 with empty content from {where}")
    if content.tools and not content.text and stop == "stop":
        finish = TOOL_CALLS
    return Reply(
        text=content.text or "",
        reasoning=content.reasoning,
        stop=stop,
        finish=finish,
        usage=_usage(answer.usage),
        seconds=seconds,
        model=model_name(answer.model),
    )


def _usage(raw_usage: Any) -> Usage:
    usage = fields(raw_usage)
    uncached = count(usage.get("input_tokens"))
    cached = count(usage.get("cache_read_input_tokens"))
    written = count(usage.get("cache_creation_input_tokens"))
    return Usage(
        input=None if uncached is None else uncached + (cached or 0) + (written or 0),
        output=count(usage.get("output_tokens")),
        reasoning=count(fields(usage.get("output_tokens_details")).get("thinking_tokens")),
        cached=cached,
    )


def model(rest: str) -> Claude:
    """Return the model `anthropic:NAME`; raises UsageError without a key."""
    key, base = credentials("anthropic", rest, base=BASE)
    return Claude(rest, base=base, key=key)
