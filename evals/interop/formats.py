"""The foreign formats by name, and which one a path holds."""

from __future__ import annotations

import gzip
import zipfile
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Any

import msgspec

from evals.archive import UNREADABLE
from evals.errors import UsageError
from evals.interop import inspect
from evals.interop.files import LARGEST
from evals.interop.foreign import Source
from evals.interop.values import BROKEN

READERS = {
    "lm-eval": "lm_eval",
    "opencompass": "opencompass",
    "vlmevalkit": "vlmevalkit",
    "chembench": "chembench",
    "inspect": "inspect",
    "evalscope": "evalscope",
    "lighteval": "lighteval",
    "helm": "helm",
    "mathvista": "mathvista",
    "mathvision": "mathvision",
    "mmlu-pro": "mmlu_pro",
    "mmmu": "mmmu",
}
"""Format -> module below evals.interop with a function `read(path) -> list[Source]`."""
HEAD = 1 << 20
"""Bytes of a file that are looked at."""


def read(form: str, path: Path) -> list[Source]:
    """Read a path in a format; raises DataError in one line."""
    reader: Callable[[Path], list[Source]] = import_module(f"evals.interop.{READERS[form]}").read
    return reader(path)


def guess(path: Path) -> str:
    """Say what a path holds; raises UsageError where it is nothing that we know."""
    found = _of_folder(path) if path.is_dir() else _of_file(path)
    if found is None:
        raise UsageError(f"{path}: no format that is known by its looks; name it: evals import FORMAT {path}")
    return found


def _of_folder(path: Path) -> str | None:
    def has(*patterns: str) -> bool:
        return any(True for pattern in patterns for _ in path.glob(pattern))

    if has("predictions/*/*.jsonl", "*/predictions/*/*.jsonl"):
        return "evalscope"
    if has("predictions/*/*.json", "*/predictions/*/*.json"):
        return "opencompass"
    if has("details_*.parquet", "details/**/details_*.parquet"):
        return "lighteval"
    if has("**/scenario_state.json"):
        return "helm"
    if has("*.eval", "*/*.eval") or any(inspect.is_log(file) for file in path.glob("*.json")):
        return "inspect"
    if has("samples_*.jsonl", "*/samples_*.jsonl"):
        return "lm-eval"
    if has("*_report.json", "reports/*_report.json", "*/reports/*/*.json"):
        return "chembench"
    if has("*_result.json"):
        return "mmlu-pro"
    if has("*/output.json"):
        return "mmmu"
    return "vlmevalkit" if has("*.xlsx", "*.tsv", "*/*.xlsx", "*/*.tsv") else None


def _of_file(path: Path) -> str | None:
    name = path.name.removesuffix(".gz")
    by_ending = {
        ".xlsx": "vlmevalkit",
        ".tsv": "vlmevalkit",
        ".eval": "inspect",
        ".parquet": "lighteval",
    }
    if (ending := Path(name).suffix) in by_ending:
        return by_ending[ending]
    if ending == ".zip":
        return _of_archive(path)
    if name.startswith("samples_") and ending == ".jsonl":
        return "lm-eval"
    try:
        with gzip.open(path) if path.name.endswith(".gz") else path.open("rb") as stream:
            head = stream.read(HEAD)
            if ending == ".json" and len(head) == HEAD:
                head += stream.read(LARGEST)
    except UNREADABLE as error:
        raise UsageError(f"{path}: {error}") from None
    return _of_lines(head) if ending == ".jsonl" else _of_json(head)


def _of_archive(path: Path) -> str | None:
    try:
        with zipfile.ZipFile(path) as archive:
            names = [name for name in archive.namelist() if not name.startswith("__MACOSX/")]
    except UNREADABLE as error:
        raise UsageError(f"{path}: {error}") from None
    if "bundle.json" in names:
        raise UsageError(f"{path} is a bundle of ours: evals verify {path}")
    parts = [name for name in names if name.endswith("_result.json")]
    return "mmlu-pro" if parts or (len(names) == 1 and names[0].endswith(".json")) else None


def _of_lines(head: bytes) -> str | None:
    row = _decoded(head.partition(b"\n")[0])
    if not isinstance(row, dict):
        return None
    if "resps" in row and "doc" in row:
        return "lm-eval"
    if "model_output" in row and "index" in row:
        return "evalscope"
    if "report" in row and "path" in row:
        return "chembench"
    if {"id", "response", "pred_indexs"} <= row.keys():
        return "mmmu"
    if "id" in row and ("response" in row or "model_answer" in row):
        return "mathvision"
    return "replies" if "id" in row and "text" in row else None


def _of_json(head: bytes) -> str | None:
    found = _decoded(head)
    if isinstance(found, dict):
        for form, keys in (
            ("matbench", {"tasks"}),
            ("lm-eval", {"results", "configs", "n-shot"}),
            ("inspect", {"version", "status", "eval"}),
            ("helm", {"adapter_spec", "request_states"}),
            ("chembench", {"topic", "results"}),
            ("vlmevalkit", {"index", "prediction"}),
        ):
            if keys <= found.keys():
                return form
        first = next(iter(found.values()), None)
        if isinstance(first, dict):
            if {"origin_prompt", "prediction"} <= first.keys():
                return "opencompass"
            if "pid" in first or "extraction" in first or ("query" in first and "response" in first):
                return "mathvista"
        if isinstance(first, str) and next(iter(found)).startswith(("validation_", "test_", "dev_")):
            return "mmmu"
    if isinstance(found, list) and found and isinstance(found[0], dict):
        for form, keys in (
            ("vlmevalkit", {"prediction"}),
            ("mmlu-pro", {"question_id", "pred"}),
            ("mmmu", {"id", "response", "index2ans"}),
        ):
            if keys <= found[0].keys():
                return form
    return None


def _decoded(raw: bytes) -> Any:
    try:
        return msgspec.json.decode(raw)
    except BROKEN:
        return None
