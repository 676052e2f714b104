"""The HTTP server shared by all fake servers that run in a thread.

`faults` fails as scripted, `recording_server` records requests, `logprob_server` returns log-likelihoods, `batch_vendors` has
batch endpoints, `hub` rejects downloads. Two others do not use it: `loopback` runs on the test's own event loop, and `standin`
is a separate process.
"""

from __future__ import annotations

import sys
from http.server import ThreadingHTTPServer
from typing import Any


class Server(ThreadingHTTPServer):
    """A server in daemon threads that does not log disconnected clients."""

    daemon_threads = True
    request_queue_size = 256  # with the default of 5, a burst of connections waits a second

    def handle_error(self, request: Any, client_address: Any) -> None:
        if not isinstance(sys.exception(), ConnectionError):
            super().handle_error(request, client_address)
