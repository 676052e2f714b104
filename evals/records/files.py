"""Records at rest: JSON lines while a run grows, Parquet (zstd) once it is sealed, both read in batches."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from functools import lru_cache
from hashlib import sha256
from pathlib import Path
from typing import Any, BinaryIO

import msgspec
from msgspec import Struct

from evals import disk
from evals.errors import StoreError
from evals.labels import Failed
from evals.records.card import FORMAT, Card, FileFacts
from evals.types import Failure, Prompt, Record, Reply, Sample, Score

SAMPLE = msgspec.json.Decoder(Sample)
encode = msgspec.json.Encoder().encode


class Gold(Struct, frozen=True, gc=False):
    """What a report needs of a sample."""

    group: str
    cluster: str
    target: str | float | tuple[str, ...]
    options: int


class Brief(Struct, frozen=True, kw_only=True, gc=False):
    """What a report needs of a record."""

    sample: str
    repeat: int
    scores: dict[str, Score | Failure]
    failure: str = ""
    """Kind of the failure; empty where there is a reply."""
    stop: str = ""
    seconds: float = 0.0
    input: int | None = None
    output: int | None = None
    reasoning: int | None = None
    cached: int | None = None


def brief(record: Record) -> Brief:
    """Drop the texts of a record."""
    outcome = record.outcome
    if isinstance(outcome, Failure):
        return Brief(sample=record.sample, repeat=record.repeat, scores={}, failure=outcome.kind)
    usage = outcome.usage
    return Brief(
        sample=record.sample,
        repeat=record.repeat,
        scores=record.scores,
        stop=outcome.stop,
        seconds=outcome.seconds,
        input=usage.input,
        output=usage.output,
        reasoning=usage.reasoning,
        cached=usage.cached,
    )


UNREADABLE = (
    OSError,
    ValueError,
    LookupError,
    TypeError,
    NotImplementedError,
    OverflowError,
    MemoryError,
    RecursionError,
)
"""What pyarrow and msgspec raise on files that are cut, changed or made to harm."""
LONGEST_LINE = 256 << 20
"""Bytes of one line at most."""
TRIES = 100
"""Times that a run's files may change while they are opened."""


class Snapshot(Struct):
    """The files of a run's records or samples, opened together: what a writer does afterwards does not show."""

    name: str
    """`records` or `samples`."""
    folder: Path
    parquet: Any = None
    """A pyarrow.parquet.ParquetFile; None if there is none."""
    lines: BinaryIO | None = None
    size: int = 0
    """Bytes of the lines as they were when they were opened."""

    @property
    def parquet_path(self) -> Path:
        """Return the path of the Parquet file."""
        return self.folder / f"{self.name}.parquet"

    @property
    def lines_path(self) -> Path:
        """Return the path of the JSON lines."""
        return self.folder / f"{self.name}.jsonl"


@contextmanager
def snapshot(folder: Path, name: str) -> Iterator[Snapshot]:
    """Open the files of a run's `records` or `samples`; raises StoreError for what is no file or no Parquet.

    Sealing puts the Parquet file in place before it removes the lines, so any state in between is whole, if both are of
    one moment: they are opened again until nothing has changed meanwhile.
    """
    files = Snapshot(name, folder)
    for _ in range(TRIES):
        before = _identity(files)
        with suppress(FileNotFoundError):
            _open(files)
            if _identity(files) == before:
                break
        _close(files)
    try:
        yield files
    finally:
        _close(files)


def _identity(files: Snapshot) -> tuple[Any, ...]:
    found: list[Any] = []
    for path in (files.parquet_path, files.lines_path):
        try:
            facts = path.stat()
        except OSError:
            found.append(None)
        else:
            found.append((facts.st_dev, facts.st_ino, facts.st_mtime_ns if path == files.parquet_path else 0))
    return tuple(found)


def _open(files: Snapshot) -> None:
    if files.parquet_path.exists():
        import pyarrow.parquet as pq

        with reading(files.parquet_path):
            disk.open_regular(files.parquet_path).close()
            files.parquet = pq.ParquetFile(
                files.parquet_path, memory_map=False, page_checksum_verification=True
            )
    if files.lines_path.exists():
        with reading(files.lines_path):
            files.lines = disk.open_regular(files.lines_path)
            files.size = os.fstat(files.lines.fileno()).st_size


def _close(files: Snapshot) -> None:
    if files.parquet is not None:
        files.parquet.close()
    if files.lines is not None:
        files.lines.close()
    files.parquet, files.lines, files.size = None, None, 0


@contextmanager
def reading(path: Path) -> Iterator[None]:
    """Name the file that cannot be read, in one line, whatever is wrong with it."""
    try:
        yield
    except (StoreError, FileNotFoundError):
        raise
    except UNREADABLE as error:
        text = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise StoreError(f"{path}: cannot be read: {text[:300]}") from error


def read_lines(files: Snapshot, decode: Callable[[bytes], Any]) -> Iterator[Any]:
    """Yield the decoded lines of a file, none where it is absent; a torn last line ends it quietly."""
    if files.lines is None:
        return
    files.lines.seek(0)
    left, number = files.size, 0
    while left > 0 and (line := files.lines.readline(min(left, LONGEST_LINE))):
        left -= len(line)
        number += 1
        try:
            yield decode(line)
        except (msgspec.DecodeError, ValueError, RecursionError) as error:
            if left == 0 and not line.endswith(b"\n"):
                return  # torn by a power cut; `Writer` says so and cuts it off
            raise StoreError(
                f"{files.lines_path}, line {number}: not a record of this format ({error})"
            ) from error


def lines_beside(path: Path, decode: Callable[[bytes], Any]) -> Iterator[Any]:
    """Yield the decoded lines of another file in a run's folder, none if it is absent."""
    with snapshot(path.parent, path.stem) as files:
        yield from read_lines(files, decode)


def file_facts(folder: Path) -> dict[str, FileFacts]:
    """Return size, time and hash of a run's sealed files, for its card."""
    found = {}
    for name in ("records.parquet", "samples.parquet"):
        path = folder / name
        if path.exists():
            facts = path.stat()
            found[name] = FileFacts(size=facts.st_size, mtime_ns=facts.st_mtime_ns, sha256=_sha256(path))
    return found


def check_files(folder: Path, card: Card) -> None:
    """Raise StoreError if a sealed file is not the one that the card's numbers were made of.

    Size and time come first; the file is hashed only if its time has changed, as it does in a copy.
    """
    if card.status == "running":  # in the middle of a change; its numbers are computed from the records
        return
    for name, stated in card.files.items():
        path = folder / name
        if name not in ("records.parquet", "samples.parquet") or not path.exists():
            continue
        facts = path.stat()
        if facts.st_size == stated.size and facts.st_mtime_ns == stated.mtime_ns:
            continue
        key = (facts.st_dev, facts.st_ino, facts.st_size, facts.st_mtime_ns)
        if facts.st_size != stated.size or _hashed(path, key) != stated.sha256:
            raise StoreError(f"{path}: its bytes are not those that the card's numbers were made of")


@lru_cache(maxsize=4096)
def _hashed(path: Path, key: tuple[int, ...]) -> str:
    return _sha256(path)


def _sha256(path: Path) -> str:
    digest = sha256()
    with disk.open_regular(path) as stream:
        while chunk := stream.read(1 << 20):
            digest.update(chunk)
    return digest.hexdigest()


BATCH_BYTES = 1 << 20
"""Text held at once while sealing."""


class _Key(Struct):
    sample: str
    repeat: int


class _Line(Struct):
    sample: str
    repeat: int
    prompt: msgspec.Raw
    outcome: msgspec.Raw
    scores: msgspec.Raw
    started: float = 0.0


def _record_schema() -> Any:
    import pyarrow as pa

    text = pa.string()
    return pa.schema(
        [
            ("sample", text),
            ("repeat", pa.int32()),
            ("verdict", text),
            ("value", pa.float64()),
            ("answer", text),
            ("stop", text),
            ("seconds", pa.float64()),
            ("input_tokens", pa.int64()),
            ("output_tokens", pa.int64()),
            ("reasoning_tokens", pa.int64()),
            ("cached_tokens", pa.int64()),
            ("started", pa.float64()),
            ("scores", text),
            ("prompt", text),
            ("outcome", text),
        ],
        metadata={"science-evals": str(FORMAT)},
    )


def _sample_schema() -> Any:
    import pyarrow as pa

    text = pa.string()
    fields = [
        ("id", text),
        ("group", text),
        ("cluster", text),
        ("target", text),
        ("options", pa.int32()),
        ("json", text),
    ]
    return pa.schema(fields)


class _Usage(Struct, frozen=True):
    input: int | None = None
    output: int | None = None
    reasoning: int | None = None
    cached: int | None = None


class _Outcome(Struct):
    type: str
    kind: str = ""
    stop: str = ""
    seconds: float = 0.0
    usage: _Usage = _Usage()


class _FirstScore(Struct):
    type: str
    kind: str = ""
    value: float | None = None
    verdict: str = ""
    answer: str | None = None


_KEY = msgspec.json.Decoder(_Key)
_LINE = msgspec.json.Decoder(_Line)
_OUTCOME = msgspec.json.Decoder(_Outcome)
_SCORES = msgspec.json.Decoder(dict[str, _FirstScore])
_FULL_SCORES = msgspec.json.Decoder(dict[str, Score | Failure])


def _row(line: _Line) -> tuple[Any, ...]:
    outcome = _OUTCOME.decode(line.outcome)
    first = next(iter(_SCORES.decode(line.scores).values()), None)
    failed = outcome.kind or (first.kind if first else "unscored")
    verdict = str(Failed(failed)) if failed else first.verdict if first else ""
    usage = outcome.usage
    return (
        line.sample,
        line.repeat,
        verdict,
        first.value if first else None,
        first.answer if first else None,
        outcome.stop,
        outcome.seconds,
        usage.input,
        usage.output,
        usage.reasoning,
        usage.cached,
        line.started,
        bytes(line.scores),
        bytes(line.prompt),
        bytes(line.outcome),
    )


def seal(folder: Path) -> None:
    """Write Parquet files from all there is, then remove the JSON lines."""
    with snapshot(folder, "records") as files:
        if files.lines is not None:
            _seal_records(files)
    with snapshot(folder, "samples") as files:
        if files.lines is not None:
            _seal_samples(files)


def _seal_records(files: Snapshot) -> None:
    old = files.parquet_path
    if files.parquet is None or files.size:
        kept = _raw_lines(files)
        if files.parquet is not None or _repeats_itself(files):
            last = {(line.sample, line.repeat): place for place, line in enumerate(_raw_lines(files))}
            kept = (line for place, line in enumerate(kept) if last[line.sample, line.repeat] == place)
        _write_parquet(old, _record_schema(), map(_row, kept), sized=(12, 13, 14))
    files.lines_path.unlink()
    disk.sync_folder(files.folder)


def _repeats_itself(files: Snapshot) -> bool:
    """Whether a sample and repeat may stand there twice; by hashes, a third of the memory of the keys."""
    seen: set[int] = set()
    count = 0
    for count, line in enumerate(read_lines(files, _KEY.decode), 1):  # noqa: B007 - used after the loop
        seen.add(hash((line.sample, line.repeat)))
    return len(seen) < count


def _raw_lines(files: Snapshot) -> Iterator[_Line]:
    if files.parquet is not None:
        columns = ["sample", "repeat", "prompt", "outcome", "scores", "started"]
        for batch in batches(files, columns):
            for sample, repeat, prompt, outcome, scores, started in zip(
                *(column.to_pylist() for column in batch.columns), strict=True
            ):
                raw = [msgspec.Raw(text.encode()) for text in (prompt, outcome, scores)]
                yield _Line(sample, repeat, raw[0], raw[1], raw[2], started)
    yield from read_lines(files, _LINE.decode)


def _seal_samples(files: Snapshot) -> None:
    rows = (
        (s.id, s.group, s.cluster or s.id, encode(s.target), len(s.choices), encode(s))
        for s in read_lines(files, SAMPLE.decode)
    )
    _write_parquet(files.parquet_path, _sample_schema(), rows, sized=(5,))
    files.lines_path.unlink()
    disk.sync_folder(files.folder)


def _write_parquet(
    path: Path, schema: Any, rows: Iterable[tuple[Any, ...]], *, sized: tuple[int, ...]
) -> None:
    """Write rows in batches of bounded size; `sized` are the columns with long texts."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    temporary = path.with_name(f".{path.name}")
    short = [name for position, name in enumerate(schema.names) if position not in sized]
    with (
        os.fdopen(disk.create(temporary, new=True), "wb") as stream,
        pq.ParquetWriter(
            stream,
            schema,
            compression="zstd",
            use_dictionary=short,
            write_statistics=["sample", "id"],
            write_page_checksum=True,
        ) as writer,
    ):
        held: list[tuple[Any, ...]] = []
        size = 0
        for row in rows:
            held.append(row)
            size += sum(len(row[column]) for column in sized)
            if size >= BATCH_BYTES:
                writer.write_batch(_batch(pa, schema, held))
                held, size = [], 0
        if held:
            writer.write_batch(_batch(pa, schema, held))
    with temporary.open("rb") as written:
        os.fsync(written.fileno())
    temporary.replace(path)
    pa.default_memory_pool().release_unused()


def _batch(pa: Any, schema: Any, rows: list[tuple[Any, ...]]) -> Any:
    columns = zip(*rows, strict=True)
    arrays = [_column(pa, kind.type, column) for column, kind in zip(columns, schema, strict=True)]
    return pa.record_batch(arrays, schema=schema)


def _column(pa: Any, kind: Any, values: Sequence[Any]) -> Any:
    """Make a column from buffers: `pyarrow.array` would import pandas, where it is installed, for 45 MB."""
    import numpy as np

    there = [value is not None for value in values]
    mask = None if all(there) else pa.py_buffer(np.packbits(there, bitorder="little"))
    if kind == pa.string():
        raw = [v if isinstance(v, bytes) else (v or "").encode() for v in values]
        ends = np.cumsum([0, *map(len, raw)], dtype=np.int32)
        buffers = [mask, pa.py_buffer(ends), pa.py_buffer(b"".join(raw))]
    else:
        buffers = [
            mask,
            pa.py_buffer(np.array([v or 0 for v in values], dtype=str(kind).replace("double", "float64"))),
        ]
    return pa.Array.from_buffers(kind, len(values), buffers)


def batches(files: Snapshot, columns: list[str]) -> Iterator[Any]:
    """Yield the record batches of a Parquet file, some hundred rows each; raises StoreError, also for a wrong checksum."""
    with reading(files.parquet_path):
        schema = files.parquet.schema_arrow
        kinds = {one.name: one.type for one in (*_record_schema(), *_sample_schema())}
        if lacking := [name for name in columns if name not in schema.names]:
            raise ValueError(f"it has no column {', '.join(lacking)}")
        if other := [name for name in columns if schema.field(name).type != kinds[name]]:
            raise ValueError(f"column {', '.join(other)} is of another type")
        yield from files.parquet.iter_batches(batch_size=256, columns=columns)


def parquet_golds(files: Snapshot) -> dict[str, Gold]:
    """Map sample ids to what reports need, in the order of asking."""
    target = msgspec.json.Decoder(str | float | tuple[str, ...]).decode
    found = {}
    for batch in batches(files, ["id", "group", "cluster", "target", "options"]):
        for id_, group, cluster, goal, options in zip(*(c.to_pylist() for c in batch.columns), strict=True):
            aim = target(goal)
            # a hundred thousand samples share a few dozen strings
            found[id_] = Gold(
                sys.intern(group),
                id_ if cluster == id_ else sys.intern(cluster),
                sys.intern(aim) if isinstance(aim, str) else aim,
                options,
            )
    return found


def parquet_records(files: Snapshot) -> Iterator[Record]:
    """Yield the records of a sealed run."""
    prompt, outcome = msgspec.json.Decoder(Prompt).decode, msgspec.json.Decoder(Reply | Failure).decode
    columns = ["sample", "repeat", "prompt", "outcome", "scores", "started"]
    for batch in batches(files, columns):
        for row in zip(*(column.to_pylist() for column in batch.columns), strict=True):
            yield Record(
                sample=row[0],
                repeat=row[1],
                prompt=prompt(row[2]),
                outcome=outcome(row[3]),
                scores=_FULL_SCORES.decode(row[4]),
                started=row[5],
            )


def parquet_briefs(files: Snapshot) -> Iterator[Brief]:
    """Yield what reports need of a sealed run."""
    columns = ["sample", "repeat", "scores", "verdict", "stop", "seconds", "input_tokens", "output_tokens"]
    columns += ["reasoning_tokens", "cached_tokens"]
    for batch in batches(files, columns):
        for row in zip(*(column.to_pylist() for column in batch.columns), strict=True):
            yield Brief(
                sample=row[0],
                repeat=row[1],
                scores=_FULL_SCORES.decode(row[2]),
                failure=failed.kind if not row[4] and (failed := Failed.parse(row[3])) else "",
                stop=row[4],
                seconds=row[5],
                input=row[6],
                output=row[7],
                reasoning=row[8],
                cached=row[9],
            )
