"""Runs as tables: the index of cards, and SQL over records, sealed or growing."""

from __future__ import annotations

from pathlib import Path

import pytest

from evals.errors import StoreError
from evals.records import store
from tests.support import command

pytest.importorskip("duckdb", reason="the extra `dashboard` is not installed")

from evals.dashboard.tables import frames


@pytest.fixture
def results(tmp_path: Path) -> Path:
    folder = tmp_path / "results"
    done = command.evals(
        "run", "mmlu-pro", "aime:2025", "--sample", "-m", "scripted:ANSWER: A", "--results", folder
    )
    assert done.status == 0, done.err
    return folder


def grown(sealed: store.Run, folder: Path) -> Path:
    """The same run as it was before it was sealed, its last line torn."""
    folder.mkdir()
    with (folder / "records.jsonl").open("wb") as stream:
        for record in sealed.records():
            stream.write(store.encode(record) + b"\n")
        stream.write(b'{"sample":"torn')
    with (folder / "samples.jsonl").open("wb") as stream:
        for sample in sealed.samples():
            stream.write(store.encode(sample) + b"\n")
    (folder / "card.json").write_bytes((sealed.path / "card.json").read_bytes())
    return folder


def test_the_index_knows_every_run_and_its_headline(results: Path) -> None:
    found = frames.index(results)
    assert {entry.card.config.suite for entry in found.entries} == {"mmlu-pro", "aime:2025"}
    assert found.broken == ()
    assert all(entry.headline and not entry.headline.group for entry in found.entries)


def test_a_broken_card_is_named_and_hides_no_other(results: Path) -> None:
    path = frames.index(results).entries[0].path
    (path / "card.json").write_text('{"format": 1, "run": ')
    found = frames.index(results)
    assert [one.path for one in found.broken] == [path]
    assert "card.json" in found.broken[0].reason
    assert len(found.entries) == 1


def test_the_index_reads_a_card_again_when_it_changes_and_forgets_a_deleted_run(results: Path) -> None:
    first = frames.index(results).entries
    assert frames.index(results).entries[0] is first[0]
    card = store.read_card(first[0].path)
    card.status = "partial"
    store.write_card(first[0].path, card)
    assert {entry.card.status for entry in frames.index(results).entries} == {"finished", "partial"}
    for file in first[1].path.iterdir():
        file.unlink()
    assert len(frames.index(results).entries) == 1


def test_a_folder_that_is_not_there_holds_no_runs(tmp_path: Path) -> None:
    assert frames.index(tmp_path / "none") == frames.Index((), ())


def test_growing_and_sealed_records_are_the_same_table(results: Path, tmp_path: Path) -> None:
    sealed = store.Run(frames.index(results).entries[0].path)
    growing = grown(sealed, tmp_path / "growing")
    for sql in (
        "SELECT * EXCLUDE (path, scores, prompt, outcome) FROM records ORDER BY sample, repeat",
        'SELECT id, "group", target, options FROM samples ORDER BY 1',
    ):
        assert frames.query(growing, sql).equals(frames.query(sealed.path, sql))


def test_the_last_record_of_a_sample_counts(results: Path, tmp_path: Path) -> None:
    sealed = store.Run(frames.index(results).entries[0].path)
    lines = (grown(sealed, tmp_path / "growing") / "records.jsonl").read_bytes().splitlines()
    again = (
        lines[0]
        .replace(b'"verdict":"wrong"', b'"verdict":"refused"')
        .replace(b'"verdict":"right"', b'"verdict":"refused"')
    )
    (sealed.path / "records.jsonl").write_bytes(again + b"\n")
    found = frames.query(sealed.path, "SELECT verdict, count(*) AS n FROM records GROUP BY 1").set_index(
        "verdict"
    )["n"]
    assert found["refused"] == 1
    assert found.sum() == len(lines) - 1


def test_several_runs_are_told_apart_by_their_path_and_none_is_an_empty_table(results: Path) -> None:
    paths = [entry.path for entry in frames.index(results).entries]
    found = frames.query(paths, "SELECT path, count(*) AS n FROM records GROUP BY 1")
    assert set(found["path"]) == {str(path) for path in paths}
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


def test_a_path_with_an_apostrophe_is_only_a_path(results: Path, tmp_path: Path) -> None:
    odd = tmp_path / "o'dd; DROP TABLE x --"
    frames.index(results).entries[0].path.rename(odd)
    assert len(frames.query(odd, "SELECT sample FROM records")) > 0


def test_records_that_cannot_be_read_are_a_store_error(results: Path) -> None:
    path = frames.index(results).entries[0].path
    (path / "records.parquet").write_bytes(b"not a table")
    with pytest.raises(StoreError, match=r"records\.parquet"):
        frames.query(path, "SELECT sample FROM records")
