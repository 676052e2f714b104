"""What importers share: foreign records become a run of one of our suites, and nothing is invented.

A record is matched to a sample (`matching.py`); what matches none is counted and named, samples that the source lacks
are missing outcomes. A score that the source states is kept beside the run in `theirs.jsonl`, for `evals audit`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any, Literal, NamedTuple

import msgspec
from msgspec import Struct, structs

from evals import disk
from evals.data import Data
from evals.data.sample_store import SampleStore
from evals.errors import DataError, UsageError
from evals.interop.matching import Finder, shown_options
from evals.interop.replies import Line, Wanted, check_name, new_card, one_suite, write_run
from evals.interop.tasks import suite_of
from evals.interop.values import BROKEN
from evals.records import store
from evals.records.card import TRUNCATION_UNKNOWN, Card
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
    """For each option shown its place in the data's order, if the source states it."""
    text: str | None = None
    """None: there is no reply."""
    reasoning: str | None = None
    stop: Literal["stop", "length", "filter"] | None = None
    usage: Usage = Usage()
    seconds: float = 0.0
    repeat: int | None = None
    failure: str = ""
    """Why there is no reply, if the source says so."""
    score: float | None = None
    """Theirs."""
    answer: str = ""
    """Theirs."""
    gold: str = ""
    """The gold letter among the options shown, if the source states it."""
    extracted: str | None = None
    """What the source's language model extracted from the reply: what their own rule compares."""


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
    """A line of `theirs.jsonl`: the source's verdict on a reply."""

    sample: str
    repeat: int
    score: float | None = None
    answer: str = ""
    gold: str = ""
    """Theirs, if it differs from that of our data."""


def items(
    path: Path, rows: Iterable[tuple[Any, str]], make: Callable[[Any, str], Iterable[Item]], what: str
) -> Iterator[Item]:
    """Yield what `make` reads from each row (and its place); what it breaks at becomes a DataError in one line."""
    for row, where in rows:
        try:
            yield from make(row, where)
        except BROKEN as error:
            reason = " ".join(str(error).split())[:200]
            raise DataError(f"{path}: {where}: no {what} ({type(error).__name__}: {reason})") from None


def import_all(path: Path, sources: Iterable[Source], wanted: Wanted) -> tuple[list[Card], list[str]]:
    """Make a run of every source; returns cards and notes. Raises UsageError or DataError in one line."""
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
    notes += [note for run in ready for note in run.matched.notes]
    return [_written(run, wanted) for run in ready], notes


class Unmatched(DataError):
    """None of a source's replies is about a sample of the suite."""


def _resolved(
    path: Path, sources: list[Source], wanted: Wanted
) -> tuple[list[tuple[Source, Suite]], list[str]]:
    """Find the suite of each source, one run for all the tasks of a suite and model; and say what has none."""
    if not sources:
        raise DataError(f"{path}: no samples in it")
    check_name(wanted.run)
    by_run: dict[tuple[str, str, int], list[Source]] = {}
    unknown = []
    times: Counter[tuple[str, str, str]] = Counter()
    for source in sources:
        name = wanted.suite or suite_of(source.tasks[0])
        if name is None:
            unknown.append(source.tasks[0])
            continue
        model = wanted.model or source.model
        again = times[name, model, source.tasks[0]]  # a task that stands twice was run twice
        times[name, model, source.tasks[0]] += 1
        by_run.setdefault((name, model, again), []).append(source)
    if unknown and not by_run:
        raise UsageError(
            f"{path}: {', '.join(unknown[:LISTED])} of {sources[0].format}: name the suite that was asked, --suite NAME "
            "(`evals list suites`)"
        )
    if len(by_run) > 1 and wanted.run is not None:
        raise UsageError(f"--run names one run, and {path} holds {len(by_run)}")
    left = [f"left out: {_some(unknown)}: name the suite that was asked, --suite NAME"] if unknown else []
    named = wanted.suite is not None
    return [
        (merged(together), one_suite(name, wanted.protocol, named=named))
        for (name, *_), together in by_run.items()
    ], left


def merged(sources: list[Source]) -> Source:
    """Merge the tasks of one suite."""
    if len(sources) == 1:
        return sources[0]

    def items() -> Iterator[Item]:
        for source in sources:
            yield from source.items()

    first = sources[0]
    return Source(
        format=first.format,
        tasks=tuple(task for source in sources for task in source.tasks),
        model=first.model,
        items=items,
        sampling=first.sampling,
        started=min(source.started for source in sources),
        stated={name: value for source in sources for name, value in source.stated.items()},
    )


class Ready(NamedTuple):
    """A run that was read to its end, and of which nothing is written yet."""

    suite: Suite
    card: Card
    samples: SampleStore
    matched: Matched


def _prepared(path: Path, source: Source, suite: Suite, wanted: Wanted) -> Ready:
    data = Data(suite=suite.name, local=wanted.data, sample=wanted.sample)
    samples, digest = read(suite, data)
    matched = Matched(source, samples, extracted=suite.protocol == "official")
    if not matched.lines:
        samples.close()
        raise Unmatched(
            f"{path}: none of its replies is about a sample of {suite.id} "
            f"({_some(list(source.tasks))}: {'; '.join(matched.notes)})"
        )
    model = wanted.model or source.model
    if not model:
        raise UsageError(f"{path} does not name the model: add --model NAME")
    card = new_card(
        suite,
        data,
        digest,
        model=model,
        source=path.name,
        origin=source.format,
        repeats=1 + max(line.repeat for line in matched.lines),
        sampling=source.sampling,
        started=source.started,
        notes=[*matched.notes, *_stated(source)],
    )
    return Ready(suite, card, samples, matched)


def _written(ready: Ready, wanted: Wanted) -> Card:
    matched = ready.matched
    card = write_run(
        ready.suite, ready.card, ready.samples, matched.lines, results=wanted.results, run=wanted.run
    )
    folder = wanted.results / ready.suite.folder / store.slug(card.model) / card.run
    disk.replace(folder / THEIRS, b"".join(msgspec.json.encode(one) + b"\n" for one in matched.theirs))
    if matched.lost:
        disk.replace(folder / UNMATCHED, "".join(f"{where}\n" for where in matched.lost).encode())
    return card


def _stated(source: Source) -> list[str]:
    return [f"{source.format} states {name} {value:.6g}" for name, value in source.stated.items()]


class Matched:
    """A source's items as lines about our samples, with what is to be said of them."""

    def __init__(self, source: Source, samples: SampleStore, *, extracted: bool) -> None:
        self.lines: list[Line] = []
        self.theirs: list[Stated] = []
        self.lost: list[str] = []
        """Items that match no sample of ours, by their place in the source."""
        self._extracted = extracted
        """Whether to score what the source's language model cut out of the replies."""
        self._finder = Finder(samples)
        self._taken: Counter[str] = Counter()
        self._seen: set[tuple[str, int]] = set()
        self._counted: dict[int, tuple[str, str]] = {}
        """Position among the lines -> sample and place of a row whose repeat nobody states."""
        self._doubled: list[str] = []
        self._cuts = 0
        self._other_golds: list[str] = []
        self._other_options: list[str] = []
        for item in source.items():
            self._add(item)
        for position in reversed(_beyond(self._counted)):
            self._doubled.append(self._counted[position][1])
            del self.lines[position], self.theirs[position]
        self.notes = list(self._notes(absent=len(samples) - len(self._taken)))

    def _add(self, item: Item) -> None:
        sample = _match(self._finder, item, self._taken)
        repeat = item.repeat if item.repeat is not None else self._taken[sample]
        if not isinstance(repeat, int) or not 0 <= repeat < MOST:
            raise DataError(f"{item.where}: {repeat!r} is no number of a repeat")
        if not sample:
            self.lost.append(item.where)
            return
        if (sample, repeat) in self._seen:
            self._doubled.append(item.where)
            return
        if item.repeat is None:
            self._counted[len(self.lines)] = (sample, item.where)
        self._taken[sample] += 1
        self._seen.add((sample, repeat))
        if self._extracted and item.extracted is not None:
            self._cuts += 1
            item = structs.replace(item, text=item.extracted)
        order, known = _order(self._finder, item, sample)
        self._other_options += [] if known else [sample]
        gold = item.gold if known and self._finder.another_gold(sample, item.gold, order) else ""
        self._other_golds += [sample] if gold else []
        self.lines.append(_line(item, sample, repeat, order))
        self.theirs.append(
            Stated(sample=sample, repeat=repeat, score=item.score, answer=item.answer[:200], gold=gold)
        )

    def _notes(self, *, absent: int) -> Iterator[str]:
        if doubled := self._doubled:
            yield f"{len(doubled)} stand twice and are left out: {_some(sorted(doubled))}"
        if self._cuts:
            yield f"{self._cuts} are scored by what the source's language model cut out of the reply"
        if self.lost:
            yield f"{len(self.lost)} of theirs match no sample of ours: {_some(self.lost)}"
        if not any(line.stop for line in self.lines if line.text is not None):
            yield TRUNCATION_UNKNOWN
        if other := self._other_options:
            yield f"{len(other)} show other options than those of our data, and are read in its order: {_some(other)}"
        if other := self._other_golds:
            yield f"{len(other)} were judged there by another gold answer than that of our data: {_some(other)}"
        if absent:
            yield f"{absent} of our samples are not among theirs"


def _beyond(counted: dict[int, tuple[str, str]]) -> list[int]:
    """Return the rows beyond the repeats that most samples have: a doubled row is none."""
    rows = Counter(sample for sample, _ in counted.values())
    many = Counter(rows.values())
    usual = max(many, key=lambda count: (many[count], count), default=1)
    before: Counter[str] = Counter()
    beyond = []
    for position, (sample, _) in counted.items():
        before[sample] += 1
        if before[sample] > usual:
            beyond.append(position)
    return beyond


def _some(names: list[str]) -> str:
    more = f" and {len(names) - LISTED} more" if len(names) > LISTED else ""
    return ", ".join(names[:LISTED]) + more


def _match(finder: Finder, item: Item, taken: Counter[str]) -> str:
    """Return the sample that an item is about, among equals the one that was taken least; empty: none."""
    if item.id and (sample := finder.by_id(item.id)):
        if finder.asks(sample, item.question):
            return sample
        same = finder.by_question(item.question) if item.question else []
        if not same or sample in same:  # else the id is a number of the source's own
            return sample
    candidates = finder.by_question(item.question, item.options) if item.question else []
    candidates = candidates or (finder.by_prompt(item.prompt) if item.prompt else [])
    return min(candidates, key=lambda name: taken[name], default="")


def _order(finder: Finder, item: Item, name: str) -> tuple[tuple[int, ...] | None, bool]:
    """Return the order of the options as shown, None for that of the data; and whether it is known."""
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
