"""Rows are the same for every location, format and compression; errors are one line that names the file and the fault."""

from __future__ import annotations

import csv
import gzip
import json
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from evals import load
from evals.data import Data, Row, Split, read_file
from evals.errors import DataError
from evals.suite import checked_samples
from tests.support.error_messages import raises
from tests.support.paths import SAMPLES

ROWS: list[Row] = [{"id": str(i), "text": f'Zeile {i}: é, "q"\nund mehr', "n": f"{i}.5"} for i in range(5)]
SPLIT = Split(hub="owner/set", revision="abc", stems=("test", "other"), rows=5)


def write_jsonl(path: Path, rows: list[Row]) -> None:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))


def write_json(path: Path, rows: list[Row]) -> None:
    path.write_text(json.dumps(rows, ensure_ascii=False), encoding="utf-8")


def write_csv(path: Path, rows: list[Row]) -> None:
    with path.open("w", encoding="utf-8", newline="") as stream:
        writer = csv.DictWriter(stream, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)


def write_parquet(path: Path, rows: list[Row]) -> None:
    pq.write_table(pa.Table.from_pylist(rows), path)


def gzipped(write: Callable[[Path, list[Row]], None]) -> Callable[[Path, list[Row]], None]:
    def write_gzipped(path: Path, rows: list[Row]) -> None:
        uncompressed = path.with_name("uncompressed")
        write(uncompressed, rows)
        path.write_bytes(gzip.compress(uncompressed.read_bytes()))
        uncompressed.unlink()

    return write_gzipped


WRITERS = {
    ".jsonl": write_jsonl,
    ".jsonl.gz": gzipped(write_jsonl),
    ".json": write_json,
    ".json.gz": gzipped(write_json),
    ".csv": write_csv,
    ".csv.gz": gzipped(write_csv),
    ".parquet": write_parquet,
}


def rows(source: Path, split: Split = SPLIT, *, required: tuple[str, ...] = ()) -> list[Row]:
    return list(Data(suite="my-suite", local=source).rows(split, required=required))


# --- where files are -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("ending", WRITERS)
@pytest.mark.parametrize("folder", ["my-suite", "my_suite", "my-suite/data", "."])
def test_a_split_is_found_in_every_format_and_folder(tmp_path: Path, ending: str, folder: str) -> None:
    (tmp_path / folder).mkdir(parents=True, exist_ok=True)
    WRITERS[ending](tmp_path / folder / f"test{ending}", ROWS)
    assert rows(tmp_path) == ROWS


@pytest.mark.parametrize("ending", WRITERS)
def test_a_single_file_is_the_main_split_of_the_suite(tmp_path: Path, ending: str) -> None:
    path = tmp_path / f"whatever-name{ending}"
    WRITERS[ending](path, ROWS)
    assert rows(path) == ROWS


def test_a_single_file_is_not_the_few_shot_split(tmp_path: Path) -> None:
    write_jsonl(tmp_path / "test.jsonl", ROWS)
    data = Data(suite="my-suite", local=tmp_path / "test.jsonl")
    assert data.has(SPLIT)
    assert not data.has(Split(hub="owner/set", stems=("validation",), in_single_file=False))


def test_shards_are_read_in_order(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    for number, part in enumerate((ROWS[:2], ROWS[2:4], ROWS[4:])):
        write_parquet(tmp_path / "data" / f"test-0000{number}-of-00003.parquet", part)
    assert rows(tmp_path) == ROWS


def test_the_first_stem_for_which_a_file_exists_is_read(tmp_path: Path) -> None:
    write_jsonl(tmp_path / "other.jsonl", ROWS[:1])
    assert rows(tmp_path) == ROWS[:1]
    write_jsonl(tmp_path / "test.jsonl", ROWS[:2])
    assert rows(tmp_path) == ROWS[:2]


def test_a_byte_order_mark_is_not_part_of_the_first_column_name(tmp_path: Path) -> None:
    (tmp_path / "test.csv").write_bytes(b"\xef\xbb\xbfid,n\n1,2\n")
    assert rows(tmp_path) == [{"id": "1", "n": "2"}]


def test_blank_lines_in_jsonl_are_skipped(tmp_path: Path) -> None:
    (tmp_path / "test.jsonl").write_text('{"id": "1"}\n\n  \n{"id": "2"}')
    assert [row["id"] for row in rows(tmp_path)] == ["1", "2"]


def test_the_bundled_items_are_read_from_the_package() -> None:
    data = Data(suite="mmlu-pro", sample=True)
    split = Split(hub="TIGER-Lab/MMLU-Pro", stems=("test",), rows=12_032)
    assert data.origin == "sample"
    assert len(list(data.rows(split))) >= 12  # the pinned row count applies to the hub's data only
    assert (data.folder() / "test.jsonl").is_file()


def test_the_media_folder_contains_the_data_file_or_is_the_folder_of_the_suite(tmp_path: Path) -> None:
    (tmp_path / "my-suite").mkdir()
    (tmp_path / "my-suite" / "test.jsonl").write_text('{"id": "1"}\n')
    assert Data(suite="my-suite", local=tmp_path).folder() == tmp_path / "my-suite"
    assert (
        Data(suite="my-suite", local=tmp_path / "my-suite" / "test.jsonl").folder() == tmp_path / "my-suite"
    )


# --- errors ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("test.jsonl", b'{"id": "1"}\n{"id": \n', "line 2"),
        ("test.jsonl", b'{"id": "1"}\n[1]\n', "line 2"),
        ("test.jsonl", b'{"id": NaN}\n', "line 1"),
        ("test.jsonl", b'{"id": "\xff"}\n', "[Uu][Tt][Ff]-8"),
        ("test.json", b'[{"id": "1"}', "truncated"),
        ("test.json", b'{"id": "1"}', "array"),
        ("test.jsonl.gz", b"plain text", "gzip"),
        ("test.jsonl.gz", gzip.compress(b'{"id": "1"}\n' * 99)[:-12], "ended"),
        ("test.jsonl.gz", gzip.compress(b"")[:10] + b"\xff" * 30, "invalid"),
        ("test.csv", b'id\n"' + b"x" * 200_000 + b'"\n', "field"),
        ("test.csv", b"id\n\xff\n", "UTF-8"),
        ("test.parquet", b"PAR1 no", "arquet"),
    ],
    ids=[
        "truncated line", "not an object", "NaN", "not UTF-8", "truncated document", "not an array", "not gzip", "truncated gzip",
        "corrupt gzip", "oversized field", "csv not UTF-8", "not parquet",
    ],
)  # fmt: skip
def test_the_error_for_an_unreadable_file_names_it(
    tmp_path: Path, name: str, content: bytes, message: str
) -> None:
    path = tmp_path / name
    path.write_bytes(content)
    with raises(DataError):
        list(read_file(path))


def test_the_error_for_a_missing_column_lists_the_existing_ones(tmp_path: Path) -> None:
    write_jsonl(tmp_path / "test.jsonl", ROWS)
    with raises(DataError):
        rows(tmp_path, required=("id", "answer"))


@pytest.mark.parametrize("cells", ["3", "3,4,5"])
def test_a_csv_row_whose_length_differs_from_the_header_is_an_error(tmp_path: Path, cells: str) -> None:
    # otherwise a missing cell would become the option "None"
    (tmp_path / "test.csv").write_text(f"id,n\n1,2\n{cells}\n")
    with raises(DataError):
        rows(tmp_path)


@pytest.mark.parametrize("suite", ["supergpqa", "mathvision", "microvqa", "proteinlmbench"])
def test_a_list_that_is_a_text_in_a_csv_file_is_an_error(tmp_path: Path, suite: str) -> None:
    # its characters were taken for the options
    (first, *_) = load.suite(suite, None)
    (path,) = (SAMPLES / suite).glob("*.jsonl")
    write_csv(tmp_path / "rows.csv", [json.loads(path.read_text().splitlines()[0])])
    with raises(DataError):
        list(checked_samples(first, Data(suite=suite, local=tmp_path / "rows.csv")))


def test_an_empty_file_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "test.jsonl").write_text("")
    with raises(DataError):
        rows(tmp_path)


def test_the_error_for_a_missing_split_lists_file_names_and_formats(tmp_path: Path) -> None:
    with raises(DataError):
        rows(tmp_path)


def test_the_error_for_a_missing_folder_names_it(tmp_path: Path) -> None:
    with raises(DataError):
        rows(tmp_path / "nowhere")


# --- the hub ------------------------------------------------------------------------------------------------


class Hub:
    """A stand-in for the library `datasets` that returns these rows or raises this exception."""

    def __init__(self, result: list[Row] | Exception) -> None:
        self.result = result
        self.arguments: tuple[Any, ...] = ()

    def load_dataset(self, path: str, name: str | None, **options: Any) -> list[Row]:
        self.arguments = (path, name, options)
        if isinstance(self.result, Exception):
            raise self.result
        return self.result


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[list[Row] | Exception], Hub]]:
    def install(result: list[Row] | Exception) -> Hub:
        stand_in = Hub(result)
        module = ModuleType("datasets")
        module.load_dataset = stand_in.load_dataset
        monkeypatch.setitem(sys.modules, "datasets", module)
        return stand_in

    return install


def test_the_pinned_revision_is_loaded_from_the_hub(hub: Callable[..., Hub]) -> None:
    stand_in = hub(ROWS)
    split = Split(hub="owner/set", revision="abc", config="main", split="train", stems=("x",), rows=5)
    assert list(Data(suite="my-suite").rows(split)) == ROWS
    assert stand_in.arguments == (
        "owner/set",
        "main",
        {"data_files": None, "split": "train", "revision": "abc"},
    )


@pytest.mark.parametrize("count", [0, 4])
def test_a_row_count_other_than_the_expected_one_is_an_error(hub: Callable[..., Hub], count: int) -> None:
    hub(ROWS[:count])
    with raises(DataError):
        list(Data(suite="my-suite").rows(SPLIT))


def test_without_the_hub_the_error_names_both_ways_to_obtain_the_data(hub: Callable[..., Hub]) -> None:
    hub(ConnectionError("Couldn't reach the hub\nand a long tail"))
    with raises(DataError):
        list(Data(suite="my-suite").rows(SPLIT))


def test_the_error_for_a_gated_data_set_says_what_to_do(hub: Callable[..., Hub]) -> None:
    hub(PermissionError("Dataset 'owner/set' is a gated dataset on the Hub."))
    with raises(DataError):
        list(Data(suite="my-suite").rows(SPLIT))


def test_without_the_library_datasets_the_error_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "datasets", None)
    with raises(DataError):
        list(Data(suite="my-suite").rows(SPLIT))


def test_without_a_local_folder_every_split_is_assumed_to_exist() -> None:
    assert Data(suite="my-suite").has(SPLIT)
    with raises(DataError):
        Data(suite="my-suite").folder()
