"""The HTTP server of all fake servers that run in a thread; responses come from their handlers.

`faults` fails as scripted, `recording_server` records requests, `logprob_server` returns log-likelihoods, `batch_vendors` has batch
endpoints, `hub` rejects downloads. Apart from them: `loopback` runs on the test's own event loop, `standin` is a process.
"""

from __future__ import annotations

import sys
from http.server import ThreadingHTTPServer
from typing import Any


class Server(ThreadingHTTPServer):
    """Runs in daemon threads; disconnects of clients are not logged."""

    daemon_threads = True
    request_queue_size = 256  # with the library's 5, a burst of connections waits a second

    def handle_error(self, request: Any, client_address: Any) -> None:
        if not isinstance(sys.exception(), ConnectionError):
            super().handle_error(request, client_address)
