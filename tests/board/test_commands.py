"""`evals board`: commands that create a board, submit an entry and ingest it; invalid cards, policies and decisions."""

from __future__ import annotations

import json
import tomllib
from pathlib import Path

import pytest

from evals.board import decisions, policy
from evals.errors import UsageError
from tests.support import boards
from tests.support.command import evals
from tests.support.error_messages import raises

CARD = """
model = "acme/tiny"
revision = "v1"
weights = "open"
licence = "apache-2.0"
training_data = "no benchmark"
contact = "mail@example.org"
"""


def create_board(folder: Path) -> Path:
    outcome = evals("board", "init", folder / "board", "mmlu-pro", "aime:2025", "--title", "Sums & more")
    assert outcome.status == 0, outcome.err
    return folder / "board"


def test_init_creates_a_valid_board(tmp_path: Path) -> None:
    board = create_board(tmp_path)
    board_policy = policy.read(board)
    assert [rule.label for rule in board_policy.suite] == ["mmlu-pro (strict)", "aime:2025 (strict)"]
    assert board_policy.title == "Sums & more"
    assert decisions.read(board) == ()
    assert "{{" not in "".join(path.read_text() for path in board.rglob("*") if path.is_file()).replace(
        "${{", ""
    )
    other_board = tmp_path / "other"
    evals("board", "init", other_board, "mmlu-pro")
    assert policy.read(other_board).id != board_policy.id


def test_init_does_not_overwrite(tmp_path: Path) -> None:
    board = create_board(tmp_path)
    evals("board", "init", board, "mmlu-pro").assert_usage_error()


def test_an_entry_is_submitted_once_and_ingested_once(tmp_path: Path) -> None:
    board = create_board(tmp_path)
    data = boards.write_data(tmp_path)
    run = boards.run(tmp_path / "results", data, boards.answers(data, 0.6, 1))
    (tmp_path / "card.toml").write_text(CARD)
    arguments = ("board", "submit", run.card.run, "--to", board, "--model-card", tmp_path / "card.toml")
    outcome = evals(*arguments, "--results", tmp_path / "results")
    assert outcome.status == 0, outcome.err + outcome.out
    assert "acme-tiny@v1: accepted" in outcome.out
    assert not (board / "results").exists()
    evals(*arguments, "--results", tmp_path / "results").assert_usage_error()
    outcome = evals("board", "ingest", board, "--json")
    assert outcome.status == 0, outcome.err
    assert [result["status"] for result in json.loads(outcome.out)] == ["accepted"]
    assert "No new entries" in evals("board", "ingest", board).out
    assert (board / "results" / "acme-tiny@v1.json").exists()


def test_submit_does_not_write_an_entry_that_would_be_refused(tmp_path: Path) -> None:
    board = create_board(tmp_path)
    data = boards.write_data(tmp_path)
    run = boards.run(tmp_path / "results", data, boards.answers(data, 0.6, 1), limit=20)
    (tmp_path / "card.toml").write_text(CARD)
    arguments = ("board", "submit", run.card.run, "--to", board, "--model-card", tmp_path / "card.toml")
    outcome = evals(*arguments, "--results", tmp_path / "results")
    assert outcome.status == 1
    assert "another subset" in outcome.out
    assert [path.name for path in (board / "entries").iterdir()] == [".gitkeep"]


@pytest.mark.parametrize(
    "line",
    [
        'model = "acme/../../x"',
        'model = ""',
        'weights = "ajar"',
        'licence = " "',
        'contact = "<b>me</b>"',
        'url = "javascript:alert(1)"',
        'url = "http://example.org"',
        "parameters_b = -1",
        "active_b = 3",
        'colour = "red"',
    ],
)
def test_invalid_model_cards_are_one_line_errors(tmp_path: Path, line: str) -> None:
    from evals.board.submission import read_model_card

    key = line.partition(" =")[0]
    other_lines = [card_line for card_line in CARD.splitlines() if not card_line.startswith(key)]
    (tmp_path / "card.toml").write_text("\n".join([*other_lines, line]))
    with raises(UsageError) as error:
        read_model_card(tmp_path / "card.toml")
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    "text",
    [
        pytest.param("", id="empty"),
        pytest.param(
            'format = 2\nid = "abc"\ntitle = ""\n[[suite]]\nname = "a"\nprotocol = "b"', id="other format"
        ),
        pytest.param(
            'format = 1\nid = "A b"\ntitle = ""\n[[suite]]\nname = "a"\nprotocol = "b"', id="invalid id"
        ),
        pytest.param('format = 1\nid = "abc"\ntitle = ""\nsuite = []', id="no suites"),
        pytest.param(
            'format = 1\nid = "abc"\ntitle = ""\n' + '[[suite]]\nname = "a"\nprotocol = "b"\n' * 2,
            id="suite listed twice",
        ),
        pytest.param(
            'format = 1\nid = "abc"\ntitle = ""\n[[suite]]\nname = "a"\nprotocol = "b"\njugde = "x"',
            id="misspelt key",
        ),
        pytest.param("format = ", id="not TOML"),
    ],
)
def test_invalid_policies_are_one_line_errors(text: str) -> None:
    with raises(UsageError) as error:
        policy.parse(text.encode())
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    "change",
    [
        ("disputed", "banned"),
        ("disputed", "superseded"),
        ('reason = "why"', 'reason = ""'),
        ('reason = "why"', 'reason = "<script>"'),
        ("2026-11-29", '"yesterday"'),
    ],
    ids=lambda change: change[1],
)
def test_invalid_decisions_are_one_line_errors(tmp_path: Path, change: tuple[str, str]) -> None:
    text = '[[decision]]\nentry = "a@v1"\nkind = "disputed"\nby = "me"\ndate = 2026-11-29\nreason = "why"\n'
    (tmp_path / decisions.NAME).write_text(text.replace(*change))
    with raises(UsageError) as error:
        decisions.read(tmp_path)
    assert "\n" not in str(error.value)


def test_ingesting_a_folder_that_is_not_a_board_is_an_error(tmp_path: Path) -> None:
    evals("board", "ingest", tmp_path).assert_usage_error()


def test_a_submission_is_valid_toml(tmp_path: Path) -> None:
    import zipfile

    board = create_board(tmp_path)
    data = boards.write_data(tmp_path)
    entry = boards.submit(board, boards.run(tmp_path / "results", data, boards.answers(data, 0.6, 1)))
    with zipfile.ZipFile(entry) as archive:
        submission = tomllib.loads(archive.read("submission.toml").decode())
    assert submission["model"] == "acme/tiny"
    assert [run["suite"] for run in submission["runs"]] == ["mmlu-pro"]
