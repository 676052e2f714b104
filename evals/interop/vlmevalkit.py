"""VLMEvalKit: a table with the data set's columns and `prediction`, as xlsx, tsv or JSON; pickles are never read.

The data set's own id is `id` or, without one, `index`. Tables beside it hold the verdicts (`..._result`, column `hit`),
the answers that MathVista's and MATH-Vision's judges extracted (column `res`) and aggregate scores (`..._acc`,
`..._score`). "Failed to obtain answer" is a failed call, which VLMEvalKit counts as wrong; an empty cell of a workbook may
be a reply too long for a cell. Rows of circular evaluation (index from 1,000,000 on) are other questions and are left
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
from evals.data.archive import UNREADABLE
from evals.errors import DataError, UsageError, install
from evals.interop.files import below, document, refuse_bomb, whole
from evals.interop.foreign import Item, Source
from evals.interop.values import BROKEN, number

FORMAT = "vlmevalkit"
FAILED = "Failed to obtain answer"
EMPTY = "nothing: an empty reply and one too long for a cell of a workbook look alike"
CIRCULAR = 1_000_000
"""First index of the rows of circular evaluation."""
DATASETS = (
    "MMMU_DEV_VAL", "MMMU_Pro_10c_COT", "MMMU_Pro_V_COT", "MMMU_Pro_10c", "MMMU_Pro_V", "MMStar", "MathVista_MINI",
    "MathVision_MINI", "MathVision", "ChartQA_TEST", "SFE-zh", "SFE", "Physics", "MSEarthMCQ", "XLRS-Bench-lite",
    "ChartBench", "ChartQAPro_CoT", "ChartQAPro", "MicroVQA", "MMMU_VAL", "MMMU_TEST", "MMMU",
)  # fmt: skip
TABLES = (".xlsx", ".tsv", ".json")
OPTIONS = "ABCDEFGHIJKLMNO"
_TRUTH = {"True": 1, "False": 0}
"""How a table of text writes truth values."""
_CONTROL = re.compile("_x(00[01][0-9A-F])_")


def read(path: Path, *, name: str = FORMAT, datasets: Sequence[str] = DATASETS) -> list[Source]:
    """Read one table, or the tables of a model's folder; raises DataError. `name`: the kit, with its data sets."""
    if path.is_file():
        return [_source(path, name, datasets)]
    files = {
        file.resolve()
        for ending in TABLES
        for file in below(path, f"**/*{ending}")
        if _named(file, datasets)[1] and "_result" not in file.stem and "_judge" not in file.stem
    }
    if not files:
        raise DataError(f"{path}: no <model>_<dataset>.xlsx, .tsv or .json there")
    return [_source(file, name, datasets) for file in sorted(files)]


def _named(path: Path, datasets: Sequence[str]) -> tuple[str, str]:
    """Split `<model>_<dataset>`; an unknown data set is an empty string."""
    dataset = next((name for name in datasets if path.stem.endswith(f"_{name}")), "")
    return (path.stem[: -len(dataset) - 1], dataset) if dataset else (path.stem, "")


def _source(path: Path, name: str, datasets: Sequence[str]) -> Source:
    model, dataset = _named(path, datasets)
    task = dataset or path.stem
    beside = _beside(path, datasets)
    return Source(
        format=name,
        tasks=(task,),
        model=model,
        items=lambda: _items(path, beside),
        stated={f"{task} {label}": score for label, score in _stated(beside)},
    )


def _items(path: Path, beside: Sequence[Path]) -> Iterator[Item]:
    verdicts = _verdicts(beside)
    for row_number, row in enumerate(_rows(path), 1):
        if "prediction" not in row:
            raise DataError(f"{path}: no column `prediction`; it has {', '.join(map(str, row))[:200]}")
        index = _id(row.get("index", row.get("id", "")))
        if index.isdigit() and int(index) >= CIRCULAR:
            continue
        verdict = verdicts.get(index, row)
        reasoning = None if _empty(row.get("thinking")) else str(row["thinking"])
        text = (
            row["prediction"] if row["prediction"] == row["prediction"] else None
        )  # NaN differs from itself
        text = "" if text is None and reasoning else text
        failure = EMPTY if text is None else "the call failed" if FAILED in str(text) else ""
        extracted = verdict.get("res")
        yield Item(
            where=f"{path.name}, row {row_number}", id=index if _empty(row.get("id")) else _id(row["id"]),
            question=str(row.get("question") or ""),
            options=tuple(str(row[x]) for x in OPTIONS if not _empty(row.get(x))),
            text=None if failure else str(text), reasoning=reasoning, failure=failure,
            score=_number(verdict.get("hit")),
            extracted=None if failure or _empty(extracted) else str(extracted),
        )  # fmt: skip


def _beside(path: Path, datasets: Sequence[str]) -> list[Path]:
    """Return the tables that VLMEvalKit derived from this one."""
    files = sorted(below(path.parent, f"{glob.escape(path.stem)}_*"))
    return [file for file in files if file.suffix in (*TABLES, ".csv") and not _named(file, datasets)[1]]


def _verdicts(beside: Sequence[Path]) -> dict[str, dict[str, Any]]:
    """Return the verdicts by index."""
    verdicts: dict[str, dict[str, Any]] = {}
    for file in beside:
        if not file.stem.endswith(("_acc", "_score")):
            for row in _rows(file):
                if "index" in row and ("hit" in row or "res" in row):
                    verdicts[_id(row["index"])] = {"hit": row.get("hit"), "res": row.get("res")}
    return verdicts


def _stated(beside: Sequence[Path]) -> Iterator[tuple[str, float]]:
    """Yield aggregate scores: of a column `Overall` (or `...Acc(%)`) with a row per split, or of a row `Overall` with a column `acc`."""
    for file in beside:
        kind = file.stem.rpartition("_")[2]
        for row in _rows(file) if kind in ("acc", "score") else ():
            label = next(iter(row.values()), "")
            overall = next(
                (row[name] for name in row if str(name).lower().endswith(("overall", "acc(%)"))), None
            )
            if overall is None and str(label).lower() == "overall":
                overall, label = row.get("acc", row.get("accuracy")), ""
            if (score := _number(overall)) is not None:
                yield f"{label if 'split' in row else ''} Overall {kind}".strip(), score


def _empty(value: Any) -> bool:
    return value is None or value != value or value in ("", "nan")


def _id(value: Any) -> str:
    return str(int(value)) if isinstance(value, float) and value.is_integer() else str(value)


def _number(value: Any) -> float | None:
    try:
        return None if value in (None, "") else number(float(_TRUTH.get(value, value)))
    except (TypeError, ValueError, OverflowError):
        return None


def _rows(path: Path) -> Iterator[dict[str, Any]]:
    if path.suffix == ".pkl":
        raise UsageError(f"{path}: pickles are never read; write it as xlsx, tsv or json")
    try:
        if path.suffix == ".xlsx":
            yield from _workbook(path)
        elif path.suffix in (".tsv", ".csv"):
            yield from _lines(path)
        else:
            yield from _json(path)
    except (csv.Error, *UNREADABLE, *BROKEN) as error:
        raise DataError(f"{path}: {error}") from None


def _lines(path: Path) -> Iterator[dict[str, Any]]:
    csv.field_size_limit(min(sys.maxsize, 1 << 30))  # cells hold images
    with io.StringIO(whole(path).decode("utf-8-sig"), newline="") as stream:
        yield from csv.DictReader(stream, delimiter="," if path.suffix == ".csv" else "\t")


def _json(path: Path) -> Iterator[dict[str, Any]]:
    table = document(path)
    if isinstance(table, dict) and not any(isinstance(value, dict | list) for value in table.values()):
        yield table  # an aggregate score
    elif isinstance(table, dict) and all(isinstance(column, dict | list) for column in table.values()):
        columns = {name: list(c.values()) if isinstance(c, dict) else c for name, c in table.items()}
        if len({len(column) for column in columns.values()}) != 1:
            raise ValueError("its columns are not of one length")
        yield from (dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True))
    elif isinstance(table, list) and all(isinstance(row, dict) for row in table):
        yield from table
    else:
        raise ValueError("neither a list of rows nor an object of columns")


def _workbook(path: Path) -> Iterator[dict[str, Any]]:
    try:
        import openpyxl
    except ImportError:
        raise UsageError(f"reading xlsx needs `{install('import')}`") from None
    with ZipFile(path) as archive:
        refuse_bomb(path, archive)
    broken = foreign_code(lambda why: ValueError(f"no workbook that can be read ({why})"))
    with path.open("rb") as stream, broken:
        yield from _sheet(openpyxl, stream)


def _unescaped(value: Any) -> Any:
    """Decode the control characters that workbooks write as `_x000D_`."""
    return _CONTROL.sub(lambda match: chr(int(match[1], 16)), value) if isinstance(value, str) else value


def _sheet(openpyxl: Any, stream: Any) -> Iterator[dict[str, Any]]:
    book = openpyxl.load_workbook(stream, read_only=True, data_only=False, keep_links=False)
    try:
        sheet = book.worksheets[0]
        sheet.reset_dimensions()  # a cell in the last corner would otherwise make a million rows of 16,384 cells
        rows = sheet.iter_rows(values_only=True)
        heads = [str(head) for head in next(rows, ())]
        for row in rows:
            if any(value is not None for value in row):
                padded = (*row, *[None] * (len(heads) - len(row)))
                yield dict(zip(heads, map(_unescaped, padded), strict=False))
    finally:
        book.close()
