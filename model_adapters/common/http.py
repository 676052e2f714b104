"""How adapters speak HTTP: one client, whose every fault is an error of `errors.py`, and no message holds a secret.

aiohttp is the client: the vendors' SDKs cost ten times the CPU per call, and one core must keep a cluster busy.
"""

from __future__ import annotations

import json
import os
import re
import socket
import time
from io import BytesIO
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar
from urllib.parse import urlsplit, urlunsplit

import msgspec
from msgspec import Struct

from evals.errors import BadReply, Disconnected, Fatal, ModelError, UsageError, from_status

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from aiohttp import ClientResponse, ClientSession


class _Fault(Struct):
    error: Any = None
    message: str | None = None
    detail: Any = None
    code: Any = None
    msg: str | None = None
    type: Any = None


_FAULT = msgspec.json.Decoder(_Fault)
_encode = msgspec.json.Encoder().encode
_JSON = {"Content-Type": "application/json"}


MOST = 64 << 20
"""Bytes of an answer: likelihoods of a long prompt, at every token, take a third of it."""
PIECEMEAL = 1 << 20
"""Bytes of a body from which on it is not written at once."""


class Client:
    """A keep-alive session with one base URL; opened at the first call."""

    def __init__(
        self, base: str, *, key: str | None = None, headers: Mapping[str, str] | None = None
    ) -> None:
        """`key`: what no message may repeat. `headers`: sent with every call."""
        self._base = base.rstrip("/")
        self._key = key
        self._headers = dict(headers or {})
        self._session: ClientSession | None = None
        self._proxy = proxy_of(self._base)

    def shown(self, path: str) -> str:
        """Give a URL as messages may show it."""
        return without_secrets(f"{self._base}{path}")

    async def post(self, path: str, body: Mapping[str, Any]) -> tuple[bytes, float]:
        """Send a JSON body; gives what came with 200, and the seconds until then."""
        started = time.perf_counter()
        data = _encode(body)
        whole = (
            data if len(data) < PIECEMEAL else BytesIO(data)
        )  # written in pieces, the loop turning between
        raw = await self.send("POST", path, data=whole, headers=_JSON)
        return raw, time.perf_counter() - started

    async def send(self, method: str, path: str, *, most: int = MOST, **options: Any) -> bytes:
        """Call once; `options` are aiohttp's. Raises what `errors.py` says of each way to fail.

        `most`: bytes of an answer.
        """
        import aiohttp

        if self._session is None:
            self._session = self._open()
        try:
            async with self._session.request(
                method, f"{self._base}{path}", allow_redirects=False, proxy=self._proxy, **options
            ) as response:
                raw = await _whole(response, most, where=self.shown(path))
                if response.status != 200:
                    raise self._refused(response, raw, self.shown(path))
                return raw
        except aiohttp.InvalidURL as error:
            raise Fatal(f"{self.shown(path)} is no URL") from error
        except aiohttp.ClientConnectorError as error:
            raise Disconnected(
                f"cannot reach {self.shown(path)}: {error.os_error}", unreachable=True
            ) from error
        except (aiohttp.ClientError, OSError) as error:
            raise Disconnected(self.without_key(f"{type(error).__name__}: {error}")) from error

    def _open(self) -> ClientSession:
        import aiohttp

        return aiohttp.ClientSession(
            headers=self._headers,
            timeout=aiohttp.ClientTimeout(total=None, connect=None, sock_connect=30),
            connector=aiohttp.TCPConnector(limit=0, ttl_dns_cache=300, socket_factory=_socket),
            cookie_jar=aiohttp.DummyCookieJar(),
        )

    def _refused(self, response: ClientResponse, raw: bytes, where: str) -> ModelError:
        if 300 <= response.status < 400:  # not followed: the key would go along
            place = without_secrets(response.headers.get("Location", "nowhere"))
            return Fatal(f"HTTP {response.status}: {where} has moved to {self.without_key(place)}")
        fault = read_fault(raw)
        after = response.headers.get("Retry-After", "")
        return from_status(
            response.status,
            f"{self.without_key(fault.message)} ({where})",
            code=fault.code,
            retry_after_s=float(after) if _is_number(after) else fault.retry_after_s,
        )

    def without_key(self, message: str) -> str:
        """Cut the key out of a message, where a server repeats it."""
        return message.replace(self._key, "***") if self._key else message

    async def close(self) -> None:
        """Close the connections."""
        if self._session is not None:
            await self._session.close()
            self._session = None


async def _whole(response: ClientResponse, most: int, *, where: str) -> bytes:
    """Read a body, which may have no end, up to a size."""
    pieces, size = [], 0
    async for piece in response.content.iter_any():
        pieces.append(piece)
        size += len(piece)
        if size > most:
            raise BadReply(f"more than {most >> 20} MiB from {where}")
    return pieces[0] if len(pieces) == 1 else b"".join(pieces)


def proxy_of(url: str) -> str | None:
    """Give the HTTPS_PROXY that the environment wants used for a URL; what is not encrypted is reached straight.

    So a server on this machine or on the next node needs no NO_PROXY, and a vendor is found from behind a firewall.
    """
    if not url.startswith("https:"):
        return None
    from urllib.request import getproxies, proxy_bypass

    found = getproxies().get("https")
    return None if found is None or proxy_bypass(urlsplit(url).hostname or "") else found


def _socket(address: tuple[Any, ...]) -> socket.socket:
    """Make a socket that says it is alive while a model thinks for minutes; firewalls cut what is silent."""
    family, kind, protocol = address[:3]
    found = socket.socket(family, kind, protocol)
    found.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for name, value in (("TCP_KEEPIDLE", 60), ("TCP_KEEPINTVL", 60), ("TCP_KEEPCNT", 5)):
        if hasattr(socket, name):
            found.setsockopt(socket.IPPROTO_TCP, getattr(socket, name), value)
    return found


def _is_number(text: str) -> bool:
    return re.fullmatch(r"[0-9]+(\.[0-9]+)?", text) is not None


def without_secrets(url: str) -> str:
    """Give a URL without user, password and query; text that is no URL loses what stands before its last @."""
    try:
        parts = urlsplit(url)
    except ValueError:
        scheme, slashes, rest = url.partition("://")
        return f"{scheme}{slashes}{rest.rpartition('@')[2].partition('?')[0]}"
    return urlunsplit((parts.scheme, parts.netloc.rpartition("@")[2], parts.path, "", ""))


class Fault(NamedTuple):
    """What an error body says, whatever its shape."""

    message: str
    code: str = ""
    """As `from_status` wants it."""
    retry_after_s: float | None = None
    """Where the body says it and not the header (Google)."""


def read_fault(raw: bytes) -> Fault:
    """Read an error body; what is none is its own message."""
    try:
        found = _FAULT.decode(raw)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return Fault(" ".join(raw[:200].decode(errors="replace").split()) or "no body")
    error = found.error if found.error is not None else found.detail
    fields = error if isinstance(error, dict) else {"code": found.code, "type": found.type}
    message = error.get("message") if isinstance(error, dict) else error
    message = str(message or found.message or found.msg or raw[:200].decode(errors="replace"))
    codes = [fields.get(name) for name in ("code", "type", "status")]
    details = fields.get("details")
    retry_after_s = None
    for detail in [details] if isinstance(details, dict) else details if isinstance(details, list) else []:
        if isinstance(detail, dict):
            codes += [detail.get("reason"), detail.get("error_code")]
            delay = str(detail.get("retryDelay") or "").removesuffix("s")
            retry_after_s = float(delay) if _is_number(delay) else retry_after_s
            violations = detail.get("violations")
            for one in violations if isinstance(violations, list) else []:
                codes.append(one.get("quotaId") if isinstance(one, dict) else None)
    return Fault(" ".join(message.split())[:500], " ".join(str(c) for c in codes if c), retry_after_s)


def fault_message(raw: bytes) -> str:
    """Find the sentence in an error body."""
    return read_fault(raw).message


def not_a_reply(raw: bytes, error: Exception, where: str) -> BadReply:
    """Say of a body that came with 200 why it is none of the protocol's."""
    start = " ".join(raw[:60].decode(errors="replace").split())
    kind = "HTML" if raw.lstrip()[:1] == b"<" else "no completion"
    return BadReply(f"200 with {kind} from {where}: {error}; it begins {start!r}")


T = TypeVar("T")


def decoded(decoder: msgspec.json.Decoder[T], raw: bytes) -> T:
    """Decode a body; half of an emoji, as servers send where a reply was cut, becomes a question mark."""
    try:
        return decoder.decode(raw)
    except RecursionError:
        raise msgspec.DecodeError("nested too deeply") from None
    except msgspec.DecodeError:
        if b"\\ud" not in raw.lower():
            raise
        try:
            text = json.dumps(json.loads(raw), ensure_ascii=False)
        except (ValueError, RecursionError) as error:
            raise msgspec.DecodeError(str(error)) from None
        return decoder.decode(text.encode("utf-8", "replace"))


def credentials(vendor: str, rest: str, *, base: str, keys: Sequence[str] = ()) -> tuple[str, str]:
    """Read a vendor's key and base URL from the environment; raises UsageError without a key."""
    keys = keys or (f"{vendor.upper()}_API_KEY",)
    key = next((found for name in keys if (found := os.environ.get(name, "").strip())), "")
    if not key:
        raise UsageError(f"{vendor}:{rest} needs a key: set {keys[0]}")
    if not key.isascii() or not key.isprintable():
        raise UsageError(f"{keys[0]} holds characters that no key has")
    return key, os.environ.get(f"{vendor.upper()}_BASE_URL") or base
