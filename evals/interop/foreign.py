"""What importers share: foreign records become a run of one of our suites, and nothing is invented.

A record is matched to a sample (`matching.py`); what matches none is counted and named, samples that the source lacks
are missing outcomes. A score that the source states is kept beside the run in `theirs.jsonl`, for `evals audit`.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Literal, NamedTuple

import msgspec
from msgspec import Struct, structs

from evals import load
from evals.data import Data
from evals.data.sample_store import Spool
from evals.errors import DataError, UsageError
from evals.interop.matching import Finder, shown_options
from evals.interop.replies import Line, write_run
from evals.interop.tasks import suite_of
from evals.records import card as cards
from evals.records import store
from evals.records.card import UNTOLD, Card, Config
from evals.run.plan import read
from evals.suite import Suite
from evals.types import Sampling, Usage

LISTED = 5
MOST = 10_000
"""Repeats of a sample."""
THEIRS = "theirs.jsonl"
UNMATCHED = "unmatched.txt"


class Item(Struct, frozen=True, kw_only=True):
    """One reply as a foreign file has it; what the file does not say is empty or None."""

    where: str
    """Its place in the source, for messages."""
    id: str = ""
    """The data set's own id."""
    question: str = ""
    prompt: str = ""
    """As sent, few-shot examples included."""
    options: tuple[str, ...] = ()
    """As shown, from A on."""
    order: tuple[int, ...] | None = None
    """For each option shown its place in the data's order, where the source knows that."""
    text: str | None = None
    """None: there is no reply."""
    reasoning: str | None = None
    stop: Literal["stop", "length", "filter"] | None = None
    usage: Usage = Usage()
    seconds: float = 0.0
    repeat: int | None = None
    failure: str = ""
    """Why there is no reply, where the source says so."""
    score: float | None = None
    """Theirs."""
    answer: str = ""
    """Theirs."""
    gold: str = ""
    """The letter among the options shown that they took for right, where the source says it."""
    extracted: str | None = None
    """What a language model of theirs cut out of the reply: what their own rule compares."""


class Source(Struct, frozen=True, kw_only=True):
    """A foreign run of one benchmark."""

    format: str
    tasks: tuple[str, ...]
    """As the source names them."""
    model: str
    items: Callable[[], Iterator[Item]]
    sampling: Sampling = Sampling()
    started: float = 0.0
    stated: dict[str, float] = {}
    """Scores of the whole as the source prints them."""


class Stated(Struct, frozen=True, kw_only=True):
    """A line of `theirs.jsonl`: what the source made of a reply."""

    sample: str
    repeat: int
    score: float | None = None
    answer: str = ""
    gold: str = ""
    """Theirs, where it is another one than that of our data."""


class Wanted(Struct, frozen=True, kw_only=True):
    """What the user asked for."""

    suite: str | None = None
    model: str | None = None
    protocol: str | None = None
    data: Path | None = None
    sample: bool = False
    results: Path = Path("results")
    run: str | None = None


def import_all(path: Path, sources: Iterable[Source], wanted: Wanted) -> tuple[list[Card], list[str]]:
    """Make a run of every source; gives cards and notes. Raises UsageError or DataError in one line."""
    resolved, notes = _resolved(path, list(sources), wanted)
    ready = []
    for source, suite in resolved:
        try:
            ready.append(_prepared(path, source, suite, wanted))
        except Unmatched as error:
            if len(resolved) == 1:
                raise
            notes.append(f"left out: {error}")
    if not ready:
        raise Unmatched("; ".join(notes))
    notes += [note for one in ready for note in one.notes]
    return [_written(one, wanted) for one in ready], notes


class Unmatched(DataError):
    """None of a source's replies is about a sample of the suite."""


def _resolved(
    path: Path, sources: list[Source], wanted: Wanted
) -> tuple[list[tuple[Source, Suite]], list[str]]:
    """Find the suite of each source, one run for all the tasks of a suite and model; and say what has none."""
    if not sources:
        raise DataError(f"{path}: no samples in it")
    if wanted.run is not None and (wanted.run != store.slug(wanted.run) or "@" in wanted.run):
        raise UsageError(f"--run {wanted.run!r}: use letters, digits, dots, hyphens and underscores")
    found: dict[tuple[str, str, int], list[Source]] = {}
    strange = []
    times: Counter[tuple[str, str, str]] = Counter()
    for source in sources:
        name = wanted.suite or suite_of(source.tasks[0])
        if name is None:
            strange.append(source.tasks[0])
            continue
        model = wanted.model or source.model
        again = times[name, model, source.tasks[0]]  # a task that stands twice was run twice
        times[name, model, source.tasks[0]] += 1
        found.setdefault((name, model, again), []).append(source)
    if strange and not found:
        raise UsageError(
            f"{path}: {', '.join(strange[:LISTED])} of {sources[0].format}: name the suite that was asked, --suite NAME "
            "(`evals list suites`)"
        )
    if len(found) > 1 and wanted.run is not None:
        raise UsageError(f"--run names one run, and {path} holds {len(found)}")
    left = [f"left out: {_some(strange)}: name the suite that was asked, --suite NAME"] if strange else []
    named = wanted.suite is not None
    return [
        (merged(some), _suite(name, wanted.protocol, named=named)) for (name, *_), some in found.items()
    ], left


def merged(some: list[Source]) -> Source:
    """Put the tasks of one suite together."""
    if len(some) == 1:
        return some[0]

    def items() -> Iterator[Item]:
        for source in some:
            yield from source.items()

    first = some[0]
    return Source(
        format=first.format,
        tasks=tuple(task for source in some for task in source.tasks),
        model=first.model,
        items=items,
        sampling=first.sampling,
        started=min(source.started for source in some),
        stated={name: value for source in some for name, value in source.stated.items()},
    )


def _suite(name: str, protocol: str | None, *, named: bool) -> Suite:
    """Resolve a suite that the user named, or that the source names."""
    found = load.suite(name, protocol) if named else load.recorded_suite(name, protocol)
    if len(found) != 1:
        raise UsageError(f"{name} stands for {', '.join(s.id for s in found)}: name one with --suite")
    if found[0].refuses:
        raise UsageError(found[0].refuses)
    return found[0]


class Ready(NamedTuple):
    """A run that was read to its end, and of which nothing is written yet."""

    suite: Suite
    card: Card
    spool: Spool
    lines: list[Line]
    theirs: list[Stated]
    lost: list[str]
    """Theirs that match no sample of ours, by their place in the source."""
    notes: list[str]


def _prepared(path: Path, source: Source, suite: Suite, wanted: Wanted) -> Ready:
    data = Data(suite=suite.name, local=wanted.data, sample=wanted.sample)
    spool, digest = read(suite, data)
    lines, theirs, lost, notes = _matched(source, spool, extracted=suite.protocol == "official")
    if not lines:
        spool.close()
        raise Unmatched(
            f"{path}: none of its replies is about a sample of {suite.id} "
            f"({_some(list(source.tasks))}: {'; '.join(notes)})"
        )
    model = wanted.model or source.model
    if not model:
        raise UsageError(f"{path} does not name the model: add --model NAME")
    card = Card(
        run="",
        config=Config(
            suite=suite.id,
            version=suite.version,
            protocol=suite.protocol,
            data_sha256=digest,
            model=model,
            sampling=source.sampling,
            seed=0,
            repeats=1 + max(line.repeat for line in lines),
        ),
        model=model,
        data=data.origin,
        source=path.name,
        gated=suite.gated,
        origin=f"import {source.format}",
        started=source.started or time.time(),
        chance=suite.chance,
        scorers=suite.scorer_versions(),
        errata=suite.errata.version,
        commit=cards.commit(),
        packages=cards.packages(),
        notes=tuple(notes + _stated(source)),
    )
    return Ready(suite, card, spool, lines, theirs, lost, notes)


def _written(ready: Ready, wanted: Wanted) -> Card:
    made = write_run(
        ready.suite, ready.card, ready.spool, ready.lines, results=wanted.results, run=wanted.run
    )
    folder = wanted.results / ready.suite.folder / store.slug(made.model) / made.run
    store.write_file(folder / THEIRS, b"".join(msgspec.json.encode(one) + b"\n" for one in ready.theirs))
    if ready.lost:
        store.write_file(folder / UNMATCHED, "".join(f"{where}\n" for where in ready.lost).encode())
    return made


def _stated(source: Source) -> list[str]:
    return [f"{source.format} states {name} {value:.6g}" for name, value in source.stated.items()]


def _matched(
    source: Source, spool: Spool, *, extracted: bool
) -> tuple[list[Line], list[Stated], list[str], list[str]]:
    """Turn items into lines; gives what the source states of them, what matched nothing, and notes on both."""
    finder = Finder(spool)
    taken: Counter[str] = Counter()
    seen: set[tuple[str, int]] = set()
    lines: list[Line] = []
    theirs: list[Stated] = []
    lost: list[str] = []
    doubled: list[str] = []
    counted: dict[int, tuple[str, str]] = {}
    """Position among the lines -> sample and place of a row whose repeat nobody states."""
    cuts = 0
    golds: list[str] = []
    strange: list[str] = []
    for item in source.items():
        found = _match(finder, item, taken)
        repeat = item.repeat if item.repeat is not None else taken[found]
        if not isinstance(repeat, int) or not 0 <= repeat < MOST:
            raise DataError(f"{item.where}: {repeat!r} is no number of a repeat")
        if not found:
            lost.append(item.where)
            continue
        if (found, repeat) in seen:
            doubled.append(item.where)
            continue
        if item.repeat is None:
            counted[len(lines)] = (found, item.where)
        taken[found] += 1
        seen.add((found, repeat))
        cut = item.extracted if extracted else None
        cuts += cut is not None
        order, known = _order(finder, item, found)
        strange += [] if known else [found]
        gold = item.gold if known and finder.another_gold(found, item.gold, order) else ""
        golds += [found] if gold else []
        lines.append(_line(item if cut is None else structs.replace(item, text=cut), found, repeat, order))
        theirs.append(
            Stated(sample=found, repeat=repeat, score=item.score, answer=item.answer[:200], gold=gold)
        )
    for position in reversed(_beyond(counted)):
        doubled.append(counted[position][1])
        del lines[position], theirs[position]
    notes = []
    if doubled:
        notes.append(f"{len(doubled)} stand twice and are left out: {_some(sorted(doubled))}")
    if cuts:
        notes.append(f"{cuts} are scored by what the source's language model cut out of the reply")
    if lost:
        notes.append(f"{len(lost)} of theirs match no sample of ours: {_some(lost)}")
    if not any(line.stop for line in lines if line.text is not None):
        notes.append(UNTOLD)
    if strange:
        notes.append(
            f"{len(strange)} show other options than those of our data, and are read in its order: {_some(strange)}"
        )
    if golds:
        notes.append(
            f"{len(golds)} were judged there by another gold answer than that of our data: {_some(golds)}"
        )
    if absent := len(spool) - len(taken):
        notes.append(f"{absent} of our samples are not among theirs")
    return lines, theirs, lost, notes


def _beyond(counted: dict[int, tuple[str, str]]) -> list[int]:
    """Return the rows beyond the repeats that most samples have: a doubled row is none."""
    rows = Counter(found for found, _ in counted.values())
    many = Counter(rows.values())
    usual = max(many, key=lambda count: (many[count], count), default=1)
    before: Counter[str] = Counter()
    beyond = []
    for position, (found, _) in counted.items():
        before[found] += 1
        if before[found] > usual:
            beyond.append(position)
    return beyond


def _some(names: list[str]) -> str:
    more = f" and {len(names) - LISTED} more" if len(names) > LISTED else ""
    return ", ".join(names[:LISTED]) + more


def _match(finder: Finder, item: Item, taken: Counter[str]) -> str:
    """Give the sample that an item is about, among equals the one that was taken least; empty: none."""
    if item.id and (found := finder.by_id(item.id)):
        if finder.asks(found, item.question):
            return found
        alike = finder.by_question(item.question) if item.question else []
        if not alike or found in alike:  # else the id is a number of the source's own
            return found
    candidates = finder.by_question(item.question, item.options) if item.question else []
    candidates = candidates or (finder.by_prompt(item.prompt) if item.prompt else [])
    return min(candidates, key=lambda name: taken[name], default="")


def _order(finder: Finder, item: Item, name: str) -> tuple[tuple[int, ...] | None, bool]:
    """Give the order of the options as shown, None for that of the data; and whether it is known."""
    options = item.options or tuple(shown_options(item.prompt))
    order = item.order or (finder.order(name, options) if options else None)
    known = order is not None or not options or finder.count(name) != len(options)
    return (None if order == tuple(range(len(order or ()))) else order), known


def _line(item: Item, name: str, repeat: int, order: tuple[int, ...] | None) -> Line:
    return Line(
        id=name,
        repeat=repeat,
        text=item.text,
        reasoning=item.reasoning,
        stop=item.stop,
        order=order,
        usage=item.usage,
        seconds=item.seconds,
        prompt=item.prompt,
        failure=item.failure or ("" if item.text is not None else "absent in the source"),
    )
