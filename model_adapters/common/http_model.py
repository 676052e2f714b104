"""What every model behind an HTTP endpoint does alike: one call, its refused fields, its headers, its end."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeVar

import msgspec

from evals.errors import Filtered
from evals.model_adapters.common.body import fields
from evals.model_adapters.common.faults import not_a_reply
from evals.model_adapters.common.http import Client, decoded
from evals.model_adapters.common.refusals import NESTED, Refusals
from evals.types import Prompt, Reply, Sampling

T = TypeVar("T")


class HttpModel:
    """A model behind one endpoint; a vendor's class words the request (`body`) and reads the answer (`read`)."""

    accepts: frozenset[str] = frozenset({"image"})
    wants: frozenset[str] = frozenset()
    """Fields that the API wants, so that they are never left out."""

    def __init__(self, name: str, client: Client, *, path: str) -> None:
        self.name, self.client, self.path = name, client, path
        self.refusals = Refusals()

    @property
    def notes(self) -> list[str]:
        """Return what a run's card must say of its calls."""
        return self.refusals.notes

    @property
    def where(self) -> str:
        """Return the address as messages may show it."""
        return self.client.shown(self.path)

    def add_headers(self, headers: Mapping[str, str]) -> None:
        """Send further headers with every call."""
        self.client.add_headers(headers)

    async def reply(self, prompt: Prompt, sampling: Sampling) -> Reply:
        """Ask once; raises what `errors.py` says of each way to fail."""
        body = await self.body(prompt, sampling)
        keep = {**sampling.extra, **fields(sampling.extra.get(NESTED)), **dict.fromkeys(self.wants)}
        try:
            raw, seconds = await self.refusals.post(self.client, self.path, body, keep=keep)
            return self.read(raw, sampling, seconds=seconds)
        except Filtered as error:
            return Reply(text=str(error), stop="filter", model=self.name)

    async def body(self, prompt: Prompt, sampling: Sampling) -> dict[str, Any]:
        """Return the request's body; what is not set is left to the server."""
        raise NotImplementedError

    def read(self, raw: bytes, sampling: Sampling, *, seconds: float) -> Reply:
        """Make a reply of what came with 200; raises the error that the body holds."""
        raise NotImplementedError

    async def close(self) -> None:
        """Close the connections."""
        await self.client.close()


def answer_of(decoder: msgspec.json.Decoder[T], raw: bytes, where: str) -> T:
    """Decode a 200 body; raises BadReply if it is no answer of the protocol."""
    try:
        return decoded(decoder, raw)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise not_a_reply(raw, error, where) from error
