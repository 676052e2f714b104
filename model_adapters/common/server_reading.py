"""Recorded replies as a vLLM server reads them: `/tokenize`, then `/v1/completions` with `prompt_logprobs`.

The server knows the likeliest tokens of each position only, so that some columns of a reading are bounds.
"""

from __future__ import annotations

import asyncio
import math
import re
from collections.abc import Sequence
from typing import Any, Protocol, TypeVar

import msgspec
from msgspec import Struct

from evals.errors import BadReply, Context, Fatal, ModelError, Rejected
from evals.model_adapters.common import top_probabilities
from evals.model_adapters.common.top_probabilities import Position
from evals.seams import Decoding, TokenReading
from evals.types import Message, Prompt, Reply, Text

T = TypeVar("T")

LIKELIEST = 20
"""Tokens requested of each position: vLLM's default limit (`--max-logprobs`)."""
VOCABULARY = 1 << 18
"""Upper bound of the number of tokens."""
AT_ONCE = 8
"""Maximum number of concurrent calls."""
CONTROL = re.compile(r"<\|[^|<>\s]{1,60}\|>|</?s>|<(?:bos|eos|pad|unk|(?:start|end)_of_turn)>|\[/?INST\]")
"""Texts of control tokens, which a server reads as such."""
OPEN, CLOSE = "<think>", "</think>"


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


class Client(Protocol):
    """The calls that are needed of a client."""

    async def post(self, path: str, body: dict[str, Any]) -> tuple[bytes, float]:
        """Send a JSON body; return that of the response, and the seconds taken."""
        ...

    def display_url(self, path: str) -> str:
        """Return the URL of an endpoint without secrets."""
        ...


class ServerReader:
    """Reads replies by the calls of one server."""

    def __init__(self, client: Client, name: str, variables: dict[str, Any]) -> None:
        """`variables`: of the chat template."""
        self._client, self._name, self._variables = client, name, variables
        self._places = asyncio.Semaphore(AT_ONCE)
        self._context: int | None = None

    async def read(
        self, written: Sequence[tuple[Prompt, Reply]], decoding: Decoding, *, stops: bool
    ) -> list[TokenReading | ModelError]:
        """Return a reading of each reply, or why it cannot be read. `stops`: whether stop sequences were set."""
        end = None if stops else await self._end_of_turn()
        return list(
            await asyncio.gather(*(self._read(prompt, reply, decoding, end) for prompt, reply in written))
        )

    async def _read(
        self, prompt: Prompt, reply: Reply, decoding: Decoding, end: int | None
    ) -> TokenReading | ModelError:
        async with self._places:
            try:
                before = await self._rendered(prompt.messages)
                own = await self._reply_tokens(before, reply)
                if end is not None and reply.stop == "stop":
                    own = [*own, end]
                positions = await self._positions(before, own)
            except Rejected as error:
                return error
        return top_probabilities.reading(positions, decoding, VOCABULARY, reply.usage.output)

    async def _reply_tokens(self, before: list[int], reply: Reply) -> list[int]:
        """Tokenise a reply and its reasoning; raises Rejected."""
        if any(CONTROL.search(text) for text in (reply.text, reply.reasoning or "")):
            raise Rejected("it holds the text of a control token, which the server would read as one")
        if reply.reasoning is None:
            return await self._tokens(reply.text)
        opening, close = await self._tokens(OPEN), await self._tokens(CLOSE)
        if len(close) != 1:
            raise Rejected("its reasoning is recorded without the marks that enclosed it")
        opened = any(before[-len(mark) :] == mark for mark in (opening, await self._tokens(f"{OPEN}\n")))
        thought = reply.reasoning if opened else f"\n{reply.reasoning}"
        own = [] if opened else opening
        if reply.stop == "length" and not reply.text:
            return own + await self._tokens(thought)
        return [*own, *await self._tokens(f"{thought}\n"), *close, *await self._tokens(f"\n\n{reply.text}")]

    async def _positions(self, before: list[int], own: list[int]) -> list[Position]:
        tokens = before + own
        if not own or not before:
            raise Rejected("it has no token that can be read")
        if self._context is not None and len(tokens) >= self._context:
            raise Context(f"prompt and reply have {len(tokens)} tokens, the context {self._context}")
        completion = await self._post(
            "/completions",
            {"prompt": tokens, "max_tokens": 1, "temperature": 0.0, "prompt_logprobs": LIKELIEST},
            _Completion,
        )
        rows = completion.choices[0].prompt_logprobs if completion.choices else None
        if rows is None or len(rows) != len(tokens):
            where = self._client.display_url("/completions")
            raise Fatal(f"{where} does not return `prompt_logprobs`; vLLM does")
        return [_position(row, token) for row, token in zip(rows[len(before) :], own, strict=True)]

    async def _end_of_turn(self) -> int | None:
        """Return the token that the chat template writes after a turn of the assistant; None if it writes none."""
        question = Message.user("Hello")
        answer = await self._tokens("Goodbye")
        turns = (question, Message("assistant", (Text("Goodbye"),)))
        whole = await self._rendered(turns, add_generation_prompt=False)
        last = max((n for n in range(len(whole)) if whole[n : n + len(answer)] == answer), default=len(whole))
        return next(iter(whole[last + len(answer) :]), None)

    async def _rendered(
        self, messages: Sequence[Message], *, add_generation_prompt: bool = True
    ) -> list[int]:
        turns = [
            {"role": m.role, "content": "".join(p.text for p in m.parts if isinstance(p, Text))}
            for m in messages
        ]
        body: dict[str, Any] = {"messages": turns, "add_generation_prompt": add_generation_prompt}
        if self._variables:
            body["chat_template_kwargs"] = self._variables
        return (await self._tokenized(body)).tokens

    async def _tokens(self, text: str) -> list[int]:
        if not text:
            return []
        return (await self._tokenized({"prompt": text, "add_special_tokens": False})).tokens

    async def _tokenized(self, body: dict[str, Any]) -> _Tokens:
        answer = await self._post("/tokenize", body, _Tokens)
        self._context = answer.max_model_len
        return answer

    async def _post(self, path: str, body: dict[str, Any], kind: type[T]) -> T:
        where = self._client.display_url(path)
        try:
            raw, _ = await self._client.post(path, {"model": self._name, **body})
            return msgspec.json.decode(raw, type=kind)
        except msgspec.MsgspecError as error:
            raise BadReply(f"{where} sends no likelihoods: {error}") from None
        except Rejected as error:
            if path == "/tokenize":
                raise Fatal(f"cannot tokenise at {where}, as vLLM can: {error}") from None
            raise


def _position(row: dict[str, _LogProb] | None, token: int) -> Position:
    """Return what a server says of one token; raises BadReply if it says nothing of it."""
    own = (row or {}).get(str(token))
    if row is None or own is None or own.rank is None or math.isnan(own.logprob):
        raise BadReply(f"no likelihood of the token {token}")
    top = [entry.logprob for entry in row.values() if entry.rank is not None and entry.rank <= LIKELIEST]
    return Position(own.logprob, own.rank, top or [own.logprob])
