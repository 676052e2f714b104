"""OpenAI's API, `openai:gpt-4.1`: the key is read from OPENAI_API_KEY, a custom base URL from OPENAI_BASE_URL.

`server.py`, `vendors.py` and `intern.py` share the client, since many servers implement this chat protocol.
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
    calls_tool,
    count,
    fields,
    flat,
    merged,
    model_name,
    parse_content,
)
from evals.model_adapters.common.body import reasoning as reasoning_of
from evals.model_adapters.common.faults import Envelope, error_in_200, is_error, not_a_reply
from evals.model_adapters.common.finish import ending
from evals.model_adapters.common.http import Client, credentials
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
from evals.types import TOOL_CALLS, Message, Part, Prompt, Reply, Sampling, Text, Usage

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from evals.model_adapters.common.batches import OpenAIBatches

BASE = "https://api.openai.com/v1"
PATH = "/chat/completions"
SWITCH = "chat_template_kwargs.enable_thinking"
"""Request field that switches reasoning on and off on servers that render a chat template."""


class _Choice(Struct):
    message: dict[str, Any] | str | None = None
    delta: dict[str, Any] | None = None
    """Sent instead of the message by servers that stream into one body."""
    text: str | None = None
    """Sent by servers that answer a chat request in the format of a completion."""
    finish_reason: Any = None
    error: Any = None
    """OpenRouter: the error of the upstream provider."""


class _Completion(Envelope):
    choices: list[_Choice] | None = None
    usage: Any = None
    model: Any = None


_COMPLETION = msgspec.json.Decoder(_Completion)


class Chat(HttpModel):
    """A model behind `POST {base}/chat/completions`."""

    def __init__(self, name: str, *, base: str, key: str | None = None, switch: str = SWITCH) -> None:
        """`switch`: request field that turns reasoning on and off; dots address nested objects."""
        headers = {"Authorization": f"Bearer {key}"} if key else None
        super().__init__(name, Client(base, key=key, headers=headers), path=PATH)
        self.switch = switch

    async def body(self, prompt: Prompt, sampling: Sampling) -> dict[str, Any]:
        """Return the request's body."""
        return body(self.name, prompt, sampling, await data_urls(prompt), switch=self.switch)

    def read(self, raw: bytes, sampling: Sampling, *, seconds: float) -> Reply:
        """Parse the body of a 200 response; raises the error that the body reports."""
        reply = parse(raw, seconds=seconds, where=self.where)
        if sampling.stop and "stop" in self.refusals.settings:
            reply = truncate_at_stop(reply, sampling.stop)
        return reply if sampling.thinking is not False else unparsed(reply)


class Hosted(Chat):
    """A vendor's model, which supports only some settings and has a vendor-specific switch for reasoning."""

    limit = "max_tokens"

    def __init__(self, name: str, *, base: str, key: str, rules: Sequence[Rule], note: str = "") -> None:
        super().__init__(name, base=base, key=key)
        self.rule = rule_for(rules, name)
        self._note = note

    def remarks(self, sampling: Sampling) -> list[str]:
        """Return the remarks for the run's card; raises UsageError for a setting that the model does not support."""
        return [*remarks(self.rule, self.name, sampling), *([self._note] if self._note else [])]

    async def body(self, prompt: Prompt, sampling: Sampling) -> dict[str, Any]:
        """Return the request's body in the vendor's dialect."""
        thinking = thinking_fields(self.rule, self.name, thinking=sampling.thinking)
        request = await super().body(prompt, replace(supported_sampling(self.rule, sampling), thinking=None))
        if "max_tokens" in request:
            request[self.limit] = request.pop("max_tokens")
        return merged(thinking, request)

    def read(self, raw: bytes, sampling: Sampling, *, seconds: float) -> Reply:
        """Parse the body of a 200 response; apply stop sequences that could not be sent to the vendor."""
        reply = super().read(raw, sampling, seconds=seconds)
        return (
            truncate_at_stop(reply, sampling.stop)
            if "stop" in unsupported_settings(self.rule, sampling)
            else reply
        )


async def data_urls(prompt: Prompt) -> Mapping[str, str]:
    """Read a prompt's media: SHA-256 -> data URL; raises Rejected for one that cannot be sent."""
    media = await encoded(prompt, "image", "time_series")
    return {sha: f"data:{kind};base64,{data}" for sha, (kind, data) in media.items()}


def body(
    name: str,
    prompt: Prompt,
    sampling: Sampling,
    pictures: Mapping[str, str] | None = None,
    *,
    switch: str = SWITCH,
) -> dict[str, Any]:
    """Return the request's body; unset fields are left to the server's defaults. `pictures`: see `data_urls`."""
    messages = [_message(message, pictures or {}) for message in prompt.messages]
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
    return merged(request, sampling.extra)


def _message(message: Message, pictures: Mapping[str, str]) -> dict[str, Any]:
    parts = message.parts
    if len(parts) == 1 and isinstance(parts[0], Text):
        return {"role": message.role, "content": parts[0].text}
    return {"role": message.role, "content": [_part(part, pictures) for part in parts]}


def _part(part: Part, pictures: Mapping[str, str]) -> dict[str, Any]:
    if isinstance(part, Text):
        return {"type": "text", "text": part.text}
    if part.kind == "structure" or part.sha256 not in pictures:
        raise ModelError(f"this adapter cannot send a {part.kind}")
    url = {"url": pictures[part.sha256]}
    if (
        part.kind == "time_series"
    ):  # LMDeploy's format (@ 38b20fcc, vl/time_series_utils.py): .npy, time first
        return {"type": "time_series_url", "time_series_url": {**url, "sampling_rate": part.rate_hz}}
    return {"type": "image_url", "image_url": url}


def parse(raw: bytes, *, seconds: float, where: str) -> Reply:
    """Parse the body of a 200 response; raises BadReply if it is not a completion, or the error that it reports."""
    completion = answer_of(_COMPLETION, raw, where)
    if completion.reports_error():
        raise error_in_200(raw, where, "with an error" if completion.choices else "without choices")
    if not completion.choices:
        raise error_in_200(raw, where, "without choices")
    choice = completion.choices[0]
    message, usage = _message_of(choice), _usage(completion.usage)
    for fault in (choice.error, message.get("error")):
        if is_error(fault):
            raise _broken(fault, where)
    stop, finish = ending(choice.finish_reason, where)
    if stop == "length" and usage.output == 0 and not usage.reasoning:  # LMDeploy up to 0.12
        raise Context(
            f"200 without a token from {where}: the prompt ({usage.input} tokens) fills the context"
        )
    try:
        content = parse_content(message.get("content"))
    except TypeError as error:
        raise not_a_reply(raw, error, where) from None
    common: dict[str, Any] = {"usage": usage, "seconds": seconds, "model": model_name(completion.model)}
    refusal = flat(message.get("refusal")) or content.refusal
    if not content.text and stop == "stop" and (content.tools or calls_tool(message)):
        finish = TOOL_CALLS
    if refusal and not content.text:
        return Reply(text=refusal, stop="filter", **common)
    reasoning = content.reasoning if content.reasoning is not None else reasoning_of(message)
    if content.text is None and reasoning is None and stop == "stop" and finish != TOOL_CALLS:
        raise BadReply(f"200 with content null from {where}")
    text, thought, unclosed = split_reasoning(content.text or "")
    return Reply(
        text=text,
        reasoning=thought if reasoning is None else reasoning,
        stop="length" if unclosed else stop,
        finish=finish,
        **common,
    )


def unparsed(reply: Reply) -> Reply:
    """Move text that a server's reasoning parser misclassified back into the reply, if reasoning was switched off.

    vLLM's `deepseek_r1` parser, with which Intern-S1-Pro is served, looks for a `</think>`. With thinking off that tag is
    in the prompt, so the parser returns the whole answer as reasoning (vLLM 0.32.0, recorded in `tests/cases/recorded.jsonl`).
    """
    if reply.stop != "stop" or reply.text or not reply.reasoning:
        return reply
    return replace(reply, text=reply.reasoning, reasoning=None)


def _message_of(choice: _Choice) -> Mapping[str, Any]:
    if isinstance(choice.message, str):
        return {"content": choice.message}
    return choice.message or choice.delta or {"content": choice.text}


def _broken(fault: Any, where: str) -> ModelError:
    """Return the error of a choice: by its code, or a ServerFault if it has none."""
    raw = msgspec.json.encode({"error": fault})
    error = error_in_200(raw, where, "whose reply broke off")
    return ServerFault(str(error)) if type(error) is BadReply else error


def _usage(raw_usage: Any) -> Usage:
    """Parse token counts; an implausible count becomes None and does not invalidate the reply."""
    usage = fields(raw_usage)
    input_details, output_details = (
        fields(usage.get("prompt_tokens_details")),
        fields(usage.get("completion_tokens_details")),
    )
    input_, output = count(usage.get("prompt_tokens")), count(usage.get("completion_tokens"))
    reasoning = count(output_details.get("reasoning_tokens"))
    if reasoning and output is not None and usage.get("total_tokens") == (input_ or 0) + output + reasoning:
        output += reasoning  # xAI does not include reasoning in completion tokens
    # OpenAI, Moonshot, DeepSeek
    cached = (
        input_details.get("cached_tokens"),
        usage.get("cached_tokens"),
        usage.get("prompt_cache_hit_tokens"),
    )
    return Usage(
        input=input_,
        output=output,
        reasoning=reasoning,
        cached=next((tokens for value in cached if (tokens := count(value)) is not None), None),
    )


_UNKNOWN = frozenset({"top_k", "min_p"})
RULES = (
    Rule(models=r"gpt-3|gpt-4|chatgpt|gpt-5[.\d]*-chat|ft:gpt-[34]", refuses=_UNKNOWN, off={}),
    Rule(
        models=r"o\d|gpt-5(?!\.)",
        refuses=SAMPLERS | {"stop"},
        reasons=True,
        on={"reasoning_effort": "medium"},
    ),
    # from 5.1 on the effort may be "none", the default of some models; sampling settings are accepted only then
    Rule(
        refuses=_UNKNOWN,
        reasoning=SAMPLERS | {"stop"},
        reasons=True,
        on={"reasoning_effort": "medium"},
        off={"reasoning_effort": "none"},
    ),
)
"""developers.openai.com/api/docs: Reasoning models, and parameter compatibility in Using the latest model."""


class OpenAI(Hosted):
    """OpenAI's own API, which calls `max_tokens` `max_completion_tokens`."""

    limit = "max_completion_tokens"

    @property
    def batches(self) -> OpenAIBatches:
        """Return the batch endpoint: half the price, results within 24 hours."""
        from evals.model_adapters.common.batches import OpenAIBatches

        return OpenAIBatches(self)


ANY = Rule(
    on={"chat_template_kwargs": {"enable_thinking": True}},
    off={"chat_template_kwargs": {"enable_thinking": False}},
)
"""For other models behind a custom base URL: all settings are sent, as to a self-hosted server."""


def model(rest: str) -> Hosted:
    """Return the model `openai:NAME`; raises UsageError without a key."""
    key, base = credentials("openai", rest, base=BASE)
    if base != BASE and not re.match(r"gpt-(?!oss)|o\d|chatgpt|ft:", rest):
        return Hosted(rest, base=base, key=key, rules=(ANY,))
    return OpenAI(rest, base=base, key=key, rules=RULES)
