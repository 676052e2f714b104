"""One call to a model: for a reply, or for the log-likelihoods of given continuations.

Log-likelihoods, too, are returned as a reply: its text is a JSON list, so they are recorded, replayed and rescored like any
other reply.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any, TypeVar

import msgspec
from msgspec import Struct

from evals.errors import ModelError
from evals.types import Likelihood, LogProbs, Model, Prompt, Reply, Sampling, Text

_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(list[Likelihood]).decode


async def call_model(model: Model, prompt: Prompt, sampling: Sampling) -> Reply:
    """Call the model once and return its reply; raises what the adapter raises, and ModelError if it returns no `Reply`."""
    if prompt.continuations and isinstance(model, LogProbs):
        return await _request_likelihoods(model, prompt)
    reply = await model.reply(prompt, sampling)
    if not isinstance(reply, Reply):
        raise ModelError(f"the adapter returned {type(reply).__name__}, not a Reply")
    if reply.text.isascii() and (reply.reasoning or "").isascii():
        return reply
    return json_safe(reply)


StructT = TypeVar("StructT", bound=Struct)


def json_safe(value: StructT) -> StructT:
    """Return a struct in a form that JSON can encode: lone surrogates in its strings become U+FFFD."""
    try:
        _encode(value)
    except UnicodeEncodeError:
        return msgspec.convert(_without_surrogates(msgspec.to_builtins(value)), type(value))
    return value


def _without_surrogates(value: Any) -> Any:
    if isinstance(value, str):
        return value.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    if isinstance(value, dict):
        return {_without_surrogates(key): _without_surrogates(item) for key, item in value.items()}
    return [_without_surrogates(item) for item in value] if isinstance(value, list | tuple) else value


async def _request_likelihoods(model: LogProbs, prompt: Prompt) -> Reply:
    started = time.perf_counter()
    likelihoods: list[Likelihood] = []
    for message, continuations in zip(prompt.messages, prompt.continuations, strict=True):
        text = "".join(part.text for part in message.parts if isinstance(part, Text))
        likelihoods += await model.logprobs(text, continuations)
    return Reply(text=encode_likelihoods(likelihoods), seconds=time.perf_counter() - started)


def encode_likelihoods(likelihoods: Sequence[Likelihood]) -> str:
    """Encode log-likelihoods as the text of a reply, without loss of precision."""
    return _encode(likelihoods).decode()


def decode_likelihoods(text: str) -> list[Likelihood]:
    """Decode what `encode_likelihoods` returned; raises ValueError for any other text."""
    return _decode(text)
