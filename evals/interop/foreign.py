"""Shared by the importers: turn the records of a foreign file into a run of one of our suites.

Records are matched to samples (`matching.py`). Unmatched records are counted and listed, samples without a record are
missing outcomes, and facts that the source does not state stay unknown. Scores that the source states are stored in
`theirs.jsonl` in the run's folder, for `evals audit`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import chain
from pathlib import Path
from typing import Any, Literal, NamedTuple, TypeVar

import msgspec
from msgspec import Struct, structs

from evals import disk
from evals.data import Data
from evals.data.sample_store import SampleStore
from evals.errors import DataError, UsageError
from evals.interop.matching import Finder, shown_options
from evals.interop.replies import (
    MAX_REPEATS,
    ImportRequest,
    RecordedReply,
    check_run_id,
    new_card,
    single_suite,
    write_run,
)
from evals.interop.tasks import suite_of
from evals.interop.values import PARSE_ERRORS, join_names
from evals.labels import ProtocolName
from evals.plain import count_of
from evals.records import store
from evals.records.card import TRUNCATION_UNKNOWN, Card
from evals.run.plan import read_samples
from evals.suite import Suite
from evals.types import Sampling, Usage
from evals.validation import cause

THEIRS = "theirs.jsonl"
"""File in the run's folder with the scores that the source states for single replies."""
UNMATCHED = "unmatched.txt"
"""File in the run's folder with the locations of records that match no sample."""


class Item(Struct, frozen=True, kw_only=True):
    """One reply as recorded in a foreign file; fields that the file does not state keep their defaults."""

    location: str
    """File, and line, row or sample in it; for messages."""
    id: str = ""
    """The data set's own id."""
    question: str = ""
    prompt: str = ""
    """As sent, including few-shot examples."""
    options: tuple[str, ...] = ()
    """As shown, from A on."""
    order: tuple[int, ...] | None = None
    """For each option shown, its index in the data set, if the source states it."""
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
    """The source's score of the reply."""
    answer: str = ""
    """The answer that the source extracted."""
    gold: str = ""
    """The source's gold letter among the options shown."""
    extracted: str | None = None
    """The answer that a language model extracted for the source, if the source scores that answer instead of the reply."""


class Source(Struct, frozen=True, kw_only=True):
    """A run of one benchmark in a foreign file."""

    format: str = ""
    """Set by `formats.read`."""
    tasks: tuple[str, ...]
    """The source's names for the benchmark or its parts."""
    model: str
    items: Callable[[], Iterator[Item]]
    sampling: Sampling = Sampling()
    started: float = 0.0
    stated_scores: dict[str, float] = {}
    """Label -> aggregate score that the source states."""


class StatedScore(Struct, frozen=True, kw_only=True):
    """A line of `theirs.jsonl`: how the source scored a reply."""

    sample: str
    repeat: int
    score: float | None = None
    answer: str = ""
    gold: str = ""
    """The source's gold answer, if it differs from our data's."""


class NoMatch(DataError):
    """No record of a source matches a sample of the suite."""


T = TypeVar("T")


def read_items(
    path: Path, rows: Iterable[tuple[Any, str]], read_row: Callable[[Any, str], Iterable[T]], expected: str
) -> Iterator[T]:
    """Yield what `read_row` makes from each (row, location).

    Raises DataError for a malformed row, with `expected` (what the file should be) in its message.
    """
    for row, location in rows:
        try:
            yield from read_row(row, location)
        except PARSE_ERRORS as error:
            folder, name, place = location.partition(f"{path.name},")
            is_in_path = name and (not folder or folder.endswith("/"))
            full_location = f"{path},{place}" if is_in_path else f"{path}: {location}"
            reason = " ".join(cause(error).split())[:200]
            raise DataError(f"{full_location}: cannot be read as {expected} ({reason})") from None


def import_all(path: Path, sources: Iterable[Source], request: ImportRequest) -> tuple[list[Card], list[str]]:
    """Make a run from the sources of each suite and model; return cards and notes. All sources are read before anything is written.

    Raises UsageError or DataError.
    """
    merged, notes = _merge_by_run(path, list(sources), request)
    prepared = []
    for source, suite in merged:
        try:
            prepared.append(_prepare(path, source, suite, request))
        except NoMatch as error:
            if len(merged) == 1:
                raise
            notes.append(f"left out: {error}")
    if not prepared:
        raise NoMatch("; ".join(notes))
    notes += [note for run in prepared for note in run.matched.notes]
    return [_write(run, request) for run in prepared], notes


def _merge_by_run(
    path: Path, sources: list[Source], request: ImportRequest
) -> tuple[list[tuple[Source, Suite]], list[str]]:
    """Merge the tasks of one suite and model; return the merged sources with their suites, and notes on tasks left out."""
    if not sources:
        raise DataError(f"{path}: contains no samples")
    check_run_id(request.run)
    by_suite: dict[tuple[str | None, str], list[Source]] = {}
    for source in sources:
        name = request.suite or suite_of(source.tasks[0])
        by_suite.setdefault((name, request.model or source.model), []).append(source)
    unknown = [source.tasks[0] for (name, _), group in by_suite.items() if not name for source in group]
    runs = [(name, run) for (name, _), group in by_suite.items() if name for run in divide_into_runs(group)]
    if unknown and not runs:
        raise UsageError(
            f"{path}: unknown {sources[0].format} task {join_names(unknown)}: name its suite with --suite NAME "
            "(`evals list suites`)"
        )
    if len(runs) > 1 and request.run is not None:
        raise UsageError(f"--run names one run, but {path} contains {len(runs)}")
    left_out = f"left out: {join_names(unknown)}, which belong to no suite; name one with --suite"
    from_user = request.suite is not None
    return [
        (_merge(parts), single_suite(name, request.protocol, from_user=from_user)) for name, parts in runs
    ], [left_out] if unknown else []


def divide_into_runs(sources: list[Source]) -> list[list[Source]]:
    """Divide the sources of one suite and model into runs: the tasks of one start, and others with the same sampling settings."""
    by_start: dict[tuple[float, int], list[Source]] = {}
    occurrences: Counter[tuple[float, str]] = Counter()
    for number, source in enumerate(sources, 1):
        start = source.started or -number  # unknown: on its own
        by_start.setdefault((start, occurrences[start, source.tasks[0]]), []).append(source)
        occurrences[start, source.tasks[0]] += 1
    runs: list[list[Source]] = []
    for group in sorted(by_start.values(), key=len, reverse=True):
        tasks = {source.tasks[0] for source in group}
        for run in runs:
            if run[0].sampling == group[0].sampling and tasks.isdisjoint(source.tasks[0] for source in run):
                run += group
                break
        else:  # a task that occurs twice was run twice
            runs.append(group)
    return runs


def _merge(sources: list[Source]) -> Source:
    return structs.replace(
        sources[0],
        tasks=tuple(task for source in sources for task in source.tasks),
        items=lambda: chain.from_iterable(source.items() for source in sources),
        started=min((source.started for source in sources if source.started), default=0.0),
        stated_scores={name: value for source in sources for name, value in source.stated_scores.items()},
    )


class PreparedRun(NamedTuple):
    """A run that has been read completely but not yet written."""

    suite: Suite
    data: Data
    card: Card
    samples: SampleStore
    matched: MatchedItems


def _prepare(path: Path, source: Source, suite: Suite, request: ImportRequest) -> PreparedRun:
    data = Data(suite=suite.name, local=request.data, sample=request.sample)
    samples, digest = read_samples(suite, data)
    is_official = ProtocolName.parse(suite.protocol).base == "official"
    matched = MatchedItems(source, samples, use_extracted=is_official)
    if not matched.replies:
        samples.close()
        if not matched.unmatched:
            raise NoMatch(f"{path}: contains no replies ({join_names(source.tasks)})")
        raise NoMatch(
            f"{path}: none of its replies matches a sample of {suite.id} "
            f"({join_names(source.tasks)}: {'; '.join(matched.notes)})"
        )
    model = request.model or source.model
    if not model:
        raise UsageError(f"{path} does not name the model: add --model NAME")
    card = new_card(
        suite, data, digest, model=model, source=path.name, origin=source.format,
        repeats=1 + max(reply.repeat for reply in matched.replies), sampling=source.sampling, started=source.started,
        notes=(*matched.notes, *(f"{source.format} states {name} {value:.6g}" for name, value in source.stated_scores.items())),
    )  # fmt: skip
    return PreparedRun(suite, data, card, samples, matched)


def _write(run: PreparedRun, request: ImportRequest) -> Card:
    matched = run.matched
    card = write_run(
        run.suite, run.card, run.samples, matched.replies, data=run.data, results=request.results, run=request.run,
    )  # fmt: skip
    folder = request.results / run.suite.folder / store.slug(card.model) / card.run
    disk.replace(folder / THEIRS, msgspec.json.Encoder().encode_lines(matched.theirs))
    if matched.unmatched:
        disk.replace(folder / UNMATCHED, "".join(f"{location}\n" for location in matched.unmatched).encode())
    return card


class _Matched(NamedTuple):
    """A reply to one of our samples."""

    reply: RecordedReply
    stated: StatedScore
    location: str
    is_numbered: bool
    """Whether the source states the repeat."""

    def with_repeat(self, repeat: int) -> _Matched:
        """Return the reply as another repeat of its sample."""
        return self._replace(
            reply=structs.replace(self.reply, repeat=repeat),
            stated=structs.replace(self.stated, repeat=repeat),
        )


class MatchedItems:
    """A source's items, matched to our samples, with notes on what was left out or differs."""

    def __init__(self, source: Source, samples: SampleStore, *, use_extracted: bool) -> None:
        self.unmatched: list[str] = []
        """Locations of items that match no sample."""
        self._use_extracted = use_extracted
        """Whether to score the answers that the source's language model extracted instead of the replies."""
        self._finder = Finder(samples)
        self._reply_counts: Counter[str] = Counter()
        """Number of replies per sample."""
        self._matched: dict[tuple[str, int], _Matched] = {}
        """The replies by sample and repeat."""
        self._duplicates: list[str] = []
        self._extracted_count = 0
        self._differing_golds: list[str] = []
        self._differing_options: list[str] = []
        for item in source.items():
            self._add(item)
        kept, surplus = _without_surplus(list(self._matched.values()))
        self._duplicates += surplus
        self.replies = [reply for reply, *_ in kept]
        self.theirs = [stated for _, stated, *_ in kept]
        self.notes = list(self._notes(absent=len(samples) - len(self._reply_counts)))

    def _add(self, item: Item) -> None:
        sample = _matching_sample(self._finder, item, self._reply_counts)
        repeat = item.repeat if item.repeat is not None else self._reply_counts[sample]
        if not isinstance(repeat, int) or not 0 <= repeat < MAX_REPEATS:
            raise DataError(f"{item.location}: {repeat!r} is not a valid repeat")
        if not sample:
            self.unmatched.append(item.location)
            return
        if (earlier := self._matched.get((sample, repeat))) is not None:
            is_retry = earlier.reply.failure and not _failure_of(item)
            self._duplicates.append(earlier.location if is_retry else item.location)
            if not is_retry:
                return
        else:
            self._reply_counts[sample] += 1
        if self._use_extracted and item.extracted is not None:
            self._extracted_count += 1
            item = structs.replace(item, text=item.extracted)
        if item.order and sorted(item.order) != list(range(self._finder.option_count(sample))):
            raise DataError(
                f"{item.location}: order {list(item.order)} is not a permutation of the sample's options"
            )
        order, is_known = _option_order(self._finder, item, sample)
        gold = item.gold if is_known and self._finder.gold_differs(sample, item.gold, order) else ""
        self._differing_options += [] if is_known else [sample]
        self._differing_golds += [sample] if gold else []
        stated = StatedScore(
            sample=sample, repeat=repeat, score=item.score, answer=item.answer[:200], gold=gold
        )
        reply = RecordedReply(
            id=sample, repeat=repeat, text=item.text, reasoning=item.reasoning, stop=item.stop, order=order,
            usage=item.usage, seconds=item.seconds, prompt=item.prompt, failure=_failure_of(item),
        )  # fmt: skip
        self._matched[sample, repeat] = _Matched(reply, stated, item.location, item.repeat is not None)

    def _notes(self, *, absent: int) -> Iterator[str]:
        if names := self._duplicates:
            yield f"{count_of(len(names), 'duplicate record')} left out: {join_names(sorted(names))}"
        if self._extracted_count:
            replies = count_of(self._extracted_count, "reply", "replies")
            yield f"{replies} scored by the answer that the source's language model extracted"
        if names := self.unmatched:
            yield f"{count_of(len(names), 'record')} without a matching sample: {join_names(names)}"
        if not any(reply.stop for reply in self.replies if reply.text is not None):
            yield TRUNCATION_UNKNOWN
        if names := self._differing_options:
            yield f"{count_of(len(names), 'record')} with options that differ from ours, read in our order: {join_names(names)}"
        if names := self._differing_golds:
            yield f"{count_of(len(names), 'record')} scored against a gold answer that differs from ours: {join_names(names)}"
        if absent:
            yield f"{count_of(absent, 'sample')} without a record"


def _without_surplus(matched: Sequence[_Matched]) -> tuple[list[_Matched], list[str]]:
    """Return the replies without duplicates, and the locations of the latter.

    Of the replies without a stated repeat, those beyond the most frequent number per sample are duplicates, not repeats:
    first the failures, then the later ones.
    """
    by_sample: dict[str, list[int]] = {}
    for index, (reply, _, _, is_numbered) in enumerate(matched):
        if not is_numbered:
            by_sample.setdefault(str(reply.id), []).append(index)
    frequency = Counter(map(len, by_sample.values()))
    most_frequent = max(frequency, key=lambda count: (frequency[count], count), default=1)
    numbered = dict(enumerate(matched))
    surplus = []
    for indices in by_sample.values():
        by_use = sorted(indices, key=lambda index: bool(matched[index].reply.failure))
        surplus += [numbered.pop(index).location for index in by_use[most_frequent:]]
        repeats = [matched[index].reply.repeat for index in indices]
        for index, repeat in zip(sorted(by_use[:most_frequent]), repeats, strict=False):
            numbered[index] = matched[index].with_repeat(repeat)
    return list(numbered.values()), surplus


def _matching_sample(finder: Finder, item: Item, reply_counts: Counter[str]) -> str:
    """Return the id of the sample that matches an item, empty if none does; if several do, the one with the fewest replies."""
    if item.id and (sample := finder.by_id(item.id)):
        if finder.has_question(sample, item.question):
            return sample
        samples = finder.by_question(item.question) if item.question else []
        if not samples or sample in samples:  # otherwise the id is the source's own number
            return sample
    candidates = finder.by_question(item.question, item.options) if item.question else []
    candidates = candidates or (finder.by_prompt(item.prompt) if item.prompt else [])
    return min(candidates, key=lambda sample: reply_counts[sample], default="")


def _option_order(finder: Finder, item: Item, sample: str) -> tuple[tuple[int, ...] | None, bool]:
    """Return the order of the options shown (None: as in the data set), and whether it is known."""
    options = item.options or tuple(shown_options(item.prompt))
    order = item.order or (finder.option_order(sample, options) if options else None)
    is_known = order is not None or not options or finder.option_count(sample) != len(options)
    return (None if order == tuple(range(len(order or ()))) else order), is_known


def _failure_of(item: Item) -> str:
    """Return why there is no reply; empty if there is one."""
    return item.failure or ("" if item.text is not None else "absent in the source")
