"""The files that an ingest writes: `results/ENTRY.json` for each entry, and `results/index.json`."""

from __future__ import annotations

from hashlib import sha256
from pathlib import Path
from typing import Literal, TypeAlias

import msgspec
from msgspec import Struct, structs

from evals import disk
from evals.board.submission import ModelCard
from evals.errors import UsageError
from evals.records.card import estimate_fault
from evals.types import Estimate, Sampling
from evals.validation import read_struct

FORMAT = 1
FOLDER = "results"
INDEX = "index.json"
LEVELS = "levels.json"
Level: TypeAlias = Literal["recomputed", "challenged", "rerun"]
"""Verification levels of a score, in ascending order (`levels.py`)."""
Status: TypeAlias = Literal["accepted", "held", "refused"]
"""`held`: implausible or unverifiable. An implausible entry is published once `decisions.toml` accepts it."""


class Fingerprint(Struct, frozen=True, kw_only=True):
    """Hashes of a run's replies, to recognise copies; the texts cannot be recovered from them."""

    answers: str = ""
    """SHA-256 of all extracted answers with their values."""
    wrong: int = 0
    """Number of scored replies that are not fully right."""
    long_replies: dict[str, str] = {}
    """Hash of sample and repeat -> hash of the reply's text, for up to `checks.MAX_HASHED_REPLIES` long replies."""


class SuiteResult(Struct, frozen=True, kw_only=True):
    """The scores of one run, recomputed from its replies, and facts from its card."""

    suite: str
    protocol: str
    version: str
    run: str
    bundle_sha256: str = ""
    data_sha256: str
    level: Level = "recomputed"
    """Verification level; always `recomputed` in a stored result, because higher levels are in `results/levels.json`."""
    estimates: tuple[Estimate, ...]
    repeats: int
    expected: int
    """Number of sample-repeats of a complete run."""
    coverage: float
    truncated: int
    counts: dict[str, int]
    tokens: dict[str, int]
    cost_usd: float | None
    sampling: Sampling
    judge: str
    served: str
    """The model as its server named it."""
    started: float
    """Seconds since the epoch, UTC, as the submitter's machine recorded it."""
    errata: str
    promise: str
    """Whether the preregistration was kept: `none`, `kept`, `broken: WHY`."""
    notes: tuple[str, ...] = ()
    """What the verification could not check."""
    fingerprint: Fingerprint = Fingerprint()
    items: int = 0
    """Number of items."""
    items_sha256: str = ""
    """Hash of the ids of the items whose values `items.py` stores; empty if the headline is not a mean over items."""
    macro: bool = False
    """Whether the headline is the unweighted mean over groups."""
    width: float | None = None
    """Largest minus smallest possible value of an item; None if values are unbounded."""

    @property
    def label(self) -> str:
        """Return the suite with its protocol."""
        return f"{self.suite} ({self.protocol})"

    def with_level(self, level: Level) -> SuiteResult:
        """Return the result with this verification level."""
        return structs.replace(self, level=level)

    @property
    def headline(self) -> Estimate | None:
        """Return the headline estimate over the whole suite; None if there is none."""
        return next(
            (estimate for estimate in self.estimates if estimate.headline and not estimate.group), None
        )


class EntryResult(Struct, frozen=True, kw_only=True):
    """The result of one entry."""

    format: int = FORMAT
    board: str
    entry: str
    sequence: int
    """Position in the order of arrival, from 1."""
    file_sha256: str
    policy_sha256: str
    evals: str
    """Version of science-evals that computed the result."""
    status: Status
    reasons: tuple[str, ...] = ()
    """Why the entry is held or refused, one line per reason."""
    model: ModelCard | None = None
    """None if the entry is refused: then nothing in it is published."""
    suites: tuple[SuiteResult, ...] = ()
    content_sha256: str = ""
    """Hash of all other fields."""

    def with_content_hash(self) -> EntryResult:
        """Return the result with `content_sha256` computed."""
        unhashed = structs.replace(self, content_sha256="")
        return structs.replace(unhashed, content_sha256=sha256(msgspec.json.encode(unhashed)).hexdigest())


class Index(Struct, frozen=True, kw_only=True):
    """The content of `results/index.json`."""

    format: int = FORMAT
    board: str
    decisions: int = 0
    """Number of decisions that the last ingest read."""
    decisions_sha256: str = ""
    """Hash of these decisions."""
    entries: dict[str, str] = {}
    """Entry -> `content_sha256` of its result."""


def read_all(folder: Path) -> dict[str, EntryResult]:
    """Return a board's results by entry, in order of arrival; raises UsageError if one was edited."""
    results: list[EntryResult] = []
    for path in sorted((folder / FOLDER).glob("*.json")):
        if path.name in (INDEX, LEVELS):
            continue
        result: EntryResult = read_struct(path, EntryResult)
        if result.format != FORMAT or result.with_content_hash() != result or path.stem != result.entry:
            raise UsageError(
                f"{path} was edited or comes from another version; remove it to have it recomputed"
            )
        estimates = (estimate for suite in result.suites for estimate in suite.estimates)
        if fault := next(filter(None, map(estimate_fault, estimates)), ""):
            raise UsageError(f"{path}: {fault}")
        results.append(result)
    results.sort(key=lambda result: (result.sequence, result.entry))
    return {result.entry: result for result in results}


def read_index(folder: Path, board: str) -> Index:
    """Return a board's index; an empty one if there is none yet."""
    path = folder / FOLDER / INDEX
    index: Index = read_struct(path, Index) if path.exists() else Index(board=board)
    return index


def write(folder: Path, name: str, content: Struct) -> None:
    """Write a file into the results folder; one that already has this content is left untouched."""
    path = folder / FOLDER / name
    document = msgspec.json.format(msgspec.json.encode(content), indent=1) + b"\n"
    path.parent.mkdir(parents=True, exist_ok=True)
    if not path.exists() or path.read_bytes() != document:
        disk.replace(path, document)
