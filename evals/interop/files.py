"""Foreign files as bytes: bounded, out of gzip and zip archives, and nothing is written anywhere."""

from __future__ import annotations

import gzip
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import IO

from evals.archive import UNREADABLE
from evals.errors import DataError

LARGEST = 4 << 30
"""Bytes of a file that is read whole at most."""


def unpacked(path: Path) -> bytes:
    """Read a file whole, out of gzip or of a zip archive with one file in it; raises DataError in one line."""
    files = list(contents(path))
    if len(files) != 1:
        raise DataError(f"{path}: {len(files)} files in it, not one; unpack it and name the folder")
    return files[0][1]


def contents(path: Path) -> Iterator[tuple[str, bytes]]:
    """Yield name and bytes of a file, or of each file in a zip archive; raises DataError in one line.

    At most LARGEST bytes come of a path, whatever it claims of itself; nothing is written anywhere.
    """
    if not path.name.endswith((".gz", ".zip")):
        yield path.name, whole(path)
        return
    left = LARGEST
    try:
        for name, stream in _streams(path):
            found = stream.read(left + 1)
            left -= len(found)
            if left < 0:
                raise DataError(f"{path}: unpacked larger than {LARGEST >> 30} GiB")
            yield name, found
    except UNREADABLE as error:
        raise DataError(f"{path}: {error}") from None


def _streams(path: Path) -> Iterator[tuple[str, IO[bytes] | gzip.GzipFile]]:
    if path.name.endswith(".gz"):
        with gzip.open(path) as stream:
            yield path.name.removesuffix(".gz"), stream
        return
    with zipfile.ZipFile(path) as archive:
        for name in archive.namelist():
            if not name.startswith("__MACOSX/") and not name.endswith("/"):
                with archive.open(name) as stream:
                    yield name, stream


def whole(path: Path) -> bytes:
    """Read a file whole; raises DataError for one that is too large or cannot be read."""
    try:
        if path.stat().st_size > LARGEST:
            raise DataError(f"{path}: larger than {LARGEST >> 30} GiB")
        return path.read_bytes()
    except OSError as error:
        raise DataError(f"{path}: {error.strerror or error}") from None
