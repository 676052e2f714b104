"""A run's records and samples on disk: JSON lines while it is in progress, Parquet (zstd) once it is finalized."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import lru_cache
from hashlib import sha256
from pathlib import Path
from typing import Any, BinaryIO

import msgspec
from msgspec import Struct

from evals import disk
from evals.errors import DataError, StoreError
from evals.records.card import Card, FileFacts
from evals.remote import cache
from evals.types import Failure, Record, Sample, Score
from evals.validation import cause

decode_sample = msgspec.json.Decoder(Sample).decode
encode = msgspec.json.Encoder().encode

MAX_LABEL_CHARS = 16
"""Maximum length of an answer that a gated suite publishes unchanged; a longer answer could be text from the data set."""


def label_or_hash(text: str) -> str:
    """Return an answer of a gated suite in publishable form: a label unchanged, a longer text as its hash."""
    return text if len(text) <= MAX_LABEL_CHARS else f"sha256:{sha256(text.encode()).hexdigest()}"


def without_text(target: str | float | tuple[str, ...]) -> str | float | tuple[str, ...]:
    """Return a gold answer of a gated suite in publishable form: numbers and labels unchanged, texts as hashes."""
    if isinstance(target, tuple):
        return tuple(map(label_or_hash, target))
    return label_or_hash(target) if isinstance(target, str) else target


class Gold(Struct, frozen=True, gc=False):
    """The part of a sample that reports need."""

    group: str
    cluster: str
    target: str | float | tuple[str, ...]
    options: int

    @classmethod
    def of(cls, sample: Sample) -> Gold:
        """Return the part of a sample that reports need; a sample without a cluster is its own cluster."""
        return cls(sample.group, sample.cluster or sample.id, sample.target, len(sample.choices))


class CompactRecord(Struct, frozen=True, kw_only=True, gc=False):
    """The part of a record that reports need: no prompt and no reply."""

    sample: str
    repeat: int
    scores: dict[str, Score | Failure]
    failure: str = ""
    """Kind of the failure; empty if there is a reply."""
    stop: str = ""
    seconds: float = 0.0
    input: int | None = None
    output: int | None = None
    reasoning: int | None = None
    cached: int | None = None


def compact(record: Record) -> CompactRecord:
    """Return the part of a record that reports need, without prompt and reply."""
    outcome = record.outcome
    if isinstance(outcome, Failure):
        return CompactRecord(sample=record.sample, repeat=record.repeat, scores={}, failure=outcome.kind)
    usage = outcome.usage
    return CompactRecord(
        sample=record.sample, repeat=record.repeat, scores=record.scores, stop=outcome.stop,
        seconds=outcome.seconds, input=usage.input, output=usage.output, reasoning=usage.reasoning,
        cached=usage.cached,
    )  # fmt: skip


READ_ERRORS = (
    OSError, ValueError, LookupError, TypeError, NotImplementedError, OverflowError, MemoryError, RecursionError,
)  # fmt: skip
"""Errors that pyarrow and msgspec raise for truncated, modified or malicious files."""
MAX_ATTEMPTS = 100
"""Maximum number of attempts to open a run's files while they change."""


class Snapshot(Struct):
    """The files of a run's records or samples, opened together; later writes are not visible."""

    name: str
    """`records` or `samples`."""
    folder: Path
    parquet: Any = None
    """A `pyarrow.parquet.ParquetFile`; None if the run has none."""
    lines: BinaryIO | None = None
    size: int = 0
    """Size in bytes of the JSON lines when they were opened."""

    @property
    def parquet_path(self) -> Path:
        """Return the path of the Parquet file."""
        return self.folder / f"{self.name}.parquet"

    @property
    def lines_path(self) -> Path:
        """Return the path of the JSON lines."""
        return self.folder / f"{self.name}.jsonl"


@contextmanager
def snapshot(folder: Path, name: str) -> Iterator[Snapshot]:
    """Open the files of a run's `records` or `samples`; raises StoreError if a file is irregular or damaged, or keeps changing.

    A conversion to Parquet puts the Parquet file in place before it removes the JSON lines, so that the two files together are
    complete at any moment. Both are reopened until neither was replaced while they were being opened.
    """
    files = Snapshot(name, folder)
    for _ in range(MAX_ATTEMPTS):
        identities_before = _file_identities(files)
        with suppress(FileNotFoundError):
            _open_files(files)
            if _file_identities(files) == identities_before:
                break
        _close_files(files)
    else:
        raise StoreError(f"{folder}: its {name} changed while they were being opened; repeat the command")
    try:
        yield files
    finally:
        _close_files(files)


def _file_identities(files: Snapshot) -> tuple[Any, ...]:
    identities: list[Any] = []
    for path in (files.parquet_path, files.lines_path):
        with suppress(OSError):
            stat = path.stat()
            mtime_ns = stat.st_mtime_ns if path == files.parquet_path else 0
            identities.append((path, stat.st_dev, stat.st_ino, mtime_ns))
    return tuple(identities)


def _open_files(files: Snapshot) -> None:
    cache.fetch(files.parquet_path)
    cache.fetch(files.lines_path)
    if files.parquet_path.exists():
        import pyarrow.parquet as pq

        with store_errors(files.parquet_path):
            disk.open_regular(files.parquet_path).close()
            check_foreign(files.parquet_path)
            files.parquet = pq.ParquetFile(
                files.parquet_path, memory_map=False, page_checksum_verification=True
            )
    if files.lines_path.exists():
        with store_errors(files.lines_path):
            files.lines = disk.open_regular(files.lines_path)
            files.size = os.fstat(files.lines.fileno()).st_size


def check_foreign(path: Path) -> None:
    """Raise StoreError if a Parquet file that another installation wrote cannot be decoded by a worker with limited resources."""
    from evals.data import parquet

    try:
        parquet.check_once(path)
    except DataError as error:
        raise StoreError(
            f"{path}: cannot be read: {str(error).removeprefix(f'cannot read {path}: ')}"
        ) from None


def _close_files(files: Snapshot) -> None:
    if files.parquet is not None:
        files.parquet.close()
    if files.lines is not None:
        files.lines.close()
    files.parquet, files.lines, files.size = None, None, 0


@contextmanager
def store_errors(path: Path) -> Iterator[None]:
    """Re-raise read errors as a one-line StoreError that names the file."""
    try:
        yield
    except (StoreError, FileNotFoundError):
        raise
    except READ_ERRORS as error:
        raise StoreError(f"{path}: cannot be read: {cause(error)[:300]}") from error


def read_lines(files: Snapshot, decode: Callable[[bytes], Any]) -> Iterator[Any]:
    """Yield the decoded JSON lines of a snapshot, or nothing if it has none; a truncated last record is ignored."""
    if files.lines is None:
        return
    files.lines.seek(0)
    remaining, number = files.size, 0
    while remaining > 0 and (line := files.lines.readline(min(remaining, disk.MAX_LINE))):
        remaining -= len(line)
        number += 1
        try:
            yield decode(line)
        except (msgspec.DecodeError, ValueError, RecursionError) as error:
            # a record truncated by a power failure, which `Writer` will drop; samples are never truncated
            if remaining == 0 and not line.endswith(b"\n") and files.name != "samples":
                return
            raise StoreError(
                f"{files.lines_path}, line {number}: not a valid record ({cause(error)})"
            ) from error


def read_run_lines(path: Path, decode: Callable[[bytes], Any]) -> Iterator[Any]:
    """Yield the decoded lines of another JSON-lines file in a run's folder, or nothing if it is absent."""
    with snapshot(path.parent, path.stem) as files:
        yield from read_lines(files, decode)


def file_facts(folder: Path) -> dict[str, FileFacts]:
    """Return the size, modification time and hash of each Parquet file of a run, for the run's card."""
    by_name = {}
    for name in ("records.parquet", "samples.parquet"):
        path = folder / name
        if path.exists():
            stat = path.stat()
            by_name[name] = FileFacts(size=stat.st_size, mtime_ns=stat.st_mtime_ns, sha256=disk.sha256(path))
    return by_name


def check_files(folder: Path, card: Card) -> None:
    """Raise StoreError if a Parquet file is not the one from which the card's numbers were computed.

    A file is hashed only if its modification time has changed, as in a copy.
    """
    if card.status == "running":  # records may change; readers compute the numbers from them
        return
    for name, stated in card.files.items():
        path = folder / name
        if name not in ("records.parquet", "samples.parquet") or not path.exists():
            continue
        stat = path.stat()
        if stat.st_size == stated.size and stat.st_mtime_ns == stated.mtime_ns:
            continue
        identity = (stat.st_dev, stat.st_ino, stat.st_size, stat.st_mtime_ns)
        if stat.st_size != stated.size or _cached_sha256(path, identity) != stated.sha256:
            raise StoreError(f"{path}: it is not the file from which the card's numbers were computed")


def unread_bytes(folder: Path, card: Card) -> int:
    """Return how many bytes a check of a run's Parquet files would read, to hash them and, if another installation wrote them, to decode them."""
    from evals.data import parquet

    total = 0
    for name in ("records.parquet", "samples.parquet"):
        path = folder / name
        try:
            stat = path.stat()
        except OSError:
            continue
        stated = card.files.get(name) if card.status != "running" else None
        if stated is not None and stated.mtime_ns != stat.st_mtime_ns:
            total += stat.st_size
        if not parquet.is_known(path):
            total += stat.st_size
    return total


@lru_cache(maxsize=4096)
def _cached_sha256(path: Path, identity: tuple[int, ...]) -> str:
    """Return a file's hash, computed once for each `identity`: device, inode, size and modification time."""
    return disk.sha256(path)
