"""What a user adds to every request: fields of its body, headers, a system prompt."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from typing import Any

import msgspec
from msgspec import structs

from evals.calls.secrets import environment_secret
from evals.errors import UsageError
from evals.seams import Requests
from evals.types import Message, Model, Part, Prompt, Prompter, Sample, Text

NEVER = ("model", "messages", "contents", "prompt", "input", "stream", "n")
"""Fields of a request that are the harness's own."""
_SECRET = re.compile(r"(?i)api[_-]?key|authorization|password|secret|credential|(?<![a-z_])token$")
_HEADER = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]*")
_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
OWN_HEADERS = ("content-length", "content-type", "transfer-encoding", "host", "connection")


def extra_body(given: str | None) -> dict[str, Any]:
    """Read --extra-body, an object of JSON; raises UsageError."""
    if given is None:
        return {}
    try:
        found = msgspec.json.decode(given)
    except (msgspec.DecodeError, RecursionError) as error:
        raise UsageError(f"--extra-body is not JSON ({error}); write it like '{{\"top_k\": 20}}'") from None
    if not isinstance(found, dict):
        raise UsageError(f"--extra-body must be an object of JSON, {{...}}, not {type(found).__name__}")
    if own := [name for name in NEVER if name in found]:
        raise UsageError(f"--extra-body: {', '.join(own)} is set by the harness and cannot be given")
    if secret := [name for name in found if _SECRET.search(name)]:
        raise UsageError(
            f"--extra-body: {', '.join(secret)} looks like a secret, and the card keeps this; send it with "
            "--header NAME=ENV_VARIABLE"
        )
    return found


def headers(given: Sequence[str]) -> dict[str, str]:
    """Read --header NAME=ENV_VARIABLE: values come from the environment alone; raises UsageError."""
    found = {}
    for one in given:
        name, _, variable = one.partition("=")
        if not _HEADER.fullmatch(name) or not _VARIABLE.fullmatch(variable):
            raise UsageError(
                f"--header {name}=...: write NAME=ENV_VARIABLE, the variable that holds its value"
            )
        if name.lower() in OWN_HEADERS:
            raise UsageError(f"--header: {name} is set by the harness and cannot be given")
        if not os.environ.get(variable, "").strip():
            raise UsageError(f"--header {name}: the environment variable {variable} is not set")
        found[name] = environment_secret(variable, spaces=True)
    return found


def add_to(model: Model, *, header: Sequence[str], extra: str | None, name: str) -> Model:
    """Return a model that sends the user's headers; one that makes no requests is refused: nothing is dropped in silence."""
    if header or extra is not None:
        if not isinstance(model, Requests):
            option = "--header" if header else "--extra-body"
            raise UsageError(f"{option}: {name} is not called by HTTP requests of ours")
        model.add_headers(headers(header))
    return model


def with_system(prompter: Prompter, text: str) -> Prompter:
    """Return a prompter that puts a system prompt before what is asked; with a protocol's own it becomes one message."""

    def asked(sample: Sample, repeat: int) -> Prompt:
        prompt = prompter(sample, repeat)
        if prompt.continuations:
            raise UsageError(
                "--system: likelihoods are asked of a text as it stands, without a system prompt"
            )
        first = prompt.messages[0] if prompt.messages and prompt.messages[0].role == "system" else None
        own: tuple[Part, ...] = (Text(f"{text}\n\n"), *first.parts) if first else (Text(text),)
        rest = prompt.messages[1:] if first else prompt.messages
        return structs.replace(prompt, messages=(Message("system", _joined(own)), *rest))

    return asked


def _joined(parts: Sequence[Part]) -> tuple[Part, ...]:
    """Join texts: chat templates of many models take one alone for a system prompt."""
    texts = [part.text for part in parts if isinstance(part, Text)]
    return (Text("".join(texts)),) if len(texts) == len(parts) else tuple(parts)
