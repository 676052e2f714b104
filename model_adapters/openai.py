"""OpenAI's API: `openai:gpt-4.1`, key OPENAI_API_KEY, another address OPENAI_BASE_URL.

Many speak its chat protocol: `server.py`, `vendors.py` and `intern.py` share the client.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from evals.errors import BadReply, Context, ModelError, ServerFault
from evals.extract import split_reasoning
from evals.model_adapters.common.body import count, fields, flat, merged, model_name, said
from evals.model_adapters.common.body import reasoning as reasoning_of
from evals.model_adapters.common.faults import inside_200, is_error, not_a_reply
from evals.model_adapters.common.finish import ending
from evals.model_adapters.common.http import Client, credentials
from evals.model_adapters.common.http_model import HttpModel, answer_of
from evals.model_adapters.common.pictures import encoded
from evals.model_adapters.common.rules import DRAWN, Rule, cut, remarks, rule_for, settled, telling, unsent
from evals.types import TOOL_CALLS, Message, Part, Prompt, Reply, Sampling, Text, Usage

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from evals.model_adapters.common.batches import OpenAIBatches

BASE = "https://api.openai.com/v1"
PATH = "/chat/completions"
SWITCH = "chat_template_kwargs.enable_thinking"
"""The field of a request that switches reasoning on and off, where servers render a chat template."""


class _Choice(Struct):
    message: dict[str, Any] | None = None
    text: str | None = None
    """Of servers that answer a chat as though it were a completion."""
    finish_reason: Any = None
    error: Any = None
    """OpenRouter: what the provider said."""


class _Completion(Struct):
    choices: list[_Choice] | None = None
    usage: Any = None
    model: Any = None
    error: Any = None
    base_resp: Any = None
    """MiniMax."""


_COMPLETION = msgspec.json.Decoder(_Completion)


class Chat(HttpModel):
    """A model behind `POST {base}/chat/completions`."""

    def __init__(self, name: str, *, base: str, key: str | None = None, switch: str = SWITCH) -> None:
        """`switch`: field that turns reasoning on and off; dots go into nested objects."""
        headers = {"Authorization": f"Bearer {key}"} if key else None
        super().__init__(name, Client(base, key=key, headers=headers), path=PATH)
        self.switch = switch

    async def body(self, prompt: Prompt, sampling: Sampling) -> dict[str, Any]:
        """Return the request's body."""
        return body(self.name, prompt, sampling, await data_urls(prompt), switch=self.switch)

    def read(self, raw: bytes, sampling: Sampling, *, seconds: float) -> Reply:
        """Make a reply of what came with 200; raises what the body says."""
        found = parse(raw, seconds=seconds, where=self.where)
        if sampling.stop and "stop" in self.refusals.settings:
            found = cut(found, sampling.stop)
        return found if sampling.thinking is not False else unparsed(found)


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
        """Return the request's body in the vendor's dialect."""
        told = telling(self.rule, self.name, sampling.thinking)
        found = await super().body(prompt, replace(settled(self.rule, sampling), thinking=None))
        if "max_tokens" in found:
            found[self.limit] = found.pop("max_tokens")
        return merged(told, found)

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
    """Return the request's body; what is not set is left to the server. `pictures`: see `data_urls`."""
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
    return merged(found, sampling.extra)


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
    """Read a 200 body; raises BadReply where it is no completion, else the error that it holds."""
    found = answer_of(_COMPLETION, raw, where)
    if is_error(found.error):
        raise inside_200(raw, where, "with an error" if found.choices else "without choices")
    if not found.choices:
        raise inside_200(raw, where, "without choices")
    choice = found.choices[0]
    if is_error(choice.error):
        raise _broken(choice, where)
    stop, finish = ending(choice.finish_reason, where)
    message, usage = choice.message or {"content": choice.text}, _usage(found.usage)
    if stop == "length" and usage.output == 0 and not usage.reasoning:  # LMDeploy up to 0.12
        raise Context(
            f"200 with not a token from {where}: the prompt ({usage.input} tokens) fills the context"
        )
    try:
        content = said(message.get("content"))
    except TypeError as error:
        raise not_a_reply(raw, error, where) from None
    ends: dict[str, Any] = {"usage": usage, "seconds": seconds, "model": model_name(found.model)}
    refusal = flat(message.get("refusal")) or content.refusal
    if refusal and not content.text:
        return Reply(text=refusal, stop="filter", **ends)
    reasoning = content.reasoning if content.reasoning is not None else reasoning_of(message)
    if content.text is None and reasoning is None and stop == "stop" and finish != TOOL_CALLS:
        raise BadReply(f"200 with content null from {where}")
    text, thought, unclosed = split_reasoning(content.text or "")
    return Reply(
        text=text,
        reasoning=thought if reasoning is None else reasoning,
        stop="length" if unclosed else stop,
        finish=finish,
        **ends,
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
    """Return the error of a choice: by its code, else a fault of the server."""
    raw = msgspec.json.encode({"error": choice.error})
    found = inside_200(raw, where, "whose reply broke off")
    return ServerFault(str(found)) if type(found) is BadReply else found


def _usage(found: Any) -> Usage:
    """Read counts of tokens; an odd one is unknown, and costs no reply."""
    usage = fields(found)
    into, out = fields(usage.get("prompt_tokens_details")), fields(usage.get("completion_tokens_details"))
    input_, output = count(usage.get("prompt_tokens")), count(usage.get("completion_tokens"))
    reasoning = count(out.get("reasoning_tokens"))
    if reasoning and output is not None and usage.get("total_tokens") == (input_ or 0) + output + reasoning:
        output += reasoning  # xAI counts them beside the answer's
    # OpenAI, Moonshot, DeepSeek
    cached = (into.get("cached_tokens"), usage.get("cached_tokens"), usage.get("prompt_cache_hit_tokens"))
    return Usage(
        input=input_,
        output=output,
        reasoning=reasoning,
        cached=next((n for one in cached if (n := count(one)) is not None), None),
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
