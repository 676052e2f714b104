"""`evals dashboard`: starts without a question, ends on request, binds to loopback, says what is missing."""

from __future__ import annotations

import signal
import socket
import time
from contextlib import closing
from http.client import HTTPConnection
from pathlib import Path

import pytest

from evals.commands import dashboard
from tests.support import command

pytest.importorskip("streamlit", reason="the extra `dashboard` is not installed")


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def wait_for(port: int, *, timeout_s: float = 30) -> None:
    end = time.monotonic() + timeout_s
    while True:
        try:
            with closing(HTTPConnection("127.0.0.1", port, timeout=2)) as connection:
                connection.request("GET", "/_stcore/health")
                assert connection.getresponse().read() == b"ok"
            return
        except OSError:
            if time.monotonic() > end:
                raise
            time.sleep(0.1)


def test_without_the_extra_it_says_what_to_install(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (here / "results").mkdir()
    monkeypatch.setattr(dashboard, "find_spec", lambda name: None)
    complaint = command.evals("dashboard").error_line
    assert "[dashboard]'" in complaint


def test_without_a_results_folder_it_says_what_makes_one(here: Path) -> None:
    assert "no results folder at results" in command.evals("dashboard").error_line


def test_a_taken_port_is_one_line(here: Path) -> None:
    (here / "results").mkdir()
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        assert f"cannot listen on 127.0.0.1:{port}" in command.evals("dashboard", "--port", port).error_line


def test_an_address_that_is_not_ours_is_one_line(here: Path) -> None:
    (here / "results").mkdir()
    assert "cannot listen on 203.0.113.7" in command.evals("dashboard", "--address", "203.0.113.7").error_line


@pytest.mark.slow
@pytest.mark.parametrize("ending", [signal.SIGTERM, signal.SIGINT])
def test_it_serves_from_an_empty_home_and_ends_on_request(here: Path, ending: signal.Signals) -> None:
    (here / "results").mkdir()
    (here / "home").mkdir()
    port = free_port()
    env = {"PATH": "/usr/bin:/bin", "HOME": str(here / "home")}
    served = command.start("dashboard", "--port", port, "--no-browser", cwd=here, env=env)
    try:
        wait_for(port)
        served.send_signal(ending)
        done = command.wait(served, timeout_s=15)
    finally:
        served.kill()
    assert done.status in (0, 130)
    assert f"http://localhost:{port}" in done.err
    assert "Traceback" not in done.err
    with pytest.raises(OSError, match="refused"):
        wait_for(port, timeout_s=0)
    assert list((here / "results").iterdir()) == []
