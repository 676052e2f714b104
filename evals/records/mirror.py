"""Remote results as a local results folder: cards are fetched immediately, records and samples on first use."""

from __future__ import annotations

import os
import shutil
import time
from hashlib import sha256
from pathlib import Path
from uuid import uuid4

from msgspec.json import encode

from evals import disk
from evals.errors import StoreError
from evals.plain import notice
from evals.records import manifest
from evals.records.card import Card
from evals.records.manifest import Manifest, ManifestEntry
from evals.remote import cache
from evals.remote.address import Address, is_address, parse
from evals.remote.stores import RemoteStore, open_store

MAX_LISTED = 5
"""Maximum number of rejected manifests that are reported one by one."""
_MIRRORED: dict[str, Path] = {}
"""Remote address -> its folder in the cache, for the addresses that this process has read."""


def readable_folder(results: str | Path) -> Path:
    """Return a results folder for reading: for a remote address, the folder of its copy in the cache.

    Raises StoreError if the address cannot be read or names a run.
    """
    if not is_address(results):
        return Path(results)
    address = parse(results)
    if address.run:
        raise StoreError(
            f"{address}#{address.run} names a run, not a results folder: pass it as the argument RUN"
        )
    return local_folder(address)


def writable_folder(results: str | Path) -> Path:
    """Return a results folder for writing; raises StoreError for remote results and their copies."""
    path = Path(results)
    if is_address(results) or cache.is_copy(path):
        location = parse(results) if is_address(results) else cache.display_path(path)
        raise StoreError(
            f"{location} is read-only; write to a local folder and copy its runs with `evals sync`"
        )
    return path


def local_folder(address: Address) -> Path:
    """Return the local copy of an address: of all results, or of a suite, a model or one run in them.

    The address is read once per process; `refresh` reads it again. Raises StoreError if there are no runs at the address.
    """
    if (mirrored := _MIRRORED.get(str(address))) is not None:
        return mirrored
    store = open_store(address)
    if entries := manifest.entries(store.sizes(manifest.FOLDER)):
        folder, faults = _update_view(store, entries)
        _report_faults(faults)
    elif (parts := _split_address(address)) is not None:
        folder = local_folder(parts[0]) / parts[1]
        if not folder.exists():
            raise StoreError(f"no run {parts[1]} in {parts[0]}")
    else:
        raise StoreError(f"no runs in {address}; `evals sync RESULTS {address}` copies runs there")
    _MIRRORED[str(address)] = folder
    return folder


def refresh(results: Path) -> None:
    """Update a folder that is the view of a remote address; do nothing for other folders. Raises StoreError."""
    if (address := cache.display_path(results)) != str(results):
        store = open_store(parse(address))
        _update_view(store, manifest.entries(store.sizes(manifest.FOLDER)))


def _split_address(address: Address) -> tuple[Address, str] | None:
    """Split an address of a suite, model or run into the results folder's address and the path in it; None for other addresses."""
    parts = address.location.split("/")
    for index in range(len(parts) - 1, max(0, len(parts) - 4), -1):
        if "@" in parts[index]:
            root = parts[: index - 1] if parts[index - 1] == manifest.FOLDER and index > 1 else parts[:index]
            return Address(address.scheme, "/".join(root)), "/".join(parts[index:])
    return None


def _report_faults(faults: list[str]) -> None:
    for line in faults[:MAX_LISTED]:
        notice(f"left out: {line}")
    if len(faults) > MAX_LISTED:
        notice(f"left out: {len(faults) - MAX_LISTED} more")


def _update_view(store: RemoteStore, entries: dict[str, list[ManifestEntry]]) -> tuple[Path, list[str]]:
    """Update the view of an address; return its folder and a line for each rejected manifest."""
    address, folder = str(store.address), cache.view_folder(str(store.address))
    cache_keys: dict[str, str] = {}
    faults: list[str] = []
    pending = dict(entries)
    try:
        while pending:
            pending = _store_newest(store, pending, cache_keys, faults)
        folder.mkdir(parents=True, exist_ok=True)
        if cache.display_path(folder) != address:
            disk.replace(folder / cache.ADDRESS_FILE, address.encode())
        _update_links(folder, cache_keys)
    except OSError as error:
        raise StoreError(f"cannot write to {cache.root()}: {error.strerror or error}") from None
    return folder, faults


def _store_newest(
    store: RemoteStore, entries: dict[str, list[ManifestEntry]], cache_keys: dict[str, str], faults: list[str]
) -> dict[str, list[ManifestEntry]]:
    """Store the newest manifest of each run in the cache; return the earlier manifests of runs whose newest one is rejected.

    Adds run folder -> key to `cache_keys`, and to `faults` a line for each rejected manifest.
    """
    folders_by_name: dict[str, str] = {}
    for folder, versions in entries.items():
        key = _cache_key(store.address, versions[0].digest)
        if (cache.root() / "runs" / key / "card.json").exists():
            cache_keys[folder] = key
        elif versions[0].size > manifest.MAX_BYTES:
            faults.append(f"{versions[0].name}: a manifest of {versions[0].size} bytes is too large")
        else:
            folders_by_name[versions[0].name] = folder
    for name, content in store.read_many(
        {name: entries[folder][0].size for name, folder in folders_by_name.items()}
    ):
        folder = folders_by_name[name]
        entry = entries[folder][0]
        try:
            if content is None:
                raise StoreError(f"{name}: it cannot be read")
            cache_keys[folder] = _store_run(store.address, *manifest.decode(content, entry, folder), entry)
        except StoreError as error:
            faults.append(str(error))
    return {
        folder: earlier for folder, (_, *earlier) in entries.items() if folder not in cache_keys and earlier
    }


def _cache_key(address: Address, digest: str) -> str:
    return sha256(f"{address}\n{digest}".encode()).hexdigest()[:40]


def _store_run(address: Address, run_manifest: Manifest, card: Card, entry: ManifestEntry) -> str:
    """Store a run in the cache, with links in place of all files but its card; return its cache key."""
    key = _cache_key(address, entry.digest)
    folder = cache.root() / "runs" / key
    partial = folder.with_name(f".{key}.{uuid4().hex[:8]}")
    partial.mkdir(parents=True)
    times = {name: facts.mtime_ns for name, facts in card.files.items() if 0 < facts.mtime_ns < 1 << 62}
    origin = cache.Origin(str(address), run_manifest.files, times)
    (partial / cache.ORIGIN_FILE).write_bytes(encode(origin))
    for name, file in run_manifest.files.items():
        (partial / name).symlink_to(Path("../../objects") / file.sha256)
    (partial / "card.json").write_bytes(bytes(run_manifest.card))
    modified = card.finished or card.started or time.time()
    os.utime(partial / "card.json", (modified, modified))  # listings are sorted by this time
    try:
        partial.rename(folder)
    except OSError:
        shutil.rmtree(partial)  # another process has stored it
        if not folder.is_dir():
            raise
    return key


def _update_links(folder: Path, cache_keys: dict[str, str]) -> None:
    """Make the links in a view's folder point to the given runs (run folder -> cache key), replacing each link atomically."""
    for path in folder.glob("*@*/*/*"):
        if path.is_symlink() and path.relative_to(folder).as_posix() not in cache_keys:
            path.unlink(missing_ok=True)
    for name, key in cache_keys.items():
        path, target = folder / name, f"../../../../runs/{key}"
        if path.is_symlink() and os.readlink(path) == target:  # noqa: PTH115 - compared as text
            continue
        path.parent.mkdir(parents=True, exist_ok=True)
        partial = path.with_name(f".{uuid4().hex[:12]}")
        partial.symlink_to(target)
        partial.replace(path)
