"""Blocking HTTP requests outside an event loop, e.g. to list models: limited in size and time, without redirects."""

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

MAX_RESPONSE_BYTES = 16 << 20
"""Size limit of a response body in bytes."""
MAX_ERROR_BYTES = 1 << 20
"""Maximum number of bytes read from the body of an error response."""


class HttpStatusError(OSError):
    """The server responded with an error status."""

    def __init__(
        self, message: str, status: int, body: bytes, headers: Mapping[str, str] | None = None
    ) -> None:
        """`headers`: names in lower case."""
        super().__init__(message)
        self.status = status
        self.body = body
        self.headers = headers or {}


class _NoRedirects(HTTPRedirectHandler):
    """Rejects redirects, since the target would receive the key."""

    def redirect_request(
        self, req: Request, fp: IO[bytes], code: int, msg: str, headers: HTTPMessage, newurl: str
    ) -> None:
        raise HTTPError(req.full_url, code, f"it has moved to {without_secrets(newurl)}", headers, fp)


def fetch(
    url: str, *, data: bytes | None = None, headers: Mapping[str, str] | None = None, timeout_s: float = 10.0
) -> bytes:
    """Return the body of the response; raises OSError for any failure, HttpStatusError for an error status."""
    deadline = time.monotonic() + timeout_s
    body = bytearray()
    try:
        with _opener().open(Request(url, data, dict(headers or {})), timeout=timeout_s) as response:  # noqa: S310 - our callers check the scheme
            while chunk := response.read1(1 << 16):
                body += chunk
                if len(body) > MAX_RESPONSE_BYTES or time.monotonic() > deadline:
                    raise OSError("the response is too large or takes too long")
    except HTTPError as error:
        headers = {name.lower(): value for name, value in error.headers.items()} if error.headers else {}
        raise HttpStatusError(str(error), error.code, _error_body(error), headers) from None
    except HTTPException as error:
        reason = " ".join(str(error).split()) or type(error).__name__
        raise OSError(f"not an HTTP response: {reason}") from None
    except ValueError as error:
        raise OSError(str(error)) from None
    return bytes(body)


class ListedModel(Struct):
    """A model in a server's list."""

    id: str
    max_model_len: int | None = None
    """Tokens of prompt and reply (vLLM, SGLang)."""
    ref_model: str | None = None
    """Target of an alias (Intern)."""


class _ModelList(Struct):
    data: list[ListedModel]


def list_models(
    url: str, *, headers: Mapping[str, str] | None = None, timeout_s: float = 10.0
) -> list[ListedModel]:
    """Return the models that a server lists; raises OSError if the call fails, ValueError for an invalid response."""
    return msgspec.json.decode(fetch(url, headers=headers, timeout_s=timeout_s), type=_ModelList).data


def _error_body(error: HTTPError) -> bytes:
    """Read the body of an error response and close its connection."""
    with error, suppress(OSError, HTTPException):
        return error.read(MAX_ERROR_BYTES)
    return b""


def _opener() -> OpenerDirector:
    """Return an opener that uses HTTPS_PROXY, like `http.Client`; plain HTTP is not proxied."""
    proxy = getproxies().get("https")
    return build_opener(_NoRedirects, ProxyHandler({"https": proxy} if proxy else {}))
