"""Manifests, which list the files of a finished run in a remote store. Readers trust only manifests.

    objects/<2 digits>/<sha256>                                     files of runs, by their hash
    runs/<suite>@<version>/<model>/<run>/<version>-<sha256>.json    immutable manifests; the highest version is read

The name of a manifest contains the manifest's hash; the manifest contains the card, and the size and hash of every other file.
A rescored run becomes a new version; earlier versions are kept.
"""

from __future__ import annotations

import re
from hashlib import sha256
from typing import NamedTuple

import msgspec
from msgspec import Struct

from evals import disk
from evals.data.parquet import MAX_UNCOMPRESSED_BYTES
from evals.errors import StoreError
from evals.records import card as cards
from evals.records.card import Card
from evals.remote.cache import StoredFile
from evals.validation import cause

FORMAT = 1
FOLDER = "runs"
REQUIRED = ("records.parquet", "samples.parquet")
FILES = (*REQUIRED, "theirs.jsonl", "unmatched.txt")
"""Files of a run that are copied to the store, besides its card; the last two exist only in imported runs."""
FINAL_STATUSES = ("finished", "partial")
"""Statuses of a run that has ended without an interrupt: all outcomes are scored (`finished`), or some are not (`partial`)."""
MAX_BYTES = disk.MAX_SMALL_FILE
"""Maximum size of a manifest."""
_MANIFEST_NAME = re.compile(rf"{FOLDER}/([^/]+/[^/]+/[^/]+)/(\d{{1,9}})-([0-9a-f]{{64}})\.json")
_SHA256 = re.compile(r"[0-9a-f]{64}")


class Manifest(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The manifest of one state of a run."""

    manifest: int = FORMAT
    folder: str
    """`<suite>@<version>/<model>/<run>`, as in a results folder."""
    files: dict[str, StoredFile]
    card: msgspec.Raw
    """The bytes of card.json."""


class ManifestEntry(NamedTuple):
    """A manifest in a listing of a store."""

    version: int
    digest: str
    name: str
    size: int


def name(folder: str, version: int, digest: str) -> str:
    """Return the name of a manifest in a store."""
    return f"{FOLDER}/{folder}/{version:04d}-{digest}.json"


def entries(sizes: dict[str, int]) -> dict[str, list[ManifestEntry]]:
    """Return the manifests of each run folder, the newest first; `sizes`: a listing of a store, in which other files are ignored."""
    by_folder: dict[str, list[ManifestEntry]] = {}
    for path, size in sizes.items():
        if (match := _MANIFEST_NAME.fullmatch(path)) and is_valid_folder(match[1]):
            by_folder.setdefault(match[1], []).append(ManifestEntry(int(match[2]), match[3], path, size))
    return {folder: sorted(versions, reverse=True) for folder, versions in sorted(by_folder.items())}


def is_valid_folder(folder: str) -> bool:
    """Return whether a path in a manifest can be a run's folder: three names, none of them `..` or hidden.

    >>> is_valid_folder("gpqa@1/model/week1"), is_valid_folder("gpqa@1/../week1")
    (True, False)
    """
    parts = folder.split("/")
    return len(parts) == 3 and "@" in parts[0] and all(map(_is_plain_name, parts))


def _is_plain_name(text: str) -> bool:
    has_allowed_characters = all(c.isalnum() or c in " -_.,+=@~()" for c in text)
    return has_allowed_characters and not disk.is_ignored(text) and 0 < len(text.encode()) <= 200


def encode(folder: str, files: dict[str, StoredFile], card: bytes) -> bytes:
    """Encode a manifest; the same run always yields the same bytes."""
    manifest = Manifest(folder=folder, files=dict(sorted(files.items())), card=msgspec.Raw(card))
    return msgspec.json.encode(manifest)


class _Version(Struct):
    """The part of a manifest that is decoded first, since other formats may have other fields."""

    manifest: int = 0


def decode(content: bytes, entry: ManifestEntry, folder: str) -> tuple[Manifest, Card]:
    """Decode a manifest and its card; raises StoreError if they are damaged, or do not belong to this run's folder."""
    if sha256(content).hexdigest() != entry.digest:
        raise StoreError(f"{entry.name}: its content does not match the hash in its name")
    try:
        version = msgspec.json.decode(content, type=_Version).manifest
        if version != FORMAT:
            raise StoreError(
                f"{entry.name}: a manifest of format {version}; this version reads format {FORMAT}"
            )
        manifest = msgspec.json.decode(content, type=Manifest)
    except (msgspec.MsgspecError, ValueError, RecursionError) as error:
        raise StoreError(f"{entry.name}: {cause(error)}") from None
    card = cards.parse(bytes(manifest.card), entry.name)
    if fault := _fault(manifest, card, folder):
        raise StoreError(f"{entry.name}: {fault}")
    return manifest, card


def _fault(manifest: Manifest, card: Card, folder: str) -> str:
    """Return the first inconsistency of a manifest; empty if there is none."""
    if manifest.folder != folder:
        return "it is the manifest of another run's folder"
    if card.run != folder.rpartition("/")[2]:
        return f"its card belongs to run {card.run[:100]!r}"
    if card.status not in FINAL_STATUSES:
        return f"its run is {card.status}, not finished"
    if unknown := sorted(set(manifest.files) - set(FILES)):
        return f"{unknown[0][:100]!r} is not a file of a run"
    if missing := sorted(set(REQUIRED) - set(manifest.files)):
        return f"it lists no {missing[0]}"
    return _file_fault(manifest.files, card)


def _file_fault(files: dict[str, StoredFile], card: Card) -> str:
    for path, stated in files.items():
        if not _SHA256.fullmatch(stated.sha256) or not 0 <= stated.size <= MAX_UNCOMPRESSED_BYTES:
            return f"the size or hash of {path} is invalid"
        on_card = card.files.get(path)
        if on_card is not None and (on_card.sha256, on_card.size) != (stated.sha256, stated.size):
            return f"{path} is not the file described on its card"
    return ""
