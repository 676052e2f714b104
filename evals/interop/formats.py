"""The foreign formats by name, and which one a path holds."""

from __future__ import annotations

import zipfile
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path
from typing import Any

from evals import disk
from evals.data.archive import UNREADABLE
from evals.errors import UsageError
from evals.interop import inspect
from evals.interop.files import LARGEST, below, unzipped
from evals.interop.foreign import Source
from evals.interop.replies import IDS, TEXTS
from evals.interop.values import BROKEN, decoded

READERS = {
    **{
        name: f"{name.replace('-', '_')}:read"
        for name in (
            "lm-eval",
            "opencompass",
            "vlmevalkit",
            "chembench",
            "inspect",
            "evalscope",
            "lighteval",
            "helm",
        )
    },
    **{
        name: f"benchmarks:{name.replace('-', '_')}"
        for name in ("mathvista", "mathvision", "mmlu-pro", "mmmu")
    },
}
"""Format -> module below evals.interop, and its function from a path to a list of `Source`."""
ZIPPED = ("mmlu-pro", "mmmu", "mathvista")
"""Formats that read one file out of an archive by themselves."""
HEAD = 1 << 20
"""Bytes of a file that are looked at."""


def read(form: str, path: Path) -> list[Source]:
    """Read a path in a format; raises DataError in one line."""
    module, _, function = READERS[form].partition(":")
    reader: Callable[[Path], list[Source]] = getattr(import_module(f"evals.interop.{module}"), function)
    return reader(path)


def guess(path: Path) -> str:
    """Return the format of a path; raises UsageError if it is nothing that we know."""
    form = _of_folder(path) if path.is_dir() else _of_file(path)
    if form is None:
        raise UsageError(f"{path}: format not recognized; name it: evals import FORMAT {path}")
    return form


FOLDERS = (
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
"""Format, and what its folders hold; the first that fits. OpenCompass leaves `tmp_*.jsonl` of a run that broke off."""


def _of_folder(path: Path) -> str | None:
    for form, *patterns in FOLDERS:
        if any(any(below(path, pattern)) for pattern in patterns):
            return form
        if form == "inspect" and any(inspect.is_log(file) for file in below(path, "*.json")):
            return form
    first = next(iter(sorted(below(path, "**/*.json"))), None)
    return _of_file(first) if first else None


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
    if name.startswith("samples_") and ending in (".json", ".jsonl"):
        return "lm-eval"
    try:
        with disk.open_unpacked(path) as stream:
            head = stream.read(HEAD)
            if (ending == ".json" or head[:1] == b"[") and len(head) == HEAD:
                head += stream.read(LARGEST)
    except UNREADABLE as error:
        raise UsageError(f"{path}: {error}") from None
    if ending == ".jsonl" and head[:1] != b"[":
        return _by_fields(_decoded(head.partition(b"\n")[0]), LINES)
    return _of_json(head)


def _of_archive(path: Path) -> str | None:
    try:
        with zipfile.ZipFile(path) as archive:
            names = [name for name in archive.namelist() if not name.startswith("__MACOSX/")]
    except UNREADABLE as error:
        raise UsageError(f"{path}: {error}") from None
    if "bundle.json" in names:
        raise UsageError(f"{path} is a bundle of ours: evals bundle verify {path}")
    parts = [name for name in names if name.endswith("_result.json")]
    return "mmlu-pro" if parts or (len(names) == 1 and names[0].endswith(".json")) else None


@contextmanager
def opened(path: Path, form: str | None) -> Iterator[tuple[Path, str]]:
    """Yield what is to be read and its format: a zip archive of some format's folder is unpacked for as long."""
    if path.suffix != ".zip" or form in ZIPPED or (form is None and _of_archive(path)):
        yield path, form or guess(path)
        return
    with unzipped(path) as folder:
        yield folder, form or guess(folder)


LINES = (
    ("lm-eval", {"resps", "doc"}),
    ("evalscope", {"model_output", "index"}),
    ("evalscope", {"choices", "raw_input"}),
    ("opencompass", {"idx", "prediction"}),
    ("chembench", {"report", "path"}),
    ("mmmu", {"id", "response", "pred_indexs"}),
    ("mathvision", {"id", "model_answer"}),
    *(("replies", {key, text}) for key in IDS for text in TEXTS),
)
"""Format, and the fields of its first JSON line; the first that fits. `replies` names the fields that it calls otherwise."""
OBJECTS = (
    ("matbench", {"tasks"}),
    ("lm-eval", {"results", "versions", "config"}),
    ("inspect", {"version", "status", "eval"}),
    ("helm", {"adapter_spec", "request_states"}),
    ("chembench", {"topic", "results"}),
    ("chembench", {"uuid", "results", "preferred_score"}),
    ("vlmevalkit", {"index", "prediction"}),
)
"""Format, and the fields of its JSON object."""
VALUES = (
    ("opencompass", {"prediction", "origin_prompt"}),
    ("mathvista", {"pid"}),
    ("mathvista", {"extraction"}),
    ("mathvista", {"query", "response"}),
)
"""Format, and the fields of the first object in its JSON object."""
ARRAYS = (
    ("vlmevalkit", {"prediction"}),
    ("lm-eval", {"doc", "resps"}),
    ("chembench", {"name", "metrics", "output"}),
    ("mmlu-pro", {"question_id", "pred"}),
    ("mmmu", {"id", "response", "index2ans"}),
)
"""Format, and the fields of the first object in its JSON array."""


def _by_fields(row: Any, forms: Iterable[tuple[str, set[str]]]) -> str | None:
    fields = row.keys() if isinstance(row, dict) else set()
    return next((form for form, needed in forms if needed <= fields), None)


def _of_json(head: bytes) -> str | None:
    content = _decoded(head)
    if isinstance(content, list):
        return _by_fields(content[0] if content else None, ARRAYS)
    if not isinstance(content, dict):
        return None
    if form := _by_fields(content, OBJECTS):
        return form
    name, first = next(iter(content.items()), ("", None))
    if isinstance(first, dict) and "prediction" in first and any(key.startswith("label: ") for key in first):
        return "opencompass"
    if isinstance(first, str) and name.startswith(("validation_", "test_", "dev_")):
        return "mmmu"
    return _by_fields(first, VALUES)


def _decoded(raw: bytes) -> Any:
    try:
        return decoded(raw)
    except BROKEN:
        return None
