"""The level `rerun`: whether the operator's own run agrees with an entry within a margin."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from evals.board import levels
from evals.board.examine import Examination
from evals.board.ingest import ingest
from evals.errors import UsageError
from evals.records.card import packages
from tests.support import boards
from tests.support.command import evals
from tests.support.error_messages import raises


@pytest.fixture
def data(tmp_path: Path) -> Path:
    return boards.write_data(tmp_path)


def ingest_entry(board: Path, data: Path, results: Path, *, accuracy: float, **rule: object) -> None:
    boards.write_board(board, **rule)
    boards.submit(board, boards.run(results, data, boards.answers(data, accuracy, 1)))
    assert [result.status for result in ingest(board)] == ["accepted"]


def ingest_rerun(board: Path, data: Path, results: Path, accuracy: float, seed: int) -> levels.Rerun:
    own_run = boards.run(results, data, boards.answers(data, accuracy, seed))
    levels.add_rerun(board, "acme-tiny@v1", own_run)
    assert list(ingest(board)) == []
    (rerun,) = levels.read(board).reruns
    return rerun


def test_a_rerun_with_equal_scores_agrees(tmp_path: Path, data: Path) -> None:
    board = tmp_path / "board"
    ingest_entry(board, data, tmp_path / "a", accuracy=0.6, equivalence_margin=0.05)
    rerun = ingest_rerun(board, data, tmp_path / "b", 0.6, 1)
    assert rerun.agrees
    assert rerun.difference == 0.0
    assert rerun.n == boards.ITEMS


def test_a_rerun_with_lower_scores_does_not_agree(tmp_path: Path, data: Path) -> None:
    board = tmp_path / "board"
    ingest_entry(board, data, tmp_path / "a", accuracy=0.7, equivalence_margin=0.05)
    rerun = ingest_rerun(board, data, tmp_path / "b", 0.3, 2)
    assert not rerun.agrees
    assert rerun.difference is not None
    assert rerun.difference < -0.1


def test_equal_accuracy_on_few_items_is_not_enough_for_equivalence(tmp_path: Path, data: Path) -> None:
    board = tmp_path / "board"
    ingest_entry(board, data, tmp_path / "a", accuracy=0.6, equivalence_margin=0.02)
    rerun = ingest_rerun(board, data, tmp_path / "b", 0.6, 2)
    assert not rerun.agrees
    assert rerun.low is not None
    assert rerun.low < -0.02


def test_levels_do_not_change_when_ingest_is_repeated(tmp_path: Path, data: Path) -> None:
    board = tmp_path / "board"
    ingest_entry(board, data, tmp_path / "a", accuracy=0.6, equivalence_margin=0.05)
    ingest_rerun(board, data, tmp_path / "b", 0.6, 1)
    content = (board / "results" / "levels.json").read_bytes()
    list(ingest(board))
    assert (board / "results" / "levels.json").read_bytes() == content


def test_the_level_is_published(tmp_path: Path, data: Path) -> None:
    pytest.importorskip("jinja2", reason="the extra `board` is not installed")
    board = tmp_path / "board"
    ingest_entry(board, data, tmp_path / "a", accuracy=0.6, equivalence_margin=0.05)
    own_run = boards.run(tmp_path / "b", data, boards.answers(data, 0.6, 1))
    outcome = evals("board", "rerun", board, "acme-tiny@v1", own_run.card.run, "--results", tmp_path / "b")
    assert outcome.status == 0, outcome.err
    assert evals("board", "ingest", board).status == 0
    assert evals("board", "site", board, "--out", tmp_path / "site").status == 0
    (number,) = json.loads((tmp_path / "site" / "data" / "board.json").read_text())["numbers"]
    assert number["level"] == "rerun"


def test_a_rerun_of_an_unknown_entry_is_an_error(tmp_path: Path, data: Path) -> None:
    board = tmp_path / "board"
    ingest_entry(board, data, tmp_path / "a", accuracy=0.6)
    own_run = boards.run(tmp_path / "b", data, boards.answers(data, 0.6, 1))
    with raises(UsageError):
        levels.add_rerun(board, "x@y", own_run)


def test_an_unreadable_rerun_does_not_agree(tmp_path: Path, data: Path) -> None:
    board = tmp_path / "board"
    ingest_entry(board, data, tmp_path / "a", accuracy=0.6)
    path = board / "reruns" / "acme-tiny@v1" / "mmlu-pro@strict.zip"
    path.parent.mkdir(parents=True)
    path.write_bytes(b"x")
    list(ingest(board))
    (rerun,) = levels.read(board).reruns
    assert not rerun.agrees
    assert "not a bundle" in rerun.reason


def test_a_rerun_that_could_not_be_examined_is_examined_again(
    tmp_path: Path, data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    board = tmp_path / "board"
    ingest_entry(board, data, tmp_path / "a", accuracy=0.6, equivalence_margin=0.05)
    with monkeypatch.context() as patch:
        failed = Examination(refusals=["it could not be examined: no answer within 60 s"])
        patch.setattr(levels, "within_limits", lambda *arguments, seconds: failed)
        assert ingest_rerun(board, data, tmp_path / "b", 0.6, 1).reason
    list(ingest(board))
    assert levels.read(board).reruns[0].agrees


def test_a_rerun_is_compared_again_by_another_version(tmp_path: Path, data: Path) -> None:
    board = tmp_path / "board"
    ingest_entry(board, data, tmp_path / "a", accuracy=0.6, equivalence_margin=0.05)
    assert ingest_rerun(board, data, tmp_path / "b", 0.6, 1).agrees
    path = board / "results" / "levels.json"
    written = json.loads(path.read_bytes())
    written["reruns"][0]["difference"] = 0.125  # as this version might compute it wrongly
    for version, difference in ((packages()["science-evals"], 0.125), ("0.0.1", 0.0), (None, 0.0)):
        written["reruns"][0]["evals"] = version or ""
        path.write_text(json.dumps(written))
        list(ingest(board))
        assert levels.read(board).reruns[0].difference == difference


def test_a_rerun_is_compared_again_if_the_entry_is_another_one(tmp_path: Path, data: Path) -> None:
    board = tmp_path / "board"
    boards.write_board(board, equivalence_margin=0.05, ceiling=0.0)  # every entry is held
    entry = boards.submit(board, boards.run(tmp_path / "a", data, boards.answers(data, 0.6, 1)))
    list(ingest(board))
    assert ingest_rerun(board, data, tmp_path / "b", 0.6, 1).agrees
    entry.unlink()
    boards.submit(board, boards.run(tmp_path / "c", data, boards.answers(data, 0.9, 1)))
    list(ingest(board))
    assert not levels.read(board).reruns[0].agrees
