"""A server on loopback that returns one response to every call; the fixture `server` is in `conftest.py`."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from typing import Any, NamedTuple

import pytest
from aiohttp import web


class Answer(NamedTuple):
    """A response of the server."""

    body: Any
    status: int = 200
    headers: dict[str, str] = {}
    cut: int | None = None
    """Number of bytes after which the server closes the connection, fewer than its Content-Length; None: all are sent."""


class Server:
    """Returns one response to every call and records the requests."""

    def __init__(self) -> None:
        self.answer = Answer({})
        self.first: list[Answer] = []
        """Responses of the first calls, before `answer`."""
        self.calls: list[tuple[str, dict[str, str], Any]] = []
        self.base = ""

    async def handle(self, request: web.Request) -> web.StreamResponse:
        raw = await request.read()
        self.calls.append((request.path_qs, dict(request.headers), json.loads(raw) if raw else None))
        body, status, headers, cut = self.first.pop(0) if self.first else self.answer
        raw = body if isinstance(body, bytes) else json.dumps(body).encode()
        if cut is None:
            return web.Response(body=raw, status=status, headers=headers)
        if cut > 0:
            response = web.StreamResponse(status=status, headers={"Content-Length": str(len(raw))})
            await response.prepare(request)
            await response.write(raw[:cut])
        assert request.transport is not None
        request.transport.close()
        return web.Response() if cut == 0 else response


@pytest.fixture
async def server() -> AsyncIterator[Server]:
    running = Server()
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", running.handle)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    host, port = runner.addresses[0][:2]
    running.base = f"http://{host}:{port}/v1"
    yield running
    await runner.cleanup()
