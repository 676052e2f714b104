"""An OpenAI-compatible server on loopback that records requests and returns scripted replies."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler
from typing import Any, NamedTuple

from tests.support.servers import Server

Answer = Callable[[dict[str, Any]], str]


class RecordingServer(NamedTuple):
    """A running server."""

    model: str
    """Name on the command line."""
    bodies: list[dict[str, Any]]
    """Bodies of all requests so far."""


@contextmanager
def serve(answer: Answer) -> Iterator[RecordingServer]:
    """Run the server until the block ends."""
    bodies: list[dict[str, Any]] = []

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            bodies.append(body)
            message = {"role": "assistant", "content": answer(body)}
            usage = {"prompt_tokens": 1, "completion_tokens": 1}
            response = {
                "model": "standin",
                "choices": [{"message": message, "finish_reason": "stop"}],
                "usage": usage,
            }
            raw = json.dumps(response).encode()
            self.send_response(200)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(raw)))
            self.end_headers()
            self.wfile.write(raw)

        def log_message(self, *arguments: object) -> None:
            pass

    server = Server(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield RecordingServer(f"server:http://127.0.0.1:{server.server_port}/v1#standin", bodies)
    finally:
        server.shutdown()
        server.server_close()


def content(body: dict[str, Any]) -> list[dict[str, Any]]:
    """Return the parts of the last message."""
    parts: list[dict[str, Any]] = body["messages"][-1]["content"]
    return parts
