"""OpenAI's API: `openai:gpt-4.1`, key OPENAI_API_KEY, another address OPENAI_BASE_URL.

Many speak its chat protocol: `server.py`, `vendors.py` and `intern.py` share the client.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Literal

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from evals.errors import BadReply, Context, Filtered, ModelError, ServerFault, from_status
from evals.extract import split_reasoning
from evals.model_adapters.common.http import Client, credentials, decoded, fault_message, not_a_reply
from evals.model_adapters.common.pictures import encoded
from evals.model_adapters.common.rules import (
    DRAWN,
    Rule,
    cut,
    remarks,
    rule_for,
    settled,
    telling,
    unsent,
)
from evals.types import Message, Part, Prompt, Reply, Sampling, Text, Usage

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from evals.model_adapters.common.batches import OpenAIBatches

BASE = "https://api.openai.com/v1"
PATH = "/chat/completions"
SWITCH = "chat_template_kwargs.enable_thinking"
"""The field of a request that switches reasoning on and off, where servers render a chat template."""


class _Details(Struct):
    reasoning_tokens: int | None = None
    cached_tokens: int | None = None


class _Usage(Struct):
    prompt_tokens: int | None = None
    completion_tokens: int | None = None
    total_tokens: int | None = None
    completion_tokens_details: _Details | None = None
    prompt_tokens_details: _Details | None = None
    cached_tokens: int | None = None
    """Moonshot."""
    prompt_cache_hit_tokens: int | None = None
    """DeepSeek."""


class _Message(Struct, frozen=True):
    content: str | None = None
    reasoning_content: str | None = None
    reasoning: str | None = None
    refusal: str | None = None


class _Choice(Struct):
    message: _Message = _Message()
    finish_reason: str | None = None
    error: Any = None
    """OpenRouter: what the provider said."""


class _Completion(Struct):
    choices: list[_Choice] = []
    usage: _Usage | None = None
    model: str | None = None
    error: Any = None


_COMPLETION = msgspec.json.Decoder(_Completion)
_STOPS: dict[str | None, Literal["stop", "length", "filter"]] = {
    "length": "length",
    "content_filter": "filter",
}
_BROKEN = ("error", "insufficient_system_resource")
"""Finish reasons that are faults: OpenRouter, DeepSeek."""


class Chat:
    """A model behind `POST {base}/chat/completions`."""

    accepts: frozenset[str] = frozenset({"image"})
    slots: int | None = None

    def __init__(self, name: str, *, base: str, key: str | None = None, switch: str = SWITCH) -> None:
        """`switch`: field that turns reasoning on and off; dots go into nested objects."""
        self.name = name
        self.switch = switch
        self.client = Client(base, key=key, headers={"Authorization": f"Bearer {key}"} if key else None)

    async def reply(self, prompt: Prompt, sampling: Sampling) -> Reply:
        """Ask once; raises what `errors.py` says of each way to fail."""
        try:
            raw, seconds = await self.client.post(PATH, await self.body(prompt, sampling))
        except Filtered as error:
            return Reply(text=str(error), stop="filter", model=self.name)
        return self.read(raw, sampling, seconds=seconds)

    async def body(self, prompt: Prompt, sampling: Sampling) -> dict[str, Any]:
        """Give the request's body."""
        return body(self.name, prompt, sampling, await data_urls(prompt), switch=self.switch)

    def read(self, raw: bytes, sampling: Sampling, *, seconds: float) -> Reply:
        """Make a reply of what came with 200; raises BadReply."""
        try:
            found = parse(raw, seconds=seconds, where=self.client.shown(PATH))
        except ModelError as error:
            raise type(error)(self.client.without_key(str(error))) from None
        return found if sampling.thinking is not False else unparsed(found)

    async def close(self) -> None:
        """Close the connections."""
        await self.client.close()


class Hosted(Chat):
    """A vendor's model: takes some settings and not others, and is told to reason in the vendor's way."""

    limit = "max_tokens"

    def __init__(self, name: str, *, base: str, key: str, rules: Sequence[Rule], note: str = "") -> None:
        super().__init__(name, base=base, key=key)
        self.rule = rule_for(rules, name)
        self._note = note

    def remarks(self, sampling: Sampling) -> list[str]:
        """Say what a run's card must say of it; raises UsageError for a wish that the model cannot meet."""
        return [*remarks(self.rule, self.name, sampling), *([self._note] if self._note else [])]

    async def body(self, prompt: Prompt, sampling: Sampling) -> dict[str, Any]:
        """Give the request's body in the vendor's dialect."""
        told = telling(self.rule, self.name, sampling.thinking)
        found = await super().body(prompt, replace(settled(self.rule, sampling), thinking=None))
        if "max_tokens" in found:
            found[self.limit] = found.pop("max_tokens")
        return {**told, **found}

    def read(self, raw: bytes, sampling: Sampling, *, seconds: float) -> Reply:
        """Make a reply of what came with 200, ended where the vendor was not told to end it."""
        found = super().read(raw, sampling, seconds=seconds)
        return cut(found, sampling.stop) if "stop" in unsent(self.rule, sampling) else found


async def data_urls(prompt: Prompt) -> Mapping[str, str]:
    """Read a prompt's media: SHA-256 -> data URL; raises Rejected for one that cannot be sent."""
    found = await encoded(prompt, "image", "time_series")
    return {sha: f"data:{kind};base64,{data}" for sha, (kind, data) in found.items()}


def body(
    name: str,
    prompt: Prompt,
    sampling: Sampling,
    pictures: Mapping[str, str] | None = None,
    *,
    switch: str = SWITCH,
) -> dict[str, Any]:
    """Give the request's body; what is not set is left to the server. `pictures`: see `data_urls`."""
    messages = [_message(message, pictures or {}) for message in prompt.messages]
    found: dict[str, Any] = {"model": name, "messages": messages}
    for field in ("temperature", "top_p", "top_k", "min_p", "max_tokens", "seed"):
        if (value := getattr(sampling, field)) is not None:
            found[field] = value
    if sampling.stop:
        found["stop"] = sampling.stop
    if sampling.thinking is not None:
        *outer, last = switch.split(".")
        place = found
        for field in outer:
            place = place.setdefault(field, {})
        place[last] = sampling.thinking
    return found | sampling.extra


def _message(message: Message, pictures: Mapping[str, str]) -> dict[str, Any]:
    parts = message.parts
    if len(parts) == 1 and isinstance(parts[0], Text):
        return {"role": message.role, "content": parts[0].text}
    return {"role": message.role, "content": [_part(part, pictures) for part in parts]}


def _part(part: Part, pictures: Mapping[str, str]) -> dict[str, Any]:
    if isinstance(part, Text):
        return {"type": "text", "text": part.text}
    if part.kind == "structure" or part.sha256 not in pictures:
        raise ModelError(f"this adapter sends no {part.kind}")
    url = {"url": pictures[part.sha256]}
    if (
        part.kind == "time_series"
    ):  # LMDeploy's form (@ 38b20fcc, vl/time_series_utils.py): an .npy, time first
        return {"type": "time_series_url", "time_series_url": {**url, "sampling_rate": part.rate_hz}}
    return {"type": "image_url", "image_url": url}


def parse(raw: bytes, *, seconds: float, where: str) -> Reply:
    """Read a 200 body; raises BadReply where it is no completion."""
    try:
        found = decoded(_COMPLETION, raw)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise not_a_reply(raw, error, where) from error
    if not found.choices:
        raise BadReply(f"200 without choices from {where}: {fault_message(raw)}")
    choice = found.choices[0]
    if choice.error is not None or choice.finish_reason in _BROKEN:
        raise _broken(choice, where)
    message, stop, usage = choice.message, _STOPS.get(choice.finish_reason, "stop"), _usage(found.usage)
    if stop == "length" and usage.output == 0 and not usage.reasoning:  # LMDeploy up to 0.12
        raise Context(
            f"200 with not a token from {where}: the prompt ({usage.input} tokens) fills the context"
        )
    if message.refusal and not message.content:
        return Reply(
            text=message.refusal,
            stop="filter",
            usage=usage,
            seconds=seconds,
            model=found.model or "",
        )
    reasoning = message.reasoning_content if message.reasoning_content is not None else message.reasoning
    if message.content is None and reasoning is None and stop == "stop":
        raise BadReply(f"200 with content null from {where}")
    text, thought, unclosed = split_reasoning(message.content or "")
    return Reply(
        text=text,
        reasoning=thought if reasoning is None else reasoning,
        stop="length" if unclosed else stop,
        usage=usage,
        seconds=seconds,
        model=found.model or "",
    )


def unparsed(reply: Reply) -> Reply:
    """Take back what a reasoning parser put aside of a reply that was told not to reason, and ended by itself.

    vLLM's `deepseek_r1`, which Intern-S1-Pro is served with, looks for a `</think>`; with thinking off it stands in
    the prompt, and the whole answer comes as reasoning (vLLM 0.32.0, recorded in `tests/cases/recorded.jsonl`).
    """
    if reply.stop != "stop" or reply.text or not reply.reasoning:
        return reply
    return replace(reply, text=reply.reasoning, reasoning=None)


def _broken(choice: _Choice, where: str) -> ModelError:
    error = choice.error if isinstance(choice.error, dict) else {}
    message = f"{error.get('message') or f'the reply broke off: {choice.finish_reason}'} ({where})"
    code = error.get("code")
    return from_status(code, message) if isinstance(code, int) and code >= 400 else ServerFault(message)


def _usage(usage: _Usage | None) -> Usage:
    if usage is None:
        return Usage()
    into, out = usage.prompt_tokens_details, usage.completion_tokens_details
    reasoning = out.reasoning_tokens if out else None
    output = usage.completion_tokens
    if (
        reasoning
        and output is not None
        and usage.total_tokens == (usage.prompt_tokens or 0) + output + reasoning
    ):
        output += reasoning  # xAI counts them beside the answer's
    cached = (into.cached_tokens if into else None, usage.cached_tokens, usage.prompt_cache_hit_tokens)
    return Usage(
        input=usage.prompt_tokens,
        output=output,
        reasoning=reasoning,
        cached=next((n for n in cached if n is not None), None),
    )


_UNKNOWN = frozenset({"top_k", "min_p"})
RULES = (
    Rule(models=r"gpt-3|gpt-4|chatgpt|gpt-5[.\d]*-chat|ft:gpt-[34]", refuses=_UNKNOWN, off={}),
    Rule(
        models=r"o\d|gpt-5(?!\.)", refuses=DRAWN | {"stop"}, reasons=True, on={"reasoning_effort": "medium"}
    ),
    # from 5.1 on the effort can be none, which some have by default; only then do they take the settings
    Rule(
        refuses=_UNKNOWN,
        reasoning=DRAWN | {"stop"},
        reasons=True,
        on={"reasoning_effort": "medium"},
        off={"reasoning_effort": "none"},
    ),
)
"""developers.openai.com/api/docs: Reasoning models, and parameter compatibility in Using the latest model."""


class OpenAI(Hosted):
    """OpenAI's own API, where `max_tokens` has another name."""

    limit = "max_completion_tokens"

    @property
    def batches(self) -> OpenAIBatches:
        """The same at half the price, within a day."""
        from evals.model_adapters.common.batches import OpenAIBatches

        return OpenAIBatches(self)


ANY = Rule(
    on={"chat_template_kwargs": {"enable_thinking": True}},
    off={"chat_template_kwargs": {"enable_thinking": False}},
)
"""For models that are not OpenAI's, behind another address: they take what a server takes."""


def model(rest: str) -> Hosted:
    """Make `openai:NAME`; raises UsageError without a key."""
    key, base = credentials("openai", rest, base=BASE)
    if base != BASE and not re.match(r"gpt-(?!oss)|o\d|chatgpt|ft:", rest):
        return Hosted(rest, base=base, key=key, rules=(ANY,))
    return OpenAI(rest, base=base, key=key, rules=RULES)
