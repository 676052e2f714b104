"""The simplest import format: a JSON Lines file of recorded replies.

    {"id": "70", "repeat": 0, "text": "... ANSWER: B", "reasoning": null, "stop": "stop", "order": [2, 0, 1]}

`id` and `text` are required. `order` lists the options' indices in the data set, in the order shown (A, B, ...).
Samples without a line are missing outcomes; an id that is not in the suite is an error.
"""

from __future__ import annotations

import difflib
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Literal, TypeAlias

import msgspec
from msgspec import Meta, Struct, structs

from evals import disk, load
from evals.data import Data
from evals.data.loose_json import decode_json
from evals.data.sample_store import SampleStore
from evals.errors import DataError, UsageError
from evals.extract import split_reasoning
from evals.interop.values import PARSE_ERRORS, join_names
from evals.plain import count_of
from evals.records import store
from evals.records.card import Card, Config
from evals.records.writer import Writer
from evals.run import describe
from evals.run.health import Health
from evals.run.plan import MEDIA_KINDS, read_samples
from evals.run.rescore import rescore_records, store_final_metrics
from evals.sandbox import Pool
from evals.suite import Suite, checked_samples
from evals.types import Failure, Message, Prompt, Record, Reply, Sample, Sampling, Usage
from evals.validation import cause

MAX_LISTED = 10
"""Maximum number of ids in a message."""
MAX_REPEATS = 10_000
"""Maximum number of repeats of a sample."""
MAX_RECORDS = 20_000_000
"""Maximum number of expected outcomes of a run."""
MAX_ID_LENGTH = 1000
Seconds: TypeAlias = Annotated[float, Meta(ge=0, le=1e9)]
FIELD_ALIASES = {
    **dict.fromkeys(
        ("response", "reply", "completion", "output", "answer", "content", "prediction", "generation"), "text"
    ),
    **dict.fromkeys(("sample", "sample_id", "question_id", "key", "doc_id"), "id"),
    **dict.fromkeys(("thinking", "reasoning_content", "thought", "thoughts"), "reasoning"),
    **dict.fromkeys(("finish_reason", "stop_reason"), "stop"),
    **dict.fromkeys(("error", "failed"), "failure"),
    **dict.fromkeys(("epoch", "attempt", "trial", "run"), "repeat"),
}
"""Field names in other tools -> ours, for suggestions in error messages."""
ID_FIELDS = ("id", *(name for name, field in FIELD_ALIASES.items() if field == "id"))
TEXT_FIELDS = ("text", *(name for name, field in FIELD_ALIASES.items() if field == "text"))


class RecordedReply(Struct, frozen=True, kw_only=True):
    """A line of the file."""

    id: str | int
    repeat: int = 0
    text: str | None = None
    reasoning: str | None = None
    stop: Literal["stop", "length", "filter"] | None = None
    order: tuple[int, ...] | None = None
    usage: Usage = Usage()
    seconds: Seconds = 0.0
    prompt: str = ""
    """As sent; empty if it is unknown."""
    failure: str = ""
    """Why there is no reply; empty if there is one."""


class ImportRequest(Struct, frozen=True, kw_only=True):
    """The options of `evals import`."""

    suite: str | None = None
    model: str | None = None
    protocol: str | None = None
    data: Path | None = None
    sample: bool = False
    results: Path = Path("results")
    run: str | None = None


def read_replies(path: Path, request: ImportRequest) -> list[Card]:
    """Make a run from a file of replies; raises UsageError or DataError."""
    if not request.suite or not request.model:
        missing = ("--suite NAME" if not request.suite else "", "--model NAME" if not request.model else "")
        raise UsageError(f"{path} contains recorded replies: add {' '.join(filter(None, missing))}")
    check_run_id(request.run)
    suite = single_suite(request.suite, request.protocol)
    data = Data(suite=suite.name, local=request.data, sample=request.sample)
    samples, digest = read_samples(suite, data)
    lines, duplicates = _read_lines(path, samples)
    listed = join_names(map(str, duplicates), limit=MAX_LISTED)
    repeating = count_of(
        len(duplicates), "line repeats an earlier one and is", "lines repeat earlier ones and are"
    )
    notes = [f"{repeating} left out: {listed}"] if duplicates else []
    repeats = 1 + max(line.repeat for line in lines)
    if repeats > len(lines):
        raise DataError(
            f"{path}: repeat {repeats - 1} in a file of {count_of(len(lines), 'reply', 'replies')}; expected repeats numbered 0, 1, ..."
        )
    if repeats * len(samples) > MAX_RECORDS:
        raise DataError(
            f"{path}: {repeats} repeats of {len(samples)} samples; at most {MAX_RECORDS:,} replies are allowed"
        )
    card = new_card(
        suite,
        data,
        digest,
        model=request.model,
        source=path.name,
        origin="replies",
        repeats=repeats,
        notes=notes,
    )
    return [write_run(suite, card, samples, lines, data=data, results=request.results, run=request.run)]


def check_run_id(run: str | None) -> None:
    """Raise UsageError for an invalid run id."""
    if run is not None and (run != store.slug(run) or "@" in run):
        raise UsageError(f"--run {run!r}: use at most 80 letters, digits, dots, hyphens and underscores")


def single_suite(name: str, protocol: str | None, *, from_user: bool = True) -> Suite:
    """Return the suite that `name` refers to; raises UsageError if there are several or if it cannot be run.

    `from_user`: whether the name comes from the user rather than from a stored file.
    """
    suites = load.suite(name, protocol) if from_user else load.recorded_suite(name, protocol)
    if len(suites) != 1:
        raise UsageError(f"{name} matches {', '.join(s.id for s in suites)}; name one with --suite")
    if suites[0].refuses:
        raise UsageError(suites[0].refuses)
    return suites[0]


def new_card(
    suite: Suite,
    data: Data,
    digest: str,
    *,
    model: str,
    source: str,
    origin: str,
    repeats: int = 1,
    sampling: Sampling | None = None,
    started: float = 0.0,
    notes: Sequence[str] = (),
) -> Card:
    """Return the card of an imported run, whose id is set when it is written."""
    config = Config(
        suite=suite.id, version=suite.version, protocol=suite.protocol, data_sha256=digest, model=model,
        sampling=sampling or Sampling(), seed=0, repeats=repeats,
    )  # fmt: skip
    card = describe.new_card(
        config, suite, run="", model=model, data=data.origin, started=started or time.time()
    )
    card.source, card.origin, card.notes = source, f"import {origin}", tuple(notes)
    return card


def _read_lines(path: Path, samples: SampleStore) -> tuple[list[RecordedReply], list[int]]:
    """Read and check all lines before anything is written; return them, and the numbers of lines that repeat earlier ones."""
    lines: list[RecordedReply] = []
    position_of: dict[tuple[str, int], int] = {}
    """Id and repeat -> position in `lines`."""
    duplicates: list[int] = []
    try:
        with disk.open_regular(path) as stream:
            for number, raw in enumerate(disk.lines(stream), 1):
                if not (raw := raw.removeprefix(disk.BOM)).strip():
                    continue
                line = _parse_line(raw, f"{path}, line {number}")
                first = position_of.setdefault((str(line.id), line.repeat), len(lines))
                if first == len(lines):
                    lines.append(line)
                elif line == lines[first]:
                    duplicates.append(number)
                else:
                    raise DataError(
                        f"{path}, line {number}: another reply for id {line.id}, repeat {line.repeat}; number "
                        "the replies to a sample 0, 1, ... in `repeat`"
                    )
    except (OSError, *PARSE_ERRORS) as error:
        raise DataError(f"{path}: {cause(error)}") from None
    if not lines:
        raise DataError(f"{path}: contains no replies")
    positions = {id_: position for position, id_ in enumerate(samples.ids)}
    if unknown := list(dict.fromkeys(str(line.id) for line in lines if str(line.id) not in positions)):
        names = join_names((name[:60] for name in unknown), limit=MAX_LISTED)
        raise DataError(f"{path}: {count_of(len(unknown), 'id')} not in the suite: {names}")
    for line in lines:
        if line.order and len(line.order) != (count := len(samples[positions[str(line.id)]].choices)):
            raise DataError(
                f"{path}: id {line.id}: order lists {len(line.order)} options, but the sample has {count}"
            )
    return lines, duplicates


def _parse_line(raw: bytes, location: str) -> RecordedReply:
    """Decode one line, with U+FFFD for unpaired surrogates; raises DataError, including for an unknown field."""
    try:
        fields = decode_json(raw)
        if not isinstance(fields, dict):
            raise ValueError("expected a JSON object with id and text")
        for name in fields:
            if name not in RecordedReply.__struct_fields__:
                raise ValueError(_unknown_field_message(name))
        line = msgspec.convert(fields, RecordedReply)
        if "text" not in fields and not line.failure:
            raise ValueError(
                "neither `text` nor `failure`: a line must contain a reply or the reason there is none"
            )
        if line.text and line.failure:
            raise ValueError("both `text` and `failure`: a failure has no reply")
        if line.text is None and line.reasoning is None and line.stop is None and not line.failure:
            raise ValueError(
                '`text` is null: write "" for an empty reply, or state in `failure` why there is none'
            )
        if not 0 <= line.repeat < MAX_REPEATS:
            raise ValueError(f"repeat is {line.repeat}; expected 0 to {MAX_REPEATS - 1}")
        if (length := len(str(line.id))) > MAX_ID_LENGTH:
            raise ValueError(f"the id has {length} characters; at most {MAX_ID_LENGTH} are allowed")
        if line.order is not None and sorted(line.order) != list(range(len(line.order))):
            raise ValueError(f"order {list(line.order)} is not a permutation")
    except PARSE_ERRORS as error:
        raise DataError(f"{location}: {cause(error, RecordedReply)}") from None
    return line


def _unknown_field_message(name: str) -> str:
    known = RecordedReply.__struct_fields__
    field_of = {**{field: field for field in known}, **FIELD_ALIASES}
    matches = difflib.get_close_matches(name.lower().replace("-", "_"), field_of, n=1)
    hint = f"did you mean {field_of[matches[0]]}?" if matches else f"known: {', '.join(known)}"
    return f"unknown field {name[:60]!r}; {hint}"


def write_run(
    suite: Suite,
    card: Card,
    samples: SampleStore,
    replies: list[RecordedReply],
    *,
    data: Data,
    results: Path,
    run: str | None,
) -> Card:
    """Score recorded replies and write them as a finalized run, with the questions unless the suite is gated.

    Raises UsageError if the run exists.
    """
    folder = results / suite.folder / store.slug(card.model)
    card.run = run or _unused_id(card, folder)
    path = folder / card.run
    if (path / "card.json").exists():
        raise UsageError(f"run {card.run} already exists in {folder}; choose another --run")
    writer = Writer(path, card)
    health = Health()
    try:
        writer.write_card()
        media = results / suite.folder / "media"
        stored = samples if suite.gated else _with_media(suite, data, samples, media)
        writer.write_samples(stored, questions=not suite.gated)
        with Pool() as pool:
            scoring = suite.scoring(pool)
            scored = rescore_records(scoring, _SamplesById(samples), map(_unscored_record, replies))
            writer.replace(_add_to_health((record for _, record in scored), health))
        writer.finalize()
        card.health = health.findings
        store_final_metrics(writer, suite)
        card.status, card.finished = ("finished" if card.coverage == 1.0 else "partial"), time.time()
        writer.write_card()
    finally:
        writer.close()
        samples.close()
    return card


def _with_media(suite: Suite, data: Data, samples: SampleStore, media: Path) -> Iterator[Sample]:
    """Yield samples whose questions include their images, series and structures; these files are stored in `media`.

    A data folder may lack such files: from the first missing one on, questions have no media.
    """
    if not suite.needs & MEDIA_KINDS:
        yield from samples
        return
    with_media = checked_samples(suite, structs.replace(data, media=media))
    for sample in samples:
        try:
            candidate = next(with_media)
        except (DataError, StopIteration):
            candidate = sample
        yield structs.replace(sample, question=candidate.question) if candidate.id == sample.id else sample


def _unused_id(card: Card, folder: Path) -> str:
    """Return an unused run id: several runs of one configuration may be made within a second."""
    first = store.new_id(card.config)
    others = (f"{first}-{number}" for number in range(2, 10_000))
    return next(id_ for id_ in (first, *others) if not (folder / id_).exists())


def _add_to_health(records: Iterator[Record], health: Health) -> Iterator[Record]:
    """Yield the records, each after it was added to `health`."""
    for record in records:
        health.add(record)
        yield record


class _SamplesById(Mapping[str, Sample]):
    """The samples of a store by id, read from disk on access."""

    def __init__(self, samples: SampleStore) -> None:
        self._samples = samples
        self._positions = {id_: position for position, id_ in enumerate(samples.ids)}

    def __getitem__(self, id_: str) -> Sample:
        return self._samples[self._positions[id_]]

    def __iter__(self) -> Iterator[str]:
        return iter(self._positions)

    def __len__(self) -> int:
        return len(self._positions)


def _unscored_record(reply: RecordedReply) -> Record:
    """Return a reply as a record without scores; a `failure` becomes a `Failure`, which is excluded from means."""
    prompt = Prompt(messages=(Message.user(reply.prompt),) if reply.prompt else (), order=reply.order)
    outcome: Reply | Failure
    if reply.failure:
        outcome = Failure(stage="model", kind="imported", message=reply.failure[:500])
    else:
        text, reasoning, unclosed = split_reasoning(reply.text or "")
        outcome = Reply(
            text=text,
            reasoning=reply.reasoning if reply.reasoning is not None else reasoning,
            stop="length" if unclosed else reply.stop or "stop",
            usage=reply.usage,
            seconds=reply.seconds,
        )
    return Record(sample=str(reply.id), repeat=reply.repeat, prompt=prompt, outcome=outcome)
