"""Untrusted results folders in the dashboard: broken cards, truncated files, paths with wildcards, foreign hosts."""

from __future__ import annotations

import json
import shutil
import socket
import subprocess
import sys
import time
from http.client import HTTPConnection
from pathlib import Path

import pytest

from tests.support.dashboard_runs import run
from tests.support.pages import free_port, wait_for
from tests.support.paths import ROOT

pytest.importorskip("streamlit", reason="the extra `dashboard` is not installed")

from streamlit.testing.v1 import AppTest

from evals.dashboard import hosts, state
from evals.dashboard.tables import frames
from evals.errors import StoreError
from evals.records import store
from tests.support.error_messages import raises
from tests.support.tables import table

pytestmark = pytest.mark.slow  # rendering a page takes about a second


@pytest.fixture(scope="module")
def intact_results(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("runs") / "results"
    for name in ("good", "other", "bad"):
        run(folder, "mmlu-pro", "sometimes", name)
    return folder


def break_run(intact_results: Path, tmp_path: Path, fault: str) -> Path:
    """Copy a results folder, give the run `bad` a fault, and return the copy."""
    results = tmp_path / "results"
    shutil.copytree(intact_results, results)
    (run_folder,) = results.glob("*/*/bad")
    card = json.loads((run_folder / "card.json").read_text())
    match fault:
        case "year 5138":
            card["started"] = 1e11
        case "1e300 seconds":
            card["finished"] = 1e300
        case "repeats":
            card["config"]["repeats"] = 10**9
        case "truncated records":
            (run_folder / "records.parquet").write_bytes((run_folder / "records.parquet").read_bytes()[:-200])
        case "truncated records of an older run":
            (run_folder / "records.parquet").write_bytes((run_folder / "records.parquet").read_bytes()[:-200])
            card["files"] = {}
        case "no samples":
            (run_folder / "samples.parquet").unlink()
        case "records are a folder":
            (run_folder / "records.parquet").unlink()
            (run_folder / "records.parquet").mkdir()
            card["files"] = {}
    (run_folder / "card.json").write_text(json.dumps(card))
    return results


ALL_INTERFACES = "0.0.0.0"
FAULTS = (
    "year 5138",
    "truncated records",
    *(
        pytest.param(fault, marks=pytest.mark.slow)
        for fault in (
            "1e300 seconds",
            "repeats",
            "truncated records of an older run",
            "no samples",
            "records are a folder",
        )
    ),
)


@pytest.mark.parametrize("fault", FAULTS)
def test_a_broken_run_is_reported_and_the_other_runs_are_listed(
    intact_results: Path, tmp_path: Path, fault: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    results = break_run(intact_results, tmp_path, fault)
    index = frames.index(results)
    assert [run.path.name for run in index.broken] == ["bad"]
    assert {run.card.run for run in index.entries} == {"good", "other"}
    monkeypatch.setenv(state.RESULTS_VARIABLE, str(results))
    for page in ("leaderboard", "suite", "sample", "runs"):
        app = AppTest.from_file(str(ROOT / "dashboard" / "app.py"), default_timeout=120).run()
        app.switch_page(state.PAGES[page][0]).run()
        assert not app.exception, (page, app.exception)
        app.query_params["run"] = "bad"
        app.run()
        assert not app.exception, (page, app.exception)


def test_large_folders_are_listed_before_their_files_are_checked(
    intact_results: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    results = tmp_path / "results"
    shutil.copytree(intact_results, results, copy_function=shutil.copyfile)
    (run_folder,) = results.glob("*/*/bad")
    content = bytearray((run_folder / "records.parquet").read_bytes())
    content[len(content) // 2] ^= 1
    (run_folder / "records.parquet").write_bytes(content)
    monkeypatch.setattr(frames, "MAX_CHECKED_BYTES", 0)
    checked: list[Path] = []
    check = store.check
    monkeypatch.setattr(store, "check", lambda path, *card: (checked.append(path), check(path, *card))[1])
    assert not frames.index(results).broken
    for _ in range(600):
        if (index := frames.index(results)).broken and len(checked) == 3:
            break
        time.sleep(0.05)
    assert [run.path.name for run in index.broken] == ["bad"]
    assert {run.card.run for run in index.entries} == {"good", "other"}
    assert len(checked) == 3  # each run once


def test_missing_files_are_reported_before_any_file_is_checked(
    intact_results: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(frames, "MAX_CHECKED_BYTES", 0)
    results = break_run(intact_results, tmp_path, "no samples")
    assert [run.path.name for run in frames.index(results).broken] == ["bad"]


def test_a_card_without_the_hash_of_its_upstream_prompts_breaks_no_page(
    intact_results: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    results = tmp_path / "results"
    shutil.copytree(intact_results, results)
    (run_folder,) = results.glob("*/*/bad")
    card = json.loads((run_folder / "card.json").read_text())
    (run_folder / "card.json").write_text(json.dumps(card | {"wording": {"odd": "1"}}))
    assert not frames.index(results).broken
    monkeypatch.setenv(state.RESULTS_VARIABLE, str(results))
    app = AppTest.from_file(str(ROOT / "dashboard" / "app.py"), default_timeout=120).run()
    app.switch_page(state.PAGES["runs"][0]).run()
    app.query_params["run"] = "bad"
    app.run()
    assert not app.exception, app.exception


@pytest.mark.parametrize("name", ["a*b", "wh?t", "[ab]", "verdict=right", "it's", "a**/b"])
def test_paths_are_not_read_as_wildcards_or_column_names(
    intact_results: Path, tmp_path: Path, name: str
) -> None:
    results = tmp_path / name / "results"
    shutil.copytree(intact_results, results)
    decoy = tmp_path / "aXb" / "results"
    shutil.copytree(intact_results, decoy)
    (run_folder,) = results.glob("*/*/good") if "*" not in name else list(results.rglob("good"))
    counts = frames.query(run_folder, "SELECT count(*) AS n, count(DISTINCT verdict) AS kinds FROM records")
    expected = frames.query(
        decoy / run_folder.relative_to(results),
        "SELECT count(*) AS n, count(DISTINCT verdict) AS kinds FROM records",
    )
    assert counts.to_dict() == expected.to_dict()
    assert len(frames.query(run_folder, "SELECT * FROM samples"))


def test_querying_a_changed_file_is_an_error(intact_results: Path, tmp_path: Path) -> None:
    results = break_run(intact_results, tmp_path, "truncated records")
    (run_folder,) = results.glob("*/*/bad")
    with raises(StoreError):
        frames.query(run_folder, "SELECT * FROM records")


@table(
    ("host", "address", "is_this_machine"),
    [
        ("localhost:8501", "127.0.0.1", True),
        ("127.0.0.1:8501", "127.0.0.1", True),
        ("[::1]:8501", "::1", True),
        ("evil.example:8501", "127.0.0.1", False),
        ("localhost.evil.example", "127.0.0.1", False),
        ("evil.example", ALL_INTERFACES, False),
        ("192.0.2.7:8501", ALL_INTERFACES, True),
        ("192.0.2.7:8501", "127.0.0.1", False),
        ("192.0.2.7", "192.0.2.7", True),
        ("", "127.0.0.1", False),
        ("[x", "127.0.0.1", False),
        (socket.gethostname(), ALL_INTERFACES, True),
    ],
)
def test_only_host_names_of_this_machine_are_accepted(host: str, address: str, is_this_machine: bool) -> None:
    assert hosts.names_this_machine(host, address) is is_this_machine


def test_foreign_host_names_are_refused_and_settings_in_the_working_directory_are_ignored(
    intact_results: Path, tmp_path: Path
) -> None:
    (tmp_path / ".streamlit").mkdir()
    (tmp_path / ".streamlit" / "config.toml").write_text(
        "[server]\nenableCORS = false\nenableXsrfProtection = false\nenableStaticServing = true\nbaseUrlPath = 'foreign'\n"
    )
    port = free_port()
    command = [
        sys.executable,
        "-c",
        "from evals.cli import main; main()",
        "dashboard",
        "--results",
        str(intact_results),
    ]
    process = subprocess.Popen([*command, "--no-browser", "--port", str(port)], cwd=tmp_path)
    try:
        wait_for(port)
        statuses = {}
        for name, headers in {
            "own": {"Host": f"localhost:{port}"},
            "rebound": {"Host": f"evil.example:{port}", "Origin": f"http://evil.example:{port}"},
            "foreign origin": {"Host": f"localhost:{port}", "Origin": "https://evil.example"},
        }.items():
            connection = HTTPConnection("127.0.0.1", port, timeout=20)
            connection.request("GET", "/_stcore/health", headers=headers)
            statuses[name] = connection.getresponse().status
            connection.close()
        assert statuses == {"own": 200, "rebound": 403, "foreign origin": 403}
    finally:
        process.terminate()
        process.wait(20)
