"""Matbench's tables, from matminer or local files, with the official folds."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec

from evals import disk
from evals.boundary import foreign_code
from evals.data.sources import Data, Row, Split
from evals.errors import DataError, needs
from evals.plain import one_line
from evals.validation import cause

FOLDS, SEED = 5, 18_012_019
SPLITS = ("matbench_v0.1_validation_small_tasks", "matbench_v0.1_validation")
"""Names of upstream's files with the splits."""


def read_table(
    data: Data, name: str, *, column: str, expected: int, gold: Callable[[Row], str | float]
) -> list[Row]:
    """Return a task's rows with `mbid`, the input, the target in `column`, and `fold`, the fold whose test set contains the row.

    `expected`: number of rows. `gold` maps a row to its target; if targets are strings (classes), the folds are stratified
    by them. Raises DataError.
    """
    if data.origin == "hub":
        return _download_table(name, expected, gold)
    split = Split(hub=f"matbench_{name}", stems=(f"matbench_{name}", name), rows=expected)
    rows = _read_matminer_table(data, name, expected) or list(data.rows(split, required=("mbid", column)))
    if "fold" not in rows[0]:
        folds = _official_folds(data, name) or computed_folds([gold(row) for row in rows])
        if isinstance(folds, dict):
            if unknown := next((row["mbid"] for row in rows if row["mbid"] not in folds), None):
                raise DataError(
                    f"matbench: the file of splits lacks {one_line(str(unknown))} of matbench_{name}"
                )
            folds = [folds[row["mbid"]] for row in rows]
        for row, fold in zip(rows, folds, strict=True):
            row["fold"] = fold
    return rows


def _read_matminer_table(data: Data, name: str, expected: int) -> list[Row]:
    """Return the rows of a local table in matminer's format, {"columns": [...], "data": [[...], ...]}; empty if there is none."""
    if (path := data.folder() / f"matbench_{name}.json.gz").is_file():
        document = _read_json(path)
        if "columns" in document:
            columns, rows = document["columns"], document.get("data")
            if not isinstance(columns, list) or not isinstance(rows, list):
                raise DataError(f"{path}: not a table with lists of columns and data")
            if any(not isinstance(row, list) or len(row) != len(columns) for row in rows):
                raise DataError(f"{path}: not every row has {len(columns)} values")
            return _with_ids(name, [dict(zip(columns, row, strict=True)) for row in rows], expected)
    return []


def _with_ids(name: str, rows: Sequence[Row], expected: int) -> list[Row]:
    """Return the rows with upstream's ids, which number them in order; `expected`: number of rows of the whole table."""
    width, label = len(str(expected)), name.replace("_", "-")
    return [{**row, "mbid": f"mb-{label}-{i + 1:0{width}d}"} for i, row in enumerate(rows)]


def _download_table(name: str, expected: int, gold: Callable[[Row], str | float]) -> list[Row]:
    """Download a task's table through matminer; ids and folds are computed as upstream does."""
    otherwise = "; or pass a local mirror with --data DIR, or try --sample"
    with needs("matbench: downloading its tables", "materials", error=DataError, otherwise=otherwise):
        from matminer.datasets import load_dataset
    hint = "go online once, or pass a local mirror with --data DIR"
    problem = f"matbench: cannot download matbench_{name} through matminer; {hint}"
    with foreign_code(lambda why: DataError(f"{problem} ({why[:200]})")):
        rows: list[Row] = load_dataset(f"matbench_{name}").to_dict("records")
    if len(rows) != expected:
        raise DataError(f"matbench: matbench_{name} has {len(rows)} rows, expected {expected}")
    folds = computed_folds([gold(row) for row in rows])
    return [{**row, "fold": fold} for row, fold in zip(_with_ids(name, rows, expected), folds, strict=True)]


def _official_folds(data: Data, name: str) -> dict[str, int]:
    """Return, by mbid, the fold whose test set contains it, from upstream's splits file next to the tables; empty if there is none."""
    for stem in SPLITS:
        for path in (data.folder() / f"{stem}.json", data.folder() / f"{stem}.json.gz"):
            if path.is_file():
                document = _read_json(path)
                try:
                    folds: Mapping[str, Any] = document["splits"].get(f"matbench_{name}", {})
                    return {mbid: int(fold[-1]) for fold, split in folds.items() for mbid in split["test"]}
                except (AttributeError, KeyError, TypeError, ValueError, IndexError) as error:
                    raise DataError(
                        f"{path}: not Matbench's file of splits ({one_line(repr(error))})"
                    ) from error
    return {}


def _read_json(path: Path) -> dict[str, Any]:
    try:
        with disk.open_decompressed(path) as stream:
            return msgspec.json.decode(stream.read(), type=dict[str, Any])
    except (OSError, EOFError, ValueError, RecursionError, zlib.error) as error:
        raise DataError(f"matbench: cannot read {path}: {cause(error)}") from error


def computed_folds(targets: Sequence[str | float]) -> list[int]:
    """Return the fold that tests each row, computed like the published folds.

    Source: matbench, scripts/mvb01_generate_validation.py: (Stratified)KFold, 5 splits, shuffled, seed 18012019. Raises
    DataError without scikit-learn.
    """
    problem = "matbench: the table has no column 'fold' and there is no splits file; recomputing the folds"
    with needs(problem, "materials", error=DataError):
        from sklearn.model_selection import KFold, StratifiedKFold
    stratified = isinstance(targets[0], str)
    splitter = (StratifiedKFold if stratified else KFold)(FOLDS, shuffle=True, random_state=SEED)
    folds = [0] * len(targets)
    for fold, (_, test) in enumerate(splitter.split([[0]] * len(targets), targets)):
        for row in test:
            folds[row] = fold
    return folds
