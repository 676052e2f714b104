"""Rows come out alike wherever they lie and however they are packed; what is wrong is said in one line."""

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

from evals.data import Data, Row, Split, read_file
from evals.errors import DataError

ROWS: list[Row] = [{"id": str(i), "text": f'Zeile {i}: é, "q"\nund mehr', "n": f"{i}.5"} for i in range(5)]
SPLIT = Split(hub="owner/set", revision="abc", stems=("test", "other"), rows=5)


def as_lines(path: Path, rows: list[Row]) -> None:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))


def as_json(path: Path, rows: list[Row]) -> None:
    path.write_text(json.dumps(rows, ensure_ascii=False), encoding="utf-8")


def as_csv(path: Path, rows: list[Row]) -> None:
    with path.open("w", encoding="utf-8", newline="") as stream:
        writer = csv.DictWriter(stream, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)


def as_parquet(path: Path, rows: list[Row]) -> None:
    pq.write_table(pa.Table.from_pylist(rows), path)


def zipped(write: Callable[[Path, list[Row]], None]) -> Callable[[Path, list[Row]], None]:
    def pack(path: Path, rows: list[Row]) -> None:
        plain = path.with_name("plain")
        write(plain, rows)
        path.write_bytes(gzip.compress(plain.read_bytes()))
        plain.unlink()

    return pack


FORMS = {
    ".jsonl": as_lines,
    ".jsonl.gz": zipped(as_lines),
    ".json": as_json,
    ".json.gz": zipped(as_json),
    ".csv": as_csv,
    ".csv.gz": zipped(as_csv),
    ".parquet": as_parquet,
}


def rows(place: Path, split: Split = SPLIT, *, required: tuple[str, ...] = ()) -> list[Row]:
    return list(Data(suite="my-suite", local=place).rows(split, required=required))


# --- where files lie ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("folder", ["my-suite", "my_suite", "my-suite/data", "."])
def test_a_mirror_holds_a_split_in_any_form_and_place(tmp_path: Path, form: str, folder: str) -> None:
    (tmp_path / folder).mkdir(parents=True, exist_ok=True)
    FORMS[form](tmp_path / folder / f"test{form}", ROWS)
    assert rows(tmp_path) == ROWS


@pytest.mark.parametrize("form", FORMS)
def test_one_file_is_the_suites_main_split(tmp_path: Path, form: str) -> None:
    path = tmp_path / f"whatever-name{form}"
    FORMS[form](path, ROWS)
    assert rows(path) == ROWS


def test_one_file_is_not_the_few_shot_split(tmp_path: Path) -> None:
    as_lines(tmp_path / "test.jsonl", ROWS)
    data = Data(suite="my-suite", local=tmp_path / "test.jsonl")
    assert data.has(SPLIT)
    assert not data.has(Split(hub="owner/set", stems=("validation",), in_single_file=False))


def test_shards_are_read_in_their_order(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    for number, part in enumerate((ROWS[:2], ROWS[2:4], ROWS[4:])):
        as_parquet(tmp_path / "data" / f"test-0000{number}-of-00003.parquet", part)
    assert rows(tmp_path) == ROWS


def test_the_first_stem_that_is_there_counts(tmp_path: Path) -> None:
    as_lines(tmp_path / "other.jsonl", ROWS[:1])
    assert rows(tmp_path) == ROWS[:1]
    as_lines(tmp_path / "test.jsonl", ROWS[:2])
    assert rows(tmp_path) == ROWS[:2]


def test_a_byte_order_mark_is_no_part_of_the_first_column(tmp_path: Path) -> None:
    (tmp_path / "test.csv").write_bytes(b"\xef\xbb\xbfid,n\n1,2\n")
    assert rows(tmp_path) == [{"id": "1", "n": "2"}]


def test_blank_lines_between_json_lines_are_skipped(tmp_path: Path) -> None:
    (tmp_path / "test.jsonl").write_text('{"id": "1"}\n\n  \n{"id": "2"}')
    assert [row["id"] for row in rows(tmp_path)] == ["1", "2"]


def test_the_bundled_items_are_read_from_the_package() -> None:
    data = Data(suite="mmlu-pro", sample=True)
    split = Split(hub="TIGER-Lab/MMLU-Pro", stems=("test",), rows=12_032)
    assert data.origin == "sample"
    assert len(list(data.rows(split))) >= 12  # the pinned row count is the hub's, not theirs
    assert (data.folder() / "test.jsonl").is_file()


def test_media_lie_beside_a_file_or_in_the_suites_folder(tmp_path: Path) -> None:
    (tmp_path / "my-suite").mkdir()
    (tmp_path / "my-suite" / "test.jsonl").write_text('{"id": "1"}\n')
    assert Data(suite="my-suite", local=tmp_path).folder() == tmp_path / "my-suite"
    assert (
        Data(suite="my-suite", local=tmp_path / "my-suite" / "test.jsonl").folder() == tmp_path / "my-suite"
    )


# --- what is wrong with them --------------------------------------------------------------------------------


def broken(path: Path, content: bytes) -> Path:
    path.write_bytes(content)
    return path


@pytest.mark.parametrize(
    ("name", "content", "said"),
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
        "torn line", "no object", "NaN", "no UTF-8", "torn document", "no list", "no gzip", "torn gzip", "rotten gzip",
        "endless field", "csv no UTF-8", "no parquet",
    ],
)  # fmt: skip
def test_a_file_that_cannot_be_read_is_named(tmp_path: Path, name: str, content: bytes, said: str) -> None:
    path = broken(tmp_path / name, content)
    with pytest.raises(DataError, match=f"cannot read .*{name}.*{said}"):
        list(read_file(path))


def test_a_missing_column_is_named_with_those_that_are_there(tmp_path: Path) -> None:
    as_lines(tmp_path / "test.jsonl", ROWS)
    with pytest.raises(DataError, match=r"my-suite: row 1 lacks column 'answer'; it has id, n, text"):
        rows(tmp_path, required=("id", "answer"))


@pytest.mark.parametrize("cells", ["3", "3,4,5"])
def test_a_csv_row_of_another_length_than_its_header_is_an_error(tmp_path: Path, cells: str) -> None:
    # a missing cell would become the option "None"
    (tmp_path / "test.csv").write_text(f"id,n\n1,2\n{cells}\n")
    with pytest.raises(DataError, match="row 2: its number of cells differs"):
        rows(tmp_path)


def test_no_rows_are_an_error(tmp_path: Path) -> None:
    (tmp_path / "test.jsonl").write_text("")
    with pytest.raises(DataError, match="my-suite: the data set is empty"):
        rows(tmp_path)


def test_a_split_that_is_not_there_is_named_with_its_forms(tmp_path: Path) -> None:
    with pytest.raises(
        DataError, match=r"no file named test or other \(.parquet, .jsonl, .json, .csv, .tsv\)"
    ):
        rows(tmp_path)


def test_a_folder_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="nowhere does not exist"):
        rows(tmp_path / "nowhere")


# --- the hub ------------------------------------------------------------------------------------------------


class Hub:
    """A stand-in for the library `datasets`."""

    def __init__(self, found: list[Row] | Exception) -> None:
        self.found = found
        self.asked: tuple[Any, ...] = ()

    def load_dataset(self, path: str, name: str | None, **options: Any) -> list[Row]:
        self.asked = (path, name, options)
        if isinstance(self.found, Exception):
            raise self.found
        return self.found


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[list[Row] | Exception], Hub]]:
    def make(found: list[Row] | Exception) -> Hub:
        stand_in = Hub(found)
        module = ModuleType("datasets")
        module.load_dataset = stand_in.load_dataset
        monkeypatch.setitem(sys.modules, "datasets", module)
        return stand_in

    return make


def test_the_hub_is_asked_for_the_pinned_revision(hub: Callable[..., Hub]) -> None:
    stand_in = hub(ROWS)
    split = Split(hub="owner/set", revision="abc", config="main", split="train", stems=("x",), rows=5)
    assert list(Data(suite="my-suite").rows(split)) == ROWS
    assert stand_in.asked == ("owner/set", "main", {"data_files": None, "split": "train", "revision": "abc"})


@pytest.mark.parametrize("count", [0, 4])
def test_the_hubs_row_count_is_enforced(hub: Callable[..., Hub], count: int) -> None:
    hub(ROWS[:count])
    with pytest.raises(DataError, match=f"owner/set has {count} rows, expected 5"):
        list(Data(suite="my-suite").rows(SPLIT))


def test_offline_both_ways_to_get_the_data_are_named(hub: Callable[..., Hub]) -> None:
    hub(ConnectionError("Couldn't reach the hub\nand a long tail"))
    with pytest.raises(DataError) as caught:
        list(Data(suite="my-suite").rows(SPLIT))
    message = str(caught.value)
    assert "evals data my-suite" in message
    assert "--data DIR" in message
    assert "Couldn't reach the hub" in message
    assert "\n" not in message


def test_a_gated_set_says_what_to_do(hub: Callable[..., Hub]) -> None:
    hub(PermissionError("Dataset 'owner/set' is a gated dataset on the Hub."))
    with pytest.raises(DataError, match=r"gated: accept its terms .* HF_TOKEN, .* --data DIR \(Permission"):
        list(Data(suite="my-suite").rows(SPLIT))


def test_without_the_hubs_library_its_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "datasets", None)
    with pytest.raises(DataError, match=r"\[hub\].*--data DIR.*--sample"):
        list(Data(suite="my-suite").rows(SPLIT))


def test_the_hub_always_may_have_a_split() -> None:
    assert Data(suite="my-suite").has(SPLIT)
    with pytest.raises(DataError, match="no local folder"):
        Data(suite="my-suite").folder()
