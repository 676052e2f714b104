"""Runs on disk: no record is lost however the process ends, and damaged files are reported."""

from __future__ import annotations

import errno
import itertools
import os
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest
from msgspec import structs

from evals.errors import StoreError
from evals.records import files, store
from evals.records.card import Card, card_fault, parse
from evals.records.files import compact
from evals.records.names import short_ids
from evals.records.store import Run
from evals.records.writer import MAX_BUFFERED_BYTES, Writer
from evals.types import Estimate, Failure, Record, Reply, Sample, Score, Usage
from tests.support import toy
from tests.support.error_messages import raises
from tests.support.paths import ROOT


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """The folder of a run, which does not exist yet."""
    return tmp_path / "toy@1" / "model" / "run-a"


def sample_ids(path: Path) -> list[str]:
    return [record.sample for record in Run(path).records()]


def write_records(path: Path, count: int = 5) -> Writer:
    """Return the writer of a run with `count` samples and their records, not yet converted to Parquet."""
    writer = toy.writer(path)
    writer.write_samples(toy.samples(count))
    for i in range(count):
        writer.append(toy.record(f"q{i:03}", text="A" if i % 2 else "B", value=float(i % 2)))
    return writer


# --- writing and reading ------------------------------------------------------------------------------------

RECORDS_OF_EVERY_KIND = [
    toy.record("plain"),
    toy.record("plain", 1, value=0.0),
    toy.failed_record("failed"),
    Record(
        sample='quote " back \\ line \n é 🜚',
        repeat=0,
        prompt=toy.record("x").prompt,
        outcome=Reply(
            text="a\u2028b\x00c",
            reasoning="r",
            stop="length",
            usage=Usage(input=0, output=7, reasoning=5, cached=2),
            model="m",
            attempts=3,
        ),
        scores={
            "first": Score(value=None, verdict="invalid", why="no number", suspect=True),
            "second": Score(value=0.1 + 0.2, verdict="graded", parts={"a": 1e-300}),
        },
        started=1e9 + 1 / 3,
    ),
    structs.replace(
        toy.record("broken"), scores={"exact": Failure(stage="scorer", kind="crash", message="x")}
    ),
    structs.replace(toy.record("unscored"), scores={}),
]


@pytest.mark.parametrize("record", RECORDS_OF_EVERY_KIND, ids=lambda r: r.sample.split()[0])
def test_finalizing_keeps_every_field_of_a_record(path: Path, record: Record) -> None:
    writer = toy.writer(path)
    writer.append(record)
    before = list(Run(path).records()), list(Run(path).compact_records())
    writer.finalize()
    assert not (path / "records.jsonl").exists()
    assert (
        (list(Run(path).records()), list(Run(path).compact_records()))
        == before
        == ([record], [compact(record)])
    )
    writer.close()


def test_gold_answers_are_stored_without_the_questions(path: Path) -> None:
    items = [
        Sample(
            id="1", question=toy.sample("1").question, target="B", choices=("x", "y"), group="g", cluster="c"
        ),
        Sample(id="2", target=0.1, unit="K", meta={"row": 3}),
        Sample(id="3", target=("A", "B"), choices=("x", "y", "z")),
    ]
    writer = toy.writer(path)
    writer.write_samples(items)
    samples, gold_answers = list(Run(path).samples()), Run(path).gold()
    writer.finalize()
    assert (list(Run(path).samples()), Run(path).gold()) == (samples, gold_answers)
    assert samples == [structs.replace(item, question=()) for item in items]
    assert [gold.cluster for gold in gold_answers.values()] == ["c", "2", "3"]
    assert [gold.target for gold in gold_answers.values()] == ["B", 0.1, ("A", "B")]
    assert "Question" not in "".join(p.read_text(errors="ignore") for p in path.iterdir())
    writer.close()


def test_a_later_record_replaces_an_earlier_one(path: Path) -> None:
    writer = toy.writer(path)
    for record in (toy.failed_record("a"), toy.record("b"), toy.record("a"), toy.record("b", 1)):
        writer.append(record)
    expected = [toy.record("b"), toy.record("a"), toy.record("b", 1)]
    assert list(Run(path).records()) == expected
    writer.finalize()
    assert list(Run(path).records()) == expected
    writer.close()


def test_a_resumed_run_is_finalized_again_with_all_records(path: Path) -> None:
    first = write_records(path)
    first.append(toy.failed_record("q004"))
    first.finalize()
    first.close()
    second = toy.writer(path)
    second.append(toy.record("q004", text="again"))
    merged = list(Run(path).records())
    second.finalize()
    assert list(Run(path).records()) == merged
    assert [r.sample for r in merged] == [f"q{i:03}" for i in range(5)]
    assert merged[-1].outcome.text == "again"
    second.close()
    assert not list(path.glob("*.jsonl"))


def test_finalizing_in_several_batches_loses_nothing(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("evals.records.parquet.BATCH_BYTES", 2000)
    writer = toy.writer(path)
    records = [toy.record(f"q{i:03}", padding=i * 7) for i in range(100)]
    for record in records:
        writer.append(record)
    writer.finalize()
    assert list(Run(path).records()) == records
    writer.close()


def test_parquet_files_have_columns_for_verdict_value_and_tokens(path: Path) -> None:
    import pyarrow.parquet as pq

    writer = toy.writer(path)
    for record in (
        toy.record("a"),
        toy.record("b", value=0.0),
        toy.failed_record("c"),
        *RECORDS_OF_EVERY_KIND[4:],
    ):
        writer.append(record)
    writer.finalize()
    writer.close()
    table = pq.read_table(path / "records.parquet").to_pydict()
    assert table["verdict"] == ["right", "wrong", "failed:serverfault", "failed:crash", "failed:unscored"]
    assert table["value"] == [1.0, 0.0, None, None, None]
    assert table["output_tokens"] == [2, 2, None, 2, 2]


# --- damaged files ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("end", [1, 40, -1])
def test_a_truncated_last_line_is_dropped_with_a_warning(path: Path, end: int) -> None:
    write_records(path).close()
    content = (path / "records.jsonl").read_bytes()
    last = content.splitlines(keepends=True)[-1]
    (path / "records.jsonl").write_bytes(content[: -len(last)] + last[:end])
    if end != -1:  # if only its newline is missing, the line can still be read
        assert sample_ids(path) == ["q000", "q001", "q002", "q003"]
    writer = toy.writer(path)
    assert writer.warnings == [f"{path / 'records.jsonl'}: dropped a truncated last line"]
    writer.append(toy.record("new"))
    assert sample_ids(path) == ["q000", "q001", "q002", "q003", "new"]
    writer.close()


def test_a_truncated_line_longer_than_a_block_is_dropped_completely(path: Path) -> None:
    writer = toy.writer(path)
    writer.append(toy.record("a"))
    writer.append(toy.record("b", padding=300_000))
    writer.close()
    with (path / "records.jsonl").open("rb+") as stream:
        stream.truncate((path / "records.jsonl").stat().st_size - 10)
    writer = toy.writer(path)
    assert len(writer.warnings) == 1
    assert sample_ids(path) == ["a"]
    writer.close()


def test_a_malformed_line_in_the_middle_is_reported_with_its_number(path: Path) -> None:
    write_records(path).close()
    lines = (path / "records.jsonl").read_bytes().splitlines(keepends=True)
    for malformed in (b'{"sample": \n', b"\xff\xfe\n", b'{"sample":"1"}\n', lines[2].replace(b"0.0", b"NaN")):
        (path / "records.jsonl").write_bytes(b"".join([*lines[:2], malformed, *lines[3:]]))
        with raises(StoreError):
            sample_ids(path)


@pytest.mark.parametrize(
    "content",
    [
        b'{"format": 2, "anything": 1}',
        b"{}",
        b"",
        b'{"format": 1}',
        b"\xff\xfe",
        b'{"format": 1, "run": "\xff"}',
    ],
    ids=["newer", "no format", "empty", "incomplete", "binary", "not UTF-8"],
)
def test_an_unreadable_card_is_reported_with_the_reason(path: Path, content: bytes) -> None:
    write_records(path).close()
    (path / "card.json").write_bytes(content)
    with raises(StoreError):
        _ = Run(path).card


def _estimate(**changes: object) -> Estimate:
    fields: dict[str, Any] = {
        "metric": "accuracy", "group": "", "value": 0.5, "low": 0.4, "high": 0.6, "worst": 0.5, "best": 0.5, "n": 4,
        "clusters": 4, "unit": "fraction", "better": "higher", "method": "Wilson", "headline": True,
    }  # fmt: skip
    return Estimate(**fields | changes)


UNBOUNDED = {"worst": None, "best": None}


@pytest.mark.parametrize(
    ("estimate", "chance", "fault"),
    [
        (_estimate(value=5.0), None, "accuracy: value 5 is not between -1 and 1, as a fraction must be"),
        (_estimate(best=1.01), None, "accuracy: best 1.01 is not between -1 and 1, as a fraction must be"),
        (_estimate(metric="mcc", value=-0.1, worst=-0.1, headline=False), None, ""),
        (_estimate(metric="r2", value=1.5, **UNBOUNDED), None, "r2: value 1.5 is not between -inf and 1, as a fraction must be"),
        (_estimate(metric="mcc", value=-2.0, unit="correlation"), None, "mcc: value -2 is not between -1 and 1, as a correlation must be"),
        (_estimate(), 9.0, "chance 9 is not between -1 and 1, as a fraction must be"),
        (_estimate(value=1.0 + 1e-12), 0.25, ""),
        (_estimate(metric="r2", value=-3.0, **UNBOUNDED), None, ""),
        (_estimate(metric="mape", value=2.5, better="lower", **UNBOUNDED), None, ""),
        (_estimate(metric="rmse", value=40.0, unit="MPa", better="lower", **UNBOUNDED), 50.0, ""),
    ],
)  # fmt: skip
def test_a_card_with_a_value_that_its_unit_does_not_allow_is_refused(
    estimate: Estimate, chance: float | None, fault: str
) -> None:
    card = Card(run="r", config=toy.config(), model="m", estimates=(estimate,), chance=chance)
    assert card_fault(card) == fault
    if fault:
        with raises(StoreError):
            parse(msgspec.json.encode(card), "r/card.json")


def test_a_corrupt_parquet_file_is_named(path: Path) -> None:
    writer = write_records(path)
    writer.finalize()
    writer.close()
    (path / "records.parquet").write_bytes(b"PAR1 rotten")
    with raises(StoreError):
        sample_ids(path)


# --- two processes ------------------------------------------------------------------------------------------


def test_a_second_writer_is_rejected_until_the_first_is_closed(path: Path) -> None:
    first = write_records(path)
    with raises(StoreError):
        toy.writer(path)
    first.close()
    toy.writer(path).close()
    assert not (path / "lock").exists()


def test_a_lock_on_a_deleted_file_does_not_block(path: Path) -> None:
    # as when the first writer closes after the second has opened the lock file and before it locks it
    first = write_records(path)
    (path / "lock").unlink()
    first._lock.close()
    second = toy.writer(path)
    with raises(StoreError):
        toy.writer(path)
    second.close()
    os.close(first._fd)


def test_an_empty_run_is_removed_before_its_lock_is_released(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # otherwise, the records of another process that has just opened the run would be removed
    writer = toy.writer(path)
    unlink = Path.unlink
    removed: dict[str, bool] = {}

    def unlink_and_note_lock(file: Path, missing_ok: bool = False) -> None:
        removed[file.name] = (path / "lock").exists()
        unlink(file, missing_ok=missing_ok)

    monkeypatch.setattr(Path, "unlink", unlink_and_note_lock)
    writer.close()
    assert "records.jsonl" in removed
    assert all(removed.values())
    assert not path.exists()


def test_a_killed_writer_leaves_no_lock(path: Path) -> None:
    child = subprocess.Popen(
        [sys.executable, "-c", script(path, "print('open', flush=True); time.sleep(60)")],
        stdout=subprocess.PIPE,
        env=environment(),
    )
    assert child.stdout is not None
    assert child.stdout.readline() == b"open\n"
    with raises(StoreError):
        toy.writer(path)
    child.kill()
    child.wait()
    child.stdout.close()
    toy.writer(path).close()
    assert sample_ids(path) == [f"q{i:03}" for i in range(20)]


# --- kill -9 ------------------------------------------------------------------------------------------------


def script(path: Path, then: str) -> str:
    """Return a Python program that writes twenty records and then runs `then`."""
    return textwrap.dedent(f"""
        import os, sys, time
        from pathlib import Path
        from tests.support import toy
        path = Path({str(path)!r})
        writer = toy.writer(path)
        writer.write_samples(toy.samples(20))
        for i in range(20):
            writer.append(toy.record(f"q{{i:03}}"))
        die = lambda *_, **__: os.kill(os.getpid(), 9)
    """) + textwrap.dedent(then)


def environment() -> dict[str, str]:
    return os.environ | {"PYTHONPATH": str(ROOT)}


KILLS = {
    "before conversion": "die()",
    "while writing Parquet": "import pyarrow.parquet as pq; pq.ParquetWriter.write_batch = die; writer.finalize()",
    "before the Parquet file is renamed": "Path.replace = die; writer.finalize()",
    "before the JSON lines are removed": "Path.unlink = die; writer.finalize()",
    "between records and samples": """
        import evals.records.parquet; evals.records.parquet._convert_samples = die; writer.finalize()
    """,
    "before the JSON lines of the samples are removed": """
        unlink = Path.unlink
        Path.unlink = lambda path, **k: die() if path.name == "samples.jsonl" else unlink(path, **k)
        writer.finalize()
    """,
    "while converting again": """
        writer.finalize(); writer.close(); writer = toy.writer(path)
        writer.append(toy.record("q000", text="again"))
        Path.unlink = die
        writer.finalize()
    """,
    "while replacing the records": """
        Path.replace = die
        writer.replace([toy.record("q000")])
    """,
    "after replacing the records of a finalized run": """
        import evals.records.store as store
        records = list(store.Run(path).records())
        writer.finalize()
        Path.unlink = die
        writer.replace(records)
    """,
}


@pytest.mark.parametrize("moment", KILLS)
def test_a_kill_at_any_moment_loses_nothing(path: Path, moment: str) -> None:
    completed = subprocess.run(
        [sys.executable, "-c", script(path, KILLS[moment])],
        env=environment(),
        capture_output=True,
        check=False,
    )
    assert completed.returncode == -signal.SIGKILL, completed.stderr.decode()
    expected = [f"q{i:03}" for i in range(20)]
    assert sorted(sample_ids(path)) == expected
    assert list(Run(path).gold()) == expected
    writer = toy.writer(path)  # and the run can be resumed
    assert writer.warnings == []
    writer.append(toy.record("q007", text="later"))
    writer.finalize()
    writer.close()
    assert sorted(sample_ids(path)) == expected
    assert sum(b.sample == "q007" for b in Run(path).compact_records()) == 1
    assert not [p.name for p in path.iterdir() if p.suffix == ".jsonl" or p.name.startswith(".records")]


# --- disks --------------------------------------------------------------------------------------------------


def test_after_a_full_disk_the_truncated_line_is_removed(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    writer = write_records(path)
    write = os.write
    with monkeypatch.context() as patch:
        # the disk accepts only part of the line
        patch.setattr(os, "write", lambda fd, data: write(fd, data[:25]))
        with raises(StoreError):
            writer.append(toy.record("half"))
    writer.append(toy.record("after"))  # there is space again
    assert sample_ids(path) == [*(f"q{i:03}" for i in range(5)), "after"]
    writer.close()


def test_after_a_full_disk_complete_lines_are_kept(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    writer = write_records(path)
    write = os.write
    for name in ("fits", "does-not-fit"):
        writer.add(toy.record(name))
    assert sample_ids(path) == [f"q{i:03}" for i in range(5)]  # not written yet
    with monkeypatch.context() as patch:
        patch.setattr(os, "write", lambda fd, data: write(fd, data[:-3]))
        with raises(StoreError):
            writer.flush()
    writer.append(toy.record("after"))
    assert sample_ids(path) == [*(f"q{i:03}" for i in range(5)), "fits", "after"]
    writer.close()


def test_the_buffer_of_unwritten_records_is_bounded(path: Path) -> None:
    writer = toy.writer(path)
    writer.add(toy.record("long", padding=MAX_BUFFERED_BYTES))
    assert sample_ids(path) == ["long"]
    writer.close()


def raise_disk_full(*_: object, **__: object) -> None:
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


@pytest.mark.parametrize(
    "write",
    [
        lambda writer: writer.append(toy.record("x")),
        lambda writer: writer.finalize(),
        lambda writer: writer.write_card(),
        lambda writer: writer.replace([toy.record("x")]),
    ],
    ids=["append", "finalize", "card", "replace"],
)
def test_a_full_disk_loses_no_earlier_record_during_any_write(
    path: Path, monkeypatch: pytest.MonkeyPatch, write: Callable[[Writer], None]
) -> None:
    writer = write_records(path)
    with monkeypatch.context() as patch:
        patch.setattr(os, "write", raise_disk_full)
        patch.setattr(os, "fsync", raise_disk_full)
        with raises(StoreError):
            write(writer)
    assert sample_ids(path) == [f"q{i:03}" for i in range(5)]
    assert Run(path).card.run == "run-a"
    writer.finalize()
    assert sample_ids(path) == [f"q{i:03}" for i in range(5)]
    writer.close()


@pytest.mark.skipif(os.geteuid() != 0, reason="mounting needs root")
def test_complete_records_are_kept_on_a_full_tmpfs(tmp_path: Path) -> None:
    disk = tmp_path / "disk"
    disk.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", str(disk)]
    if subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("this machine does not allow mounting")
    try:
        path = disk / "run-a"
        writer = toy.writer(path)
        written: list[str] = []

        def fill() -> None:
            for i in range(1000):
                writer.append(toy.record(f"q{i:03}", padding=700))
                written.append(f"q{i:03}")

        with raises(StoreError):
            fill()
        assert len(written) > 10
        assert sample_ids(path) == written
        with raises(StoreError):
            writer.finalize()
        assert sample_ids(path) == written
        writer.close()
    finally:
        subprocess.run(["umount", "-l", str(disk)], check=True)


def test_a_folder_that_cannot_be_created_gives_a_one_line_message(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("")
    with raises(StoreError):
        toy.writer(tmp_path / "file" / "run")

    def deny(*_: object, **__: object) -> None:
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))

    monkeypatch.setattr(Path, "mkdir", deny)  # chmod would not stop root
    with raises(StoreError):
        toy.writer(tmp_path / "run")


def test_new_records_are_synced_to_disk_after_a_second(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    now = time.monotonic()
    monkeypatch.setattr(time, "monotonic", lambda: now)
    writer = write_records(path)
    assert not writer.needs_sync
    now += 1.1
    assert writer.needs_sync
    writer.sync()
    assert not writer.needs_sync
    now += 60
    assert not writer.needs_sync  # no new record
    writer.append(toy.record("x"))
    assert writer.needs_sync
    writer.close()


def test_a_run_without_records_leaves_no_folder(tmp_path: Path) -> None:
    writer = toy.writer(tmp_path / "toy@1" / "model" / "run")
    writer.write_samples(toy.samples(3))
    writer.close()
    assert list(tmp_path.iterdir()) == []


def test_a_resumed_run_without_new_records_is_kept(path: Path) -> None:
    for _ in range(2):
        writer = write_records(path) if not path.exists() else toy.writer(path)
        writer.finalize()
        writer.close()
    assert len(sample_ids(path)) == 5


# --- names --------------------------------------------------------------------------------------------------


@pytest.fixture
def results(tmp_path: Path) -> Path:
    """A results folder with four runs of two suites; two of them have the same name."""
    for folder in (
        "toy@1/m/20250101T000000-aaaaaa",
        "toy@1/m/20250102T000000-bbbbbb",
        "other@1/m/mine",
        "toy@1/m/mine",
    ):
        write_records(tmp_path / folder).close()
    return tmp_path


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("20250101T000000-aaaaaa", ["20250101T000000-aaaaaa"]),
        ("20250102", ["20250102T000000-bbbbbb"]),
        ("mine", ["mine", "mine"]),  # two suites of one command
        ("mi", ["mine", "mine"]),
    ],
)
def test_a_run_is_found_by_its_id_or_a_unique_prefix(results: Path, name: str, expected: list[str]) -> None:
    assert [run.path.name for run in store.find(results, name)] == expected


def test_a_run_is_found_by_its_folder(results: Path) -> None:
    assert [run.path.name for run in store.find(Path("elsewhere"), str(results / "toy@1/m/mine"))] == ["mine"]
    assert len(store.find(results, str(results))) == 4


def test_a_folder_of_runs_takes_precedence_over_the_end_of_an_id(
    results: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    write_records(tmp_path / "a/toy@1/m/theirs").close()
    write_records(tmp_path / "mine/toy@1/m/theirs").close()
    for name in ("a", "a/", "./a", "a/toy@1", "a/toy@1/m"):  # an id ends in `a`
        assert [run.path.name for run in store.find(results, name)] == ["theirs"]
    with raises(StoreError):
        store.find(results, "mine")
    assert [run.path.name for run in store.find(results, "./mine")] == ["theirs"]
    with raises(StoreError):
        store.find(results, "bb")


@pytest.mark.parametrize("name", ["2025", "nothing", pytest.param("", id="empty")])
def test_an_unknown_or_ambiguous_name_lists_the_alternatives(
    results: Path, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(results / "toy@1" / "m" / "mine" / ".." / ".." / ".." / "other@1" / "m" / "mine")
    (Path.cwd() / "card.json").rename("card")  # otherwise the empty name would mean this folder
    with raises(StoreError):
        store.find(results, name)


def test_find_one_rejects_a_name_of_two_runs(results: Path) -> None:
    with raises(StoreError):
        store.find_one(results, "mine")


@pytest.mark.parametrize("find", [store.find_one, store.find_suites])
def test_runs_of_several_models_with_one_name_are_listed_by_folder(
    tmp_path: Path, find: Callable[[Path, str], object]
) -> None:
    for model in ("big", "small"):
        write_run(tmp_path, "week1", suite="toy", model=model, started=1.0)
    with raises(StoreError) as caught:
        find(tmp_path, "week1")
    assert "matches 2 runs" in str(caught.value)
    assert all(str(tmp_path / "toy@1" / model / "week1") in str(caught.value) for model in ("big", "small"))


def write_run(results: Path, run: str, *, suite: str, model: str, started: float) -> None:
    """Write a run with this suite, model and start time on its card."""
    path = results / f"{suite.replace(':', '-')}@1" / model / run
    writer = toy.writer(path, suite=suite)
    writer.append(toy.record("q000"))
    writer.card.model, writer.card.started = model, started
    writer.write_card()
    writer.close()


@pytest.fixture
def five_runs(tmp_path: Path) -> Path:
    """A results folder of five runs, some with the same prefix, that were written in a different order from that in which they started."""
    for index, (run, suite, model) in enumerate(
        (
            ("20260101T101500-aaaaaa", "gpqa:diamond", "big"),
            ("20260101T101500-bbbbbb", "aime:2025", "big"),
            ("week1", "gpqa:main", "org/small"),
            ("week1", "mmlu-pro", "org-small"),
            ("20260102T101500-cccccc-official", "chembench:4k", "lone"),
        )
    ):
        write_run(tmp_path, run, suite=suite, model=model.replace("/", "-"), started=1e9 + (index * 7) % 5)
    return tmp_path


@pytest.mark.parametrize(
    ("name", "suites"),
    [
        ("bbbbbb", ["aime:2025"]),  # the end of its id
        ("101500-aaaaaa", ["gpqa:diamond"]),
        ("cccccc-official", ["chembench:4k"]),
        ("lone", ["chembench:4k"]),  # a model with one run
        ("LONE", ["chembench:4k"]),
        ("chembench:4k", ["chembench:4k"]),
        ("chembench", ["chembench:4k"]),
        ("mmlu_pro", ["mmlu-pro"]),
        ("aime:2025", ["aime:2025"]),
        ("week1", ["gpqa:main", "mmlu-pro"]),
        ("week1/mmlu-pro", ["mmlu-pro"]),
        ("week1/gpqa", ["gpqa:main"]),
        ("big/aime", ["aime:2025"]),
        ("last", ["gpqa:main"]),  # the run with index 2, since 2 * 7 % 5 = 4 is the latest start
        ("last:1", ["gpqa:main"]),
        ("last:2", ["chembench:4k"]),
        ("last:5", ["gpqa:diamond"]),
    ],
)
def test_a_run_is_found_by_id_model_suite_or_order(five_runs: Path, name: str, suites: list[str]) -> None:
    assert sorted(run.card.config.suite for run in store.find(five_runs, name)) == suites


@pytest.mark.parametrize("name", ["20260101", "big", "gpqa", "last:6", "last:0", "week1/aime", "/"])
def test_an_ambiguous_or_unknown_name_is_rejected_with_its_matches(five_runs: Path, name: str) -> None:
    with raises(StoreError):
        store.find(five_runs, name)


def test_short_ids_are_unique_ends_of_ids(five_runs: Path) -> None:
    ids = [run.path.name for run in store.runs(five_runs)]
    for id_, end in short_ids(ids).items():
        assert {run.path.name for run in store.find(five_runs, end)} == {id_}
    first, second, third = "20260101T101500-aaaaaa", "20260102T101501-aaaaaa", "20260103T101501-aaaaaa"
    assert short_ids([first, second, third]) == {first: "101500-aaaaaa", second: second, third: third}


def test_a_missing_results_folder_is_named(tmp_path: Path) -> None:
    with raises(StoreError):
        store.find(tmp_path / "nowhere", "x")
    assert store.runs(tmp_path / "nowhere") == []


@pytest.mark.parametrize(
    ("name", "folder"),
    [
        ("internlm/Intern-S1", "internlm-Intern-S1"),
        ("../../etc", "etc"),
        ("..", "model"),
        ("", "model"),
        ("a" * 200, "a" * 80),
        pytest.param("\U00020000" * 80, "\U00020000" * 50, id="characters of four bytes"),
        ("gpt-4.1_x+y", "gpt-4.1_x+y"),
    ],
)
def test_folder_names_of_models_cannot_leave_the_results_folder(name: str, folder: str) -> None:
    assert store.slug(name) == folder


def test_the_fingerprint_in_an_id_depends_only_on_the_configuration() -> None:
    assert store.fingerprint(toy.config()) == store.fingerprint(toy.config())
    assert store.fingerprint(toy.config()) != store.fingerprint(toy.config(seed=1))
    assert store.new_id(toy.config()).endswith(store.fingerprint(toy.config()))


def test_the_message_for_a_folder_of_several_runs_counts_them(results: Path) -> None:
    with raises(StoreError):
        store.find_one(results, str(results))


def test_a_run_without_its_card_is_reported_as_incomplete(results: Path) -> None:
    path = results / "toy@1" / "m" / "mine"
    writer = write_records(path)
    writer.finalize()
    writer.close()
    (path / "card.json").unlink()
    (run,) = [run for run in store.find(results, "mine") if run.path == path]
    with raises(StoreError):
        _ = run.card


def test_a_missing_results_folder_is_named_with_a_similar_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)  # the checkout has results once `make demo` has run
    (tmp_path / "results-week1").mkdir()
    with raises(StoreError):
        store.check_intended_folder(tmp_path / "results-wek1")
    store.check_intended_folder(Path("results"))


def test_files_that_keep_changing_are_an_error_and_not_an_empty_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    counter = itertools.count()
    monkeypatch.setattr(files, "_file_identities", lambda _: (next(counter),))
    with (
        raises(StoreError),
        files.snapshot(tmp_path, "records"),
    ):
        pass


@pytest.mark.parametrize("level", ["suite@1", "suite@1/model", "suite@1/model/run"])
def test_a_folder_that_may_not_be_read_is_listed_as_a_broken_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, level: str
) -> None:
    closed = tmp_path / level
    (tmp_path / "suite@1" / "model" / "run").mkdir(parents=True)
    scandir, stat = os.scandir, Path.stat

    def scandir_unless_closed(path: str) -> Any:  # chmod would not stop root
        if Path(path) == closed:
            raise PermissionError(13, "Permission denied", str(path))
        return scandir(path)

    def stat_unless_closed(path: Path, **options: Any) -> os.stat_result:
        if closed in path.parents:
            raise PermissionError(13, "Permission denied", str(path))
        return stat(path, **options)

    monkeypatch.setattr(os, "scandir", scandir_unless_closed)
    monkeypatch.setattr(Path, "stat", stat_unless_closed)
    assert [run.path for run in store.runs(tmp_path)] == [closed]
