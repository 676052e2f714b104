"""Runs on disk: the only reader and writer of the results folder.

    results/<suite>@<version>/<model>/<run>/
        card.json         configuration and results
        samples.jsonl     the expected samples with their gold answers; in imported runs, also with their questions
        records.jsonl     outcomes and scores, appended in whole lines while the run is in progress
        *.parquet         samples and records once the run has ended (zstd); records added later are JSON lines again

A record is written as soon as its reply has been scored, so kill -9 loses only replies that are still being scored; an fsync
every second limits the loss in a power failure. A truncated last line is dropped with a warning. A later record of the same
sample and repeat replaces an earlier one.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from difflib import get_close_matches
from hashlib import sha256
from pathlib import Path
from shlex import quote
from typing import Any, TypeAlias

import msgspec

from evals import disk
from evals.errors import StoreError
from evals.plain import did_you_mean
from evals.records import mirror, names
from evals.records.card import Card, Config, parse
from evals.records.files import (
    CompactRecord,
    Gold,
    Snapshot,
    check_files,
    check_foreign,
    compact,
    decode_sample,
    encode,
    read_lines,
    snapshot,
    store_errors,
)
from evals.records.parquet import batches, parquet_compact_records, parquet_golds, parquet_records
from evals.remote import cache
from evals.remote.address import Address, is_address
from evals.remote.address import parse as parse_address
from evals.types import Record, Sample

_decode_record = msgspec.json.Decoder(Record).decode

DEFAULT_FOLDER = Path("results")
"""The default results folder."""
BATCHES = "batches.jsonl"
"""Log of batches submitted to a vendor's batch endpoint, written by `evals/run/batch.py`."""
MAX_NAME_BYTES = 200
"""Maximum length of a folder's name made from another name; file systems allow 255 bytes."""


class Run:
    """A run on disk, opened for reading."""

    def __init__(self, path: Path) -> None:
        self.path = path

    @property
    def card(self) -> Card:
        """Return the card; raises StoreError if it is missing or broken, or has an unknown format."""
        return read_card(self.path)

    def samples(self) -> Iterator[Sample]:
        """Yield every expected sample; only imported runs store questions. Raises StoreError if the file is missing or broken."""
        with snapshot(self.path, "samples") as files:
            self._check_files(files)
            if files.parquet is not None:
                with store_errors(files.parquet_path):
                    for batch in batches(files, ["json"]):
                        yield from (decode_sample(value.as_py()) for value in batch.column(0))
            else:
                yield from read_lines(files, decode_sample)

    def gold(self) -> dict[str, Gold]:
        """Return the part of each sample that reports need by sample id, in the order of the run."""
        with snapshot(self.path, "samples") as files:
            self._check_files(files)
            if files.parquet is None:
                return {sample.id: Gold.of(sample) for sample in read_lines(files, decode_sample)}
            with store_errors(files.parquet_path):
                return parquet_golds(files)

    def records(self) -> Iterator[Record]:
        """Yield the latest record of each sample and repeat."""
        return self._latest_items(self._all_records, lambda record: (record.sample, record.repeat))

    def compact_records(self) -> Iterator[CompactRecord]:
        """Yield the part of each record that reports need; for a finalized run, no texts are read."""
        return self._latest_items(self._all_compact_records, lambda record: (record.sample, record.repeat))

    def _latest_items(
        self, read: Callable[[Snapshot], Iterator[Any]], key: Callable[[Any], Any]
    ) -> Iterator[Any]:
        with snapshot(self.path, "records") as files:
            self._check_files(files)
            if not files.size:
                yield from read(files)  # a finalized run contains each sample and repeat once
                return
            last = {key(item): position for position, item in enumerate(read(files))}
            yield from (item for position, item in enumerate(read(files)) if last.get(key(item)) == position)

    def _all_records(self, files: Snapshot) -> Iterator[Record]:
        if files.parquet is not None:
            yield from parquet_records(files)
        yield from read_lines(files, _decode_record)

    def _all_compact_records(self, files: Snapshot) -> Iterator[CompactRecord]:
        if files.parquet is not None:
            yield from parquet_compact_records(files)
        yield from map(compact, read_lines(files, _decode_record))

    def _check_files(self, files: Snapshot) -> None:
        """Raise StoreError if a file of the run is missing (an incomplete copy) or does not match its card."""
        if not os.path.lexists(self.path / "card.json"):  # without a card there is nothing to check against
            return
        check_presence(files)
        check_files(self.path, self.card)


def read_card(path: Path) -> Card:
    """Read a run's card; raises StoreError if it is missing or broken, or has an unknown format."""
    try:
        raw = disk.read_small(path / "card.json")
    except FileNotFoundError:
        if has_records(str(path)):
            raise StoreError(_missing_message(path / "card.json")) from None
        raise StoreError(f"{path} is not a run: it has no card.json") from None
    except OSError as error:
        raise StoreError(f"{path}/card.json: {error.strerror or error}") from error
    return parse(raw, f"{path}/card.json")


def check(path: Path, card: Card | None = None) -> Card:
    """Check the files of a run and return its card; raises StoreError if a file is missing, broken, or does not match the card.

    `card`: the run's card, if it has been read already.
    """
    card = card or read_card(path)
    for name in ("records", "samples"):
        if cache.is_pending(path / f"{name}.parquet"):
            continue  # its hash is checked when it is fetched
        if f"{name}.parquet" in card.files and (path / f"{name}.parquet").exists():
            check_foreign(path / f"{name}.parquet")
            continue  # its hash is checked below
        with snapshot(path, name) as files:
            check_presence(files)
    check_files(path, card)
    return card


def damage(path: Path, card: Card) -> str:
    """Return a message if a file of a run is missing or its size differs from the one in its card; else an empty string.

    Only sizes are compared; `check` also hashes the files.
    """
    if card.status == "running":
        return ""
    for name, stated in card.files.items():
        try:
            size = (path / name).stat().st_size
        except OSError:
            if cache.is_pending(path / name):
                continue
            return _missing_message(path / name)
        if size != stated.size:
            return f"{path / name}: it is not the file from which the card's numbers were computed"
    for name in ("records", "samples") if not card.files and not cache.is_copy(path) else ():
        if not (path / f"{name}.jsonl").exists() and (missing := _missing_file(path, name)):
            return _missing_message(path / missing)
    return ""


def check_presence(files: Snapshot) -> None:
    """Raise StoreError if a run has no samples, or no records, although its other files show that it had them."""
    if files.parquet is None and not files.size and (missing := _missing_file(files.folder, files.name)):
        raise StoreError(_missing_message(files.folder / missing))


def _missing_message(path: Path) -> str:
    return f"{path} is missing: the run is incomplete; copy it again"


def _missing_file(path: Path, name: str) -> str:
    """Return the Parquet file that a run without JSON lines of this `name` must have; empty if it need not have one.

    It must have one if it was finalized, as the other Parquet file shows, or if its card counts outcomes.
    """
    other = "records" if name == "samples" else "samples"
    finalized = (path / f"{other}.parquet").exists()
    card = read_card(path)
    counted = card.status != "running" and sum(n for kind, n in card.counts.items() if kind != "absent") > 0
    return f"{name}.parquet" if finalized or counted else ""


def write_card(path: Path, card: Card) -> None:
    """Write a run's card."""
    disk.replace(path / "card.json", msgspec.json.format(encode(card), indent=1))


def slug(name: str) -> str:
    """Return a name, e.g. of a model or a suite, in a form that can name a file or folder; `model` if nothing is left of it."""
    cleaned = "".join(c if c.isalnum() or c in "-_.+" else "-" for c in name).strip("-.")[:80]
    return cleaned.encode()[:MAX_NAME_BYTES].decode(errors="ignore") or "model"


def fingerprint(config: Config) -> str:
    """Return six hex digits that identify a configuration."""
    return sha256(encode(config)).hexdigest()[:6]


def new_id(config: Config) -> str:
    """Return a new run id: the time in UTC and the configuration's fingerprint."""
    return f"{time.strftime('%Y%m%dT%H%M%S', time.gmtime())}-{fingerprint(config)}"


def runs(results: Path) -> list[Run]:
    """Return all runs in a results folder, the newest last. A folder with a card is itself a run."""
    return [Run(Path(folder)) for folder in stamps(results)]


Stamp: TypeAlias = tuple[int, int, int]
"""Modification times (ns) of a run's card and of its folder, and the size of the card.

The folder's time changes when a file is added, replaced or deleted."""
NO_STAMP: Stamp = (0, 0, 0)  # of a broken run whose card is missing or unreadable


def stamps(results: Path) -> dict[str, Stamp]:
    """Return the stamps of all runs, and of unreadable folders, by folder, the newest last; faster than `Path.glob`."""
    if (own_stamp := stamp(str(results))) is not None:
        return {str(results): own_stamp}
    unreadable: list[str] = []
    folders = [
        run.path
        for suite in _subfolders(str(results), unreadable)
        if "@" in suite.name
        for model in _subfolders(suite.path, unreadable)
        for run in _subfolders(model.path, unreadable)
    ]
    stamp_by_folder = {folder: current for folder in folders if (current := stamp(folder)) is not None}
    stamp_by_folder |= dict.fromkeys(unreadable, NO_STAMP)
    return dict(sorted(stamp_by_folder.items(), key=lambda item: (item[1][0], item[0])))


def stamp(folder: str) -> Stamp | None:
    """Return the stamp of a run, NO_STAMP if its card cannot be read; None if the folder is not a run. Appending a record does not change it."""
    card = Path(f"{folder}/card.json")
    try:
        stat = card.stat()
        return stat.st_mtime_ns, Path(folder).stat().st_mtime_ns, stat.st_size
    except OSError as error:  # a dangling link, or a copy without its card, is a broken run
        is_broken = isinstance(error, PermissionError) or card.is_symlink() or has_records(folder)
        return NO_STAMP if is_broken else None


def has_records(folder: str) -> bool:
    """Return whether a folder contains the records or samples of a run, with or without a card."""
    if any(Path(f"{folder}/{name}.parquet").is_file() for name in ("records", "samples")):
        return True
    try:
        # written after the card, which must have existed
        return Path(f"{folder}/records.jsonl").stat().st_size > 0
    except OSError:
        return False


def _subfolders(path: str, unreadable: list[str]) -> list[os.DirEntry[str]]:
    """Return the folders in a folder; if permission to read it is missing, add it to `unreadable`."""
    try:
        with os.scandir(path) as entries:
            return [entry for entry in entries if entry.is_dir() and not disk.is_ignored(entry.name)]
    except OSError as error:
        unreadable += [path] if isinstance(error, PermissionError) else []
        return []


def find(results: Path, name: str) -> list[Run]:
    """Return the runs that a name (see `names.py`), a folder or a remote address matches; several runs may have the same id.

    Raises StoreError if nothing matches, or if a name is ambiguous, e.g. because a prefix, model or suite matches several ids.
    """
    if is_address(name):
        return _find_remote(parse_address(name))
    folder = Path(name)
    if (folder / "card.json").exists():
        return [Run(folder)]
    if not results.is_dir():
        raise StoreError(f"no results folder at {results}; `evals run` creates one")
    all_runs = runs(results)
    if not all_runs and not folder.is_dir():
        check_intended_folder(results)
    runs_below = _runs_below(folder) if name else []
    if (exact := [run for run in all_runs if run.path.name == name]) and not runs_below:
        return exact
    named = [_named_run(run) for run in all_runs]
    if (newest := names.last_run(named, name)) is not None:
        return [Run(newest.path)]
    selected = names.select_runs(named, name, partial=not runs_below)
    if selected and runs_below:
        raise StoreError(
            f"{name!r} is both the name of a run and a folder of runs; write ./{name} for the folder"
        )
    if selected or runs_below:
        return [Run(match.path) for match in selected] or runs_below
    similar = names.similar_names(named, name)
    hint = did_you_mean(similar) if similar else "`evals list runs` lists all runs"
    raise StoreError(f"no run {name!r} in {cache.display_path(results)}; {hint}")


def _find_remote(address: Address) -> list[Run]:
    """Return the runs at an address: those that match the name after `#`, or all of them if there is no name."""
    folder = mirror.local_folder(address)
    if address.run:
        return find(folder, address.run)
    if not (matches := _runs_below(folder)):
        raise StoreError(f"no runs in {address}")
    return matches


def _runs_below(folder: Path) -> list[Run]:
    """Return the runs in a results folder, or in a suite's or model's folder within one."""
    if not folder.is_dir():
        return []
    resolved = folder.resolve()
    if "@" in resolved.name:
        pattern = "*/*"
    elif "@" in resolved.parent.name:
        pattern = "*"
    else:
        return runs(folder)
    folders = [
        path.parent
        for path in folder.glob(f"{pattern}/card.json")
        if not any(map(disk.is_ignored, path.relative_to(folder).parts))
    ]
    return [Run(path) for path in sorted(folders, key=lambda path: (stamp(str(path)) or NO_STAMP, str(path)))]


def check_intended_folder(results: Path) -> None:
    """Raise StoreError if a results folder without runs is probably not the one that was meant.

    A folder other than the default one must exist, and there must be no runs in a folder up to two levels above or one below.
    """
    if results != DEFAULT_FOLDER and not results.exists():
        siblings = [path.name for path in results.parent.glob("*") if path.is_dir()]
        matches = get_close_matches(results.name, siblings, n=1, cutoff=0.5)
        hint = f"; did you mean {results.with_name(matches[0])}?" if matches else ""
        raise StoreError(f"there is no folder {results}{hint}")
    try:
        below = sorted(path for path in results.iterdir() if path.is_dir() and not disk.is_ignored(path.name))
    except OSError:
        below = []
    for folder in [*list(results.resolve().parents)[:2], *below[:50]]:
        if runs(folder):
            raise StoreError(
                f"no runs in {results}, but some in {folder}: use --results {quote(str(folder))}"
            )


def find_suites(results: Path, name: str) -> list[Run]:
    """Return the runs that a name matches, one per suite; raises StoreError if it matches several runs of a suite."""
    matches = find(results, name)
    by_suite: dict[str, list[names.NamedRun]] = {}
    for run in map(_named_run, matches):
        by_suite.setdefault(run.suite, []).append(run)
    for suite, runs_of_suite in by_suite.items():
        if len(runs_of_suite) > 1:
            count = len(runs_of_suite)
            raise StoreError(f"{name!r} matches {count} runs of {suite}; {names.advice(runs_of_suite)}")
    return matches


def find_one(results: Path, name: str) -> Run:
    """Return the only run that a name matches; raises StoreError if it matches several."""
    matches = find(results, name)
    if len(matches) > 1:
        named = [_named_run(run) for run in matches]
        ids, suites = {run.id for run in named}, {run.suite for run in named}
        noun = "suites" if len(ids) == 1 and len(suites) == len(named) else "runs"
        raise StoreError(f"run {name!r} matches {len(matches)} {noun}; {names.advice(named)}")
    return matches[0]


def _named_run(run: Run) -> names.NamedRun:
    try:
        card = run.card
        started = names.start_time(card, run.path)
        return names.NamedRun(run.path, run.path.name, card.config.suite, card.model, started)
    except (StoreError, OSError):  # a broken run still has its id
        return names.NamedRun(run.path, run.path.name, "", "", 0.0)
