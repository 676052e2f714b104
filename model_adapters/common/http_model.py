"""Base class of models behind an HTTP endpoint: calls, rejected fields, headers, closing."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeVar

import msgspec

from evals.errors import Filtered
from evals.model_adapters.common.body import fields
from evals.model_adapters.common.faults import error_in_200, not_a_reply, read_fault
from evals.model_adapters.common.http import Client, decoded
from evals.model_adapters.common.refusals import NESTED, Refusals
from evals.types import Prompt, Reply, Sampling

T = TypeVar("T")


class HttpModel:
    """A model behind one endpoint; subclasses build the request (`body`) and parse the response (`read`)."""

    accepts: frozenset[str] = frozenset({"image"})
    wants: frozenset[str] = frozenset()
    """Fields that the API requires, so that they are never left out."""

    def __init__(self, name: str, client: Client, *, path: str) -> None:
        self.name, self.client, self.path = name, client, path
        self.refusals = Refusals()

    @property
    def notes(self) -> list[str]:
        """Return the remarks on its calls for the run's card."""
        return self.refusals.notes

    @property
    def where(self) -> str:
        """Return the URL without secrets, for messages."""
        return self.client.shown(self.path)

    def add_headers(self, headers: Mapping[str, str]) -> None:
        """Send further headers with every call."""
        self.client.add_headers(headers)

    async def reply(self, prompt: Prompt, sampling: Sampling) -> Reply:
        """Return the reply of one call; raises a ModelError as listed in `errors.py`."""
        body = await self.body(prompt, sampling)
        keep = {**sampling.extra, **fields(sampling.extra.get(NESTED)), **dict.fromkeys(self.wants)}
        try:
            return await self.refusals.post(
                self.client,
                self.path,
                body,
                keep=keep,
                read=lambda raw, seconds: self.read(raw, sampling, seconds=seconds),
            )
        except Filtered as error:
            return Reply(text=str(error), stop="filter", model=self.name)

    async def body(self, prompt: Prompt, sampling: Sampling) -> dict[str, Any]:
        """Return the request's body; unset fields are left to the server's defaults."""
        raise NotImplementedError

    def read(self, raw: bytes, sampling: Sampling, *, seconds: float) -> Reply:
        """Parse the body of a 200 response; raises the error that it reports."""
        raise NotImplementedError

    async def close(self) -> None:
        """Close the connections."""
        await self.client.close()


def answer_of(decoder: msgspec.json.Decoder[T], raw: bytes, where: str) -> T:
    """Decode the body of a 200 response; raises BadReply if it does not follow the protocol."""
    try:
        return decoded(decoder, raw)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        if read_fault(raw).status is not None:
            raise error_in_200(raw, where, "with an error") from None
        raise not_a_reply(raw, error, where) from error
