"""Runs that are damaged or come from untrusted sources: links, pipes, missing files, changed bytes, and concurrent writers and readers."""

from __future__ import annotations

import os
import random
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from evals import disk
from evals.data import parquet
from evals.errors import StoreError
from evals.records import store
from evals.records.files import file_facts
from evals.records.writer import Writer
from tests.support import toy
from tests.support.command import evals
from tests.support.error_messages import raises


def write_finished_run(path: Path, count: int = 20) -> Path:
    """Write a finished run of `count` samples, half of them right, and return its path."""
    writer = toy.writer(path)
    writer.write_samples(toy.samples(count))
    for n in range(count):
        writer.append(toy.record(f"q{n:03}", value=float(n % 2)))
    writer.finalize()
    writer.card.status, writer.card.counts = "finished", {"right": count // 2, "wrong": count - count // 2}
    writer.card.coverage, writer.card.expected = 1.0, count
    writer.write_card()
    writer.close()
    return path


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """The folder of a finished run of the toy suite."""
    return write_finished_run(tmp_path / "toy@1" / "model" / "run")


def sample_and_record_counts(path: Path) -> tuple[int, int]:
    run = store.Run(path)
    return len(list(run.samples())), len(list(run.records()))


# --- missing files --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["records.parquet", "samples.parquet"])
def test_a_missing_file_is_named_by_every_reader_and_nothing_is_written(
    tmp_path: Path, name: str, here: Path
) -> None:
    results = here / "results"
    outcome = evals(
        "run", "aime:2025", "--sample", "-m", "scripted:ANSWER: 1", "--results", results, "--run", "one"
    )
    assert outcome.status == 0, outcome.err
    evals("run", "aime:2025", "--sample", "-m", "scripted:ANSWER: 2", "--results", results, "--run", "two")
    (path,) = results.glob("*@*/*/one")
    (path / name).unlink()
    before = {file.name: file.read_bytes() for file in path.iterdir()}
    commands: tuple[tuple[object, ...], ...] = (
        ("score", "one"),
        ("show", "one", "--samples"),
        ("compare", "one", "two"),
        ("bundle", "one", here / "b.zip"),
        ("export", "csv", "one", "--out", here / "out"),
        ("gate", "baseline", "one", here / "b.jsonl"),
        ("run", "aime:2025", "--sample", "-m", "scripted:ANSWER: 1", "--run", "one"),
    )
    for arguments in commands:
        outcome = evals(*arguments, "--results", results)
        outcome.assert_usage_error()
        assert {file.name: file.read_bytes() for file in path.iterdir()} == before, arguments


def test_hidden_files_of_other_programs_are_kept_and_unfinished_writes_removed(run: Path) -> None:
    (run / ".notes").write_text("mine")
    (run / ".ipynb_checkpoints").mkdir()
    (run / ".card.json.12345").write_text("half")
    (run / ".records.jsonl").write_text("half")
    Writer(run, store.read_card(run)).close()
    assert (run / ".notes").read_text() == "mine"
    assert (run / ".ipynb_checkpoints").is_dir()
    assert not (run / ".card.json.12345").exists()
    assert not (run / ".records.jsonl").exists()


def test_hidden_folders_of_editors_and_file_systems_are_not_runs(run: Path) -> None:
    results = run.parents[2]
    for name in (".ipynb_checkpoints", "@eaDir", "._run"):
        copy = run.with_name(name)
        copy.mkdir()
        (copy / "card.json").write_bytes((run / "card.json").read_bytes())
    assert [entry.path for entry in store.runs(results)] == [run]


# --- links, pipes, devices ------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["lock", "records.jsonl"])
@pytest.mark.parametrize("hard", [False, True])
def test_the_writer_never_follows_a_link(run: Path, tmp_path: Path, name: str, hard: bool) -> None:
    target = tmp_path / "precious"
    target.write_text("not yours")
    (os.link if hard else os.symlink)(target, run / name)
    with raises(StoreError):
        Writer(run, store.read_card(run))
    assert target.read_text() == "not yours"


@pytest.mark.parametrize(
    "name",
    [".card.json.PID", ".records.jsonl", ".records.parquet", ".samples.jsonl", ".samples.parquet"],
)
def test_a_link_in_place_of_a_temporary_file_is_removed(run: Path, tmp_path: Path, name: str) -> None:
    target = tmp_path / "precious"
    target.write_text("not yours")
    name = name.replace("PID", str(os.getpid()))
    (run / name).symlink_to(target)
    writer = Writer(run, store.read_card(run))
    (run / name).symlink_to(target)  # created again while the writer is open
    writer.replace(list(store.Run(run).records()))
    writer.finalize()
    writer.write_card()
    writer.close()
    assert target.read_text() == "not yours"
    assert sample_and_record_counts(run) == (20, 20)


@pytest.mark.parametrize("name", ["card.json", "records.jsonl", "samples.parquet", "records.parquet"])
@pytest.mark.parametrize("kind", ["pipe", "device", "folder", "dangling link", "circular link"])
def test_anything_but_a_regular_file_is_rejected_at_once(run: Path, name: str, kind: str) -> None:
    path = run / name
    path.unlink(missing_ok=True)
    create = {
        "pipe": lambda: os.mkfifo(path),
        "device": lambda: path.symlink_to("/dev/zero"),
        "folder": path.mkdir,
        "dangling link": lambda: path.symlink_to("/nowhere/at/all"),
        "circular link": lambda: path.symlink_to(path),
    }
    create[kind]()
    if (name, kind) in (("records.jsonl", "dangling link"), ("records.jsonl", "circular link")):
        assert sample_and_record_counts(run) == (20, 20)  # all records are in the Parquet file
        return
    with raises(StoreError):
        sample_and_record_counts(run)


def test_a_card_of_excessive_size_is_not_read(run: Path) -> None:
    with (run / "card.json").open("ab") as stream:
        stream.truncate(1 << 40)
    with raises(StoreError):
        store.read_card(run)


ESTIMATE = (
    '{"metric": "accuracy", "group": "", "value": 0.5, "low": 0.3, "high": 0.7, "worst": 0.5, "best": 0.5, '
    '"n": 20, "clusters": 20, "unit": "fraction", "better": "higher", "method": "Wilson", "headline": true}'
)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ('"started": 0.0', '"started": 1e11'),
        ('"finished": null', '"finished": 1e300'),
        ('"repeats": 1', '"repeats": 1000000000'),
        ('"repeats": 1', '"repeats": 0'),
        ('"expected": 20', '"expected": -1'),
        ('"coverage": 1.0', '"coverage": 7.5'),
        ('"estimates": []', f'"estimates": [{ESTIMATE}]'.replace('"n": 20', '"n": -1')),
        ('"estimates": []', f'"estimates": [{ESTIMATE}]'.replace('"clusters": 20', '"clusters": -1')),
        ('"cost_usd": null', '"cost_usd": -4.0'),
        ('"run": "run"', f'"run": "{"x" * 5000}"'),
        (
            '"packages": {}',
            '"packages": {"a": "' + "[" * 10 + '"}, "host": ' + '{"a":' * 3000 + "1" + "}" * 3000,
        ),
    ],
    ids=[
        "start in the far future", "infinite end", "too many repeats", "no repeats", "negative number of samples",
        "coverage above 1", "negative n", "negative clusters", "negative cost", "long run id", "deeply nested",
    ],
)  # fmt: skip
def test_a_card_with_impossible_values_is_rejected(run: Path, old: str, new: str) -> None:
    text = (run / "card.json").read_text()
    assert old in text
    (run / "card.json").write_text(text.replace(old, new))
    with raises(StoreError):
        store.read_card(run)


# --- changed bytes --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["records.parquet", "samples.parquet"])
def test_every_changed_bit_and_truncation_is_detected(run: Path, name: str) -> None:
    path, original = run / name, (run / name).read_bytes()
    rng = random.Random(7)
    for _ in range(300):
        content = bytearray(original)
        content[rng.randrange(len(content))] ^= 1 << rng.randrange(8)
        path.write_bytes(content)
        with pytest.raises(StoreError):
            sample_and_record_counts(run)
    for _ in range(60):
        path.write_bytes(original[: rng.randrange(len(original))])
        with pytest.raises(StoreError):
            sample_and_record_counts(run)
    path.write_bytes(original)
    assert sample_and_record_counts(run) == (20, 20)


def test_changed_bits_in_pages_are_detected_even_without_the_hash_on_the_card(run: Path) -> None:
    card = store.read_card(run)
    card.files = {}
    store.write_card(run, card)
    original = (run / "records.parquet").read_bytes()
    rng = random.Random(3)
    original_records = list(store.Run(run).records())
    for _ in range(300):
        content = bytearray(original)
        content[rng.randrange(len(content))] ^= 1 << rng.randrange(8)
        (run / "records.parquet").write_bytes(content)
        try:
            records = list(store.Run(run).records())
        except StoreError:
            continue
        # otherwise the changed bit is in statistics or padding, which no reader uses
        assert records == original_records


def test_show_names_the_file_whose_bytes_changed(run: Path) -> None:
    content = bytearray((run / "records.parquet").read_bytes())
    content[100] ^= 1
    (run / "records.parquet").write_bytes(content)
    outcome = evals("show", "--samples", "run", "--results", run.parents[2])
    outcome.assert_usage_error()


@pytest.fixture
def listed_run(here: Path) -> Path:
    """The folder of a run of a bundled suite, which `evals show` lists."""
    arguments = ("--sample", "--limit", "3", "-m", "scripted:1", "--run", "run")
    assert evals("run", "aime:2025", *arguments).status == 0
    (path,) = (here / "results").glob("*@*/*/run")
    return path


@pytest.mark.parametrize("content", [b"", b"precious", b'{"id": "x", "target": "1"}\n'])
def test_stray_lines_do_not_replace_the_samples_in_parquet(listed_run: Path, content: bytes) -> None:
    before = [sample.id for sample in store.Run(listed_run).samples()]
    (listed_run / "samples.jsonl").write_bytes(content)
    assert evals("score", "run").status == 0
    assert [sample.id for sample in store.Run(listed_run).samples()] == before
    assert evals("show", "run", "--json").json["runs"][0]["counts"] == {"wrong": 3}


def test_samples_with_a_truncated_last_line_are_rejected(tmp_path: Path) -> None:
    path = tmp_path / "toy@1" / "model" / "run"
    writer = toy.writer(path)
    writer.write_samples(toy.samples(5))
    writer.append(toy.record("q000"))
    writer.close()
    content = (path / "samples.jsonl").read_bytes()
    (path / "samples.jsonl").write_bytes(content[:-5])
    with raises(StoreError):
        list(store.Run(path).samples())


@pytest.mark.parametrize(
    "arguments", [("show",), ("show", "run"), ("list", "runs"), ("show", "run", "--json")]
)
@pytest.mark.parametrize("name", ["records.parquet", "samples.parquet"])
@pytest.mark.parametrize("change", ["missing", "truncated"])
def test_overviews_name_a_missing_or_truncated_file(
    listed_run: Path, arguments: tuple[str, ...], name: str, change: str
) -> None:
    content = (listed_run / name).read_bytes()
    (listed_run / name).unlink()
    if change == "truncated":
        (listed_run / name).write_bytes(content[:-9])
    outcome = evals(*arguments)
    assert outcome.status == 0
    assert name in outcome.err
    assert "scripted" in outcome.out  # the run is still listed


def test_show_of_one_run_checks_the_hashes_of_its_files(listed_run: Path) -> None:
    content = bytearray((listed_run / "records.parquet").read_bytes())
    content[100] ^= 1
    (listed_run / "records.parquet").write_bytes(content)
    assert "records.parquet" in evals("show", "run").err


def test_show_of_a_folder_of_runs_reads_none_of_their_records(
    listed_run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Reading 10,000,000 records of runs that were copied or made elsewhere would take minutes."""
    copy = tmp_path / "copy"
    for suite in ("toy@1", "toy@2"):
        shutil.copytree(listed_run, copy / suite / "model" / suite, copy_function=shutil.copyfile)
    opened: list[str] = []
    monkeypatch.setattr(disk, "open_regular", lambda path: opened.append(path.name) or path.open("rb"))
    outcome = evals("show", copy)
    assert outcome.status == 0, outcome.err
    assert "scripted" in outcome.out
    assert not [name for name in opened if name.endswith(".parquet")]


# --- concurrent writers and readers ---------------------------------------------------------------------------


@pytest.mark.slow
def test_readers_see_all_samples_and_records_while_the_run_is_finalized(tmp_path: Path) -> None:
    path = tmp_path / "toy@1" / "model" / "run"
    writer = toy.writer(path)
    writer.write_samples(toy.samples(200))
    for n in range(200):
        writer.append(toy.record(f"q{n:03}"))
    counts: list[tuple[int, int]] = []
    stop = threading.Event()

    def read() -> None:
        while not stop.is_set():
            counts.append(sample_and_record_counts(path))

    readers = [threading.Thread(target=read) for _ in range(3)]
    for reader in readers:
        reader.start()
    for _ in range(12):
        writer.finalize()
        writer.replace(list(store.Run(path).records()))
        writer.finalize()
        writer.append(toy.record("q007"))
    stop.set()
    for reader in readers:
        reader.join()
    writer.close()
    assert set(counts) == {(200, 200)}
    assert len(counts) > 10


KILLED_WRITER = """
import os, signal, sys, threading, time
from collections.abc import Iterator
from pathlib import Path
from evals import disk
from evals.data import parquet
from evals.records import store
from evals.records.files import file_facts
from evals.records.writer import Writer
from evals.types import Score
from msgspec import structs
path, wait = Path(sys.argv[1]), float(sys.argv[2])
threading.Thread(target=lambda: (time.sleep(wait), os.kill(os.getpid(), signal.SIGKILL)), daemon=True).start()
while True:
    card = store.read_card(path)
    writer = Writer(path, card)
    card.notes = (str(time.time()),)
    new = {"exact": Score(value=float(card.counts.get("right", 0) != 20), verdict="right")}
    writer.replace(structs.replace(record, scores=new) for record in list(store.Run(path).records()))
    writer.finalize()
    right = int(next(iter(new.values())).value * 20)
    card.counts, card.status = {"right": right, "wrong": 20 - right}, "finished"
    writer.write_card()
    writer.close()
"""


@pytest.mark.slow
def test_a_kill_while_scores_are_replaced_never_leaves_an_old_card_with_new_records(run: Path) -> None:
    rng = random.Random(11)
    for _ in range(12):
        command = [sys.executable, "-c", KILLED_WRITER, str(run), str(rng.uniform(0.3, 0.7))]
        assert subprocess.run(command, check=False).returncode == -signal.SIGKILL
        assert sample_and_record_counts(run) == (20, 20)
        card = store.read_card(run)
        if card.status == "finished" and card.notes:
            right = sum(record.scores["exact"].value == 1.0 for record in store.Run(run).records())
            assert card.counts["right"] == right


def test_scoring_again_completes_the_card_of_a_killed_run(here: Path) -> None:
    evals("run", "aime:2025", "--sample", "-m", "scripted:ANSWER: 1", "--run", "one")
    (path,) = (here / "results").glob("*@*/*/one")
    card = store.read_card(path)
    counts = card.counts
    store.write_card(
        path,
        type(card)(
            **{f: getattr(card, f) for f in card.__struct_fields__}
            | {"status": "running", "files": {}, "counts": {}}
        ),
    )
    assert evals("show", "one", "--json").json["runs"][0]["counts"] == counts
    assert evals("score", "one").status == 0
    completed = store.read_card(path)
    assert (completed.status, completed.counts) == (card.status, counts)
    assert set(completed.files) == {"records.parquet", "samples.parquet"}


# --- untrusted Parquet files ----------------------------------------------------------------------------------


@pytest.fixture
def foreign_run(listed_run: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Path]:
    """The folder of a run whose files are treated as written by another machine."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    parquet._remembered_faults.cache_clear()
    parquet._decode_in_worker.cache_clear()
    yield listed_run
    parquet._remembered_faults.cache_clear()


def test_a_foreign_file_is_checked_in_a_worker_once(
    foreign_run: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    checked: list[Path] = []
    check = parquet.check
    monkeypatch.setattr(parquet, "check", lambda path: (checked.append(path), check(path)))
    for _ in range(2):
        parquet._remembered_faults.cache_clear()  # as in another process
        assert len(list(store.Run(foreign_run).records())) == 3
    assert checked == [foreign_run / "records.parquet"]
    (foreign_run / "records.parquet").touch()
    list(store.Run(foreign_run).records())
    assert len(checked) == 2


def test_files_written_by_this_machine_are_never_checked(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parquet, "check", lambda path: pytest.fail(f"{path} was checked"))
    path = write_finished_run(here / "toy@1" / "model" / "run")
    assert sample_and_record_counts(path) == (20, 20)
    store.check(path)


@pytest.mark.slow
def test_a_file_that_would_fill_the_memory_is_rejected(
    foreign_run: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Use a dictionary with one string of 64 MB in 20,000 rows, which is small on disk and 1.3 TB decoded."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    path = foreign_run / "records.parquet"
    table = pq.read_table(path)
    rows = 20_000
    columns = {name: pa.repeat(table.column(name)[0], rows) for name in table.schema.names}
    dictionary = pa.array(["x" * (64 << 20)])
    columns["scores"] = pa.DictionaryArray.from_arrays(pa.array([0] * rows, pa.int32()), dictionary)
    pq.write_table(
        pa.table(columns), path, compression="zstd", dictionary_pagesize_limit=1 << 30, store_schema=False
    )
    assert path.stat().st_size < 1 << 20
    card = store.read_card(foreign_run)
    card.files = file_facts(foreign_run)
    store.write_card(foreign_run, card)
    began = time.monotonic()
    outcome = evals("show", "run", "--samples")
    first_s = time.monotonic() - began
    outcome.assert_usage_error()
    parquet._remembered_faults.cache_clear()  # as in another process, which reads the stored fault
    parquet._decode_in_worker.cache_clear()
    began = time.monotonic()
    assert evals("show", "run", "--samples").error_line == outcome.error_line
    assert time.monotonic() - began < first_s / 2
    with raises(StoreError):
        store.check(foreign_run)
