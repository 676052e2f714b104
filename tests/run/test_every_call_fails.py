"""Runs in which every call fails end early and are listed with their counts."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from evals.run import caller
from tests.support.command import evals
from tests.support.faults import CLOSED_CONNECTION, HTML, FaultyServer, error


@pytest.fixture
def silent() -> Iterator[int]:
    """A port that accepts connections and never sends a byte."""
    connections = []
    with closing(socket.create_server(("127.0.0.1", 0))) as listener:

        def accept() -> None:
            while True:
                try:
                    connections.append(listener.accept()[0])
                except OSError:
                    return

        threading.Thread(target=accept, daemon=True).start()
        yield listener.getsockname()[1]
    for connection in connections:
        connection.close()


def test_a_run_ends_early_if_the_server_accepts_calls_but_never_answers(
    here: Path, silent: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert caller.SILENCE_S + caller.PROBE_S < 120
    monkeypatch.setattr(caller, "SILENCE_S", 0.3)
    monkeypatch.setattr(caller, "PROBE_S", 0.3)
    began = time.monotonic()
    outcome = evals("run", "mmlu-pro", "--sample", "-m", f"server:http://127.0.0.1:{silent}/v1#m")
    assert time.monotonic() - began < 20
    outcome.assert_usage_error()
    (run,) = evals("show", "--json").json["runs"]
    assert run["counts"]["failed:timeout"] >= 1
    assert run["counts"].get("absent", 0) == run["expected"] - run["counts"]["failed:timeout"]
    assert run["status"] == "partial"


@pytest.mark.parametrize(
    ("answer", "kind"),
    [(error(400, "no such field"), "rejected"), (error(500), "serverfault"), (HTML, "badreply"), (CLOSED_CONNECTION, "disconnected")],
    ids=["400", "500", "HTML", "closed connection"],
)  # fmt: skip
def test_a_server_that_fails_every_call_leaves_a_run_with_its_counts(
    here: Path, monkeypatch: pytest.MonkeyPatch, answer: object, kind: str
) -> None:
    monkeypatch.setattr("evals.calls.backoff.FIRST_S", 0.001)
    with FaultyServer(lambda call: answer) as server:
        outcome = evals("run", "mmlu-pro", "--sample", "-m", server.model)
    outcome.assert_usage_error()
    (run,) = evals("show", "--json").json["runs"]
    assert run["counts"][f"failed:{kind}"] >= 8
    assert run["coverage"] == 0
