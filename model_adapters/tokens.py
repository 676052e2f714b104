"""Tokenizers instead of models, for the suite `compression`: `tokens:FOLDER`, `tokens:o200k_base`, `tokens:http://HOST:PORT/v1#NAME`.

`tokens:FOLDER` is a Hugging Face folder: its `tokenizer.json` is loaded by `tokenizers`; without one, transformers'
`AutoTokenizer` is used, which runs code from the folder only with `--trust-remote-code`. A name is one of tiktoken's encodings
or models; an address is a server with `/tokenize` (vLLM, SGLang, llama.cpp). `tokens:bytes` counts bytes. No special tokens
are added. The versions of the libraries, RDKit's included, are part of the run's identity: tokenizers like Intern-S1's use
RDKit to detect molecules in a text.
"""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import Callable, Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Annotated, Any

import msgspec
from msgspec import Meta, Struct

from evals import disk, profiles
from evals.boundary import foreign_code
from evals.calls.secrets import environment_secret
from evals.errors import ModelError, UnknownName, UsageError, install_command, require_packages
from evals.model_adapters.common.http import Client, decode
from evals.prompts import plain_text
from evals.types import Prompt, Reply, Sampling, Usage

OPTIONS = ("trust_remote_code",)
KEY_VARIABLE = "TOKENS_API_KEY"
CountTokens = Callable[[str], int]


class Tokenizer:
    """Replies to a prompt with the token counts of its messages, as JSON."""

    accepts: frozenset[str] = frozenset({"tokens"})

    def __init__(self, name: str, count: CountTokens, *, packages: Sequence[str] = ()) -> None:
        self.name = name
        self.versions = _versions(packages)
        self._count = count

    async def reply(self, prompt: Prompt, sampling: Sampling) -> Reply:
        """Count the tokens of each message."""
        with foreign_code(ModelError):
            counts = await asyncio.to_thread(lambda: [self._count(text) for text in _message_texts(prompt)])
        return _count_reply(counts, self.name)

    async def close(self) -> None:
        """Nothing to release."""


class _TokenizeResponse(Struct):
    """The response of a server: vLLM and SGLang include `count`, llama.cpp only the tokens."""

    count: Annotated[int, Meta(ge=0)] | None = None
    tokens: list[Any] | None = None


_decoder = msgspec.json.Decoder(_TokenizeResponse)


class TokenizeServer:
    """A server whose endpoint `/tokenize` counts the tokens; replies like `Tokenizer`."""

    accepts: frozenset[str] = frozenset({"tokens"})
    versions = ""

    def __init__(self, name: str, client: Client) -> None:
        self.name = name
        self._client = client

    async def reply(self, prompt: Prompt, sampling: Sampling) -> Reply:
        """Request the token count of each message."""
        return _count_reply([await self._count(text) for text in _message_texts(prompt)], self.name)

    async def _count(self, text: str) -> int:
        body = {"model": self.name, "prompt": text, "content": text, "add_special_tokens": False}
        raw, _ = await self._client.post("/tokenize", body)
        try:
            response = decode(_decoder, raw)
        except msgspec.MsgspecError as error:
            raise ModelError(f"{self._client.display_url('/tokenize')}: {error}") from error
        if response.count is None and response.tokens is None:
            raise ModelError(f"{self._client.display_url('/tokenize')} returned no token count")
        return response.count if response.count is not None else len(response.tokens or ())

    async def close(self) -> None:
        """Close the connections."""
        await self._client.close()


def _message_texts(prompt: Prompt) -> list[str]:
    return [plain_text(message.parts) for message in prompt.messages]


def _count_reply(counts: Sequence[int], name: str) -> Reply:
    return Reply(text=json.dumps({"tokens": counts}), usage=Usage(input=0, output=0), model=name)


def _versions(packages: Sequence[str]) -> str:
    """Return the installed versions of the packages on which a count depends, including a missing RDKit."""
    versions = []
    for package in (*packages, "rdkit"):
        try:
            versions.append(f"{package} {version(package)}")
        except PackageNotFoundError:
            versions.append(f"no {package}")
    return ", ".join(versions)


def model(rest: str, *, trust_remote_code: bool = False) -> Tokenizer | TokenizeServer:
    """Return the tokenizer `tokens:REST`; raises UsageError if the name is unknown, or an extra or the tokenizer is missing."""
    if rest == "bytes":
        return Tokenizer("bytes", lambda text: len(text.encode()))
    if rest.startswith(("http://", "https://")):
        base, _, name = rest.partition("#")
        root = base.rstrip("/").removesuffix("/tokenize").removesuffix("/v1")  # the endpoint is not below /v1
        key = environment_secret(KEY_VARIABLE)
        headers = {"Authorization": f"Bearer {key}"} if key else None
        return TokenizeServer(name or "server", Client(root, key=key, headers=headers, version=""))
    if (folder := profiles.local_folder(rest)) is not None or os.sep in rest:
        return _load_folder(folder or Path(rest), trusted=trust_remote_code)
    return _load_tiktoken(rest)


def _load_folder(folder: Path, *, trusted: bool) -> Tokenizer:
    if not folder.is_dir():
        raise UsageError(f"tokens:{folder}: no such folder")
    name, tokenizer_file = folder.resolve().name, folder / "tokenizer.json"
    config = folder / "tokenizer_config.json"
    if (has_custom_code := config.is_file() and _has_custom_code(config)) and not trusted:
        raise UsageError(
            f"tokens:{folder}: its tokenizer runs code from that folder; review it, then add --trust-remote-code"
        )
    if tokenizer_file.is_file() and not has_custom_code:
        require_packages(f"tokens:{folder}", "tokenizers", command=install_command("tokens"))
        from tokenizers import Tokenizer as FastTokenizer

        with foreign_code(lambda reason: UsageError(f"{tokenizer_file}: {reason}")):
            tokenizer = FastTokenizer.from_file(str(tokenizer_file))
        return Tokenizer(
            name,
            lambda text: len(tokenizer.encode(text, add_special_tokens=False).ids),
            packages=["tokenizers"],
        )
    if not config.is_file():
        raise UsageError(
            f"tokens:{folder}: no tokenizer there (tokenizer.json and tokenizer_config.json are missing)"
        )
    require_packages(f"tokens:{folder}", "transformers", command=install_command("tokens"))
    from transformers import AutoTokenizer

    with foreign_code(lambda reason: UsageError(f"tokens:{folder}: {reason}")):
        tokenizer = AutoTokenizer.from_pretrained(str(folder), trust_remote_code=trusted)
    packages = ["transformers", "tokenizers"]
    return Tokenizer(
        name, lambda text: len(tokenizer.encode(text, add_special_tokens=False)), packages=packages
    )


def _has_custom_code(config: Path) -> bool:
    """Return whether a tokenizer's class is defined in its own folder."""
    try:
        return "auto_map" in json.loads(disk.read_small(config))
    except (OSError, ValueError, RecursionError) as error:
        raise UsageError(f"{config}: {error}") from error


def _load_tiktoken(name: str) -> Tokenizer:
    require_packages(f"tokens:{name}", "tiktoken", command=install_command("tokens"))
    import tiktoken
    from tiktoken.model import MODEL_TO_ENCODING

    known_names = [*tiktoken.list_encoding_names(), *MODEL_TO_ENCODING]
    encoding_name = MODEL_TO_ENCODING.get(name, name)
    if encoding_name not in tiktoken.list_encoding_names():
        raise UnknownName("tokenizer", name, [*known_names, "bytes"])
    with foreign_code(
        lambda reason: UsageError(f"tokens:{name}: its vocabulary cannot be loaded ({reason})")
    ):
        encoding = tiktoken.get_encoding(encoding_name)
    return Tokenizer(
        name, lambda text: len(encoding.encode(text, disallowed_special=())), packages=["tiktoken"]
    )
