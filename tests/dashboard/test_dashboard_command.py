"""`evals dashboard`: starts without prompting, stops on a signal, binds to loopback, and reports what is missing."""

from __future__ import annotations

import signal
import socket
from pathlib import Path

import pytest

from evals.commands import dashboard
from tests.support import command
from tests.support.pages import free_port, wait_for

pytest.importorskip("streamlit", reason="the extra `dashboard` is not installed")


def test_the_error_without_the_extra_names_what_to_install(
    here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (here / "results").mkdir()
    monkeypatch.setattr(dashboard, "find_spec", lambda name: None)
    command.evals("dashboard").assert_usage_error()


def test_a_missing_results_folder_is_an_error(here: Path) -> None:
    command.evals("dashboard").assert_usage_error()


def test_a_port_in_use_is_a_one_line_error(here: Path) -> None:
    (here / "results").mkdir()
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        port = listener.getsockname()[1]
        command.evals("dashboard", "--port", port).assert_usage_error()


def test_an_address_of_another_machine_is_a_one_line_error(here: Path) -> None:
    (here / "results").mkdir()
    command.evals("dashboard", "--address", "203.0.113.7").assert_usage_error()


def test_an_ipv6_address_is_printed_in_brackets(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (here / "results").mkdir()
    monkeypatch.setattr(dashboard, "_free_port", lambda address, port: 8501)
    monkeypatch.setattr(dashboard, "_serve", lambda *arguments: None)
    outcome = command.evals("dashboard", "--address", "2001:db8::1", "--no-browser")
    assert "http://[2001:db8::1]:8501 " in outcome.err


def test_an_address_that_is_no_host_name_is_a_one_line_error(here: Path) -> None:
    (here / "results").mkdir()
    command.evals("dashboard", "--address", "ü..b").assert_usage_error()


@pytest.mark.slow
@pytest.mark.parametrize("signal_number", [signal.SIGTERM, signal.SIGINT])
def test_the_dashboard_serves_from_an_empty_home_and_stops_on_a_signal(
    here: Path, signal_number: signal.Signals
) -> None:
    (here / "results").mkdir()
    (here / "home").mkdir()
    port = free_port()
    env = {"PATH": "/usr/bin:/bin", "HOME": str(here / "home")}
    server = command.start("dashboard", "--port", port, "--no-browser", cwd=here, env=env)
    try:
        wait_for(port, timeout_s=30)
        server.send_signal(signal_number)
        outcome = command.wait(server, timeout_s=15)
    finally:
        server.kill()
    assert outcome.status in (0, 130)
    assert f"http://localhost:{port}" in outcome.err
    assert "Traceback" not in outcome.err
    with pytest.raises(ConnectionRefusedError):
        wait_for(port, timeout_s=0)
    assert list((here / "results").iterdir()) == []


@pytest.mark.slow
def test_the_dashboard_stops_on_a_signal_after_its_output_was_closed(here: Path) -> None:
    (here / "results").mkdir()
    port = free_port()
    server = command.start("dashboard", "--port", port, "--no-browser", cwd=here)
    try:
        wait_for(port, timeout_s=30)
        for stream in (server.stdout, server.stderr):
            if stream is not None:
                stream.close()
        server.send_signal(signal.SIGTERM)
        assert server.wait(15) in (0, 130)
    finally:
        server.kill()
