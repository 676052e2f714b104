"""Manifests: what a sealed run consists of in a store elsewhere. Readers trust manifests alone.

    objects/<2 digits>/<sha256>                                     files of runs, by their hash
    runs/<suite>@<version>/<model>/<run>/<version>-<sha256>.json    manifests, never changed; the greatest version is read

A manifest is named by its own hash, holds the card, and states size and hash of every other file. A run that was scored
again becomes a further version; the earlier ones stay.
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
NEEDED = ("records.parquet", "samples.parquet")
FILES = (*NEEDED, "theirs.jsonl", "unmatched.txt")
"""Files of a run that are stored, besides its card."""
SEALED = ("finished", "partial")
"""States of a run that has ended: all outcomes are there, or some are missing for good."""
MOST_BYTES = disk.MAX_SMALL_FILE
"""Maximum size of a manifest."""
_NAME = re.compile(rf"{FOLDER}/([^/]+/[^/]+/[^/]+)/(\d{{1,9}})-([0-9a-f]{{64}})\.json")
_DIGEST = re.compile(r"[0-9a-f]{64}")


class Manifest(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The manifest of one state of a run."""

    manifest: int = FORMAT
    folder: str
    """`<suite>@<version>/<model>/<run>`, as in a results folder."""
    files: dict[str, StoredFile]
    card: msgspec.Raw
    """card.json, byte by byte."""


class Head(NamedTuple):
    """A manifest as a listing shows it; the greatest of a run is read."""

    version: int
    digest: str
    name: str
    size: int


def name(folder: str, version: int, digest: str) -> str:
    """Return the name of a manifest in a store."""
    return f"{FOLDER}/{folder}/{version:04d}-{digest}.json"


def heads(sizes: dict[str, int]) -> dict[str, list[Head]]:
    """Return the manifests of each run's folder among the names of a store, the newest first; other names are ignored."""
    listed: dict[str, list[Head]] = {}
    for path, size in sizes.items():
        if (match := _NAME.fullmatch(path)) and valid_folder(match[1]):
            listed.setdefault(match[1], []).append(Head(int(match[2]), match[3], path, size))
    return {folder: sorted(several, reverse=True) for folder, several in sorted(listed.items())}


def valid_folder(folder: str) -> bool:
    """Return whether a folder of a run is three plain names, none of which leaves the folder above or is hidden.

    >>> valid_folder("gpqa@1/model/week1"), valid_folder("gpqa@1/../week1")
    (True, False)
    """
    parts = folder.split("/")
    return len(parts) == 3 and "@" in parts[0] and all(map(_is_plain, parts))


def _is_plain(part: str) -> bool:
    letters = all(c.isalnum() or c in " -_.,+=@~()" for c in part)
    return letters and not disk.is_noise(part) and 0 < len(part.encode()) <= 200


def encode(folder: str, files: dict[str, StoredFile], card: bytes) -> bytes:
    """Return the bytes of a manifest; the same run always has the same."""
    manifest = Manifest(folder=folder, files=dict(sorted(files.items())), card=msgspec.Raw(card))
    return msgspec.json.encode(manifest)


class _Version(Struct):
    manifest: int = 0


def decode(content: bytes, head: Head, folder: str) -> tuple[Manifest, Card]:
    """Return a manifest and its card; raises StoreError for one that is damaged or states what cannot be."""
    if sha256(content).hexdigest() != head.digest:
        raise StoreError(f"{head.name}: its bytes are not those of its name")
    try:
        version = msgspec.json.decode(content, type=_Version).manifest
        if version != FORMAT:
            raise StoreError(f"{head.name}: a manifest of format {version}; this version reads {FORMAT}")
        manifest = msgspec.json.decode(content, type=Manifest)
    except (msgspec.MsgspecError, ValueError, RecursionError) as error:
        raise StoreError(f"{head.name}: {cause(error)}") from None
    card = cards.parse(bytes(manifest.card), head.name)
    if fault := _fault(manifest, card, folder):
        raise StoreError(f"{head.name}: {fault}")
    return manifest, card


def _fault(manifest: Manifest, card: Card, folder: str) -> str:
    """Return what a manifest states that cannot be; empty if nothing."""
    if manifest.folder != folder:
        return "it is the manifest of another run's folder"
    if card.run != folder.rpartition("/")[2]:
        return f"its card is that of run {card.run[:100]!r}"
    if card.status not in SEALED:
        return f"its run is not sealed, but {card.status}"
    if unknown := sorted(set(manifest.files) - set(FILES)):
        return f"a run has no file {unknown[0][:100]!r}"
    if lacking := sorted(set(NEEDED) - set(manifest.files)):
        return f"it states no {lacking[0]}"
    return _false_file(manifest.files, card)


def _false_file(files: dict[str, StoredFile], card: Card) -> str:
    for path, stated in files.items():
        if not _DIGEST.fullmatch(stated.sha256) or not 0 <= stated.size <= MAX_UNCOMPRESSED_BYTES:
            return f"the size or the hash of {path} is impossible"
        own = card.files.get(path)
        if own is not None and (own.sha256, own.size) != (stated.sha256, stated.size):
            return f"{path} is not the file that its card states"
    return ""
