"""Copy sealed runs to a store elsewhere: objects first, one immutable manifest a run last.

Killed at any point, it leaves objects that no manifest names, which the next time are found there. Two machines that
send the same run write the same bytes under the same names.
"""

from __future__ import annotations

from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from hashlib import sha256
from io import BytesIO
from pathlib import Path
from typing import BinaryIO, NamedTuple

from msgspec import Struct, field

from evals import disk
from evals.errors import StoreError
from evals.records import manifest, store
from evals.records.card import Card, parse
from evals.records.manifest import Head
from evals.remote.address import Address
from evals.remote.cache import StoredFile, object_name
from evals.remote.stores import RemoteStore


class Sent(Struct, frozen=True, kw_only=True):
    """A run that was sent."""

    run: str
    folder: str
    version: int
    """1: new; otherwise the run was there and has changed, for example was scored again."""
    bytes: int
    """Bytes of the objects that were sent; those that were there are not."""


class Synced(Struct, kw_only=True):
    """What `push` did."""

    sent: list[Sent] = field(default_factory=list)
    present: int = 0
    """Runs that were there already."""
    skipped: dict[str, str] = field(default_factory=dict)
    """Runs that are not to be sent, and why."""
    failed: dict[str, str] = field(default_factory=dict)
    """Runs that could not be sent, and why."""


class _Ready(NamedTuple):
    """A sealed run and its manifest."""

    path: Path
    folder: str
    begun: tuple[float, str]
    """Start and model, which no rescoring changes."""
    files: dict[str, StoredFile]
    digest: str
    """Hash of its manifest, which is made again when it is sent: thousands would fill the memory."""
    size: int
    """Bytes of the manifest."""


def push(results: Path, address: Address, *, gated: bool = False) -> Synced:
    """Send the sealed runs of a results folder; `gated`: also those of gated suites, whose records hold the texts.

    Raises StoreError if the store cannot be read; a run that cannot be sent is named in `failed`.
    """
    remote = RemoteStore(address)
    listed = manifest.heads(remote.sizes(manifest.FOLDER))
    synced = Synced()
    ready: list[_Ready] = []
    for run in store.runs(results):
        try:
            sealed = _sealed(run.path, gated=gated)
        except (StoreError, OSError) as error:
            synced.failed[str(run.path)] = str(error)
            continue
        if isinstance(sealed, str):
            synced.skipped[str(run.path)] = sealed
        elif stale := _present(sealed, listed.get(sealed.folder, [])):
            synced.present += 1
            if stale != "newest":
                synced.skipped[str(run.path)] = stale
        else:
            ready.append(sealed)
    _send_all(remote, ready, listed, synced)
    if synced.sent:
        _note_rivals(synced, manifest.heads(remote.sizes(manifest.FOLDER)), ready)
    return synced


def _sealed(path: Path, *, gated: bool) -> _Ready | str:
    """Return a run ready to be sent, or why it is not to be sent. Raises StoreError for a broken one."""
    raw = disk.read_small(path / "card.json")
    card = store.check(path, parse(raw, f"{path}/card.json"))
    if card.status not in manifest.SEALED:
        return f"it is {card.status}; the same `evals run` command completes it"
    lines = path / "records.jsonl"
    if (lines.exists() and lines.stat().st_size) or not all(
        (path / name).exists() for name in manifest.NEEDED
    ):
        return "it is not sealed; the same `evals run` command, or `evals score`, seals it"
    if card.gated and not gated:
        return f"{card.config.suite} is gated, and the records hold its texts; --gated sends them, into a private store alone"
    folder = "/".join(path.resolve().parts[-3:])
    if not manifest.valid_folder(folder) or card.run != path.name:
        return "its folder is not RESULTS/SUITE@VERSION/MODEL/RUN"
    files = {name: _stated(path / name, card) for name in manifest.FILES if (path / name).exists()}
    content = manifest.encode(folder, files, raw)
    begun = (card.started, card.model)
    return _Ready(path, folder, begun, files, sha256(content).hexdigest(), len(content))


def _stated(path: Path, card: Card) -> StoredFile:
    """Return size and hash of a file; those on the card were verified, or its size and time are as stated there."""
    if (own := card.files.get(path.name)) is not None:
        return StoredFile(own.sha256, own.size)
    with disk.open_regular(path) as stream:
        return _measured(stream)


def _measured(stream: BinaryIO) -> StoredFile:
    digest, size = sha256(), 0
    while chunk := stream.read(1 << 20):
        digest.update(chunk)
        size += len(chunk)
    return StoredFile(digest.hexdigest(), size)


def _present(run: _Ready, several: list[Head]) -> str:
    """Return `newest` if this state of a run is what readers take; what else it is if it is there; empty if it is not."""
    whole = [head for head in several if head.digest == run.digest and head.size == run.size]
    if not whole:
        return ""
    return "newest" if whole[0] == several[0] else "a newer version of it is there, and is kept"


def _send_all(
    remote: RemoteStore, ready: Iterable[_Ready], listed: dict[str, list[Head]], synced: Synced
) -> None:
    def attempt(run: _Ready) -> Sent | StoreError:
        try:
            return _send(remote, run, listed.get(run.folder, []))
        except StoreError as error:
            return error
        except OSError as error:
            return StoreError(f"{run.path}: {error.strerror or error}")

    pool = ThreadPoolExecutor(remote.parallel, thread_name_prefix="sync")
    try:
        for run, done in zip(runs := list(ready), pool.map(attempt, runs), strict=True):
            if isinstance(done, Sent):
                synced.sent.append(done)
            else:
                synced.failed[str(run.path)] = str(done)
    finally:
        pool.shutdown(cancel_futures=True)


def _send(remote: RemoteStore, run: _Ready, several: list[Head]) -> Sent:
    """Send a run: what is missing of its objects, then its manifest."""
    if several and (why := _another_run(remote, run, several[0])):
        raise StoreError(why)
    sent = 0
    for name, stated in run.files.items():
        if remote.size(object_name(stated.sha256)) == stated.size:
            continue
        with disk.open_regular(run.path / name) as stream:
            if _measured(stream) != stated:
                raise StoreError(f"{run.path / name}: it changed while it was sent; repeat the command")
            stream.seek(0)
            remote.write(object_name(stated.sha256), stream)
        sent += stated.size
    version = max((head.version for head in several), default=0)
    same = [head.version for head in several if head.digest == run.digest]  # it was written in part
    version = same[0] if same else version + 1
    content = manifest.encode(run.folder, run.files, disk.read_small(run.path / "card.json"))
    if sha256(content).hexdigest() != run.digest:
        raise StoreError(f"{run.path}: it changed while it was sent; repeat the command")
    remote.write(manifest.name(run.folder, version, run.digest), BytesIO(content))
    return Sent(run=run.path.name, folder=run.folder, version=version, bytes=sent)


def _another_run(remote: RemoteStore, run: _Ready, head: Head) -> str:
    """Return why a run must not become a version of the one of its name in the store; empty if it may."""
    if head.size > manifest.MOST_BYTES:
        return f"{head.name}: a manifest of {head.size} bytes"
    ((_, content),) = remote.read_many({head.name: head.size})
    try:
        theirs = manifest.decode(content or b"", head, run.folder)[1]
    except StoreError:  # readers do not take it either
        return ""
    if (theirs.started, theirs.model) == run.begun:
        return ""
    return (
        f"another run of the name {run.folder} is there, which began at another time; rename the folder's run"
    )


def _note_rivals(synced: Synced, listed: dict[str, list[Head]], ready: list[_Ready]) -> None:
    """Name runs of which another machine wrote another state at the same time, which readers take."""
    digests = {run.folder: (run.digest, str(run.path)) for run in ready}
    for sent in synced.sent:
        digest, path = digests[sent.folder]
        several = listed.get(sent.folder, [])
        if several and several[0].digest != digest:
            synced.skipped[path] = (
                "another machine sent another state of it at the same time, which readers take"
            )
