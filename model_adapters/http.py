"""How adapters speak HTTP: one client, whose every fault is an error of `errors.py`, and no message holds a secret.

aiohttp is the client: the vendors' SDKs cost ten times the CPU per call, and one core must keep a cluster busy.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit, urlunsplit

import msgspec
from msgspec import Struct

from evals.errors import BadReply, Disconnected, Fatal, ModelError, from_status

if TYPE_CHECKING:
    from collections.abc import Mapping

    from aiohttp import ClientResponse, ClientSession


class _Fault(Struct):
    error: Any = None
    message: str | None = None
    detail: Any = None
    code: Any = None
    type: Any = None


_FAULT = msgspec.json.Decoder(_Fault)
_encode = msgspec.json.Encoder().encode


class Client:
    """A keep-alive session with one base URL; opened at the first call."""

    def __init__(
        self, base: str, *, key: str | None = None, headers: Mapping[str, str] | None = None
    ) -> None:
        """`key`: what no message may repeat. `headers`: sent with every call."""
        self._base = base.rstrip("/")
        self._key = key
        self._headers = {"Content-Type": "application/json", **(headers or {})}
        self._session: ClientSession | None = None

    def shown(self, path: str) -> str:
        """Give a URL as messages may show it."""
        return without_secrets(f"{self._base}{path}")

    async def post(self, path: str, body: Mapping[str, Any]) -> tuple[bytes, float]:
        """Send a JSON body; gives what came with 200, and the seconds until then."""
        started = time.perf_counter()
        raw = await self.send("POST", path, data=_encode(body))
        return raw, time.perf_counter() - started

    async def send(self, method: str, path: str, **options: Any) -> bytes:
        """Call once; `options` are aiohttp's. Raises what `errors.py` says of each way to fail."""
        import aiohttp

        if self._session is None:
            self._session = self._open()
        try:
            async with self._session.request(method, f"{self._base}{path}", **options) as response:
                raw = await response.read()
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
            raise Disconnected(f"{type(error).__name__}: {error}") from error

    def _open(self) -> ClientSession:
        import aiohttp

        return aiohttp.ClientSession(
            headers=self._headers,
            timeout=aiohttp.ClientTimeout(total=None, connect=None, sock_connect=30),
            connector=aiohttp.TCPConnector(limit=0, ttl_dns_cache=300),
            cookie_jar=aiohttp.DummyCookieJar(),
        )

    def _refused(self, response: ClientResponse, raw: bytes, where: str) -> ModelError:
        message = self.without_key(fault_message(raw))
        after = response.headers.get("Retry-After", "")
        return from_status(
            response.status,
            f"{message} ({where})",
            retry_after_s=float(after) if _is_number(after) else None,
        )

    def without_key(self, message: str) -> str:
        """Cut the key out of a message, where a server repeats it."""
        return message.replace(self._key, "***") if self._key else message

    async def close(self) -> None:
        """Close the connections."""
        if self._session is not None:
            await self._session.close()
            self._session = None


def _is_number(text: str) -> bool:
    return text.replace(".", "", 1).isdigit()


def without_secrets(url: str) -> str:
    """Give a URL without user, password and query; text that is no URL loses what stands before its last @."""
    try:
        parts = urlsplit(url)
    except ValueError:
        scheme, slashes, rest = url.partition("://")
        return f"{scheme}{slashes}{rest.rpartition('@')[2].partition('?')[0]}"
    return urlunsplit((parts.scheme, parts.netloc.rpartition("@")[2], parts.path, "", ""))


def fault_message(raw: bytes) -> str:
    """Find the sentence in an error body, whatever its shape."""
    try:
        fault = _FAULT.decode(raw)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return " ".join(raw[:200].decode(errors="replace").split()) or "no body"
    error = fault.error if fault.error is not None else fault.detail
    if isinstance(error, dict):
        error = error.get("message")
    message = str(error or fault.message or raw[:200].decode(errors="replace"))
    return " ".join(message.split())[:500]


def not_a_reply(raw: bytes, error: Exception, where: str) -> BadReply:
    """Say of a body that came with 200 why it is none of the protocol's."""
    start = " ".join(raw[:60].decode(errors="replace").split())
    kind = "HTML" if raw.lstrip()[:1] == b"<" else "no completion"
    return BadReply(f"200 with {kind} from {where}: {error}; it begins {start!r}")
