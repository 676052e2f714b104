"""Records and samples as Parquet (zstd): written when a run is finalized, read in batches."""

from __future__ import annotations

import os
import sys
from array import array
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import msgspec
from msgspec import Struct

from evals import disk
from evals.labels import Failed
from evals.records.card import FORMAT
from evals.records.files import (
    CompactRecord,
    Gold,
    Snapshot,
    decode_sample,
    encode,
    read_lines,
    snapshot,
    store_errors,
)
from evals.types import Failure, Prompt, Record, Reply, Sample, Score

BATCH_BYTES = 1 << 20
"""Size in bytes of the buffered rows at which they are written to the Parquet file."""
RECORD_COLUMNS = ["sample", "repeat", "prompt", "outcome", "scores", "started"]
"""Columns that a record is restored from; the others are for queries."""


class _Key(Struct):
    """The key of a line of `records.jsonl`."""

    sample: str
    repeat: int


class _Line(Struct):
    """A line of `records.jsonl` whose long parts stay encoded."""

    sample: str
    repeat: int
    prompt: msgspec.Raw
    outcome: msgspec.Raw
    scores: msgspec.Raw
    started: float = 0.0


def _record_schema() -> Any:
    import pyarrow as pa

    text, number, count = pa.string(), pa.float64(), pa.int64()
    fields = [
        ("sample", text), ("repeat", pa.int32()), ("verdict", text), ("value", number), ("answer", text),
        ("stop", text), ("seconds", number), ("input_tokens", count), ("output_tokens", count),
        ("reasoning_tokens", count), ("cached_tokens", count), ("started", number), ("scores", text),
        ("prompt", text), ("outcome", text),
    ]  # fmt: skip
    return pa.schema(fields, metadata={"science-evals": str(FORMAT)})


def _sample_schema() -> Any:
    import pyarrow as pa

    text = pa.string()
    fields = [
        ("id", text), ("group", text), ("cluster", text), ("target", text), ("options", pa.int32()),
        ("json", text),
    ]  # fmt: skip
    return pa.schema(fields)


class _Usage(Struct, frozen=True):
    input: int | None = None
    output: int | None = None
    reasoning: int | None = None
    cached: int | None = None


class _ReplyOrFailure(Struct):
    """The part of an outcome that has columns."""

    type: str
    kind: str = ""
    stop: str = ""
    seconds: float = 0.0
    usage: _Usage = _Usage()


class _ScoreOrFailure(Struct):
    """The part of a score that has columns."""

    type: str
    kind: str = ""
    value: float | None = None
    verdict: str = ""
    answer: str | None = None


_decode_key = msgspec.json.Decoder(_Key).decode
_decode_line = msgspec.json.Decoder(_Line).decode
_decode_outcome = msgspec.json.Decoder(_ReplyOrFailure).decode
_decode_scores_for_row = msgspec.json.Decoder(dict[str, _ScoreOrFailure]).decode
_decode_scores = msgspec.json.Decoder(dict[str, Score | Failure]).decode


def _record_row(line: _Line) -> tuple[Any, ...]:
    """Return the values of a record's columns, in the order of `_record_schema`."""
    outcome = _decode_outcome(line.outcome)
    unscored = _ScoreOrFailure("failure", kind="unscored")
    score = next(iter(_decode_scores_for_row(line.scores).values()), unscored)
    failure_kind = outcome.kind or score.kind
    verdict = str(Failed(failure_kind)) if failure_kind else score.verdict
    usage = outcome.usage
    return (
        line.sample, line.repeat, verdict, score.value, score.answer, outcome.stop, outcome.seconds, usage.input,
        usage.output, usage.reasoning, usage.cached, line.started, bytes(line.scores), bytes(line.prompt),
        bytes(line.outcome),
    )  # fmt: skip


def _sample_row(sample: Sample) -> tuple[Any, ...]:
    cluster = sample.cluster or sample.id
    return sample.id, sample.group, cluster, encode(sample.target), len(sample.choices), encode(sample)


def convert(folder: Path) -> None:
    """Write all records and samples to Parquet, then remove the JSON lines."""
    with snapshot(folder, "records") as files:
        if files.lines is not None:
            _convert_records(files)
    with snapshot(folder, "samples") as files:
        if files.lines is not None:
            _convert_samples(files)


def _convert_records(files: Snapshot) -> None:
    path = files.parquet_path
    if files.parquet is None or files.size:  # else, there are no records to add
        lines = _raw_lines(files)
        if files.parquet is not None or _may_have_duplicates(files):
            last = {(line.sample, line.repeat): n for n, line in enumerate(_raw_lines(files))}
            lines = (line for n, line in enumerate(lines) if last[line.sample, line.repeat] == n)
        _write_parquet(
            path, _record_schema(), map(_record_row, lines), long_columns=("scores", "prompt", "outcome")
        )
    files.lines_path.unlink()
    disk.sync_folder(files.folder)


def _may_have_duplicates(files: Snapshot) -> bool:
    """Return whether a sample and repeat may occur twice, judged by hashes, which need a third of the memory of the keys."""
    hashes = array("q", (hash((line.sample, line.repeat)) for line in read_lines(files, _decode_key)))
    return len(set(hashes)) < len(hashes)


def _raw_lines(files: Snapshot) -> Iterator[_Line]:
    if files.parquet is not None:
        for sample, repeat, *texts, started in _rows(files, RECORD_COLUMNS):
            prompt, outcome, scores = (msgspec.Raw(text.encode()) for text in texts)
            yield _Line(sample, repeat, prompt, outcome, scores, started)
    yield from read_lines(files, _decode_line)


def _convert_samples(files: Snapshot) -> None:
    """Write the samples to Parquet, unless an interrupted conversion has done so; then remove the JSON lines."""
    if files.parquet is None:
        rows = map(_sample_row, read_lines(files, decode_sample))
        _write_parquet(files.parquet_path, _sample_schema(), rows, long_columns=("json",))
    files.lines_path.unlink()
    disk.sync_folder(files.folder)


def _write_parquet(
    path: Path, schema: Any, rows: Iterable[tuple[Any, ...]], *, long_columns: tuple[str, ...]
) -> None:
    """Write rows in batches of limited size. `long_columns`: the columns with long texts, which determine the size."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    from evals.data import parquet as data_parquet

    temporary = path.with_name(f".{path.name}")
    short_columns = [name for name in schema.names if name not in long_columns]
    long_positions = [schema.get_field_index(name) for name in long_columns]
    with (
        os.fdopen(disk.create(temporary, new=True), "wb") as stream,
        pq.ParquetWriter(
            stream,
            schema,
            compression="zstd",
            use_dictionary=short_columns,
            write_statistics=["sample", "id"],
            write_page_checksum=True,
        ) as writer,
    ):
        buffered: list[tuple[Any, ...]] = []
        size = 0
        for row in rows:
            buffered.append(row)
            size += sum(len(row[position]) for position in long_positions)
            if size >= BATCH_BYTES:
                writer.write_batch(_record_batch(pa, schema, buffered))
                buffered, size = [], 0
        if buffered:
            writer.write_batch(_record_batch(pa, schema, buffered))
    with temporary.open("rb") as written_file:
        os.fsync(written_file.fileno())
    temporary.replace(path)
    data_parquet.mark_as_known(path)
    pa.default_memory_pool().release_unused()


def _record_batch(pa: Any, schema: Any, rows: list[tuple[Any, ...]]) -> Any:
    columns = zip(*rows, strict=True)
    arrays = [_build_column(pa, field.type, column) for column, field in zip(columns, schema, strict=True)]
    return pa.record_batch(arrays, schema=schema)


def _build_column(pa: Any, arrow_type: Any, values: Sequence[Any]) -> Any:
    """Build an array from buffers, since `pyarrow.array` would import pandas, which takes 45 MB of memory."""
    import numpy as np

    valid = [value is not None for value in values]
    validity = None if all(valid) else pa.py_buffer(np.packbits(valid, bitorder="little"))
    if arrow_type == pa.string():
        texts = [value if isinstance(value, bytes) else (value or "").encode() for value in values]
        offsets = np.cumsum([0, *map(len, texts)], dtype=np.int32)
        buffers = [validity, pa.py_buffer(offsets), pa.py_buffer(b"".join(texts))]
    else:
        dtype = str(arrow_type).replace("double", "float64")
        buffers = [validity, pa.py_buffer(np.array([value or 0 for value in values], dtype=dtype))]
    return pa.Array.from_buffers(arrow_type, len(values), buffers)


def batches(files: Snapshot, columns: list[str]) -> Iterator[Any]:
    """Yield the Arrow record batches of a Parquet file, up to 256 rows each; raises StoreError, e.g. for a wrong checksum."""
    with store_errors(files.parquet_path):
        schema = files.parquet.schema_arrow
        types = {field.name: field.type for field in (*_record_schema(), *_sample_schema())}
        if missing := [name for name in columns if name not in schema.names]:
            raise ValueError(f"it has no column {', '.join(missing)}")
        if mistyped := [name for name in columns if schema.field(name).type != types[name]]:
            raise ValueError(f"column {', '.join(mistyped)} has an unexpected type")
        yield from files.parquet.iter_batches(batch_size=256, columns=columns)


def _rows(files: Snapshot, columns: list[str]) -> Iterator[tuple[Any, ...]]:
    """Yield the rows of a Parquet file, each as a tuple of the given columns; raises StoreError like `batches`."""
    for batch in batches(files, columns):
        yield from zip(*(column.to_pylist() for column in batch.columns), strict=True)


def parquet_golds(files: Snapshot) -> dict[str, Gold]:
    """Return, by sample id and in the order of the run, the part of each sample that reports need."""
    decode_target = msgspec.json.Decoder(str | float | tuple[str, ...]).decode
    golds = {}
    columns = ["id", "group", "cluster", "target", "options"]
    for id_, group, cluster, encoded, options in _rows(files, columns):
        target = decode_target(encoded)
        # interned, since a hundred thousand samples share a few dozen strings
        golds[id_] = Gold(
            sys.intern(group),
            id_ if cluster == id_ else sys.intern(cluster),
            sys.intern(target) if isinstance(target, str) else target,
            options,
        )
    return golds


def parquet_records(files: Snapshot) -> Iterator[Record]:
    """Yield the records of a finalized run."""
    decode_prompt = msgspec.json.Decoder(Prompt).decode
    decode_outcome = msgspec.json.Decoder(Reply | Failure).decode
    for sample, repeat, prompt, outcome, scores, started in _rows(files, RECORD_COLUMNS):
        yield Record(
            sample=sample, repeat=repeat, prompt=decode_prompt(prompt), outcome=decode_outcome(outcome),
            scores=_decode_scores(scores), started=started,
        )  # fmt: skip


def parquet_compact_records(files: Snapshot) -> Iterator[CompactRecord]:
    """Yield the part of each record of a finalized run that reports need."""
    token_kinds = ("input", "output", "reasoning", "cached")
    columns = ["sample", "repeat", "scores", "verdict", "stop", "seconds"]
    columns += [f"{kind}_tokens" for kind in token_kinds]
    for sample, repeat, scores, verdict, stop, seconds, *tokens in _rows(files, columns):
        failed = None if stop else Failed.parse(verdict)
        yield CompactRecord(
            sample=sample, repeat=repeat, scores=_decode_scores(scores), failure=failed.kind if failed else "",
            stop=stop, seconds=seconds, **dict(zip(token_kinds, tokens, strict=True)),
        )  # fmt: skip
