"""Likelihoods of recorded replies from a vLLM server: `/tokenize`, then `/v1/completions` with `prompt_logprobs`.

The server returns only the likeliest tokens of each position, so `above` and `mass` are bounds (`top_probabilities.py`).
"""

from __future__ import annotations

import asyncio
import math
import re
from collections.abc import Sequence
from typing import Any, TypeVar

import msgspec
from msgspec import Struct

from evals.errors import BadReply, Context, Fatal, ModelError, Rejected
from evals.model_adapters.common import top_probabilities
from evals.model_adapters.common.http import Client
from evals.model_adapters.common.top_probabilities import Position
from evals.prompts import plain_text
from evals.seams import Decoding, TokenLikelihoods
from evals.types import Message, Prompt, Reply, Text

T = TypeVar("T")

REQUESTED_TOKENS = 20
"""Number of likeliest tokens requested for each position: vLLM's default limit (`--max-logprobs`)."""
MAX_VOCABULARY = 1 << 18
"""Upper bound on the size of the vocabulary."""
MAX_CONCURRENT = 8
"""Maximum number of replies processed concurrently."""
CONTROL_TOKEN = re.compile(
    r"<\|[^|<>\s]{1,60}\|>|</?s>|<(?:bos|eos|pad|unk|(?:start|end)_of_turn)>|\[/?INST\]"
)
"""Texts that a server tokenises as control tokens."""
OPENING_TAG, CLOSING_TAG = "<think>", "</think>"


class _Tokens(Struct):
    tokens: list[int]
    max_model_len: int | None = None


class _LogProb(Struct):
    logprob: float
    rank: int | None = None


class _Choice(Struct):
    prompt_logprobs: list[dict[str, _LogProb] | None] | None = None


class _Completion(Struct):
    choices: list[_Choice] = []


class ServerLikelihoods:
    """Computes likelihoods of replies through the API of one server."""

    def __init__(self, client: Client, name: str, variables: dict[str, Any]) -> None:
        """`variables`: passed to the chat template."""
        self._client, self._name, self._variables = client, name, variables
        self._slots = asyncio.Semaphore(MAX_CONCURRENT)
        self._context: int | None = None

    async def compute(
        self, exchanges: Sequence[tuple[Prompt, Reply]], decoding: Decoding, *, has_stops: bool
    ) -> list[TokenLikelihoods | ModelError]:
        """Return the likelihoods of each reply, or why they cannot be computed. `has_stops`: see `reply_likelihoods.compute`."""
        end_token = None if has_stops else await self._end_of_turn()
        return list(
            await asyncio.gather(
                *(self._compute(prompt, reply, decoding, end_token) for prompt, reply in exchanges)
            )
        )

    async def _compute(
        self, prompt: Prompt, reply: Reply, decoding: Decoding, end_token: int | None
    ) -> TokenLikelihoods | ModelError:
        async with self._slots:
            try:
                prompt_tokens = await self._render(prompt.messages)
                reply_tokens = await self._tokenize_reply(prompt_tokens, reply)
                if end_token is not None and reply.stop == "stop":
                    reply_tokens = [*reply_tokens, end_token]
                positions = await self._fetch_positions(prompt_tokens, reply_tokens)
            except Rejected as error:
                return error
        return top_probabilities.make_likelihoods(positions, decoding, MAX_VOCABULARY, reply.usage.output)

    async def _tokenize_reply(self, prompt_tokens: list[int], reply: Reply) -> list[int]:
        """Tokenise a reply and its reasoning; raises Rejected."""
        if any(CONTROL_TOKEN.search(text) for text in (reply.text, reply.reasoning or "")):
            raise Rejected(
                "the reply contains the text of a control token, which the server would tokenise as one"
            )
        if reply.reasoning is None:
            return await self._tokenize_text(reply.text)
        opening, closing = await self._tokenize_text(OPENING_TAG), await self._tokenize_text(CLOSING_TAG)
        if len(closing) != 1:
            raise Rejected("the reasoning was recorded without the tags that enclosed it")
        is_open = any(
            prompt_tokens[-len(tag) :] == tag
            for tag in (opening, await self._tokenize_text(f"{OPENING_TAG}\n"))
        )
        reasoning = reply.reasoning if is_open else f"\n{reply.reasoning}"
        tokens = [] if is_open else opening
        if reply.stop == "length" and not reply.text:
            return tokens + await self._tokenize_text(reasoning)
        tokens = [*tokens, *await self._tokenize_text(f"{reasoning}\n"), *closing]
        return tokens + await self._tokenize_text(f"\n\n{reply.text}")

    async def _fetch_positions(self, prompt_tokens: list[int], reply_tokens: list[int]) -> list[Position]:
        tokens = prompt_tokens + reply_tokens
        if not reply_tokens or not prompt_tokens:
            raise Rejected("prompt or reply has no tokens")
        if self._context is not None and len(tokens) >= self._context:
            raise Context(f"prompt and reply have {len(tokens)} tokens, but the context has {self._context}")
        completion = await self._post(
            "/completions",
            {"prompt": tokens, "max_tokens": 1, "temperature": 0.0, "prompt_logprobs": REQUESTED_TOKENS},
            _Completion,
        )
        rows = completion.choices[0].prompt_logprobs if completion.choices else None
        if rows is None or len(rows) != len(tokens):
            url = self._client.display_url("/completions")
            raise Fatal(f"{url} does not return `prompt_logprobs`; vLLM does")
        return [
            _position(row, token) for row, token in zip(rows[len(prompt_tokens) :], reply_tokens, strict=True)
        ]

    async def _end_of_turn(self) -> int | None:
        """Return the token that the chat template writes after an assistant turn; None if it writes none."""
        answer = await self._tokenize_text("Goodbye")
        turns = (Message.user("Hello"), Message("assistant", (Text("Goodbye"),)))
        tokens = await self._render(turns, add_generation_prompt=False)
        start = max(
            (n for n in range(len(tokens)) if tokens[n : n + len(answer)] == answer), default=len(tokens)
        )
        return next(iter(tokens[start + len(answer) :]), None)

    async def _render(self, messages: Sequence[Message], *, add_generation_prompt: bool = True) -> list[int]:
        """Return the tokens of messages rendered with the chat template."""
        turns = [{"role": m.role, "content": plain_text(m.parts)} for m in messages]
        body: dict[str, Any] = {"messages": turns, "add_generation_prompt": add_generation_prompt}
        if self._variables:
            body["chat_template_kwargs"] = self._variables
        return await self._tokenize(body)

    async def _tokenize_text(self, text: str) -> list[int]:
        return await self._tokenize({"prompt": text, "add_special_tokens": False}) if text else []

    async def _tokenize(self, body: dict[str, Any]) -> list[int]:
        response = await self._post("/tokenize", body, _Tokens)
        self._context = response.max_model_len
        return response.tokens

    async def _post(self, path: str, body: dict[str, Any], response_type: type[T]) -> T:
        url = self._client.display_url(path)
        try:
            raw, _ = await self._client.post(path, {"model": self._name, **body})
            return msgspec.json.decode(raw, type=response_type)
        except msgspec.MsgspecError as error:
            raise BadReply(f"invalid response from {url}: {error}") from None
        except Rejected as error:
            if path == "/tokenize":
                raise Fatal(f"{url} does not tokenise as vLLM does: {error}") from None
            raise


def _position(row: dict[str, _LogProb] | None, token: int) -> Position:
    """Return a token's probabilities from a server's response; raises BadReply if they are missing."""
    entry = (row or {}).get(str(token))
    if row is None or entry is None or entry.rank is None or math.isnan(entry.logprob):
        raise BadReply(f"no likelihood for token {token}")
    top = [
        other.logprob for other in row.values() if other.rank is not None and other.rank <= REQUESTED_TOKENS
    ]
    return Position(entry.logprob, entry.rank, top or [entry.logprob])
