"""Runs as tables: the index of cards, and SQL over the records of complete and active runs."""

from __future__ import annotations

from pathlib import Path

import pytest

from evals.errors import StoreError
from evals.records import store
from tests.support import command

pytest.importorskip("duckdb", reason="the extra `dashboard` is not installed")

from evals.dashboard.tables import frames
from tests.support.error_messages import raises


@pytest.fixture
def results(tmp_path: Path) -> Path:
    folder = tmp_path / "results"
    outcome = command.evals(
        "run", "mmlu-pro", "aime:2025", "--sample", "-m", "scripted:ANSWER: A", "--results", folder
    )
    assert outcome.status == 0, outcome.err
    return folder


def write_active_copy(complete_run: store.Run, folder: Path) -> Path:
    """Write a copy of a run as if it were still active, with an incomplete last line, and return its folder."""
    folder.mkdir()
    with (folder / "records.jsonl").open("wb") as stream:
        for record in complete_run.records():
            stream.write(store.encode(record) + b"\n")
        stream.write(b'{"sample":"incomplete')
    with (folder / "samples.jsonl").open("wb") as stream:
        for sample in complete_run.samples():
            stream.write(store.encode(sample) + b"\n")
    (folder / "card.json").write_bytes((complete_run.path / "card.json").read_bytes())
    return folder


def test_the_index_lists_every_run_with_its_headline_estimate(results: Path) -> None:
    index = frames.index(results)
    assert {entry.card.config.suite for entry in index.entries} == {"mmlu-pro", "aime:2025"}
    assert index.broken == ()
    assert all(entry.headline and not entry.headline.group for entry in index.entries)


def test_a_broken_card_is_reported_and_other_runs_are_listed(results: Path) -> None:
    path = frames.index(results).entries[0].path
    (path / "card.json").write_text('{"format": 1, "run": ')
    index = frames.index(results)
    assert [broken_run.path for broken_run in index.broken] == [path]
    assert "card.json" in index.broken[0].reason
    assert len(index.entries) == 1


def test_the_index_rereads_a_changed_card_and_drops_a_deleted_run(results: Path) -> None:
    entries = frames.index(results).entries
    assert frames.index(results).entries[0] is entries[0]
    card = store.read_card(entries[0].path)
    card.status = "partial"
    store.write_card(entries[0].path, card)
    assert {entry.card.status for entry in frames.index(results).entries} == {"finished", "partial"}
    for file in entries[1].path.iterdir():
        file.unlink()
    assert len(frames.index(results).entries) == 1


def test_the_index_of_a_missing_folder_is_empty(tmp_path: Path) -> None:
    assert frames.index(tmp_path / "none") == frames.Index((), ())


def test_active_and_complete_runs_give_the_same_tables(results: Path, tmp_path: Path) -> None:
    complete_run = store.Run(frames.index(results).entries[0].path)
    active_run = write_active_copy(complete_run, tmp_path / "active")
    for sql in (
        "SELECT * EXCLUDE (path, scores, prompt, outcome) FROM records ORDER BY sample, repeat",
        'SELECT id, "group", target, options FROM samples ORDER BY 1',
    ):
        assert frames.query(active_run, sql).equals(frames.query(complete_run.path, sql))


def test_only_the_last_record_of_a_sample_is_read(results: Path, tmp_path: Path) -> None:
    complete_run = store.Run(frames.index(results).entries[0].path)
    lines = (write_active_copy(complete_run, tmp_path / "active") / "records.jsonl").read_bytes().splitlines()
    repeated_line = (
        lines[0]
        .replace(b'"verdict":"wrong"', b'"verdict":"refused"')
        .replace(b'"verdict":"right"', b'"verdict":"refused"')
    )
    (complete_run.path / "records.jsonl").write_bytes(repeated_line + b"\n")
    counts = frames.query(
        complete_run.path, "SELECT verdict, count(*) AS n FROM records GROUP BY 1"
    ).set_index("verdict")["n"]
    assert counts["refused"] == 1
    assert counts.sum() == len(lines) - 1


def test_rows_of_several_runs_have_their_paths_and_no_runs_give_an_empty_table(results: Path) -> None:
    paths = [entry.path for entry in frames.index(results).entries]
    counts = frames.query(paths, "SELECT path, count(*) AS n FROM records GROUP BY 1")
    assert set(counts["path"]) == {str(path) for path in paths}
    assert len(frames.query([], "SELECT * FROM records")) == 0
    assert list(frames.query([], "SELECT * FROM samples").columns) == [
        "path",
        "id",
        "group",
        "cluster",
        "target",
        "options",
        "json",
    ]


def test_a_path_with_an_apostrophe_is_not_read_as_sql(results: Path, tmp_path: Path) -> None:
    folder = tmp_path / "o'dd; DROP TABLE x --"
    frames.index(results).entries[0].path.rename(folder)
    assert len(frames.query(folder, "SELECT sample FROM records")) > 0


def test_unreadable_records_are_a_store_error(results: Path) -> None:
    path = frames.index(results).entries[0].path
    (path / "records.parquet").write_bytes(b"not a table")
    with raises(StoreError):
        frames.query(path, "SELECT sample FROM records")
