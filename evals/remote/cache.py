"""The local cache of remote results: read-only copies of runs. A run's file is fetched when it is first opened.

    <cache>/remote/objects/<sha256>          files of runs, by their hash
    <cache>/remote/runs/<key>/               a finalized run: its card, and links into `objects`, dangling until fetched
    <cache>/remote/runs/<key>/.remote.json   where the run's files come from, with their sizes and hashes
    <cache>/remote/views/<key>/              the results folder of an address: links into `runs`

The cache may be deleted at any time; the next command fetches what it needs again.
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

ORIGIN_FILE, ADDRESS_FILE = ".remote.json", ".address"
"""Name of the file with a run's `Origin`, and of the file with the remote address of a view."""


class StoredFile(Struct, frozen=True, forbid_unknown_fields=True):
    """Size and hash of a file in a remote store, as stated in a manifest."""

    sha256: str
    size: int
    """Bytes."""


class Origin(Struct, frozen=True):
    """Where the files of a cached run come from."""

    address: str
    files: dict[str, StoredFile]
    times: dict[str, int] = {}
    """File -> modification time (ns) recorded in the card. A fetched file is given this time, so that readers need not hash it again."""


def root() -> Path:
    """Return the folder of the cache; it may not exist yet."""
    return Path(os.path.realpath(harness_environments.cache() / "remote"))


def object_name(digest: str) -> str:
    """Return the name of the file with this SHA-256 in a remote store.

    >>> object_name("ab34")
    'objects/ab/ab34'
    """
    return f"objects/{digest[:2]}/{digest}"


def view_folder(address: str) -> Path:
    """Return the folder that mirrors an address."""
    return root() / "views" / sha256(address.encode()).hexdigest()[:20]


def is_copy(path: Path) -> bool:
    """Return whether a path lies in the cache, and thus belongs to a read-only copy of remote results."""
    folder = root()
    absolute = Path(os.path.abspath(path))  # noqa: PTH100 - links are not resolved
    return any(folder in (candidate, *candidate.parents) for candidate in (absolute, path.resolve()))


def display_path(path: Path) -> str:
    """Return a path for display; if it lies in a view, with the remote address in place of the view's folder."""
    views = root() / "views"
    if views not in path.parents:
        return str(path)
    key, *rest = path.relative_to(views).parts
    try:
        address = disk.read_small(views / key / ADDRESS_FILE).decode()
    except OSError:
        return str(path)
    return "/".join([address, *rest])


def is_pending(path: Path) -> bool:
    """Return whether a file of a cached run has not been fetched yet."""
    return path.is_symlink() and not path.exists() and is_copy(path.parent)


def is_available(path: Path) -> bool:
    """Return whether a file of a run exists, or will be fetched when it is opened."""
    return path.exists() or is_pending(path)


def fetch_all(folder: Path) -> None:
    """Fetch all files of a cached run; do nothing for other folders. Raises StoreError."""
    if folder.is_dir() and is_copy(folder):
        for path in folder.iterdir():
            fetch(path)


def fetch(path: Path) -> None:
    """Fetch a file of a cached run if it is missing; do nothing for other files. Raises StoreError."""
    if not is_pending(path):
        return
    try:
        origin = msgspec.json.decode(disk.read_small(path.parent / ORIGIN_FILE), type=Origin)
        file = origin.files[path.name]
    except (OSError, msgspec.MsgspecError, KeyError) as error:
        raise StoreError(f"{path}: the cache is damaged; delete {root()}") from error
    _download(open_store(parse(origin.address)), file, origin.times.get(path.name))


def _download(store: RemoteStore, file: StoredFile, time_ns: int | None) -> None:
    """Download an object, check its size and hash, and move it into place atomically."""
    name, target = object_name(file.sha256), root() / "objects" / file.sha256
    location = f"{store.address}/{name}"
    if (size := store.size(name)) is None:
        raise StoreError(f"{location} is missing: the remote run is incomplete; sync it again")
    if size != file.size:
        raise StoreError(f"{location}: its size in bytes is {size}, but its manifest states {file.size}")
    partial = target.with_name(f".{file.sha256[:16]}.{uuid4().hex[:8]}")
    digest = sha256()
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        if (free := shutil.disk_usage(target.parent).free) < size:
            raise StoreError(
                f"{location} is {size / 1e9:.1f} GB, but {root()} has only {free / 1e9:.1f} GB free"
            )
        with os.fdopen(disk.create(partial, new=True), "wb") as stream:
            for chunk in store.chunks(name, file.size):
                digest.update(chunk)
                stream.write(chunk)
        if digest.hexdigest() != file.sha256:
            raise StoreError(f"{location}: its content does not match the hash in its manifest")
        if time_ns is not None:
            os.utime(partial, ns=(time_ns, time_ns))
        partial.replace(target)
    except OSError as error:
        raise StoreError(f"cannot write to {root()}: {error.strerror or error}") from None
    finally:
        partial.unlink(missing_ok=True)
