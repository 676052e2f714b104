"""Runs as one table: grouped by suite and protocol, seeds pooled, with marks on numbers.

Marks say which numbers are not benchmark scores, and which were preregistered or challenged.

A wide terminal shows the marks as words, a narrow one as letters with a legend.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from statistics import fmean
from types import MappingProxyType
from typing import Any, Literal, TypeAlias, TypeVar

from msgspec import Struct, structs

from evals.challenge.summary import Challenge
from evals.records.card import Card
from evals.records.names import short_ids
from evals.report.estimand_names import describe_estimand
from evals.terminal import trust_marks
from evals.terminal.figures import figure, interval, moment, percent
from evals.terminal.layout import Column, Section, table, wrap
from evals.terminal.trust_marks import Challenges
from evals.types import VERDICTS, Estimate

Cell = TypeVar("Cell")
Sort: TypeAlias = Literal["when", "score", "model", "n"]
FEW = 30
"""Number of clusters (passages, images) below which an interval is marked as unreliable."""
MARKS = {
    "B": "looks broken: every reply is empty, and the score says nothing of the model",
    "S": "sample items: not a benchmark score",
    "P": "a subset of the items",
    "E": "stopped early, or a recording of some items alone",
    "R": "not finished",
    "C": "some outcomes are missing",
    "A": "of the answered items alone: the metric leaves out replies without an answer",
    "G": "no mean over groups: some have no scored item",
    "F": f"fewer than {FEW} independent clusters",
    **trust_marks.MEANINGS,
}


class Line(Struct, frozen=True, kw_only=True):
    """A row: one run, or the seeds of one configuration pooled."""

    cards: tuple[Card, ...]
    """The newest last."""
    head: Estimate | None
    """None: nothing was scored yet."""
    challenges: tuple[Challenge | None, ...] = ()
    """Of each run; None: it was not challenged."""

    @property
    def card(self) -> Card:
        """Return the newest run."""
        return self.cards[-1]

    @property
    def when(self) -> float:
        """Return the second at which the newest run was started."""
        return self.card.started

    @property
    def truncated(self) -> float | None:
        """Return the share of replies that ended at max tokens; None if it is not known."""
        replies = sum(n for card in self.cards for name, n in card.counts.items() if name in VERDICTS)
        reported = all(card.truncation_known for card in self.cards) and not any(self.sizes)
        return sum(card.truncated for card in self.cards) / replies if replies and reported else None

    @property
    def sizes(self) -> list[str]:
        """Return parameters, trained parameters and latency of an image classifier, which generates no text; else empty texts."""
        stated = {e.metric: figure(e) for e in self.card.estimates if not e.group and e.value is not None}
        return [stated.get(name, "") for name in ("parameters", "trained_parameters", "latency")]

    @property
    def coverage(self) -> float:
        """Return the least share of scored outcomes among the runs."""
        return min(card.coverage for card in self.cards)


# --- seeds ---------------------------------------------------------------------------------------------------


def pooled(cards: Iterable[Card], challenges: Challenges = MappingProxyType({})) -> list[Line]:
    """Pool complete runs that differ only in their seed (the newest of each seed) into one row; others get their own.

    The pooled value is the mean of the runs' values and its interval the mean of theirs: the items are the same, so the
    standard error of the mean is at most the mean of the standard errors, whatever the runs have in common.
    """
    by_key: dict[Any, dict[tuple[int, int | None], Card]] = defaultdict(dict)
    alone: list[Card] = []
    for card in cards:
        head = card.headline
        if not card.complete or head is None or head.value is None:
            alone.append(card)
            continue
        seeds = by_key[_configuration(card)]
        seed = (card.config.seed, card.config.sampling.seed)
        if (older := seeds.get(seed)) is not None:
            older, card = sorted((older, card), key=lambda card: card.started)
            alone.append(older)
        seeds[seed] = card
    pools = [_pool(sorted(seeds.values(), key=lambda card: card.started)) for seeds in by_key.values()]
    return [*single(alone, challenges), *(_with_challenges(line, challenges) for line in pools)]


def _configuration(card: Card) -> tuple[Any, ...]:
    config = structs.replace(card.config, seed=0, sampling=structs.replace(card.config.sampling, seed=None))
    return repr(config), card.model, card.data, card.origin, tuple(sorted(card.scorers.items()))


def _pool(cards: Sequence[Card]) -> Line:
    heads = [head for card in cards if (head := card.headline) is not None]
    first = heads[-1]
    if len(heads) == 1:
        return Line(cards=tuple(cards), head=first)
    head = structs.replace(
        first,
        value=_mean([head.value for head in heads]),
        low=_mean([head.low for head in heads]),
        high=_mean([head.high for head in heads]),
        worst=_mean([head.worst for head in heads]),
        best=_mean([head.best for head in heads]),
        n=sum(head.n for head in heads),
        method="mean over seeds; the interval is the mean of theirs",
    )
    return Line(cards=tuple(cards), head=head)


def _mean(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return fmean(known) if len(known) == len(values) and known else None


def single(cards: Iterable[Card], challenges: Challenges = MappingProxyType({})) -> list[Line]:
    """Return a row for every run."""
    return [_with_challenges(Line(cards=(card,), head=card.headline), challenges) for card in cards]


def _with_challenges(line: Line, challenges: Challenges) -> Line:
    return structs.replace(
        line, challenges=tuple(challenges.get(trust_marks.key(card)) for card in line.cards)
    )


# --- marks ---------------------------------------------------------------------------------------------------


def marks(line: Line) -> dict[str, str]:
    """Return the marks of a row: letter or symbol -> words."""
    card, head = line.card, line.head
    letters: dict[str, str] = {}
    if any(finding.fault for finding in card.health):
        letters["B"] = "looks broken"
    if card.data == "sample":
        letters["S"] = "sample items"
    if card.config.limit is not None:
        letters["P"] = f"subset of {card.config.limit}"
    if card.status in ("running", "interrupted"):
        letters["R"] = card.status
    if card.stopped_early and card.status != "running":
        word = "stopped early" if card.origin == "run" else "incomplete"
        letters["E"] = f"{word}, {percent(line.coverage)} % scored"
    elif line.coverage < 1.0:
        letters["C"] = f"{percent(line.coverage)} % scored"
    if head is not None and (left_out := _left_out(line, head)):
        letters["A"] = f"answered items alone, {head.n:,} of {head.n + left_out:,}"
    if head is not None and head.clusters < min(FEW, head.n) and head.n > head.clusters * card.config.repeats:
        letters["F"] = f"{head.clusters} cluster{'s' if head.clusters > 1 else ''} (rough interval)"
    if head is not None and head.value is None and head.clusters:
        letters["G"] = head.method.removeprefix("none: ")
    return letters | trust_marks.trust_marks(line.cards, line.challenges)


def _left_out(line: Line, head: Estimate) -> int:
    """Return the number of replies without an answer that a headline ignores, as an RMSE does.

    A mean counts them, and a metric with an `_answered` twin puts something in their place.
    """
    if any(e.metric == f"{head.metric}_answered" for e in line.card.estimates):
        return 0
    counts = Counter({v: sum(card.counts.get(v, 0) for card in line.cards) for v in VERDICTS})
    answered = sum(counts[verdict] for verdict in ("right", "wrong", "graded"))
    return counts.total() - answered if head.n == answered else 0


# --- the table -----------------------------------------------------------------------------------------------

WIDE = (
    Column("model"), Column("score", right=True), Column("95 % interval", right=True), Column("n", right=True),
    Column("coverage", right=True, drop=4), Column("truncated", right=True), Column("temp.", right=True, drop=6),
    Column("seed", right=True, drop=5), Column("run", whole=True), Column("when (UTC)", whole=True),
    Column("marks", whole=True),
)  # fmt: skip
NARROW = (
    Column("model", spill=24), Column("score", right=True), Column("95 %", right=True, drop=1),
    Column("n", right=True, drop=3), Column("coverage", right=True, drop=5), Column("trunc.", right=True, drop=4),
    Column("run", whole=True), Column("when", drop=2, whole=True), Column("", whole=True),
)  # fmt: skip
SIZES = (
    Column("parameters", right=True, drop=3), Column("trained", right=True, drop=3),
    Column("latency", right=True, drop=3),
)  # fmt: skip
"""Columns of image classifiers, in front of `coverage`."""


def layout(
    lines: Sequence[Line],
    max_width: int | None,
    *,
    ids: Iterable[str] = (),
    sort: Sort = "when",
    bounds: bool = True,
) -> list[str]:
    """Lay out rows, grouped by suite and protocol.

    `ids`: all ids among which a short one must be unique; `bounds`: whether to list the bounds of scores with missing outcomes below the table.
    """
    names = short_ids([*ids, *(card.run for line in lines for card in line.cards)])
    groups: dict[tuple[str, ...], list[Line]] = defaultdict(list)
    for line in lines:
        groups[_group(line.card)].append(line)
    titles = _titles(groups)
    ordered = {titles[key]: sort_lines(groups[key], sort) for key in sorted(groups)}
    sized = any(any(line.sizes) for line in lines)
    wide_sections: list[Section] = [
        (title, [_sized(_wide(x, names), x.sizes, sized=sized) for x in rows])
        for title, rows in ordered.items()
    ]
    columns = _sized(WIDE, SIZES, sized=sized)
    wide_table = table([c._replace(drop=0) if c.drop < 4 else c for c in columns], wide_sections, max_width)
    if max_width is None or len(wide_table) <= 2 + len(lines) + 2 * len(titles):
        return [*wide_table, *_legend(lines, max_width, names, letters=False, bounds=bounds)]
    narrow_sections: list[Section] = [
        (title, [_sized(_narrow(x, names), x.sizes, sized=sized) for x in rows])
        for title, rows in ordered.items()
    ]
    return [
        *table(_sized(NARROW, SIZES, sized=sized), narrow_sections, max_width),
        *_legend(lines, max_width, names, letters=True, bounds=bounds),
    ]


def _sized(cells: Sequence[Cell], sizes: Sequence[Cell], *, sized: bool) -> list[Cell]:
    """Return cells, or columns, with those on size and latency behind the number of items, if there are any."""
    return [*cells[:4], *sizes, *cells[4:]] if sized else list(cells)


def _group(card: Card) -> tuple[str, ...]:
    config = card.config
    return config.suite, config.protocol, config.version, config.data_sha256, config.judge


def _titles(groups: dict[tuple[str, ...], list[Line]]) -> dict[tuple[str, ...], str]:
    """Name the groups by suite, protocol and metric, and by whatever else distinguishes them."""
    titles = {}
    for key, lines in groups.items():
        suite, protocol, version, data, judge = key
        same_title = [other_key for other_key in groups if other_key[:2] == key[:2] and other_key != key]
        words = [suite, protocol]
        if any(other_key[2] != version for other_key in same_title):
            words.append(f"version {version}")
        if any(other_key[3] != data for other_key in same_title):
            kinds = {"sample": "sample items", "local": "local data", "hub": "hub data"}
            kind = kinds[lines[0].card.data]
            same = [other_key for other_key in same_title if kinds[groups[other_key][0].card.data] == kind]
            words.append(f"{kind} {data[:6]}" if same else kind)
        if any(other_key[4] != judge for other_key in same_title):
            words.append(f"judged by {judge}" if judge else "no judge")
        if (head := next((line.head for line in lines if line.head), None)) is not None:
            words.append(f"{head.metric}{', lower is better' if head.better == 'lower' else ''}")
        chance = next((line.card.chance for line in lines if line.card.chance is not None), None)
        words += [f"chance {percent(chance)} %"] if chance is not None else []
        titles[key] = " · ".join(words)
    return titles


def sort_lines(lines: Sequence[Line], sort: Sort) -> list[Line]:
    """Sort rows: newest last, or best first, by model, or largest first."""
    keys: dict[str, Callable[[Line], Any]] = {
        "when": lambda line: line.when,
        "model": lambda line: (line.card.model.lower(), line.when),
        "n": lambda line: -(line.head.n if line.head else 0),
        "score": _standing,
    }
    return sorted(lines, key=keys[sort])


def _standing(line: Line) -> tuple[bool, float]:
    if line.head is None or line.head.value is None:
        return True, 0.0
    return False, line.head.value if line.head.better == "lower" else -line.head.value


def _items(line: Line) -> str:
    """Return the number of scored items, with the replies to each if there are several: `198 x 4`."""
    n, replies = line.head.n if line.head else 0, line.card.config.repeats * len(line.cards)
    return f"{n:,}" if replies == 1 else f"{-(-n // replies):,} x {replies}"


def _run(line: Line, names: Mapping[str, str]) -> str:
    if len(line.cards) > 1:
        return f"{len(line.cards)} seeds"
    return names[line.card.run]


def _wide(line: Line, names: Mapping[str, str]) -> list[str]:
    card, head = line.card, line.head
    sampling = card.config.sampling
    truncated = "-" if line.truncated is None else f"{percent(line.truncated)} %"
    seeds = ", ".join(str(card.config.seed) for card in line.cards)
    return [
        card.model,
        figure(head),
        interval(head),
        _items(line),
        f"{percent(line.coverage)} %",
        truncated,
        "" if sampling.temperature is None else f"{sampling.temperature:g}",
        seeds if card.origin == "run" else "",
        _run(line, names),
        moment(line.when),
        "; ".join(marks(line).values()),
    ]


def _narrow(line: Line, names: Mapping[str, str]) -> list[str]:
    card, head = line.card, line.head
    return [
        card.model,
        figure(head),
        interval(head, between="–"),
        _items(line),
        f"{percent(line.coverage)} %",
        "-" if line.truncated is None else f"{percent(line.truncated)} %",
        _run(line, names),
        moment(line.when, "%m-%d"),
        " ".join(marks(line)),
    ]


def _legend(
    lines: Sequence[Line], max_width: int | None, names: Mapping[str, str], *, letters: bool, bounds: bool
) -> list[str]:
    """Explain the marks in use, and how to expand pooled rows."""
    used = {letter for line in lines for letter in marks(line)}
    legend = [f"{letter}: {words}" for letter, words in MARKS.items() if letter in used] if letters else []
    if not letters and "S" in used:
        legend.append(MARKS["S"])
    if any(len(line.cards) > 1 for line in lines):
        legend.append("seeds: mean of runs that differ only in their seed; --runs shows each")
    if bounds and any(line.head and line.head.low is not None for line in lines):
        legend.append(f"95 % intervals: {describe_estimand('items-like-these')}")
    legend += [
        f"{_run(line, names)}: {missing_bounds(line)}"
        for line in lines
        if bounds and {"E", "C", "R"} & marks(line).keys() and missing_bounds(line)
    ]
    return ["", *(row for text in legend for row in wrap(text, max_width, indent="   "))] if legend else []


def missing_bounds(line: Line) -> str:
    """Return the bounds of a score; empty if nothing is missing or the metric is unbounded."""
    head = line.head
    if head is None or line.coverage == 1.0 or head.worst is None or head.best is None:
        return ""
    low, high = sorted((head.worst, head.best))
    return f"{interval(structs.replace(head, low=low, high=high))} with what is missing counted as wrong or as right"


def groups(card: Card) -> list[Section]:
    """Return a section of the headline by group; none if the suite has no groups."""
    name = next((e.metric for e in card.estimates if e.headline), "")
    grouped = [e for e in card.estimates if e.group]
    chosen = [e for e in grouped if e.metric == name] or grouped
    title = f"{card.config.suite} · {card.config.protocol} · {card.model}"
    rows = [[e.group, e.metric, figure(e), interval(e), f"{e.n:,}"] for e in chosen]
    return [(title, rows)] if rows else []


GROUPS = (
    Column("group"), Column("metric", drop=1), Column("score", right=True), Column("95 % interval", right=True),
    Column("n", right=True),
)  # fmt: skip
