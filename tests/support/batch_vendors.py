"""Stand-ins for the batch endpoints of OpenAI and Anthropic, on one loopback server that records requests.

`test_batch.py` also calls them through the vendors' own SDKs, which shows that they follow the vendors' protocols.
"""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime
from email.parser import BytesParser
from email.policy import HTTP
from http.server import BaseHTTPRequestHandler
from types import TracebackType
from typing import Any
from urllib.parse import parse_qs, urlsplit

from tests.support import protocols
from tests.support.protocols import Completion
from tests.support.servers import Server

Body = dict[str, Any]
Result = Completion | tuple[int, Body] | str | None
"""A reply, (status, error body), `expired`, or None: no result."""


class Vendor:
    """A server in a thread; a context manager."""

    def __init__(self) -> None:
        self.answers: Callable[[str], Result] = lambda text: Completion(f"ANSWER: {text.split()[-1]}")
        """Text of the last message -> result."""
        self.done = True
        """Whether batches end immediately."""
        self.rejection = ""
        """Why every batch is rejected; empty if none is."""
        self.on_create: Callable[[], None] = lambda: None
        """Called after a batch is created and before the response is sent."""
        self.damage: Callable[[bytes], bytes] = lambda raw: raw
        """Applied to each file of results."""
        self.next_errors: list[int] = []
        """Error statuses of the next calls, in order."""
        self.files: dict[str, bytes] = {}
        self.batches: dict[str, Body] = {}
        self.request_texts: list[str] = []
        """Text of every request in every batch."""
        self.paths: list[str] = []
        self._server = Server(("127.0.0.1", 0), _handler(self))
        self.base = f"http://127.0.0.1:{self._server.server_address[1]}"

    def __enter__(self) -> Vendor:
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,))
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    # --- OpenAI ---

    def upload(self, kind: str, raw: bytes) -> Body:
        message = BytesParser(policy=HTTP).parsebytes(f"Content-Type: {kind}\r\n\r\n".encode() + raw)
        parts = {part.get_param("name", header="content-disposition"): part for part in message.iter_parts()}
        assert parts["purpose"].get_content().strip() == "batch"
        name = f"file-{len(self.files)}"
        content = parts["file"].get_payload(decode=True)
        assert isinstance(content, bytes)
        self.files[name] = content
        return {
            "id": name,
            "object": "file",
            "bytes": len(self.files[name]),
            "created_at": int(time.time()),
            "filename": parts["file"].get_filename(),
            "purpose": "batch",
            "status": "processed",
        }

    def create(self, body: Body) -> Body:
        assert body["endpoint"] == "/v1/chat/completions"
        assert body["completion_window"] == "24h"
        lines = [json.loads(line) for line in self.files[body["input_file_id"]].splitlines()]
        assert len({line["custom_id"] for line in lines}) == len(lines)
        assert all((line["method"], line["url"]) == ("POST", "/v1/chat/completions") for line in lines)
        self.request_texts += [line["body"]["messages"][-1]["content"] for line in lines]
        name = f"batch_{len(self.batches)}"
        self.batches[name] = {
            "id": name,
            "object": "batch",
            "endpoint": body["endpoint"],
            "input_file_id": body["input_file_id"],
            "completion_window": "24h",
            "created_at": int(time.time()),
            "metadata": body.get("metadata"),
            "lines": lines,
        }
        self.on_create()
        return self.openai(name)

    def openai(self, name: str) -> Body:
        batch = dict(self.batches[name])
        lines = batch.pop("lines")
        if self.rejection:
            fault = {"code": "x", "message": self.rejection, "line": None}
            return batch | {"status": "failed", "errors": {"object": "list", "data": [fault]}}
        if not self.done:
            return batch | {
                "status": "in_progress",
                "request_counts": {"total": len(lines), "completed": 0, "failed": 0},
            }
        results = [
            (line["custom_id"], self.answers(line["body"]["messages"][-1]["content"])) for line in lines
        ]
        lines_by_file: dict[bool, list[str]] = {True: [], False: []}
        for id_, result in results:
            if result is not None:
                lines_by_file[isinstance(result, Completion)].append(_openai_line(id_, result))
        replies, errors = lines_by_file[True], lines_by_file[False]
        self.files[f"{name}-out"], self.files[f"{name}-err"] = (
            "\n".join(x).encode() for x in (replies, errors)
        )
        expired = any(result == "expired" for _, result in results)
        return batch | {
            "status": "expired" if expired else "completed",
            "output_file_id": f"{name}-out" if replies else None,
            "error_file_id": f"{name}-err" if errors else None,
            "request_counts": {"total": len(lines), "completed": len(replies), "failed": len(errors)},
        }

    # --- Anthropic ---

    def create_messages(self, body: Body) -> Body:
        lines = body["requests"]
        assert len({line["custom_id"] for line in lines}) == len(lines)
        assert all(0 < len(line["custom_id"]) <= 64 for line in lines)
        self.request_texts += [line["params"]["messages"][-1]["content"] for line in lines]
        name = f"msgbatch_{len(self.batches)}"
        self.batches[name] = {"created_at": datetime.now(tz=UTC).isoformat(), "lines": lines}
        self.on_create()
        return self.anthropic(name)

    def anthropic(self, name: str) -> Body:
        batch = self.batches[name]
        kinds = [json.loads(line)["result"]["type"] for line in self.results(name)] if self.done else []
        counts = {kind: kinds.count(kind) for kind in ("succeeded", "errored", "canceled", "expired")}
        return {
            "id": name,
            "type": "message_batch",
            "processing_status": "ended" if self.done else "in_progress",
            "request_counts": {"processing": 0 if self.done else len(batch["lines"]), **counts},
            "created_at": batch["created_at"],
            "expires_at": batch["created_at"],
            "ended_at": batch["created_at"] if self.done else None,
            "archived_at": None,
            "cancel_initiated_at": None,
            "results_url": f"https://elsewhere.example/{name}" if self.done else None,
        }

    def results(self, name: str) -> list[str]:
        lines = []
        for line in self.batches[name]["lines"]:
            result = self.answers(line["params"]["messages"][-1]["content"])
            if isinstance(result, Completion):
                outcome: Body = {"type": "succeeded", "message": protocols.anthropic_body(result)}
            elif isinstance(result, tuple):
                outcome = {"type": "errored", "error": result[1]}
            else:
                outcome = {"type": "expired"}
            lines.append(json.dumps({"custom_id": line["custom_id"], "result": outcome}))
        return lines[::-1]  # the vendor guarantees no order

    # --- both ---

    def listed(self, page: Callable[[str], Body], query: dict[str, list[str]]) -> Body:
        names = list(self.batches)[::-1]
        after = (query.get("after") or query.get("after_id") or [""])[0]
        names = names[names.index(after) + 1 :] if after else names
        page_names = names[:2]  # small pages
        return {
            "object": "list",
            "data": [page(name) for name in page_names],
            "has_more": len(names) > 2,
            "first_id": page_names[0] if page_names else None,
            "last_id": page_names[-1] if page_names else None,
        }

    def answer(self, method: str, target: str, kind: str, raw: bytes) -> tuple[int, Any]:
        url = urlsplit(target)
        self.paths.append(f"{method} {url.path}")
        if self.next_errors:
            return self.next_errors.pop(0), {"error": {"message": "as scripted"}}
        parts = url.path.strip("/").split("/")[1:]
        match method, parts:
            case "POST", ["files"]:
                return 200, self.upload(kind, raw)
            case "GET", ["files", name, "content"]:
                return 200, self.damage(self.files[name])
            case "POST", ["batches"]:
                return 200, self.create(json.loads(raw))
            case "GET", ["batches"]:
                return 200, self.listed(self.openai, parse_qs(url.query))
            case "GET", ["batches", name]:
                return 200, self.openai(name)
            case "POST", ["messages", "batches"]:
                return 200, self.create_messages(json.loads(raw))
            case "GET", ["messages", "batches"]:
                return 200, self.listed(self.anthropic, parse_qs(url.query))
            case "GET", ["messages", "batches", name]:
                return 200, self.anthropic(name)
            case "GET", ["messages", "batches", name, "results"]:
                return 200, self.damage("\n".join(self.results(name)).encode())
        return 404, {"error": {"message": f"no such path: {method} {url.path}"}}


def _openai_line(name: str, result: Completion | tuple[int, Body] | str) -> str:
    line: Body = {"id": f"r-{name}", "custom_id": name, "response": None, "error": None}
    if isinstance(result, str):
        message = "This request could not be executed before the completion window expired."
        line["error"] = {"code": "batch_expired", "message": message}
    else:
        status, body = (200, protocols.openai_body(result)) if isinstance(result, Completion) else result
        line["response"] = {"status_code": status, "request_id": "r", "body": body}
    return json.dumps(line)


def _handler(vendor: Vendor) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            self._serve("GET")

        def do_POST(self) -> None:
            self._serve("POST")

        def _serve(self, method: str) -> None:
            raw = self._body()
            status, response = vendor.answer(method, self.path, self.headers.get("Content-Type", ""), raw)
            body = response if isinstance(response, bytes) else json.dumps(response).encode()
            self.send_response(status)
            self.send_header(
                "Content-Type", "application/json" if body[:1] == b"{" else "application/x-jsonl"
            )
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def _body(self) -> bytes:
            if self.headers.get("Transfer-Encoding") != "chunked":
                return self.rfile.read(int(self.headers.get("Content-Length") or 0))
            body = b""
            while size := int(self.rfile.readline(), 16):
                body += self.rfile.read(size)
                self.rfile.readline()
            self.rfile.readline()
            return body

        def log_message(self, format: str, *args: Any) -> None:
            """Log nothing."""

    return Handler
