"""`evals show BOARD`: the scores of a board with their verification levels and promises."""

from __future__ import annotations

from pathlib import Path

import pytest

from evals.board import decisions
from evals.terminal import board_numbers
from tests.support import boards
from tests.support.command import evals
from tests.support.paths import ROOT

DECISION = (
    '[[decision]]\nentry = "{entry}"\nkind = "disputed"\nby = "me"\ndate = 2026-11-29\nreason = "why"\n'
)


@pytest.fixture(scope="module")
def board(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("numbers") / "board"
    boards.write_results(folder, models=6, suites=2, items=50)
    (folder / decisions.NAME).write_text(DECISION.format(entry="organisation-0-model-0@v1"))
    return folder


def test_every_score_has_its_level_and_promise(board: Path) -> None:
    lines = evals("show", board, "--suite", "suite-0").out.splitlines()
    rows = {number: next(line for line in lines if f"model-{number} " in line) for number in range(6)}
    for number, level in {
        0: "challenged; disputed", 1: "challenged, close", 2: "recomputed; challenge: different",
        3: "recomputed; challenge: untestable", 4: "recomputed ", 5: "challenged",
    }.items():  # fmt: skip
        assert level in rows[number]
    assert [("none", "kept", "broken")[number % 3] in row for number, row in rows.items()] == [True] * 6
    text = "\n".join(lines)
    assert "organisation-2-model-2@v1, suite-0 (strict): promise broken: seed is 1, not 0" in text
    assert "organisation-3-model-3@v1, suite-0 (strict): challenge untestable (" in text


def test_scores_are_sorted_and_filtered(board: Path) -> None:
    numbers = evals("show", board, "--json").json["numbers"]
    assert len(numbers) == 12
    rows = [
        line
        for line in evals("show", board, "--suite", "suite-1").out.splitlines()
        if "organisation-" in line and " %  " in line
    ]
    values = [float(row.split(" %")[0].split()[-1]) for row in rows]
    assert len(values) == 6
    assert values == sorted(values, reverse=True)
    (number,) = evals("show", board, "--suite", "suite-1", "--model", "MODEL-3", "--json").json["numbers"]
    assert (number["entry"], number["level"], number["promise"]) == (
        "organisation-3-model-3@v1",
        "recomputed",
        "kept",
    )
    assert "No score matches" in evals("show", board, "--protocol", "official").out


def test_a_board_without_promises_has_no_column_for_them() -> None:
    out = evals("show", ROOT / "results" / "board").out
    assert "recomputed" in out
    assert "promise" not in out


@pytest.mark.parametrize("option", ["--pivot", "--runs", "--by=group", "--last=2", "--since=7d"])
def test_options_of_runs_are_refused(board: Path, option: str) -> None:
    evals("show", board, option).assert_usage_error()


def test_the_table_fits_a_narrow_terminal(board: Path) -> None:
    numbers = list(board_numbers.read(board))
    assert max(map(len, board_numbers.layout(numbers, 60))) <= 60 + len("\x1b[1m\x1b[0m")
