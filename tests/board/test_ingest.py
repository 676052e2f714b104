"""Entries of a board: honest ones are recomputed; hostile ones are refused in one line, and nothing of them is published."""

from __future__ import annotations

import json
import shutil
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
from msgspec import structs

from evals import load
from evals.board import decisions, results
from evals.board.ingest import ingest
from evals.board.results import EntryResult
from evals.errors import UsageError
from evals.records.files import Gold, compact
from evals.records.store import Run
from evals.report.estimates import summarize
from evals.types import Record, Sample
from tests.support import boards
from tests.support.boards import edit_card, edit_records, forge
from tests.support.error_messages import raises
from tests.support.paths import ROOT

ESSAY = "Adding the tens first and the units after them gives the sum that is asked for here, as follows."


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return boards.write_data(tmp_path_factory.mktemp("data"))


@pytest.fixture(scope="module")
def honest_run(tmp_path_factory: pytest.TempPathFactory, data: Path) -> Run:
    return boards.run(tmp_path_factory.mktemp("honest"), data, boards.answers(data, 0.6, 1))


@pytest.fixture
def board(tmp_path: Path) -> Iterator[Path]:
    boards.write_board(tmp_path / "board")
    yield tmp_path / "board"
    assert not list((tmp_path / "board").rglob("*.part"))


def ingest_last(board: Path, **options: Any) -> EntryResult:
    *_, result = ingest(board, **options)
    return result


def ingest_refused(board: Path, *fragments: str) -> EntryResult:
    """Ingest, assert that the last entry is refused in one line that contains these fragments, and return its result."""
    result = ingest_last(board)
    assert result.status == "refused"
    assert all(fragment in result.reasons[0] for fragment in fragments), result.reasons
    assert all("\n" not in line and line.isprintable() and len(line) < 400 for line in result.reasons)
    assert result.model is None
    assert result.suites == ()
    return result


def test_an_honest_entry_is_recomputed(board: Path, honest_run: Run) -> None:
    boards.submit(board, honest_run)
    result = ingest_last(board)
    assert (result.status, result.reasons) == ("accepted", ())
    (suite,) = result.suites
    assert suite.headline is not None
    assert suite.headline == honest_run.card.headline
    assert suite.level == "recomputed"


def test_ingest_is_idempotent_and_deterministic(board: Path, honest_run: Run) -> None:
    boards.submit(board, honest_run)
    ingest_last(board)
    contents = {path: path.read_bytes() for path in (board / "results").iterdir()}
    assert list(ingest(board)) == []
    assert {path: path.read_bytes() for path in (board / "results").iterdir()} == contents
    shutil.rmtree(board / "results")
    ingest_last(board)
    assert {path: path.read_bytes() for path in (board / "results").iterdir()} == contents


def test_ingest_without_write_writes_nothing(board: Path, honest_run: Run) -> None:
    boards.submit(board, honest_run)
    assert ingest_last(board, write=False).status == "accepted"
    assert not (board / "results").exists()


def test_results_contain_neither_replies_nor_answers(board: Path, tmp_path: Path, data: Path) -> None:
    boards.submit(board, boards.run(tmp_path / "r", data, boards.answers(data, 0.5, 3, essay=ESSAY)))
    ingest_last(board)
    text = (board / "results" / "acme-tiny@v1.json").read_text()
    assert ESSAY not in text
    assert "ANSWER" not in text


def test_entries_are_scored_with_the_boards_own_data(
    board: Path, honest_run: Run, data: Path, tmp_path: Path
) -> None:
    boards.submit(board, honest_run)
    (tmp_path / "gold").mkdir()
    shutil.copy(data, tmp_path / "gold")
    assert ingest_last(board, gold=tmp_path / "gold").status == "accepted"
    text = (tmp_path / "gold" / data.name).read_text().replace('"answer": "A"', '"answer": "B"')
    (tmp_path / "gold" / data.name).write_text(text.replace('"answer_index": 0', '"answer_index": 1'))
    shutil.rmtree(board / "results")
    result = ingest_last(board, gold=tmp_path / "gold")
    assert result.status == "refused"


def keep_right_answers(files: boards.Files) -> None:
    """Remove all samples that were not answered correctly, and recompute the card."""
    records = [msgspec.json.decode(line, type=Record) for line in files["records.jsonl"].splitlines()]
    kept = [record for record in records if record.scores["choice"].verdict == "right"]
    ids = {record.sample for record in kept}
    samples = [msgspec.json.decode(line, type=Sample) for line in files["samples.jsonl"].splitlines()]
    golds = {sample.id: Gold.of(sample) for sample in samples if sample.id in ids}
    (suite,) = load.recorded_suite("mmlu-pro", "strict")
    metrics = suite.metrics_for(golds)
    summary = summarize(map(compact, kept), golds, metrics, scorers=tuple(suite.scorers), repeats=1)
    files["records.jsonl"] = msgspec.json.Encoder().encode_lines(kept)
    files["samples.jsonl"] = msgspec.json.Encoder().encode_lines([s for s in samples if s.id in ids])
    fields = msgspec.to_builtins(summary)
    edit_card(lambda card: card.update({name: fields[name] for name in fields}))(files)


@pytest.mark.parametrize("has_gold", [False, True], ids=["without", "with"])
def test_an_entry_that_lacks_the_items_it_got_wrong_is_refused(
    board: Path, honest_run: Run, data: Path, tmp_path: Path, has_gold: bool
) -> None:
    forge(boards.submit(board, honest_run), keep_right_answers)
    (tmp_path / "gold").mkdir()
    shutil.copy(data, tmp_path / "gold")
    result = ingest_last(board, gold=tmp_path / "gold" if has_gold else None)
    assert result.status == "refused"
    assert ("samples missing" if has_gold else "data_sha256") in result.reasons[0]


def test_a_subset_other_than_that_of_its_seed_is_refused(board: Path, data: Path, tmp_path: Path) -> None:
    boards.write_board(board, limit=50)
    entry = boards.submit(
        board, boards.run(tmp_path / "r", data, boards.answers(data, 0.6, 1), limit=50, seed=1)
    )
    (tmp_path / "gold").mkdir()
    shutil.copy(data, tmp_path / "gold")
    forge(entry, edit_card(lambda card: card["config"].update(seed=0)))
    result = ingest_last(board, gold=tmp_path / "gold")
    assert result.status == "refused"
    assert any("samples missing or not selected by the run" in reason for reason in result.reasons)


# ---- tampering -------------------------------------------------------------------------------------------------


def answer_a(record: dict[str, Any]) -> None:
    record["outcome"]["text"] = "ANSWER: A"


def score_as_right(record: dict[str, Any]) -> None:
    for score in record["scores"].values():
        score.update(value=1.0, verdict="right")


def change_temperature(card: dict[str, Any]) -> None:
    card["config"]["sampling"]["temperature"] = 0.7


def change_run_id(card: dict[str, Any]) -> None:
    card["run"] = "20260101T000000-abcdef"


def change_suite_version(card: dict[str, Any]) -> None:
    card["config"]["version"] = "0"


def name_model_with_script(card: dict[str, Any]) -> None:
    card["model"] = "<script>alert(1)</script>"


def limit_to_ten_items(card: dict[str, Any]) -> None:
    card["config"]["limit"] = 10


FORGERIES: dict[str, tuple[Callable[[boards.Files], None], tuple[str, ...]]] = {
    "edited replies": (edit_records(answer_a), ("rescored",)),
    "edited scores": (edit_records(score_as_right), ("rescored",)),
    "a card with another temperature": (
        edit_card(change_temperature),
        ("does not belong to its configuration",),
    ),
    "id of another run": (edit_card(change_run_id), ("do not name the same run",)),
    "an old suite version": (edit_card(change_suite_version), ("version 0",)),
    "a script in the card": (edit_card(name_model_with_script), ("model contains markup",)),
    "a subset": (edit_card(limit_to_ten_items), ()),
}


@pytest.mark.parametrize("name", FORGERIES)
def test_forged_bundles_are_refused(board: Path, honest_run: Run, name: str) -> None:
    change, reasons = FORGERIES[name]
    forge(boards.submit(board, honest_run), change)
    result = ingest_refused(board)
    assert all(any(reason in line for line in result.reasons) for reason in reasons), result.reasons


def test_an_entry_with_a_changed_byte_is_refused(board: Path, honest_run: Run) -> None:
    entry = boards.submit(board, honest_run)
    content = bytearray(entry.read_bytes())
    content[len(content) // 2] ^= 1
    entry.write_bytes(content)
    assert ingest_last(board).status == "refused"


# ---- files of an entry -----------------------------------------------------------------------------------------


def replace_in_submission(old: bytes, new: bytes) -> Callable[[boards.Files], None]:
    def change(files: boards.Files) -> None:
        assert old in files["submission.toml"]
        files["submission.toml"] = files["submission.toml"].replace(old, new)

    return change


def add_file(name: str, content: bytes = b"x") -> Callable[[boards.Files], None]:
    def change(files: boards.Files) -> None:
        files[name] = content

    return change


HOSTILE_ENTRIES: dict[str, tuple[Callable[[boards.Files], None], str]] = {
    "another board's entry": (replace_in_submission(b'"board-1"', b'"board-2"'), "another board"),
    "path traversal": (add_file("../../evil.zip"), "are not those listed"),
    "an absolute path": (add_file("/etc/cron.d/evil"), "are not those listed"),
    "path traversal in the submission": (
        replace_in_submission(b"mmlu-pro@strict.zip", b"../mmlu-pro@strict.zip"),
        "SUITE@PROTOCOL.zip",
    ),
    "Parquet": (add_file("records.parquet", b"PAR1" * 1000), "are not those listed"),
    "markup in a statement": (
        replace_in_submission(b"no benchmark", b"<img src=x onerror=alert(1)>"),
        "contains markup",
    ),
    "control characters": (replace_in_submission(b"no benchmark", b"\\u001b[2J"), "control characters"),
    "another suite": (
        replace_in_submission(b'suite = "mmlu-pro"', b'suite = "gpqa"'),
        "not part of the board",
    ),
    "a suite that loads code": (
        replace_in_submission(b'suite = "mmlu-pro"', b'suite = "lm-eval:/tmp/evil"'),
        "not part of the board",
    ),
    "another run": (replace_in_submission(b'run = "2', b'run = "1'), "do not name the same run"),
    "an unknown key": (replace_in_submission(b"weights", b"weight"), "weight"),
    "no submission": (lambda files: files.pop("submission.toml") and None, "contains no submission.toml"),
    "an invalid bundle": (add_file("mmlu-pro@strict.zip"), ""),
}


@pytest.mark.parametrize("name", HOSTILE_ENTRIES)
def test_hostile_entries_are_refused(board: Path, honest_run: Run, name: str) -> None:
    change, reason = HOSTILE_ENTRIES[name]
    forge(boards.submit(board, honest_run), change, bundle=False)
    ingest_refused(board, reason)


@pytest.mark.slow
def test_a_zip_bomb_is_refused(board: Path, honest_run: Run) -> None:
    def inflate(files: boards.Files) -> None:
        files["records.jsonl"] = b"\n" * (300 << 20)

    forge(boards.submit(board, honest_run), inflate)
    ingest_refused(board)


def test_a_bundle_over_the_limit_of_unpacked_size_is_refused(board: Path, honest_run: Run) -> None:
    (board / "board.toml").write_text((board / "board.toml").read_text() + "\n[limits]\nunpacked_mb = 1\n")

    def inflate(files: boards.Files) -> None:
        files["records.jsonl"] = b"\n" * (4 << 20)

    forge(boards.submit(board, honest_run), inflate)
    ingest_refused(board, "unpacks to")


def test_an_entry_must_be_named_after_its_model_and_revision(board: Path, honest_run: Run) -> None:
    entry = boards.submit(board, honest_run)
    entry.rename(entry.with_name("other@v9.zip"))
    ingest_refused(board, "must be named acme-tiny@v1.zip")


@pytest.mark.parametrize("name", ["readme.md", "no-revision.zip", "a@b@c.zip"])
def test_other_files_in_the_folder_of_entries_are_an_error(board: Path, name: str) -> None:
    (board / "entries" / name).write_text("x")
    with raises(UsageError):
        ingest_last(board)


def test_a_file_that_is_not_a_zip_is_refused(board: Path) -> None:
    (board / "entries" / "x@y.zip").write_text("x")
    ingest_refused(board, "not a readable zip file")


@pytest.mark.slow
def test_more_entries_than_the_limit_are_refused_together(board: Path) -> None:
    for number in range(10_000):
        (board / "entries" / f"x@{number}.zip").write_text("x")
    with raises(UsageError):
        ingest_last(board)
    assert not (board / "results").exists()


# ---- rules ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("rule", "reason"),
    [
        ({"minimum_repeats": 4}, "the number of repeats is 1; the board requires 4"),
        ({"limit": 50}, "another subset; the board requires 50 items"),
        ({"temperature": 0.6}, "temperature is"),
        ({"judge": "gpt-oss"}, "the judge is none; the board requires gpt-oss"),
        ({"data_sha256": "0" * 64}, "its data hash to"),
    ],
)
def test_entries_that_violate_a_rule_of_the_board_are_refused(
    board: Path, honest_run: Run, rule: dict[str, Any], reason: str
) -> None:
    boards.write_board(board, **rule)
    boards.submit(board, honest_run)
    ingest_refused(board, reason)


def test_runs_on_built_in_samples_are_refused_unless_the_board_uses_them(board: Path, tmp_path: Path) -> None:
    import evals

    (run,) = evals.evaluate("mmlu-pro", lambda prompt: "ANSWER: A", sample=True, results=tmp_path, quiet=True)
    boards.submit(board, run)
    ingest_refused(board, "built-in samples")
    data_sha256 = run.card.config.data_sha256
    boards.write_board(board, data_sha256=data_sha256)
    assert ingest_last(board).status == "accepted"


@pytest.mark.slow
def test_identical_repeats_at_nonzero_temperature_are_refused(
    board: Path, tmp_path: Path, data: Path
) -> None:
    model = boards.answers(data, 0.5, 4, essay=ESSAY)
    boards.submit(board, boards.run(tmp_path / "r", data, model, repeats=2, temperature=1.0))
    ingest_refused(board, "repeated replies are identical")


def test_an_implausibly_high_score_is_held_until_it_is_accepted(
    board: Path, tmp_path: Path, data: Path
) -> None:
    boards.submit(board, boards.run(tmp_path / "r", data, boards.answers(data, 1.0, 1)))
    result = ingest_last(board)
    assert result.status == "held"
    assert "above the plausible maximum of 0.995" in result.reasons[0]
    (board / decisions.NAME).write_text(
        '[[decision]]\nentry = "acme-tiny@v1"\nkind = "accepted"\nby = "me"\ndate = 2026-11-29\nreason = "additions"\n'
    )
    assert ingest_last(board).status == "accepted"


@pytest.mark.slow
def test_an_implausible_gain_is_held(board: Path, tmp_path: Path, data: Path, honest_run: Run) -> None:
    boards.submit(board, boards.run(tmp_path / "r", data, boards.answers(data, 0.2, 9)), "acme/weak")
    ingest_last(board)
    boards.submit(board, honest_run, "zeta/strong")
    result = ingest_last(board)
    assert result.status == "held"
    assert "is better than the best entry's by" in result.reasons[0]


# ---- other entries -----------------------------------------------------------------------------------------------


def test_a_run_that_another_entry_contains_is_refused(board: Path, honest_run: Run) -> None:
    boards.submit(board, honest_run)
    boards.submit(board, honest_run, revision="v2")
    ingest_refused(board, "is already part of acme-tiny@v1")


@pytest.mark.slow
def test_an_entry_with_the_same_errors_as_another_is_refused(board: Path, tmp_path: Path, data: Path) -> None:
    for number, name in enumerate(["acme/first", "zeta/copy"]):
        boards.submit(board, boards.run(tmp_path / str(number), data, boards.answers(data, 0.5, 5)), name)
    assert any(
        "copied from acme-first@v1: all answers are identical" in line
        for line in ingest_refused(board).reasons
    )


@pytest.mark.slow
def test_an_entry_with_copied_long_replies_is_refused(board: Path, tmp_path: Path, data: Path) -> None:
    first_model = boards.answers(data, 0.5, 6, essay=ESSAY)
    second_model = boards.answers(
        data, 0.5, 7, essay="Another way of putting it, which is longer than the first one was by some."
    )
    boards.submit(board, boards.run(tmp_path / "a", data, first_model), "acme/first")

    def partly_copied(prompt: str) -> str:
        return first_model(prompt) if "+ 1" in prompt or "+ 2" in prompt else second_model(prompt)

    boards.submit(board, boards.run(tmp_path / "b", data, partly_copied), "zeta/copy")
    ingest_refused(board, "copied from acme-first@v1", "long replies are identical")


@pytest.mark.slow
def test_equal_short_answers_are_not_taken_for_copies(board: Path, tmp_path: Path, data: Path) -> None:
    for number, name in enumerate(["acme/first", "zeta/second"]):
        boards.submit(
            board, boards.run(tmp_path / str(number), data, boards.answers(data, 0.6, 20 + number)), name
        )
    assert [result.status for result in ingest(board)] == ["accepted", "accepted"]


@pytest.mark.slow
def test_an_entry_on_data_that_differ_from_those_of_published_entries_is_refused(
    board: Path, tmp_path: Path, honest_run: Run
) -> None:
    boards.submit(board, honest_run)
    ingest_last(board)
    (tmp_path / "easy").mkdir()
    other_data = boards.write_data(tmp_path / "easy", 60)
    boards.submit(
        board, boards.run(tmp_path / "r", other_data, boards.answers(other_data, 0.5, 1)), "zeta/easy"
    )
    ingest_refused(board, "its data hash to")


# ---- the board itself --------------------------------------------------------------------------------------------


def test_changing_a_published_entry_is_an_error(
    board: Path, tmp_path: Path, data: Path, honest_run: Run
) -> None:
    entry = boards.submit(board, honest_run)
    ingest_last(board)
    entry.unlink()
    boards.submit(board, boards.run(tmp_path / "r", data, boards.answers(data, 0.5, 8)))
    with raises(UsageError):
        ingest_last(board)


def test_removing_an_entry_requires_a_decision(board: Path, honest_run: Run) -> None:
    entry = boards.submit(board, honest_run)
    ingest_last(board)
    entry.unlink()
    with raises(UsageError):
        ingest_last(board)
    (board / decisions.NAME).write_text(
        '[[decision]]\nentry = "acme-tiny@v1"\nkind = "withdrawn"\nby = "me"\ndate = 2026-11-29\nreason = "asked for"\n'
    )
    assert list(ingest(board)) == []


def test_removing_a_decision_is_an_error(board: Path, honest_run: Run) -> None:
    text = '[[decision]]\nentry = "acme-tiny@v1"\nkind = "disputed"\nby = "me"\ndate = 2026-11-29\nreason = "why"\n'
    (board / decisions.NAME).write_text(text)
    boards.submit(board, honest_run)
    ingest_last(board)
    (board / decisions.NAME).write_text(text + text.replace("disputed", "withdrawn"))
    list(ingest(board))
    (board / decisions.NAME).write_text(text)
    with raises(UsageError):
        list(ingest(board))


def test_an_accepted_entry_that_is_disputed_stays_published_when_the_policy_changes(
    board: Path, data: Path, tmp_path: Path
) -> None:
    boards.submit(board, boards.run(tmp_path / "r", data, boards.answers(data, 1.0, 1)))
    assert ingest_last(board).status == "held"
    text = ""
    for kind in ("accepted", "disputed"):
        text += f'[[decision]]\nentry = "acme-tiny@v1"\nkind = "{kind}"\nby = "me"\ndate = 2026-11-29\nreason = "why"\n'
        (board / decisions.NAME).write_text(text)
        list(ingest(board))
    boards.write_board(board, plausible_gain=0.3)
    assert ingest_last(board).status == "accepted"


def test_an_edited_result_is_an_error(board: Path, honest_run: Run) -> None:
    boards.submit(board, honest_run)
    ingest_last(board)
    path = board / "results" / "acme-tiny@v1.json"
    path.write_text(path.read_text().replace('"coverage": 1.0', '"coverage": 0.9'))
    with raises(UsageError):
        ingest_last(board)


def test_a_result_with_an_impossible_score_is_an_error_though_its_hash_is_right(
    board: Path, honest_run: Run
) -> None:
    boards.submit(board, honest_run)
    result = ingest_last(board)
    [suite] = result.suites
    estimates = tuple(structs.replace(estimate, value=5.0) for estimate in suite.estimates)
    edited = structs.replace(result, suites=(structs.replace(suite, estimates=estimates),))
    results.write(board, "acme-tiny@v1.json", edited.with_content_hash())
    with raises(UsageError):
        ingest_last(board)


def test_the_index_lists_every_result_with_its_hash(board: Path, honest_run: Run) -> None:
    boards.submit(board, honest_run)
    result = ingest_last(board)
    index = json.loads((board / "results" / results.INDEX).read_text())
    assert index["entries"] == {"acme-tiny@v1": result.content_sha256}


def test_entries_with_texts_of_a_gated_suite_are_refused(board: Path, tmp_path: Path) -> None:
    import evals

    (run,) = evals.evaluate(
        "gpqa:diamond", lambda prompt: "ANSWER: A", sample=True, results=tmp_path, quiet=True
    )
    text = (board / "board.toml").read_text().replace('"mmlu-pro"', '"gpqa:diamond"')
    (board / "board.toml").write_text(text)
    entry = boards.submit(board, run)
    assert ingest_last(board, write=False).status == "held"

    def ungate(files: boards.Files) -> None:
        edit_card(lambda card: card.update(gated=False))(files)
        manifest = json.loads(files["bundle.json"])
        manifest["gated"] = False
        manifest["files"]["records.jsonl"] = manifest["files"].pop("withheld.jsonl")
        files["bundle.json"] = json.dumps(manifest).encode()
        files["records.jsonl"] = files.pop("withheld.jsonl")

    forge(entry, ungate)
    (tmp_path / "gold").mkdir()
    shutil.copytree(ROOT / "suites" / "samples" / "gpqa", tmp_path / "gold" / "gpqa")
    (result,) = ingest(board, gold=tmp_path / "gold")
    assert result.status == "refused"


def test_an_entry_of_a_gated_suite_is_examined_once_the_boards_data_are_there(
    board: Path, tmp_path: Path
) -> None:
    import evals

    (run,) = evals.evaluate(
        "gpqa:diamond", lambda prompt: "ANSWER: A", sample=True, results=tmp_path, quiet=True
    )
    boards.write_board(board, name="gpqa:diamond")
    boards.submit(board, run)
    assert ingest_last(board).status == "held"
    assert list(ingest(board)) == []
    (tmp_path / "gold").mkdir()
    shutil.copytree(ROOT / "suites" / "samples" / "gpqa", tmp_path / "gold" / "gpqa")
    (result,) = ingest(board, gold=tmp_path / "gold")
    assert not any("only the board's own data" in reason for reason in result.reasons)


def test_an_entry_with_a_duplicate_file_name_is_refused(board: Path, honest_run: Run) -> None:
    entry = boards.submit(board, honest_run)
    with pytest.warns(UserWarning, match="Duplicate"), zipfile.ZipFile(entry, "a") as archive:
        archive.writestr("submission.toml", "format = 1")  # a second file with this name
    assert ingest_last(board).status == "refused"


def test_the_board_in_the_repository_equals_a_new_ingest(tmp_path: Path) -> None:
    """If it fails after an intended change of a suite, run `python -m tools.sample_board`."""
    shutil.copytree(ROOT / "results" / "board", tmp_path / "board")
    shutil.rmtree(tmp_path / "board" / "results")
    assert [(result.status, result.reasons) for result in ingest(tmp_path / "board")] == [
        ("accepted", ())
    ] * 2
    for path in (ROOT / "results" / "board" / "results").glob("*.json"):
        assert (tmp_path / "board" / "results" / path.name).read_text() == path.read_text(), path.name
