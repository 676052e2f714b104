"""Fixtures: a results folder, a separate cache for each test, and a local S3 server (Moto)."""

from __future__ import annotations

import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from evals.records import mirror
from evals.remote import stores
from tests.support.command import evals
from tests.support.pages import free_port

SECRET = "a-secret-key-that-must-not-be-shown"


@pytest.fixture(scope="session")
def shared_results(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A results folder with two runs of AIME and one of a gated suite; tests get copies of it."""
    results = tmp_path_factory.mktemp("shared") / "results"
    for name, text, suites in (
        ("one", "ANSWER: 1", ("aime:2025", "gpqa")),
        ("two", "ANSWER: 70", ("aime:2025",)),
    ):
        arguments = (*suites, "--sample", "-m", f"scripted:{text}", "--run", name)
        assert evals("run", *arguments, "--results", results).status == 0
    return results


@pytest.fixture
def results(shared_results: Path, here: Path) -> Path:
    """A copy of the shared results folder, in the current folder."""
    shutil.copytree(shared_results, here / "results")
    return here / "results"


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """An empty current folder, with an empty cache and no open stores of earlier tests."""
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    clear_caches()
    yield tmp_path / "here"
    clear_caches()


def clear_caches() -> None:
    """Clear what this process has cached of remote addresses, as if it were a new process."""
    mirror._MIRRORED.clear()
    stores.open_store.cache_clear()


@pytest.fixture(scope="session")
def s3_server() -> Iterator[str]:
    """Moto's S3 server; yields its URL."""
    port = free_port()
    command = [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        try:
            _wait_for(port)
            yield f"http://127.0.0.1:{port}"
        finally:
            process.terminate()


def _wait_for(port: int) -> None:
    for _ in range(600):
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
        except OSError:
            time.sleep(0.1)
        else:
            return
    raise TimeoutError("moto's server does not answer")


@pytest.fixture
def s3(s3_server: str, here: Path, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> str:
    """The address of an empty folder in the bucket `team`, which is created if necessary."""
    for name, value in {
        "AWS_ENDPOINT_URL": s3_server, "AWS_ACCESS_KEY_ID": "AKIAEXAMPLE", "AWS_SECRET_ACCESS_KEY": SECRET,
        "AWS_DEFAULT_REGION": "us-east-1", "AWS_EC2_METADATA_DISABLED": "true",
    }.items():  # fmt: skip
        monkeypatch.setenv(name, value)
    for name in ("AWS_PROFILE", "AWS_SESSION_TOKEN"):
        monkeypatch.delenv(name, raising=False)
    import boto3

    boto3.client("s3").create_bucket(Bucket="team")
    name = "".join(c if c.isalnum() else "-" for c in request.node.name)
    return f"s3://team/{name[:60]}-{abs(hash(request.node.nodeid)) % 10_000}"
