"""Import formats by name, and detection of a path's format."""

from __future__ import annotations

import zipfile
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path
from typing import Any

from msgspec import structs

from evals import disk
from evals.data.archive import ARCHIVE_ERRORS
from evals.data.loose_json import decode_json
from evals.errors import UsageError
from evals.interop import inspect
from evals.interop.files import MAX_BYTES, glob_visible, unzipped
from evals.interop.foreign import Source
from evals.interop.replies import ID_FIELDS, TEXT_FIELDS
from evals.interop.values import PARSE_ERRORS

READERS = {
    "lm-eval": "lm_eval:read",
    "opencompass": "opencompass:read",
    "vlmevalkit": "vlmevalkit:read",
    "scieval": "vlmevalkit:read",
    "chembench": "chembench:read",
    "inspect": "inspect:read",
    "evalscope": "evalscope:read",
    "lighteval": "lighteval:read",
    "helm": "helm:read",
    "mathvista": "benchmarks:mathvista",
    "mathvision": "benchmarks:mathvision",
    "mmlu-pro": "benchmarks:mmlu_pro",
    "mmmu": "benchmarks:mmmu",
}
"""Format -> module:function in `evals.interop`, which takes a path and returns a list of `Source`."""
ZIPPED = ("mmlu-pro", "mmmu", "mathvista")
"""Formats whose readers take a zip archive."""
HEAD_BYTES = 1 << 20
"""Number of leading bytes from which a file's format is detected."""


def read(format_name: str, path: Path) -> list[Source]:
    """Read a file or folder of the given format; raises DataError."""
    sources: list[Source] = load_function(READERS[format_name])(path)
    return [structs.replace(source, format=format_name) for source in sources]


def load_function(target: str) -> Callable[..., Any]:
    """Return the function `module:function` in `evals.interop`."""
    module, _, function = target.partition(":")
    loaded: Callable[..., Any] = getattr(import_module(f"evals.interop.{module}"), function)
    return loaded


def detect(path: Path) -> str:
    """Return the format of a file or folder; raises UsageError if it is not recognized."""
    format_name = _folder_format(path) if path.is_dir() else _file_format(path)
    if format_name is None:
        raise UsageError(f"{path}: format not recognized; specify it: evals import FORMAT {path}")
    return format_name


FOLDER_FORMATS = (
    ("evalscope", "**/predictions/*/[!t]*.jsonl", "**/predictions/*/t[!m]*.jsonl"),
    ("opencompass", "**/predictions/*/*.json", "**/predictions/*/tmp_*.jsonl"),
    ("lighteval", "**/details_*.parquet"),
    ("helm", "**/scenario_state.json"),
    ("inspect", "**/*.eval"),
    ("lm-eval", "**/samples_*.json*"),
    ("chembench", "**/*_report.json"),
    ("mmlu-pro", "*_result.json"),
    ("mmmu", "*/output.json"),
    ("vlmevalkit", "**/*.xlsx", "**/*.tsv"),
)
"""Format and glob patterns of its files; the first match decides. Interrupted runs of OpenCompass leave `tmp_*.jsonl`."""


def _folder_format(path: Path) -> str | None:
    for format_name, *patterns in FOLDER_FORMATS:
        if any(any(glob_visible(path, pattern)) for pattern in patterns):
            return format_name
        if format_name == "inspect" and any(inspect.is_log(file) for file in glob_visible(path, "*.json")):
            return format_name
    first = next(iter(sorted(glob_visible(path, "**/*.json"))), None)
    return _file_format(first) if first else None


FORMAT_BY_SUFFIX = {".xlsx": "vlmevalkit", ".tsv": "vlmevalkit", ".eval": "inspect", ".parquet": "lighteval"}


def _file_format(path: Path) -> str | None:
    name = path.name.removesuffix(".gz")
    if (suffix := Path(name).suffix) in FORMAT_BY_SUFFIX:
        return FORMAT_BY_SUFFIX[suffix]
    if suffix == ".zip":
        return _archive_format(path)
    if name.startswith("samples_") and suffix in (".json", ".jsonl"):
        return "lm-eval"
    try:
        with disk.open_decompressed(path) as stream:
            head = stream.read(HEAD_BYTES)
            if (suffix == ".json" or head[:1] == b"[") and len(head) == HEAD_BYTES:
                head += stream.read(MAX_BYTES)
    except ARCHIVE_ERRORS as error:
        raise UsageError(f"{path}: {error}") from None
    if suffix == ".jsonl" and head[:1] != b"[":
        return _match_fields(_decode_or_none(head.partition(b"\n")[0]), LINE_FORMATS)
    return _json_format(head)


def _archive_format(path: Path) -> str | None:
    try:
        with zipfile.ZipFile(path) as archive:
            names = [name for name in archive.namelist() if not name.startswith("__MACOSX/")]
    except ARCHIVE_ERRORS as error:
        raise UsageError(f"{path}: {error}") from None
    if "bundle.json" in names:
        raise UsageError(f"{path} is a science-evals bundle; use evals bundle verify {path}")
    subjects = [name for name in names if name.endswith("_result.json")]
    return "mmlu-pro" if subjects or (len(names) == 1 and names[0].endswith(".json")) else None


@contextmanager
def opened(path: Path, format_name: str | None) -> Iterator[tuple[Path, str]]:
    """Yield the path to read and its format; a zipped folder is unpacked into a temporary one."""
    if path.suffix != ".zip" or format_name in ZIPPED or (format_name is None and _archive_format(path)):
        yield path, format_name or detect(path)
        return
    with unzipped(path) as folder:
        yield folder, format_name or detect(folder)


LINE_FORMATS = (
    ("lm-eval", {"resps", "doc"}),
    ("evalscope", {"model_output", "index"}),
    ("evalscope", {"choices", "raw_input"}),
    ("opencompass", {"idx", "prediction"}),
    ("chembench", {"report", "path"}),
    ("mmmu", {"id", "response", "pred_indexs"}),
    ("mathvision", {"id", "model_answer"}),
    *(("replies", {key, text}) for key in ID_FIELDS for text in TEXT_FIELDS),
)
"""Format and fields of its first JSON line; the first match decides. The reader of `replies` reports wrong field names."""
OBJECT_FORMATS = (
    ("matbench", {"tasks"}),
    ("lm-eval", {"results", "versions", "config"}),
    ("inspect", {"version", "status", "eval"}),
    ("helm", {"adapter_spec", "request_states"}),
    ("chembench", {"topic", "results"}),
    ("chembench", {"uuid", "results", "preferred_score"}),
    ("vlmevalkit", {"index", "prediction"}),
)
"""Format and fields of its JSON object."""
FIRST_VALUE_FORMATS = (
    ("opencompass", {"prediction", "origin_prompt"}),
    ("mathvista", {"pid"}),
    ("mathvista", {"extraction"}),
    ("mathvista", {"query", "response"}),
)
"""Format and fields of the first value in its JSON object."""
ARRAY_FORMATS = (
    ("vlmevalkit", {"prediction"}),
    ("lm-eval", {"doc", "resps"}),
    ("chembench", {"name", "metrics", "output"}),
    ("mmlu-pro", {"question_id", "pred"}),
    ("mmmu", {"id", "response", "index2ans"}),
)
"""Format and fields of the first element in its JSON array."""


def _match_fields(row: Any, table: Iterable[tuple[str, set[str]]]) -> str | None:
    fields = row.keys() if isinstance(row, dict) else set()
    return next((format_name for format_name, needed in table if needed <= fields), None)


def _json_format(head: bytes) -> str | None:
    content = _decode_or_none(head)
    if isinstance(content, list):
        return _match_fields(content[0] if content else None, ARRAY_FORMATS)
    if not isinstance(content, dict):
        return None
    if format_name := _match_fields(content, OBJECT_FORMATS):
        return format_name
    name, first = next(iter(content.items()), ("", None))
    if isinstance(first, dict) and "prediction" in first and any(key.startswith("label: ") for key in first):
        return "opencompass"
    if isinstance(first, str) and name.startswith(("validation_", "test_", "dev_")):
        return "mmmu"
    return _match_fields(first, FIRST_VALUE_FORMATS)


def _decode_or_none(raw: bytes) -> Any:
    try:
        return decode_json(raw)
    except PARSE_ERRORS:
        return None
