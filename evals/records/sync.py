"""Copy finished runs to a remote store: first the objects, then one immutable manifest per run.

An interrupted copy leaves objects without a manifest; the next attempt reuses them. Two machines that send the same run write
the same bytes under the same names.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from hashlib import file_digest, sha256
from io import BufferedReader, BytesIO
from pathlib import Path
from typing import NamedTuple

from msgspec import Struct, field

from evals import disk
from evals.errors import StoreError
from evals.records import manifest, store
from evals.records.card import Card, parse
from evals.records.manifest import ManifestEntry
from evals.remote.address import Address
from evals.remote.cache import StoredFile, object_name
from evals.remote.stores import RemoteStore


class SentRun(Struct, frozen=True, kw_only=True):
    """A run that was sent."""

    run: str
    folder: str
    version: int
    """1 for a new run; higher if the run was sent before and has changed since, e.g. because it was rescored."""
    bytes: int
    """Total size of the objects that were sent; objects that the store already contained are not counted."""


class SyncResult(Struct, kw_only=True):
    """The result of `push`."""

    sent: list[SentRun] = field(default_factory=list)
    present: int = 0
    """Number of runs that the store already contained."""
    skipped: dict[str, str] = field(default_factory=dict)
    """Run -> why it was not sent; for a run that was sent, a note that another machine's state takes precedence."""
    failed: dict[str, str] = field(default_factory=dict)
    """Run -> the error that occurred while it was sent."""


class _PreparedRun(NamedTuple):
    """A finished run, with what its manifest will contain."""

    path: Path
    folder: str
    origin: tuple[float, str]
    """Start time and model, which rescoring does not change."""
    files: dict[str, StoredFile]
    digest: str
    """Hash of the manifest; to save memory, the manifest itself is rebuilt when it is sent."""
    size: int
    """Size of the manifest in bytes."""


def push(results: Path, address: Address, *, gated: bool = False) -> SyncResult:
    """Send the finished runs of a results folder; raises StoreError if the store cannot be read.

    `gated`: whether to send runs of gated suites, whose records contain texts of the data set.
    """
    remote = RemoteStore(address)
    entries = manifest.entries(remote.sizes(manifest.FOLDER))
    result = SyncResult()
    ready: list[_PreparedRun] = []
    for run in store.runs(results):
        try:
            prepared = _prepare(run.path, gated=gated)
        except (StoreError, OSError) as error:
            result.failed[str(run.path)] = str(error)
            continue
        if isinstance(prepared, str):
            result.skipped[str(run.path)] = prepared
            continue
        versions = [(entry.digest, entry.size) for entry in entries.get(prepared.folder, [])]
        if (prepared.digest, prepared.size) not in versions:
            ready.append(prepared)
            continue
        result.present += 1
        if (prepared.digest, prepared.size) != versions[0]:
            result.skipped[str(run.path)] = "the store has a newer version, which is kept"
    _send_all(remote, ready, entries, result)
    if result.sent:
        _note_conflicts(result, manifest.entries(remote.sizes(manifest.FOLDER)), ready)
    return result


def _prepare(path: Path, *, gated: bool) -> _PreparedRun | str:
    """Return a run prepared for sending, or the reason why it cannot be sent; raises StoreError for a broken run."""
    raw = disk.read_small(path / "card.json")
    card = store.check(path, parse(raw, f"{path}/card.json"))
    if card.status not in manifest.FINAL_STATUSES:
        return f"it is {card.status}; the same `evals run` command completes it"
    lines = path / "records.jsonl"
    if (lines.exists() and lines.stat().st_size) or not all(
        (path / name).exists() for name in manifest.REQUIRED
    ):
        return "it is not in Parquet yet; the same `evals run` command, or `evals score`, converts it"
    if card.gated and not gated:
        return f"{card.config.suite} is gated, and the records contain its texts; --gated sends them, for private stores only"
    folder = "/".join(path.resolve().parts[-3:])
    if not manifest.is_valid_folder(folder) or card.run != path.name:
        return "its folder is not RESULTS/SUITE@VERSION/MODEL/RUN"
    files = {name: _stored_file(path / name, card) for name in manifest.FILES if (path / name).exists()}
    content = manifest.encode(folder, files, raw)
    origin = (card.started, card.model)
    return _PreparedRun(path, folder, origin, files, sha256(content).hexdigest(), len(content))


def _stored_file(path: Path, card: Card) -> StoredFile:
    """Return the size and hash of a file, from the card if they are on it (`store.check` has verified them), else computed."""
    if (facts := card.files.get(path.name)) is not None:
        return StoredFile(facts.sha256, facts.size)
    with disk.open_regular(path) as stream:
        return _hash_stream(stream)


def _hash_stream(stream: BufferedReader) -> StoredFile:
    digest = file_digest(stream, "sha256").hexdigest()
    return StoredFile(digest, stream.tell())


def _send_all(
    remote: RemoteStore,
    ready: list[_PreparedRun],
    entries: dict[str, list[ManifestEntry]],
    result: SyncResult,
) -> None:
    """Send runs in several threads, and add the outcome of each to `result`."""

    def attempt(run: _PreparedRun) -> SentRun | StoreError:
        try:
            return _send(remote, run, entries.get(run.folder, []))
        except StoreError as error:
            return error
        except OSError as error:
            return StoreError(f"{run.path}: {error.strerror or error}")

    pool = ThreadPoolExecutor(remote.max_threads, thread_name_prefix="sync")
    try:
        for run, outcome in zip(ready, pool.map(attempt, ready), strict=True):
            if isinstance(outcome, SentRun):
                result.sent.append(outcome)
            else:
                result.failed[str(run.path)] = str(outcome)
    finally:
        pool.shutdown(cancel_futures=True)


def _send(remote: RemoteStore, run: _PreparedRun, versions: list[ManifestEntry]) -> SentRun:
    """Send the missing objects of a run, then its manifest."""
    if versions and (fault := _name_conflict(remote, run, versions[0])):
        raise StoreError(fault)
    bytes_sent = 0
    for name, file in run.files.items():
        if remote.size(object_name(file.sha256)) == file.size:
            continue
        with disk.open_regular(run.path / name) as stream:
            if _hash_stream(stream) != file:
                raise StoreError(f"{run.path / name} changed while it was being sent; repeat the command")
            stream.seek(0)
            remote.write(object_name(file.sha256), stream)
        bytes_sent += file.size
    new_version = versions[0].version + 1 if versions else 1
    # a manifest with this digest was truncated: it is written again
    version = next((entry.version for entry in versions if entry.digest == run.digest), new_version)
    content = manifest.encode(run.folder, run.files, disk.read_small(run.path / "card.json"))
    if sha256(content).hexdigest() != run.digest:
        raise StoreError(f"{run.path} changed while it was being sent; repeat the command")
    remote.write(manifest.name(run.folder, version, run.digest), BytesIO(content))
    return SentRun(run=run.path.name, folder=run.folder, version=version, bytes=bytes_sent)


def _name_conflict(remote: RemoteStore, run: _PreparedRun, entry: ManifestEntry) -> str:
    """Return why a run cannot be a new version of the run of the same name in the store; empty if it can."""
    if entry.size > manifest.MAX_BYTES:
        return f"{entry.name}: a manifest of {entry.size} bytes is too large"
    ((_, content),) = remote.read_many({entry.name: entry.size})
    try:
        remote_card = manifest.decode(content or b"", entry, run.folder)[1]
    except StoreError:  # readers reject it as well
        return ""
    if (remote_card.started, remote_card.model) == run.origin:
        return ""
    return f"the store has a different run named {run.folder} (with another start time or model); rename this run"


def _note_conflicts(
    result: SyncResult, entries: dict[str, list[ManifestEntry]], ready: list[_PreparedRun]
) -> None:
    """Note each run that another machine has sent in a different state at the same time, if that state takes precedence."""
    digests = {run.folder: (run.digest, str(run.path)) for run in ready}
    for sent in result.sent:
        digest, path = digests[sent.folder]
        versions = entries.get(sent.folder, [])
        if versions and versions[0].digest != digest:
            result.skipped[path] = (
                "at the same time, another machine sent a different state, which takes precedence"
            )
