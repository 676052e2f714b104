"""Access to untrusted files: only regular files are opened, reads are limited, and links are not followed when writing."""

from __future__ import annotations

import errno
import hashlib
import io
import os
import stat
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

MAX_SMALL_FILE = 64 << 20
"""Size limit in bytes of a file that is read into memory, such as a card."""
BOM = b"\xef\xbb\xbf"
"""Byte order mark that some editors write at the start of UTF-8 files."""
MAX_EXPANSION = 200
"""Maximum ratio of unpacked to compressed size for a file that unpacks to more than `MAX_SMALL_FILE`; above it, the file is a gzip bomb."""
CHUNK_BYTES = 1 << 20
"""Number of bytes that are decompressed at once, before the limit is checked."""
MAX_LINE = 256 << 20
"""Size limit in bytes of a line in a file."""
IGNORED_NAMES = frozenset({"@eaDir", "__MACOSX", "Thumbs.db", "desktop.ini"})
"""Names of files created by file managers and network drives, which are ignored like hidden files."""


def open_regular(path: Path) -> io.BufferedReader:
    """Open a file for reading; raises OSError if it is not a regular file (a pipe would block, a device has no end)."""
    fd = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    if not stat.S_ISREG(os.fstat(fd).st_mode):
        os.close(fd)
        raise OSError(errno.EINVAL, "not a regular file", str(path))
    return os.fdopen(fd, "rb")


def read_small(path: Path, max_bytes: int = MAX_SMALL_FILE) -> bytes:
    """Return the content of a file; raises OSError if it is not a regular file or is larger than `max_bytes`."""
    with open_regular(path) as stream:
        content = stream.read(max_bytes + 1)
    if len(content) > max_bytes:
        raise OSError(errno.EFBIG, f"larger than {max_bytes >> 20} MiB", str(path))
    return content


def sha256(path: Path) -> str:
    """Return the SHA-256 of a file as hex digits; raises OSError if it is not a regular file."""
    with open_regular(path) as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


class _GzipReader(io.RawIOBase):
    """The decompressed content of a gzip file; reading raises ValueError once it exceeds what `MAX_EXPANSION` allows."""

    def __init__(self, path: Path) -> None:
        import gzip

        self._file = open_regular(path)
        self._remaining = max(MAX_SMALL_FILE, MAX_EXPANSION * os.fstat(self._file.fileno()).st_size)
        self._content = gzip.GzipFile(fileobj=self._file)

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = 0, /) -> int:
        return self._content.seek(offset, whence)

    def readinto(self, buffer: Any, /) -> int:
        # in chunks, since a caller may request any number of bytes at once
        count: int = self._content.readinto(memoryview(buffer)[:CHUNK_BYTES])
        self._remaining -= count
        if self._remaining < 0:
            raise ValueError(f"it unpacks to more than {MAX_EXPANSION} times its size")
        return count

    def close(self) -> None:
        if not self.closed:
            self._content.close()
            self._file.close()
        super().close()


def open_decompressed(path: Path) -> IO[bytes]:
    """Open a file for reading; decompress it if its name ends in `.gz`.

    Raises OSError if it is not a regular file. Reading raises gzip's errors, and ValueError for a gzip bomb.
    """
    if path.name.endswith(".gz"):
        return io.BufferedReader(_GzipReader(path), 1 << 16)
    return open_regular(path)


def lines(stream: IO[bytes]) -> Iterator[bytes]:
    """Yield the lines of a stream; raises ValueError for a line of `MAX_LINE` bytes or more."""
    while line := stream.readline(MAX_LINE):
        if len(line) == MAX_LINE:
            raise ValueError(f"a line of more than {MAX_LINE >> 20} MiB")
        yield line


def create(path: Path, *, append: bool = False, new: bool = False, mode: int = 0o644) -> int:
    """Open a file for writing without truncating it, and return its descriptor.

    `new`: remove an existing file first; `mode`: permissions of a new file. Raises OSError for a link, a device or a pipe, and for a file with several hard links.
    """
    if new:
        path.unlink(missing_ok=True)
    flags = os.O_WRONLY | os.O_CREAT | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
    flags |= (os.O_APPEND if append else 0) | (os.O_EXCL if new else 0)
    try:
        fd = os.open(path, flags, mode)
    except OSError as error:
        if error.errno in (errno.ELOOP, errno.EMLINK):
            raise OSError(
                errno.ELOOP, f"{path.name} is a link, and links are not followed when writing", str(path)
            ) from None
        raise
    status = os.fstat(fd)
    if not stat.S_ISREG(status.st_mode) or status.st_nlink > 1:
        os.close(fd)
        raise OSError(errno.EINVAL, f"{path.name} is a device, a pipe or a hard link", str(path))
    return fd


@contextmanager
def naming(path: Path) -> Iterator[None]:
    """Add a path to errors that name none, such as that of a full disk."""
    try:
        yield
    except OSError as error:
        if error.filename is not None:
            raise
        raise OSError(error.errno, error.strerror or str(error), str(path)) from None


def make_parent(path: Path) -> None:
    """Create the folder of a file if needed; raises NotADirectoryError, not FileExistsError, if it is a file."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except FileExistsError:
        raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR), str(path.parent)) from None


def replace(path: Path, content: bytes, *, mode: int = 0o644) -> None:
    """Replace a file atomically: readers see either the complete old or the complete new content. `mode`: its permissions."""
    temporary = path.with_name(f".{path.name}.{threading.get_native_id()}")
    with naming(path), os.fdopen(create(temporary, new=True, mode=mode), "wb") as stream:
        stream.write(content)
        stream.flush()
        os.fsync(stream.fileno())
    temporary.replace(path)
    sync_folder(path.parent)


def sync_folder(path: Path) -> None:
    """Sync a folder's entries to disk, so that a rename survives a power failure; do nothing if the file system does not support it."""
    fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    except OSError:  # not supported by some network file systems
        return
    finally:
        os.close(fd)


def is_ignored(name: str) -> bool:
    """Return whether a file of this name is ignored: it is hidden, or was created by a file manager or a network drive."""
    return name.startswith(".") or name in IGNORED_NAMES
