"""A small chat server that fails as scripted, call by call."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler
from types import TracebackType
from typing import Any, NamedTuple, TypeAlias

from tests.support.servers import Server


class Call(NamedTuple):
    """A request that the server received."""

    number: int
    """Index of the call, from 0."""
    body: dict[str, Any]
    headers: dict[str, str]

    @property
    def text(self) -> str:
        """The text of the last message."""
        return str(self.body["messages"][-1]["content"])


class Answer(NamedTuple):
    """A response; `closes_connection`: the server closes the connection instead."""

    status: int = 200
    body: bytes = b""
    headers: tuple[tuple[str, str], ...] = ()
    closes_connection: bool = False


Behaviour: TypeAlias = Callable[[Call], Answer]


def completion(text: str | None, *, finish: str = "stop", **message: Any) -> Answer:
    """Return a chat completion."""
    choice = {
        "index": 0,
        "message": {"role": "assistant", "content": text, **message},
        "finish_reason": finish,
    }
    usage = {"prompt_tokens": 10, "completion_tokens": 5}
    return Answer(200, json.dumps({"model": "faulty", "choices": [choice], "usage": usage}).encode())


def error(status: int, message: str = "as scripted", **headers: str) -> Answer:
    """Return an error in OpenAI's format."""
    return Answer(status, json.dumps({"error": {"message": message}}).encode(), tuple(headers.items()))


GOOD = completion("ANSWER: A")
CLOSED_CONNECTION = Answer(closes_connection=True)
TRUNCATED_JSON = Answer(200, GOOD.body[:40])
HTML = Answer(200, b"<html><body>Sign in</body></html>", (("Content-Type", "text/html"),))
NULL = completion(None)
ERROR_200 = Answer(200, b'{"error": {"message": "out of memory", "code": 500}}')


class FaultyServer:
    """A server in a thread; a context manager."""

    def __init__(self, behave: Behaviour | Answer, *, serves: tuple[str, ...] = ("faulty",)) -> None:
        self.behave: Behaviour = behave if not isinstance(behave, Answer) else lambda call: behave
        self.serves = serves
        self.calls: list[Call] = []
        self._lock = threading.Lock()
        self._server = Server(("127.0.0.1", 0), _handler(self))
        self.port = self._server.server_address[1]

    @property
    def model(self) -> str:
        """Return the model's name for the command line."""
        return f"server:http://127.0.0.1:{self.port}/v1#faulty"

    def answer(self, path: str, body: bytes, headers: dict[str, str]) -> Answer:
        if not path.endswith("/v1/chat/completions"):
            return error(404, f"no such path: {path}")
        with self._lock:
            call = Call(len(self.calls), json.loads(body), headers)
            self.calls.append(call)
        return self.behave(call)

    def __enter__(self) -> FaultyServer:
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,))
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


def _handler(server: FaultyServer) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            served = [{"id": name} for name in server.serves]
            self._send(Answer(200, json.dumps({"data": served}).encode()))

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            self._send(server.answer(self.path, body, dict(self.headers)))

        def _send(self, answer: Answer) -> None:
            self.close_connection = answer.closes_connection
            if answer.closes_connection:
                return
            self.send_response(answer.status)
            for name, value in answer.headers:
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(answer.body)))
            self.end_headers()
            self.wfile.write(answer.body)

        def log_message(self, format: str, *args: Any) -> None:
            """Log nothing."""

    return Handler
