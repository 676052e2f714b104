"""Write a run to its folder."""

from __future__ import annotations

import errno
import fcntl
import os
import re
import time
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any

from msgspec import structs

from evals import disk
from evals.errors import StoreError
from evals.records.card import Card
from evals.records.files import check_files, encode, file_facts, snapshot
from evals.records.mirror import writable_folder
from evals.records.parquet import convert
from evals.records.store import BATCHES, check_presence, read_card, write_card
from evals.types import Record, Sample

_TEMPORARY_NAME = re.compile(
    r"\.(card\.json|samples\.jsonl|records\.jsonl|records\.parquet|samples\.parquet)(\.\d+)?"
)
"""The name of a temporary file, which an interrupted write may leave behind."""
MAX_BUFFERED_BYTES = 1 << 20
"""Number of buffered bytes above which `add` flushes the buffer."""


class Writer:
    """A run on disk, opened for appending by one process at a time."""

    def __init__(self, path: Path, card: Card) -> None:
        self.path = writable_folder(path)
        self.card = card
        self.warnings: list[str] = []
        try:
            path.mkdir(parents=True, exist_ok=True)
            self._lock = os.fdopen(disk.create(path / "lock"), "w")
        except OSError as error:
            raise StoreError(f"cannot write to {path}: {error.strerror}") from error
        if not self._acquire_lock():
            self._lock.close()
            raise StoreError(f"run {card.run} is being written by another process ({path})")
        with ExitStack() as undo:
            undo.callback(self._release)
            with _writing(path):
                self._check_files()
                self._remove_temporary_files()
                self._fd = _open_lines(path)
                self._drop_truncated_line()
            undo.pop_all()
        self._is_card_current = self._has_current_card()
        self._last_sync_s = time.monotonic()
        self._has_unsynced_records = False
        self._buffer = bytearray()

    def _acquire_lock(self) -> bool:
        """Acquire the lock and return whether that succeeded; a lock on a file that was removed in the meantime does not count."""
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return os.path.samestat(os.fstat(self._lock.fileno()), (self.path / "lock").stat())
        except (BlockingIOError, FileNotFoundError):
            return False

    def _check_files(self) -> None:
        """Raise StoreError if files of an existing run are missing or do not match its card, as in an incomplete copy."""
        if (self.path / "card.json").exists():
            for name in ("samples", "records"):
                with snapshot(self.path, name) as files:
                    check_presence(files)
            check_files(self.path, read_card(self.path))

    def _remove_temporary_files(self) -> None:
        """Remove the temporary files that a killed process left behind; other hidden files are kept."""
        for path in self.path.glob(".*"):
            if _TEMPORARY_NAME.fullmatch(path.name) and not path.is_dir():
                path.unlink()

    def _has_current_card(self) -> bool:
        """Return whether the numbers on the stored card were computed from the current records."""
        return (self.path / "card.json").exists() and read_card(self.path).status != "running"

    def _mark_running(self) -> None:
        """Mark the card as running before records change, so that a crash leaves no card with outdated numbers.

        Readers compute the numbers of a running run from its records.
        """
        if self._is_card_current:
            self._is_card_current = False
            write_card(self.path, structs.replace(self.card, status="running", files={}))

    def _close_lines(self) -> None:
        if self._fd >= 0:
            os.close(self._fd)
        self._fd = -1

    def _release(self) -> None:
        """Remove the lock file, then release the lock: in the other order, the file could belong to another process."""
        (self.path / "lock").unlink(missing_ok=True)
        self._lock.close()

    def _drop_truncated_line(self) -> None:
        path = self.path / "records.jsonl"
        if not path.stat().st_size:
            return
        with path.open("rb+") as stream:
            end = _end_of_last_line(stream)
            if end < path.stat().st_size:
                stream.truncate(end)
                self.warnings.append(f"{path}: dropped a truncated last line")

    def write_samples(self, samples: Iterable[Sample], *, questions: bool = False) -> None:
        """Write the expected samples without their questions, once, before the first call.

        `questions`: whether to keep the questions, for runs whose prompts are unknown; never for gated suites.
        """
        if (self.path / "samples.jsonl").exists() or (self.path / "samples.parquet").exists():
            return
        stored = (sample if questions else structs.replace(sample, question=()) for sample in samples)
        self._write_temporary("samples.jsonl", stored).replace(self.path / "samples.jsonl")

    def _write_temporary(self, name: str, items: Iterable[Sample | Record]) -> Path:
        """Write items as JSON lines to a temporary file, and return its path."""
        temporary = self.path / f".{name}"
        with _writing(self.path), os.fdopen(disk.create(temporary, new=True), "wb", 1 << 20) as stream:
            for item in items:
                stream.write(encode(item) + b"\n")
            stream.flush()
            os.fsync(stream.fileno())
        return temporary

    def append(self, record: Record) -> None:
        """Write a record immediately; raises StoreError if that fails, e.g. on a full disk."""
        self.add(record)
        self.flush()

    def add(self, record: Record) -> None:
        """Buffer a record for the next `flush`; raises StoreError like `append`."""
        self._buffer += encode(record)
        self._buffer += b"\n"
        if len(self._buffer) > MAX_BUFFERED_BYTES:
            self.flush()

    def flush(self) -> None:
        """Write the buffered records with one system call; raises StoreError if that fails, e.g. on a full disk."""
        lines, self._buffer = self._buffer, bytearray()
        with _writing(self.path):
            self._mark_running()
            if self._fd < 0:  # after conversion to Parquet
                self._fd = _open_lines(self.path)
            written = os.write(self._fd, lines)
            if written != len(lines):  # remove the partial line, or a later record would be appended to it
                complete_bytes = lines.rfind(b"\n", 0, written) + 1
                os.ftruncate(self._fd, os.fstat(self._fd).st_size - (written - complete_bytes))
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        self._has_unsynced_records = True

    def replace(self, records: Iterable[Record]) -> None:
        """Replace all records of the run atomically."""
        temporary = self._write_temporary("records.jsonl", records)
        with _writing(self.path):
            self._mark_running()
        self._close_lines()
        temporary.replace(self.path / "records.jsonl")
        (self.path / "records.parquet").unlink(missing_ok=True)
        disk.sync_folder(self.path)
        self._fd = _open_lines(self.path)

    @property
    def needs_sync(self) -> bool:
        """Return whether there are unsynced records, and the last fsync was at least a second ago."""
        return self._has_unsynced_records and time.monotonic() - self._last_sync_s >= 1.0

    def sync(self) -> None:
        """Force appended records to the disk; blocks, so do not call it in the event loop."""
        self._has_unsynced_records = False
        if self._fd < 0:
            return
        with _writing(self.path):
            os.fsync(self._fd)
        self._last_sync_s = time.monotonic()

    def write_card(self) -> None:
        """Write the current card."""
        with _writing(self.path):
            write_card(self.path, self.card)
        self._is_card_current = self.card.status != "running"

    def finalize(self) -> None:
        """Convert samples and records to Parquet and remove the JSON lines; safe to interrupt at any point."""
        self.sync()
        with _writing(self.path):
            lines = self.path / "records.jsonl"
            if lines.exists() and lines.stat().st_size:
                self._mark_running()
            convert(self.path)
        self._close_lines()
        self.card.files = file_facts(self.path)

    def close(self) -> None:
        """Release the lock; remove the run's folder if it has neither records nor batches."""
        self._close_lines()
        # while the lock is held, since afterwards another process may write records
        records = self.path / "records.jsonl"
        is_empty = records.exists() and not records.stat().st_size
        if is_empty:
            records.unlink()
            is_empty = not any((self.path / name).exists() for name in ("records.parquet", BATCHES))
        for name in ("samples.jsonl", "card.json") if is_empty else ():
            (self.path / name).unlink(missing_ok=True)
        self._release()
        # a folder is kept if it contains another run, which may have started after the release
        with suppress(OSError):
            for folder in (self.path, self.path.parent, self.path.parent.parent) if is_empty else ():
                folder.rmdir()


@contextmanager
def _writing(path: Path) -> Iterator[None]:
    """Re-raise OSError (full disk, no permission) as StoreError with a one-line message."""
    try:
        yield
    except OSError as error:
        raise StoreError(f"cannot write to {path}: {error.strerror or error}") from error


def _open_lines(path: Path) -> int:
    return disk.create(path / "records.jsonl", append=True)


def _end_of_last_line(stream: Any) -> int:
    """Return the offset just after the last newline; 0 if there is none."""
    position = stream.seek(0, os.SEEK_END)
    while position > 0:
        start = max(0, position - (1 << 16))
        stream.seek(start)
        newline = stream.read(position - start).rfind(b"\n")
        if newline >= 0:
            return int(start + newline + 1)
        position = start
    return 0
