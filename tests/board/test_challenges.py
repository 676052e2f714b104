"""The level `challenged`: which outcomes of challenges count, and that entries cannot supply one."""

from __future__ import annotations

import json
import shutil
import zipfile
from pathlib import Path
from typing import Any

import pytest
from msgspec import structs

from evals.board import levels, policy, results
from evals.board.ingest import ingest
from evals.challenge import outcome
from evals.challenge.summary import Challenge
from evals.errors import UsageError
from evals.records import store
from tests.support import bigram, boards
from tests.support.command import evals
from tests.support.error_messages import raises

ENTRY = "acme-tiny@v1"


@pytest.fixture(scope="module")
def ingested_board(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("challenged")
    data = boards.write_data(folder)
    boards.write_board(folder / "board")
    boards.submit(folder / "board", boards.run(folder / "a", data, boards.answers(data, 0.6, 1)))
    assert [result.status for result in ingest(folder / "board")] == ["accepted"]
    return folder / "board"


@pytest.fixture
def board(ingested_board: Path, tmp_path: Path) -> Path:
    shutil.copytree(ingested_board, tmp_path / "board")
    return tmp_path / "board"


def ingest_challenge(board: Path) -> Challenge:
    """Ingest and return the one challenge of the board."""
    assert list(ingest(board)) == []
    (challenge,) = levels.read(board).challenges
    return challenge


def level(board: Path) -> str:
    return levels.read(board).level_and_challenge(ENTRY, "mmlu-pro", "strict")[0]


@pytest.mark.parametrize(
    ("verdict", "expected"),
    [
        ("consistent", "challenged"),
        ("close", "challenged"),
        ("different", "recomputed"),
        ("untestable", "recomputed"),
    ],
)
def test_the_verdict_determines_the_level(board: Path, verdict: outcome.Verdict, expected: str) -> None:
    boards.challenge(board, verdict=verdict, reason="why")
    challenge = ingest_challenge(board)
    assert (challenge.fault, challenge.valid_verdict, challenge.reason) == ("", verdict, "why")
    assert level(board) == expected


def test_without_challenges_no_levels_are_written(board: Path) -> None:
    assert list(ingest(board)) == []
    assert not (board / "results" / results.LEVELS).exists()
    assert level(board) == "recomputed"


def test_levels_written_by_earlier_versions_are_readable(board: Path) -> None:
    (board / "results" / results.LEVELS).write_text('{"format": 1, "reruns": []}')
    assert levels.read(board) == levels.Levels()


@pytest.mark.parametrize(
    ("changes", "fault"),
    [
        ({"bundle_sha256": "0" * 64}, "it belongs to the bundle 0000000000000000, not to the entry's bundle"),
        ({"bundle_sha256": ""}, "it belongs to a run's folder, not to the entry's bundle"),
        ({"run": "another"}, "not to the entry's bundle"),
        ({"suite": "gpqa:diamond"}, "it belongs to gpqa:diamond (strict)"),
        ({"protocol": "official"}, "it belongs to mmlu-pro (official)"),
        ({"alpha": 0.05}, "alpha is 0.05; the board allows at most 0.01"),
        ({"alpha": 0.05, "verdict": "different"}, "alpha is 0.05; the board allows at most 0.01"),
        ({"alpha": 1e-9}, "alpha is 1e-09; the board requires at least 0.001"),
        ({"replies": 59}, "replies tested: 59; the board requires 60"),
        ({"format": 2}, "format 2; this version reads 1"),
        ({"verdict": "proven"}, "unknown value 'proven'"),
        ({"verdict": "rerun"}, "unknown value 'rerun'"),
        ({"method": "oracle"}, "unknown value 'oracle'"),
        ({"alpha": 0}, "alpha"),
        ({"replies": -60}, "replies"),
        ({"replies": 1 << 60}, "replies"),
        ({"first_choices": 2}, "first_choices"),
        ({"e_value": -1}, "e_value"),
    ],
)
def test_an_outcome_that_does_not_count_has_a_reason(
    board: Path, changes: dict[str, Any], fault: str
) -> None:
    boards.challenge(board, **changes)
    challenge = ingest_challenge(board)
    assert fault in challenge.fault
    assert challenge.valid_verdict is None
    assert level(board) == "recomputed"


def test_a_rejection_counts_with_few_replies_and_a_small_alpha(board: Path) -> None:
    boards.challenge(board, verdict="different", replies=7, alpha=1e-6)
    assert ingest_challenge(board).valid_verdict == "different"


@pytest.mark.parametrize("content", [b"", b"[]", b"{}", b"\xff", b"[" * 100_000, b"x" * (2 << 20)])
def test_an_unreadable_outcome_does_not_count(board: Path, content: bytes) -> None:
    boards.challenge(board).write_bytes(content)
    challenge = ingest_challenge(board)
    assert challenge.fault
    assert str(board) not in challenge.fault
    assert level(board) == "recomputed"


def test_outcomes_of_unknown_entries_and_suites_are_ignored(board: Path) -> None:
    path = boards.challenge(board)
    shutil.copytree(path.parent, path.parent.with_name("x@y"))
    path.rename(path.with_name("gpqa@strict.json"))
    assert list(ingest(board)) == []
    assert levels.read(board).challenges == ()


def test_texts_of_an_outcome_become_one_printable_line(board: Path) -> None:
    hostile = "\x1b]0;title\x07\x1b[31m<script>alert(1)</script>\n\u202eline" + "x" * 5000
    boards.challenge(board, verdict="untestable", **dict.fromkeys(("reason", "reader", "backend"), hostile))
    challenge = ingest_challenge(board)
    for text in (challenge.reason, challenge.reader, challenge.backend):
        assert text.isprintable()
        assert len(text) <= 300


def test_extreme_times_and_seeds_of_an_outcome_do_not_break_pages(board: Path) -> None:
    pytest.importorskip("jinja2", reason="the extra `board` is not installed")
    boards.challenge(board, challenged=1e12, seed=1 << 70)
    ingest_challenge(board)
    command_outcome = evals("board", "site", board, "--out", board / "site")
    assert command_outcome.status == 0, command_outcome.err


def test_removing_the_outcome_removes_the_level(board: Path) -> None:
    path = boards.challenge(board)
    assert ingest_challenge(board).passed
    path.unlink()
    list(ingest(board))
    assert levels.read(board).challenges == ()
    assert level(board) == "recomputed"


def test_the_level_rerun_takes_precedence_over_challenged(board: Path) -> None:
    rerun = levels.Rerun(
        entry=ENTRY, suite="mmlu-pro", protocol="strict", bundle_sha256="0", agrees=True, margin=0.1
    )
    challenge = Challenge(entry=ENTRY, suite="mmlu-pro", protocol="strict", verdict="close")
    board_levels = levels.Levels(reruns=(rerun,), challenges=(challenge,))
    assert board_levels.level_and_challenge(ENTRY, "mmlu-pro", "strict") == ("rerun", challenge)


def test_an_entry_cannot_contain_an_outcome(board: Path, tmp_path: Path) -> None:
    """An entry with an outcome, beside its bundle or inside, is refused under every name that a board reads."""
    data = boards.write_data(tmp_path)
    run = boards.run(tmp_path / "b", data, boards.answers(data, 0.6, 2))
    content = boards.challenge(board).read_bytes()
    shutil.rmtree(board / outcome.FOLDER)
    names = ("challenge.json", f"{outcome.FOLDER}/{ENTRY}/mmlu-pro@strict.json", "results/levels.json")
    for number, name in enumerate(names):
        for in_bundle in (False, True):
            entry = boards.submit(board, run, revision=f"f{number}{in_bundle:d}")
            boards.forge(entry, lambda files, name=name: files.update({name: content}), bundle=in_bundle)
            (result,) = ingest(board, [entry.name], write=False)
            assert result.status == "refused"
            entry.unlink()
    assert not (board / outcome.FOLDER).exists()


def test_the_policy_limits_which_outcomes_count(board: Path) -> None:
    text = (board / policy.NAME).read_text()
    policy_hash = policy.read(board).sha256
    (board / policy.NAME).write_text(f"{text}[challenge]\nminimum_replies = 200\nmaximum_alpha = 0.05\n")
    assert policy.read(board).sha256 == policy_hash, "results of entries do not depend on it"
    boards.challenge(board, alpha=0.05, replies=100)
    assert ingest_challenge(board).fault == "replies tested: 100; the board requires 200"
    boards.challenge(board, alpha=0.05, replies=200)
    assert ingest_challenge(board).passed


@pytest.mark.parametrize(
    "table",
    [
        "minimum_replies = 0",
        "maximum_alpha = 1.0",
        "maximum_alpha = 0.0",
        "minimum_alpha = 0.5",
        "minimum = 3",
    ],
)
def test_an_invalid_policy_is_refused(board: Path, table: str) -> None:
    path = board / policy.NAME
    path.write_text(f"{path.read_text()}[challenge]\n{table}\n")
    with raises(UsageError):
        policy.read(board)


def test_ingest_reports_outcomes_that_do_not_count(board: Path) -> None:
    boards.challenge(board, alpha=0.05)
    command_outcome = evals("board", "ingest", board)
    assert command_outcome.status == 0, command_outcome.err
    assert f"challenge of {ENTRY}, mmlu-pro (strict) does not count: alpha is 0.05" in command_outcome.err
    boards.challenge(board, verdict="different", reason="first choices 0.41")
    command_outcome = evals("board", "ingest", board)
    assert "different" in json.dumps(
        json.loads((board / "results" / "levels.json").read_text())["challenges"]
    )
    assert "does not count" not in command_outcome.err


@pytest.mark.parametrize(
    ("reader", "verdict", "expected"),
    [("bigram:1", "consistent", "challenged"), ("bigram:2", "different", "recomputed")],
)
def test_a_challenge_of_an_entry_sets_its_level(
    tmp_path: Path, reader: str, verdict: str, expected: str
) -> None:
    """The operator extracts the bundle of an entry, tests it with the claimed model, and ingests the outcome."""
    data, board = boards.write_data(tmp_path), tmp_path / "board"
    boards.write_board(board, maximum_truncated=1.0)
    with bigram.install(tmp_path):
        run = boards.run(tmp_path / "a", data, "bigram:1", temperature=0.8, max_tokens=60, run="named")
        config = run.card.config
        sampling = structs.replace(config.sampling, top_p=1.0, top_k=0)
        store.write_card(
            run.path, structs.replace(run.card, config=structs.replace(config, sampling=sampling))
        )
        entry = boards.submit(board, run)
        (result,) = ingest(board)
        assert (result.status, result.reasons) == ("accepted", ())
        with zipfile.ZipFile(entry) as archive:
            bundle = archive.extract("mmlu-pro@strict.zip", tmp_path)
        command_outcome = evals(
            "board", "challenge", bundle, "-m", reader, "--to", board / outcome.FOLDER / ENTRY, "--seed", "5"
        )
        assert command_outcome.status in (0, 1), command_outcome.err
    challenge = ingest_challenge(board)
    assert (challenge.valid_verdict, challenge.reader) == (verdict, reader)
    assert level(board) == expected
