"""A bundle: a run in one zip file. `pack` writes it; `verify.py` rescores it offline.

    bundle.json       format, package versions, and size and SHA-256 of every other file
    card.json         a copy of the card
    samples.jsonl     id, gold answer and options of every sample
    records.jsonl     prompt, reply and scores of every sample and repeat

Bundles of gated suites contain no texts: a sample has no question, and hashes replace its options, the prompts, the replies
and all answers that are longer than a label (`withheld.jsonl` instead of `records.jsonl`). Verification requires the data
set, with whose gold answers it compares the answer letters. The archive's comment is the SHA-256 of all preceding bytes.
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
from evals.data.archive import ARCHIVE_ERRORS
from evals.errors import DataError, UsageError
from evals.plain import one_line
from evals.records import card as cards
from evals.records.card import Card
from evals.records.files import encode, label_or_hash, without_text
from evals.records.store import Run
from evals.types import Failure, Prompt, Record, Reply, Sample, Score

FORMAT = 1
MAX_LINE_BYTES = 256 << 20
"""Maximum length of a line, and of a file read at once."""
SEARCHED_BYTES = 1 << 20
"""Number of bytes at the start and at the end of a file that are searched for the manifest's name."""
MAX_COMPRESSION_RATIO = 1100
"""Deflate compresses at most 1032-fold; an entry that claims clearly more is a zip bomb."""
_ENTRY_TIME = (1980, 1, 1, 0, 0, 0)
_CHECKSUM_LENGTH = len(f"sha256:{'0' * 64}")
FILES = ("card.json", "samples.jsonl", "records.jsonl")
GATED_FILES = ("card.json", "samples.jsonl", "withheld.jsonl")


class FileEntry(Struct, frozen=True, forbid_unknown_fields=True):
    """A file's entry in the manifest."""

    sha256: str
    size: int
    """Uncompressed, in bytes."""


class Manifest(Struct, kw_only=True, forbid_unknown_fields=True):
    """The content of `bundle.json`."""

    bundle: int = FORMAT
    """Version of the format."""
    run: str
    suite: str
    protocol: str
    gated: bool = False
    packages: dict[str, str]
    """Package versions at the time of packing."""
    packed: float
    """Time of packing in seconds since the epoch, UTC."""
    files: dict[str, FileEntry]


class Withheld(Struct, frozen=True, kw_only=True):
    """A record of a gated suite without its texts."""

    record: Record
    prompt_sha256: str
    """SHA-256 of the prompt's messages as JSON."""
    reply_sha256: str
    """SHA-256 of the reply's text; empty if the call failed."""


def pack(run: Run, out: Path) -> Manifest:
    """Write a run as a bundle; raises UsageError if the file exists or cannot be written, or if the run's status is `running`."""
    card = run.card
    if card.status == "running":
        raise UsageError(
            f"run {card.run} is unfinished; repeat its `evals run` command, or run `evals score`, to complete it"
        )
    if out.exists():
        raise UsageError(f"{out} already exists")
    manifest = Manifest(
        run=card.run,
        suite=card.config.suite,
        protocol=card.config.protocol,
        gated=card.gated,
        packages=cards.packages(),
        packed=time.time(),
        files={},
    )
    partial_path = out.with_name(f".{out.name}.part")
    try:
        disk.make_parent(out)
        with (
            os.fdopen(disk.create(partial_path, new=True), "wb") as stream,
            zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED, compresslevel=6) as archive,
        ):
            for name, lines in _contents(run, gated=card.gated):
                manifest.files[name] = _add_file(archive, name, lines)
            _add_file(archive, "bundle.json", [msgspec.json.format(encode(manifest), indent=1)])
            archive.comment = b"0" * _CHECKSUM_LENGTH
        seal(partial_path)
        partial_path.replace(out)
    except OSError as error:
        raise UsageError(f"cannot write {out}: {error.strerror or error}") from None
    finally:
        partial_path.unlink(missing_ok=True)
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


def _add_file(archive: zipfile.ZipFile, name: str, chunks: Iterable[bytes]) -> FileEntry:
    digest, size = sha256(), 0
    entry = zipfile.ZipInfo(name, _ENTRY_TIME)
    entry.compress_type = zipfile.ZIP_DEFLATED
    with archive.open(entry, "w", force_zip64=True) as stream:
        for chunk in chunks:
            stream.write(chunk)
            digest.update(chunk)
            size += len(chunk)
    return FileEntry(digest.hexdigest(), size)


def _compute_checksum(stream: IO[bytes], size: int) -> bytes:
    """Return the hash of an archive of `size` bytes up to its comment, in the form in which the comment states it."""
    digest, remaining = sha256(), size - _CHECKSUM_LENGTH
    while remaining > 0 and (chunk := stream.read(min(remaining, 1 << 20))):
        digest.update(chunk)
        remaining -= len(chunk)
    return f"sha256:{digest.hexdigest()}".encode()


def seal(path: Path) -> None:
    """Write the hash of all preceding bytes into the archive's comment."""
    with path.open("rb+") as stream:
        comment = _compute_checksum(stream, path.stat().st_size)
        stream.seek(-_CHECKSUM_LENGTH, 2)
        stream.write(comment)


def sample_without_texts(sample: Sample) -> Sample:
    """Return a gated sample without question and metadata; options and long gold answers are replaced by their hashes."""
    choices = tuple(f"sha256:{sha256(text.encode()).hexdigest()}" for text in sample.choices)
    return structs.replace(sample, question=(), choices=choices, target=without_text(sample.target), meta={})


def withhold_texts(record: Record) -> Withheld:
    """Return a record without its texts."""
    outcome = record.outcome
    scores: dict[str, Score | Failure] = {}
    for name, score in record.scores.items():
        if isinstance(score, Failure):
            scores[name] = structs.replace(score, message="")
        else:
            answer = score.answer if score.answer is None else label_or_hash(score.answer)
            judgements = tuple(structs.replace(j, text=label_or_hash(j.text)) for j in score.judged)
            scores[name] = structs.replace(score, why="", answer=answer, judged=judgements)
    if isinstance(outcome, Reply):
        reply_hash = sha256(outcome.text.encode()).hexdigest()
        outcome = structs.replace(outcome, text="", reasoning=None)
    else:
        reply_hash, outcome = "", structs.replace(outcome, message="")
    stripped = structs.replace(
        record, prompt=Prompt(order=record.prompt.order), outcome=outcome, scores=scores
    )
    return Withheld(record=stripped, prompt_sha256=prompt_hash(record.prompt), reply_sha256=reply_hash)


def prompt_hash(prompt: Prompt) -> str:
    """Return the SHA-256 of a prompt's messages as JSON."""
    return sha256(encode(prompt.messages)).hexdigest()


UNKNOWN_PROMPT = prompt_hash(Prompt())
"""Hash of an empty prompt, which imported replies may have."""


class Bundle:
    """A bundle opened for reading; nothing is extracted to disk, and the length of its lines is limited."""

    def __init__(self, path: Path, archive: zipfile.ZipFile, manifest: Manifest) -> None:
        self.path = path
        self.manifest = manifest
        self._archive = archive

    def lines(self, name: str, type_: Any) -> Iterator[Any]:
        """Yield the decoded lines of a JSON Lines file; raises DataError."""
        decode = msgspec.json.Decoder(type_).decode
        with self._archive.open(name) as stream:
            lines = iter(lambda: stream.readline(MAX_LINE_BYTES), b"")
            for number, line in enumerate(lines, start=1):
                try:
                    yield decode(line)
                except (msgspec.MsgspecError, ValueError) as error:
                    raise DataError(f"{name}, line {number}: {error}") from None

    def read(self, name: str) -> bytes:
        """Return the contents of a file, up to `MAX_LINE_BYTES`."""
        with self._archive.open(name) as stream:
            return stream.read(MAX_LINE_BYTES)

    def card(self) -> Card:
        """Return the run's card; raises DataError if it is invalid."""
        try:
            return msgspec.json.decode(self.read("card.json"), type=Card)
        except (msgspec.MsgspecError, ValueError) as error:
            raise DataError(f"card.json: {error}") from None

    def faults(self) -> list[str]:
        """Return a message if the checksum is wrong, and one for each file that differs from the manifest."""
        faults = []
        with self.path.open("rb") as stream:
            if _compute_checksum(stream, self.path.stat().st_size) != self._archive.comment:
                faults.append("the archive's checksum does not match its contents")
        required = GATED_FILES if self.manifest.gated else FILES
        names = sorted(self._archive.namelist())
        if names != sorted({*required, "bundle.json"}) or sorted(self.manifest.files) != sorted(required):
            expected = ", ".join(("bundle.json", *required))
            return [*faults, f"it contains {', '.join(map(one_line, names))}; expected: {expected}"]
        return faults + [fault for name in required if (fault := self._fault_of(name))]

    def _fault_of(self, name: str) -> str:
        stated, entry = self.manifest.files[name], self._archive.getinfo(name)
        if entry.file_size != stated.size:
            return f"{name}: {entry.file_size} bytes, but {stated.size} according to the manifest"
        if entry.file_size > MAX_COMPRESSION_RATIO * max(entry.compress_size, 1):
            return f"{name}: claims to expand from {entry.compress_size} to {entry.file_size} bytes"
        digest = sha256()
        with self._archive.open(name) as stream:
            while chunk := stream.read(1 << 20):
                digest.update(chunk)
        return "" if digest.hexdigest() == stated.sha256 else f"{name}: its hash differs from the manifest"


def _check_is_bundle(path: Path) -> None:
    """Raise UsageError if a file is not a bundle; a damaged bundle passes if it still contains the manifest's name."""
    try:
        with disk.open_regular(path) as stream:
            start = stream.read(SEARCHED_BYTES)
            stream.seek(max(0, path.stat().st_size - SEARCHED_BYTES))
            end = stream.read(SEARCHED_BYTES)
    except OSError as error:
        raise UsageError(f"cannot read {path}: {error.strerror}") from None
    if b"bundle.json" not in start + end:
        kind = "a zip without bundle.json" if start.startswith(b"PK") else "not a zip file"
        if start.startswith(b"PK\x03\x04") and b"PK\x05\x06" not in end:
            raise UsageError(f"{path} is incomplete: the end of the zip is missing")
        raise UsageError(f"{path} is not a bundle: {kind}; `evals bundle` creates one")


@contextmanager
def open_bundle(path: Path) -> Iterator[Bundle]:
    """Open a bundle; raises UsageError if the file is not a bundle, DataError if it is damaged."""
    _check_is_bundle(path)
    try:
        with zipfile.ZipFile(path) as archive:
            with archive.open("bundle.json") as stream:
                manifest = msgspec.json.decode(stream.read(1 << 20), type=Manifest)
            if manifest.bundle != FORMAT:
                raise DataError(f"{path}: bundle format {manifest.bundle}; this version reads {FORMAT}")
            yield Bundle(path, archive, manifest)
    except KeyError:
        raise DataError(f"{path}: a zip without bundle.json") from None
    except ARCHIVE_ERRORS as error:
        raise DataError(f"{path}: {error}") from None
