"""Access to a folder on a remote file system through fsspec. Every error message is a single line without secrets.

Object stores guarantee neither renames nor locks, so this module relies on neither: objects are written whole and read up
to a size limit, and callers verify their hashes.
"""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import lru_cache
from typing import Any, BinaryIO
from urllib.parse import urlsplit
from uuid import uuid4

from evals.errors import EvalsError, StoreError, install_command
from evals.remote.address import PACKAGES, Address

MAX_BATCH_OBJECTS, MAX_BATCH_BYTES = 256, 64 << 20
"""Maximum number and total size of small objects that are requested at once."""
CHUNK_BYTES = 8 << 20
"""Number of bytes that are read at once."""
RENAME_SCHEMES = ("file", "sftp")
"""Schemes of file systems on which other processes can see a half-written file: files are written under another name, then renamed."""
_SECRET_NAME = re.compile(r"KEY|SECRET|TOKEN|PASSWORD|PASSWD|CREDENTIAL|SAS|CONNECTION_STRING", re.IGNORECASE)


class RemoteStore:
    """The folder at an address; names of objects are relative to it, and separated by slashes."""

    def __init__(self, address: Address) -> None:
        """Open the store; raises StoreError if the package for the scheme is missing, or if the address cannot be opened."""
        self.address = address
        with self._as_store_errors("open"):
            self._fs, self._base = _open(address)

    @property
    def max_threads(self) -> int:
        """Return how many threads may use the store at once."""
        return 1 if self.address.scheme == "sftp" else 8

    def sizes(self, folder: str) -> dict[str, int]:
        """Return the size in bytes of every object below a folder, by name; empty if there is none."""
        with self._as_store_errors("read"):
            objects = self._fs.find(self._path(folder), detail=True)
            if not objects and self.address.scheme not in RENAME_SCHEMES:
                levels = 3 if self.address.scheme == "hf" else 1
                self._fs.ls(
                    "/".join(self._base.split("/")[:levels])
                )  # a missing bucket is an error, an empty one is not
        prefix = f"{self._base}/".lstrip("/")
        paths = ((str(path).lstrip("/"), info) for path, info in objects.items())
        return {
            path.removeprefix(prefix): int(info.get("size") or 0)
            for path, info in paths
            if path.startswith(prefix)
        }

    def size(self, name: str) -> int | None:
        """Return an object's size in bytes; None if it does not exist."""
        with self._as_store_errors("read"):
            try:
                return int(self._fs.info(self._path(name)).get("size") or 0)
            except FileNotFoundError:
                return None

    def read_many(self, sizes: Mapping[str, int]) -> Iterator[tuple[str, bytes | None]]:
        """Yield (name, content) for small objects; the content is None if an object cannot be read. `sizes`: name -> size."""
        for names in _batches(sizes):
            paths = {self._path(name): name for name in names}
            with self._as_store_errors("read"):
                contents = self._fs.cat(list(paths), on_error="return")
            if isinstance(contents, bytes):  # fsspec's result for a single path
                contents = dict.fromkeys(paths, contents)
            for path, name in paths.items():
                content = contents.get(path, contents.get(path.lstrip("/")))
                yield name, content if isinstance(content, bytes) else None

    def chunks(self, name: str, max_bytes: int) -> Iterator[bytes]:
        """Yield the content of an object in chunks; raises StoreError if it is longer than `max_bytes`."""
        with self._as_store_errors("read"), self._fs.open(self._path(name), "rb") as stream:
            remaining = max_bytes
            while chunk := stream.read(min(CHUNK_BYTES, remaining + 1)):
                remaining -= len(chunk)
                if remaining < 0:
                    raise StoreError(f"{self.address}/{name} is larger than its manifest states")
                yield chunk

    def write(self, name: str, source: BinaryIO) -> None:
        """Write a whole object; on file systems in `RENAME_SCHEMES`, write it under another name first."""
        path = self._path(name)
        must_rename = self.address.scheme in RENAME_SCHEMES
        partial = f"{path}.{uuid4().hex[:12]}.part" if must_rename else path
        with self._as_store_errors("write"):
            if must_rename:
                self._fs.makedirs(path.rpartition("/")[0], exist_ok=True)
            with self._fs.open(partial, "wb") as target:
                shutil.copyfileobj(source, target, CHUNK_BYTES)
            if must_rename:
                self._fs.mv(partial, path)

    def _path(self, name: str) -> str:
        return f"{self._base}/{name}" if name else self._base

    @contextmanager
    def _as_store_errors(self, action: str) -> Iterator[None]:
        """Re-raise errors of fsspec and its packages as StoreError, in one line without secrets."""
        try:
            yield
        except EvalsError:
            raise
        except ImportError as error:
            package = PACKAGES[self.address.scheme]
            command = install_command("remote") if package in ("", "s3fs") else f"pip install {package}"
            raise StoreError(f"{self.address.scheme}:// needs `{command}`") from error
        except Exception as error:  # noqa: BLE001 - every package has its own exceptions
            raise StoreError(f"cannot {action} {self.address}: {reason(error)}") from None


@lru_cache(maxsize=16)
def open_store(address: Address) -> RemoteStore:
    """Return the store at an address; it is opened once per process, since opening a session takes half a second."""
    return RemoteStore(address)


def _batches(sizes: Mapping[str, int]) -> Iterator[list[str]]:
    names: list[str] = []
    total = 0
    for name, size in sizes.items():
        if names and (len(names) >= MAX_BATCH_OBJECTS or total + size > MAX_BATCH_BYTES):
            yield names
            names, total = [], 0
        names.append(name)
        total += size
    if names:
        yield names


def _open(address: Address) -> tuple[Any, str]:
    """Return fsspec's file system for an address, and the path in it."""
    import fsspec

    if address.scheme == "sftp":
        return _open_sftp(address)
    filesystem, path = fsspec.core.url_to_fs(str(address), skip_instance_cache=True, use_listings_cache=False)
    return filesystem, str(path).rstrip("/")


def _open_sftp(address: Address) -> tuple[Any, str]:
    """Open SFTP through asyncssh, which verifies the host key; fsspec's own client accepts any key.

    `known_hosts=()` selects the user's known_hosts file; the default of sshfs would disable verification.
    """
    from sshfs import SSHFileSystem

    parts = urlsplit(str(address))
    stated = {"username": parts.username, "port": parts.port}
    options = {name: value for name, value in stated.items() if value}
    filesystem = SSHFileSystem(parts.hostname, skip_instance_cache=True, known_hosts=(), **options)
    return filesystem, parts.path.rstrip("/")


def reason(error: BaseException) -> str:
    """Return in one line why an operation failed, without the values of secret environment variables."""
    name = type(error).__name__
    if isinstance(error, FileNotFoundError):
        return f"there is no such bucket or folder ({_masked_message(error)})"
    if isinstance(error, PermissionError):
        return f"access is denied ({_masked_message(error)})"
    if "NoCredentials" in name or "PartialCredentials" in name or "DefaultCredentials" in name:
        return "no credentials were found in the environment or in the configuration files of the store's own tools"
    if "Connect" in name or isinstance(error, ConnectionError | TimeoutError):
        return f"it cannot be reached ({name})"
    return f"{name}: {_masked_message(error)}".removesuffix(": ")


def _masked_message(error: BaseException) -> str:
    message = " ".join((getattr(error, "strerror", None) or str(error)).split())
    message = re.sub(r"\?\S*", "", message)  # the query of a signed URL
    for variable, value in os.environ.items():
        if len(value) >= 4 and _SECRET_NAME.search(variable):
            message = message.replace(value, "***")
    return message[:200] or type(error).__name__
