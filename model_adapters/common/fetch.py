"""Blocking HTTP requests outside an event loop, e.g. to list models: bounded in size and time, no redirects."""

from __future__ import annotations

import time
from collections.abc import Mapping
from contextlib import suppress
from http.client import HTTPException, HTTPMessage
from typing import IO
from urllib.error import HTTPError
from urllib.request import (
    HTTPRedirectHandler,
    OpenerDirector,
    ProxyHandler,
    Request,
    build_opener,
    getproxies,
)

import msgspec
from msgspec import Struct

from evals.model_adapters.common.http import without_secrets

MOST = 16 << 20
"""Size limit of a response body in bytes."""
FAULT = 1 << 20
"""Bytes read of the body of an error response."""


class Refused(OSError):
    """The server answered with a status other than 200."""

    def __init__(
        self, message: str, status: int, body: bytes, headers: Mapping[str, str] | None = None
    ) -> None:
        """`headers`: names in lower case."""
        super().__init__(message)
        self.status = status
        self.body = body
        self.headers = headers or {}


class _Stay(HTTPRedirectHandler):
    """Follows no redirects, which would receive the key."""

    def redirect_request(
        self, req: Request, fp: IO[bytes], code: int, msg: str, headers: HTTPMessage, newurl: str
    ) -> None:
        raise HTTPError(req.full_url, code, f"it has moved to {without_secrets(newurl)}", headers, fp)


def fetch(
    url: str, *, data: bytes | None = None, headers: Mapping[str, str] | None = None, timeout_s: float = 10.0
) -> bytes:
    """Return the body of one request; raises OSError for any failure, Refused for an error status."""
    until = time.monotonic() + timeout_s
    raw = bytearray()
    try:
        with _opener().open(Request(url, data, dict(headers or {})), timeout=timeout_s) as response:  # noqa: S310 - our callers check the scheme
            while piece := response.read1(1 << 16):
                raw += piece
                if len(raw) > MOST or time.monotonic() > until:
                    raise OSError("the answer does not end")
    except HTTPError as error:
        headers = {name.lower(): value for name, value in error.headers.items()} if error.headers else {}
        raise Refused(str(error), error.code, _rest(error), headers) from None
    except HTTPException as error:
        raise OSError(f"no HTTP: {str(error) or type(error).__name__}") from None
    except ValueError as error:
        raise OSError(str(error)) from None
    return bytes(raw)


class Listed(Struct):
    """A model as a server lists it."""

    id: str
    max_model_len: int | None = None
    """Tokens of prompt and reply (vLLM, SGLang)."""
    ref_model: str | None = None
    """What an alias stands for (Intern)."""


class _List(Struct):
    data: list[Listed]


def listed(url: str, *, headers: Mapping[str, str] | None = None, timeout_s: float = 10.0) -> list[Listed]:
    """Return the models that a server lists; raises OSError if the call fails, ValueError for an invalid response."""
    return msgspec.json.decode(fetch(url, headers=headers, timeout_s=timeout_s), type=_List).data


def _rest(error: HTTPError) -> bytes:
    """Read the body of an error response and close its connection."""
    with error, suppress(OSError, HTTPException):
        return error.read(FAULT)
    return b""


def _opener() -> OpenerDirector:
    """Return an opener that uses HTTPS_PROXY, as `http.Client` does; plain HTTP is local and not proxied."""
    proxy = getproxies().get("https")
    return build_opener(_Stay, ProxyHandler({"https": proxy} if proxy else {}))
