"""Protection against DNS rebinding: requests are refused unless Host and Origin name this machine.

Streamlit itself accepts any request with an Origin equal to its Host, even from a site whose name resolves to this machine.
"""

from __future__ import annotations

import socket
from collections.abc import Awaitable, Callable, MutableMapping
from contextlib import suppress
from ipaddress import ip_address
from typing import Any, TypeAlias
from urllib.parse import urlsplit

LOOPBACK = frozenset({"localhost", "127.0.0.1", "::1"})
WILDCARD = frozenset({"0.0.0.0", "::"})  # noqa: S104 - only compared with, never bound
Scope: TypeAlias = MutableMapping[str, Any]
Send: TypeAlias = Callable[[MutableMapping[str, Any]], Awaitable[None]]
Receive: TypeAlias = Callable[[], Awaitable[MutableMapping[str, Any]]]
App: TypeAlias = Callable[[Scope, Receive, Send], Awaitable[None]]


def names_this_machine(host: str, address: str) -> bool:
    """Return, without a DNS lookup, whether a Host header names this machine; `address`: where the dashboard listens.

    If it listens on all addresses, any literal IP address is accepted, since DNS rebinding needs a name.
    """
    try:
        name = (urlsplit(f"//{host}").hostname or "").lower()
    except ValueError:
        return False
    if name in LOOPBACK or name == address.lower():
        return True
    if address not in WILDCARD:
        return False
    with suppress(ValueError):
        return bool(ip_address(name))
    return name == socket.gethostname().lower()


class HostCheck:
    """Middleware that refuses requests with a Host or Origin that does not name this machine."""

    def __init__(self, app: App, address: str) -> None:
        self._app, self._address = app, address

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Forward a request that names this machine; refuse others (403, or WebSocket close code 1008)."""
        if scope["type"] not in ("http", "websocket") or self._is_allowed(scope):
            await self._app(scope, receive, send)
        elif scope["type"] == "websocket":
            await receive()
            await send({"type": "websocket.close", "code": 1008})
        else:
            headers = [(b"content-type", b"text/plain"), (b"content-length", b"9")]
            await send({"type": "http.response.start", "status": 403, "headers": headers})
            await send({"type": "http.response.body", "body": b"Forbidden"})

    def _is_allowed(self, scope: Scope) -> bool:
        headers = dict(scope["headers"])
        host = headers.get(b"host", b"").decode("latin-1")
        origin = headers.get(b"origin", b"").decode("latin-1")
        return names_this_machine(host, self._address) and (
            not origin or names_this_machine(origin.partition("://")[2] or "null", self._address)
        )


def install_host_check(address: str) -> None:
    """Add `HostCheck` to Streamlit's middleware, and keep Streamlit from looking up this machine's addresses."""
    from starlette.middleware import Middleware
    from streamlit import net_util
    from streamlit.web.server.starlette import starlette_app

    original = starlette_app.create_streamlit_middleware

    def create_checked_middleware(*args: Any, **kwargs: Any) -> list[Any]:
        return [Middleware(HostCheck, address=address), *original(*args, **kwargs)]

    starlette_app.create_streamlit_middleware = create_checked_middleware
    net_util.get_external_ip = net_util.get_internal_ip = lambda: None
