"""The user's additions to every request to a model: body fields, headers and a system prompt."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from typing import Any

import msgspec
from msgspec import structs

from evals.calls.secrets import environment_secret, secret_argument
from evals.errors import UsageError
from evals.seams import SupportsHeaders
from evals.types import Message, Model, Part, Prompt, Prompter, Sample, Text
from evals.validation import cause

RESERVED_FIELDS = ("model", "messages", "contents", "prompt", "input", "stream", "n")
"""Request fields that only the harness sets."""
RESERVED_HEADERS = ("content-length", "content-type", "transfer-encoding", "host", "connection")
"""Headers that only the harness sets."""
_HEADER_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]*")
_VARIABLE_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


def option_from_table(option: str, table: dict[str, Any]) -> Any:
    """Convert a table in a request file to the form that its option has on the command line; other tables are unchanged."""
    if option == "extra_body":
        return msgspec.json.encode(table).decode()
    if option == "slurm":
        lists = ((key, value if isinstance(value, list) else [value]) for key, value in table.items())
        return [f"{key}={value}" for key, values in lists for value in values]
    return table


def parse_extra_body(text: str | None) -> dict[str, Any]:
    """Parse --extra-body, a JSON object; raises UsageError."""
    if text is None:
        return {}
    try:
        fields = msgspec.json.decode(text)
    except (msgspec.DecodeError, RecursionError) as error:
        raise UsageError(
            f"--extra-body is not JSON ({cause(error)}); write it like '{{\"top_k\": 20}}'"
        ) from None
    if not isinstance(fields, dict):
        raise UsageError("--extra-body must be a JSON object, such as '{\"top_k\": 20}'")
    if reserved := [name for name in RESERVED_FIELDS if name in fields]:
        raise UsageError(f"--extra-body: {reserved[0]} is set by the harness")
    if secret := secret_argument([text]):
        raise UsageError(
            f"--extra-body: {secret} looks like a secret, and body fields are stored on the card; "
            "use --header NAME=ENV_VARIABLE"
        )
    return fields


def parse_headers(entries: Sequence[str]) -> dict[str, str]:
    """Parse --header NAME=ENV_VARIABLE and return the headers with the values of the variables; raises UsageError."""
    headers = {}
    for entry in entries:
        name, _, variable = entry.partition("=")
        if not _HEADER_NAME.fullmatch(name) or not _VARIABLE_NAME.fullmatch(variable):
            raise UsageError(
                f"--header {name}=...: write NAME=ENV_VARIABLE, with the value in that environment variable"
            )
        if name.lower() in RESERVED_HEADERS:
            raise UsageError(f"--header: {name} is set by the harness")
        if not os.environ.get(variable, "").strip():
            raise UsageError(f"--header {name}: the environment variable {variable} is not set")
        headers[name] = environment_secret(variable, allow_spaces=True)
    return headers


def with_headers(model: Model, *, header: Sequence[str], extra_body: str | None, name: str) -> Model:
    """Add the user's headers to a model; raises UsageError if there are headers or body fields and the model does not use HTTP."""
    if header or extra_body is not None:
        if not isinstance(model, SupportsHeaders):
            option = "--header" if header else "--extra-body"
            raise UsageError(f"{option}: {name} is not called over HTTP by this process")
        model.add_headers(parse_headers(header))
    return model


def with_system(prompter: Prompter, text: str) -> Prompter:
    """Return a prompter that prepends a system prompt, merged with the protocol's own system prompt if it has one."""

    def with_prefix(sample: Sample, repeat: int) -> Prompt:
        prompt = prompter(sample, repeat)
        if prompt.continuations:
            raise UsageError(
                "--system: this protocol uses log-likelihoods of plain texts, which take no system prompt"
            )
        first = prompt.messages[0] if prompt.messages and prompt.messages[0].role == "system" else None
        parts: tuple[Part, ...] = (Text(f"{text}\n\n"), *first.parts) if first else (Text(text),)
        rest = prompt.messages[1:] if first else prompt.messages
        return structs.replace(prompt, messages=(Message("system", _join_texts(parts)), *rest))

    return with_prefix


def _join_texts(parts: Sequence[Part]) -> tuple[Part, ...]:
    """Join texts into one part, since many chat templates accept only one as a system prompt."""
    texts = [part.text for part in parts if isinstance(part, Text)]
    return (Text("".join(texts)),) if len(texts) == len(parts) else tuple(parts)
