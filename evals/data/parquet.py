"""Untrusted Parquet files: decoded in a worker process with limits before this process reads them.

pyarrow decodes files in C++; a malicious file may exhaust memory, loop forever or crash the process. A worker with a limited
address space decodes it first, so that only the worker is affected. Downloads from the hub are exempt, as the `datasets`
package has already read them.
"""

from __future__ import annotations

import os
from contextlib import suppress
from functools import cache, lru_cache
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

from msgspec import Struct

from evals import disk, harness_environments
from evals.errors import DataError, ScorerError, UsageError

if TYPE_CHECKING:
    from evals.sandbox import Pool

DEADLINE_S = 3.0
"""Base deadline for decoding a file; a second is added for every `BYTES_PER_S` bytes."""
BYTES_PER_S = 16 << 20
MAX_UNCOMPRESSED_BYTES = 64 << 30
"""Maximum uncompressed size in bytes, as stated by the file."""
MAX_KNOWN_FILES = 20_000
"""Maximum number of remembered files."""
_KEY_PARTS = 5
"""Number of space-separated parts of a key, see `_file_key`."""
MEMORY_MIB = 6144
"""Address space of the worker; importing pyarrow maps a gigabyte."""


def check(path: Path, *, max_bytes: int = MAX_UNCOMPRESSED_BYTES) -> None:
    """Raise DataError for a Parquet file that a worker cannot decode within its limits, or that states more than `max_bytes` bytes."""
    try:
        with disk.open_regular(path):
            status = path.stat()
    except OSError as error:
        raise DataError(f"cannot read {path}: {error.strerror or error}") from None
    if fault := _decode_in_worker(path.resolve(), status.st_size, status.st_mtime_ns, max_bytes):
        raise DataError(f"cannot read {path}: {fault}")


@lru_cache(maxsize=1024)
def _decode_in_worker(path: Path, size: int, mtime_ns: int, max_bytes: int) -> str:
    """Return why a worker cannot decode a file; empty if it can. The result is cached per process."""
    try:
        _pool(MEMORY_MIB).call(_DecodeAll(), str(path), max_bytes, timeout_s=DEADLINE_S + size / BYTES_PER_S)
    except ScorerError as error:
        return str(error)
    return ""


@cache
def _pool(memory_mib: int) -> Pool:
    """Return the pool of one worker, kept since starting it takes longer than decoding most files."""
    from evals.sandbox import Pool

    return Pool(1, memory_mib=memory_mib)


# --- files of runs ---------------------------------------------------------------------------------------------


def check_once(path: Path) -> None:
    """Check a file of a run, unless this user's installation wrote or checked it before.

    Results are remembered below XDG_CACHE_HOME by device, inode, size, mtime and ctime, which a copy or an archive does not
    preserve. Without a writable cache folder, every process checks again. Raises DataError like `check`.
    """
    if (key := _file_key(path)) is None:
        return
    if (fault := _remembered_faults().get(key)) is None:
        try:
            check(path)
        except DataError as error:
            _remember(
                key, " ".join(str(error).removeprefix(f"cannot read {path}: ").split()) or "it is broken"
            )
            raise
        mark_as_known(path)
    elif fault:
        raise DataError(f"cannot read {path}: {fault}")


def is_known(path: Path) -> bool:
    """Return whether `check_once` need not decode a file, because a result is remembered or the file cannot be found."""
    return (key := _file_key(path)) is None or key in _remembered_faults()


def mark_as_known(path: Path) -> None:
    """Remember as readable a file that was just written or checked."""
    if (key := _file_key(path)) is not None and key not in _remembered_faults():
        _remember(key, "")


def _remember(key: str, fault: str) -> None:
    _remembered_faults()[key] = fault
    with suppress(OSError, UsageError):
        path = _known_files_path()
        path.parent.mkdir(parents=True, exist_ok=True)
        with os.fdopen(disk.create(path, append=True), "ab") as stream:
            stream.write(f"{key} {fault}".strip().encode() + b"\n")


def _known_files_path() -> Path:
    return harness_environments.cache() / "parquet-files.txt"


@cache
def _remembered_faults() -> dict[str, str]:
    """Return, by key, why a file cannot be read (empty if it can); if the list is long, only its newer half is kept."""
    try:
        lines = disk.read_small(_known_files_path()).decode("utf-8", "replace").splitlines()
    except (OSError, UsageError):
        return {}
    if len(lines) > MAX_KNOWN_FILES:
        lines = lines[-MAX_KNOWN_FILES // 2 :]
        with suppress(OSError):
            disk.replace(_known_files_path(), "".join(f"{line}\n" for line in lines).encode())
    return {" ".join(words[:_KEY_PARTS]): " ".join(words[_KEY_PARTS:]) for words in map(str.split, lines)}


def _file_key(path: Path) -> str | None:
    """Return what identifies a file in its present state; None if it cannot be found."""
    try:
        status = path.stat()
    except OSError:
        return None
    return f"{status.st_dev} {status.st_ino} {status.st_size} {status.st_mtime_ns} {status.st_ctime_ns}"


class _DecodeAll(Struct, frozen=True):
    """Decodes every page of a Parquet file; raises ScorerError if it cannot, or if the file states more than `max_bytes` bytes."""

    def warm(self) -> None:
        """Import pyarrow; this does not count towards the deadline."""
        import_module("pyarrow.parquet")

    def __call__(self, path: str, max_bytes: int) -> None:
        import pyarrow.parquet as pq

        try:
            _decode(pq, path, max_bytes)
        except (OSError, ValueError, NotImplementedError) as error:
            raise ScorerError(str(error)) from None


def _decode(pq: Any, path: str, max_bytes: int) -> None:
    with pq.ParquetFile(path, memory_map=False) as file:
        groups = range(file.metadata.num_row_groups)
        stated_bytes = sum(file.metadata.row_group(group).total_byte_size for group in groups)
        if stated_bytes > max_bytes:
            raise ScorerError(f"it would decompress to {stated_bytes:,} bytes")
        for _ in file.iter_batches(batch_size=512):
            pass
