"""Base class of models behind an HTTP endpoint, which omits request fields that the server rejects."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeVar

import msgspec

from evals.errors import Filtered
from evals.model_adapters.common.body import Content, as_object, parse_content
from evals.model_adapters.common.faults import error_in_200, invalid_response, parse_fault
from evals.model_adapters.common.http import Client, decode
from evals.model_adapters.common.rejected_fields import NESTED_SETTINGS, RejectedFields
from evals.types import Prompt, Reply, Sampling

T = TypeVar("T")


class HttpModel:
    """A model behind one endpoint; subclasses build the request (`body`) and parse the response (`parse_response`)."""

    accepts: frozenset[str] = frozenset({"image"})
    required_fields: frozenset[str] = frozenset()
    """Request fields that the API requires, and which are therefore never omitted."""

    def __init__(self, name: str, client: Client, *, path: str) -> None:
        self.name, self.client, self.path = name, client, path
        self.rejected_fields = RejectedFields()

    @property
    def notes(self) -> list[str]:
        """Return the notes on rejected fields for the run's card."""
        return self.rejected_fields.notes

    @property
    def display_url(self) -> str:
        """Return the endpoint's URL without secrets, for messages."""
        return self.client.display_url(self.path)

    def add_headers(self, headers: Mapping[str, str]) -> None:
        """Send additional headers with every call."""
        self.client.add_headers(headers)

    def fields_to_keep(self, sampling: Sampling) -> Mapping[str, Any]:
        """Return the request fields that are never omitted, as keys: the user's own, and those that the API requires."""
        nested = as_object(sampling.extra.get(NESTED_SETTINGS))
        return {**sampling.extra, **nested, **dict.fromkeys(self.required_fields)}

    async def reply(self, prompt: Prompt, sampling: Sampling) -> Reply:
        """Send a prompt, without fields that the server rejects by name, and return the reply; raises a ModelError (see `errors.py`)."""
        body = await self.body(prompt, sampling)
        try:
            return await self.rejected_fields.post(
                self.client,
                self.path,
                body,
                keep=self.fields_to_keep(sampling),
                parse=lambda raw, seconds: self.parse_response(raw, sampling, seconds=seconds),
            )
        except Filtered as error:
            return Reply(text=str(error), stop="filter", model=self.name)

    async def body(self, prompt: Prompt, sampling: Sampling) -> dict[str, Any]:
        """Return the request's body; unset fields are left to the server's defaults."""
        raise NotImplementedError

    def parse_response(self, raw: bytes, sampling: Sampling, *, seconds: float) -> Reply:
        """Parse the body of a 200 response; raises the error that it reports."""
        raise NotImplementedError

    async def close(self) -> None:
        """Close the connections."""
        await self.client.close()


def checked_content(content: Any, raw: bytes, display_url: str) -> Content:
    """Parse a message's content; raises BadReply if it is neither text nor a list of parts."""
    try:
        return parse_content(content)
    except TypeError as error:
        raise invalid_response(raw, error, display_url) from None


def decode_response(decoder: msgspec.json.Decoder[T], raw: bytes, display_url: str) -> T:
    """Decode the body of a 200 response; raises the error that it reports, or BadReply if it does not follow the protocol."""
    try:
        return decode(decoder, raw)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        if parse_fault(raw).status is not None:
            raise error_in_200(raw, display_url, description="with an error") from None
        raise invalid_response(raw, error, display_url) from error
