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
    outcome = evals("board", "init", board, "mmlu-pro")
    assert outcome.status == 2
    assert "is not an empty folder" in outcome.err


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
    second_outcome = evals(*arguments, "--results", tmp_path / "results")
    assert second_outcome.status == 2
    assert "another revision" in second_outcome.err
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
    ("line", "message"),
    [
        ('model = "acme/../../x"', "model must be"),
        ('model = ""', "model must be"),
        ('weights = "ajar"', "known: open, closed"),
        ('licence = " "', "licence is empty"),
        ('contact = "<b>me</b>"', "contact contains markup"),
        ('url = "javascript:alert(1)"', "url contains markup"),
        ('url = "http://example.org"', "url must begin with https://"),
        ("parameters_b = -1", "parameters_b"),
        ("active_b = 3", "active_b requires"),
        ('colour = "red"', "unknown key 'colour'"),
    ],
)
def test_invalid_model_cards_are_one_line_errors(tmp_path: Path, line: str, message: str) -> None:
    from evals.board.submission import read_model_card

    key = line.partition(" =")[0]
    other_lines = [card_line for card_line in CARD.splitlines() if not card_line.startswith(key)]
    (tmp_path / "card.toml").write_text("\n".join([*other_lines, line]))
    with pytest.raises(UsageError) as error:
        read_model_card(tmp_path / "card.toml")
    assert message in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "'format' is missing"),
        ('format = 2\nid = "abc"\ntitle = ""\n[[suite]]\nname = "a"\nprotocol = "b"', "format 2"),
        ('format = 1\nid = "A b"\ntitle = ""\n[[suite]]\nname = "a"\nprotocol = "b"', "lower-case"),
        ('format = 1\nid = "abc"\ntitle = ""\nsuite = []', "lists no suites"),
        (
            'format = 1\nid = "abc"\ntitle = ""\n' + '[[suite]]\nname = "a"\nprotocol = "b"\n' * 2,
            "listed 2 times",
        ),
        ('format = 1\nid = "abc"\ntitle = ""\n[[suite]]\nname = "a"\nprotocol = "b"\njugde = "x"', "judge"),
        ("format = ", "board.toml"),
    ],
)
def test_invalid_policies_are_one_line_errors(text: str, message: str) -> None:
    with pytest.raises(UsageError) as error:
        policy.parse(text.encode())
    assert message in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (("disputed", "banned"), "known: withdrawn, disputed"),
        (("disputed", "superseded"), "replacement"),
        (('reason = "why"', 'reason = ""'), "reason is empty"),
        (('reason = "why"', 'reason = "<script>"'), "reason contains markup"),
        (("2026-11-29", '"yesterday"'), "decision"),
    ],
)
def test_invalid_decisions_are_one_line_errors(tmp_path: Path, change: tuple[str, str], message: str) -> None:
    text = '[[decision]]\nentry = "a@v1"\nkind = "disputed"\nby = "me"\ndate = 2026-11-29\nreason = "why"\n'
    (tmp_path / decisions.NAME).write_text(text.replace(*change))
    with pytest.raises(UsageError) as error:
        decisions.read(tmp_path)
    assert message in str(error.value)
    assert "\n" not in str(error.value)


def test_ingesting_a_folder_that_is_not_a_board_is_an_error(tmp_path: Path) -> None:
    outcome = evals("board", "ingest", tmp_path)
    assert outcome.status == 2
    assert "`evals board init` creates one" in outcome.err


def test_a_submission_is_valid_toml(tmp_path: Path) -> None:
    import zipfile

    board = create_board(tmp_path)
    data = boards.write_data(tmp_path)
    entry = boards.submit(board, boards.run(tmp_path / "results", data, boards.answers(data, 0.6, 1)))
    with zipfile.ZipFile(entry) as archive:
        submission = tomllib.loads(archive.read("submission.toml").decode())
    assert submission["model"] == "acme/tiny"
    assert [run["suite"] for run in submission["runs"]] == ["mmlu-pro"]
