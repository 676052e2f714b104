"""Records at rest: JSON lines while a run grows, Parquet (zstd) once it is sealed, both read in batches."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import msgspec
from msgspec import Struct

from evals.errors import StoreError
from evals.records.card import FORMAT
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


def read_lines(path: Path, decode: Callable[[bytes], Any]) -> Iterator[Any]:
    """Yield the decoded lines of a file, none where it is absent; a torn last line ends it quietly."""
    if not path.exists():
        return
    with path.open("rb") as stream:
        for number, line in enumerate(stream, 1):
            try:
                yield decode(line)
            except (msgspec.DecodeError, ValueError) as error:
                if not line.endswith(b"\n"):
                    return  # torn by a power cut; `Writer` says so and cuts it off
                raise StoreError(f"{path}, line {number}: not a record of this format ({error})") from error


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
    verdict = f"failed:{failed}" if failed else first.verdict if first else ""
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
    lines = folder / "records.jsonl"
    if lines.exists():
        _seal_records(folder, lines)
    samples = folder / "samples.jsonl"
    if samples.exists():
        _seal_samples(folder, samples)


def _seal_records(folder: Path, lines: Path) -> None:
    old = folder / "records.parquet"
    kept = _raw_lines(old, lines)
    if old.exists() or _repeats_itself(lines):
        last = {(line.sample, line.repeat): place for place, line in enumerate(_raw_lines(old, lines))}
        kept = (line for place, line in enumerate(kept) if last[line.sample, line.repeat] == place)
    _write_parquet(old, _record_schema(), map(_row, kept), sized=(12, 13, 14))
    lines.unlink()


def _repeats_itself(lines: Path) -> bool:
    """Whether a sample and repeat may stand there twice; by hashes, a third of the memory of the keys."""
    seen: set[int] = set()
    count = 0
    for count, line in enumerate(read_lines(lines, _KEY.decode), 1):  # noqa: B007 - used after the loop
        seen.add(hash((line.sample, line.repeat)))
    return len(seen) < count


def _raw_lines(parquet: Path, lines: Path) -> Iterator[_Line]:
    if parquet.exists():
        columns = ["sample", "repeat", "prompt", "outcome", "scores", "started"]
        for batch in batches(parquet, columns):
            for sample, repeat, prompt, outcome, scores, started in zip(
                *(column.to_pylist() for column in batch.columns), strict=True
            ):
                raw = [msgspec.Raw(text.encode()) for text in (prompt, outcome, scores)]
                yield _Line(sample, repeat, raw[0], raw[1], raw[2], started)
    yield from read_lines(lines, _LINE.decode)


def _seal_samples(folder: Path, path: Path) -> None:
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
    rows = (
        (s.id, s.group, s.cluster or s.id, encode(s.target), len(s.choices), encode(s))
        for s in read_lines(path, SAMPLE.decode)
    )
    _write_parquet(folder / "samples.parquet", pa.schema(fields), rows, sized=(5,))
    path.unlink()


def _write_parquet(
    path: Path, schema: Any, rows: Iterable[tuple[Any, ...]], *, sized: tuple[int, ...]
) -> None:
    """Write rows in batches of bounded size; `sized` are the columns with long texts."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    temporary = path.with_name(f".{path.name}")
    short = [name for position, name in enumerate(schema.names) if position not in sized]
    with pq.ParquetWriter(
        temporary, schema, compression="zstd", use_dictionary=short, write_statistics=["sample", "id"]
    ) as writer:
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
    with temporary.open("rb") as stream:
        os.fsync(stream.fileno())
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


def batches(path: Path, columns: list[str]) -> Iterator[Any]:
    """Yield the record batches of a Parquet file, some hundred rows each."""
    import pyarrow.parquet as pq

    try:
        with pq.ParquetFile(path, memory_map=False) as file:
            yield from file.iter_batches(batch_size=256, columns=columns)
    except (OSError, ValueError) as error:
        raise StoreError(f"{path}: {error}") from error


def parquet_records(path: Path) -> Iterator[Record]:
    """Yield the records of a sealed run."""
    prompt, outcome = msgspec.json.Decoder(Prompt).decode, msgspec.json.Decoder(Reply | Failure).decode
    columns = ["sample", "repeat", "prompt", "outcome", "scores", "started"]
    for batch in batches(path, columns):
        for row in zip(*(column.to_pylist() for column in batch.columns), strict=True):
            yield Record(
                sample=row[0],
                repeat=row[1],
                prompt=prompt(row[2]),
                outcome=outcome(row[3]),
                scores=_FULL_SCORES.decode(row[4]),
                started=row[5],
            )


def parquet_briefs(path: Path) -> Iterator[Brief]:
    """Yield what reports need of a sealed run."""
    columns = ["sample", "repeat", "scores", "verdict", "stop", "seconds", "input_tokens", "output_tokens"]
    columns += ["reasoning_tokens", "cached_tokens"]
    for batch in batches(path, columns):
        for row in zip(*(column.to_pylist() for column in batch.columns), strict=True):
            yield Brief(
                sample=row[0],
                repeat=row[1],
                scores=_FULL_SCORES.decode(row[2]),
                failure=row[3].removeprefix("failed:") if not row[4] else "",
                stop=row[4],
                seconds=row[5],
                input=row[6],
                output=row[7],
                reasoning=row[8],
                cached=row[9],
            )
