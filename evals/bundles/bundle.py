"""A bundle: a run in one zip file. `pack` writes it; `verify.py` scores all of it again, offline.

    bundle.json       format, environment, and size and SHA-256 of every file
    card.json         a copy of the card
    samples.jsonl     the gold side of every expected sample
    records.jsonl     prompt, reply and scores of every sample and repeat

Bundles of gated suites hold no texts: of a sample the id, group and hashed options, of a reply the hash, stop reason and
answer letter (`withheld.jsonl` in place of the records). They are verified by the letters, and only together with the
data set. The archive's comment is the SHA-256 of all bytes before it.
"""

from __future__ import annotations

import os
import time
import zipfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from hashlib import sha256
from pathlib import Path
from typing import IO, Any

import msgspec
from msgspec import Struct, structs

from evals import disk
from evals.data.archive import UNREADABLE
from evals.errors import DataError, UsageError
from evals.records import card as cards
from evals.records.card import Card
from evals.records.files import encode, label_or_hash, without_text
from evals.records.store import Run
from evals.types import Failure, Prompt, Record, Reply, Sample, Score

FORMAT = 1
MAX_LINE_BYTES = 256 << 20
"""Maximum size in bytes of one record, unpacked."""
EDGE_BYTES = 1 << 20
"""Number of bytes at a file's start and end in which a bundle names its manifest."""
MAX_COMPRESSION = 1100
"""Deflate compresses at most 1032 times; an entry that claims more is a zip bomb."""
_EPOCH = (1980, 1, 1, 0, 0, 0)
_CHECKSUM = len(f"sha256:{'0' * 64}")
FILES = ("card.json", "samples.jsonl", "records.jsonl")
GATED = ("card.json", "samples.jsonl", "withheld.jsonl")


class File(Struct, frozen=True, forbid_unknown_fields=True):
    """A file's entry in the manifest."""

    sha256: str
    size: int
    """Bytes, unpacked."""


class Manifest(Struct, kw_only=True, forbid_unknown_fields=True):
    """`bundle.json`."""

    bundle: int = FORMAT
    run: str
    suite: str
    protocol: str
    gated: bool = False
    packages: dict[str, str]
    """Package versions at packing."""
    packed: float
    """Time of packing in seconds since the epoch, UTC."""
    files: dict[str, File]


class Withheld(Struct, frozen=True, kw_only=True):
    """A record of a gated suite without its texts."""

    record: Record
    prompt_sha256: str
    """SHA-256 of the messages as JSON."""
    reply_sha256: str
    """SHA-256 of the answer's text; empty if the call failed."""


def pack(run: Run, out: Path) -> Manifest:
    """Write a run as a bundle; raises UsageError if the file exists or the run has not ended."""
    card = run.card
    if card.status == "running":
        raise UsageError(
            f"run {card.run} has not ended; the same `evals run` command, or `evals score`, completes it"
        )
    if out.exists():
        raise UsageError(f"{out} is there already")
    manifest = Manifest(
        run=card.run,
        suite=card.config.suite,
        protocol=card.config.protocol,
        gated=card.gated,
        packages=cards.packages(),
        packed=time.time(),
        files={},
    )
    partial = out.with_name(f".{out.name}.part")
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        with (
            os.fdopen(disk.create(partial, new=True), "wb") as stream,
            zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED, compresslevel=6) as archive,
        ):
            for name, lines in _contents(run, gated=card.gated):
                manifest.files[name] = _add(archive, name, lines)
            _add(archive, "bundle.json", [msgspec.json.format(encode(manifest), indent=1)])
            archive.comment = b"0" * _CHECKSUM
        seal(partial)
        partial.replace(out)
    except OSError as error:
        raise UsageError(f"cannot write {out}: {error.strerror or error}") from None
    finally:
        partial.unlink(missing_ok=True)
    return manifest


def _contents(run: Run, *, gated: bool) -> Iterator[tuple[str, Iterable[bytes]]]:
    yield "card.json", [disk.read_small(run.path / "card.json")]
    samples, records = run.samples(), run.records()
    if gated:
        yield "samples.jsonl", (encode(sample_without_texts(sample)) + b"\n" for sample in samples)
        yield "withheld.jsonl", (encode(withhold_texts(record)) + b"\n" for record in records)
    else:
        yield "samples.jsonl", (encode(sample) + b"\n" for sample in samples)
        yield "records.jsonl", (encode(record) + b"\n" for record in records)


def _add(archive: zipfile.ZipFile, name: str, chunks: Iterable[bytes]) -> File:
    digest, size = sha256(), 0
    entry = zipfile.ZipInfo(name, _EPOCH)
    entry.compress_type = zipfile.ZIP_DEFLATED
    with archive.open(entry, "w", force_zip64=True) as stream:
        for chunk in chunks:
            stream.write(chunk)
            digest.update(chunk)
            size += len(chunk)
    return File(digest.hexdigest(), size)


def _checksum(stream: IO[bytes], size: int) -> bytes:
    digest, left = sha256(), size - _CHECKSUM
    while left > 0 and (chunk := stream.read(min(left, 1 << 20))):
        digest.update(chunk)
        left -= len(chunk)
    return f"sha256:{digest.hexdigest()}".encode()


def seal(path: Path) -> None:
    """Write the hash of all preceding bytes into the archive's comment."""
    with path.open("rb+") as stream:
        comment = _checksum(stream, path.stat().st_size)
        stream.seek(-_CHECKSUM, 2)
        stream.write(comment)


def sample_without_texts(sample: Sample) -> Sample:
    """Return a gated sample with id, group, answer letter and hashed options only."""
    hashed = tuple(f"sha256:{sha256(text.encode()).hexdigest()}" for text in sample.choices)
    return structs.replace(sample, question=(), choices=hashed, target=without_text(sample.target), meta={})


def withhold_texts(record: Record) -> Withheld:
    """Return a record without its texts."""
    outcome = record.outcome
    scores: dict[str, Score | Failure] = {}
    for name, score in record.scores.items():
        if isinstance(score, Failure):
            scores[name] = structs.replace(score, message="")
        else:
            answer = score.answer if score.answer is None else label_or_hash(score.answer)
            judged = tuple(structs.replace(j, text=label_or_hash(j.text)) for j in score.judged)
            scores[name] = structs.replace(score, why="", answer=answer, judged=judged)
    if isinstance(outcome, Reply):
        text = sha256(outcome.text.encode()).hexdigest()
        outcome = structs.replace(outcome, text="", reasoning=None)
    else:
        text, outcome = "", structs.replace(outcome, message="")
    bare = structs.replace(record, prompt=Prompt(order=record.prompt.order), outcome=outcome, scores=scores)
    return Withheld(record=bare, prompt_sha256=prompt_hash(record.prompt), reply_sha256=text)


def prompt_hash(prompt: Prompt) -> str:
    """Hash the messages of a prompt."""
    return sha256(encode(prompt.messages)).hexdigest()


UNKNOWN_PROMPT = prompt_hash(Prompt())
"""Hash of the unknown prompt of an imported reply."""


class Bundle:
    """A bundle opened for reading; nothing is extracted, and the length of lines is bounded."""

    def __init__(self, path: Path, archive: zipfile.ZipFile, manifest: Manifest) -> None:
        self.path = path
        self.manifest = manifest
        self._archive = archive

    def lines(self, name: str, kind: Any) -> Iterator[Any]:
        """Decode a file of JSON lines, one at a time; raises DataError."""
        decode = msgspec.json.Decoder(kind).decode
        with self._archive.open(name) as stream:
            number = 0
            while line := stream.readline(MAX_LINE_BYTES):
                number += 1
                try:
                    yield decode(line)
                except (msgspec.MsgspecError, ValueError) as error:
                    raise DataError(f"{name}, line {number}: {error}") from None

    def read(self, name: str) -> bytes:
        """Read a small file whole."""
        with self._archive.open(name) as stream:
            return stream.read(MAX_LINE_BYTES)

    def card(self) -> Card:
        """Return the run's card; raises DataError if it is invalid."""
        try:
            return msgspec.json.decode(self.read("card.json"), type=Card)
        except (msgspec.MsgspecError, ValueError) as error:
            raise DataError(f"card.json: {error}") from None

    def faults(self) -> list[str]:
        """Return the files that differ from the manifest, and whether the archive's checksum is wrong."""
        faults = []
        with self.path.open("rb") as stream:
            if _checksum(stream, self.path.stat().st_size) != self._archive.comment:
                faults.append("the archive's bytes are not those that were packed")
        wanted = GATED if self.manifest.gated else FILES
        names = self._archive.namelist()
        if sorted(names) != sorted({*wanted, "bundle.json"}) or sorted(self.manifest.files) != sorted(wanted):
            return [
                *faults,
                f"it holds {', '.join(sorted(names))}; expected are bundle.json, {', '.join(wanted)}",
            ]
        return faults + [fault for name in wanted if (fault := self._fault(name))]

    def _fault(self, name: str) -> str:
        stated, entry = self.manifest.files[name], self._archive.getinfo(name)
        if entry.file_size != stated.size:
            return f"{name}: {entry.file_size} bytes, the manifest says {stated.size}"
        if entry.file_size > MAX_COMPRESSION * max(entry.compress_size, 1):
            return f"{name}: claims {entry.file_size} bytes of {entry.compress_size} packed ones"
        digest = sha256()
        with self._archive.open(name) as stream:
            while chunk := stream.read(1 << 20):
                digest.update(chunk)
        return "" if digest.hexdigest() == stated.sha256 else f"{name}: its hash is not the manifest's"


def _check_is_bundle(path: Path) -> None:
    """Raise UsageError for a file that is not a bundle; a broken bundle, which still names its manifest, passes."""
    try:
        with disk.open_regular(path) as stream:
            start = stream.read(EDGE_BYTES)
            stream.seek(max(0, path.stat().st_size - EDGE_BYTES))
            end = stream.read(EDGE_BYTES)
    except OSError as error:
        raise UsageError(f"{path} cannot be read: {error.strerror}") from None
    if b"bundle.json" not in start + end:
        kind = "a zip without bundle.json" if start.startswith(b"PK") else "not a zip file"
        raise UsageError(f"{path} is not a bundle: {kind}; `evals bundle` makes one")


@contextmanager
def open_bundle(path: Path) -> Iterator[Bundle]:
    """Open a bundle; raises UsageError if the file is not a bundle, DataError if it is a broken one."""
    try:
        exists = path.is_file()
    except OSError as error:  # the name is too long
        raise UsageError(f"cannot read {path}: {error.strerror}") from None
    if not exists:
        raise UsageError(f"{path} does not exist")
    _check_is_bundle(path)
    try:
        with zipfile.ZipFile(path) as archive:
            entry = archive.getinfo("bundle.json")
            with archive.open(entry) as stream:
                raw = stream.read(1 << 20)
            manifest = msgspec.json.decode(raw, type=Manifest)
            if manifest.bundle != FORMAT:
                raise DataError(f"{path}: a bundle of format {manifest.bundle}; this version reads {FORMAT}")
            yield Bundle(path, archive, manifest)
    except KeyError:
        raise DataError(f"{path}: a zip without bundle.json") from None
    except UNREADABLE as error:
        raise DataError(f"{path}: {error}") from None
