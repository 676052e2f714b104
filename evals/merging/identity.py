"""The identity of a merge: a hash of its checkpoints, and of all settings in the recipe that affect the result."""

from __future__ import annotations

import re
from collections.abc import Iterable
from contextlib import suppress
from hashlib import file_digest, sha256
from pathlib import Path

import msgspec

from evals import disk, harness_environments

VERSION = 1
"""Incremented when a formula changes, so that older merges are not reused."""
_BLOB_NAME = re.compile(r"[0-9a-f]{64}")


def merges_folder() -> Path:
    """Return the folder of merged checkpoints; it may not exist."""
    return harness_environments.cache() / "merges"


class Hashes:
    """SHA-256 of files, cached by path, size and modification time, since hashing takes seconds per GB."""

    def __init__(self) -> None:
        self._file = merges_folder() / "hashes.json"
        self._known: dict[str, tuple[int, int, str]] = {}
        with suppress(OSError, msgspec.MsgspecError):
            self._known = msgspec.json.decode(
                disk.read_small(self._file), type=dict[str, tuple[int, int, str]]
            )

    def sha256_of(self, path: Path) -> str:
        """Return the SHA-256 of a file; large files in the hub's cache have their hash as their name."""
        resolved = path.resolve()
        if resolved.parent.name == "blobs" and _BLOB_NAME.fullmatch(resolved.name):
            return resolved.name
        status = resolved.stat()
        size, mtime_ns, digest = self._known.get(str(resolved), (0, 0, ""))
        if (size, mtime_ns) != (status.st_size, status.st_mtime_ns) or not digest:
            with resolved.open("rb") as stream:
                digest = file_digest(stream, "sha256").hexdigest()
            self._known[str(resolved)] = (status.st_size, status.st_mtime_ns, digest)
        return digest

    def save(self) -> None:
        """Write the hashes to the cache."""
        self._file.parent.mkdir(parents=True, exist_ok=True)
        disk.replace(self._file, msgspec.json.encode(self._known))


def hash_files(files: Iterable[Path], hashes: Hashes) -> str:
    """Return a hash of several files and their names."""
    return hash_json({path.name: hashes.sha256_of(path) for path in files})


def hash_json(content: object) -> str:
    """Return a hash of a JSON value."""
    return sha256(msgspec.json.encode(content, order="sorted")).hexdigest()
