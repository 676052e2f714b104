"""The local cache of results elsewhere: read-only copies of runs, whose files are fetched when they are opened.

    <cache>/remote/objects/<sha256>          files of runs, by their hash
    <cache>/remote/runs/<key>/card.json      a sealed run; its other files are links into `objects`, dangling until needed
    <cache>/remote/runs/<key>/.remote.json   where its objects come from, and their sizes
    <cache>/remote/views/<key>/              an address as a results folder: links to `runs`

All of it may be deleted at any time; the next command fetches what it needs again.
"""

from __future__ import annotations

import os
import shutil
from hashlib import sha256
from pathlib import Path
from uuid import uuid4

import msgspec
from msgspec import Struct

from evals import disk, harness_environments
from evals.errors import StoreError
from evals.remote.address import parse
from evals.remote.stores import RemoteStore, open_store

ORIGIN = ".remote.json"
ADDRESS = ".address"
"""File of a view that holds its address."""


class StoredFile(Struct, frozen=True, forbid_unknown_fields=True):
    """A file as a manifest states it."""

    sha256: str
    size: int
    """Bytes."""


class Origin(Struct, frozen=True):
    """Where the files of a cached run come from."""

    address: str
    files: dict[str, StoredFile]
    times: dict[str, int] = {}
    """Times of modification in ns that the card states; a file that has its own is not hashed again."""


def root() -> Path:
    """Return the folder of the cache; it may not exist."""
    return Path(os.path.realpath(harness_environments.cache() / "remote"))


def object_name(digest: str) -> str:
    """Return the name of an object in a store.

    >>> object_name("ab34")
    'objects/ab/ab34'
    """
    return f"objects/{digest[:2]}/{digest}"


def view_folder(address: str) -> Path:
    """Return the folder that stands for an address."""
    return root() / "views" / sha256(address.encode()).hexdigest()[:20]


def is_copy(path: Path) -> bool:
    """Return whether a path lies in the cache: a copy of results elsewhere, which nothing may write to."""
    folder = root()
    absolute = Path(os.path.abspath(path))  # noqa: PTH100 - links stay
    return any(folder in (candidate, *candidate.parents) for candidate in (absolute, path.resolve()))


def display_path(path: Path) -> str:
    """Return a path as the user named it: one below a view by the view's address."""
    views = root() / "views"
    if views not in path.parents:
        return str(path)
    key, *rest = path.relative_to(views).parts
    try:
        address = disk.read_small(views / key / ADDRESS).decode()
    except OSError:
        return str(path)
    return "/".join([address, *rest])


def is_pending(path: Path) -> bool:
    """Return whether a file of a cached run has not been fetched yet."""
    return path.is_symlink() and not path.exists() and is_copy(path.parent)


def is_available(path: Path) -> bool:
    """Return whether a file of a run is there, or is fetched when it is opened."""
    return path.exists() or is_pending(path)


def ensure_all(folder: Path) -> None:
    """Fetch all files of a run that is a copy; do nothing for others. Raises StoreError."""
    for path in folder.iterdir() if is_copy(folder) and folder.is_dir() else ():
        ensure(path)


def ensure(path: Path) -> None:
    """Fetch a file of a cached run unless it is there; do nothing for other files. Raises StoreError."""
    if not is_pending(path):
        return
    try:
        origin = msgspec.json.decode(disk.read_small(path.parent / ORIGIN), type=Origin)
        stated = origin.files[path.name]
    except (OSError, msgspec.MsgspecError, KeyError) as error:
        raise StoreError(f"{path}: the cache is damaged, delete {root()}") from error
    _fetch(open_store(parse(origin.address)), stated, origin.times.get(path.name))


def _fetch(store: RemoteStore, stated: StoredFile, time_ns: int | None) -> None:
    """Download an object, check size and hash, and put it in place in one step."""
    name, target = object_name(stated.sha256), root() / "objects" / stated.sha256
    location = f"{store.address}/{name}"
    if (size := store.size(name)) is None:
        raise StoreError(f"{location} is missing: the run is incomplete there, sync it again")
    if size != stated.size:
        raise StoreError(f"{location}: {size} bytes, its manifest states {stated.size}")
    partial = target.with_name(f".{stated.sha256[:16]}.{uuid4().hex[:8]}")
    digest = sha256()
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        if (free := shutil.disk_usage(target.parent).free) < size:
            raise StoreError(f"{location}: {size / 1e9:.1f} GB, and {free / 1e9:.1f} GB are free in {root()}")
        with os.fdopen(disk.create(partial, new=True), "wb") as stream:
            for chunk in store.chunks(name, stated.size):
                digest.update(chunk)
                stream.write(chunk)
        if digest.hexdigest() != stated.sha256:
            raise StoreError(f"{location}: its bytes are not those that its manifest states")
        if time_ns is not None:
            os.utime(partial, ns=(time_ns, time_ns))
        partial.replace(target)
    except OSError as error:
        raise StoreError(f"cannot write to {root()}: {error.strerror or error}") from None
    finally:
        partial.unlink(missing_ok=True)
