"""VLMEvalKit and SciEvalKit: a table with the data set's columns and `prediction`, as xlsx, tsv or JSON; pickles are never read.

The data set's own id is `id` or, without one, `index`. Tables in the same folder contain the verdicts (`..._result`, column
`hit`), the answers that MathVista's and MATH-Vision's judges extracted (column `res`) and aggregate scores (`..._acc`,
`..._score`). "Failed to obtain answer" is a failed call, which VLMEvalKit counts as wrong; an empty cell in a workbook may
be a reply too long for a cell. Rows of circular evaluation (index from 1,000,000 on) are different questions and are left
out. Cells that look like formulas are read as text.
"""

from __future__ import annotations

import csv
import glob
import io
import re
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any
from zipfile import ZipFile

from evals.boundary import foreign_code
from evals.data.archive import ARCHIVE_ERRORS
from evals.errors import DataError, UsageError, needs
from evals.interop.files import glob_visible, read_bytes, read_json, refuse_zip_bomb
from evals.interop.foreign import Item, Source
from evals.interop.values import PARSE_ERRORS, number
from evals.validation import cause

FAILED_CALL = "Failed to obtain answer"
"""What VLMEvalKit writes as the prediction if a call failed."""
EMPTY_REPLY = "empty: an empty reply, or one too long for a cell of a workbook"
FIRST_CIRCULAR_INDEX = 1_000_000
"""First index of the rows of circular evaluation."""
DATASETS = (
    "MMMU_DEV_VAL", "MMMU_Pro_10c_COT", "MMMU_Pro_V_COT", "MMMU_Pro_10c", "MMMU_Pro_V", "MMStar", "MathVista_MINI",
    "MathVision_MINI", "MathVision", "ChartQA_TEST", "SFE-zh", "SFE", "Physics", "MSEarthMCQ", "XLRS-Bench-lite",
    "ChartBench", "ChartQAPro_CoT", "ChartQAPro", "MicroVQA", "MMMU_VAL", "MMMU_TEST", "MMMU", "TRQA", "ProteinLMBench",
    "SGI-DeepResearch", "SGI-Experimental-Reasoning", "PHYSICS",
)  # fmt: skip
"""Data sets that are recognised at the end of a file's name, those of SciEvalKit (InternScience/SciEvalKit @ 0817251a) last."""
TABLE_SUFFIXES = (".xlsx", ".tsv", ".json")
OPTION_LETTERS = "ABCDEFGHIJKLMNO"
_BOOLEANS = {"True": 1, "False": 0}
"""Booleans as written in a plain-text table."""
_ESCAPE = re.compile("_x(00[01][0-9A-F])_")
"""A control character as written in a workbook: `_x000D_`."""


def read(path: Path) -> list[Source]:
    """Read one table, or the tables in a model's folder; raises DataError."""
    if path.is_file():
        return [_source(path)]
    files = {
        file.resolve()
        for suffix in TABLE_SUFFIXES
        for file in glob_visible(path, f"**/*{suffix}")
        if _split_name(file)[1] and "_result" not in file.stem and "_judge" not in file.stem
    }
    if not files:
        raise DataError(f"{path}: no <model>_<dataset>.xlsx, .tsv or .json found")
    return [_source(file) for file in sorted(files)]


def _split_name(path: Path) -> tuple[str, str]:
    """Split `<model>_<dataset>`; the data set is empty if it is not known."""
    dataset = next((name for name in DATASETS if path.stem.endswith(f"_{name}")), "")
    return (path.stem[: -len(dataset) - 1], dataset) if dataset else (path.stem, "")


def _source(path: Path) -> Source:
    model, dataset = _split_name(path)
    task = dataset or path.stem
    siblings = sorted(glob_visible(path.parent, f"{glob.escape(path.stem)}_*"))
    derived_tables = [
        file for file in siblings if file.suffix in (*TABLE_SUFFIXES, ".csv") and not _split_name(file)[1]
    ]
    return Source(
        tasks=(task,),
        model=model,
        items=lambda: _items(path, derived_tables),
        stated_scores={f"{task} {label}": score for label, score in _stated_scores(derived_tables)},
    )


def _items(path: Path, derived_tables: Sequence[Path]) -> Iterator[Item]:
    verdicts = _verdicts(derived_tables)
    for row_number, row in enumerate(_rows(path), 1):
        if "prediction" not in row:
            raise DataError(f"{path}: no column `prediction`; it has {', '.join(map(str, row))[:200]}")
        index = _id_text(row.get("index", row.get("id", "")))
        if index.isdigit() and int(index) >= FIRST_CIRCULAR_INDEX:
            continue
        verdict = verdicts.get(index, row)
        reasoning = None if _is_empty(row.get("thinking")) else str(row["thinking"])
        text = row["prediction"]
        if text != text:  # NaN
            text = None
        text = "" if text is None and reasoning else text
        failure = (
            EMPTY_REPLY if text is None else "the call failed" if str(text).startswith(FAILED_CALL) else ""
        )
        extracted = verdict.get("res")
        yield Item(
            location=f"{path.name}, row {row_number}", id=index if _is_empty(row.get("id")) else _id_text(row["id"]),
            question=str(row.get("question") or ""),
            options=tuple(str(row[letter]) for letter in OPTION_LETTERS if not _is_empty(row.get(letter))),
            text=None if failure else str(text), reasoning=reasoning, failure=failure,
            score=_parse_number(verdict.get("hit")),
            extracted=None if failure or _is_empty(extracted) else str(extracted),
        )  # fmt: skip


def _verdicts(derived_tables: Sequence[Path]) -> dict[str, dict[str, Any]]:
    """Return the columns `hit` and `res` of the verdicts by index."""
    verdicts: dict[str, dict[str, Any]] = {}
    for file in derived_tables:
        if not file.stem.endswith(("_acc", "_score")):
            for row in _rows(file):
                if "index" in row and ("hit" in row or "res" in row):
                    verdicts[_id_text(row["index"])] = {"hit": row.get("hit"), "res": row.get("res")}
    return verdicts


def _stated_scores(derived_tables: Sequence[Path]) -> Iterator[tuple[str, float]]:
    """Yield aggregate scores with their labels.

    They are in a column `Overall` (or `...Acc(%)`) with a row per split, or in the column `acc` of a row `Overall`.
    """
    for file in derived_tables:
        kind = file.stem.rpartition("_")[2]
        for row in _rows(file) if kind in ("acc", "score") else ():
            label = next(iter(row.values()), "")
            overall = next(
                (row[name] for name in row if str(name).lower().endswith(("overall", "acc(%)"))), None
            )
            if overall is None and str(label).lower() == "overall":
                overall, label = row.get("acc", row.get("accuracy")), ""
            if (score := _parse_number(overall)) is not None:
                yield f"{label if 'split' in row else ''} Overall {kind}".strip(), score


def _is_empty(value: Any) -> bool:
    return value is None or value != value or value in ("", "nan")


def _id_text(value: Any) -> str:
    return str(int(value)) if isinstance(value, float) and value.is_integer() else str(value)


def _parse_number(value: Any) -> float | None:
    try:
        return None if value in (None, "") else number(float(_BOOLEANS.get(value, value)))
    except (TypeError, ValueError, OverflowError):
        return None


def _rows(path: Path) -> Iterator[dict[str, Any]]:
    if path.suffix == ".pkl":
        raise UsageError(f"{path}: pickles are never read; convert it to xlsx, tsv or json")
    try:
        if path.suffix == ".xlsx":
            yield from _workbook_rows(path)
        elif path.suffix in (".tsv", ".csv"):
            csv.field_size_limit(min(sys.maxsize, 1 << 30))  # cells may contain images
            text = io.StringIO(read_bytes(path).decode("utf-8-sig"), newline="")
            yield from csv.DictReader(text, delimiter="," if path.suffix == ".csv" else "\t")
        else:
            yield from _json_rows(path)
    except (csv.Error, *ARCHIVE_ERRORS, *PARSE_ERRORS) as error:
        raise DataError(f"{path}: {cause(error)}") from None


def _json_rows(path: Path) -> Iterator[dict[str, Any]]:
    table = read_json(path)
    if isinstance(table, dict) and not any(isinstance(value, dict | list) for value in table.values()):
        yield table  # an aggregate score
    elif isinstance(table, dict) and all(isinstance(column, dict | list) for column in table.values()):
        columns = {name: list(c.values()) if isinstance(c, dict) else c for name, c in table.items()}
        if len({len(column) for column in columns.values()}) != 1:
            raise ValueError("its columns differ in length")
        yield from (dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True))
    elif isinstance(table, list) and all(isinstance(row, dict) for row in table):
        yield from table
    else:
        raise ValueError("neither a list of rows nor an object of columns")


def _workbook_rows(path: Path) -> Iterator[dict[str, Any]]:
    with needs("reading xlsx", "import"):
        import openpyxl
    with ZipFile(path) as archive:
        refuse_zip_bomb(path, archive)
    as_value_error = foreign_code(lambda reason: ValueError(f"unreadable workbook ({reason})"))
    with path.open("rb") as stream, as_value_error:
        yield from _sheet_rows(openpyxl, stream)


def _sheet_rows(openpyxl: Any, stream: Any) -> Iterator[dict[str, Any]]:
    book = openpyxl.load_workbook(stream, read_only=True, data_only=False, keep_links=False)
    try:
        sheet = book.worksheets[0]
        sheet.reset_dimensions()  # otherwise a cell in the last corner would cause a million rows of 16,384 cells
        rows = sheet.iter_rows(values_only=True)
        headings = [str(heading) for heading in next(rows, ())]
        for row in rows:
            if any(value is not None for value in row):
                cells = [
                    _ESCAPE.sub(lambda code: chr(int(code[1], 16)), cell) if isinstance(cell, str) else cell
                    for cell in (*row, *[None] * (len(headings) - len(row)))
                ]
                yield dict(zip(headings, cells, strict=False))
    finally:
        book.close()
