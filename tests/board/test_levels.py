"""The level `rerun`: the board's own run agrees with an entry, within a margin, or it does not."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from evals.board import levels
from evals.board.ingest import ingest
from evals.errors import UsageError
from tests.support import boards
from tests.support.command import evals


@pytest.fixture
def data(tmp_path: Path) -> Path:
    return boards.write_data(tmp_path)


def ingested(board: Path, data: Path, folder: Path, *, accuracy: float, **rule: object) -> None:
    boards.write_board(board, **rule)
    boards.submit(board, boards.run(folder, data, boards.answers(data, accuracy, 1)))
    assert [result.status for result in ingest(board)] == ["accepted"]


def rerun(board: Path, data: Path, folder: Path, accuracy: float, seed: int) -> levels.Rerun:
    own = boards.run(folder, data, boards.answers(data, accuracy, seed))
    levels.add_rerun(board, "acme-tiny@v1", own)
    assert list(ingest(board)) == []
    (only,) = levels.read(board).reruns
    return only


def test_an_equal_run_agrees(tmp_path: Path, data: Path) -> None:
    board = tmp_path / "board"
    ingested(board, data, tmp_path / "a", accuracy=0.6, equivalence_margin=0.05)
    own = rerun(board, data, tmp_path / "b", 0.6, 1)
    assert own.agrees
    assert own.difference == 0.0
    assert own.n == boards.ITEMS


def test_a_worse_run_does_not_agree(tmp_path: Path, data: Path) -> None:
    board = tmp_path / "board"
    ingested(board, data, tmp_path / "a", accuracy=0.7, equivalence_margin=0.05)
    own = rerun(board, data, tmp_path / "b", 0.3, 2)
    assert not own.agrees
    assert own.difference is not None
    assert own.difference < -0.1


def test_equal_means_over_few_items_are_not_yet_equivalent(tmp_path: Path, data: Path) -> None:
    board = tmp_path / "board"
    ingested(board, data, tmp_path / "a", accuracy=0.6, equivalence_margin=0.02)
    own = rerun(board, data, tmp_path / "b", 0.6, 2)
    assert not own.agrees
    assert own.low is not None
    assert own.low < -0.02


def test_levels_are_computed_once_and_are_deterministic(tmp_path: Path, data: Path) -> None:
    board = tmp_path / "board"
    ingested(board, data, tmp_path / "a", accuracy=0.6, equivalence_margin=0.05)
    rerun(board, data, tmp_path / "b", 0.6, 1)
    before = (board / "results" / "levels.json").read_bytes()
    list(ingest(board))
    assert (board / "results" / "levels.json").read_bytes() == before


def test_the_level_is_shown(tmp_path: Path, data: Path) -> None:
    pytest.importorskip("jinja2", reason="the extra `board` is not installed")
    board = tmp_path / "board"
    ingested(board, data, tmp_path / "a", accuracy=0.6, equivalence_margin=0.05)
    own = boards.run(tmp_path / "b", data, boards.answers(data, 0.6, 1))
    done = evals("board", "rerun", board, "acme-tiny@v1", own.card.run, "--results", tmp_path / "b")
    assert done.status == 0, done.err
    assert evals("board", "ingest", board).status == 0
    assert evals("board", "site", board, "--out", tmp_path / "site").status == 0
    (number,) = json.loads((tmp_path / "site" / "data" / "board.json").read_text())["numbers"]
    assert number["level"] == "rerun"


def test_an_unknown_entry_and_another_suite(tmp_path: Path, data: Path) -> None:
    board = tmp_path / "board"
    ingested(board, data, tmp_path / "a", accuracy=0.6)
    own = boards.run(tmp_path / "b", data, boards.answers(data, 0.6, 1))
    with pytest.raises(UsageError, match="no result of 'x@y'"):
        levels.add_rerun(board, "x@y", own)


def test_a_broken_rerun_is_no_agreement(tmp_path: Path, data: Path) -> None:
    board = tmp_path / "board"
    ingested(board, data, tmp_path / "a", accuracy=0.6)
    path = board / "reruns" / "acme-tiny@v1" / "mmlu-pro@strict.zip"
    path.parent.mkdir(parents=True)
    path.write_bytes(b"x")
    list(ingest(board))
    (own,) = levels.read(board).reruns
    assert not own.agrees
    assert "not a bundle" in own.reason
