"""VLMEvalKit: a table with the data set's columns and `prediction`, as xlsx, tsv or JSON; pickles are never read.

The data set's own id is `index` (`id` where there is one); `hit` of a `..._result` table beside it is their verdict. A
prediction that says "Failed to obtain answer" is a failed call, which their scores count as wrong. Rows of circular
evaluation (index from 1,000,000 on) are other questions and left out. A cell that looks like a formula is a text.
"""

from __future__ import annotations

import csv
import io
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from zipfile import ZipFile

import msgspec

from evals.archive import UNREADABLE
from evals.errors import DataError, UsageError
from evals.interop.files import whole
from evals.interop.foreign import Item, Source
from evals.interop.values import BROKEN, number

FORMAT = "vlmevalkit"
FAILED = "Failed to obtain answer"
CIRCULAR = 1_000_000
EXPANSION = 200
"""A workbook that unpacks to so many times its size is a bomb."""
SMALL = 64 << 20
"""Bytes that any workbook may unpack to."""
DATASETS = (
    "MMMU_DEV_VAL", "MMMU_Pro_10c_COT", "MMMU_Pro_V_COT", "MMMU_Pro_10c", "MMMU_Pro_V", "MMStar", "MathVista_MINI",
    "MathVision_MINI", "MathVision", "ChartQA_TEST", "SFE-zh", "SFE", "Physics", "MSEarthMCQ", "XLRS-Bench-lite",
    "ChartBench", "MicroVQA",
)  # fmt: skip
OPTIONS = "ABCDEFGHIJKLMNO"


def read(path: Path) -> list[Source]:
    """Read one table, or the tables of a model's folder; raises DataError in one line."""
    if path.is_file():
        return [_source(path)]
    files = sorted(
        file
        for ending in ("xlsx", "tsv", "json")
        for file in path.rglob(f"*.{ending}")
        if _named(file)[1] and "_result" not in file.stem and "_judge" not in file.stem
    )
    if not files:
        raise DataError(f"{path}: no <model>_<dataset>.xlsx, .tsv or .json there")
    return [_source(file) for file in files]


def _named(path: Path) -> tuple[str, str]:
    """Take `<model>_<dataset>` apart; an unknown data set is empty."""
    dataset = next((name for name in DATASETS if path.stem.endswith(f"_{name}")), "")
    return (path.stem[: -len(dataset) - 1], dataset) if dataset else (path.stem, "")


def _source(path: Path) -> Source:
    model, dataset = _named(path)
    return Source(format=FORMAT, tasks=(dataset or path.stem,), model=model, items=lambda: _items(path))


def _items(path: Path) -> Iterator[Item]:
    hits = _hits(path)
    for place, row in enumerate(_rows(path), 1):
        if "prediction" not in row:
            raise DataError(f"{path}: no column `prediction`; it has {', '.join(map(str, row))[:200]}")
        index = _plain(row.get("index", row.get("id", "")))
        if index.isdigit() and int(index) >= CIRCULAR:
            continue
        said = row["prediction"]
        failed = said is None or FAILED in str(said)
        yield Item(
            where=f"{path.name}, row {place}",
            id=_plain(row["id"]) if row.get("id") not in (None, "") else index,
            question=str(row.get("question") or ""),
            options=tuple(str(row[x]) for x in OPTIONS if row.get(x) not in (None, "", "nan")),
            text=None if failed else str(said),
            reasoning=str(row["thinking"]) if row.get("thinking") not in (None, "") else None,
            failure="the call failed" if failed else "",
            score=hits.get(index, _number(row.get("hit"))),
        )


def _hits(path: Path) -> dict[str, float]:
    """Read their verdicts, where a table of results lies beside the predictions."""
    found: dict[str, float] = {}
    for file in sorted(path.parent.glob(f"{path.stem}_*_result.*")):
        if file.suffix in (".xlsx", ".tsv", ".json"):
            for row in _rows(file):
                value = _number(row.get("hit"))
                if value is not None:
                    found[_plain(row.get("index", ""))] = value
    return found


def _plain(value: Any) -> str:
    return str(int(value)) if isinstance(value, float) and value.is_integer() else str(value)


def _number(value: Any) -> float | None:
    try:
        return None if value in (None, "") else number(float(value))
    except (TypeError, ValueError, OverflowError):
        return None


def _rows(path: Path) -> Iterator[dict[str, Any]]:
    if path.suffix == ".pkl":
        raise UsageError(f"{path}: pickles are never read; write it as xlsx, tsv or json")
    try:
        if path.suffix == ".xlsx":
            yield from _workbook(path)
        elif path.suffix == ".tsv":
            yield from _tsv(path)
        else:
            yield from _json(path)
    except (csv.Error, *UNREADABLE, *BROKEN) as error:
        raise DataError(f"{path}: {error}") from None


def _tsv(path: Path) -> Iterator[dict[str, Any]]:
    csv.field_size_limit(min(sys.maxsize, 1 << 30))  # an image stands in a cell
    with io.StringIO(whole(path).decode("utf-8-sig"), newline="") as stream:
        yield from csv.DictReader(stream, delimiter="\t")


def _json(path: Path) -> Iterator[dict[str, Any]]:
    found = msgspec.json.decode(whole(path))
    if isinstance(found, dict) and all(isinstance(column, dict | list) for column in found.values()):
        columns = {name: list(c.values()) if isinstance(c, dict) else c for name, c in found.items()}
        if len({len(column) for column in columns.values()}) != 1:
            raise ValueError("its columns are not of one length")
        yield from (dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True))
    elif isinstance(found, list) and all(isinstance(row, dict) for row in found):
        yield from found
    else:
        raise ValueError("neither a list of rows nor an object of columns")


def _workbook(path: Path) -> Iterator[dict[str, Any]]:
    try:
        import openpyxl
    except ImportError:
        raise UsageError("reading xlsx needs `pip install 'science-evals[import]'`") from None
    with ZipFile(path) as archive:
        unpacked = sum(entry.file_size for entry in archive.infolist())
    if unpacked > max(SMALL, EXPANSION * path.stat().st_size):
        raise ValueError(f"it would unpack to {unpacked:,} bytes")
    with path.open("rb") as stream:
        try:
            yield from _sheet(openpyxl, stream)
        except GeneratorExit:
            raise
        except Exception as error:  # noqa: BLE001 - a parser of hostile XML may raise anything
            raise ValueError(f"no workbook that can be read ({type(error).__name__}: {error})") from None


def _sheet(openpyxl: Any, stream: Any) -> Iterator[dict[str, Any]]:
    book = openpyxl.load_workbook(stream, read_only=True, data_only=False, keep_links=False)
    try:
        sheet = book.worksheets[0]
        rows = sheet.iter_rows(values_only=True)
        heads = [str(head) for head in next(rows, ())]
        for row in rows:
            if any(value is not None for value in row):
                yield dict(zip(heads, row, strict=False))
    finally:
        book.close()
