"""Untrusted files that are small on disk and huge when read are rejected within seconds and in bounded memory."""

from __future__ import annotations

import gzip
import io
import zipfile
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from evals import disk
from evals.data import parquet
from evals.data.series import parse_npy
from evals.data.sources import read_file
from evals.errors import DataError
from evals.interop import files, matbench
from tests.support.command import evals
from tests.support.error_messages import raises


@pytest.fixture(scope="module")
def bomb(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("bomb") / "samples_x.jsonl.gz"
    with gzip.open(path, "wb", 9) as stream:
        stream.write(b'{"a": "')
        for _ in range(80):
            stream.write(b"x" * (1 << 20))
    return path


def test_a_gzip_bomb_is_rejected_by_every_reader(bomb: Path, tmp_path: Path) -> None:
    assert bomb.stat().st_size < 1 << 18
    json_bomb = tmp_path / "results.json.gz"
    json_bomb.write_bytes(bomb.read_bytes())
    readers = (
        lambda: list(read_file(bomb)),
        lambda: list(read_file(json_bomb)),
        lambda: list(files.read_objects(bomb)),
        lambda: files.read_json(json_bomb),
        lambda: matbench._predictions_by_task(json_bomb),
    )
    for read in readers:
        with raises(DataError):
            read()


def test_the_limit_holds_however_many_bytes_are_requested_at_once(bomb: Path) -> None:
    with disk.open_decompressed(bomb) as stream:
        assert isinstance(stream, io.BufferedReader)
        assert stream.raw.readinto(bytearray(8 << 20)) == disk.CHUNK_BYTES


def test_a_zip_bomb_is_rejected_before_it_is_unpacked(tmp_path: Path) -> None:
    path = tmp_path / "mmlu_result.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("x_result.json", b"[" + b" " * (80 << 20))
    with raises(DataError):
        files.read_json(path)
    evals(
        "import", "mmlu-pro", path, "--model", "m", "--sample", "--results", tmp_path / "r"
    ).assert_usage_error()


def test_a_gzip_bomb_as_data_or_import_is_a_usage_error(bomb: Path, here: Path) -> None:
    outcome = evals("run", "mmlu-pro", "--data", bomb, "-m", "scripted:A")
    outcome.assert_usage_error()
    outcome = evals("import", "lm-eval", bomb, "--suite", "mmlu-pro", "--model", "m", "--sample")
    outcome.assert_usage_error()


def test_a_well_compressed_file_below_the_limit_is_read(tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl.gz"
    with gzip.open(path, "wb", 9) as stream:
        for _ in range(20):
            stream.write(b'{"question": "' + b"same " * 20_000 + b'"}\n')
    assert len(list(read_file(path))) == 20


def test_an_overlong_line_is_rejected(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(disk, "MAX_LINE", 1 << 20)
    path = tmp_path / "rows.jsonl"
    path.write_bytes(b'{"a": "' + b"x" * (2 << 20))
    with raises(DataError):
        list(read_file(path))


@pytest.mark.parametrize("shape", [(1 << 40,), (1 << 20, 1 << 20), (9,)], ids=str)
def test_an_array_header_that_states_more_values_than_the_file_has_is_rejected(
    shape: tuple[int, ...],
) -> None:
    stream = io.BytesIO()
    np.lib.format.write_array_header_1_0(stream, {"descr": "<f8", "fortran_order": False, "shape": shape})
    stream.write(b"\x00" * 64)
    with raises(ValueError):
        parse_npy(stream.getvalue())
    valid = io.BytesIO()
    np.save(valid, np.arange(6.0).reshape(2, 3))
    assert parse_npy(valid.getvalue()).shape == (2, 3)


def test_a_cell_in_the_last_corner_of_a_sheet_does_not_make_a_million_rows(tmp_path: Path) -> None:
    openpyxl = pytest.importorskip("openpyxl")
    from evals.interop.vlmevalkit import _workbook_rows

    book = openpyxl.Workbook()
    book.active.append(["index", "prediction"])
    book.active.append([1, "A"])
    book.active["XFD1048576"] = "x"
    book.save(tmp_path / "m_MMStar.xlsx")
    rows = list(_workbook_rows(tmp_path / "m_MMStar.xlsx"))
    assert rows[0] == {"index": 1, "prediction": "A"}
    assert len(rows) == 2


@pytest.mark.slow
def test_a_parquet_bomb_is_rejected_by_a_worker_with_limited_memory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "rows.parquet"
    pq.write_table(pa.table({"a": ["x" * 1000] * 1000}), path)
    assert len(list(read_file(path))) == 1000
    large = tmp_path / "large.parquet"
    # 900 MB in one page: 300 rows that refer to a dictionary of one long text
    pq.write_table(pa.table({"a": ["x" * (3 << 20)] * 300}), large, compression="zstd")
    monkeypatch.setattr(parquet, "MEMORY_MIB", 1200)
    with raises(DataError):
        list(read_file(large))
