"""The HTTP client of all adapters: failures are raised as the errors in `errors.py`, with messages free of secrets.

It is built on aiohttp, since the vendors' SDKs take ten times the CPU time per call, and one core must keep a cluster busy.
"""

from __future__ import annotations

import errno
import json
import os
import re
import socket
import time
from io import BytesIO
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar, cast
from urllib.parse import urlsplit, urlunsplit

import msgspec

from evals.calls.open_files import first_reserved_descriptor, raise_file_limit
from evals.calls.secrets import Mask, api_key, is_secret_name, url_secrets
from evals.data.loose_json import to_strict_json
from evals.errors import BadReply, Disconnected, Fatal, ModelError, RateLimit, UsageError, from_status
from evals.model_adapters.common.faults import parse_fault
from evals.model_adapters.common.retry_after import requested_wait_s

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from aiohttp import ClientConnectorError, ClientResponse, ClientSession


_encode = msgspec.json.Encoder().encode
_JSON_HEADERS = {"Content-Type": "application/json"}


MAX_RESPONSE_BYTES = 64 << 20
"""Default size limit of a response in bytes; the log-likelihoods of all tokens of a long prompt take up a third of it."""
CHUNKED_FROM_BYTES = 1 << 20
"""Request bodies of at least this size in bytes are sent in chunks."""


ENDPOINT_PATHS = (
    "/chat/completions",
    "/completions",
    "/chat",
    "/responses",
    "/models",
    "/messages",
    "/embeddings",
)
"""Paths that users often copy along with a base URL."""


OUTSIDE_V1 = frozenset({"/tokenize"})
"""Endpoints of vLLM that are not below `/v1`."""


class BaseUrl(NamedTuple):
    """A base URL and its query (Azure and other gateways), which is appended after the path."""

    url: str
    query: str = ""

    def join(self, path: str) -> str:
        """Return the URL of an endpoint."""
        separator = "&" if "?" in path else "?"
        url = self.url.removesuffix("/v1") if path in OUTSIDE_V1 else self.url
        return f"{url}{path}{separator}{self.query}" if self.query else f"{url}{path}"


def parse_base_url(url: str) -> BaseUrl:
    """Parse a base URL; trailing slashes and the path of an endpoint are removed.

    >>> parse_base_url("https://x.azure.com/openai/v1/chat/completions/?api-version=2026-01-01").join("/models")
    'https://x.azure.com/openai/v1/models?api-version=2026-01-01'
    """
    base, _, query = url.strip().partition("#")[0].partition("?")
    base = base.rstrip("/")
    endpoint = next((path for path in ENDPOINT_PATHS if base.endswith(path)), "")
    return BaseUrl(base.removesuffix(endpoint).rstrip("/"), query)


def suggest_base_url(url: str, version: str = "/v1") -> str:
    """Return the base URL that the user probably meant if this one does not work; empty if it looks correct.

    >>> suggest_base_url("http://gpu7:8000"), suggest_base_url("http://gpu7:8000/v1/v1"), suggest_base_url("http://gpu7:8000/v1")
    ('http://gpu7:8000/v1', 'http://gpu7:8000/v1', '')
    """
    position = url.lower().find(f"{version}/")
    if version and position >= 0:
        return url[:position] + version
    if version and url.lower().endswith(version) and not url.endswith(version):
        return url[: -len(version)] + version
    return "" if not version or re.search(r"/v[0-9]|/deployments/", url) else url + version


class Client:
    """A keep-alive session with one base URL, opened by the first call."""

    def __init__(
        self,
        base: str,
        *,
        key: str | None = None,
        headers: Mapping[str, str] | None = None,
        version: str = "/v1",
    ) -> None:
        """`key`: masked in all messages. `headers`: sent with every call.

        `version`: usual end of a base URL; after a 404 or 405, it is suggested if the base URL lacks it.
        """
        self._base = parse_base_url(base)
        self._version = version
        self._headers = dict(headers or {})
        self._session: ClientSession | None = None
        self._proxy = proxy_of(self._base.url)
        self._mask = Mask([key or "", *url_secrets(base), *url_secrets(self._proxy or "")])

    def add_headers(self, headers: Mapping[str, str]) -> None:
        """Send additional headers with every call; their values are secrets."""
        for name, value in headers.items():
            for existing in [header for header in self._headers if header.lower() == name.lower()]:
                del self._headers[existing]
            self._headers[name] = value
            self._mask.add([value, value.rpartition(" ")[2]] if is_secret_name(name) else [value])

    def display_url(self, path: str) -> str:
        """Return the URL of an endpoint without secrets, for messages."""
        return self._mask.text(without_secrets(self._base.join(path)))

    async def post(self, path: str, body: Mapping[str, Any]) -> tuple[bytes, float]:
        """Send a JSON body; return the body of the response and the seconds taken."""
        started = time.perf_counter()
        data = _encode(body)
        # aiohttp sends a BytesIO in chunks, so that the event loop is not blocked
        payload = data if len(data) < CHUNKED_FROM_BYTES else BytesIO(data)
        raw = await self.send("POST", path, data=payload, headers=_JSON_HEADERS)
        return raw, time.perf_counter() - started

    async def send(
        self, method: str, path: str, *, max_bytes: int = MAX_RESPONSE_BYTES, **options: Any
    ) -> bytes:
        """Return the body of a response; `options` are aiohttp's. Raises a ModelError (see `errors.py`).

        `max_bytes`: size limit in bytes. Any 2xx status counts as success: some servers reply with 201 or 206.
        """
        import aiohttp

        if self._session is None:
            self._session = self._open_session()
        try:
            async with self._session.request(
                method, self._base.join(path), allow_redirects=False, proxy=self._proxy, **options
            ) as response:
                raw = self._mask.raw(await _read_body(response, max_bytes, url=self.display_url(path)))
                if not 200 <= response.status < 300:
                    raise self._status_error(response, raw, self.display_url(path))
                if raw.lstrip()[:1] == b"<" and (hint := self._url_hint(404)):  # a web page
                    raise BadReply(f"200 with HTML from {self.display_url(path)}{hint}")
                return raw
        except aiohttp.InvalidURL:
            raise Fatal(f"{self.display_url(path)} is not a URL") from None
        except aiohttp.ClientConnectorError as error:
            raise self._connection_error(error, self.display_url(path)) from None
        except (aiohttp.ClientError, OSError) as error:
            # `from None`, since the cause may contain the proxy's password
            reason = self.without_key(_reason(error))
            raise Disconnected(f"no complete response from {self.display_url(path)}: {reason}") from None
        except ValueError as error:  # an invalid header or URL
            raise Fatal(f"cannot call {self.display_url(path)}: {self.without_key(str(error))}") from None

    def _connection_error(self, error: ClientConnectorError, url: str) -> ModelError:
        """Return the error for a connection that could not be made."""
        import aiohttp

        if isinstance(error, aiohttp.ClientConnectorCertificateError):
            return Fatal(f"the certificate of {url} is not valid: {error.certificate_error}")
        if isinstance(error, aiohttp.ClientConnectorSSLError):
            reason = self.without_key(str(error.os_error))
            return Fatal(f"{url} does not speak TLS ({reason}): is the server's URL http:// instead?")
        code = error.os_error.errno or 0
        if code in (errno.EMFILE, errno.ENFILE):
            return RateLimit(
                "this machine allows no more open connections (see ulimit -n): reduce --concurrency"
            )
        reason = os.strerror(code) if code > 0 else self.without_key(error.os_error.strerror or "no response")
        hint = "; is the server running there?" if code == errno.ECONNREFUSED else ""
        return Disconnected(f"cannot reach {url}: {reason}{hint}", unreachable=True)

    def _open_session(self) -> ClientSession:
        import aiohttp

        raise_file_limit()
        return aiohttp.ClientSession(
            headers=self._headers,
            timeout=aiohttp.ClientTimeout(total=None, connect=None, sock_connect=30),
            connector=aiohttp.TCPConnector(limit=0, ttl_dns_cache=300, socket_factory=_create_socket),
            cookie_jar=aiohttp.DummyCookieJar(),
        )

    def _status_error(self, response: ClientResponse, raw: bytes, url: str) -> ModelError:
        if 300 <= response.status < 400:  # not followed, since the target would receive the key
            target = without_secrets(response.headers.get("Location", "an unknown address"))
            return Fatal(f"HTTP {response.status}: {url} has moved to {self.without_key(target)}")
        fault = parse_fault(raw)
        headers = {name.lower(): value for name, value in response.headers.items()}
        wait_s = requested_wait_s(headers)
        return from_status(
            response.status,
            f"{self.without_key(fault.message)} ({url}){self._url_hint(response.status)}",
            codes=fault.codes,
            retry_after_s=fault.wait_s if wait_s is None else wait_s,
            param=fault.param,
        )

    def _url_hint(self, status: int) -> str:
        """Return a hint on the usual form of base URLs after a 404 or 405; empty for other statuses."""
        suggestion = suggest_base_url(self._base.url, self._version)
        if status not in (404, 405) or not suggestion:
            return ""
        return f"; base URLs usually end in {self._version}: try {without_secrets(suggestion)}"

    def without_key(self, message: str) -> str:
        """Return a message with the key and other secrets masked."""
        return self._mask.text(message)

    async def close(self) -> None:
        """Close the connections."""
        if self._session is not None:
            await self._session.close()
            self._session = None


async def _read_body(response: ClientResponse, max_bytes: int, *, url: str) -> bytes:
    """Read a body; raises BadReply if it is larger than `max_bytes` bytes."""
    chunks, size = [], 0
    async for chunk in response.content.iter_any():
        chunks.append(chunk)
        size += len(chunk)
        if size > max_bytes:
            raise BadReply(f"more than {max_bytes >> 20} MiB from {url}")
    return b"".join(chunks)


def _reason(error: Exception) -> str:
    """Return in one line, without Python terms, why no complete response was received."""
    innermost = error.__cause__ or error
    if isinstance(innermost, OSError) and innermost.strerror:
        return innermost.strerror
    return " ".join(str(getattr(innermost, "message", "") or innermost or "connection lost").split())


def proxy_of(url: str) -> str | None:
    """Return the proxy of an https URL according to HTTPS_PROXY and NO_PROXY; None for plain HTTP, which is not proxied.

    Thus local servers need no NO_PROXY entry, and vendors can be reached from behind a firewall.
    """
    if not url.startswith("https:"):
        return None
    from urllib.request import getproxies, proxy_bypass

    proxy = getproxies().get("https")
    return None if proxy is None or proxy_bypass(urlsplit(url).hostname or "") else proxy


def _create_socket(address: tuple[Any, ...]) -> socket.socket:
    """Return a socket with TCP keep-alive, since firewalls drop idle connections; raises OSError if too many files are open."""
    family, kind, protocol = address[:3]
    sock = socket.socket(family, kind, protocol)
    if sock.fileno() >= first_reserved_descriptor():
        sock.close()
        raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for name, value in (("TCP_KEEPIDLE", 60), ("TCP_KEEPINTVL", 60), ("TCP_KEEPCNT", 5)):
        if hasattr(socket, name):
            sock.setsockopt(socket.IPPROTO_TCP, getattr(socket, name), value)
    return sock


def without_secrets(url: str) -> str:
    """Return a URL without user, password, query and fragment; in an invalid URL, all up to the last @ counts as the user."""
    try:
        parts = urlsplit(url)
    except ValueError:
        scheme, slashes, rest = url.partition("://")
        return f"{scheme}{slashes}{rest.rpartition('@')[2].partition('?')[0]}"
    return urlunsplit((parts.scheme, parts.netloc.rpartition("@")[2], parts.path, "", ""))


T = TypeVar("T")


def decode(decoder: msgspec.json.Decoder[T], raw: bytes) -> T:
    """Decode a response leniently: lone surrogates become U+FFFD; NaN and raw line breaks are accepted."""
    try:
        return decoder.decode(raw)
    except RecursionError:
        raise msgspec.DecodeError("nested too deeply") from None
    except (msgspec.DecodeError, UnicodeDecodeError):
        return _decode_leniently(decoder, to_strict_json(raw))


def _decode_leniently(decoder: msgspec.json.Decoder[T], raw: bytes) -> T:
    """Decode JSON with Python's extensions; raises the decoder's error if that fails too."""
    try:
        value = json.loads(raw, strict=False)
    except (ValueError, RecursionError):
        return decoder.decode(raw)
    return cast("T", msgspec.convert(value, decoder.type))


def credentials(vendor: str, rest: str, *, base: str, key_variables: Sequence[str] = ()) -> tuple[str, str]:
    """Read a vendor's key and base URL from the environment; raises UsageError without a key."""
    variables = key_variables or (f"{vendor.upper()}_API_KEY",)
    if not (key := api_key(*variables)):
        raise UsageError(f"{vendor}:{rest} needs a key: set {variables[0]}")
    return key, os.environ.get(f"{vendor.upper()}_BASE_URL", "").strip() or base
