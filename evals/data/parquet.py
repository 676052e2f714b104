"""Untrusted Parquet files: decoded in a limited worker process before they are read here.

pyarrow decodes files in C++; a malicious file may exhaust memory, loop or crash. A worker with a limited address space
decodes it first, so that only the worker is affected. Downloads from the hub are exempt, as the `datasets` package has
already read them.
"""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path
from typing import Any

from evals import disk
from evals.errors import DataError, ScorerError

DEADLINE_S = 30.0
"""Deadline for decoding a file, plus a second for each `PER_S` bytes."""
PER_S = 16 << 20
LARGEST = 64 << 30
"""Maximum uncompressed size in bytes, as stated by the file."""
MEMORY_MIB = 6144
"""Address space of the worker; pyarrow alone maps a gigabyte."""


def check(path: Path, *, most: int = LARGEST) -> None:
    """Raise DataError if a worker cannot decode a Parquet file within its limits, or if it states more than `most` bytes."""
    try:
        with disk.open_regular(path):
            status = path.stat()
    except OSError as error:
        raise DataError(f"cannot read {path}: {error.strerror or error}") from None
    try:
        _read_in_worker(path.resolve(), status.st_size, status.st_mtime_ns, most)
    except ScorerError as error:
        raise DataError(f"cannot read {path}: {error}") from None


@lru_cache(maxsize=1024)
def _read_in_worker(path: Path, size: int, mtime_ns: int, most: int) -> None:
    from evals.sandbox import Pool

    with Pool(1, memory_mib=MEMORY_MIB) as pool:
        pool.call(read_through, str(path), most, timeout_s=DEADLINE_S + size / PER_S)


def read_through(path: str, most: int) -> None:
    """Decode every page of a Parquet file; raises ScorerError if it states more than `most` bytes."""
    import pyarrow.parquet as pq

    try:
        _decode(pq, path, most)
    except (OSError, ValueError, NotImplementedError) as error:
        raise ScorerError(str(error)) from None


def _decode(pq: Any, path: str, most: int) -> None:
    with pq.ParquetFile(path, memory_map=False) as file:
        groups = range(file.metadata.num_row_groups)
        stated = sum(file.metadata.row_group(group).total_byte_size for group in groups)
        if stated > most:
            raise ScorerError(f"it would unpack to {stated:,} bytes")
        for _ in file.iter_batches(batch_size=512):
            pass
