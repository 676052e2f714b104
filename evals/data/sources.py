"""Rows of data sets, from the hub (at a pinned revision if the suite states one), a local mirror, or the bundled sample items.

A suite names its splits, and `Data` reads their rows: dicts with the columns of the hub's repository.

>>> data = Data(suite="mmlu-pro", sample=True)
>>> next(iter(data.rows(Split(hub="TIGER-Lab/MMLU-Pro", stems=("test",)))))["category"]
'biology'
"""

from __future__ import annotations

import itertools
import socket
import sys
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal, TypeAlias

import msgspec
from msgspec import Struct

from evals import disk
from evals.boundary import foreign_code
from evals.data import parquet
from evals.data.loose_json import to_strict_json
from evals.errors import DataError, needs
from evals.plain import count_of, either
from evals.validation import cause

Row: TypeAlias = dict[str, Any]
SUFFIXES = (".parquet", ".jsonl", ".jsonl.gz", ".json", ".json.gz", ".csv", ".csv.gz", ".tsv")
MAX_JSON_BYTES = 4 << 30
"""Maximum bytes of a JSON file, which is read as a whole."""
MAX_CELL_CHARS = {",": 131_072, "\t": 1 << 30}
"""Delimiter -> maximum characters of a cell; VLMEvalKit's tab-separated tables contain images as base64."""


class Split(Struct, frozen=True, kw_only=True):
    """The location of a split on the hub or in a package, and its file names in a local mirror."""

    hub: str = ""
    """Repository id of the data set; empty: its rows are in `folder`."""
    folder: Path | None = None
    """Folder of a package that contains the rows; read instead of the hub."""
    revision: str = ""
    """Full commit hash."""
    config: str | None = None
    split: str = "test"
    stems: tuple[str, ...]
    """File names without extension; shards (`stem-*`, `stem_part*`) and files in the folder `data/` are also searched for."""
    in_single_file: bool = True
    """Whether a single file passed by the user contains this split."""
    rows: int | None = None
    """Number of rows at the pinned revision; checked when read from the hub."""
    hub_file: str = ""
    """Path of the split's file in the hub's repository, if the repository does not define the split."""


class Data(Struct, frozen=True, kw_only=True):
    """The source of one suite's rows in this command."""

    suite: str
    """Name of the suite, with hyphens."""
    local: Path | None = None
    """A mirror (a folder with a subfolder per suite), a suite's folder, or a file."""
    sample: bool = False
    """Whether to use the items bundled with the package."""
    media: Path | None = None
    """Folder in which images and time series are stored; None: they are not read, since no model is called."""
    max_pixels: int | None = None
    """Larger images are scaled down before they are sent."""
    model_inputs: frozenset[str] = frozenset()
    """Inputs that the model accepts besides text."""

    @property
    def origin(self) -> Literal["hub", "local", "sample"]:
        """Return the kind of source."""
        return "sample" if self.sample else "local" if self.local else "hub"

    def rows(self, split: Split, *, required: Sequence[str] = ()) -> Iterator[Row]:
        """Yield the rows of a split; `required`: columns that every row must have. Raises DataError."""
        count = 0
        for count, row in enumerate(self._read_split(split), 1):
            missing = [column for column in required if column not in row]
            if missing:
                raise DataError(
                    f"{self.suite}: row {count} lacks column {missing[0]!r}; it has {', '.join(sorted(row))}"
                )
            yield row
        if self.origin == "hub" and split.rows is not None and count != split.rows:
            raise DataError(
                f"{self.suite}: {split.hub or split.folder} has {count_of(count, 'row')}, expected {split.rows:,}"
            )
        if count == 0:
            raise DataError(f"{self.suite}: the data set is empty")

    def has(self, split: Split) -> bool:
        """Return whether the split exists; always true for the hub."""
        return self.origin == "hub" or bool(self._files(split))

    def folder(self) -> Path:
        """Return the folder that media paths in rows are relative to; raises DataError for data from the hub."""
        if self.sample:
            from importlib.resources import files

            return Path(str(files("evals.suites"))) / "samples" / self.suite.replace("-", "_")
        if self.local is None:
            raise DataError(f"{self.suite}: no local folder")
        if self.local.is_file():
            return self.local.parent
        folders = (self.local / name for name in (self.suite, self.suite.replace("-", "_")))
        return next((folder for folder in folders if folder.is_dir()), self.local)

    def _files(self, split: Split) -> list[Path]:
        if self.local is not None and self.local.is_file():
            return [self.local] if split.in_single_file else []
        folder = split.folder if self.origin == "hub" and split.folder else self.folder()
        for base in (folder, folder / "data"):
            for stem in split.stems:
                for suffix in SUFFIXES:
                    if (path := base / f"{stem}{suffix}").is_file():
                        return [path]
                    for shard_pattern in ("-*", "_part*"):
                        if shards := sorted(base.glob(f"{stem}{shard_pattern}{suffix}")):
                            return shards
        return []

    def _read_split(self, split: Split) -> Iterable[Row]:
        if self.origin == "hub" and split.folder is None:
            return _from_hub(self.suite, split)
        if self.local is not None and not self.local.exists():
            raise DataError(f"{self.suite}: {self.local} does not exist")
        paths = self._files(split)
        if not paths:
            names = either(split.stems)
            folder = split.folder if self.origin == "hub" else self.folder()
            raise DataError(
                f"{self.suite}: no file named {names} (.parquet, .jsonl, .json, .csv, .tsv) in {folder}"
            )
        return (row for path in paths for row in read_file(path))


def text_list(row: Row, column: str) -> tuple[str, ...]:
    """Return the texts of a list; empty if the row has none. Raises ValueError for a value of another type, such as the text in a CSV file."""
    value = row.get(column) or ()
    if not isinstance(value, list | tuple):
        raise ValueError(f"{column} is not a list, but {type(value).__name__}")
    return tuple(map(str, value))


def read_file(path: Path) -> Iterator[Row]:
    """Yield the rows of a Parquet, JSON Lines, JSON, CSV or TSV file, one at a time; raises DataError."""
    import zlib

    name = path.name.removesuffix(".gz")
    try:
        if name.endswith(".parquet"):
            parquet.check(path)
            yield from _read_parquet(path)
            return
        with disk.open_decompressed(path) as stream:
            if name.endswith((".csv", ".tsv")):
                yield from _read_csv(stream, delimiter="\t" if name.endswith(".tsv") else ",")
            else:
                yield from (_read_json if name.endswith(".json") else _read_lines)(stream)
    except (OSError, EOFError, ValueError, MemoryError, RecursionError, zlib.error) as error:
        raise DataError(f"cannot read {path}: {cause(error)}") from error


def _read_lines(stream: Any) -> Iterator[Row]:
    decode = msgspec.json.Decoder(Row).decode
    for number, line in enumerate(disk.lines(stream), 1):
        if line.strip():
            try:
                yield decode(line)
            except msgspec.DecodeError:
                yield _decode_loose(line, f"line {number}: ")


def _decode_loose(raw: bytes, location: str) -> Row:
    """Decode a row that is not strict JSON, with a byte order mark or unpaired surrogates."""
    try:
        return msgspec.json.decode(to_strict_json(raw), type=Row)
    except msgspec.DecodeError as error:
        raise ValueError(f"{location}{error}") from error


def _read_json(stream: Any) -> Iterator[Row]:
    raw = stream.read(MAX_JSON_BYTES + 1)
    if len(raw) > MAX_JSON_BYTES:
        raise ValueError(f"more than {MAX_JSON_BYTES >> 30} GiB of JSON; write it as JSON Lines")
    try:
        rows = msgspec.json.decode(raw, type=list[Row])
    except msgspec.DecodeError:
        rows = msgspec.json.decode(to_strict_json(raw), type=list[Row])
    yield from rows


def _read_csv(stream: Any, *, delimiter: str) -> Iterator[Row]:
    import csv
    import io

    csv.field_size_limit(MAX_CELL_CHARS[delimiter])
    with io.TextIOWrapper(stream, encoding="utf-8-sig", newline="") as text:
        try:
            for number, row in enumerate(csv.DictReader(text, delimiter=delimiter), 1):
                if None in row or None in row.values():
                    raise ValueError(f"row {number}: its number of cells differs from the header's")
                yield row
        except csv.Error as error:
            raise ValueError(str(error)) from error


def _read_parquet(path: Path) -> Iterator[Row]:
    import pyarrow.parquet as pq

    with pq.ParquetFile(path) as file:
        for batch in file.iter_batches(batch_size=512):
            columns = [_column_values(column) for column in batch.columns]
            for values in zip(*columns, strict=True):
                yield dict(zip(batch.schema.names, values, strict=True))


def _column_values(column: Any) -> list[Any]:
    """Return a column as Python values; lists are sliced from the flattened values, which is much faster than `to_pylist`."""
    import pyarrow as pa

    if not pa.types.is_list(column.type) or column.null_count:
        values: list[Any] = column.to_pylist()
        return values
    flat, ends = column.flatten().to_pylist(), column.offsets.to_pylist()
    return [flat[start - ends[0] : end - ends[0]] for start, end in itertools.pairwise(ends)]


def _from_hub(suite: str, split: Split) -> Iterator[Row]:
    otherwise = "; or pass a local mirror with --data DIR, or try --sample"
    with needs(f"{suite}: reading {split.hub} from the hub", "hub", error=DataError, otherwise=otherwise):
        from datasets import load_dataset
    with foreign_code(lambda why: DataError(_hub_error_message(suite, split, why))), offline_if_unreachable():
        rows = load_dataset(
            split.hub,
            split.config,
            data_files=split.hub_file or None,
            split=split.split,
            revision=split.revision or None,
        )
    for row in rows:
        yield dict(row)


@contextmanager
def offline_if_unreachable() -> Iterator[None]:
    """Use only the hub's cache if its host name cannot be resolved, since the hub's client would retry for up to a minute."""
    constants: Any = sys.modules.get("huggingface_hub.constants")
    if constants is None or constants.HF_HUB_OFFLINE or _can_resolve(constants.ENDPOINT):
        yield
        return
    candidates = (constants, sys.modules.get("datasets.config"))
    modules: list[Any] = [module for module in candidates if module is not None]
    previous = [module.HF_HUB_OFFLINE for module in modules]
    for module in modules:
        module.HF_HUB_OFFLINE = True
    try:
        yield
    finally:
        for module, value in zip(modules, previous, strict=True):
            module.HF_HUB_OFFLINE = value


def _can_resolve(url: str) -> bool:
    """Return whether the host name in a URL can be resolved; True behind a proxy, which resolves it."""
    from urllib.parse import urlsplit
    from urllib.request import getproxies

    parts = urlsplit(url)
    if getproxies().get(parts.scheme) or not parts.hostname:
        return True
    try:
        socket.getaddrinfo(parts.hostname, parts.port or 443)
    except OSError:
        return False
    return True


def _hub_error_message(suite: str, split: Split, why: str) -> str:
    problem = f"cannot load {split.hub} from the hub; go online once (`evals data {suite}`)"
    if "gated" in why.lower():
        problem = f"{split.hub} is gated: accept its terms on the hub and set HF_TOKEN"
    return f"{suite}: {problem}, or pass a local mirror with --data DIR ({why[:200]})"
