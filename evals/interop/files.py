"""Foreign files as bytes: bounded, out of gzip and zip archives; what is unpacked goes again with its folder."""

from __future__ import annotations

import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from tempfile import TemporaryDirectory
from typing import IO, Any

from evals import disk
from evals.data.archive import UNREADABLE
from evals.errors import DataError
from evals.interop.values import BROKEN, decoded

LARGEST = 4 << 30
"""Bytes of a file that is read whole at most."""


def below(folder: Path, pattern: str) -> Iterator[Path]:
    """Yield what a pattern finds in a folder, without what editors, file managers and network drives leave behind.

    `**/` finds it at any depth. Jupyter's copies (`.ipynb_checkpoints`), for one, are no second run.
    """
    for path in folder.glob(pattern):
        if not any(map(disk.is_noise, path.relative_to(folder).parts)):
            yield path


def chosen(path: Path, *patterns: str, wanted: str) -> list[Path]:
    """Return a file itself, or what the first pattern that fits finds in a folder; raises DataError for nothing."""
    if path.is_file():
        return [path]
    matches = (sorted(below(path, pattern)) for pattern in patterns)
    if not (files := next(filter(None, matches), [])):
        raise DataError(f"{path}: no {wanted} there")
    return files


def unpacked(path: Path) -> bytes:
    """Read a file whole, out of gzip or of a zip archive with one file in it; raises DataError in one line."""
    files = list(contents(path))
    if len(files) != 1:
        raise DataError(f"{path}: {len(files)} files in it, not one; unpack it and name the folder")
    return files[0][1]


def document(path: Path) -> Any:
    """Read a JSON file, out of gzip or of a zip archive with one file in it; raises DataError in one line."""
    try:
        return decoded(unpacked(path))
    except BROKEN as error:
        raise DataError(f"{path}: {error}") from None


def object_of(path: Path, what: str) -> dict[str, Any]:
    """Read a JSON file that holds an object, as `what` does; raises DataError in one line."""
    content = document(path)
    if not isinstance(content, dict):
        raise DataError(f"{path}: no {what}, which holds an object")
    return content


def optional(path: Path, what: str) -> dict[str, Any]:
    """Read a JSON file that holds an object, if it is there."""
    return object_of(path, what) if path.is_file() else {}


def objects(path: Path) -> Iterator[tuple[dict[str, Any], str]]:
    """Yield each object of a file of JSON lines, or of one JSON array, with its place; raises DataError in one line."""
    place = 0
    try:
        with disk.open_unpacked(path) as stream:
            if stream.read(1) == b"[":
                yield from _array(path)
                return
            stream.seek(0)
            for place, line in enumerate(disk.lines(stream), 1):
                if line.strip():
                    yield _object(decoded(line)), f"{path.name}, line {place}"
    except (OSError, *BROKEN) as error:
        raise DataError(f"{path}, line {place}: {error}") from None


def _array(path: Path) -> Iterator[tuple[dict[str, Any], str]]:
    rows = document(path)
    for place, row in enumerate(rows, 1):
        yield _object(row), f"{path.name}, {place}"


def _object(value: Any) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise ValueError(f"expected an object, got {type(value).__name__}")
    return value


def contents(path: Path) -> Iterator[tuple[str, bytes]]:
    """Yield name and bytes of a file, or of each file in a zip archive; raises DataError in one line.

    At most LARGEST bytes come of a path, whatever it claims of itself; nothing is unpacked to the disk.
    """
    if not path.name.endswith((".gz", ".zip")):
        yield path.name, whole(path)
        return
    left = LARGEST
    try:
        for name, stream in _streams(path):
            content = stream.read(left + 1)
            left -= len(content)
            if left < 0:
                raise DataError(f"{path}: unpacked larger than {LARGEST >> 30} GiB")
            yield name, content
    except UNREADABLE as error:
        raise DataError(f"{path}: {error}") from None


def _streams(path: Path) -> Iterator[tuple[str, IO[bytes]]]:
    if path.name.endswith(".gz"):
        with disk.open_unpacked(path) as stream:
            yield path.name.removesuffix(".gz"), stream
        return
    with zipfile.ZipFile(path) as archive:
        for name in archive.namelist():
            if not name.endswith("/") and not any(
                map(disk.is_noise, set(PurePosixPath(name).parts) - {".."})
            ):
                with archive.open(name) as stream:
                    yield name, stream


@contextmanager
def unzipped(path: Path) -> Iterator[Path]:
    """Unpack a zip archive into a folder that goes again; raises DataError for one that is broken or made to harm."""
    left = max(disk.SMALL, disk.EXPANSION * path.stat().st_size)
    with TemporaryDirectory(prefix="evals-import-") as folder:
        try:
            for name, stream in _streams(path):
                parts = PurePosixPath(name).parts
                if ".." in parts or PurePosixPath(name).is_absolute():
                    raise DataError(f"{path}: {name[:100]!r} leads out of the archive")
                target = Path(folder, *parts)
                target.parent.mkdir(parents=True, exist_ok=True)
                with target.open("wb") as out:
                    while piece := stream.read(1 << 20):
                        left -= len(piece)
                        if left < 0:
                            raise DataError(
                                f"{path}: it would unpack to more than {disk.EXPANSION} times its size"
                            )
                        out.write(piece)
        except UNREADABLE as error:
            raise DataError(f"{path}: {error}") from None
        inner = list(below(Path(folder), "*"))
        yield inner[0] if len(inner) == 1 and inner[0].is_dir() else Path(folder)


def whole(path: Path) -> bytes:
    """Read a file whole; raises DataError for one that is too large or cannot be read."""
    try:
        return disk.read_small(path, LARGEST)
    except OSError as error:
        raise DataError(f"{path}: {error.strerror or error}") from None
