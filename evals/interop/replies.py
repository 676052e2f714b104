"""The plainest format: JSON lines of replies that somebody else recorded.

    {"id": "70", "repeat": 0, "text": "... ANSWER: B", "reasoning": null, "stop": "stop", "order": [2, 0, 1]}

`id` and `text` are needed. `order` gives for each option shown, from A on, its index in the data set's own
order. Samples that the file lacks are missing outcomes; ids that the suite lacks are an error.
"""

from __future__ import annotations

import asyncio
import difflib
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Literal

import msgspec
from msgspec import Struct

from evals import disk, load
from evals.data import Data
from evals.data.sample_store import SampleStore
from evals.errors import DataError, UsageError
from evals.extract import split_reasoning
from evals.interop.values import BROKEN, decoded
from evals.records import store
from evals.records.card import Card, Config
from evals.records.writer import Writer
from evals.run import describe
from evals.run.health import Health
from evals.run.plan import read
from evals.run.rescore import finish
from evals.sandbox import Pool
from evals.scorers.scoring import Scoring
from evals.suite import Suite
from evals.types import Failure, Message, Prompt, Record, Reply, Sample, Sampling, Usage

LISTED = 10
MOST_REPEATS = 10_000
"""Of a sample; what claims more would make a run of nothing but absent outcomes."""
MOST_RECORDS = 20_000_000
"""Of a run, absent ones included."""
LONGEST_ID = 1000
STOPS = ("stop", "length", "filter")
SPELLINGS = {
    **dict.fromkeys(
        ("response", "reply", "completion", "output", "answer", "content", "prediction", "generation"), "text"
    ),
    **dict.fromkeys(("sample", "sample_id", "question_id", "key", "doc_id"), "id"),
    **dict.fromkeys(("thinking", "reasoning_content", "thought", "thoughts"), "reasoning"),
    **dict.fromkeys(("finish_reason", "stop_reason"), "stop"),
    **dict.fromkeys(("error", "failed"), "failure"),
    **dict.fromkeys(("epoch", "attempt", "trial", "run"), "repeat"),
}
"""What other tools call a field -> what this format does."""
IDS = ("id", *(name for name, field in SPELLINGS.items() if field == "id"))
TEXTS = ("text", *(name for name, field in SPELLINGS.items() if field == "text"))


class Line(Struct, frozen=True, kw_only=True):
    """One recorded reply."""

    id: str | int
    repeat: int = 0
    text: str | None = None
    reasoning: str | None = None
    stop: Literal["stop", "length", "filter"] | None = None
    order: tuple[int, ...] | None = None
    usage: Usage = Usage()
    seconds: float = 0.0
    prompt: str = ""
    """As sent; empty: not known."""
    failure: str = ""
    """Why there is no reply; empty: there is one."""


class Wanted(Struct, frozen=True, kw_only=True):
    """What the user asked for."""

    suite: str | None = None
    model: str | None = None
    protocol: str | None = None
    data: Path | None = None
    sample: bool = False
    results: Path = Path("results")
    run: str | None = None


def read_replies(path: Path, wanted: Wanted) -> list[Card]:
    """Make a run of a file of replies; raises UsageError or DataError in one line."""
    if not wanted.suite or not wanted.model:
        lacking = ("--suite NAME" if not wanted.suite else "", "--model NAME" if not wanted.model else "")
        raise UsageError(f"{path} holds recorded replies: add {' '.join(filter(None, lacking))}")
    check_name(wanted.run)
    suite = one_suite(wanted.suite, wanted.protocol)
    source = Data(suite=suite.name, local=wanted.data, sample=wanted.sample)
    samples, digest = read(suite, source)
    lines = _lines(path, samples)
    repeats = 1 + max(line.repeat for line in lines)
    if repeats > len(lines) or repeats * len(samples) > MOST_RECORDS:
        raise DataError(
            f"{path}: repeat {repeats - 1} in a file of {len(lines)} replies: repeats count from 0"
        )
    card = new_card(
        suite, source, digest, model=wanted.model, source=path.name, origin="replies", repeats=repeats
    )
    return [write_run(suite, card, samples, lines, results=wanted.results, run=wanted.run)]


def check_name(run: str | None) -> None:
    """Raise UsageError if a run cannot be called so."""
    if run is not None and (run != store.slug(run) or "@" in run):
        raise UsageError(f"--run {run!r}: use letters, digits, dots, hyphens and underscores")


def one_suite(name: str, protocol: str | None, *, named: bool = True) -> Suite:
    """Return the suite that the user named, or else the source; raises UsageError for several, or what it refuses."""
    suites = load.suite(name, protocol) if named else load.recorded_suite(name, protocol)
    if len(suites) != 1:
        raise UsageError(f"{name} stands for {', '.join(s.id for s in suites)}: name one with --suite")
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
    """Return the card of a run that is imported; it has no id yet."""
    config = Config(
        suite=suite.id,
        version=suite.version,
        protocol=suite.protocol,
        data_sha256=digest,
        model=model,
        sampling=sampling or Sampling(),
        seed=0,
        repeats=repeats,
    )
    card = describe.new_card(
        config, suite, run="", model=model, data=data.origin, started=started or time.time()
    )
    card.source, card.origin, card.notes = source, f"import {origin}", tuple(notes)
    return card


def _lines(path: Path, samples: SampleStore) -> list[Line]:
    """Read and check all lines before anything is written."""
    lines: list[Line] = []
    seen: set[tuple[str, int]] = set()
    try:
        with disk.open_regular(path) as stream:
            for number, raw in enumerate(disk.lines(stream), 1):
                if (raw := raw.removeprefix(disk.BOM)).strip():
                    lines.append(_checked(_line(raw), seen, f"{path}, line {number}"))
    except BROKEN as error:
        raise DataError(f"{path}, line {number}: {error}") from None
    except OSError as error:
        raise DataError(f"{path}: {error.strerror}") from None
    if not lines:
        raise DataError(f"{path}: no replies in it")
    known = {id_: place for place, id_ in enumerate(samples.ids)}
    strangers = list(dict.fromkeys(str(line.id) for line in lines if str(line.id) not in known))
    if strangers:
        more = f" and {len(strangers) - LISTED} more" if len(strangers) > LISTED else ""
        raise DataError(
            f"{path}: {len(strangers)} id(s) that the suite lacks: {', '.join(name[:60] for name in strangers[:LISTED])}{more}"
        )
    for line in lines:
        if line.order and len(line.order) != (count := len(samples[known[str(line.id)]].choices)):
            raise DataError(
                f"{path}: id {line.id}: order names {len(line.order)} options, the sample has {count}"
            )
    return lines


def _line(raw: bytes) -> Line:
    """Read one line; half an emoji becomes U+FFFD. Raises ValueError, which names a field that is not known."""
    fields = decoded(raw)
    if not isinstance(fields, dict):
        raise ValueError(f"expected an object with id and text, got {type(fields).__name__}")
    for name in fields:
        if name not in Line.__struct_fields__:
            raise ValueError(_unknown(name))
    if fields.get("stop") not in (None, *STOPS):
        raise ValueError(f"stop is {str(fields['stop'])[:60]!r}; known: {', '.join(STOPS)}")
    line = msgspec.convert(fields, Line)
    if "text" not in fields and not line.failure:
        raise ValueError("neither `text` nor `failure`: a line holds a reply, or says why there is none")
    return line


def _unknown(name: str) -> str:
    known = Line.__struct_fields__
    near = (
        [SPELLINGS[name.lower()]]
        if name.lower() in SPELLINGS
        else difflib.get_close_matches(name, known, n=1)
    )
    hint = f"did you mean {near[0]}?" if near else f"known: {', '.join(known)}"
    return f"unknown field {name[:60]!r}; {hint}"


def _checked(line: Line, seen: set[tuple[str, int]], where: str) -> Line:
    if not 0 <= line.repeat < MOST_REPEATS:
        raise DataError(f"{where}: repeat is {line.repeat}; it counts from 0 to {MOST_REPEATS - 1}")
    if len(str(line.id)) > LONGEST_ID:
        raise DataError(f"{where}: an id of {len(str(line.id))} characters; {LONGEST_ID} are allowed")
    if (key := (str(line.id), line.repeat)) in seen:
        raise DataError(f"{where}: id {line.id} repeat {line.repeat} stands twice")
    seen.add(key)
    if line.order is not None and sorted(line.order) != list(range(len(line.order))):
        raise DataError(f"{where}: order {list(line.order)} is no permutation")
    return line


def write_run(
    suite: Suite, card: Card, samples: SampleStore, lines: list[Line], *, results: Path, run: str | None
) -> Card:
    """Score recorded replies into a finalized run."""
    card.run = run or _new_id(card, results / suite.folder / store.slug(card.model))
    path = results / suite.folder / store.slug(card.model) / card.run
    if (path / "card.json").exists():
        raise UsageError(f"run {card.run} exists already in {path.parent}; choose another --run")
    writer = Writer(path, card)
    health = Health()
    try:
        writer.write_card()
        writer.write_samples(samples, questions=not suite.gated)
        with Pool() as pool:
            scoring = Scoring(suite.scorers, pool, suite.errata, ideal=suite.ideal)
            writer.replace(_watched(_records(scoring, samples, lines), health))
        writer.finalize()
        card.health = health.findings
        finish(writer, suite)
        card.status, card.finished = ("finished" if card.coverage == 1.0 else "partial"), time.time()
        writer.write_card()
    finally:
        writer.close()
        samples.close()
    return card


def _new_id(card: Card, folder: Path) -> str:
    """Make an id; several runs alike may be made within one second."""
    first = store.new_id(card.config)
    others = (f"{first}-{number}" for number in range(2, 10_000))
    return next(id_ for id_ in (first, *others) if not (folder / id_).exists())


def _watched(records: Iterator[Record], health: Health) -> Iterator[Record]:
    for record in records:
        health.add(record)
        yield record


BATCH = 512


def _records(scoring: Scoring, samples: SampleStore, lines: list[Line]) -> Iterator[Record]:
    places = {id_: position for position, id_ in enumerate(samples.ids)}
    for start in range(0, len(lines), BATCH):
        batch = [(samples[places[str(line.id)]], line) for line in lines[start : start + BATCH]]
        if scoring.quick:
            yield from (_record(scoring, sample, line) for sample, line in batch)
        else:
            yield from asyncio.run(_together(scoring, batch))


def _asked(line: Line) -> Prompt:
    return Prompt(messages=(Message.user(line.prompt),) if line.prompt else (), order=line.order)


def _reply(line: Line) -> Reply:
    text, reasoning, unclosed = split_reasoning(line.text or "")
    return Reply(
        text=text,
        reasoning=line.reasoning if line.reasoning is not None else reasoning,
        stop="length" if unclosed else line.stop or "stop",
        usage=line.usage,
        seconds=line.seconds,
    )


def _failed(line: Line) -> Record:
    """Record what failed elsewhere: in no mean, counted."""
    outcome = Failure(stage="model", kind="imported", message=line.failure[:500])
    return Record(sample=str(line.id), repeat=line.repeat, prompt=_asked(line), outcome=outcome)


def _record(scoring: Scoring, sample: Sample, line: Line) -> Record:
    if line.failure:
        return _failed(line)
    prompt, reply = _asked(line), _reply(line)
    scores = scoring.now(sample, prompt, reply)
    return Record(sample=str(line.id), repeat=line.repeat, prompt=prompt, outcome=reply, scores=scores)


async def _together(scoring: Scoring, batch: list[tuple[Sample, Line]]) -> list[Record]:
    async def scored(sample: Sample, line: Line) -> Record:
        if line.failure:
            return _failed(line)
        prompt, reply = _asked(line), _reply(line)
        scores = await scoring.all(sample, prompt, reply)
        return Record(sample=str(line.id), repeat=line.repeat, prompt=prompt, outcome=reply, scores=scores)

    return list(await asyncio.gather(*(scored(sample, line) for sample, line in batch)))
