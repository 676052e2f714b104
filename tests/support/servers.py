"""The HTTP server under every fake one that runs in a thread; what it answers is the handler's.

`faults` misbehaves as told, `listening` keeps what it was asked, `telling` has likelihoods, `batch_vendors` has batch
endpoints, `hub` refuses weights. Apart from them: `loopback` runs on the test's own event loop, `standin` is a process.
"""

from __future__ import annotations

import sys
from http.server import ThreadingHTTPServer
from typing import Any


class Server(ThreadingHTTPServer):
    """Threads that end with the tests; a client that has gone is no fault of the server, and not told."""

    daemon_threads = True
    request_queue_size = 256  # with the library's 5, a burst of connections waits a second

    def handle_error(self, request: Any, client_address: Any) -> None:
        if not isinstance(sys.exception(), ConnectionError):
            super().handle_error(request, client_address)
