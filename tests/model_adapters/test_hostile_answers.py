"""Malformed and huge responses that could break a client: each makes one call fail, with a message of one line.

The server is a bare socket, as no HTTP library would send these.
"""

from __future__ import annotations

import gzip
import json
import resource
import socket
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from itertools import chain, repeat
from pathlib import Path

import pytest

from evals.errors import BadReply, Disconnected, ModelError, Rejected
from evals.model_adapters.common import fetch, http
from evals.model_adapters.server import Server
from evals.prompts import ask
from evals.records.store import Run
from evals.types import Failure, Sampling
from tests.support.command import evals
from tests.support.error_messages import raises
from tests.support.faults import Answer, FaultyServer

MEGABYTE = b"a" * (1 << 20)
JSON_HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"


def response(raw: bytes, head: bytes = JSON_HEAD) -> tuple[bytes, ...]:
    """Return a response in two pieces: the head and the body."""
    return (head + b"Content-Length: %d\r\n\r\n" % len(raw), raw)


ENDLESS = (JSON_HEAD + b'\r\n{"choices": "', MEGABYTE)
"""The server repeats the last piece until the client disconnects."""
GZIP_BOMB = gzip.compress(b'{"choices": "' + b"a" * (80 << 20), 1)
NESTED_JSON = b'{"choices": [], "error": ' + b'{"a":' * 100_000 + b"1" + b"}" * 100_001

Pieces = tuple[bytes, ...]
ANSWERS: dict[str, tuple[Pieces, type[ModelError]]] = {
    "not HTTP": ((b"SSH-2.0-OpenSSH_9.3\r\n",), Disconnected),
    "a header of 5 MB": ((JSON_HEAD + b"X: " + 5 * MEGABYTE + b"\r\n\r\n",), Disconnected),
    "20,000 headers": ((JSON_HEAD + b"X: y\r\n" * 20_000 + b"\r\n",), Disconnected),
    "a broken chunk": ((JSON_HEAD + b"Transfer-Encoding: chunked\r\n\r\nZZZ\r\n{}",), Disconnected),
    "an endless body": (ENDLESS, BadReply),
    "an endless error": ((b"HTTP/1.1 400 No\r\n\r\n", MEGABYTE), BadReply),
    "80 MB in 400 kB of gzip": (response(GZIP_BOMB, JSON_HEAD + b"Content-Encoding: gzip\r\n"), BadReply),
    "nested 100,000 deep": (response(NESTED_JSON), BadReply),
    "an error nested 100,000 deep": (response(NESTED_JSON, b"HTTP/1.1 400 No\r\n"), Rejected),
    "invalid UTF-8": (response(b'{"choices": [{"message": {"content": "\xff\xfe"}}]}'), BadReply),
}


@pytest.fixture
def start_server() -> Iterator[Callable[[Pieces], str]]:
    """Yield a function that starts a server which answers every request with these pieces, and returns its base URL."""
    listeners: list[socket.socket] = []

    def start(pieces: Pieces) -> str:
        listener = socket.create_server(("127.0.0.1", 0))
        listeners.append(listener)
        threading.Thread(target=_serve, args=(listener, pieces), daemon=True).start()
        return f"http://127.0.0.1:{listener.getsockname()[1]}/v1"

    yield start
    for listener in listeners:
        listener.close()


def _serve(listener: socket.socket, pieces: Pieces) -> None:
    endless: Iterable[bytes] = repeat(MEGABYTE) if pieces[-1] is MEGABYTE else ()
    with suppress(OSError):
        while True:
            connection, _ = listener.accept()
            with connection, suppress(OSError):
                connection.recv(1 << 16)
                for piece in chain(pieces, endless):
                    connection.sendall(piece)


@pytest.mark.parametrize("case", ANSWERS)
async def test_a_hostile_response_makes_one_call_fail(
    case: str, start_server: Callable[[Pieces], str]
) -> None:
    pieces, error_type = ANSWERS[case]
    model = Server("m", base=start_server(pieces))
    before_kb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with raises(ModelError) as caught:
        await model.reply(ask("What is 2 + 2?"), Sampling())
    await model.close()
    assert type(caught.value) is error_type
    assert len(str(caught.value)) < 1000
    assert "\n" not in str(caught.value)
    growth_kb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before_kb
    assert growth_kb < 3 * http.MAX_RESPONSE_BYTES / 1024


@pytest.mark.parametrize("case", ["not HTTP", "a header of 5 MB", "a broken chunk", "an endless body"])
def test_a_hostile_response_makes_a_call_outside_the_event_loop_fail(
    case: str, start_server: Callable[[Pieces], str]
) -> None:
    with raises(OSError):
        fetch.fetch(start_server(ANSWERS[case][0]))


@pytest.mark.parametrize(
    ("pieces", "length"),
    [
        (response(b"no such key", b"HTTP/1.1 401 No\r\n"), 11),
        (ANSWERS["an endless error"][0], fetch.MAX_ERROR_BYTES),
    ],
    ids=["short", "endless"],
)
def test_the_body_of_an_error_is_read_up_to_a_limit(
    pieces: Pieces, length: int, start_server: Callable[[Pieces], str]
) -> None:
    with raises(fetch.HttpStatusError) as caught:
        fetch.fetch(start_server(pieces))
    assert len(caught.value.body) == length


@pytest.mark.parametrize("tokens", [-1_000_000, 10**30, 10**400], ids=["below 0", "10^30", "10^400"])
def test_an_impossible_token_count_is_recorded_as_unknown(here: Path, tokens: int) -> None:
    choice = {"message": {"role": "assistant", "content": "ANSWER: A"}, "finish_reason": "stop"}
    usage = f'{{"prompt_tokens": {tokens}, "completion_tokens": 5}}'
    raw = f'{{"choices": [{json.dumps(choice)}], "usage": {usage}}}'.encode()
    with FaultyServer(Answer(200, raw)) as server:
        outcome = evals("run", "mmlu-pro", "--sample", "-m", server.model, "--price", "1,1", "--json")
    (run,) = outcome.json["runs"]
    assert (outcome.status, run["coverage"]) == (0, 1.0)
    for record in Run(next(here.glob("results/*/*/*"))).records():
        assert not isinstance(record.outcome, Failure)
        assert (record.outcome.usage.input, record.outcome.usage.output) == (None, 5)
