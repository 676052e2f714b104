"""Runs on disk: the only reader and writer of the results folder.

    results/<suite>@<version>/<model>/<run>/
        card.json         what was run, and what came of it
        samples.jsonl     the gold side of every expected sample (imports: with the questions)
        records.jsonl     what happened, appended while running, whole lines at a time
        *.parquet         the same two, sealed when the run ends (zstd); later records stay in the JSON lines

A record counts as soon as its line is with the operating system, at the end of the turn of the event loop that
brought its reply; kill -9 takes none of those, and fsync once a second bounds what a power cut can take. A torn last
line is dropped with a warning. Later records of the same sample and repeat replace earlier ones.
"""

from __future__ import annotations

import errno
import fcntl
import os
import re
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from hashlib import sha256
from pathlib import Path
from shlex import quote
from typing import Any

import msgspec
from msgspec import structs

from evals import disk
from evals.errors import StoreError
from evals.records import names
from evals.records.card import FORMAT, Card, Config, implausible
from evals.records.files import (
    SAMPLE,
    Brief,
    Gold,
    Snapshot,
    batches,
    brief,
    check_files,
    encode,
    file_facts,
    parquet_briefs,
    parquet_golds,
    parquet_records,
    read_lines,
    reading,
    seal,
    snapshot,
)
from evals.types import Record, Sample

_RECORD = msgspec.json.Decoder(Record)


BATCHES = "batches.jsonl"
"""Notes of what was handed in to a vendor's batch endpoint; `evals/run/batch.py` writes them."""


_STALE = re.compile(r"\.(card\.json|samples\.jsonl|records\.jsonl|records\.parquet|samples\.parquet)(\.\d+)?")
"""Names of our own half-written files."""
MOST_UNWRITTEN = 1 << 20
"""Bytes of records that wait for one turn's write."""


class Run:
    """A run on disk, opened for reading."""

    def __init__(self, path: Path) -> None:
        self.path = path

    @property
    def card(self) -> Card:
        """Read the card; raises StoreError where it is broken or of an unknown format."""
        return read_card(self.path)

    def samples(self) -> Iterator[Sample]:
        """Yield the gold side of every expected sample; raises StoreError if its file is missing or broken."""
        with snapshot(self.path, "samples") as files:
            self._present(files)
            if files.parquet is not None:
                with reading(files.parquet_path):
                    for batch in batches(files, ["json"]):
                        yield from (SAMPLE.decode(value.as_py()) for value in batch.column(0))
            else:
                yield from read_lines(files, SAMPLE.decode)

    def gold(self) -> dict[str, Gold]:
        """Map sample ids to what reports need, in the order of asking."""
        with snapshot(self.path, "samples") as files:
            self._present(files)
            if files.parquet is None:
                several = read_lines(files, SAMPLE.decode)
                return {s.id: Gold(s.group, s.cluster or s.id, s.target, len(s.choices)) for s in several}
            with reading(files.parquet_path):
                return parquet_golds(files)

    def records(self) -> Iterator[Record]:
        """Yield every record, the latest of each sample and repeat."""
        return self._latest(self._all_records, lambda record: (record.sample, record.repeat))

    def briefs(self) -> Iterator[Brief]:
        """Yield what reports need of every record, reading no texts where the run is sealed."""
        return self._latest(self._all_briefs, lambda brief: (brief.sample, brief.repeat))

    def _latest(self, read: Callable[[Snapshot], Iterator[Any]], key: Callable[[Any], Any]) -> Iterator[Any]:
        with snapshot(self.path, "records") as files:
            self._present(files)
            if not files.size:
                yield from read(files)  # a sealed run holds each sample and repeat once
                return
            last = {key(item): position for position, item in enumerate(read(files))}
            yield from (item for position, item in enumerate(read(files)) if last.get(key(item)) == position)

    def _all_records(self, files: Snapshot) -> Iterator[Record]:
        if files.parquet is not None:
            yield from parquet_records(files)
        yield from read_lines(files, _RECORD.decode)

    def _all_briefs(self, files: Snapshot) -> Iterator[Brief]:
        if files.parquet is not None:
            yield from parquet_briefs(files)
        yield from map(brief, read_lines(files, _RECORD.decode))

    def _present(self, files: Snapshot) -> None:
        """Refuse a run of which a file is missing (half copied) or not the one that its card was made of."""
        if not os.path.lexists(self.path / "card.json"):  # records alone state nothing to hold against them
            return
        if files.parquet is None and not files.size and (missing := missing_file(self.path, files.name)):
            raise StoreError(
                f"{self.path / missing} is missing: the run is not whole, copy it again; nothing was written"
            )
        check_files(self.path, self.card)


def read_card(path: Path) -> Card:
    """Read a run's card."""
    try:
        raw = disk.read_small(path / "card.json")
        found = msgspec.json.decode(raw, type=_Version)
        if found.format != FORMAT:
            raise StoreError(f"{path}: written in format {found.format}; this version reads format {FORMAT}")
        card = msgspec.json.decode(raw, type=Card)
    except FileNotFoundError:
        raise StoreError(f"{path}: no run there (card.json is missing)") from None
    except OSError as error:
        raise StoreError(f"{path}/card.json: {error.strerror or error}") from error
    except (ValueError, RecursionError) as error:
        raise StoreError(f"{path}/card.json: {error}") from error
    if fault := implausible(card):
        raise StoreError(f"{path}/card.json: {fault}")
    return card


def check(path: Path) -> Card:
    """Return a run's card; raises StoreError if it, or a file of the run, is missing, broken or another one."""
    card = read_card(path)
    for name in ("records", "samples"):
        if f"{name}.parquet" in card.files and (path / f"{name}.parquet").exists():
            continue  # its hash is known
        with snapshot(path, name) as files:
            if files.parquet is None and not files.size and (lost := missing_file(path, name)):
                raise StoreError(f"{path / lost} is missing: the run is not whole, copy it again")
    check_files(path, card)
    return card


def missing_file(path: Path, name: str) -> str:
    """Return the name of the file that a run lacks, `samples.parquet` or `records.parquet`; empty if it is whole.

    A run lacks its records if it was sealed (its samples are) or if its card counts replies; a run that has not
    written anything yet lacks nothing.
    """
    other = "records" if name == "samples" else "samples"
    sealed = (path / f"{other}.parquet").exists()
    card = read_card(path)
    counted = card.status != "running" and sum(n for kind, n in card.counts.items() if kind != "absent") > 0
    return f"{name}.parquet" if sealed or counted else ""


class _Version(msgspec.Struct):
    format: int = 0


def write_file(path: Path, content: bytes) -> None:
    """Replace a file in one step: a reader sees the old content or the new, never half of one."""
    disk.replace(path, content)


def write_card(path: Path, card: Card) -> None:
    """Write a run's card."""
    write_file(path / "card.json", msgspec.json.format(encode(card), indent=1))


class Writer:
    """A run on disk, opened for appending by one process alone."""

    def __init__(self, path: Path, card: Card) -> None:
        self.path = path
        self.card = card
        self.warnings: list[str] = []
        try:
            path.mkdir(parents=True, exist_ok=True)
            self._lock = os.fdopen(disk.create(path / "lock"), "w")
        except OSError as error:
            raise StoreError(f"cannot write to {path}: {error.strerror}") from error
        if not self._locked():
            self._lock.close()
            raise StoreError(f"run {card.run} is being written by another process ({path})")
        with ExitStack() as undo:
            undo.callback(self._release)
            with _writing(path):
                self._check()
                self._remove_half_written()
                self._fd = _open_lines(path)
                self._cut_torn_line()
            undo.pop_all()
        self._settled = self._is_settled()
        self._synced = time.monotonic()
        self._dirty = False
        self._lines = bytearray()

    def _locked(self) -> bool:
        """Take the lock, which counts only while its file is in place: whoever had it before removes it."""
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return os.path.samestat(os.fstat(self._lock.fileno()), (self.path / "lock").stat())
        except (BlockingIOError, FileNotFoundError):
            return False

    def _check(self) -> None:
        """Refuse to write beside what is missing: a run that was copied by half must not become a whole empty one."""
        if (self.path / "card.json").exists():
            for name in ("samples", "records"):
                with snapshot(self.path, name) as files:
                    if files.parquet is None and not files.size and (lost := missing_file(self.path, name)):
                        raise StoreError(
                            f"{self.path / lost} is missing: the run is not whole, copy it again; nothing was written"
                        )

    def _remove_half_written(self) -> None:
        """Remove what a killed process left of its own files; other hidden files are not ours."""
        for path in self.path.glob(".*"):
            if _STALE.fullmatch(path.name) and not path.is_dir():
                path.unlink()

    def _is_settled(self) -> bool:
        """Whether the card on disk states numbers of the records as they are now."""
        return (self.path / "card.json").exists() and read_card(self.path).status != "running"

    def _unsettle(self) -> None:
        """Before records change, say on the card that its numbers are none yet: a kill in between leaves no wrong card.

        Readers compute the numbers of a run that has not ended from its records.
        """
        if self._settled:
            self._settled = False
            write_card(self.path, structs.replace(self.card, status="running", files={}))

    def _close_lines(self) -> None:
        if self._fd >= 0:
            os.close(self._fd)
        self._fd = -1

    def _release(self) -> None:
        (self.path / "lock").unlink(missing_ok=True)
        self._lock.close()

    def _cut_torn_line(self) -> None:
        path = self.path / "records.jsonl"
        if not path.stat().st_size:
            return
        with path.open("rb+") as stream:
            end = _last_newline(stream)
            if end < path.stat().st_size:
                stream.truncate(end)
                self.warnings.append(f"{path}: dropped a torn last line")

    def write_samples(self, samples: Iterable[Sample], *, questions: bool = False) -> None:
        """Write the gold side of the expected samples, once, before the first call.

        `questions` keeps their questions too: for runs whose prompts are not known, and never of a gated suite.
        """
        if (self.path / "samples.jsonl").exists() or (self.path / "samples.parquet").exists():
            return
        temporary = self.path / ".samples.jsonl"
        with _writing(self.path), os.fdopen(disk.create(temporary, new=True), "wb", 1 << 20) as stream:
            for sample in samples:
                kept = sample if questions else msgspec.structs.replace(sample, question=())
                stream.write(encode(kept) + b"\n")
            stream.flush()
            os.fsync(stream.fileno())
        temporary.replace(self.path / "samples.jsonl")

    def append(self, record: Record) -> None:
        """Write one record; raises StoreError where the disk takes no more."""
        self.add(record)
        self.flush()

    def add(self, record: Record) -> None:
        """Take a record that the next `flush` writes; raises what `append` raises."""
        self._lines += encode(record)
        self._lines += b"\n"
        if len(self._lines) > MOST_UNWRITTEN:
            self.flush()

    def flush(self) -> None:
        """Write what was added, in one call; raises StoreError where the disk takes no more."""
        lines, self._lines = self._lines, bytearray()
        with _writing(self.path):
            self._unsettle()
            if self._fd < 0:  # after sealing
                self._fd = _open_lines(self.path)
            written = os.write(self._fd, lines)
            if written != len(lines):  # take the torn line back, or a later record would follow it
                whole = lines.rfind(b"\n", 0, written) + 1
                os.ftruncate(self._fd, os.fstat(self._fd).st_size - (written - whole))
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        self._dirty = True

    def replace(self, records: Iterable[Record]) -> None:
        """Put other records in the place of all there are, in one step."""
        temporary = self.path / ".records.jsonl"
        with _writing(self.path), os.fdopen(disk.create(temporary, new=True), "wb", 1 << 20) as stream:
            for record in records:
                stream.write(encode(record) + b"\n")
            stream.flush()
            os.fsync(stream.fileno())
        with _writing(self.path):
            self._unsettle()
        self._close_lines()
        temporary.replace(self.path / "records.jsonl")
        (self.path / "records.parquet").unlink(missing_ok=True)
        disk.sync_folder(self.path)
        self._fd = _open_lines(self.path)

    @property
    def needs_sync(self) -> bool:
        """Whether a second has passed since the last fsync of something new."""
        return self._dirty and time.monotonic() - self._synced >= 1.0

    def sync(self) -> None:
        """Force what was appended to the disk; blocks, so call it off the event loop."""
        self._dirty = False
        if self._fd < 0:
            return
        with _writing(self.path):
            os.fsync(self._fd)
        self._synced = time.monotonic()

    def write_card(self) -> None:
        """Write the card as it is now."""
        with _writing(self.path):
            write_card(self.path, self.card)
        self._settled = self.card.status != "running"

    def seal(self) -> None:
        """Turn samples and records into Parquet and drop the JSON lines; safe to interrupt at any point."""
        self.sync()
        with _writing(self.path):
            lines = self.path / "records.jsonl"
            if lines.exists() and lines.stat().st_size:
                self._unsettle()
            seal(self.path)
        self._close_lines()
        self.card.files = file_facts(self.path)

    def close(self) -> None:
        """Give up the lock; an empty run leaves no folder behind, unless a batch answers it."""
        self._close_lines()
        (self.path / "lock").unlink(missing_ok=True)  # while it is ours, else it could be another's
        records = self.path / "records.jsonl"
        if records.exists() and not records.stat().st_size:
            records.unlink()
            if not any((self.path / name).exists() for name in ("records.parquet", BATCHES)):
                self._remove()
        self._lock.close()

    def _remove(self) -> None:
        for name in ("samples.jsonl", "card.json"):
            (self.path / name).unlink(missing_ok=True)
        for folder in (self.path, self.path.parent, self.path.parent.parent):
            try:
                folder.rmdir()
            except OSError:
                return


@contextmanager
def _writing(path: Path) -> Iterator[None]:
    """Say in one line that a disk is full or a folder is not ours; what was written before stays."""
    try:
        yield
    except OSError as error:
        raise StoreError(f"cannot write to {path}: {error.strerror or error}") from error


def _open_lines(path: Path) -> int:
    return disk.create(path / "records.jsonl", append=True)


def _last_newline(stream: Any) -> int:
    """Offset just behind the last newline."""
    position = stream.seek(0, os.SEEK_END)
    while position > 0:
        start = max(0, position - (1 << 16))
        stream.seek(start)
        found = stream.read(position - start).rfind(b"\n")
        if found >= 0:
            return int(start + found + 1)
        position = start
    return 0


def slug(name: str) -> str:
    """Make a folder name of a model's name."""
    kept = "".join(c if c.isalnum() or c in "-_.+" else "-" for c in name).strip("-.")
    return kept[:80] or "model"


def fingerprint(config: Config) -> str:
    """Six hex digits of what makes a run the same run."""
    return sha256(encode(config)).hexdigest()[:6]


def new_id(config: Config) -> str:
    """Make an id: the second in UTC, and the configuration's fingerprint."""
    return f"{time.strftime('%Y%m%dT%H%M%S', time.gmtime())}-{fingerprint(config)}"


def runs(results: Path) -> list[Run]:
    """Find all runs of a results folder, the newest last; a folder with a card is a run."""
    if (results / "card.json").exists():
        return [Run(results)]
    found = [
        path
        for path in results.glob("*@*/*/*/card.json")
        if not any(map(disk.is_noise, path.relative_to(results).parts))
    ]
    return [Run(path.parent) for path in sorted(found, key=lambda path: (_modified(path), str(path)))]


def _modified(path: Path) -> float:
    try:
        return path.stat().st_mtime
    except OSError:  # a link that leads nowhere: a broken run
        return 0.0


def find(results: Path, name: str) -> list[Run]:
    """Return the runs that a name stands for; `names.py` says how runs are named.

    One id may stand for several runs: the suites of one command that was given `--run`. Raises StoreError
    if nothing matches, or if a beginning, an end, a model or a suite matches several ids.
    """
    folder = Path(name)
    if (folder / "card.json").exists():
        return [Run(folder)]
    if not results.is_dir():
        raise StoreError(f"no results folder at {results}; `evals run` makes one")
    several = runs(results)
    if not several and not folder.is_dir():
        refuse_level_off(results)
    if exact := [run for run in several if run.path.name == name]:
        return exact
    known = [_named(run) for run in several]
    if (newest := names.last(known, name)) is not None:
        return [Run(newest.path)]
    if chosen := names.choose(known, name):
        return [Run(one.path) for one in chosen]
    if folder.is_dir() and (inside := runs(folder)):
        return inside
    near = names.near(known, name)
    hint = f"did you mean {' or '.join(near)}?" if near else "`evals list runs` lists what is there"
    raise StoreError(f"no run {name!r} in {results}; {hint}")


def refuse_level_off(results: Path) -> None:
    """Raise StoreError for a results folder without runs if there are some one or two levels above, or one below."""
    try:
        below = sorted(path for path in results.iterdir() if path.is_dir() and not disk.is_noise(path.name))
    except OSError:
        below = []
    for place in [*list(results.resolve().parents)[:2], *below[:50]]:
        if runs(place):
            raise StoreError(f"no runs in {results}, but in {place}: --results {quote(str(place))}")


def find_one(results: Path, name: str) -> Run:
    """Return the one run of a name; raises StoreError if there are several."""
    found = find(results, name)
    if len(found) > 1:
        labels = names.listed([_named(run).label for run in found])
        raise StoreError(f"run {name!r} holds {len(found)} suites; name one by its folder, or as {labels}")
    return found[0]


def _named(run: Run) -> names.Named:
    try:
        card = run.card
        return names.Named(run.path, run.path.name, card.config.suite, card.model, names.when(card, run.path))
    except (StoreError, OSError):  # a broken run still has its id
        return names.Named(run.path, run.path.name, "", "", 0.0)
