"""A fake Hugging Face hub without downloadable weights: they are gated, missing, or need custom code.

`org/gated` rejects every token; `org/coded` has a configuration with custom code, or, as a data set, an `eval.yaml`;
nothing else exists. Statuses and headers are those of huggingface.co.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler
from typing import Any

from tests.support.servers import Server

CONFIG = {
    "model_type": "strange-s1",
    "architectures": ["StrangeModel"],
    "auto_map": {
        "AutoConfig": "configuration_strange.Strange",
        "AutoModelForCausalLM": "strange.StrangeModel",
    },
}

TASKS = b"name: Strange\ntasks:\n- id: coded/easy\n- id: coded/hard\n"
"""The `eval.yaml` of a data set that is registered as a benchmark."""


class Handler(BaseHTTPRequestHandler):
    def log_message(self, *args: Any) -> None:
        pass

    def do_GET(self) -> None:
        file = self.path.rpartition("/")[2]
        if "/gated" in self.path:
            self.reject(
                403 if "Authorization" in self.headers else 401, "GatedRepo", "Access to it is restricted."
            )
        elif "/coded" not in self.path:
            self.reject(401, "RepoNotFound", "Invalid username or password.")
        elif self.path.startswith("/api/models/org/coded/tree/"):
            files = [{"type": "file", "path": "config.json", "size": 1, "oid": "a" * 40}]
            self.answer(200, json.dumps(files).encode(), {})
        elif self.path.startswith("/api/models/org/coded"):
            info = {"id": "org/coded", "sha": "a" * 40, "siblings": [{"rfilename": "config.json"}]}
            self.answer(200, json.dumps(info).encode(), {})
        elif file == "eval.yaml":
            self.answer(200, TASKS, {"X-Repo-Commit": "a" * 40, "ETag": '"two"'})
        elif file != "config.json":
            self.reject(404, "EntryNotFound", "Entry not found")
        else:
            self.answer(200, json.dumps(CONFIG).encode(), {"X-Repo-Commit": "a" * 40, "ETag": '"one"'})

    def do_HEAD(self) -> None:
        self.do_GET()

    def reject(self, status: int, code: str, message: str) -> None:
        self.answer(status, b"", {"X-Error-Code": code, "X-Error-Message": message})

    def answer(self, status: int, body: bytes, headers: dict[str, str]) -> None:
        self.send_response(status)
        for name, value in (headers | {"Content-Length": str(len(body))}).items():
            self.send_header(name, value)
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(body)


@contextmanager
def serve() -> Iterator[str]:
    """Start the server; yields its address for HF_ENDPOINT."""
    server = Server(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        server.server_close()


REJECTIONS = {
    "org/gated": "its weights are gated: accept their terms on the hub and set HF_TOKEN",
    "org/coded": "it needs to run code from the weights' repository: add --trust-remote-code if you trust its authors",
    "nobody/nothing": "no such model on the hub (if it is private, set HF_TOKEN)",
}
"""Name of the weights -> expected message."""
