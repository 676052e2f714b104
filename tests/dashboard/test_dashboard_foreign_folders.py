"""Results folders of strangers in the dashboard: broken cards, cut files, paths that are patterns, foreign hosts."""

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
from tests.support.tables import table

pytestmark = pytest.mark.slow  # a page takes a second


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("made") / "results"
    for name in ("good", "other", "bad"):
        run(folder, "mmlu-pro", "sometimes", name)
    return folder


def broken(made: Path, tmp_path: Path, how: str) -> Path:
    results = tmp_path / "results"
    shutil.copytree(made, results)
    (bad,) = results.glob("*/*/bad")
    card = json.loads((bad / "card.json").read_text())
    match how:
        case "year 5138":
            card["started"] = 1e11
        case "1e300 seconds":
            card["finished"] = 1e300
        case "repeats":
            card["config"]["repeats"] = 10**9
        case "cut records":
            (bad / "records.parquet").write_bytes((bad / "records.parquet").read_bytes()[:-200])
        case "cut records of an older run":
            (bad / "records.parquet").write_bytes((bad / "records.parquet").read_bytes()[:-200])
            card["files"] = {}
        case "no samples":
            (bad / "samples.parquet").unlink()
        case "records are a folder":
            (bad / "records.parquet").unlink()
            (bad / "records.parquet").mkdir()
            card["files"] = {}
    (bad / "card.json").write_text(json.dumps(card))
    return results


EVERYWHERE = "0.0.0.0"
HOW = (
    "year 5138",
    "cut records",
    *(
        pytest.param(how, marks=pytest.mark.slow)
        for how in (
            "1e300 seconds",
            "repeats",
            "cut records of an older run",
            "no samples",
            "records are a folder",
        )
    ),
)


@pytest.mark.parametrize("how", HOW)
def test_a_broken_run_is_named_and_all_others_show(
    made: Path, tmp_path: Path, how: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    results = broken(made, tmp_path, how)
    found = frames.index(results)
    assert [one.path.name for one in found.broken] == ["bad"]
    assert {one.card.run for one in found.entries} == {"good", "other"}
    monkeypatch.setenv(state.RESULTS_VARIABLE, str(results))
    for page in ("leaderboard", "suite", "sample", "runs"):
        app = AppTest.from_file(str(ROOT / "dashboard" / "app.py"), default_timeout=120).run()
        app.switch_page(state.PAGES[page][0]).run()
        assert not app.exception, (page, app.exception)
        app.query_params["run"] = "bad"
        app.run()
        assert not app.exception, (page, app.exception)


def test_large_copies_are_listed_at_once_and_their_files_checked_later(
    made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    results = tmp_path / "results"
    shutil.copytree(made, results, copy_function=shutil.copyfile)
    (bad,) = results.glob("*/*/bad")
    altered = bytearray((bad / "records.parquet").read_bytes())
    altered[len(altered) // 2] ^= 1
    (bad / "records.parquet").write_bytes(altered)
    monkeypatch.setattr(frames, "MAX_CHECKED_BYTES", 0)
    read: list[Path] = []
    check = store.check
    monkeypatch.setattr(store, "check", lambda path, *card: (read.append(path), check(path, *card))[1])
    assert not frames.index(results).broken
    for _ in range(600):
        if (found := frames.index(results)).broken and len(read) == 3:
            break
        time.sleep(0.05)
    assert [one.path.name for one in found.broken] == ["bad"]
    assert {one.card.run for one in found.entries} == {"good", "other"}
    assert len(read) == 3  # once each


def test_files_that_are_missing_are_named_before_any_is_checked(
    made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(frames, "MAX_CHECKED_BYTES", 0)
    results = broken(made, tmp_path, "no samples")
    assert [one.path.name for one in frames.index(results).broken] == ["bad"]


def test_a_card_whose_wording_names_no_hash_breaks_no_page(
    made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    results = tmp_path / "results"
    shutil.copytree(made, results)
    (odd,) = results.glob("*/*/bad")
    card = json.loads((odd / "card.json").read_text())
    (odd / "card.json").write_text(json.dumps(card | {"wording": {"odd": "1"}}))
    assert not frames.index(results).broken
    monkeypatch.setenv(state.RESULTS_VARIABLE, str(results))
    app = AppTest.from_file(str(ROOT / "dashboard" / "app.py"), default_timeout=120).run()
    app.switch_page(state.PAGES["runs"][0]).run()
    app.query_params["run"] = "bad"
    app.run()
    assert not app.exception, app.exception


@pytest.mark.parametrize("name", ["a*b", "wh?t", "[ab]", "verdict=right", "it's", "a**/b"])
def test_a_path_is_no_pattern_and_no_column(made: Path, tmp_path: Path, name: str) -> None:
    results = tmp_path / name / "results"
    shutil.copytree(made, results)
    decoy = tmp_path / "aXb" / "results"
    shutil.copytree(made, decoy)
    (good,) = results.glob("*/*/good") if "*" not in name else list(results.rglob("good"))
    records = frames.query(good, "SELECT count(*) AS n, count(DISTINCT verdict) AS kinds FROM records")
    whole = frames.query(
        decoy / good.relative_to(results),
        "SELECT count(*) AS n, count(DISTINCT verdict) AS kinds FROM records",
    )
    assert records.to_dict() == whole.to_dict()
    assert len(frames.query(good, "SELECT * FROM samples"))


def test_a_changed_file_is_refused(made: Path, tmp_path: Path) -> None:
    results = broken(made, tmp_path, "cut records")
    (bad,) = results.glob("*/*/bad")
    with pytest.raises(StoreError, match=r"records\.parquet"):
        frames.query(bad, "SELECT * FROM records")


@table(
    ("host", "address", "ours"),
    [
        ("localhost:8501", "127.0.0.1", True),
        ("127.0.0.1:8501", "127.0.0.1", True),
        ("[::1]:8501", "::1", True),
        ("evil.example:8501", "127.0.0.1", False),
        ("localhost.evil.example", "127.0.0.1", False),
        ("evil.example", EVERYWHERE, False),
        ("192.0.2.7:8501", EVERYWHERE, True),
        ("192.0.2.7:8501", "127.0.0.1", False),
        ("192.0.2.7", "192.0.2.7", True),
        ("", "127.0.0.1", False),
        ("[x", "127.0.0.1", False),
        (socket.gethostname(), EVERYWHERE, True),
    ],
)
def test_only_names_of_this_machine_are_answered(host: str, address: str, ours: bool) -> None:
    assert hosts.names_this_machine(host, address) is ours


def test_a_foreign_name_gets_nothing_and_a_strangers_settings_are_not_read(
    made: Path, tmp_path: Path
) -> None:
    (tmp_path / ".streamlit").mkdir()
    (tmp_path / ".streamlit" / "config.toml").write_text(
        "[server]\nenableCORS = false\nenableXsrfProtection = false\nenableStaticServing = true\nbaseUrlPath = 'theirs'\n"
    )
    port = free_port()
    command = [
        sys.executable,
        "-c",
        "from evals.cli import main; main()",
        "dashboard",
        "--results",
        str(made),
    ]
    process = subprocess.Popen([*command, "--no-browser", "--port", str(port)], cwd=tmp_path)
    try:
        wait_for(port)
        told = {}
        for name, headers in {
            "own": {"Host": f"localhost:{port}"},
            "rebound": {"Host": f"evil.example:{port}", "Origin": f"http://evil.example:{port}"},
            "foreign origin": {"Host": f"localhost:{port}", "Origin": "https://evil.example"},
        }.items():
            line = HTTPConnection("127.0.0.1", port, timeout=20)
            line.request("GET", "/_stcore/health", headers=headers)
            told[name] = line.getresponse().status
            line.close()
        assert told == {"own": 200, "rebound": 403, "foreign origin": 403}
    finally:
        process.terminate()
        process.wait(20)
