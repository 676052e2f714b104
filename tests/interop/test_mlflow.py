"""Export to a real MLflow server, read back through its REST API.

Covers repeated exports, versions of a run, gated suites, killed exports and concurrent exports.
"""

from __future__ import annotations

import json
import os
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from evals.prompts import plain_text
from evals.records import store
from tests.support.command import evals
from tests.support.pages import free_port
from tests.support.paths import ROOT
from tools.environments import MLFLOW

pytestmark = pytest.mark.slow  # a real server

REPLY = "the second of these compounds is what was asked for. ANSWER: 70"


@pytest.fixture(scope="module")
def python() -> Path:
    interpreter = MLFLOW.python()
    if interpreter is None:
        pytest.skip("NOT TESTED ON REAL MLFLOW: `make mlflow` creates its environment (a minute, 700 MB)")
    return interpreter


@pytest.fixture(scope="module")
def server(python: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    folder = tmp_path_factory.mktemp("mlflow")
    port = free_port()
    command = [
        python, "-m", "mlflow", "server", "--backend-store-uri", f"sqlite:///{folder}/db", "--artifacts-destination",
        folder / "artifacts", "--host", "127.0.0.1", "--port", port, "--workers", "1",
    ]  # fmt: skip
    env = os.environ | {"MLFLOW_DISABLE_TELEMETRY": "true"}
    log = (folder / "log").open("wb")
    process = subprocess.Popen(
        list(map(str, command)), cwd=folder, env=env, stdout=log, stderr=log, start_new_session=True
    )
    url = f"http://127.0.0.1:{port}"
    try:
        _wait_for(url, process, folder / "log")
        yield url
    finally:
        os.killpg(process.pid, 15)
        process.wait(60)
        log.close()


def _wait_for(url: str, process: subprocess.Popen[bytes], log: Path) -> None:
    end = time.monotonic() + 240
    while time.monotonic() < end and process.poll() is None:
        try:
            urllib.request.urlopen(f"{url}/health", timeout=5).close()
        except OSError:
            time.sleep(0.5)
        else:
            return
    raise TimeoutError(log.read_text()[-2000:])


@pytest.fixture
def results(tmp_path: Path) -> Path:
    arguments = ("aime:2025", "gpqa", "--sample", "-m", f"scripted:{REPLY}", "--run", "one")
    assert evals("run", *arguments, "--results", tmp_path / "r").status == 0
    return tmp_path / "r"


def start_export(python: Path, server: str, results: Path, *arguments: str) -> subprocess.Popen[str]:
    command = [
        python,
        "-c",
        "from evals.cli import main; main()",
        "export",
        "mlflow",
        *arguments,
        "--to",
        server,
        "--json",
    ]
    env = os.environ | {"PYTHONPATH": str(ROOT)}
    return subprocess.Popen(
        [*map(str, command), "--results", str(results)], env=env, text=True, cwd=results, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )  # fmt: skip


def export_states(python: Path, server: str, results: Path, *arguments: str) -> list[str]:
    """Export runs and return the reported state of each: new, unchanged or new version."""
    process = start_export(python, server, results, *arguments)
    out, err = process.communicate(timeout=300)
    assert process.returncode == 0, err
    return [run["state"] for run in json.loads(out)["runs"]]


def call(server: str, method: str, **body: Any) -> Any:
    request = urllib.request.Request(
        f"{server}/api/2.0/mlflow/{method}", json.dumps(body).encode(), {"Content-Type": "application/json"}
    )
    with urllib.request.urlopen(request, timeout=60) as response:
        return json.load(response)


def logged_runs(server: str, experiment: str) -> list[dict[str, Any]]:
    """Return the active runs of an experiment as {id, status, tags, params, metrics}."""
    with urllib.request.urlopen(
        f"{server}/api/2.0/mlflow/experiments/get-by-name?experiment_name={experiment}", timeout=60
    ) as response:
        experiment_id = json.load(response)["experiment"]["experiment_id"]
    runs = call(server, "runs/search", experiment_ids=[experiment_id], max_results=1000).get("runs", [])
    return [
        {"id": run["info"]["run_id"], "status": run["info"]["status"]}
        | {
            kind: {e["key"]: e["value"] for e in run["data"].get(kind, [])}
            for kind in ("tags", "params", "metrics")
        }
        for run in runs
    ]


def artifact(server: str, run: str, path: str) -> Any:
    with urllib.request.urlopen(f"{server}/get-artifact?path={path}&run_uuid={run}", timeout=60) as response:
        return json.load(response)


def test_a_run_is_exported_again_only_if_it_has_changed(python: Path, server: str, results: Path) -> None:
    assert export_states(python, server, results, "one", "--experiment", "first") == ["new", "new"]
    before = logged_runs(server, "first")
    run, gated = sorted(before, key=lambda run: str(run["params"]["suite"]))
    _check_gated(server, gated, results)
    path = store.find_one(results, "one/aime:2025").path
    card = store.read_card(path)
    headline = card.headline
    assert headline is not None
    name = headline.metric.replace("@", "_")
    numbers = [run["metrics"][f"{name}{part}"] for part in ("", ".low", ".high", ".n")]
    assert numbers == pytest.approx([headline.value, headline.low, headline.high, headline.n])
    assert (run["status"], run["params"]["suite"], run["tags"]["card.model"]) == (
        "FINISHED",
        "aime:2025",
        card.model,
    )
    table = artifact(server, run["id"], "samples.json")
    assert (len(table["data"]), table["columns"][:2]) == (12, ["sample", "repeat"])
    assert artifact(server, run["id"], "scores.json")["data"][0][:2] == [headline.metric, ""]
    assert artifact(server, run["id"], "card.json")["run"] == "one"
    assert export_states(python, server, results, "one", "--experiment", "first") == ["unchanged"] * 2
    assert logged_runs(server, "first") == before
    card.notes = (*card.notes, "scored again")
    store.write_card(path, card)
    assert export_states(python, server, results, "one/aime:2025", "--experiment", "first") == ["new version"]
    versions = [run for run in logged_runs(server, "first") if run["params"]["suite"] == "aime:2025"]
    newer, older = sorted(versions, key=lambda run: -int(run["tags"]["science_evals.version"]))
    assert older["id"] == run["id"]
    assert older["tags"]["science_evals.superseded_by"] == newer["id"]
    assert older["metrics"] == run["metrics"]


def _check_gated(server: str, run: dict[str, Any], results: Path) -> None:
    exported = repr(run) + repr(
        [artifact(server, run["id"], f"{name}.json") for name in ("samples", "scores", "card")]
    )
    records = store.find_one(results, "one/gpqa").records()
    prompts = [plain_text(record.prompt.messages[-1].parts) for record in records]
    lines = [line for text in prompts for line in text.splitlines() if len(line) > 16]
    assert len(lines) > 12
    assert not [line for line in lines if line in exported]
    # the other artifacts contain the reply as the name of the model
    assert REPLY not in repr(artifact(server, run["id"], "samples.json"))


@pytest.mark.nightly
def test_concurrent_exports_after_killed_ones_create_one_complete_run(
    python: Path, server: str, results: Path
) -> None:
    for _ in range(2):
        process = start_export(python, server, results, "one/aime:2025", "--experiment", "concurrent")
        end = time.monotonic() + 120
        while time.monotonic() < end and process.poll() is None:
            try:
                if logged_runs(server, "concurrent"):
                    break
            except (urllib.error.URLError, KeyError):
                time.sleep(0.05)
        process.kill()
        process.communicate()
    processes = [
        start_export(python, server, results, "one/aime:2025", "--experiment", "concurrent") for _ in range(2)
    ]
    outputs = [process.communicate(timeout=300) for process in processes]
    assert [process.returncode for process in processes] == [0, 0], outputs
    complete = [
        run for run in logged_runs(server, "concurrent") if "science_evals.state_sha256" in run["tags"]
    ]
    assert len(complete) == 1
    assert export_states(python, server, results, "one/aime:2025", "--experiment", "concurrent") == [
        "unchanged"
    ]


@pytest.mark.nightly
def test_export_to_a_database_without_a_server(python: Path, results: Path, tmp_path: Path) -> None:
    uri = f"sqlite:///{tmp_path}/ml.db"
    assert export_states(python, uri, results, "one/aime:2025") == ["new"]
    assert export_states(python, uri, results, "one/aime:2025") == ["unchanged"]


def test_an_unreachable_server_is_a_usage_error(python: Path, results: Path) -> None:
    process = start_export(python, "http://127.0.0.1:1", results, "one/aime:2025")
    out, err = process.communicate(timeout=300)
    assert (process.returncode, out) == (2, "")
    (line,) = [line for line in err.splitlines() if line.startswith("evals: ")]
    assert "MLflow: " in line
    assert err.splitlines()[-1] == line
