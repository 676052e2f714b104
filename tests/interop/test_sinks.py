"""Usage errors of exports to MLflow and PostgreSQL: unsuitable options, missing packages and addresses with credentials."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from tests.support.command import evals


@pytest.fixture
def results(here: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    arguments = (
        "aime:2025",
        "--sample",
        "-m",
        "scripted:ANSWER: 70",
        "--run",
        "one",
        "--results",
        here / "r",
    )
    assert evals("run", *arguments).status == 0
    return here / "r"


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("postgres one --out folder", "postgres takes --to instead of --out"),
        ("csv one --to x", "--to requires mlflow or postgres"),
        ("postgres one --experiment x", "--experiment requires mlflow"),
        ("csv one", "--out DIR is required"),
        ("mlflo one", "unknown format 'mlflo'; did you mean mlflow"),
        ("mlflow one", "name the tracking server with --to http://host:5000"),
        ("mlflow one --to http://me:hunter22@127.0.0.1:1", "must not contain credentials"),
        ("mlflow one --to http://127.0.0.1:1?token=hunter22", "must not contain credentials"),
    ],
)
def test_unsuitable_options_and_addresses_with_credentials_are_usage_errors(
    line: str, message: str, results: Path
) -> None:
    outcome = evals("export", *line.split(), "--results", results)
    assert message in outcome.error_line
    assert "hunter22" not in outcome.err


@pytest.mark.parametrize(("module", "kind"), [("psycopg", "postgres"), ("mlflow", "mlflow")])
def test_without_the_package_the_error_names_the_extra(
    module: str, kind: str, results: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, module, None)
    outcome = evals(
        "export", kind, "one", "--to", "http://127.0.0.1:1" if kind == "mlflow" else "", "--results", results
    )
    outcome.assert_usage_error()
