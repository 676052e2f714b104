"""Runs in one table: grouped by suite and protocol, with seeds pooled and marks beside scores.

Marks show what limits a score, and what supports it (`trust_marks.py`). They are words on a wide terminal, and letters with
a legend on a narrow one.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from math import ceil
from statistics import fmean
from types import MappingProxyType
from typing import Any, Literal, NamedTuple, TypeAlias

from msgspec import Struct, structs

from evals.challenge.summary import Challenge
from evals.plain import count_of, percent
from evals.records.card import Card
from evals.records.names import short_ids
from evals.report.estimand_names import describe_estimand
from evals.terminal import trust_marks
from evals.terminal.figures import best_first, interval, score_text, utc_time
from evals.terminal.layout import Column, Section, table, wrap
from evals.terminal.trust_marks import Challenges
from evals.types import VERDICTS, Estimate

Sort: TypeAlias = Literal["when", "score", "model", "n"]
MIN_CLUSTERS = 30
"""If there are fewer clusters (passages, images), the interval is marked as rough."""
MARKS = {
    "B": "looks broken: all replies are empty, so the score does not measure the model",
    "S": "sample items: not a benchmark score",
    "P": "a subset of the items",
    "E": "stopped early, or an import of only some items",
    "R": "not finished",
    "C": "some outcomes are missing",
    "A": "answered items only: the metric ignores replies without an answer",
    "G": "no mean over groups: some groups have no scored item",
    "F": f"fewer than {MIN_CLUSTERS} independent clusters",
    **trust_marks.MEANINGS,
}


class RunRow(Struct, frozen=True, kw_only=True):
    """A row: one run, or the seeds of one configuration pooled."""

    cards: tuple[Card, ...]
    """Newest last."""
    headline: Estimate | None
    """None if nothing is scored yet."""
    challenges: tuple[Challenge | None, ...] = ()
    """One for each run; None for a run that was not challenged."""

    @property
    def card(self) -> Card:
        """Return the newest run's card."""
        return self.cards[-1]

    @property
    def started(self) -> float:
        """Return when the newest run started, in seconds since the epoch."""
        return self.card.started

    @property
    def truncated(self) -> float | None:
        """Return the share of replies truncated at max tokens; None if unknown, or for an image classifier."""
        replies = sum(map(_count_replies, self.cards))
        is_known = all(card.truncation_known for card in self.cards) and not any(self.sizes)
        return sum(card.truncated for card in self.cards) / replies if replies and is_known else None

    @property
    def sizes(self) -> list[str]:
        """Return parameters, trained parameters and latency of an image classifier; empty strings for other models."""
        figures = {
            e.metric: score_text(e) for e in self.card.estimates if not e.group and e.value is not None
        }
        return [figures.get(name, "") for name in ("parameters", "trained_parameters", "latency")]

    @property
    def coverage(self) -> float:
        """Return the lowest coverage among the runs."""
        return min(card.coverage for card in self.cards)


def _count_replies(card: Card) -> int:
    """Return the number of replies, scored or not; on a card of an earlier version, of the scored ones, or 0 if some are not."""
    if card.replies is not None:
        return card.replies
    scored = sum(n for name, n in card.counts.items() if name in VERDICTS)
    return scored if card.truncated <= scored else 0


def pooled_rows(cards: Iterable[Card], challenges: Challenges = MappingProxyType({})) -> list[RunRow]:
    """Pool complete runs that differ only in their seed, the newest for each seed; other runs get their own rows.

    Value and interval are means over the runs. The interval is conservative: the standard error of the mean is at most the
    mean of the standard errors, however strongly the runs are correlated.
    """
    by_key: dict[Any, dict[tuple[int, int | None], Card]] = defaultdict(dict)
    separate_cards: list[Card] = []
    for card in cards:
        headline = card.headline
        if not card.complete or headline is None or headline.value is None:
            separate_cards.append(card)
            continue
        seeds = by_key[_configuration(card)]
        seed = (card.config.seed, card.config.sampling.seed)
        if (older := seeds.get(seed)) is not None:
            older, card = sorted((older, card), key=lambda card: card.started)
            separate_cards.append(older)
        seeds[seed] = card
    pools = [_pool_seeds(sorted(seeds.values(), key=lambda card: card.started)) for seeds in by_key.values()]
    return [
        *single_run_rows(separate_cards, challenges),
        *(_with_challenges(row, challenges) for row in pools),
    ]


def _configuration(card: Card) -> tuple[Any, ...]:
    config = structs.replace(card.config, seed=0, sampling=structs.replace(card.config.sampling, seed=None))
    return repr(config), card.model, card.data, card.origin, tuple(sorted(card.scorers.items()))


def _pool_seeds(cards: Sequence[Card]) -> RunRow:
    headlines = [headline for card in cards if (headline := card.headline) is not None]
    newest = headlines[-1]
    if len(headlines) == 1:
        return RunRow(cards=tuple(cards), headline=newest)
    headline = structs.replace(
        newest,
        **{
            name: _mean([getattr(headline, name) for headline in headlines])
            for name in ("value", "low", "high", "worst", "best")
        },
        n=sum(headline.n for headline in headlines),
        method="mean over seeds; the interval is the mean of their intervals",
    )
    return RunRow(cards=tuple(cards), headline=headline)


def _mean(values: Sequence[float | None]) -> float | None:
    defined = [value for value in values if value is not None]
    return fmean(defined) if len(defined) == len(values) and defined else None


def single_run_rows(cards: Iterable[Card], challenges: Challenges = MappingProxyType({})) -> list[RunRow]:
    """Return a row per run."""
    return [_with_challenges(RunRow(cards=(card,), headline=card.headline), challenges) for card in cards]


def _with_challenges(row: RunRow, challenges: Challenges) -> RunRow:
    return structs.replace(
        row, challenges=tuple(challenges.get(trust_marks.challenge_key(card)) for card in row.cards)
    )


def marks(row: RunRow) -> dict[str, str]:
    """Return the marks of a row, letters or symbols, with their descriptions."""
    card, headline = row.card, row.headline
    descriptions: dict[str, str] = {}
    if any(finding.fault for finding in card.health):
        descriptions["B"] = "looks broken"
    if card.data == "sample":
        descriptions["S"] = "sample items"
    if card.config.limit is not None:
        descriptions["P"] = f"subset of {card.config.limit}"
    if card.status in ("running", "interrupted"):
        descriptions["R"] = card.status
    if card.stopped_early and card.status != "running":
        word = "stopped early" if card.origin == "run" else "incomplete"
        descriptions["E"] = f"{word}, {percent(row.coverage)} % scored"
    elif row.coverage < 1.0:
        descriptions["C"] = f"{percent(row.coverage)} % scored"
    if headline is not None and (unscored := _unscored_replies(row, headline)):
        descriptions["A"] = f"answered items only, {headline.n:,} of {headline.n + unscored:,}"
    if headline is not None and _has_few_clusters(headline, sum(c.config.repeats for c in row.cards)):
        descriptions["F"] = f"{count_of(headline.clusters, 'cluster')} (rough interval)"
    if headline is not None and headline.value is None and headline.clusters:
        descriptions["G"] = headline.method.removeprefix("none: ")
    return descriptions | trust_marks.trust_marks(row.cards, row.challenges)


def _has_few_clusters(headline: Estimate, repeats: int) -> bool:
    """Return whether there are few clusters of several samples each; `repeats`: number of replies to a sample, over all seeds."""
    return headline.clusters < min(MIN_CLUSTERS, headline.n) and headline.n > headline.clusters * repeats


def _unscored_replies(row: RunRow, headline: Estimate) -> int:
    """Return how many replies without an answer the headline metric ignores; an RMSE ignores all of them.

    Means include these replies, and metrics with an `_answered` variant substitute a value.
    """
    if any(e.metric == f"{headline.metric}_answered" for e in row.card.estimates):
        return 0
    counts = Counter({v: sum(card.counts.get(v, 0) for card in row.cards) for v in VERDICTS})
    answered = sum(counts[verdict] for verdict in ("right", "wrong", "graded"))
    return counts.total() - answered if headline.n == answered else 0


WIDE_COLUMNS = (
    Column("model"), Column("score", right=True), Column("95 % interval", right=True), Column("n", right=True),
    Column("coverage", right=True, drop=4), Column("truncated", right=True), Column("temp.", right=True, drop=6),
    Column("seed", right=True, drop=5), Column("run", no_wrap=True), Column("when (UTC)", no_wrap=True),
    Column("marks", no_wrap=True),
)  # fmt: skip
NARROW_COLUMNS = (
    Column("model", spill=24), Column("score", right=True), Column("95 %", right=True, drop=1),
    Column("n", right=True, drop=3), Column("coverage", right=True, drop=5), Column("trunc.", right=True, drop=4),
    Column("run", no_wrap=True), Column("when", drop=2, no_wrap=True), Column("", no_wrap=True),
)  # fmt: skip
SIZE_COLUMNS = (
    Column("parameters", right=True, drop=3), Column("trained", right=True, drop=3),
    Column("latency", right=True, drop=3),
)  # fmt: skip
"""Columns of image classifiers, before `coverage`."""


def layout(
    rows: Sequence[RunRow],
    max_width: int | None,
    *,
    ids: Iterable[str] = (),
    sort: Sort = "when",
    show_bounds: bool = True,
) -> list[str]:
    """Lay out rows, grouped by suite and protocol.

    `ids`: ids of other runs, from which the short ids must differ; `show_bounds`: whether to list the bounds of scores with
    missing outcomes below the table.
    """
    names = short_ids([*ids, *(card.run for row in rows for card in row.cards)])
    groups: dict[_GroupKey, list[RunRow]] = defaultdict(list)
    for row in rows:
        groups[_group_key(row.card)].append(row)
    titles = _titles(groups)
    ordered = {titles[key]: sort_rows(groups[key], sort) for key in sorted(groups)}
    has_sizes = any(any(row.sizes) for row in rows)

    def sections(*, is_wide: bool) -> list[Section]:
        return [
            (title, [_table_row(row, names, is_wide=is_wide, has_sizes=has_sizes) for row in section_rows])
            for title, section_rows in ordered.items()
        ]

    columns = _with_sizes(WIDE_COLUMNS, has_sizes=has_sizes)
    columns = [column._replace(drop=0) if column.drop < 4 else column for column in columns]
    wide_table = table(columns, sections(is_wide=True), max_width)
    if max_width is None or len(wide_table) <= 2 + len(rows) + 2 * len(titles):
        return [*wide_table, *_legend(rows, max_width, names, use_letters=False, show_bounds=show_bounds)]
    return [
        *table(_with_sizes(NARROW_COLUMNS, has_sizes=has_sizes), sections(is_wide=False), max_width),
        *_legend(rows, max_width, names, use_letters=True, show_bounds=show_bounds),
    ]


def _with_sizes(columns: Sequence[Column], *, has_sizes: bool) -> list[Column]:
    return [*columns[:4], *SIZE_COLUMNS, *columns[4:]] if has_sizes else list(columns)


class _GroupKey(NamedTuple):
    """The properties of the runs below one title."""

    suite: str
    protocol: str
    version: str
    data_sha256: str
    judge: str


def _group_key(card: Card) -> _GroupKey:
    config = card.config
    return _GroupKey(config.suite, config.protocol, config.version, config.data_sha256, config.judge)


def _titles(groups: Mapping[_GroupKey, Sequence[RunRow]]) -> dict[_GroupKey, str]:
    """Return the titles of groups of rows: suite, protocol, metric, and any other property that differs between groups."""
    titles = {}
    for key, rows in groups.items():
        similar = [other for other in groups if other[:2] == key[:2] and other != key]
        parts = [key.suite, key.protocol]
        if any(other.version != key.version for other in similar):
            parts.append(f"version {key.version}")
        if any(other.data_sha256 != key.data_sha256 for other in similar):
            kinds = {"sample": "sample items", "local": "local data", "hub": "hub data"}
            kind = kinds[rows[0].card.data]
            same_kind = [other for other in similar if kinds[groups[other][0].card.data] == kind]
            parts.append(f"{kind} {key.data_sha256[:6]}" if same_kind else kind)
        if any(other.judge != key.judge for other in similar):
            parts.append(f"judged by {key.judge}" if key.judge else "no judge")
        if (headline := next((row.headline for row in rows if row.headline), None)) is not None:
            parts.append(f"{headline.metric}{', lower is better' if headline.better == 'lower' else ''}")
        chance = next((row.card.chance for row in rows if row.card.chance is not None), None)
        parts += [f"chance {percent(chance)} %"] if chance is not None else []
        titles[key] = " · ".join(parts)
    return titles


def sort_rows(rows: Sequence[RunRow], sort: Sort) -> list[RunRow]:
    """Return rows sorted by start (newest last), score (best first), model or n (largest first)."""
    keys: dict[str, Callable[[RunRow], Any]] = {
        "when": lambda row: row.started,
        "model": lambda row: (row.card.model.lower(), row.started),
        "n": lambda row: -(row.headline.n if row.headline else 0),
        "score": lambda row: best_first(row.headline),
    }
    return sorted(rows, key=keys[sort])


def _item_count(row: RunRow) -> str:
    """Return the number of scored items, times the replies per item if there are several: `198 x 4`."""
    n, replies = row.headline.n if row.headline else 0, row.card.config.repeats * len(row.cards)
    return f"{n:,}" if replies == 1 else f"{ceil(n / replies):,} x {replies}"


def _run_name(row: RunRow, names: Mapping[str, str]) -> str:
    if len(row.cards) > 1:
        return f"{len(row.cards)} seeds"
    return names[row.card.run]


def _table_row(row: RunRow, names: Mapping[str, str], *, is_wide: bool, has_sizes: bool) -> list[str]:
    card, headline, temperature = row.card, row.headline, row.card.config.sampling.temperature
    settings = [
        "" if temperature is None else f"{temperature:g}",
        ", ".join(str(card.config.seed) for card in row.cards) if card.origin == "run" else "",
    ]
    return [
        card.model,
        score_text(headline),
        interval(headline, separator=" to " if is_wide else "–"),
        _item_count(row),
        *(row.sizes if has_sizes else ()),
        f"{percent(row.coverage)} %",
        "-" if row.truncated is None else f"{percent(row.truncated)} %",
        *(settings if is_wide else ()),
        _run_name(row, names),
        utc_time(row.started, "%Y-%m-%d %H:%M" if is_wide else "%m-%d"),
        "; ".join(marks(row).values()) if is_wide else " ".join(marks(row)),
    ]


def _legend(
    rows: Sequence[RunRow],
    max_width: int | None,
    names: Mapping[str, str],
    *,
    use_letters: bool,
    show_bounds: bool,
) -> list[str]:
    """Return explanations of the marks in use, pooled rows and intervals, and the bounds of scores."""
    in_use = {letter for row in rows for letter in marks(row)}
    legend = (
        [f"{letter}: {description}" for letter, description in MARKS.items() if letter in in_use]
        if use_letters
        else []
    )
    if not use_letters and "S" in in_use:
        legend.append(MARKS["S"])
    if any(len(row.cards) > 1 for row in rows):
        legend.append("seeds: mean of runs that differ only in their seed; --runs lists them")
    if show_bounds and any(row.headline and row.headline.low is not None for row in rows):
        legend.append(f"95 % intervals: {describe_estimand('items-like-these')}")
    legend += [
        f"{_run_name(row, names)}: {missing_bounds(row)}"
        for row in rows
        if show_bounds and {"E", "C", "R"} & marks(row).keys() and missing_bounds(row)
    ]
    return ["", *(line for text in legend for line in wrap(text, max_width, indent="   "))] if legend else []


def missing_bounds(row: RunRow) -> str:
    """Return the bounds of a score as text; empty if no outcome is missing or the metric is unbounded."""
    headline = row.headline
    if headline is None or row.coverage == 1.0 or headline.worst is None or headline.best is None:
        return ""
    low, high = sorted((headline.worst, headline.best))
    return f"{interval(structs.replace(headline, low=low, high=high))} with missing outcomes counted as wrong or as right"


def group_sections(card: Card) -> list[Section]:
    """Return a section with the headline metric, or else every metric, by group; empty if no metric is reported by group."""
    name = next((e.metric for e in card.estimates if e.headline), "")
    grouped = [e for e in card.estimates if e.group]
    headline_estimates = [e for e in grouped if e.metric == name] or grouped
    title = f"{card.config.suite} · {card.config.protocol} · {card.model}"
    rows = [[e.group, e.metric, score_text(e), interval(e), f"{e.n:,}"] for e in headline_estimates]
    return [(title, rows)] if rows else []


GROUP_COLUMNS = (
    Column("group"), Column("metric", drop=1), Column("score", right=True), Column("95 % interval", right=True),
    Column("n", right=True),
)  # fmt: skip
