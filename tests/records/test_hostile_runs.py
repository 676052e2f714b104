"""Runs that somebody else made or broke: links, pipes, missing files, changed bytes, writers beside readers."""

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


def sealed(path: Path, count: int = 20, **changes: object) -> Path:
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
    return sealed(tmp_path / "toy@1" / "model" / "run")


def everything(path: Path) -> tuple[int, int]:
    found = store.Run(path)
    return len(list(found.samples())), len(list(found.records()))


# --- what is missing ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["records.parquet", "samples.parquet"])
def test_a_missing_file_is_named_by_every_reader_and_nothing_is_written(
    tmp_path: Path, name: str, here: Path
) -> None:
    results = here / "results"
    done = evals(
        "run", "aime:2025", "--sample", "-m", "scripted:ANSWER: 1", "--results", results, "--run", "one"
    )
    assert done.status == 0, done.err
    evals("run", "aime:2025", "--sample", "-m", "scripted:ANSWER: 2", "--results", results, "--run", "two")
    (path,) = results.glob("*@*/*/one")
    (path / name).unlink()
    before = {one.name: one.read_bytes() for one in path.iterdir()}
    words: tuple[tuple[object, ...], ...] = (
        ("score", "one"),
        ("show", "one", "--samples"),
        ("compare", "one", "two"),
        ("bundle", "one", here / "b.zip"),
        ("export", "csv", "one", "--out", here / "out"),
        ("gate", "baseline", "one", here / "b.jsonl"),
        ("run", "aime:2025", "--sample", "-m", "scripted:ANSWER: 1", "--run", "one"),
    )
    for said in words:
        done = evals(*said, "--results", results)
        assert f"{name} is missing" in done.error_line, said
        assert {one.name: one.read_bytes() for one in path.iterdir()} == before, said


def test_hidden_files_are_left_alone(run: Path) -> None:
    (run / ".notes").write_text("mine")
    (run / ".ipynb_checkpoints").mkdir()
    (run / ".card.json.12345").write_text("half")
    (run / ".records.jsonl").write_text("half")
    Writer(run, store.read_card(run)).close()
    assert (run / ".notes").read_text() == "mine"
    assert (run / ".ipynb_checkpoints").is_dir()
    assert not (run / ".card.json.12345").exists()
    assert not (run / ".records.jsonl").exists()


def test_folders_of_editors_and_drives_are_no_runs(run: Path) -> None:
    results = run.parents[2]
    for name in (".ipynb_checkpoints", "@eaDir", "._run"):
        copy = run.with_name(name)
        copy.mkdir()
        (copy / "card.json").write_bytes((run / "card.json").read_bytes())
    assert [one.path for one in store.runs(results)] == [run]


# --- links, pipes, devices ------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["lock", "records.jsonl"])
@pytest.mark.parametrize("hard", [False, True])
def test_no_link_is_written_through(run: Path, tmp_path: Path, name: str, hard: bool) -> None:
    target = tmp_path / "precious"
    target.write_text("not yours")
    (os.link if hard else os.symlink)(target, run / name)
    with pytest.raises(StoreError, match="link"):
        Writer(run, store.read_card(run))
    assert target.read_text() == "not yours"


@pytest.mark.parametrize(
    "name",
    [".card.json.PID", ".records.jsonl", ".records.parquet", ".samples.jsonl", ".samples.parquet"],
)
def test_a_link_in_the_place_of_a_half_written_file_goes(run: Path, tmp_path: Path, name: str) -> None:
    target = tmp_path / "precious"
    target.write_text("not yours")
    name = name.replace("PID", str(os.getpid()))
    (run / name).symlink_to(target)
    writer = Writer(run, store.read_card(run))
    (run / name).symlink_to(target)  # put there again while it runs
    writer.replace(list(store.Run(run).records()))
    writer.finalize()
    writer.write_card()
    writer.close()
    assert target.read_text() == "not yours"
    assert everything(run) == (20, 20)


@pytest.mark.parametrize("name", ["card.json", "records.jsonl", "samples.parquet", "records.parquet"])
@pytest.mark.parametrize("kind", ["pipe", "zero", "folder", "nowhere", "itself"])
def test_what_is_no_file_is_one_line_at_once(run: Path, name: str, kind: str) -> None:
    path = run / name
    path.unlink(missing_ok=True)
    make = {
        "pipe": lambda: os.mkfifo(path),
        "zero": lambda: path.symlink_to("/dev/zero"),
        "folder": path.mkdir,
        "nowhere": lambda: path.symlink_to("/nowhere/at/all"),
        "itself": lambda: path.symlink_to(path),
    }
    make[kind]()
    if (name, kind) in (("records.jsonl", "nowhere"), ("records.jsonl", "itself")):
        assert everything(run) == (20, 20)  # the sealed file is all there is
        return
    with pytest.raises(StoreError):
        everything(run)


def test_a_card_of_endless_size_is_not_read(run: Path) -> None:
    with (run / "card.json").open("ab") as stream:
        stream.truncate(1 << 40)
    with pytest.raises(StoreError, match="larger than"):
        store.read_card(run)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ('"started": 0.0', '"started": 1e11'),
        ('"finished": null', '"finished": 1e300'),
        ('"repeats": 1', '"repeats": 1000000000'),
        ('"repeats": 1', '"repeats": 0'),
        ('"expected": 20', '"expected": -1'),
        ('"coverage": 1.0', '"coverage": 7.5'),
        ('"run": "run"', f'"run": "{"x" * 5000}"'),
        (
            '"packages": {}',
            '"packages": {"a": "' + "[" * 10 + '"}, "host": ' + '{"a":' * 3000 + "1" + "}" * 3000,
        ),
    ],
)
def test_a_card_that_no_run_can_have_is_broken(run: Path, old: str, new: str) -> None:
    text = (run / "card.json").read_text()
    assert old in text
    (run / "card.json").write_text(text.replace(old, new))
    with pytest.raises(StoreError):
        store.read_card(run)


# --- changed bytes --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["records.parquet", "samples.parquet"])
def test_no_changed_byte_is_read_in_silence(run: Path, name: str) -> None:
    path, whole = run / name, (run / name).read_bytes()
    draw = random.Random(7)
    for _ in range(300):
        content = bytearray(whole)
        content[draw.randrange(len(content))] ^= 1 << draw.randrange(8)
        path.write_bytes(content)
        with pytest.raises(StoreError):
            everything(run)
    for _ in range(60):
        path.write_bytes(whole[: draw.randrange(len(whole))])
        with pytest.raises(StoreError):
            everything(run)
    path.write_bytes(whole)
    assert everything(run) == (20, 20)


def test_flips_inside_pages_are_found_without_the_cards_hash(run: Path) -> None:
    card = store.read_card(run)
    card.files = {}
    store.write_card(run, card)
    whole = (run / "records.parquet").read_bytes()
    draw = random.Random(3)
    kept = list(store.Run(run).records())
    for _ in range(300):
        content = bytearray(whole)
        content[draw.randrange(len(content))] ^= 1 << draw.randrange(8)
        (run / "records.parquet").write_bytes(content)
        try:
            found = list(store.Run(run).records())
        except StoreError:
            continue
        assert found == kept  # a byte that no reader looks at: statistics, padding


def test_show_names_a_run_whose_bytes_changed(run: Path) -> None:
    content = bytearray((run / "records.parquet").read_bytes())
    content[100] ^= 1
    (run / "records.parquet").write_bytes(content)
    done = evals("show", "--samples", "run", "--results", run.parents[2])
    assert "records.parquet" in done.error_line


@pytest.fixture
def real(here: Path) -> Path:
    """A run of a suite that the overview knows."""
    words = ("--sample", "--limit", "3", "-m", "scripted:1", "--run", "run")
    assert evals("run", "aime:2025", *words).status == 0
    (path,) = (here / "results").glob("*@*/*/run")
    return path


@pytest.mark.parametrize("left", [b"", b"precious", b'{"id": "x", "target": "1"}\n'])
def test_lines_left_beside_sealed_samples_replace_nothing(real: Path, left: bytes) -> None:
    before = [sample.id for sample in store.Run(real).samples()]
    (real / "samples.jsonl").write_bytes(left)
    assert evals("score", "run").status == 0
    assert [sample.id for sample in store.Run(real).samples()] == before
    assert evals("show", "run", "--json").json["runs"][0]["counts"] == {"wrong": 3}


def test_samples_whose_last_line_is_cut_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "toy@1" / "model" / "run"
    writer = toy.writer(path)
    writer.write_samples(toy.samples(5))
    writer.append(toy.record("q000"))
    writer.close()
    content = (path / "samples.jsonl").read_bytes()
    (path / "samples.jsonl").write_bytes(content[:-5])
    with pytest.raises(StoreError, match=r"samples\.jsonl, line 5"):
        list(store.Run(path).samples())


@pytest.mark.parametrize("words", [("show",), ("show", "run"), ("list", "runs"), ("show", "run", "--json")])
@pytest.mark.parametrize("name", ["records.parquet", "samples.parquet"])
@pytest.mark.parametrize("change", ["missing", "cut"])
def test_an_overview_names_a_file_that_is_missing_or_cut(
    real: Path, words: tuple[str, ...], name: str, change: str
) -> None:
    content = (real / name).read_bytes()
    (real / name).unlink()
    if change == "cut":
        (real / name).write_bytes(content[:-9])
    done = evals(*words)
    assert done.status == 0
    assert name in done.err
    assert "scripted" in done.out  # its card is shown


def test_show_of_one_run_compares_the_hashes_of_its_files(real: Path) -> None:
    content = bytearray((real / "records.parquet").read_bytes())
    content[100] ^= 1
    (real / "records.parquet").write_bytes(content)
    assert "records.parquet" in evals("show", "run").err


def test_show_of_a_folder_of_runs_reads_none_of_their_records(
    real: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """10,000,000 records that were copied or made elsewhere take minutes to read."""
    copy = tmp_path / "copy"
    for suite in ("toy@1", "toy@2"):
        shutil.copytree(real, copy / suite / "model" / suite, copy_function=shutil.copyfile)
    read: list[str] = []
    monkeypatch.setattr(disk, "open_regular", lambda path: read.append(path.name) or path.open("rb"))
    done = evals("show", copy)
    assert done.status == 0, done.err
    assert "scripted" in done.out
    assert not [name for name in read if name.endswith(".parquet")]


# --- writers beside readers -----------------------------------------------------------------------------------


@pytest.mark.slow
def test_a_reader_beside_a_run_that_is_sealed_sees_all_of_it(tmp_path: Path) -> None:
    path = tmp_path / "toy@1" / "model" / "run"
    writer = toy.writer(path)
    writer.write_samples(toy.samples(200))
    for n in range(200):
        writer.append(toy.record(f"q{n:03}"))
    seen: list[tuple[int, int]] = []
    stop = threading.Event()

    def read() -> None:
        while not stop.is_set():
            seen.append(everything(path))

    readers = [threading.Thread(target=read) for _ in range(3)]
    for one in readers:
        one.start()
    for _ in range(12):
        writer.finalize()
        writer.replace(list(store.Run(path).records()))
        writer.finalize()
        writer.append(toy.record("q007"))
    stop.set()
    for one in readers:
        one.join()
    writer.close()
    assert set(seen) == {(200, 200)}
    assert len(seen) > 10


KILLED = """
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
    writer.replace(structs.replace(one, scores=new) for one in list(store.Run(path).records()))
    writer.finalize()
    right = int(next(iter(new.values())).value * 20)
    card.counts, card.status = {"right": right, "wrong": 20 - right}, "finished"
    writer.write_card()
    writer.close()
"""


@pytest.mark.slow
def test_kills_while_scores_are_replaced_leave_no_old_card_over_new_records(run: Path) -> None:
    draw = random.Random(11)
    for _ in range(12):
        command = [sys.executable, "-c", KILLED, str(run), str(draw.uniform(0.3, 0.7))]
        assert subprocess.run(command, check=False).returncode == -signal.SIGKILL
        assert everything(run) == (20, 20)
        card = store.read_card(run)
        if card.status == "finished" and card.notes:
            right = sum(one.scores["exact"].value == 1.0 for one in store.Run(run).records())
            assert card.counts["right"] == right


def test_scoring_again_mends_the_card_that_a_kill_left(here: Path) -> None:
    evals("run", "aime:2025", "--sample", "-m", "scripted:ANSWER: 1", "--run", "one")
    (path,) = (here / "results").glob("*@*/*/one")
    card = store.read_card(path)
    right = card.counts
    store.write_card(
        path,
        type(card)(
            **{f: getattr(card, f) for f in card.__struct_fields__}
            | {"status": "running", "files": {}, "counts": {}}
        ),
    )
    assert evals("show", "one", "--json").json["runs"][0]["counts"] == right
    assert evals("score", "one").status == 0
    again = store.read_card(path)
    assert (again.status, again.counts) == (card.status, right)
    assert set(again.files) == {"records.parquet", "samples.parquet"}


# --- Parquet files of strangers -------------------------------------------------------------------------------


@pytest.fixture
def stranger(real: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Path]:
    """A run whose files another machine wrote: nothing here knows them."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    parquet._remembered_faults.cache_clear()
    parquet._decode_in_worker.cache_clear()
    yield real
    parquet._remembered_faults.cache_clear()


def test_a_strangers_file_is_decoded_in_a_worker_once(
    stranger: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    checked: list[Path] = []
    check = parquet.check
    monkeypatch.setattr(parquet, "check", lambda path: (checked.append(path), check(path)))
    for _ in range(2):
        parquet._remembered_faults.cache_clear()  # as in another process
        assert len(list(store.Run(stranger).records())) == 3
    assert checked == [stranger / "records.parquet"]
    (stranger / "records.parquet").touch()
    list(store.Run(stranger).records())
    assert len(checked) == 2


def test_ones_own_files_are_never_checked(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parquet, "check", lambda path: pytest.fail(f"{path} was checked"))
    path = sealed(here / "toy@1" / "model" / "run")
    assert everything(path) == (20, 20)
    store.check(path)


@pytest.mark.slow
def test_a_file_that_would_fill_the_memory_is_one_line(
    stranger: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One string of 64 MB in a dictionary, 20,000 times: 10 kB on disk, 1.3 TB decoded."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    path = stranger / "records.parquet"
    table = pq.read_table(path)
    rows = 20_000
    columns = {name: pa.repeat(table.column(name)[0], rows) for name in table.schema.names}
    big = pa.array(["x" * (64 << 20)])
    columns["scores"] = pa.DictionaryArray.from_arrays(pa.array([0] * rows, pa.int32()), big)
    pq.write_table(
        pa.table(columns), path, compression="zstd", dictionary_pagesize_limit=1 << 30, store_schema=False
    )
    assert path.stat().st_size < 1 << 20
    card = store.read_card(stranger)
    card.files = file_facts(stranger)
    store.write_card(stranger, card)
    began = time.monotonic()
    done = evals("show", "run", "--samples")
    first_s = time.monotonic() - began
    assert "records.parquet: cannot be read: " in done.error_line
    parquet._remembered_faults.cache_clear()  # as in another process, which knows the refusal from the list
    parquet._decode_in_worker.cache_clear()
    began = time.monotonic()
    assert evals("show", "run", "--samples").error_line == done.error_line
    assert time.monotonic() - began < first_s / 2
    with pytest.raises(StoreError, match=r"records\.parquet: cannot be read"):
        store.check(stranger)
