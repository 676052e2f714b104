"""Copy finished runs to a remote store: first the objects, then one immutable manifest per run.

If it is interrupted, objects without a manifest remain, which the next attempt reuses. Two machines that send the same
run write the same bytes under the same names.
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
    """1 for a new run; higher if the run was sent before and has changed, e.g. was rescored."""
    bytes: int
    """Size in bytes of the objects that were sent, without those that were there already."""


class Synced(Struct, kw_only=True):
    """The result of `push`."""

    sent: list[Sent] = field(default_factory=list)
    present: int = 0
    """Number of runs that were there already."""
    skipped: dict[str, str] = field(default_factory=dict)
    """Run -> the reason why it was not sent."""
    failed: dict[str, str] = field(default_factory=dict)
    """Run -> the error with which sending it failed."""


class _Ready(NamedTuple):
    """A finished run and its manifest."""

    path: Path
    folder: str
    origin: tuple[float, str]
    """Start time and model, which rescoring does not change."""
    files: dict[str, StoredFile]
    digest: str
    """Hash of the manifest, which is built again when it is sent, to save memory."""
    size: int
    """Size of the manifest in bytes."""


def push(results: Path, address: Address, *, gated: bool = False) -> Synced:
    """Send the finished runs of a results folder; `gated`: also those of gated suites, whose records contain texts.

    Raises StoreError if the store cannot be read; a run that cannot be sent is named in `failed`.
    """
    remote = RemoteStore(address)
    listed = manifest.heads(remote.sizes(manifest.FOLDER))
    synced = Synced()
    ready: list[_Ready] = []
    for run in store.runs(results):
        try:
            sealed = _prepare(run.path, gated=gated)
        except (StoreError, OSError) as error:
            synced.failed[str(run.path)] = str(error)
            continue
        if isinstance(sealed, str):
            synced.skipped[str(run.path)] = sealed
        elif stale := _remote_state(sealed, listed.get(sealed.folder, [])):
            synced.present += 1
            if stale != "newest":
                synced.skipped[str(run.path)] = stale
        else:
            ready.append(sealed)
    _send_all(remote, ready, listed, synced)
    if synced.sent:
        _note_conflicts(synced, manifest.heads(remote.sizes(manifest.FOLDER)), ready)
    return synced


def _prepare(path: Path, *, gated: bool) -> _Ready | str:
    """Return a run prepared for sending, or the reason why it is not sent; raises StoreError for a broken run."""
    raw = disk.read_small(path / "card.json")
    card = store.check(path, parse(raw, f"{path}/card.json"))
    if card.status not in manifest.SEALED:
        return f"it is {card.status}; the same `evals run` command completes it"
    lines = path / "records.jsonl"
    if (lines.exists() and lines.stat().st_size) or not all(
        (path / name).exists() for name in manifest.REQUIRED
    ):
        return "it is not sealed; the same `evals run` command, or `evals score`, seals it"
    if card.gated and not gated:
        return f"{card.config.suite} is gated, and the records hold its texts; --gated sends them, into a private store alone"
    folder = "/".join(path.resolve().parts[-3:])
    if not manifest.valid_folder(folder) or card.run != path.name:
        return "its folder is not RESULTS/SUITE@VERSION/MODEL/RUN"
    files = {name: _stored_file(path / name, card) for name in manifest.FILES if (path / name).exists()}
    content = manifest.encode(folder, files, raw)
    origin = (card.started, card.model)
    return _Ready(path, folder, origin, files, sha256(content).hexdigest(), len(content))


def _stored_file(path: Path, card: Card) -> StoredFile:
    """Return size and hash of a file, as on the card (which `store.check` has verified) or else measured."""
    if (own := card.files.get(path.name)) is not None:
        return StoredFile(own.sha256, own.size)
    with disk.open_regular(path) as stream:
        return _hash_stream(stream)


def _hash_stream(stream: BinaryIO) -> StoredFile:
    digest, size = sha256(), 0
    while chunk := stream.read(1 << 20):
        digest.update(chunk)
        size += len(chunk)
    return StoredFile(digest.hexdigest(), size)


def _remote_state(run: _Ready, versions: list[Head]) -> str:
    """Return `newest` if the store has this state as the newest one, a remark if it has a newer one, else an empty text."""
    matching = [head for head in versions if head.digest == run.digest and head.size == run.size]
    if not matching:
        return ""
    return "newest" if matching[0] == versions[0] else "the store has a newer version of it, which is kept"


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
        for run, outcome in zip(runs := list(ready), pool.map(attempt, runs), strict=True):
            if isinstance(outcome, Sent):
                synced.sent.append(outcome)
            else:
                synced.failed[str(run.path)] = str(outcome)
    finally:
        pool.shutdown(cancel_futures=True)


def _send(remote: RemoteStore, run: _Ready, versions: list[Head]) -> Sent:
    """Send the missing objects of a run, then its manifest."""
    if versions and (fault := _name_conflict(remote, run, versions[0])):
        raise StoreError(fault)
    sent = 0
    for name, stated in run.files.items():
        if remote.size(object_name(stated.sha256)) == stated.size:
            continue
        with disk.open_regular(run.path / name) as stream:
            if _hash_stream(stream) != stated:
                raise StoreError(f"{run.path / name}: it changed while it was sent; repeat the command")
            stream.seek(0)
            remote.write(object_name(stated.sha256), stream)
        sent += stated.size
    version = max((head.version for head in versions), default=0)
    same_digest = [head.version for head in versions if head.digest == run.digest]  # partly written before
    version = same_digest[0] if same_digest else version + 1
    content = manifest.encode(run.folder, run.files, disk.read_small(run.path / "card.json"))
    if sha256(content).hexdigest() != run.digest:
        raise StoreError(f"{run.path}: it changed while it was sent; repeat the command")
    remote.write(manifest.name(run.folder, version, run.digest), BytesIO(content))
    return Sent(run=run.path.name, folder=run.folder, version=version, bytes=sent)


def _name_conflict(remote: RemoteStore, run: _Ready, head: Head) -> str:
    """Return the reason why a run is not a version of the run with its name in the store; empty if it is one."""
    if head.size > manifest.MAX_BYTES:
        return f"{head.name}: a manifest of {head.size} bytes"
    ((_, content),) = remote.read_many({head.name: head.size})
    try:
        theirs = manifest.decode(content or b"", head, run.folder)[1]
    except StoreError:  # readers refuse it, too
        return ""
    if (theirs.started, theirs.model) == run.origin:
        return ""
    return (
        f"the store has another run named {run.folder}, which began at another time; rename the folder's run"
    )


def _note_conflicts(synced: Synced, listed: dict[str, list[Head]], ready: list[_Ready]) -> None:
    """Note the runs of which another machine sent another state at the same time that takes precedence."""
    digests = {run.folder: (run.digest, str(run.path)) for run in ready}
    for sent in synced.sent:
        digest, path = digests[sent.folder]
        versions = listed.get(sent.folder, [])
        if versions and versions[0].digest != digest:
            synced.skipped[path] = (
                "another machine sent another state of it at the same time, which takes precedence"
            )
