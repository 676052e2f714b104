"""`evals board`: a board created, an entry submitted and ingested, by the commands that its README names."""

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


def created(folder: Path) -> Path:
    done = evals("board", "init", folder / "board", "mmlu-pro", "aime:2025", "--title", "Sums & more")
    assert done.status == 0, done.err
    return folder / "board"


def test_init_makes_a_valid_board(tmp_path: Path) -> None:
    board = created(tmp_path)
    rules = policy.read(board)
    assert [rule.label for rule in rules.suite] == ["mmlu-pro (strict)", "aime:2025 (strict)"]
    assert rules.title == "Sums & more"
    assert decisions.read(board) == ()
    assert "{{" not in "".join(path.read_text() for path in board.rglob("*") if path.is_file()).replace(
        "${{", ""
    )
    other = tmp_path / "other"
    evals("board", "init", other, "mmlu-pro")
    assert policy.read(other).id != rules.id


def test_init_does_not_overwrite(tmp_path: Path) -> None:
    board = created(tmp_path)
    done = evals("board", "init", board, "mmlu-pro")
    assert done.status == 2
    assert "is not an empty folder" in done.err


def test_submit_and_ingest(tmp_path: Path) -> None:
    board = created(tmp_path)
    data = boards.write_data(tmp_path)
    stored = boards.run(tmp_path / "results", data, boards.answers(data, 0.6, 1))
    (tmp_path / "card.toml").write_text(CARD)
    words = ("board", "submit", stored.card.run, "--to", board, "--model-card", tmp_path / "card.toml")
    done = evals(*words, "--results", tmp_path / "results")
    assert done.status == 0, done.err + done.out
    assert "acme-tiny@v1: accepted" in done.out
    assert not (board / "results").exists()
    again = evals(*words, "--results", tmp_path / "results")
    assert again.status == 2
    assert "another revision" in again.err
    done = evals("board", "ingest", board, "--json")
    assert done.status == 0, done.err
    assert [result["status"] for result in json.loads(done.out)] == ["accepted"]
    assert "No new entries" in evals("board", "ingest", board).out
    assert (board / "results" / "acme-tiny@v1.json").exists()


def test_what_would_be_refused_is_not_written(tmp_path: Path) -> None:
    board = created(tmp_path)
    data = boards.write_data(tmp_path)
    stored = boards.run(tmp_path / "results", data, boards.answers(data, 0.6, 1), limit=20)
    (tmp_path / "card.toml").write_text(CARD)
    words = ("board", "submit", stored.card.run, "--to", board, "--model-card", tmp_path / "card.toml")
    done = evals(*words, "--results", tmp_path / "results")
    assert done.status == 1
    assert "another subset" in done.out
    assert [path.name for path in (board / "entries").iterdir()] == [".gitkeep"]


@pytest.mark.parametrize(
    ("line", "words"),
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
def test_faulty_model_cards_get_one_line(tmp_path: Path, line: str, words: str) -> None:
    from evals.board.submission import read_model_card

    name = line.partition(" =")[0]
    kept = [old for old in CARD.splitlines() if not old.startswith(name)]
    (tmp_path / "card.toml").write_text("\n".join([*kept, line]))
    with pytest.raises(UsageError) as error:
        read_model_card(tmp_path / "card.toml")
    assert words in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("text", "words"),
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
def test_faulty_policies_get_one_line(text: str, words: str) -> None:
    with pytest.raises(UsageError) as error:
        policy.parse(text.encode())
    assert words in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (("disputed", "banned"), "known: withdrawn, disputed"),
        (("disputed", "superseded"), "replacement"),
        (('reason = "why"', 'reason = ""'), "reason is empty"),
        (('reason = "why"', 'reason = "<script>"'), "reason contains markup"),
        (("2026-11-29", '"yesterday"'), "decision"),
    ],
)
def test_faulty_decisions_get_one_line(tmp_path: Path, change: tuple[str, str], words: str) -> None:
    text = '[[decision]]\nentry = "a@v1"\nkind = "disputed"\nby = "me"\ndate = 2026-11-29\nreason = "why"\n'
    (tmp_path / decisions.NAME).write_text(text.replace(*change))
    with pytest.raises(UsageError) as error:
        decisions.read(tmp_path)
    assert words in str(error.value)
    assert "\n" not in str(error.value)


def test_a_folder_that_is_no_board(tmp_path: Path) -> None:
    done = evals("board", "ingest", tmp_path)
    assert done.status == 2
    assert "`evals board init` creates one" in done.err


def test_a_submission_is_readable_toml(tmp_path: Path) -> None:
    import zipfile

    board = created(tmp_path)
    data = boards.write_data(tmp_path)
    entry = boards.submit(board, boards.run(tmp_path / "results", data, boards.answers(data, 0.6, 1)))
    with zipfile.ZipFile(entry) as archive:
        stated = tomllib.loads(archive.read("submission.toml").decode())
    assert stated["model"] == "acme/tiny"
    assert [run["suite"] for run in stated["runs"]] == ["mmlu-pro"]
