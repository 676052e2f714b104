"""Export to a real PostgreSQL server.

Repeated and concurrent exports create no duplicates, a rescored run is replaced, and no texts of gated suites or passwords
are written.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from evals.prompts import plain_text
from evals.records import store
from tests.support import postgres
from tests.support.command import evals

psycopg = pytest.importorskip("psycopg")
pytestmark = pytest.mark.slow  # a real server


@pytest.fixture(scope="module")
def port() -> Iterator[int]:
    programs = postgres.programs()
    if programs is None:
        pytest.skip("NOT TESTED ON REAL POSTGRESQL: install Debian's package postgresql")
    with postgres.serve(programs) as port:
        yield port


@pytest.fixture
def database(port: int, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Any]:
    """Create an empty database, set libpq's environment variables for it, and yield a connection."""
    settings = {
        "PGHOST": "127.0.0.1",
        "PGPORT": str(port),
        "PGUSER": postgres.USER,
        "PGPASSWORD": postgres.PASSWORD,
    }
    for name, value in settings.items():
        monkeypatch.setenv(name, value)
    name = "".join(c for c in tmp_path.name if c.isalnum()).lower()
    with psycopg.connect("dbname=postgres", autocommit=True) as connection:
        connection.execute(f'CREATE DATABASE "{name}"')
    monkeypatch.setenv("PGDATABASE", name)
    with psycopg.connect(autocommit=True) as connection:
        yield connection


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("results")
    arguments = ("aime:2025", "gpqa", "--sample", "-m", "scripted:ANSWER: 70", "--run", "one")
    assert evals("run", *arguments, "--results", folder).status == 0
    return folder


def rows(database: Any, table: str, columns: str = "*") -> list[tuple[Any, ...]]:
    return sorted(database.execute(f"SELECT {columns} FROM science_evals.{table}").fetchall(), key=repr)  # noqa: S608 - the names are constants of this file


def export_states(*arguments: object) -> list[str]:
    """Export runs and return the reported state of each: new, unchanged or updated."""
    outcome = evals("export", "postgres", *arguments, "--json")
    assert outcome.status == 0, outcome.err
    return [run["state"] for run in outcome.json["runs"]]


def test_a_run_is_exported_with_its_scores_and_samples(database: Any, results: Path) -> None:
    run = store.find_one(results, "one/aime:2025")
    assert export_states("one/aime:2025", "--results", results) == ["new"]
    ((run_id, suite, model, card),) = rows(database, "runs", "id, suite, model, card")
    assert (suite, model, card["run"]) == ("aime:2025", run.card.model, "one")
    headline = run.card.headline
    assert headline is not None
    numbers = database.execute(
        "SELECT value, low, high, n FROM science_evals.scores WHERE headline AND run_id = %s AND \"group\" = ''",
        (run_id,),
    ).fetchone()
    assert numbers == (headline.value, headline.low, headline.high, headline.n)
    samples = rows(database, "samples", "sample, repeat, verdict, value, answer, gold")
    assert len(samples) == 12
    assert {sample for sample, *_ in samples} == {sample.id for sample in run.samples()}


def test_exporting_again_changes_nothing(database: Any, results: Path) -> None:
    assert export_states("one/aime:2025", "one/gpqa", "--results", results) == ["new", "new"]
    before = [rows(database, table, "xmin, *") for table in ("runs", "scores", "samples")]
    assert export_states("one/aime:2025", "one/gpqa", "--results", results) == ["unchanged", "unchanged"]
    assert [rows(database, table, "xmin, *") for table in ("runs", "scores", "samples")] == before


def test_a_rescored_run_replaces_its_rows(database: Any, results: Path, tmp_path: Path) -> None:
    arguments = ("--sample", "-m", "scripted:ANSWER: 1", "--run", "two", "--results", tmp_path / "r")
    assert evals("run", "aime:2025", *arguments).status == 0
    assert export_states("two", "--results", tmp_path / "r") == ["new"]
    path = store.find_one(tmp_path / "r", "two").path
    card = store.read_card(path)
    card.estimates = card.estimates[:1]
    card.notes = (*card.notes, "scored\0 again")
    store.write_card(path, card)
    assert export_states("two", "--results", tmp_path / "r") == ["updated"]
    assert rows(database, "runs", "card->'notes'->>-1") == [("scored\ufffd again",)]
    assert len(rows(database, "scores")) == 1
    assert len(rows(database, "samples")) == 12


def test_no_text_of_a_gated_suite_is_exported(database: Any, tmp_path: Path) -> None:
    reply = "the second of these compounds is the one that was asked for"
    arguments = (
        "gpqa",
        "--sample",
        "-m",
        f"scripted:{reply}. ANSWER: A",
        "--run",
        "g",
        "--results",
        tmp_path / "r",
    )
    assert evals("run", *arguments).status == 0
    assert export_states("g", "--results", tmp_path / "r") == ["new"]
    exported = repr([rows(database, table) for table in ("runs", "scores", "samples")])
    prompts = [
        plain_text(record.prompt.messages[-1].parts)
        for record in store.find_one(tmp_path / "r", "g").records()
    ]
    lines = [line for text in prompts for line in text.splitlines() if len(line) > 16]
    assert len(lines) > 12
    assert not [line for line in lines if line in exported]
    # the other tables contain the reply as the name of the model
    assert reply not in repr(rows(database, "samples"))


def test_concurrent_exports_of_a_run_create_it_once(database: Any, results: Path) -> None:
    command = [
        sys.executable,
        "-c",
        "from evals.cli import main; main()",
        "export",
        "postgres",
        "one/aime:2025",
        "--json",
    ]
    processes = [
        subprocess.Popen(
            [*command, "--results", str(results)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        for _ in range(3)
    ]
    outputs = [process.communicate(timeout=120) for process in processes]
    assert [process.returncode for process in processes] == [0, 0, 0], outputs
    assert sum('"new"' in out for out, _ in outputs) == 1
    assert (len(rows(database, "runs")), len(rows(database, "samples"))) == (1, 12)


def test_a_killed_export_leaves_only_complete_runs(database: Any, results: Path) -> None:
    command = [
        sys.executable,
        "-c",
        "from evals.cli import main; main()",
        "export",
        "postgres",
        "one/aime:2025",
        "one/gpqa",
    ]
    for after_s in (0.5, 0.8, 1.0, 1.2, 1.5, 2.0):
        process = subprocess.Popen([*command, "--results", str(results)], stdout=subprocess.DEVNULL)
        try:
            process.wait(after_s)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        samples_table = database.execute("SELECT to_regclass('science_evals.samples')").fetchone()[0]
        if samples_table is not None:
            assert len(rows(database, "samples")) == 12 * len(rows(database, "runs"))
    assert set(export_states("one/aime:2025", "one/gpqa", "--results", results)) <= {"new", "unchanged"}
    assert (len(rows(database, "runs")), len(rows(database, "samples"))) == (2, 24)


@pytest.mark.parametrize(
    ("to", "env"),
    [
        ("postgresql://me:{password}@127.0.0.1/x", {}),
        ("host=127.0.0.1 password={password}", {}),
        ("postgresql://[", {}),
        ("{password} x", {}),
        ("postgresql:///no-such-database", {}),
        ("", {"PGPASSWORD": f"not-{postgres.PASSWORD}"}),
        ("", {"PGPORT": "1"}),
    ],
    ids=[
        "password in the URL", "password in the string", "invalid URL", "invalid string", "unknown database",
        "wrong password", "no server",
    ],
)  # fmt: skip
def test_connection_errors_are_usage_errors_that_do_not_contain_the_password(
    to: str, env: dict[str, str], database: Any, results: Path
) -> None:
    arguments = ("--to", to.format(password=postgres.PASSWORD)) if to else ()
    outcome = evals("export", "postgres", "one/aime:2025", *arguments, "--results", results, env=env)
    outcome.assert_usage_error()
    assert postgres.PASSWORD not in outcome.out + outcome.err
