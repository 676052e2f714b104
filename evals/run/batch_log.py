"""The log of a run's batches, `batches.jsonl`: one line before a batch is submitted, and one for each later change of its state."""

from __future__ import annotations

import os
from collections import Counter
from pathlib import Path

import msgspec
from msgspec import Struct

from evals import disk
from evals.errors import StoreError
from evals.records.store import BATCHES

MAX_LOG_BYTES = 1 << 30
"""Size limit of a run's batch log in bytes."""
_encode = msgspec.json.Encoder().encode


class LoggedBatch(Struct):
    """A batch, merged from its lines in `batches.jsonl`."""

    label: str
    at: float
    """Seconds since the epoch, just before submission."""
    samples: list[tuple[str, int, str]]
    """(sample, repeat, request key) of each request."""
    id: str = ""
    never: list[str] = []
    """Ids of batches that were mistaken for this one."""
    left_out: dict[str, str] = {}
    """Request fields that were omitted or renamed because the vendor rejected them; see `BatchEndpoint.left_out`."""
    closed: str = ""
    """`collected`, or why there is nothing to collect; empty while the batch is pending."""
    tokens: dict[str, int] = {}
    """Kind of token -> sum over the batch's replies."""


class LoggedChange(Struct, omit_defaults=True):
    """One line of `batches.jsonl`: new values for the fields of a `LoggedBatch`; an empty field leaves the batch's value unchanged."""

    label: str
    at: float = 0.0
    samples: list[tuple[str, int, str]] = []
    id: str = ""
    never: str = ""
    left_out: dict[str, str] = {}
    closed: str = ""
    tokens: dict[str, int] = {}


def read_batches(run: Path) -> list[LoggedBatch]:
    """Read the batch log of a run; truncated lines are ignored."""
    batches: dict[str, LoggedBatch] = {}
    for line in _read_log(run).splitlines():
        try:
            change = msgspec.json.decode(line, type=LoggedChange)
        except msgspec.MsgspecError:
            continue
        batch = batches.setdefault(change.label, LoggedBatch(change.label, change.at, change.samples))
        batch.id, batch.closed = change.id or batch.id, change.closed or batch.closed
        batch.tokens, batch.left_out = change.tokens or batch.tokens, change.left_out or batch.left_out
        if change.never:
            batch.never, batch.id = [*batch.never, change.never], ""
    return list(batches.values())


def _read_log(run: Path) -> bytes:
    """Return the content of a run's batch log, empty if there is no log; raises StoreError if it is unreadable or too large."""
    try:
        return disk.read_small(run / BATCHES, MAX_LOG_BYTES)
    except FileNotFoundError:
        return b""
    except OSError as error:
        raise StoreError(f"{run / BATCHES}: cannot be read: {error.strerror}") from None


def pending_batches(run: Path) -> list[LoggedBatch]:
    """Return the batches of a run that have not been closed."""
    return [batch for batch in read_batches(run) if not batch.closed]


def batch_tokens(run: Path) -> dict[str, int]:
    """Return the tokens of a run that were billed at batch price, by kind."""
    total = Counter[str]()
    for batch in read_batches(run):
        total.update(batch.tokens)
    return dict(total)


def append(run: Path, change: LoggedChange) -> None:
    """Append a change to a run's batch log, and wait until it is on disk; raises StoreError if writing fails."""
    path = run / BATCHES
    log = _read_log(run)
    separator = b"" if not log or log.endswith(b"\n") else b"\n"
    try:
        with os.fdopen(disk.create(path, append=True), "ab") as stream:
            stream.write(separator + _encode(change) + b"\n")
            stream.flush()
            os.fsync(stream.fileno())
    except OSError as error:
        raise StoreError(f"cannot log a batch in {path}: {error.strerror}") from None
