"""Read foreign files, including gzipped and zipped ones, up to a size limit."""

from __future__ import annotations

import shutil
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from tempfile import TemporaryDirectory
from typing import IO, Any

from evals import disk
from evals.data.archive import ARCHIVE_ERRORS
from evals.data.loose_json import decode_json
from evals.errors import DataError
from evals.interop.values import PARSE_ERRORS
from evals.validation import cause

MAX_BYTES = 4 << 30
"""Size limit in bytes for a file that is read into memory."""
MAX_CONFIG_BYTES = 2 << 20
"""Size limit in bytes for a configuration file, whose parser needs up to a thousand times its size in memory."""


def glob_visible(folder: Path, pattern: str) -> Iterator[Path]:
    """Yield the files that match a glob pattern, except those of editors and file managers (`.ipynb_checkpoints`)."""
    for path in folder.glob(pattern):
        if not any(map(disk.is_ignored, path.relative_to(folder).parts)):
            yield path


def find_files(path: Path, *patterns: str, expected: str) -> list[Path]:
    """Return the path itself if it is a file; for a folder, the files that match the first pattern with any matches.

    Raises DataError if no pattern matches; `expected` describes these files in the error message.
    """
    if path.is_file():
        return [path]
    matches = (sorted(glob_visible(path, pattern)) for pattern in patterns)
    if not (files := next(filter(None, matches), [])):
        raise DataError(f"{path}: no {expected} found")
    return files


def read_json(path: Path) -> Any:
    """Read a JSON file, which may be gzipped or the only file in a zip archive; raises DataError."""
    try:
        files = list(read_contents(path))
        if len(files) != 1:
            raise DataError(f"{path}: contains {len(files)} files, not one; unpack it and pass the folder")
        return decode_json(files[0][1])
    except PARSE_ERRORS as error:
        raise DataError(f"{path}: {cause(error)}") from None


def read_object(path: Path, expected: str) -> dict[str, Any]:
    """Read a JSON file that contains an object; raises DataError, whose message says what was `expected`."""
    content = read_json(path)
    if not isinstance(content, dict):
        raise DataError(f"{path}: cannot be read as {expected}: not a JSON object")
    return content


def read_optional(path: Path, expected: str) -> dict[str, Any]:
    """Read a JSON file that contains an object; return an empty object if there is no file."""
    return read_object(path, expected) if path.is_file() else {}


def read_objects(path: Path) -> Iterator[tuple[dict[str, Any], str]]:
    """Yield each object of a JSON Lines file or a JSON array, with its location; raises DataError."""
    place = ""
    try:
        with disk.open_decompressed(path) as stream:
            is_array = stream.read(1) == b"["
            stream.seek(0)
            for number, row in enumerate(read_json(path) if is_array else disk.lines(stream), 1):
                if is_array or row.strip():
                    place = f", {number}" if is_array else f", line {number}"
                    value = row if is_array else decode_json(row)
                    if not isinstance(value, dict):
                        raise DataError(f"{path}{place}: not a JSON object")
                    yield value, f"{path.name}{place}"
    except (OSError, *PARSE_ERRORS) as error:
        raise DataError(f"{path}{place}: {cause(error)}") from None


def read_contents(path: Path) -> Iterator[tuple[str, bytes]]:
    """Yield the name and the content of a file, or of each file in a zip archive; raises DataError.

    Unpacks at most `MAX_BYTES` bytes in all, whatever sizes the archive states.
    """
    if not path.name.endswith((".gz", ".zip")):
        yield path.name, read_bytes(path)
        return
    bytes_left = MAX_BYTES
    try:
        for name, stream in _open_members(path):
            content = stream.read(bytes_left + 1)
            bytes_left -= len(content)
            if bytes_left < 0:
                raise DataError(f"{path}: larger than {MAX_BYTES >> 30} GiB when unpacked")
            yield name, content
    except ARCHIVE_ERRORS as error:
        raise DataError(f"{path}: {error}") from None


def _open_members(path: Path) -> Iterator[tuple[str, IO[bytes]]]:
    if path.name.endswith(".gz"):
        with disk.open_decompressed(path) as stream:
            yield path.name.removesuffix(".gz"), stream
        return
    with zipfile.ZipFile(path) as archive:
        refuse_zip_bomb(path, archive)
        for name in archive.namelist():
            if not name.endswith("/") and not any(
                map(disk.is_ignored, set(PurePosixPath(name).parts) - {".."})
            ):
                with archive.open(name) as stream:
                    yield name, stream


@contextmanager
def unzipped(path: Path) -> Iterator[Path]:
    """Unpack a zip archive into a temporary folder and yield that folder, or its only subfolder.

    Raises DataError if the archive is broken or malicious.
    """
    with TemporaryDirectory(prefix="evals-import-") as folder:
        try:
            for name, stream in _open_members(path):
                parts = PurePosixPath(name).parts
                if ".." in parts or PurePosixPath(name).is_absolute():
                    raise DataError(f"{path}: {name[:100]!r} points outside the archive")
                target = Path(folder, *parts)
                target.parent.mkdir(parents=True, exist_ok=True)
                with target.open("wb") as out:
                    shutil.copyfileobj(stream, out)
        except ARCHIVE_ERRORS as error:
            raise DataError(f"{path}: {error}") from None
        entries = list(glob_visible(Path(folder), "*"))
        yield entries[0] if len(entries) == 1 and entries[0].is_dir() else Path(folder)


def refuse_zip_bomb(path: Path, archive: zipfile.ZipFile) -> None:
    """Raise DataError if the sizes stated in a zip archive add up to too many bytes; zipfile reads no more than it states."""
    unpacked = sum(entry.file_size for entry in archive.infolist())
    if unpacked > min(MAX_BYTES, max(disk.MAX_SMALL_FILE, disk.MAX_EXPANSION * path.stat().st_size)):
        raise DataError(f"{path}: it would unpack to {unpacked:,} bytes")


def read_bytes(path: Path, max_bytes: int = MAX_BYTES) -> bytes:
    """Read a file into memory; raises DataError if it is larger than `max_bytes` bytes or cannot be read."""
    try:
        return disk.read_small(path, max_bytes)
    except OSError as error:
        raise DataError(f"{path}: {error.strerror or error}") from None
