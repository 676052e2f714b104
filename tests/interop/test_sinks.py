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
    "line",
    [
        "postgres one --out folder",
        "csv one --to x",
        "postgres one --experiment x",
        "csv one",
        "mlflo one",
        "mlflow one",
        "mlflow one --to http://me:hunter22@127.0.0.1:1",
        "mlflow one --to http://127.0.0.1:1?token=hunter22",
    ],
)
def test_unsuitable_options_and_addresses_with_credentials_are_usage_errors(line: str, results: Path) -> None:
    outcome = evals("export", *line.split(), "--results", results)
    outcome.assert_usage_error()
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
